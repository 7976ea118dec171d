/* Reading ahead: a thread of its own fills the batches of the lanes to come, in order, so that a
 * step finds its tokens ready and page faults of the shards' maps are not its own. */
#ifndef GW_PREFETCH_H
#define GW_PREFETCH_H

#include "data/sampler.h"

typedef struct GwPrefetch GwPrefetch;

/* Fills `depth` batches ahead: of steps [first, last), lanes [lane_first, lane_end) of each.
 * `sampler` is borrowed. */
typedef struct {
  int64_t first, last;
  int32_t lane_first, lane_end;
  int32_t depth;
} GwPrefetchRange;
GwStatus gw_prefetch_create(const GwSampler *sampler, const GwPrefetchRange *range,
                            GwPrefetch **out);
void gw_prefetch_destroy(GwPrefetch *prefetch); /* at any time; NULL is fine */

/* What gw_sampler_fill gives, the same bits and errors; waits where it is not there yet. Every lane
 * of every step in the range is taken once. Threads may take at the same time, in an order that is
 * never more than `depth` lanes from step by step, lane by lane. */
GwStatus gw_prefetch_take(GwPrefetch *prefetch, int64_t step, int32_t lane, int32_t *tokens,
                          int32_t *targets, int32_t *positions);

#endif
