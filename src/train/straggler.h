/* Finding slow ranks from the times of each step: a state machine without a clock. Everyone who
 * feeds it the same times gets the same reports.
 *
 * A rank's busy time is what its step would take with an equal share of the lanes: compute / lanes
 * * (all lanes / ranks), plus the other times as they are. It is compared with the median over the
 * ranks: the lower one of an even number, so that of two ranks the slower one stands out.
 *
 * A rank becomes slow when GW_STRAGGLER_NEEDED of the last GW_STRAGGLER_STEPS steps were at
 * GW_STRAGGLER_WELL_PERCENT of the median or more, and the middle one of the GW_STRAGGLER_STEPS is
 * at least half way from there to GW_STRAGGLER_SLOW_PERCENT. It has recovered when as many of the
 * last steps were below GW_STRAGGLER_WELL_PERCENT. So 20 steps at 1.3 are always reported, at 1.3
 * with 5 % of noise nearly always, and a few slow steps (a page fault, a checkpoint) neither raise
 * an alarm nor wipe out what was seen.
 *
 * A rank with few lanes looks slower than it is, as what it does once in a step is counted for each
 * of them, and waking up after a long wait is part of it. So one whose time has fallen to
 * GW_STRAGGLER_FALLEN_PERCENT of what it was, and below GW_STRAGGLER_SEEMS_PERCENT of the median,
 * has recovered too; and one that is slow for GW_STRAGGLER_TRIAL steps gets its lanes back on
 * trial, the next time after twice as many. If it is slow with them it is reported again. */
#ifndef GW_STRAGGLER_H
#define GW_STRAGGLER_H

#include "base/base.h"

enum {
  GW_STRAGGLER_STEPS = 20,
  GW_STRAGGLER_NEEDED = 17,
  GW_STRAGGLER_SLOW_PERCENT = 130,
  GW_STRAGGLER_WELL_PERCENT = 115,
  GW_STRAGGLER_FALLEN_PERCENT = 85,
  GW_STRAGGLER_SEEMS_PERCENT = 160,
  GW_STRAGGLER_TRIAL = 2000
};

typedef enum {
  GW_TIME_COMPUTE,
  GW_TIME_NETWORK, /* sending and receiving, without the wait for slower peers */
  GW_TIME_INPUT,   /* waiting for data */
  GW_TIME_DISK,
  GW_TIME_COUNT
} GwTimeClass;

/* What one rank did in one step. */
typedef struct {
  int32_t lanes; /* computed by it, > 0 */
  uint64_t ns[GW_TIME_COUNT];
} GwRankTimes;

typedef struct {
  int32_t rank;
  bool slow;         /* false: it has recovered, or */
  bool trial;        /* ... may have */
  GwTimeClass class; /* slow: what adds most to its excess over the median rank of that class */
  double ratio;      /* its busy time over the median: the median of the last steps */
} GwStragglerReport;

typedef struct GwStragglers GwStragglers;

/* For ranks 0 to ranks-1, ranks > 0. Memory is about 140 bytes per rank. */
GwStatus gw_stragglers_create(int32_t ranks, GwStragglers **out);
void gw_stragglers_destroy(GwStragglers *stragglers); /* NULL is fine */

/* Takes the times of one step, [ranks]. `reports` has room for [ranks]; *count of them are written,
 * by rank: each rank that became slow or recovered with this step. Allocates nothing. */
void gw_stragglers_step(GwStragglers *stragglers, const GwRankTimes *times,
                        GwStragglerReport *reports, int32_t *count);

/* Relative to the median rank, in (0, 1], for gw_deal: 1 unless the rank is reported slow, then
 * from the median of its last steps. */
double gw_stragglers_speed(const GwStragglers *stragglers, int32_t rank);

#endif
