/* The ways alternate, so that a machine that becomes slower meanwhile does not decide. */
#include "train/lane_way.h"

GwLaneWay gw_way_next(const GwWayChoice *choice) {
  if (choice->chosen != GW_WAY_UNDECIDED) return choice->chosen;
  return choice->steps % 2 == 0 ? GW_WAY_INSIDE : GW_WAY_LANES;
}

void gw_way_took(GwWayChoice *choice, uint64_t ns) {
  if (choice->chosen != GW_WAY_UNDECIDED) return;
  uint64_t *fastest = choice->steps % 2 == 0 ? &choice->inside_ns : &choice->lanes_ns;
  if (choice->steps < 2 || ns < *fastest) *fastest = ns;
  if (++choice->steps < 2 * GW_WAY_TRIALS) return;
  choice->chosen = choice->lanes_ns < choice->inside_ns ? GW_WAY_LANES : GW_WAY_INSIDE;
}
