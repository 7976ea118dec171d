/* isa/bf16_lanes.c, which is compiled once per instruction set. n is a multiple of 16. */
#ifndef GW_TEST_BF16_LANES_H
#define GW_TEST_BF16_LANES_H

#include <stdint.h>

typedef struct {
  void (*round)(const float *x, float *rounded, int64_t n);
  /* sum[i] += a[i]·b[i] by gw_v_fma_bf16; and by gw_fma_bf16 while the processor flushes */
  void (*fma)(const float *a, const float *b, float *sum, int64_t n);
  void (*scalar_fma)(const float *a, const float *b, float *sum, int64_t n);
} GwBf16Lanes;

extern const GwBf16Lanes gw_cpu_generic_bf16_lanes;
#if defined(__x86_64__)
extern const GwBf16Lanes gw_cpu_avx2_bf16_lanes, gw_cpu_avx512_bf16_lanes;
#endif

#endif
