/* Dealing the lanes of a step to the ranks of a cluster: each gets consecutive lanes, as many as
 * its speed allows. Everyone who knows the speeds finds the same deal. */
#ifndef GW_DEAL_H
#define GW_DEAL_H

#include "base/base.h"

/* Speeds are within 1/GW_DEAL_SPEED_MAX and GW_DEAL_SPEED_MAX, so that no time over- or
 * underflows. */
#define GW_DEAL_SPEED_MAX 1e150

/* Rank r is to compute lanes [first[r], first[r+1]); first: [ranks+1], first[0] = 0, first[ranks] =
 * lanes. Every rank gets a lane at least: needs 1 <= ranks <= lanes.
 *
 * speed: [ranks], in any unit, or NULL where all are equal. A rank with n lanes takes n / speed, as
 * rounded to a double; the largest of these times is the least possible. Of the lanes that would
 * end at the same time the lower ranks get theirs first. O(ranks), whatever the number of lanes. */
void gw_deal(int32_t lanes, int32_t ranks, const double *speed, int32_t *first);

#endif
