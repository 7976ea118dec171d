/* Which way a step uses its threads: all of them inside each op, one lane after the other, or a
 * lane on each. The bits are the same, so time alone decides: the first steps try both in turn. */
#ifndef GW_LANE_WAY_H
#define GW_LANE_WAY_H

#include "base/base.h"

typedef enum {
  GW_WAY_UNDECIDED, /* as a wish: let time decide */
  GW_WAY_INSIDE,    /* all threads inside each op */
  GW_WAY_LANES      /* a lane on each thread */
} GwLaneWay;

enum { GW_WAY_TRIALS = 3 }; /* steps for each way; the fastest one counts */

typedef struct {
  GwLaneWay chosen;
  int steps;                    /* tried so far */
  uint64_t inside_ns, lanes_ns; /* the fastest step of each */
} GwWayChoice;

/* How the next step is to run. */
GwLaneWay gw_way_next(const GwWayChoice *choice);
/* The step that ran as gw_way_next said took `ns`. */
void gw_way_took(GwWayChoice *choice, uint64_t ns);

#endif
