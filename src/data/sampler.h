/* The sampler: which tokens a lane sees is a pure function of (seed, step, lane).
 *
 * An epoch cuts the training stream into n = (tokens - T) / T windows of T+1 tokens, T apart, after
 * an offset in [0, T) drawn from (seed, epoch), and visits them in the order of a keyed
 * permutation. n is the same in every epoch, so sample number (step·lanes + lane)·B + b names epoch
 * and window by division, and no iterator state exists: resume and replay start anywhere. The
 * number depends on the step and on the place in the global batch only, so lanes = 2, B = 4 and
 * lanes = 8, B = 1 see the same windows at each step. */
#ifndef GW_SAMPLER_H
#define GW_SAMPLER_H

#include "data/corpus.h"

typedef struct {
  const GwCorpus *corpus;
  uint64_t seed;
  int32_t lanes, batch, context; /* L, B, T */
  uint64_t windows;              /* n, per epoch */
} GwSampler;

/* GW_INVALID when the training split has fewer than 2(T+1) tokens. */
GwStatus gw_sampler_init(const GwCorpus *corpus, uint64_t seed, int32_t lanes, int32_t batch,
                         int32_t context, GwSampler *out);
/* The first token of sample `sample`, counted over all epochs. */
uint64_t gw_sampler_window(const GwSampler *sampler, uint64_t sample);
/* tokens, targets, positions: each [B, T]; targets[i] is the token after tokens[i]. Errors as
 * gw_corpus_read. */
GwStatus gw_sampler_fill(const GwSampler *sampler, int64_t step, int32_t lane, int32_t *tokens,
                         int32_t *targets, int32_t *positions);

#endif
