/* Rounding gradients to fixed point and adding them to exact sums: the inner loop of accumulate,
 * embedding_sum and of every kernel that adds its result to a sum before it leaves the cache.
 *
 *   GwFixedTally tally = gw_fixed_begin(limit, fresh, elements of the sum);
 *   gw_fixed_add(&tally, ...) for any pieces, then gw_fixed_end(&tally, signature, guard) */
#ifndef GW_FIXED_ADD_H
#define GW_FIXED_ADD_H

#include "kernel/cpu/simd.h"

/* A signature Σ weight(i) q_i, vector v holding the elements number + GW_VD v + lane, without a
 * product per element: with s_v = q_0 + ... + q_v and V vectors, Σ v q_v = V s_(V-1) - Σ s_v. */
typedef struct {
  gw_vu sum, sums; /* s_(V-1), Σ s_v */
} GwSigner;

static inline void gw_signer_add(GwSigner *signer, gw_vu q) {
  signer->sum += q;
  signer->sums += signer->sum;
}

/* The signature's parts by lane. */
static inline gw_vu gw_signer_end(const GwSigner *signer, int64_t number, int64_t vectors) {
  gw_vu weight = {0};
  for (int64_t i = 0; i < GW_VD; i++) weight[i] = GW_SIGN_WEIGHT(i);
  weight += 2 * GW_SIGN_STEP * (uint64_t)number;
  gw_vu later = signer->sum * (uint64_t)vectors - signer->sums;
  return weight * signer->sum + later * (2 * GW_SIGN_STEP * GW_VD);
}

static inline uint64_t gw_lanes_sum(gw_vu v) {
  uint64_t sum = 0;
  for (int i = 0; i < GW_VD; i++) sum += v[i];
  return sum;
}

/* What one thread has found so far. */
typedef struct {
  float limit;   /* the largest magnitude that fits */
  bool fresh;    /* the sum's old elements count as 0: they are not read */
  bool streamed; /* a large fresh sum is not read soon, so it need not pass through the caches */
  gw_vu signature;
  gw_vhi misfits;                        /* 0 or less */
  uint64_t last_signature, last_misfits; /* of elements that do not fill a vector */
} GwFixedTally;

enum { GW_FIXED_STREAMED = 1 << 19 }; /* elements of a large sum: 4 MiB */

/* `limit` > 0; `fresh`: the argument, NULL for 0; `elements`: the whole sum's. */
static inline GwFixedTally gw_fixed_begin(double limit, const int32_t *fresh, int64_t elements) {
  float rounded = (float)limit;
  if ((double)rounded > limit) { /* the float below */
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    bits--;
    memcpy(&rounded, &bits, sizeof bits);
  }
  GwFixedTally tally = {.limit = rounded, .fresh = fresh && *fresh};
  tally.streamed = tally.fresh && elements >= GW_FIXED_STREAMED;
  return tally;
}

static inline __attribute__((always_inline)) void gw__fixed_add(GwFixedTally *tally, const float *g,
                                                                int64_t n, int64_t number,
                                                                int64_t *sum, bool fresh,
                                                                bool streamed) {
  GwSigner signer = {{0}, {0}};
  gw_vh limit = (gw_vh){0} + tally->limit;
  gw_vhi misfits = tally->misfits;
  int64_t i = 0;
  for (; i + GW_VD <= n; i += GW_VD) {
    gw_vh value;
    memcpy(&value, g + i, sizeof value);
    gw_vh magnitude = (gw_vh)((gw_vhi)value & INT32_MAX);
    gw_vhi fits = (gw_vhi)(magnitude <= limit); /* all ones: yes */
    misfits += ~fits;
    value = (gw_vh)((gw_vhi)value & fits) * (float)GW_FIXED_SCALE; /* exact */
    gw_vu fixed = gw_vu_from_float(value), total = {0};
    gw_signer_add(&signer, fixed);
    if (!fresh) memcpy(&total, sum + i, sizeof total);
    total += fixed;
    if (streamed)
      gw_vu_stream(sum + i, total);
    else
      memcpy(sum + i, &total, sizeof total);
  }
  tally->signature += gw_signer_end(&signer, number, i / GW_VD);
  tally->misfits = misfits;
  for (; i < n; i++) {
    float value = g[i];
    bool fits = value <= tally->limit && value >= -tally->limit;
    int64_t fixed = fits ? gw_nearest((double)value * GW_FIXED_SCALE) : 0;
    sum[i] = (fresh ? 0 : sum[i]) + fixed;
    tally->last_signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)fixed;
    tally->last_misfits += !fits;
  }
}

/* Adds n gradients to `sum`; sum[0] is the parameters' element `number`. As op/fixed.c says: what
 * is NaN or beyond the limit adds nothing and is counted. */
static inline void gw_fixed_add(GwFixedTally *tally, const float *g, int64_t n, int64_t number,
                                int64_t *sum) {
  if (tally->streamed && (uintptr_t)sum % sizeof(gw_vu) == 0)
    gw__fixed_add(tally, g, n, number, sum, true, true);
  else if (tally->fresh)
    gw__fixed_add(tally, g, n, number, sum, true, false);
  else
    gw__fixed_add(tally, g, n, number, sum, false, false);
}

static inline void gw_fixed_end(const GwFixedTally *tally, uint64_t *signature, int64_t *guard) {
  int64_t misfits = (int64_t)tally->last_misfits;
  for (int i = 0; i < GW_VD; i++) misfits -= tally->misfits[i];
  if (tally->streamed) gw_stream_end();
  gw_atomic_add_u64(signature, gw_lanes_sum(tally->signature) + tally->last_signature);
  gw_atomic_add_i64(guard, misfits);
}

#endif
