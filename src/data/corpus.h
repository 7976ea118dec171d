/* What a model is trained on: the folder that `godwit prepare` wrote,
 *
 *   DIR/manifest.json   counts, bytes, hashes per shard, tokenizer hash, licence note
 *       tokenizer.json
 *       train-00000.bin … val-00000.bin …       token shards (shard.h), each document headed by the
 *                                               end-of-text token
 *
 * or one without a manifest that holds token files of other programs (token_folder.h), read where
 * they lie. Beside them may lie a tokenizer; without one there are ids only, and of these:
 *
 *   uint16 of llm.c and nanoGPT  are GPT-2's, where all are below 50257 (unless nanoGPT's meta.pkl
 *                                says that they have a vocabulary of their own)
 *   uint32 of llm.c              are Llama 3's, where all are below 128256
 *   others                       have no end-of-text token that is known
 *
 * A split is one stream of tokens over its shards in order. */
#ifndef GW_CORPUS_H
#define GW_CORPUS_H

#include "tokenizer/tokenizer.h"

typedef struct GwCorpus GwCorpus;
typedef enum { GW_SPLIT_TRAIN, GW_SPLIT_VAL } GwSplit;

/* Checks the manifest, the tokenizer, sizes and shard headers; with `verify` also every shard's
 * hash. Files without a manifest are always read in full: nothing else says what they hold. */
GwStatus gw_corpus_open(const char *dir, bool verify, GwCorpus **out);
void gw_corpus_close(GwCorpus *corpus); /* NULL is fine */

const char *gw_corpus_dir(const GwCorpus *corpus);
/* Logs what files without a manifest were taken for; nothing for a prepared corpus. */
void gw_corpus_describe(const GwCorpus *corpus);
const GwTokenizer *gw_corpus_tokenizer(const GwCorpus *corpus); /* NULL: there are ids only */
/* Of the tokenizer, else of the one that the ids are taken for, else vocab_min. */
int32_t gw_corpus_vocab_size(const GwCorpus *corpus);
/* What a model must have at least: the tokenizer's, else one more than the largest id. */
int32_t gw_corpus_vocab_min(const GwCorpus *corpus);
uint64_t gw_corpus_tokens(const GwCorpus *corpus, GwSplit split);
/* 0 where nothing tells them apart. */
uint64_t gw_corpus_documents(const GwCorpus *corpus, GwSplit split);
/* Bytes of text; end-of-text tokens are not counted. 0 without a manifest. */
uint64_t gw_corpus_bytes(const GwCorpus *corpus, GwSplit split);
/* Identity: of the tokenizer (or what the ids are taken for) and every shard. */
uint64_t gw_corpus_hash(const GwCorpus *corpus);
/* Tokens [first, first + count) of the split's stream; the range must lie inside it. A token
 * outside the vocabulary is GW_CORRUPT (possible when the hashes were not verified). */
GwStatus gw_corpus_read(const GwCorpus *corpus, GwSplit split, uint64_t first, uint64_t count,
                        int32_t *out);

/* positions[i]: the distance from i back to the latest end-of-text token at or before i in the
 * window, or i itself where none came yet. A query at i may look back positions[i] tokens and no
 * further, so that attention never crosses into another document. */
void gw_positions(const int32_t *tokens, int64_t count, int32_t end_of_text, int32_t *positions);
/* The same for `tokens`, read at `first`, where a document may also begin without such a token: as
 * an index says, unless end-of-text stands right before. */
void gw_corpus_positions(const GwCorpus *corpus, GwSplit split, uint64_t first,
                         const int32_t *tokens, int64_t count, int32_t *positions);

#endif
