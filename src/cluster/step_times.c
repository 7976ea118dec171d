/* A ring of times; few enough to be sorted at each step. */
#include "cluster/step_times.h"

#include <stdlib.h>
#include <string.h>

static int by_size(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

void gw_step_times_add(GwStepTimes *times, uint64_t ns) {
  uint64_t sorted[GW_STEP_TIMES];
  times->ns[times->count++ % GW_STEP_TIMES] = ns > 0 ? ns : 1; /* a median of 0: none is known */
  size_t count = (size_t)gw_min_i64(times->count, GW_STEP_TIMES);
  memcpy(sorted, times->ns, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, by_size);
  times->median = sorted[(count - 1) / 2];
}
