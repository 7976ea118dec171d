/* The straggler detector's speeds, dealt. */
#include "train/relief.h"

#include <stdlib.h>

#include "train/deal.h"

GwStatus gw_relief_create(int32_t lanes, int32_t ranks, GwRelief *out) {
  *out = (GwRelief){.ranks = ranks, .lanes = lanes};
  out->reports = calloc((size_t)ranks, sizeof *out->reports);
  out->speed = calloc((size_t)ranks, sizeof *out->speed);
  GwStatus status = out->reports && out->speed
                        ? gw_stragglers_create(ranks, &out->stragglers)
                        : gw_fail(GW_MEMORY, "no memory for the times of %d ranks", ranks);
  if (status != GW_OK) gw_relief_destroy(out);
  return status;
}

void gw_relief_destroy(GwRelief *r) {
  gw_stragglers_destroy(r->stragglers);
  free(r->reports);
  free(r->speed);
  *r = (GwRelief){0};
}

bool gw_relief_step(GwRelief *r, const GwRankTimes *times, int32_t *deal) {
  gw_stragglers_step(r->stragglers, times, r->reports, &r->report_count);
  if (r->report_count == 0) return false;
  for (int32_t i = 0; i < r->ranks; i++) r->speed[i] = gw_stragglers_speed(r->stragglers, i);
  gw_deal(r->lanes, r->ranks, r->speed, deal);
  return true;
}

const char *gw_time_class_name(GwTimeClass class) {
  static const char *const names[GW_TIME_COUNT] = {"compute", "network", "input", "disk"};
  return names[class];
}
