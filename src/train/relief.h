/* Straggler relief: from what every rank has spent on a step to who computes how many lanes of the
 * next. All ranks feed it the same times, so all find the same deal; which deal it is changes no
 * bit. */
#ifndef GW_RELIEF_H
#define GW_RELIEF_H

#include "train/straggler.h"

typedef struct {
  GwStragglers *stragglers;
  GwStragglerReport *reports; /* of the last step */
  int32_t report_count;
  double *speed;
  int32_t ranks, lanes;
} GwRelief;

GwStatus gw_relief_create(int32_t lanes, int32_t ranks, GwRelief *out);
void gw_relief_destroy(GwRelief *relief); /* a zeroed one is fine */

/* After a step: true when ranks became slow or well (relief->reports), and `deal` ([ranks + 1], see
 * gw_deal) is now another one. */
bool gw_relief_step(GwRelief *relief, const GwRankTimes *times, int32_t *deal);

/* "compute", "network", "input", "disk" */
const char *gw_time_class_name(GwTimeClass class);

#endif
