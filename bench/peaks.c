/* Independent chains of one instruction, enough of them to hide its latency; for reading, sums over
 * slices of the memory. */
#include "peaks.h"

#include "os/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 20, STEPS = 200000, CHAINS = 12, READ_ROUNDS = 5, SLICE = 1 << 21 };

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

/* ---- the loops ---- */

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float fma_avx512(void) {
  __m512 chain[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
  for (int step = 0; step < STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  return _mm512_cvtss_f32(chain[0]);
}

__attribute__((target("avx2,fma"))) static float fma_avx2(void) {
  __m256 chain[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_set1_ps((float)i);
  for (int step = 0; step < STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm256_add_ps(chain[0], chain[i]);
  return _mm256_cvtss_f32(chain[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(void) {
  __m512 chain[CHAINS];
  __m512i half = _mm512_set1_epi16(0x3f00); /* 0.5 */
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
  for (int step = 0; step < STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] =
        _mm512_dpbf16_ps(chain[i], (__m512bh)half, (__m512bh)half);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  return _mm512_cvtss_f32(chain[0]);
}

static bool has_dot_bf16(void) {
  __builtin_cpu_init();
  return gw_isa_available(GW_ISA_ID_AVX512) && __builtin_cpu_supports("avx512bf16");
}
#else
static float fma_avx512(void) { return 0; }
static float fma_avx2(void) { return 0; }
static float dot_bf16(void) { return 0; }
static bool has_dot_bf16(void) { return false; }
#endif

/* ---- on all threads ---- */

typedef struct {
  float (*run)(void);
} Loop;

static void run_loop(void *context, int64_t task, int thread) {
  (void)task, (void)thread;
  volatile float result = ((const Loop *)context)->run();
  (void)result;
}

/* Of a loop that does `flops` in each link of each chain. */
static double best_rate(Loop loop, int flops, GwPool *pool) {
  int threads = gw_pool_threads(pool);
  double all = (double)STEPS * CHAINS * flops * threads, best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t start = gw_clock_ns();
    gw_pool_run(pool, threads, run_loop, &loop);
    double rate = all / (double)(gw_clock_ns() - start);
    if (rate > best) best = rate;
  }
  return best;
}

double gw_peak_fma(GwIsa isa, GwPool *pool) {
  if (isa == GW_ISA_ID_GENERIC || !gw_isa_available(isa)) return 0;
  bool wide = isa == GW_ISA_ID_AVX512;
  return best_rate((Loop){wide ? fma_avx512 : fma_avx2}, wide ? 32 : 16, pool);
}

double gw_peak_bf16(GwPool *pool) {
  return has_dot_bf16() ? best_rate((Loop){dot_bf16}, 64, pool) : 0;
}

/* ---- reading ---- */

typedef struct {
  const char *memory;
  size_t bytes;
} Memory;

/* Eight sums hide the latency of an addition; the compiler makes vectors of them. */
static void read_slice(void *context, int64_t task, int thread) {
  (void)thread;
  const Memory *memory = context;
  size_t first = (size_t)task * SLICE;
  size_t count = (memory->bytes - first < SLICE ? memory->bytes - first : SLICE) / 8;
  const uint64_t *at = (const uint64_t *)(const void *)(memory->memory + first);
  uint64_t sum[64] = {0};
  for (size_t i = 0; i + 64 <= count; i += 64)
    for (size_t k = 0; k < 64; k++) sum[k] += at[i + k];
  volatile uint64_t result = 0;
  for (size_t k = 0; k < 64; k++) result = result + sum[k];
}

double gw_peak_read(GwPool *pool, const void *memory, size_t bytes) {
  Memory whole = {memory, bytes};
  double best = 0;
  for (int round = 0; round < READ_ROUNDS; round++) {
    uint64_t start = gw_clock_ns();
    gw_pool_run(pool, (int64_t)((bytes + SLICE - 1) / SLICE), read_slice, &whole);
    double rate = (double)bytes / (double)(gw_clock_ns() - start);
    if (rate > best) best = rate;
  }
  return best;
}
