/* The median of the last step times. */
#ifndef GW_STEP_TIMES_H
#define GW_STEP_TIMES_H

#include "base/base.h"

enum { GW_STEP_TIMES = 31 };
typedef struct {
  uint64_t ns[GW_STEP_TIMES];
  int64_t count; /* of all that were added */
  uint64_t median;
} GwStepTimes;

void gw_step_times_add(GwStepTimes *times, uint64_t ns);
/* The lower median; 0 where there is none yet. */
static inline uint64_t gw_step_times_median(const GwStepTimes *times) { return times->median; }

#endif
