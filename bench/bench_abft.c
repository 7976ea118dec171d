/* What it costs that matrix products verify themselves (godwit train --abft).
 *
 *   bench_abft [M N K]
 *
 * y = x Wᵀ, dx = dy W and dW = dyᵀ x for x [M,K] and W [N,K], without and with the check in turns,
 * for f32 and bf16 operands, with one thread and with all. By default the largest product of
 * a block of GPT-2 124M. `best` compares the shortest times, `median` is that of the pairs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "bench_support.h"
#include "exec/backend_cpu.h"
#include "op/abft.h"
#include "os/clock.h"

enum { TURNS = 41, KINDS = 3 };

static const GwOpcode opcodes[KINDS] = {GW_OP_LINEAR, GW_OP_LINEAR_DX, GW_OP_LINEAR_DW};
static const char *const kind_names[KINDS] = {"y", "dx", "dW"};

typedef struct {
  int64_t m, n, k;
} Size;

static void *values_create(const GwType *type, GwRng *rng) {
  float *values = gw_buffer_create(gw_type_size(type));
  for (int64_t i = 0; values && i < gw_type_count(type); i++)
    values[i] = (float)(gw_rng_uniform(rng) - 0.5);
  return values;
}

static GwStatus call_init(GwCall *call, GwAbft *abft, int kind, Size size, bool bf16) {
  const GwOpDef *def = gw_op_def(opcodes[kind]);
  GwRng rng = gw_rng(1, (uint64_t)kind);
  GwType x = gw_type_2d(GW_F32, size.m, size.k), w = gw_type_2d(GW_F32, size.n, size.k);
  GwType dy = gw_type_2d(GW_F32, size.m, size.n);
  call->shapes.in[0] = kind == 0 ? x : dy;
  call->shapes.in[1] = kind == 2 ? x : w;
  call->shapes.has[0] = call->shapes.has[1] = true;
  call->shapes.attr[0] = bf16;
  GW_TRY(def->shape(&call->shapes));
  for (int i = 0; i < 2; i++) call->in[i] = values_create(&call->shapes.in[i], &rng);
  call->out[0] = values_create(&call->shapes.out[0], &rng);
  call->scratch_bytes = (size_t)def->scratch(&call->shapes);
  call->scratch = gw_buffer_create((size_t)gw_pool_threads(call->pool) * call->scratch_bytes);
  abft->room_count = gw_abft_room(&call->shapes);
  abft->room = gw_buffer_create((size_t)abft->room_count * sizeof *abft->room);
  bool made = call->in[0] && call->in[1] && call->out[0] && call->scratch && abft->room;
  return made ? GW_OK : gw_fail(GW_MEMORY, "no memory for a product");
}

static void call_deinit(GwCall *call, GwAbft *abft) {
  for (int i = 0; i < 2; i++) gw_buffer_destroy(call->in[i]);
  gw_buffer_destroy(call->out[0]);
  gw_buffer_destroy(call->scratch);
  gw_buffer_destroy(abft->room);
}

/* The two take turns; who is first changes. */
static void measure(GwCall *call, GwAbft *abft, int kind, double best[2], double *median) {
  const GwBackend *backend = gw_backend_cpu(gw_isa_best());
  double ratios[TURNS];
  backend->run(backend, opcodes[kind], call);
  best[0] = best[1] = 1e18;
  for (int turn = 0; turn < TURNS; turn++) {
    double ns[2];
    for (int i = 0; i < 2; i++) {
      int on = (i + turn) % 2;
      call->abft = on ? abft : NULL;
      uint64_t start = gw_clock_ns();
      backend->run(backend, opcodes[kind], call);
      ns[on] = (double)(gw_clock_ns() - start);
      if (ns[on] < best[on]) best[on] = ns[on];
    }
    ratios[turn] = ns[1] / ns[0];
  }
  *median = bench_median(ratios, TURNS);
}

static GwStatus run_threads(int threads, Size size) {
  GwPool *pool;
  GW_TRY(gw_pool_create(threads, &pool));
  GwStatus status = GW_OK;
  for (int i = 0; i < 2 * KINDS && status == GW_OK; i++) {
    int kind = i % KINDS;
    GwCall call = {.pool = pool};
    GwAbft abft = {0};
    double best[2], median;
    status = call_init(&call, &abft, kind, size, i / KINDS);
    if (status == GW_OK) {
      measure(&call, &abft, kind, best, &median);
      printf("%7d  %-4s  %-2s  %8.3f  %8.3f  %+6.1f %%  %+6.1f %%\n", threads,
             i / KINDS ? "bf16" : "f32", kind_names[kind], best[0] * 1e-6, best[1] * 1e-6,
             100 * (best[1] / best[0] - 1), 100 * (median - 1));
      if (abft.faults > 0) status = gw_fail(GW_NUMERIC, "a product is wrong");
    }
    call_deinit(&call, &abft);
  }
  gw_pool_destroy(pool);
  return status;
}

int main(int argc, char **argv) {
  Size size = {1024, 3072, 768};
  if (argc == 4) size = (Size){atoll(argv[1]), atoll(argv[2]), atoll(argv[3])};
  if ((argc != 1 && argc != 4) || size.m < 1 || size.n < 1 || size.k < 1) {
    fprintf(stderr, "usage: bench_abft [M N K]\n");
    return 2;
  }
  printf("%s; M %lld, N %lld, K %lld\n%7s  %-4s  %-2s  %8s  %8s  %8s  %8s\n",
         gw_isa_name(gw_isa_best()), (long long)size.m, (long long)size.n, (long long)size.k,
         "threads", "of", "", "plain ms", "abft ms", "best", "median");
  GwStatus status = run_threads(1, size);
  if (status == GW_OK && gw_processor_count() > 1) status = run_threads(gw_processor_count(), size);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_abft: %s\n", gw_error_message());
  return 1;
}
