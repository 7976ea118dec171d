/* Speed of generation with a model of random parameters, at batch 1:
 *   - time per token, and the parameters' bytes over it against the bandwidth of reading memory,
 *     since every parameter is read once per token;
 *   - time to the first token behind a prompt, and its FLOPs (two per parameter of a matrix and
 *     token, four per element of attention's products, the head for the last token only) against
 *     the peak of fused multiply-adds.
 * Both peaks are measured in the same run, before and after.
 *
 *   bench_generate [--quick] [FILE.json]     GPT-2 124M, or a very small model
 *
 * Figures are medians; the best is printed beside them, as other work on the machine disturbs it
 * least. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/rng.h"
#include "exec/backend_cpu.h"
#include "infer/decoder.h"
#include "infer/token_choice.h"
#include "model/model.h"
#include "os/clock.h"
#include "peaks.h"

enum { TOKENS = 64, PROMPTS = 5 };

static const char *const gpt2_124m[] = {"model.family=gpt2",  "model.layers=12",
                                        "model.width=768",    "model.heads=12",
                                        "model.context=2048", "model.vocab_size=50257"};
static const char *const quick[] = {"model.family=gpt2", "model.layers=2",
                                    "model.width=32",    "model.heads=2",
                                    "model.context=256", "model.vocab_size=65"};

typedef struct {
  GwModelRecipe model;
  GwParamList list;
  GwPool *pool;
  void *params;
  double fma, read; /* peaks: GFLOP/s, GB/s */
} Bench;

typedef struct {
  uint64_t ns[TOKENS];
  int count;
} Times;

static int by_value(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static uint64_t median(Times *times) {
  qsort(times->ns, (size_t)times->count, sizeof times->ns[0], by_value);
  return times->ns[times->count / 2];
}

/* ---- what a pass must at least do ---- */

static bool is_position_table(const GwParam *param) { return strncmp(param->name, "wpe", 3) == 0; }

/* Bytes of the parameters that a token needs whole: all but the position embeddings. */
static double bytes_per_token(const GwParamList *list) {
  double bytes = 0;
  for (int i = 0; i < list->count; i++)
    if (!is_position_table(&list->params[i])) bytes += (double)gw_type_size(&list->params[i].type);
  return bytes;
}

static double prompt_flops(const Bench *bench, double tokens) {
  double block = 0, head = 0;
  for (int i = 0; i < bench->list.count; i++) {
    const GwParam *param = &bench->list.params[i];
    double count = (double)gw_type_count(&param->type);
    if (param->type.rank != 2 || is_position_table(param)) continue;
    *(param->embedding ? &head : &block) += count;
  }
  double attention = 4.0 * bench->model.layers * bench->model.width * tokens;
  return tokens * (2 * block + attention) + 2 * head;
}

/* ---- measuring ---- */

static void measure_peaks(Bench *bench) {
  double fma = gw_peak_fma(gw_isa_best(), bench->pool);
  double read = gw_peak_read(bench->pool, bench->params, (size_t)bench->list.bytes);
  if (fma > bench->fma) bench->fma = fma;
  if (read > bench->read) bench->read = read;
}

static void draw(const Bench *bench, GwRng *rng, int64_t count, int32_t *out) {
  for (int64_t i = 0; i < count; i++)
    out[i] = (int32_t)gw_rng_below(rng, (uint64_t)bench->model.vocab_size);
}

/* A prompt of T/2 tokens on an empty decoder, then one token after the other, each chosen from the
 * logits as `godwit generate` does by default. `choosing`: the part of it that is spent on that. */
static GwStatus run_prompt(Bench *bench, GwDecoder *decoder, GwTokenCandidate *candidates,
                           GwRng *rng, uint64_t *first_ns, Times *tokens, Times *choosing) {
  const GwTokenChoice choice = {.temperature = 1, .top_p = 1};
  const float *logits = NULL;
  int64_t length = bench->model.context / 2;
  int32_t *prompt = calloc((size_t)length, sizeof *prompt), token = 0;
  if (!prompt) return gw_fail(GW_MEMORY, "no memory for the prompt");
  draw(bench, rng, length, prompt);
  uint64_t start = gw_clock_ns();
  GwStatus status = gw_decoder_push(decoder, prompt, length, &logits);
  *first_ns = gw_clock_ns() - start;
  free(prompt);
  GW_TRY(status);
  for (int i = 0; i < TOKENS; i++) {
    start = gw_clock_ns();
    GW_TRY(gw_token_choose(&choice, logits, bench->model.vocab_size, rng, candidates, &token));
    uint64_t chosen = gw_clock_ns();
    GW_TRY(gw_decoder_push(decoder, &token, 1, &logits));
    choosing->ns[i] = chosen - start;
    tokens->ns[i] = gw_clock_ns() - start;
  }
  tokens->count = choosing->count = TOKENS;
  return GW_OK;
}

static GwStatus run_prompts(Bench *bench, Times *prompts, Times *tokens, Times *choosing) {
  GwTokenCandidate *candidates = calloc((size_t)bench->model.vocab_size, sizeof *candidates);
  GwStatus status = candidates ? GW_OK : gw_fail(GW_MEMORY, "no memory for candidates");
  GwRng rng = gw_rng(1, 0);
  for (prompts->count = 0; prompts->count < PROMPTS && status == GW_OK; prompts->count++) {
    GwDecoder *decoder = NULL;
    status = gw_decoder_create(&bench->model, gw_backend_cpu(gw_isa_best()), bench->pool,
                               bench->params, bench->model.context / 2, &decoder);
    if (status == GW_OK)
      status = run_prompt(bench, decoder, candidates, &rng, &prompts->ns[prompts->count], tokens,
                          choosing);
    gw_decoder_destroy(decoder);
  }
  free(candidates);
  return status;
}

/* ---- the table ---- */

static void report(Bench *bench, Times *prompts, Times *tokens, Times *choosing, json_t *rows) {
  double token_ns = (double)median(tokens), prompt_ns = (double)median(prompts);
  double bytes = bytes_per_token(&bench->list), length = (double)(bench->model.context / 2);
  double rate = bytes / token_ns, gflops = prompt_flops(bench, length) / prompt_ns;
  int threads = gw_pool_threads(bench->pool);
  printf("%d threads: reads %.1f GB/s, fused multiply-adds %.0f GFLOP/s\n", threads, bench->read,
         bench->fma);
  printf("  a token             %8.2f ms (best %.2f; choosing it %.2f)  %6.1f GB/s  %5.1f %%\n",
         token_ns * 1e-6, (double)tokens->ns[0] * 1e-6, (double)median(choosing) * 1e-6, rate,
         100 * rate / bench->read);
  printf("  %4.0f-token prompt   %8.1f ms (best %.1f)  %6.1f GFLOP/s  %5.1f %%\n", length,
         prompt_ns * 1e-6, (double)prompts->ns[0] * 1e-6, gflops,
         bench->fma > 0 ? 100 * gflops / bench->fma : 0);
  json_array_append_new(rows, json_pack("{si sf sf sf sf sf sf sf sf}", "threads", threads,
                                        "read_gbs", bench->read, "fma_gflops", bench->fma,
                                        "token_ns", token_ns, "token_best_ns",
                                        (double)tokens->ns[0], "token_gbs", rate, "prompt_tokens",
                                        length, "prompt_ns", prompt_ns, "prompt_gflops", gflops));
}

static GwStatus run_threads(const GwModelRecipe *model, int threads, json_t *rows) {
  Bench bench = {.model = *model};
  Times prompts, tokens, choosing;
  GwStatus status;
  GW_TRY_GOTO(status, gw_pool_create(threads, &bench.pool), done);
  GW_TRY_GOTO(status, gw_model_params(model, &bench.list), done);
  bench.params = gw_buffer_create((size_t)bench.list.bytes);
  if (!bench.params) {
    status = gw_fail(GW_MEMORY, "no memory for the parameters");
    goto done;
  }
  gw_model_init(model, &bench.list, 1, bench.pool, bench.params);
  measure_peaks(&bench);
  GW_TRY_GOTO(status, run_prompts(&bench, &prompts, &tokens, &choosing), done);
  measure_peaks(&bench);
  report(&bench, &prompts, &tokens, &choosing, rows);
done:
  gw_buffer_destroy(bench.params);
  gw_param_list_deinit(&bench.list);
  gw_pool_destroy(bench.pool);
  return status;
}

static GwStatus write_rows(const json_t *rows, const char *file) {
  char *text = gw_json_text(rows);
  FILE *stream = text ? fopen(file, "w") : NULL;
  bool written = stream && fputs(text, stream) >= 0;
  if (stream && fclose(stream) != 0) written = false;
  free(text);
  return written ? GW_OK : gw_fail(GW_IO, "%s: cannot be written", file);
}

static GwStatus bench_all(bool small, const char *file) {
  GwRecipe recipe;
  int count = small ? (int)GW_COUNT_OF(quick) : (int)GW_COUNT_OF(gpt2_124m);
  GW_TRY(gw_recipe_parse("bench", "{}", 2, small ? quick : gpt2_124m, count, &recipe));
  json_t *rows = json_array();
  if (!rows) return gw_fail(GW_MEMORY, "no memory for the results");
  GwStatus status = run_threads(&recipe.model, 1, rows);
  if (status == GW_OK && gw_processor_count() > 1)
    status = run_threads(&recipe.model, gw_processor_count(), rows);
  if (status == GW_OK && file) status = write_rows(rows, file);
  json_decref(rows);
  return status;
}

int main(int argc, char **argv) {
  bool small = argc > 1 && strcmp(argv[1], "--quick") == 0;
  int used = small ? 2 : 1;
  if (argc > used + 1 || (argc > used && argv[used][0] == '-')) {
    fprintf(stderr, "usage: bench_generate [--quick] [FILE.json]\n");
    return 2;
  }
  GwStatus status = bench_all(small, argc > used ? argv[used] : NULL);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_generate: %s\n", gw_error_message());
  return 1;
}
