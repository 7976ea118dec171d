/* Every limit is the best of several short rounds. Threads are the pool's; each works on its own
 * part. */
#include "bench_support.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/pool.h"
#include "os/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_AVX512 __attribute__((target("avx512f")))
#define TARGET_BF16 __attribute__((target("avx512f,avx512bf16")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#endif

enum { PEAK_ROUNDS = 20, PEAK_STEPS = 400000, CHAINS = 12, BANDWIDTH_ROUNDS = 8 };

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

uint64_t bench_thread_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double bench_median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return values[count / 2];
}

/* ---- arithmetic: independent chains, enough of them to hide the latency ---- */

static volatile float sink; /* keeps the loops alive */

typedef double Chains(void); /* runs PEAK_STEPS steps; operations done */

#if defined(__x86_64__)
TARGET_AVX512 static double chains_avx512(void) {
  __m512 chain[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
  for (int step = 0; step < PEAK_STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  sink = _mm512_cvtss_f32(chain[0]);
  return 2.0 * 16 * CHAINS * PEAK_STEPS;
}

TARGET_AVX2 static double chains_avx2(void) {
  __m256 chain[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_set1_ps((float)i);
  for (int step = 0; step < PEAK_STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm256_add_ps(chain[0], chain[i]);
  sink = _mm256_cvtss_f32(chain[0]);
  return 2.0 * 8 * CHAINS * PEAK_STEPS;
}

TARGET_BF16 static double chains_bf16(void) {
  __m512 chain[CHAINS];
  __m512i ones = _mm512_set1_epi32(0x3f803f80); /* pairs of 1 */
  __m512bh x;
  memcpy(&x, &ones, sizeof x);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
  for (int step = 0; step < PEAK_STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_dpbf16_ps(chain[i], x, x);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  sink = _mm512_cvtss_f32(chain[0]);
  return 4.0 * 16 * CHAINS * PEAK_STEPS;
}
#endif

static Chains *fma_chains(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return chains_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return chains_avx2;
#endif
  return NULL;
}

static Chains *bf16_chains(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return chains_bf16;
#endif
  return NULL;
}

typedef struct {
  Chains *chains;
  double operations[64]; /* per task */
} Peak;

static void run_chains(void *context, int64_t task, int thread) {
  (void)thread;
  Peak *peak = context;
  peak->operations[task] = peak->chains();
}

static double measure_chains(int threads, Chains *chains) {
  Peak peak = {.chains = chains};
  GwPool *pool = NULL;
  if (!chains || threads > 64 || gw_pool_create(threads, &pool) != GW_OK) return 0;
  double best = 0;
  for (int round = 0; round < PEAK_ROUNDS; round++) {
    uint64_t start = gw_clock_ns();
    gw_pool_run(pool, threads, run_chains, &peak);
    double seconds = (double)(gw_clock_ns() - start) * 1e-9, operations = 0;
    for (int i = 0; i < threads; i++) operations += peak.operations[i];
    if (operations / seconds > best) best = operations / seconds;
  }
  gw_pool_destroy(pool);
  return best;
}

double bench_peak_fma(int threads) { return measure_chains(threads, fma_chains()); }
double bench_peak_bf16(int threads) { return measure_chains(threads, bf16_chains()); }

/* ---- memory: each thread has one part of two arrays ---- */

typedef struct {
  uint64_t *a, *b;
  size_t words; /* of a part, a multiple of 64 */
} Arrays;

typedef void Stream(uint64_t *a, uint64_t *b, size_t words);

static void read_plain(uint64_t *a, uint64_t *b, size_t words) {
  uint64_t sum[8] = {0};
  for (size_t i = 0; i < words; i += 8)
    for (size_t j = 0; j < 8; j++) sum[j] ^= a[i + j];
  b[0] = sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

static void write_plain(uint64_t *a, uint64_t *b, size_t words) {
  memset(a, (int)b[0], words * sizeof *a);
}

static void copy_plain(uint64_t *a, uint64_t *b, size_t words) { memcpy(b, a, words * sizeof *a); }

static void update_plain(uint64_t *a, uint64_t *b, size_t words) {
  uint64_t one = b[0] | 1;
  for (size_t i = 0; i < words; i++) a[i] += one;
}

#if defined(__x86_64__)
TARGET_AVX512 static void read_avx512(uint64_t *a, uint64_t *b, size_t words) {
  __m512i sum[4] = {0};
  for (size_t i = 0; i < words; i += 32)
    UNROLL for (size_t j = 0; j < 4; j++) sum[j] =
        _mm512_xor_si512(sum[j], _mm512_load_si512(a + i + 8 * j));
  _mm512_storeu_si512(
      b, _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3])));
}

TARGET_AVX512 static void write_avx512(uint64_t *a, uint64_t *b, size_t words) {
  __m512i value = _mm512_set1_epi64((long long)b[0]);
  for (size_t i = 0; i < words; i += 8) _mm512_stream_si512((void *)(a + i), value);
  _mm_sfence();
}

TARGET_AVX512 static void copy_avx512(uint64_t *a, uint64_t *b, size_t words) {
  for (size_t i = 0; i < words; i += 8)
    _mm512_stream_si512((void *)(b + i), _mm512_load_si512(a + i));
  _mm_sfence();
}

TARGET_AVX512 static void update_avx512(uint64_t *a, uint64_t *b, size_t words) {
  __m512i one = _mm512_set1_epi64((long long)(b[0] | 1));
  for (size_t i = 0; i < words; i += 8)
    _mm512_store_si512(a + i, _mm512_add_epi64(_mm512_load_si512(a + i), one));
}
#endif

typedef struct {
  Stream *stream;
  Arrays arrays;
} Pass;

static void run_part(void *context, int64_t task, int thread) {
  (void)thread;
  const Pass *pass = context;
  size_t first = (size_t)task * pass->arrays.words;
  pass->stream(pass->arrays.a + first, pass->arrays.b + first, pass->arrays.words);
}

/* Bytes per second when a pass moves `bytes`. */
static double measure_stream(GwPool *pool, Stream *stream, Arrays arrays, double bytes) {
  Pass pass = {stream, arrays};
  double best = 0;
  for (int round = 0; round < BANDWIDTH_ROUNDS; round++) {
    uint64_t start = gw_clock_ns();
    gw_pool_run(pool, gw_pool_threads(pool), run_part, &pass);
    double rate = bytes / ((double)(gw_clock_ns() - start) * 1e-9);
    if (rate > best) best = rate;
  }
  return best;
}

static Stream *best_read(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512;
#endif
  return read_plain;
}

static BenchBandwidth measure_streams(GwPool *pool, Arrays arrays) {
  Stream *read = best_read(), *write = write_plain, *copy = copy_plain, *update = update_plain;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    write = write_avx512;
    copy = copy_avx512;
    update = update_avx512;
  }
#endif
  /* a and b are one array to those that need no second */
  double bytes = 8.0 * (double)arrays.words * gw_pool_threads(pool);
  return (BenchBandwidth){.read = measure_stream(pool, read, arrays, bytes),
                          .write = measure_stream(pool, write, arrays, bytes),
                          .copy = measure_stream(pool, copy, arrays, 2 * bytes),
                          .update = measure_stream(pool, update, arrays, 2 * bytes)};
}

BenchBandwidth bench_bandwidth(int threads, int64_t bytes) {
  BenchBandwidth result = {0};
  GwPool *pool = NULL;
  if (gw_pool_create(threads, &pool) != GW_OK) return result;
  size_t words = (size_t)(bytes / 16 / threads) / 64 * 64;
  size_t size = words * 8 * (size_t)threads;
  Arrays arrays = {gw_buffer_create(size), gw_buffer_create(size), words};
  if (arrays.a && arrays.b && words > 0) {
    memset(arrays.a, 1, size);
    memset(arrays.b, 2, size);
    result = measure_streams(pool, arrays);
  }
  gw_buffer_destroy(arrays.b);
  gw_buffer_destroy(arrays.a);
  gw_pool_destroy(pool);
  return result;
}

/* Sums are left in a place of the reader's own. */
typedef struct {
  Stream *read;
  const uint64_t *data;
  size_t words; /* of a part */
} Reading;

static void read_part(void *context, int64_t task, int thread) {
  const Reading *reading = context;
  uint64_t sums[8];
  (void)thread;
  /* only read, whatever the stream's type says */
  reading->read((uint64_t *)(uintptr_t)(reading->data + (size_t)task * reading->words), sums,
                reading->words);
  __asm__ volatile("" : : "r"(sums) : "memory");
}

double bench_read_once(GwPool *pool, const void *data, int64_t bytes) {
  int threads = gw_pool_threads(pool);
  Reading reading = {best_read(), data, (size_t)(bytes / 8 / threads) / 64 * 64};
  uint64_t start = gw_clock_ns();
  gw_pool_run(pool, threads, read_part, &reading);
  double seconds = (double)(gw_clock_ns() - start) * 1e-9;
  return 8.0 * (double)reading.words * threads / seconds;
}
