/* How well a trained model predicts text: what `godwit eval` does. */
#ifndef GODWIT_EVAL_H
#define GODWIT_EVAL_H

#include <stdint.h>

#include "godwit/execution.h"
#include "godwit/status.h"

typedef struct {
  double nats;    /* total, over `tokens` predictions */
  int64_t tokens; /* predictions made */
  int64_t bytes;  /* text bytes of the predicted tokens (end-of-text: 0) */
  double nats_per_token;
  double bits_per_byte; /* 0 when there are no bytes, or the data have no tokenizer to tell them */
  double perplexity;    /* e^nats_per_token, at most e^700 */
} GwEvaluation;

typedef struct {
  const char *data_dir;  /* a corpus or token files; this or text_file */
  const char *split;     /* of the corpus: "val" (default) or "train" */
  const char *text_file; /* read as one document, headed by the end-of-text token */
  int64_t stride;        /* 1..T: windows of T tokens advance by it; 0 (default): T */
  GwExecutionOptions execution;
} GwEvalOptions;

typedef struct {
  char path[4096]; /* of the checkpoint */
  int64_t step, stride;
  GwEvaluation evaluation;
} GwEvalReport;

GwEvalOptions gw_eval_default(void);

/* Every token of the text but the first is predicted once. With stride T the text is cut into plain
 * windows and a token sees 0 to T-1 tokens before it; a smaller stride gives every token (but those
 * of the first window) at least T - stride of them, at T/stride times the cost. The corpus must
 * have been prepared with the run's tokenizer, where both have one (GW_MISMATCH). `path`: a run or
 * a checkpoint. */
GwStatus gw_eval(const char *path, const GwEvalOptions *options, GwEvalReport *out);

#endif
