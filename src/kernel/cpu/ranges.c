/* Splitting a kernel's range over the thread pool. */
#include "kernel/cpu/kernel.h"

typedef struct {
  const GwCall *call;
  void *context;
  GwRange *work;
  int64_t count, size;
} Split;

static void run_part(void *context, int64_t task, int thread) {
  Split *split = context;
  int64_t first = task * split->size, last = gw_min_i64(first + split->size, split->count);
  split->work(split->call, split->context, first, last, thread);
}

void GW_KERNEL(split)(const GwCall *call, int64_t count, int64_t grain, GwRange *work,
                      void *context) {
  int64_t parts = 4 * gw_pool_threads(call->pool);
  int64_t size = gw_max_i64(gw_ceil_div(count, parts), gw_max_i64(grain, 1));
  if (size >= count) {
    if (count > 0) work(call, context, 0, count, 0);
    return;
  }
  Split split = {call, context, work, count, size};
  gw_pool_run(call->pool, gw_ceil_div(count, size), run_part, &split);
}
