/* Rounding gradients to fixed point and adding them to exact sums: the inner loop of accumulate,
 * embedding_sum and of every kernel that adds its result to a sum before it leaves the cache. */
#ifndef GW_FIXED_ADD_H
#define GW_FIXED_ADD_H

#include "kernel/cpu/simd.h"

/* What adding has found so far; a kernel adds it to the op's signature and guard at the end. */
typedef struct {
  double limit; /* of one gradient's magnitude */
  uint64_t signature, bad;
} GwFixedTally;

/* The signature weights of elements number, number + 1, ... */
static inline gw_vu gw__first_weights(int64_t number) {
  gw_vu weight;
  for (int64_t i = 0; i < GW_VD; i++) weight[i] = GW_SIGN_WEIGHT(number + i);
  return weight;
}

/* from one vector to the next */
#define GW_WEIGHT_STEP (2 * GW_SIGN_STEP * GW_VD)

static inline uint64_t gw__lanes_sum(gw_vu v) {
  uint64_t sum = 0;
  for (int i = 0; i < GW_VD; i++) sum += v[i];
  return sum;
}

/* Adds n gradients to `sum`; sum[0] is the parameters' element `number`. As op/fixed.c says: what
 * is NaN or beyond the limit adds nothing and is counted. */
static inline void gw_fixed_add(const float *g, int64_t n, int64_t number, GwFixedTally *tally,
                                int64_t *sum) {
  gw_vu weight = gw__first_weights(number), signature = {0}, fitting = {0};
  gw_vd limit = (gw_vd){0} + tally->limit;
  int64_t i = 0;
  for (; i + GW_VD <= n; i += GW_VD) {
    gw_vh narrow;
    memcpy(&narrow, g + i, sizeof narrow);
    gw_vd value = __builtin_convertvector(narrow, gw_vd);
    gw_vu fits = (gw_vu)(value <= limit) & (gw_vu)(value >= -limit); /* all ones: yes */
    value = (gw_vd)((gw_vu)value & fits);
    gw_vu fixed = gw_vu_nearest(value * GW_FIXED_SCALE), total;
    memcpy(&total, sum + i, sizeof total);
    total += fixed;
    memcpy(sum + i, &total, sizeof total);
    signature += weight * fixed;
    weight += GW_WEIGHT_STEP;
    fitting -= fits;
  }
  tally->signature += gw__lanes_sum(signature);
  tally->bad += (uint64_t)i - gw__lanes_sum(fitting);
  for (; i < n; i++) {
    double value = (double)g[i];
    bool fits = value <= tally->limit && value >= -tally->limit;
    int64_t fixed = fits ? gw_nearest(value * GW_FIXED_SCALE) : 0;
    sum[i] += fixed;
    tally->signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)fixed;
    tally->bad += !fits;
  }
}

#endif
