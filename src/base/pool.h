/* Thread pool: splits one loop over tasks among a fixed set of threads and waits for all of them.
 *
 * Tasks must be independent (disjoint writes, or exact integer sums through atomics), so that which
 * thread runs which task cannot change a bit. The caller's thread works too. Between loops workers
 * spin briefly, then sleep. */
#ifndef GW_POOL_H
#define GW_POOL_H

#include "base/base.h"

typedef struct GwPool GwPool;

/* `thread` is in [0, threads): an index for per-thread scratch. */
typedef void GwPoolTask(void *context, int64_t task, int thread);

/* threads >= 1, the calling thread included; 0 means the number of processors available. */
GwStatus gw_pool_create(int threads, GwPool **out);
void gw_pool_destroy(GwPool *pool);
int gw_pool_threads(const GwPool *pool);

/* Runs task(context, i, thread) for every i in [0, count); `pool` NULL runs them here. */
void gw_pool_run(GwPool *pool, int64_t count, GwPoolTask *task, void *context);

int gw_processor_count(void);

#endif
