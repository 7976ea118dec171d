/* A prepared corpus (the folder `godwit prepare` wrote) and the sampler of training batches.
 *
 *   DIR/manifest.json   counts, bytes, hashes per shard, tokenizer hash, licence note
 *       tokenizer.json
 *       train-00000.bin … val-00000.bin …       token shards (shard.h), each document headed by the
 *                                               end-of-text token
 * A split is one stream of tokens over its shards in order. */
#ifndef GW_CORPUS_H
#define GW_CORPUS_H

#include "data/tokenizer.h"

typedef struct GwCorpus GwCorpus;
typedef enum { GW_SPLIT_TRAIN, GW_SPLIT_VAL } GwSplit;

/* Checks the manifest, sizes and shard headers; with `verify` also every shard's hash. */
GwStatus gw_corpus_open(const char *dir, bool verify, GwCorpus **out);
void gw_corpus_close(GwCorpus *corpus);

const GwTokenizer *gw_corpus_tokenizer(const GwCorpus *corpus);
uint64_t gw_corpus_tokens(const GwCorpus *corpus, GwSplit split);
uint64_t gw_corpus_bytes(const GwCorpus *corpus,
                         GwSplit split);         /* of text, end-of-text not counted */
uint64_t gw_corpus_hash(const GwCorpus *corpus); /* identity: tokenizer and every shard */
/* Tokens [first, first + count) of the split's stream; the range must lie inside it. */
void gw_corpus_read(const GwCorpus *corpus, GwSplit split, uint64_t first, uint64_t count,
                    int32_t *out);

/* positions[i] = i minus the index of the latest end-of-text token at or before i in this window
 * (0 where the window began inside a document and none came yet... counted from the window's
 * start). A query at i may look back positions[i] tokens, and no further. */
void gw_positions(const int32_t *tokens, int64_t count, int32_t end_of_text, int32_t *positions);

/* The sampler: which tokens a lane sees is a pure function of (seed, step, lane).
 *
 * An epoch cuts the training stream into windows of T+1 tokens (stride T) after an offset in [0, T)
 * drawn from (seed, epoch), and visits them in the order of a keyed permutation. Sample number
 * (step·lanes + lane)·B + b, counted over all epochs, names the window; no iterator state exists.
 */
typedef struct {
  const GwCorpus *corpus;
  uint64_t seed;
  int32_t lanes, batch, context; /* L, B, T */
} GwSampler;

/* GW_INVALID when the split has fewer than 2(T+1) tokens. */
GwStatus gw_sampler_init(const GwCorpus *corpus, uint64_t seed, int32_t lanes, int32_t batch,
                         int32_t context, GwSampler *out);
/* tokens, targets, positions: each [B, T]; targets[i] is the token after tokens[i]. */
void gw_sampler_fill(const GwSampler *sampler, int64_t step, int32_t lane, int32_t *tokens,
                     int32_t *targets, int32_t *positions);

#endif
