/* How this processor multiplies bf16 fastest. vdpbf16ps takes two products at once; some processors
 * run it as often as a fused multiply-add, others so seldom that multiplying what was widened to
 * f32 is faster. Both give the same bits, so the choice may be made by a measurement: a few
 * microseconds of each, once. */
#include "kernel/cpu/gemm_kind.h"

#if defined(GW_ISA_AVX512)

#include <stdatomic.h>

enum { CHAINS = 12, TIMED_STEPS = 200, TIMED_ROUNDS = 8 };

static uint64_t time_of(GwTileKind kind) {
  gw_vf chain[CHAINS], x = gw_v_set(0.5f);
  GW_UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = gw_v_set(1.0f);
  uint64_t start = __rdtsc();
  for (int step = 0; step < TIMED_STEPS; step++) {
    GW_UNROLL for (int i = 0; i < CHAINS; i++) {
      if (kind == GW_TILE_PAIRS)
        __asm__ volatile("vdpbf16ps %1, %1, %0" : "+v"(chain[i]) : "v"(x));
      else
        __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(chain[i]) : "v"(x));
    }
  }
  return __rdtsc() - start;
}

/* The best of several rounds, so that an interrupt cannot decide. */
static bool pairs_are_faster(void) {
  if (!__builtin_cpu_supports("avx512bf16")) return false;
  uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
  for (int round = 0; round < TIMED_ROUNDS; round++)
    for (int pairs = 0; pairs < 2; pairs++) {
      uint64_t time = time_of(pairs ? GW_TILE_PAIRS : GW_TILE_BF16);
      if (time < best[pairs]) best[pairs] = time;
    }
  return best[1] * 2 < best[0] * 3; /* a pair in less than 3/4 of the time of two products */
}

GwTileKind GW_KERNEL(gemm_bf16_kind)(void) {
  static _Atomic int known; /* a kind + 1; threads that meet here measure the same */
  int kind = atomic_load_explicit(&known, memory_order_relaxed) - 1;
  if (kind < 0) {
    kind = pairs_are_faster() ? GW_TILE_PAIRS : GW_TILE_BF16;
    atomic_store_explicit(&known, kind + 1, memory_order_relaxed);
  }
  return (GwTileKind)kind;
}

#else

GwTileKind GW_KERNEL(gemm_bf16_kind)(void) { return GW_TILE_BF16; }

#endif
