/* Speed of the matrix products: GFLOP/s of linear, linear_dx and linear_dw by shape and number of
 * threads, beside this machine's own peak of fused multiply-adds, which a loop that touches no
 * memory measures with the same instruction set and threads.
 *
 *   bench_gemm [ISA [FILE.json]]    generic, avx2 or avx512; the best of this machine when absent
 *
 * Every figure is the best of several runs, so that other work on the machine disturbs it little.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "exec/backend_cpu.h"
#include "os/clock.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS_MIN = 5, CASE_NS = 150000000, PEAK_ROUNDS = 20, PEAK_STEPS = 400000, CHAINS = 12 };

typedef struct {
  int64_t rows, in, out;
} Size;

static const Size sizes[] = {
    {2048, 768, 768}, {2048, 192, 192},  {4096, 192, 768}, {4096, 768, 192}, {2048, 256, 1024},
    {2048, 512, 512}, {2048, 1024, 256}, {4096, 96, 96},   {256, 768, 3072},
};
static const GwOpcode opcodes[] = {GW_OP_LINEAR, GW_OP_LINEAR_DX, GW_OP_LINEAR_DW};

/* ---- the peak: independent chains, enough of them to hide the latency ---- */

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float peak_avx512(void) {
  __m512 chain[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
  for (int step = 0; step < PEAK_STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  return _mm512_cvtss_f32(chain[0]);
}

__attribute__((target("avx2,fma"))) static float peak_avx2(void) {
  __m256 chain[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_set1_ps((float)i);
  for (int step = 0; step < PEAK_STEPS; step++) {
    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_fmadd_ps(chain[i], x, y);
  }
  UNROLL for (int i = 1; i < CHAINS; i++) chain[0] = _mm256_add_ps(chain[0], chain[i]);
  return _mm256_cvtss_f32(chain[0]);
}
#else
static float peak_avx512(void) { return 0; }
static float peak_avx2(void) { return 0; }
#endif

static void run_peak(void *context, int64_t task, int thread) {
  (void)task, (void)thread;
  volatile float result = *(GwIsa *)context == GW_ISA_ID_AVX512 ? peak_avx512() : peak_avx2();
  (void)result;
}

/* GFLOP/s of all threads together; 0 where no loop is written for the instruction set. */
static double measure_peak(GwIsa isa, GwPool *pool) {
  if (isa == GW_ISA_ID_GENERIC) return 0;
  int threads = gw_pool_threads(pool);
  double flops = 2.0 * PEAK_STEPS * CHAINS * (isa == GW_ISA_ID_AVX512 ? 16 : 8) * threads, best = 0;
  for (int round = 0; round < PEAK_ROUNDS; round++) {
    uint64_t start = gw_clock_ns();
    gw_pool_run(pool, threads, run_peak, &isa);
    double rate = flops / (double)(gw_clock_ns() - start);
    if (rate > best) best = rate;
  }
  return best;
}

/* ---- the products ---- */

static void *values_create(const GwType *type) {
  float *values = gw_buffer_create(gw_type_size(type));
  for (int64_t i = 0; values && i < gw_type_count(type); i++) values[i] = (float)(i % 17) - 8;
  return values;
}

static void call_deinit(GwCall *call) {
  gw_buffer_destroy(call->in[0]);
  gw_buffer_destroy(call->in[1]);
  gw_buffer_destroy(call->out[0]);
  gw_buffer_destroy(call->scratch);
}

static GwStatus call_init(GwCall *out, GwOpcode code, Size size, GwPool *pool) {
  const GwOpDef *def = gw_op_def(code);
  GwType x = gw_type_2d(GW_F32, size.rows, size.in), dy = gw_type_2d(GW_F32, size.rows, size.out);
  GwCall call = {.pool = pool};
  call.shapes.in[0] = code == GW_OP_LINEAR ? x : dy;
  call.shapes.in[1] = code == GW_OP_LINEAR_DW ? x : gw_type_2d(GW_F32, size.out, size.in);
  call.shapes.has[0] = call.shapes.has[1] = true;
  GW_TRY(def->shape(&call.shapes));
  call.in[0] = values_create(&call.shapes.in[0]);
  call.in[1] = values_create(&call.shapes.in[1]);
  call.out[0] = values_create(&call.shapes.out[0]);
  call.scratch_bytes = gw_align_up((size_t)def->scratch(&call.shapes), GW_ALIGN);
  call.scratch = gw_buffer_create(call.scratch_bytes * (size_t)gw_pool_threads(pool));
  if (!call.in[0] || !call.in[1] || !call.out[0] || !call.scratch) {
    call_deinit(&call);
    return gw_fail(GW_MEMORY, "no memory for the operands of a product");
  }
  *out = call;
  return GW_OK;
}

/* GFLOP/s of one op: the best of at least ROUNDS_MIN runs. */
static GwStatus measure(const GwBackend *backend, GwOpcode code, Size size, GwPool *pool,
                        double *out) {
  GwCall call;
  GW_TRY(call_init(&call, code, size, pool));
  uint64_t begin = gw_clock_ns(), best = UINT64_MAX;
  for (int round = 0; round < ROUNDS_MIN || gw_clock_ns() - begin < CASE_NS; round++) {
    uint64_t start = gw_clock_ns();
    backend->run(backend, code, &call);
    uint64_t time_ns = gw_clock_ns() - start;
    if (time_ns < best) best = time_ns;
  }
  *out = 2.0 * (double)(size.rows * size.in * size.out) / (double)best;
  call_deinit(&call);
  return GW_OK;
}

static GwStatus run_case(const GwBackend *backend, GwOpcode code, Size size, GwPool *pool,
                         double peak, json_t *rows) {
  double rate = 0;
  GW_TRY(measure(backend, code, size, pool, &rate));
  printf("%7d  %-9s  %5lld  %5lld  %5lld  %9.1f", gw_pool_threads(pool), gw_op_def(code)->name,
         (long long)size.rows, (long long)size.in, (long long)size.out, rate);
  if (peak > 0) printf("  %5.1f %%", 100 * rate / peak);
  printf("\n");
  json_array_append_new(rows, json_pack("{si ss sI sI sI sf}", "threads", gw_pool_threads(pool),
                                        "op", gw_op_def(code)->name, "rows", (json_int_t)size.rows,
                                        "in", (json_int_t)size.in, "out", (json_int_t)size.out,
                                        "gflops", rate));
  return GW_OK;
}

static GwStatus run_threads(GwIsa isa, int threads, json_t *result) {
  GwPool *pool = NULL;
  GW_TRY(gw_pool_create(threads, &pool));
  GwStatus status = GW_OK;
  double peak = measure_peak(isa, pool);
  if (peak > 0)
    printf("%7d  %-9s  %5s  %5s  %5s  %9.1f  %5.1f %%\n", threads, "peak", "", "", "", peak, 100.0);
  json_array_append_new(json_object_get(result, "peaks"),
                        json_pack("{si sf}", "threads", threads, "gflops", peak));
  for (size_t i = 0; i < GW_COUNT_OF(sizes); i++)
    for (size_t k = 0; k < GW_COUNT_OF(opcodes) && status == GW_OK; k++)
      status = run_case(gw_backend_cpu(isa), opcodes[k], sizes[i], pool, peak,
                        json_object_get(result, "products"));
  gw_pool_destroy(pool);
  return status;
}

static GwStatus write_result(const json_t *result, const char *file) {
  char *text = gw_json_text(result);
  FILE *stream = text ? fopen(file, "w") : NULL;
  bool written = stream && fputs(text, stream) >= 0;
  if (stream && fclose(stream) != 0) written = false;
  free(text);
  return written ? GW_OK : gw_fail(GW_IO, "%s: cannot be written", file);
}

static GwStatus bench(GwIsa isa, const char *file) {
  json_t *result = json_pack("{ss s[] s[]}", "isa", gw_isa_name(isa), "peaks", "products");
  if (!result) return gw_fail(GW_MEMORY, "no memory for the results");
  printf("%s\n%7s  %-9s  %5s  %5s  %5s  %9s  %7s\n", gw_isa_name(isa), "threads", "op", "rows",
         "in", "out", "GFLOP/s", "of peak");
  GwStatus status = GW_OK;
  int processors = gw_processor_count();
  for (int threads = 1; threads < processors && status == GW_OK; threads *= 2)
    status = run_threads(isa, threads, result);
  if (status == GW_OK) status = run_threads(isa, processors, result);
  if (status == GW_OK && file) status = write_result(result, file);
  json_decref(result);
  return status;
}

int main(int argc, char **argv) {
  GwIsa isa = gw_isa_best();
  if (argc > 3 || (argc > 1 && !gw_isa_from_name(argv[1], &isa)) || !gw_isa_available(isa)) {
    fprintf(stderr,
            "usage: bench_gemm [generic|avx2|avx512 [FILE.json]] (this machine's best: %s)\n",
            gw_isa_name(gw_isa_best()));
    return 2;
  }
  GwStatus status = bench(isa, argc > 2 ? argv[2] : NULL);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_gemm: %s\n", gw_error_message());
  return 1;
}
