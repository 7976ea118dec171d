/* Vectors of simd.h applied to arrays, once per instruction set, for test_bf16.c. */
#include "lanes.h"

#include "kernel/cpu/kernel.h"

static void bf16_round(const float *x, float *rounded, int64_t n) {
  for (int64_t i = 0; i < n; i += GW_VL) gw_v_store(rounded + i, gw_v_bf16_round(gw_v_load(x + i)));
}

static void fma_bf16(const float *a, const float *b, float *sum, int64_t n) {
  unsigned before = gw_v_flush_begin();
  for (int64_t i = 0; i < n; i += GW_VL) {
    gw_vf next = gw_v_fma_bf16(gw_v_load(a + i), gw_v_load(b + i), gw_v_load(sum + i));
    gw_v_store(sum + i, next);
  }
  gw_v_flush_end(before);
}

static void scalar_fma_bf16(const float *a, const float *b, float *sum, int64_t n) {
  unsigned before = gw_v_flush_begin();
  for (int64_t i = 0; i < n; i++) sum[i] = gw_fma_bf16(a[i], b[i], sum[i]);
  gw_v_flush_end(before);
}

static void fma_f32(const float *a, const float *b, float *sum, int64_t n) {
  for (int64_t i = 0; i < n; i += GW_VL)
    gw_v_store(sum + i, gw_v_fma(gw_v_load(a + i), gw_v_load(b + i), gw_v_load(sum + i)));
}

const GwLanes GW_KERNEL(lanes) = {bf16_round, fma_bf16, scalar_fma_bf16, fma_f32};
