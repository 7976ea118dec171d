/* A trained model over HTTP: what `godwit serve` does.
 *
 *   POST /v1/completions   the part of OpenAI's interface that a base model can answer
 *                          (src/serve/completion.h), also as a stream
 *   GET  /v1/models        the one model there is
 *   POST /tokenize, /detokenize   GET /tokenizer_info
 *   GET  /health           200, or 503 while the server is ending
 *   GET  /metrics          counters of the server and gauges of the run (godwit/runs.h), in
 *                          Prometheus' text format
 */
#ifndef GODWIT_SERVE_H
#define GODWIT_SERVE_H

#include <signal.h>
#include <stdint.h>

#include "godwit/execution.h"
#include "godwit/status.h"

typedef struct {
  const char *listen;     /* ADDRESS:PORT; default 127.0.0.1:8080, port 0: any that is free */
  const char *name;       /* of the model, as clients say it; NULL: the run folder's */
  const char *token_file; /* whose first line every request must bear; needed beyond loopback */
  int32_t slots;          /* requests in work at once; default 8 */
  int32_t queue;          /* requests that may wait; more get 503; default 64 */
  double timeout;         /* seconds that a request may take; default 600 */
  double grace;           /* seconds that requests may go on once the server ends; default 30 */
  GwExecutionOptions execution;
  const volatile sig_atomic_t *stop; /* when it becomes non-zero: end */
  /* Called once, with the address that answers, "http://127.0.0.1:8080"; may be NULL. */
  void (*ready)(void *context, const char *address);
  void *context;
} GwServeOptions;

GwServeOptions gw_serve_default(void);

/* Serves the newest checkpoint of a run, or a checkpoint, until *stop is not 0; then no new request
 * is taken, those in work go on for `grace` seconds, and GW_OK comes back. GW_USAGE when it would
 * be open to others without a token. */
GwStatus gw_serve(const char *path, const GwServeOptions *options);

#endif
