/* Sample number → epoch and index → window, by two divisions and a keyed permutation. */
#include "data/sampler.h"

#include <inttypes.h>
#include <string.h>

#include "base/rng.h"

static const uint64_t epoch_stream = UINT64_C(0x73616d706c6572); /* apart from other uses of seed */

GwStatus gw_sampler_init(const GwCorpus *corpus, uint64_t seed, int32_t lanes, int32_t batch,
                         int32_t context, GwSampler *out) {
  GW_ASSERT(lanes > 0 && batch > 0 && context > 0);
  uint64_t tokens = gw_corpus_tokens(corpus, GW_SPLIT_TRAIN), length = (uint64_t)context;
  if (tokens < 2 * (length + 1))
    return gw_fail(GW_INVALID,
                   "%s: context %" PRId32 " is longer than the data: it needs %" PRIu64
                   " training tokens and there are %" PRIu64 "; prepare more text or lower "
                   "model.context",
                   gw_corpus_dir(corpus), context, 2 * (length + 1), tokens);
  *out = (GwSampler){corpus, seed, lanes, batch, context, (tokens - length) / length};
  return GW_OK;
}

uint64_t gw_sampler_window(const GwSampler *sampler, uint64_t sample) {
  uint64_t length = (uint64_t)sampler->context;
  uint64_t epoch = sample / sampler->windows, index = sample % sampler->windows;
  GwPhilox bits = gw_philox(sampler->seed, epoch_stream, epoch);
  uint64_t key = (uint64_t)bits.word[1] << 32 | bits.word[0];
  uint64_t offset = bits.word[2] * length >> 32;
  return offset + gw_permute(key, sampler->windows, index) * length;
}

GwStatus gw_sampler_fill(const GwSampler *sampler, int64_t step, int32_t lane, int32_t *tokens,
                         int32_t *targets, int32_t *positions) {
  GW_ASSERT(step >= 0 && lane >= 0 && lane < sampler->lanes);
  const GwCorpus *corpus = sampler->corpus;
  size_t length = (size_t)sampler->context;
  uint64_t place = (uint64_t)step * (uint64_t)sampler->lanes + (uint64_t)lane;
  uint64_t sample = place * (uint64_t)sampler->batch;
  for (int32_t b = 0; b < sampler->batch; b++) {
    uint64_t first = gw_sampler_window(sampler, sample + (uint64_t)b);
    size_t row = (size_t)b * length;
    /* In one read, as each faults its pages in anew; a row's last target may stand where the next
     * row will begin. */
    size_t more = b + 1 < sampler->batch;
    GW_TRY(gw_corpus_read(corpus, GW_SPLIT_TRAIN, first, length + more, tokens + row));
    memcpy(targets + row, tokens + row + 1, (length - 1 + more) * sizeof *targets);
    if (!more)
      GW_TRY(gw_corpus_read(corpus, GW_SPLIT_TRAIN, first + length, 1, targets + row + length - 1));
    gw_corpus_positions(corpus, GW_SPLIT_TRAIN, first, tokens + row, sampler->context,
                        positions + row);
  }
  return GW_OK;
}
