/* The lanes that can be done by a time grow with the time, so the least time in which all are done
 * is found by bisection. The bit patterns of positive doubles are ordered as the doubles are: it is
 * done on them, ends after at most 63 halvings, and is exact. */
#include "train/deal.h"

#include <string.h>

static double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* The lanes, from 1 to `most`, of a rank that may take `time`; the first one is not asked. */
static int32_t lanes_within(double time, double speed, int32_t most) {
  double product = time * speed;
  int32_t n = product < most ? (int32_t)product : most;
  /* the product is rounded, and may be off by one */
  while (n > 0 && n / speed > time) n--;
  while (n < most && (n + 1) / speed <= time) n++;
  return n > 1 ? n : 1;
}

static bool all_within(double time, int32_t lanes, int32_t ranks, const double *speed) {
  int64_t sum = 0;
  for (int32_t r = 0; r < ranks; r++) sum += lanes_within(time, speed[r], lanes);
  return sum >= lanes;
}

/* The least time that is enough, leaving aside what single lanes take on slow ranks. */
static double least_time(int32_t lanes, int32_t ranks, const double *speed) {
  uint64_t low = 0, high = bits_of(lanes / speed[0]); /* rank 0 could do it all */
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (all_within(double_of(middle), lanes, ranks, speed))
      high = middle;
    else
      low = middle + 1;
  }
  return double_of(high);
}

static void deal_equal(int32_t lanes, int32_t ranks, int32_t *first) {
  int32_t each = lanes / ranks, more = lanes % ranks;
  for (int32_t r = 0; r <= ranks; r++) first[r] = r * each + (r < more ? r : more);
}

void gw_deal(int32_t lanes, int32_t ranks, const double *speed, int32_t *first) {
  GW_ASSERT(ranks >= 1 && ranks <= lanes);
  if (!speed) {
    deal_equal(lanes, ranks, first);
    return;
  }
  for (int32_t r = 0; r < ranks; r++)
    GW_ASSERT(speed[r] >= 1 / GW_DEAL_SPEED_MAX && speed[r] <= GW_DEAL_SPEED_MAX);
  double time = least_time(lanes, ranks, speed);
  int64_t excess = -lanes;
  for (int32_t r = 0; r < ranks; r++) excess += first[r] = lanes_within(time, speed[r], lanes);
  /* Too many can only be lanes that end at this very time, one per rank. */
  for (int32_t r = ranks - 1; excess > 0; r--) {
    GW_ASSERT(r >= 0);
    if (first[r] == 1 || first[r] / speed[r] < time) continue;
    first[r]--;
    excess--;
  }
  for (int32_t r = 0, next = 0; r <= ranks; r++) {
    int32_t count = r < ranks ? first[r] : 0;
    first[r] = next;
    next += count;
  }
}
