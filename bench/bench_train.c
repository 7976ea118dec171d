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
  int64_t step, lane_tokens;
  int32_t *tokens, *targets; /* of all lanes */
  uint64_t *signatures;
} Bench;

static GwStatus bench_init(Bench *bench) {
  const GwTrainRecipe *train = &bench->recipe.train;
  bench->lane_tokens = (int64_t)train->lane_batch * bench->recipe.model.context;
  size_t lanes = (size_t)train->lanes, count = lanes * (size_t)bench->lane_tokens;
  bench->tokens = calloc(count, sizeof *bench->tokens);
  bench->targets = calloc(count, sizeof *bench->targets);
  bench->signatures = calloc(lanes, sizeof *bench->signatures);
  if (!bench->tokens || !bench->targets || !bench->signatures)
    return gw_fail(GW_MEMORY, "no memory for a batch");
  return gw_trainer_create(&bench->recipe, gw_backend_cpu(gw_isa_best()), bench->pool,
                           &bench->trainer);
}

static void bench_deinit(Bench *bench) {
  gw_trainer_destroy(bench->trainer);
  free(bench->signatures);
  free(bench->targets);
  free(bench->tokens);
  gw_pool_destroy(bench->pool);
}

static void draw(const Bench *bench) {
  GwRng rng = gw_rng(1, (uint64_t)bench->step);
  uint64_t vocab = (uint64_t)bench->recipe.model.vocab_size;
  for (int64_t i = 0; i < bench->recipe.train.lanes * bench->lane_tokens; i++) {
    bench->tokens[i] = (int32_t)gw_rng_below(&rng, vocab);
    bench->targets[i] = (int32_t)gw_rng_below(&rng, vocab);
  }
}

static GwStatus take_batch(void *context, int64_t step, int32_t lane, GwLaneInputs in) {
  (void)step;
  const Bench *bench = context;
  int64_t count = bench->lane_tokens, first = lane * count;
  memcpy(in.tokens, bench->tokens + first, (size_t)count * sizeof *in.tokens);
  memcpy(in.targets, bench->targets + first, (size_t)count * sizeof *in.targets);
  for (int64_t i = 0; i < count; i++) in.positions[i] = (int32_t)(i % bench->recipe.model.context);
  return GW_OK;
}

/* Never inlined, as callgrind counts by the name of a function. */
__attribute__((noinline)) static GwStatus run_step(Bench *bench) {
  GwStepReport report = {0};
  draw(bench);
  uint64_t start = gw_clock_ns();
  gw_trainer_begin(bench->trainer);
  GW_TRY(gw_trainer_lanes(bench->trainer, bench->step, take_batch, bench, bench->signatures));
  GW_TRY(gw_trainer_end(bench->trainer, bench->step, NULL, &report));
  bench->step++;
  printf("{\"ns\": %" PRIu64 ", \"loss\": %.6f}\n", gw_clock_ns() - start, report.loss);
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
  GwStatus status = bench_init(&bench);
  if (status == GW_OK) status = answer(&bench);
  bench_deinit(&bench);
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
