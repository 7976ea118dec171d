/* Time: monotonic for durations, wall clock for journals. */
#ifndef GW_CLOCK_H
#define GW_CLOCK_H

#include "base/base.h"

uint64_t gw_clock_ns(void);
void gw_clock_sleep(uint64_t ns);
/* Since 1970, by the system's clock: it may jump. */
int64_t gw_clock_wall_ns(void);
/* "2026-11-22T14:39:05Z" into a buffer of at least 24 bytes. */
void gw_clock_utc(char out[24]);

/* Highest resident set size of this process so far, bytes. */
uint64_t gw_memory_peak_bytes(void);
uint64_t gw_memory_total_bytes(void);

#endif
