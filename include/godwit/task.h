/* How well a trained model does on tasks: what `godwit eval --task` does. */
#ifndef GODWIT_TASK_H
#define GODWIT_TASK_H

#include <stdint.h>

#include "godwit/execution.h"
#include "godwit/status.h"

typedef struct {
  const char *task;  /* hellaswag, lambada, blimp, arc, piqa, winogrande or FILE.jsonl */
  const char *data;  /* the named task's file, or a folder of them */
  const char *items; /* a file to be written with one JSON line per item; NULL: none */
  int64_t limit;     /* only the first items; 0 (default): all */
  GwExecutionOptions execution;
} GwTaskOptions;

typedef struct {
  const char *name; /* acc, acc_norm, perplexity */
  double value;
  double standard_error; /* meaningful for 2 items and more */
} GwTaskMetric;

enum { GW_TASK_METRICS_MAX = 2 };
typedef struct {
  char path[4096]; /* of the checkpoint */
  int64_t step;
  int64_t items; /* >= 1 */
  int metric_count;
  GwTaskMetric metrics[GW_TASK_METRICS_MAX];
} GwTaskReport;

/* Scores the items as lm-eval 0.4 does, which is: the log-likelihood of each choice given its
 * context, the sum over its tokens.
 *
 *   acc         the likeliest choice is the right one; lambada: greedy decoding gives the word
 *   acc_norm    the same, log-likelihoods divided by the choices' lengths in characters
 *   perplexity  e^-(mean log-likelihood)
 *
 * Standard errors are those of a mean (n - 1), for perplexity times its slope. docs/formats.md says
 * how text becomes tokens, and what the files must be like. GW_USAGE for a task that does not
 * exist; errors in the data name file, line and key. `path`: a run or a checkpoint. */
GwStatus gw_task_eval(const char *path, const GwTaskOptions *options, GwTaskReport *out);

#endif
