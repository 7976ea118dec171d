/* test/isa/lanes.c, which is compiled once per instruction set. n is a multiple of 16. */
#ifndef GW_TEST_LANES_H
#define GW_TEST_LANES_H

#include <stdint.h>

typedef struct {
  void (*bf16_round)(const float *x, float *rounded, int64_t n);
  /* sum[i] += a[i]·b[i] by gw_v_fma_bf16; by gw_fma_bf16 while the processor flushes; by gw_v_fma
   */
  void (*fma_bf16)(const float *a, const float *b, float *sum, int64_t n);
  void (*scalar_fma_bf16)(const float *a, const float *b, float *sum, int64_t n);
  void (*fma_f32)(const float *a, const float *b, float *sum, int64_t n);
} GwLanes;

extern const GwLanes gw_cpu_generic_lanes;
#if defined(__x86_64__)
extern const GwLanes gw_cpu_avx2_lanes, gw_cpu_avx512_lanes;
#endif

#endif
