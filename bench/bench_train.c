/* A training step for measuring, driven line by line, so that bench_train.py can take turns between
 * this program and a peer:
 *
 *   bench_train THREADS KEY=VALUE...     the keys of a recipe; model.vocab_size must be among them
 *
 * It answers each line of standard input with one line of JSON:
 *   (start)  {"parameters": N, "isa": "avx512"}
 *   step     {"ns": whole step, "loss": nats per token}
 *   peak     {"fma": GFLOP/s, "bf16": GFLOP/s} of as many threads
 * until quit or the end of the input. A step is all that training does between two batches: every
 * lane forward and backward, the exact sums and their signatures, the update, the hash of the
 * state. Tokens are uniformly random, drawn before the clock starts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench_support.h"
#include "exec/backend_cpu.h"
#include "os/clock.h"
#include "train/trainer.h"

enum { MISUSE = 2 };

typedef struct {
  GwRecipe recipe;
  GwPool *pool;
  GwTrainer *trainer;
  int64_t step;
} Bench;

static void fill(const GwRecipe *recipe, GwLaneInputs in, GwRng *rng) {
  int64_t context = recipe->model.context, count = recipe->train.lane_batch * context;
  for (int64_t i = 0; i < count; i++) {
    in.tokens[i] = (int32_t)gw_rng_below(rng, (uint64_t)recipe->model.vocab_size);
    in.targets[i] = (int32_t)gw_rng_below(rng, (uint64_t)recipe->model.vocab_size);
    in.positions[i] = (int32_t)(i % context);
  }
}

static GwStatus run_step(Bench *bench) {
  GwRng rng = gw_rng(1, (uint64_t)bench->step);
  GwStepReport report = {0};
  uint64_t signature, spent = 0;
  for (int32_t lane = 0; lane < bench->recipe.train.lanes; lane++) {
    fill(&bench->recipe, gw_trainer_inputs(bench->trainer), &rng);
    uint64_t start = gw_clock_ns();
    if (lane == 0) gw_trainer_begin(bench->trainer);
    GW_TRY(gw_trainer_lane(bench->trainer, bench->step, lane, &signature));
    spent += gw_clock_ns() - start;
  }
  uint64_t start = gw_clock_ns();
  GW_TRY(gw_trainer_end(bench->trainer, bench->step, &report));
  bench->step++;
  (void)gw_trainer_hash(bench->trainer, bench->step);
  spent += gw_clock_ns() - start;
  printf("{\"ns\": %" PRIu64 ", \"loss\": %.6f}\n", spent, report.loss);
  return GW_OK;
}

static void show_peaks(const Bench *bench) {
  int threads = gw_pool_threads(bench->pool);
  double fma = bench_peak_fma(threads), bf16 = bench_peak_bf16(threads);
  printf("{\"fma\": %.1f, \"bf16\": %.1f}\n", fma * 1e-9, bf16 * 1e-9);
}

static GwStatus answer(Bench *bench) {
  char line[32];
  printf("{\"parameters\": %" PRId64 ", \"isa\": \"%s\"}\n", gw_trainer_param_count(bench->trainer),
         gw_isa_name(gw_isa_best()));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0) {
    if (strcmp(line, "step\n") == 0)
      GW_TRY(run_step(bench));
    else if (strcmp(line, "peak\n") == 0)
      show_peaks(bench);
    else
      return gw_fail(GW_USAGE, "unknown command: %s", line);
    fflush(stdout);
  }
  return GW_OK;
}

static GwStatus run(int threads, const char *const *overrides, int count) {
  Bench bench = {0};
  GW_TRY(gw_recipe_parse("bench", "{}", 2, overrides, count, &bench.recipe));
  if (bench.recipe.model.vocab_size == 0) return gw_fail(GW_USAGE, "give model.vocab_size=N");
  GW_TRY(gw_pool_create(threads, &bench.pool));
  GwStatus status =
      gw_trainer_create(&bench.recipe, gw_backend_cpu(gw_isa_best()), bench.pool, &bench.trainer);
  if (status == GW_OK) status = answer(&bench);
  gw_trainer_destroy(bench.trainer);
  gw_pool_destroy(bench.pool);
  return status;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 0;
  if (threads < 1) {
    fprintf(stderr, "usage: bench_train THREADS KEY=VALUE... (see bench/README.md)\n");
    return MISUSE;
  }
  GwStatus status = run(threads, (const char *const *)argv + 2, argc - 2);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_train: %s\n", gw_error_message());
  return status == GW_USAGE ? MISUSE : 1;
}
