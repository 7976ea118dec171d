/* Text from a trained model: what `godwit generate` does. */
#ifndef GODWIT_GENERATE_H
#define GODWIT_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/execution.h"
#include "godwit/status.h"

typedef struct {
  const char *prompt; /* any bytes; may be NULL when prompt_size is 0 */
  size_t prompt_size;
  const char *ids;    /* or the prompt as token ids, "1, 403 261"; NULL: none */
  int64_t tokens;     /* at most this many are generated; default 256 */
  double temperature; /* logits are divided by it; 0: always the likeliest token; default 1 */
  int32_t top_k;      /* only the k likeliest tokens; 0: all */
  double top_p;       /* of those, the fewest that together have probability p; 1: all */
  uint64_t seed;      /* the same seed gives the same text; default 1 */
  GwExecutionOptions execution;
} GwGenerateOptions;

typedef struct {
  int64_t prompt_tokens; /* the end-of-text token at the head not counted */
  int64_t tokens;        /* generated */
  bool ended;            /* by the end-of-text token */
  double seconds;        /* of generating, the prompt's pass not counted */
} GwGenerateReport;

/* Receives the text piece by piece. A failure ends the generation with it. */
typedef GwStatus GwTextSink(void *context, const char *text, size_t size);

GwGenerateOptions gw_generate_default(void);

/* Continues the prompt as the beginning of a document. `path` is a run, of which the newest
 * checkpoint is used, or a checkpoint. The sink gets the prompt and then what follows, as the bytes
 * become whole UTF-8 characters; bytes that never do are passed on as they are. When the model's
 * context of T tokens is full, its last part is kept and read anew as if it began there.
 *
 * With `ids` the sequence begins with just these, no end-of-text token before them, and the sink
 * gets the ids of what follows, a space before each. The run need not have a tokenizer. */
GwStatus gw_generate(const char *path, const GwGenerateOptions *options, GwTextSink *sink,
                     void *context, GwGenerateReport *out);

#endif
