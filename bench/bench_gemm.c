/* Speed of the matrix products, beside oneDNN's and this machine's peak.
 *
 *   bench_gemm [--quick] [FILE.json]
 *
 * y = x Wᵀ, dx = dy W and dW = dyᵀ x for x [M,K] and W [N,K], through the ops linear, linear_dx and
 * linear_dw, in f32 and with bf16 operands, with one thread and with all. The peers are dnnl_sgemm
 * (f32) and oneDNN's matmul primitive on operands as they lie ("plain"; bf16 ones lie in memory as
 * bf16 already, while godwit's are rounded on the way), where the build found oneDNN 2.
 *
 * Contenders take turns. GFLOP/s come from median times; `against` is the median over the turns of
 * the faster peer's time over godwit's, so above 1 godwit is faster. `of peak`: of fused
 * multiply-adds, or in bf16 of the faster of them and the bf16 dot product, measured in the same
 * run. --quick: one small size, few turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mathd.h"
#include "bench_support.h"
#include "exec/backend_cpu.h"
#include "op/real.h"
#include "os/clock.h"

#ifdef GODWIT_ONEDNN
#include "onednn_peer.h"
#endif

enum {
  TURNS_MIN = 5,
  TURNS_MAX = 99,
  CASE_NS = 300000000,
  QUICK_NS = 1000000,
  SETTLE_NS = 20000000,
  KINDS = 3
};

static const double short_product = 4e9; /* multiply-adds: about 20 ms */

/* Who multiplies. */
typedef enum { GODWIT, SGEMM, PLAIN, CONTENDERS } Contender;

static const int64_t batches[] = {256, 1024, 4096}; /* M */
static const struct {
  int64_t n, k;
} weights[] = {{768, 768}, {3072, 768}, {768, 3072}, {2304, 768},
               {256, 256}, {1024, 256}, {50304, 768}};

static const GwOpcode opcodes[KINDS] = {GW_OP_LINEAR, GW_OP_LINEAR_DX, GW_OP_LINEAR_DW};
static const char *const kind_names[KINDS] = {"y", "dx", "dW"};

typedef struct {
  int kind;
  int64_t m, n, k;
  bool bf16;
} Case;

typedef struct {
  const GwBackend *backend;
  GwPool *pool;
  int threads;
  double peak[2]; /* operations per second, f32 and bf16 */
  uint64_t case_ns;
  double log_against[2], log_share[2]; /* sums over the cases */
  int cases[2];
  json_t *results;
} Bench;

/* Operands and result of one case, for everybody. */
typedef struct {
  GwCall call;
  void *bf16_in[2]; /* the inputs once more, for the peer */
#ifdef GODWIT_ONEDNN
  OnednnProduct product;
  OnednnMatmul *matmul;
#endif
} Setup;

typedef struct {
  double ns[CONTENDERS][TURNS_MAX];
  bool takes_part[CONTENDERS];
  int turns;
} Times;

/* ---- a case ---- */

static void *values_create(const GwType *type) {
  float *values = gw_buffer_create(gw_type_size(type));
  for (int64_t i = 0; values && i < gw_type_count(type); i++) values[i] = (float)(i % 17) - 8;
  return values;
}

static void setup_deinit(Setup *setup) {
#ifdef GODWIT_ONEDNN
  onednn_matmul_destroy(setup->matmul);
#endif
  for (int i = 0; i < 2; i++) {
    gw_buffer_destroy(setup->call.in[i]);
    gw_buffer_destroy(setup->bf16_in[i]);
  }
  gw_buffer_destroy(setup->call.out[0]);
  gw_buffer_destroy(setup->call.scratch);
}

#ifdef GODWIT_ONEDNN
static void *bf16_create(const float *values, int64_t count) {
  uint16_t *rounded = gw_buffer_create((size_t)count * sizeof *rounded);
  for (int64_t i = 0; rounded && i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    rounded[i] = (uint16_t)(bits >> 16); /* exact for these small integers */
  }
  return rounded;
}

static bool peer_init(Setup *setup, const Case *c) {
  const GwCall *call = &setup->call;
  OnednnProduct p = {.bf16 = c->bf16, .c = call->out[0]};
  for (int i = 0; i < 2 && c->bf16; i++) {
    setup->bf16_in[i] = bf16_create(call->in[i], gw_type_count(&call->shapes.in[i]));
    if (!setup->bf16_in[i]) return false;
  }
  p.a = c->bf16 ? setup->bf16_in[0] : call->in[0];
  p.b = c->bf16 ? setup->bf16_in[1] : call->in[1];
  int64_t rows[KINDS] = {c->m, c->m, c->n}, columns[KINDS] = {c->n, c->k, c->k};
  int64_t depth[KINDS] = {c->k, c->n, c->m};
  p.rows = rows[c->kind];
  p.columns = columns[c->kind];
  p.depth = depth[c->kind];
  bool a_transposed = c->kind == 2, b_transposed = c->kind == 0;
  p.a_row = a_transposed ? 1 : p.depth;
  p.a_column = a_transposed ? p.rows : 1;
  p.b_row = b_transposed ? 1 : p.columns;
  p.b_column = b_transposed ? p.depth : 1;
  setup->product = p;
  setup->matmul = onednn_matmul_create(&setup->product);
  return true;
}
#endif

static GwStatus setup_init(Setup *setup, const Case *c, const Bench *bench) {
  const GwOpDef *def = gw_op_def(opcodes[c->kind]);
  GwType x = gw_type_2d(GW_F32, c->m, c->k), dy = gw_type_2d(GW_F32, c->m, c->n);
  *setup = (Setup){.call = {.pool = bench->pool}};
  GwCall *call = &setup->call;
  call->shapes.attr[0] = c->bf16 ? GW_OPERANDS_BF16 : GW_OPERANDS_F32;
  call->shapes.in[0] = c->kind == 0 ? x : dy;
  call->shapes.in[1] = c->kind == 2 ? x : gw_type_2d(GW_F32, c->n, c->k);
  call->shapes.has[0] = call->shapes.has[1] = true;
  GW_TRY(def->shape(&call->shapes));
  call->in[0] = values_create(&call->shapes.in[0]);
  call->in[1] = values_create(&call->shapes.in[1]);
  call->out[0] = values_create(&call->shapes.out[0]);
  call->scratch_bytes = gw_align_up((size_t)def->scratch(&call->shapes), GW_ALIGN);
  call->scratch = gw_buffer_create(call->scratch_bytes * (size_t)bench->threads);
  bool made = call->in[0] && call->in[1] && call->out[0] && call->scratch;
#ifdef GODWIT_ONEDNN
  made = made && peer_init(setup, c);
#endif
  return made ? GW_OK : gw_fail(GW_MEMORY, "no memory for the operands of a product");
}

/* ---- turns ---- */

/* Nanoseconds; below 0 when the contender does not take part. */
static double run(Contender who, const Bench *bench, const Case *c, Setup *setup) {
  bool done = who == GODWIT;
  uint64_t start = gw_clock_ns();
  if (who == GODWIT) bench->backend->run(bench->backend, opcodes[c->kind], &setup->call);
#ifdef GODWIT_ONEDNN
  if (who == SGEMM) done = !c->bf16 && onednn_sgemm(&setup->product);
  if (who == PLAIN) done = setup->matmul && onednn_matmul_run(setup->matmul);
#endif
  return done ? (double)(gw_clock_ns() - start) : -1;
}

/* Idle threads of the contender before spin for a while, on the processors that this one needs: it
 * waits until they sleep, and wakes its own by an extra run if that is short. */
static double turn(Contender who, const Bench *bench, const Case *c, Setup *setup) {
  if (bench->threads > 1) {
    nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
    if ((double)c->m * (double)c->n * (double)c->k < short_product) run(who, bench, c, setup);
  }
  return run(who, bench, c, setup);
}

static void take_turns(const Bench *bench, const Case *c, Setup *setup, Times *out) {
  out->turns = 0;
  for (int who = 0; who < CONTENDERS; who++)
    out->takes_part[who] = run((Contender)who, bench, c, setup) >= 0; /* and warms up */
  uint64_t begin = gw_clock_ns();
  while (out->turns < TURNS_MIN ||
         (out->turns < TURNS_MAX && gw_clock_ns() - begin < bench->case_ns)) {
    for (int i = 0; i < CONTENDERS; i++) {
      int who = (i + out->turns) % CONTENDERS;
      if (out->takes_part[who]) out->ns[who][out->turns] = turn((Contender)who, bench, c, setup);
    }
    out->turns++;
  }
}

/* The median over the turns of the faster peer's time over godwit's; 0 without a peer. */
static double against_of(const Times *times) {
  double ratios[TURNS_MAX], best[CONTENDERS] = {0};
  int peer = 0;
  for (int who = SGEMM; who < CONTENDERS; who++) {
    if (!times->takes_part[who]) continue;
    memcpy(ratios, times->ns[who], sizeof ratios);
    best[who] = bench_median(ratios, times->turns);
    if (!peer || best[who] < best[peer]) peer = who;
  }
  if (!peer) return 0;
  for (int i = 0; i < times->turns; i++) ratios[i] = times->ns[peer][i] / times->ns[GODWIT][i];
  return bench_median(ratios, times->turns);
}

/* ---- the table ---- */

static void print_rate(double rate) {
  if (rate > 0)
    printf("  %8.1f", rate);
  else
    printf("  %8s", "-");
}

static void report(Bench *bench, const Case *c, const Times *times) {
  double flops = 2.0 * (double)c->m * (double)c->n * (double)c->k, rates[CONTENDERS] = {0};
  for (int who = 0; who < CONTENDERS; who++) {
    double sorted[TURNS_MAX];
    memcpy(sorted, times->ns[who], sizeof sorted);
    if (times->takes_part[who]) rates[who] = flops / bench_median(sorted, times->turns);
  }
  double share = bench->peak[c->bf16] > 0 ? rates[GODWIT] * 1e9 / bench->peak[c->bf16] : 0;
  double against = against_of(times);
  printf("%7d  %-4s  %-2s  %5lld  %6lld  %5lld", bench->threads, c->bf16 ? "bf16" : "f32",
         kind_names[c->kind], (long long)c->m, (long long)c->n, (long long)c->k);
  for (int who = 0; who < CONTENDERS; who++) print_rate(rates[who]);
  printf("  %5.1f %%  %7.3f\n", 100 * share, against);
  fflush(stdout); /* the table takes minutes and is read as it grows */
  if (share > 0) bench->log_share[c->bf16] += gw_log_f64(share);
  if (against > 0) bench->log_against[c->bf16] += gw_log_f64(against);
  bench->cases[c->bf16]++;
  json_array_append_new(
      bench->results,
      json_pack("{si ss ss sI sI sI sf sf sf sf sf}", "threads", bench->threads, "operands",
                c->bf16 ? "bf16" : "f32", "kind", kind_names[c->kind], "m", (json_int_t)c->m, "n",
                (json_int_t)c->n, "k", (json_int_t)c->k, "gflops", rates[GODWIT], "sgemm_gflops",
                rates[SGEMM], "plain_gflops", rates[PLAIN], "share", share, "against", against));
}

static GwStatus run_case(Bench *bench, const Case *c) {
  Setup setup;
  GwStatus status = setup_init(&setup, c, bench);
  if (status == GW_OK) {
    static Times times;
    take_turns(bench, c, &setup, &times);
    report(bench, c, &times);
  }
  setup_deinit(&setup);
  return status;
}

static void print_mean(const Bench *bench, int bf16) {
  double count = bench->cases[bf16];
  printf("%7d  %-4s  geometric mean of %d: %.1f %% of peak, %.3f against the faster peer\n",
         bench->threads, bf16 ? "bf16" : "f32", bench->cases[bf16],
         100 * gw_exp_f64(bench->log_share[bf16] / count),
         gw_exp_f64(bench->log_against[bf16] / count));
}

static GwStatus run_threads(Bench *bench, int threads, bool quick) {
  GW_TRY(gw_pool_create(threads, &bench->pool));
  bench->threads = threads;
#ifdef GODWIT_ONEDNN
  onednn_threads(threads);
#endif
  double bf16_peak = bench_peak_bf16(threads);
  bench->peak[0] = bench_peak_fma(threads);
  bench->peak[1] = bf16_peak > bench->peak[0] ? bf16_peak : bench->peak[0];
  for (int i = 0; i < 2; i++) bench->log_against[i] = bench->log_share[i] = bench->cases[i] = 0;
  printf("%7d  peak: %.1f GFLOP/s of multiply-adds, %.1f of bf16 dot products\n", threads,
         bench->peak[0] * 1e-9, bf16_peak * 1e-9);
  GwStatus status = GW_OK;
  size_t sizes = quick ? 1 : GW_COUNT_OF(weights), rows = quick ? 1 : GW_COUNT_OF(batches);
  for (int bf16 = 0; bf16 < 2; bf16++) {
    for (size_t i = 0; i < sizes * rows * KINDS && status == GW_OK; i++) {
      Case c = {.kind = (int)(i % KINDS), .bf16 = bf16, .m = batches[i / KINDS % rows]};
      c.n = weights[i / KINDS / rows].n;
      c.k = weights[i / KINDS / rows].k;
      status = run_case(bench, &c);
    }
    if (status == GW_OK) print_mean(bench, bf16);
  }
  gw_pool_destroy(bench->pool);
  return status;
}

static GwStatus write_results(const json_t *results, const char *file) {
  char *text = gw_json_text(results);
  FILE *stream = text ? fopen(file, "w") : NULL;
  bool written = stream && fputs(text, stream) >= 0;
  if (stream && fclose(stream) != 0) written = false;
  free(text);
  return written ? GW_OK : gw_fail(GW_IO, "%s: cannot be written", file);
}

static GwStatus bench_all(bool quick, const char *file) {
  Bench bench = {.backend = gw_backend_cpu(gw_isa_best()), .results = json_array()};
  if (!bench.results) return gw_fail(GW_MEMORY, "no memory for the results");
  bench.case_ns = quick ? QUICK_NS : CASE_NS;
#ifdef GODWIT_ONEDNN
  printf("%s; peers: oneDNN's dnnl_sgemm and plain matmul\n", gw_isa_name(gw_isa_best()));
#else
  printf("%s; no peer: install libdnnl-dev (oneDNN 2) and build again to compare\n",
         gw_isa_name(gw_isa_best()));
#endif
  printf("%7s  %-4s  %-2s  %5s  %6s  %5s  %8s  %8s  %8s  %7s  %7s\n", "threads", "of", "", "M", "N",
         "K", "GFLOP/s", "sgemm", "plain", "of peak", "against");
  GwStatus status = run_threads(&bench, 1, quick);
  if (status == GW_OK && gw_processor_count() > 1)
    status = run_threads(&bench, gw_processor_count(), quick);
  if (status == GW_OK && file) status = write_results(bench.results, file);
  json_decref(bench.results);
  return status;
}

int main(int argc, char **argv) {
  bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
  int files = argc - 1 - quick;
  const char *file = files == 1 ? argv[argc - 1] : NULL;
  if (files > 1 || (file && file[0] == '-')) {
    fprintf(stderr, "usage: bench_gemm [--quick] [FILE.json]\n");
    return 2;
  }
  GwStatus status = bench_all(quick, file);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_gemm: %s\n", gw_error_message());
  return 1;
}
