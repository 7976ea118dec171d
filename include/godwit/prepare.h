/* Text → tokens: what `godwit prepare` does. */
#ifndef GODWIT_PREPARE_H
#define GODWIT_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/status.h"

typedef struct {
  const char *out_dir;   /* created; must not hold another corpus unless resuming the same one */
  const char *tokenizer; /* "byte", "bpe", or the path of a tokenizer file */
  int32_t vocab_size;    /* bpe: tokens in all, the end-of-text token included; default 4096 */
  double val_fraction;   /* [0, 1); default 0.1 */
  const char *licence;   /* a note for the manifest; may be NULL */
  const char *const *inputs; /* files, folders, "-" for stdin */
  int input_count;
  int threads; /* 0: all */
} GwPrepareOptions;

typedef struct {
  uint64_t documents, duplicates; /* kept; dropped as exact copies */
  uint64_t train_bytes, val_bytes, train_tokens, val_tokens;
  int32_t vocab_size;
} GwPrepareReport;

GwPrepareOptions gw_prepare_default(void);
GwStatus gw_prepare(const GwPrepareOptions *options, GwPrepareReport *out);

#endif
