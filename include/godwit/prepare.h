/* Text → tokens: what `godwit prepare` does.
 *
 * Documents are read from the inputs, exact copies dropped, each document put on one side of the
 * train/validation split by its hash (so the split does not depend on the order of the inputs), and
 * written as token shards with a manifest. The outcome depends on the options and the documents
 * only, not on threads or interruptions. A lone document is cut at its tail instead: the last
 * ceil(val_fraction · bytes), from the start of a character, are held out. */
#ifndef GODWIT_PREPARE_H
#define GODWIT_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/status.h"

typedef struct {
  const char *out_dir;   /* created; must not hold another corpus unless resuming the same one */
  const char *tokenizer; /* "byte", "bpe", "bpe-hf", or the path of a vocabulary */
  int32_t vocab_size;    /* bpe: tokens in all, the end-of-text token included; default 4096 */
  double val_fraction;   /* [0, 1); default 0.1 */
  int64_t shard_tokens;  /* a shard ends with the document that reaches it; default 100 million */
  const char *licence;   /* a note for the manifest; may be NULL */
  const char *const *inputs; /* files, folders, "-" for stdin */
  int input_count;
  int threads; /* 0: all */
} GwPrepareOptions;

typedef struct {
  uint64_t documents, duplicates; /* kept; dropped as exact copies */
  uint64_t train_bytes, val_bytes, train_tokens, val_tokens;
  int32_t vocab_size;
  bool found; /* the corpus was there already; nothing was written */
} GwPrepareReport;

/* No inputs and no out_dir; all else as documented above. */
GwPrepareOptions gw_prepare_default(void);

/* Prepares the inputs, or goes on where the same call was interrupted, or finds the same corpus
 * finished and reports it. GW_EXISTS when out_dir holds anything else of a corpus; GW_BUSY while
 * another preparation works there. Memory is bounded: two batches of text and their tokens, one
 * document (at most 1 GiB), the tokenizer's counts, and 18 to 23 bytes per distinct document. */
GwStatus gw_prepare(const GwPrepareOptions *options, GwPrepareReport *out);

#endif
