/* Rounding gradients to fixed point and adding them to their sums, a vector at a time: what every
 * kernel that accumulates is made of. Integer sums are taken in any order, mod 2^64. */
#ifndef GW_FIXED_VECTOR_H
#define GW_FIXED_VECTOR_H

#include "kernel/cpu/simd.h"

typedef struct {
  double limit;
  uint64_t signature, bad;
} GwFixedTally;

/* The signature weights of elements number, number + 1, ... */
static inline gw_vu gw_first_weights(int64_t number) {
  gw_vu weight;
  for (int64_t i = 0; i < GW_VD; i++) weight[i] = GW_SIGN_WEIGHT(number + i);
  return weight;
}

static const uint64_t gw_weight_step = 2 * GW_SIGN_STEP * GW_VD; /* from one vector to the next */

static inline uint64_t gw_lanes_sum(gw_vu v) {
  uint64_t sum = 0;
  for (int i = 0; i < GW_VD; i++) sum += v[i];
  return sum;
}

/* Adds n gradients to `sum`, whose first element is `number`. */
static inline void gw_add_fixed(const float *g, int64_t n, int64_t number, GwFixedTally *tally,
                                int64_t *sum) {
  gw_vu weight = gw_first_weights(number), signature = {0}, fitting = {0};
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
    weight += gw_weight_step;
    fitting -= fits;
  }
  tally->signature += gw_lanes_sum(signature);
  tally->bad += (uint64_t)i - gw_lanes_sum(fitting);
  for (; i < n; i++) {
    double value = (double)g[i];
    bool fits = value <= tally->limit && value >= -tally->limit;
    int64_t fixed = fits ? gw_nearest(value * GW_FIXED_SCALE) : 0;
    sum[i] += fixed;
    tally->signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)fixed;
    tally->bad += !fits;
  }
}

/* Where a matrix product adds its finished blocks (GwGemmFinish). */
typedef struct {
  int64_t *sum; /* a matrix of `columns` columns */
  int64_t columns;
  int64_t number; /* of the sum's first element */
  double limit;
  uint64_t *signature;
  int64_t *guard;
} GwFixedBlock;

static inline void gw_add_block(void *context, float *c, int64_t c_row, int64_t row, int64_t rows,
                                int64_t column, int64_t columns, int thread) {
  (void)thread;
  const GwFixedBlock *to = context;
  GwFixedTally tally = {.limit = to->limit};
  for (int64_t i = 0; i < rows; i++) {
    int64_t at = (row + i) * to->columns + column;
    gw_add_fixed(c + i * c_row, columns, to->number + at, &tally, to->sum + at);
  }
  gw_atomic_add_u64(to->signature, tally.signature);
  gw_atomic_add_i64(to->guard, (int64_t)tally.bad);
}

#endif
