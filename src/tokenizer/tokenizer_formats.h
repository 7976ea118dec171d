/* What each file format of tokenizers is read by. `name` stands for the file in messages. */
#ifndef GW_TOKENIZER_FORMATS_H
#define GW_TOKENIZER_FORMATS_H

#include "base/json.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

/* tokenizer.json, parsed; it may be changed. */
GwStatus gw__tokenizer_from_json(const char *name, json_t *root, GwTokenizer **out);

/* What its pre_tokenizer says for a pattern; NULL when memory is exhausted. */
json_t *gw__tokenizer_splitting_json(GwSplitPattern pattern);

/* A rank file of tiktoken. */
GwStatus gw__tokenizer_from_ranks(const char *name, const char *text, size_t size,
                                  GwTokenizer **out);

#endif
