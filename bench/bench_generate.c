/* Speed of generation with a model of random parameters, at batch 1:
 *   - time per token, and the bytes over it that every token has to read, once each, against the
 *     bandwidth of reading memory: the parameters, and the keys and values of the tokens before it;
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
#include "bench_support.h"
#include "exec/backend_cpu.h"
#include "infer/decoder.h"
#include "infer/token_choice.h"
#include "model/model.h"
#include "os/clock.h"

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
  double fma; /* peak, GFLOP/s */
} Bench;

typedef struct {
  double prompt_ns[PROMPTS], token_ns[TOKENS], choosing_ns[TOKENS];
  double read_gbs[TOKENS], share[TOKENS]; /* measured after each token; its bytes over its time as
                                             a share of that */
} Times;

/* ---- what a pass must at least do ---- */

static bool is_position_table(const GwParam *param) { return strncmp(param->name, "wpe", 3) == 0; }

/* Bytes that a token reads: of the parameters all but the position embeddings; of keys and values
 * those of `before` tokens. */
static double bytes_per_token(const Bench *bench, double before) {
  const GwParamList *list = &bench->list;
  double bytes = before * 2 * bench->model.layers * bench->model.width * (double)sizeof(float);
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

static void measure_peak(Bench *bench) {
  double fma = bench_peak_fma(gw_pool_threads(bench->pool)) * 1e-9;
  if (fma > bench->fma) bench->fma = fma;
}

/* A prompt of T/2 tokens on an empty decoder. */
static GwStatus time_prompt(const Bench *bench, GwDecoder *decoder, GwRng *rng,
                            const float **logits, double *out) {
  int64_t length = bench->model.context / 2;
  int32_t *prompt = calloc((size_t)length, sizeof *prompt);
  if (!prompt) return gw_fail(GW_MEMORY, "no memory for the prompt");
  for (int64_t i = 0; i < length; i++)
    prompt[i] = (int32_t)gw_rng_below(rng, (uint64_t)bench->model.vocab_size);
  uint64_t start = gw_clock_ns();
  GwStatus status = gw_decoder_push(decoder, 0, prompt, length, logits);
  *out = (double)(gw_clock_ns() - start);
  free(prompt);
  return status;
}

/* One token after the other, each chosen as `godwit generate` does by default. */
static GwStatus time_tokens(const Bench *bench, GwDecoder *decoder, GwRng *rng, const float *logits,
                            Times *times) {
  const GwTokenChoice choice = {.temperature = 1, .top_p = 1};
  int32_t vocab = bench->model.vocab_size, token = 0;
  GwTokenCandidate *candidates = calloc(2 * (size_t)vocab, sizeof *candidates);
  if (!candidates) return gw_fail(GW_MEMORY, "no memory for candidates");
  GwStatus status = GW_OK;
  for (int i = 0; i < TOKENS && status == GW_OK; i++) {
    uint64_t start = gw_clock_ns();
    status = gw_token_choose(&choice, logits, vocab, rng, candidates, &token);
    times->choosing_ns[i] = (double)(gw_clock_ns() - start);
    if (status == GW_OK) status = gw_decoder_push(decoder, 0, &token, 1, &logits);
    times->token_ns[i] = (double)(gw_clock_ns() - start);
    times->read_gbs[i] = bench_read_once(bench->pool, bench->params, bench->list.bytes) * 1e-9;
    double bytes = bytes_per_token(bench, (double)(bench->model.context / 2 + i));
    times->share[i] = bytes / times->token_ns[i] / times->read_gbs[i];
  }
  free(candidates);
  return status;
}

static GwStatus run_prompt(const Bench *bench, int which, GwRng *rng, Times *times) {
  const float *logits = NULL;
  GwDecoder *decoder = NULL;
  GW_TRY(gw_decoder_create(&bench->model, gw_backend_cpu(gw_isa_best()), bench->pool, bench->params,
                           1, bench->model.context / 2, &decoder));
  GwStatus status = time_prompt(bench, decoder, rng, &logits, &times->prompt_ns[which]);
  if (status == GW_OK && which == PROMPTS - 1)
    status = time_tokens(bench, decoder, rng, logits, times);
  gw_decoder_destroy(decoder);
  return status;
}

static GwStatus run_prompts(const Bench *bench, Times *times) {
  GwRng rng = gw_rng(1, 0);
  for (int i = 0; i < PROMPTS; i++) GW_TRY(run_prompt(bench, i, &rng, times));
  return GW_OK;
}

/* ---- the table ---- */

static void report(const Bench *bench, Times *times, json_t *rows) {
  double token_ns = bench_median(times->token_ns, TOKENS);
  double prompt_ns = bench_median(times->prompt_ns, PROMPTS);
  double length = (double)(bench->model.context / 2),
         bytes = bytes_per_token(bench, length + TOKENS / 2.0);
  double read = bench_median(times->read_gbs, TOKENS), share = bench_median(times->share, TOKENS);
  double rate = bytes / token_ns, gflops = prompt_flops(bench, length) / prompt_ns;
  int threads = gw_pool_threads(bench->pool);
  printf("%d threads: reads %.1f GB/s, fused multiply-adds %.0f GFLOP/s\n", threads, read,
         bench->fma);
  printf("  a token             %8.2f ms (best %.2f; choosing it %.2f)  %6.1f GB/s     %5.1f %%\n",
         token_ns * 1e-6, times->token_ns[0] * 1e-6,
         bench_median(times->choosing_ns, TOKENS) * 1e-6, rate, 100 * share);
  printf("  %4.0f-token prompt   %8.1f ms (best %.1f)  %6.1f GFLOP/s  %5.1f %%\n", length,
         prompt_ns * 1e-6, times->prompt_ns[0] * 1e-6, gflops,
         bench->fma > 0 ? 100 * gflops / bench->fma : 0);
  json_array_append_new(rows, json_pack("{si sf sf sf sf sf sf sf sf sf}", "threads", threads,
                                        "read_gbs", read, "token_share", share, "fma_gflops",
                                        bench->fma, "token_ns", token_ns, "token_best_ns",
                                        times->token_ns[0], "token_gbs", rate, "prompt_tokens",
                                        length, "prompt_ns", prompt_ns, "prompt_gflops", gflops));
}

static GwStatus run_threads(const GwModelRecipe *model, int threads, json_t *rows) {
  Bench bench = {.model = *model};
  Times times;
  GwStatus status;
  GW_TRY_GOTO(status, gw_pool_create(threads, &bench.pool), done);
  GW_TRY_GOTO(status, gw_model_params(model, &bench.list), done);
  bench.params = gw_buffer_create((size_t)bench.list.bytes);
  if (!bench.params) {
    status = gw_fail(GW_MEMORY, "no memory for the parameters");
    goto done;
  }
  gw_model_init(model, &bench.list, 1, bench.pool, bench.params);
  measure_peak(&bench);
  GW_TRY_GOTO(status, run_prompts(&bench, &times), done);
  measure_peak(&bench);
  report(&bench, &times, rows);
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
