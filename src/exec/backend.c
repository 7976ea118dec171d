/* The reference backend: units of each op dealt to the pool in equal ranges. */
#include "exec/backend.h"

typedef struct {
  const GwOpDef *def;
  const GwCall *call;
  int64_t units, size;
} Ranges;

static void run_range(void *context, int64_t task, int thread) {
  (void)thread;
  Ranges *ranges = context;
  int64_t first = task * ranges->size;
  ranges->def->reference(ranges->call, first, gw_min_i64(first + ranges->size, ranges->units));
}

static void run_reference(const GwBackend *backend, GwOpcode code, const GwCall *call) {
  (void)backend;
  const GwOpDef *def = gw_op_def(code);
  Ranges ranges = {.def = def, .call = call, .units = def->units(&call->shapes)};
  if (ranges.units == 0) return;
  ranges.size = gw_ceil_div(ranges.units, 4 * (int64_t)gw_pool_threads(call->pool));
  gw_pool_run(call->pool, gw_ceil_div(ranges.units, ranges.size), run_range, &ranges);
}

const GwBackend *gw_backend_reference(void) {
  static const GwBackend backend = {.name = "reference", .run = run_reference};
  return &backend;
}
