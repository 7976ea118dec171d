/* The parts of a server that its requests need. */
#ifndef GW_SERVER_H
#define GW_SERVER_H

#include "godwit/serve.h"
#include "serve/completion.h"

enum { GW_SERVER_TEXT = 256 };

typedef struct {
  const GwServeOptions *options;
  GwLoadedModel model;
  GwPool *pool;
  GwEngine *engine;
  char run[GW_PATH_MAX];      /* the run's folder */
  char name[GW_SERVER_TEXT];  /* of the model */
  char token[GW_SERVER_TEXT]; /* that requests must bear; empty: none */
  int64_t started;            /* seconds since 1970 */
  uint64_t requests;          /* so far; changed atomically */
  uint64_t answers[6];        /* by the first digit of their status; likewise */
  int ending;                 /* likewise */
  int open;                   /* requests that are being answered; likewise */
} GwServer;

typedef struct GwHttp GwHttp;

/* Begins to answer at `listen`, "ADDRESS:PORT"; address_out [GW_SERVER_TEXT] gets the URL. */
GwStatus gw_http_start(GwServer *server, const char *listen, char *address_out, GwHttp **out);
/* When those that are being answered are; NULL is fine. */
void gw_http_stop(GwHttp *http);

#endif
