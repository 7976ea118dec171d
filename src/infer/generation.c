/* Generation: the end-of-text token heads the document, as in training data; then the prompt, then
 * choose, emit, push, until enough tokens came or one was chosen that ends a text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "godwit/generate.h"
#include "infer/decoder.h"
#include "infer/loaded_model.h"
#include "infer/text_stream.h"
#include "infer/token_choice.h"
#include "os/clock.h"

enum { PROMPT_CHUNK = 1024 };

typedef struct {
  const GwGenerateOptions *options;
  GwLoadedModel model;
  GwPool *pool;
  GwDecoder *decoder;
  GwTokenIds prompt; /* end-of-text at its head */
  GwTokenCandidate *candidates;
  GwTextStream stream;
} Generation;

GwGenerateOptions gw_generate_default(void) {
  return (GwGenerateOptions){.tokens = 256, .temperature = 1, .top_p = 1, .seed = 1};
}

static GwStatus check_options(const GwGenerateOptions *options) {
  if (options->tokens < 0)
    return gw_fail(GW_USAGE, "tokens must not be negative, not %" PRId64, options->tokens);
  if (!(options->temperature >= 0 && options->temperature <= 1e6))
    return gw_fail(GW_USAGE, "temperature must be 0 or more, not %g", options->temperature);
  if (options->top_k < 0)
    return gw_fail(GW_USAGE, "top-k must not be negative, not %" PRId32, options->top_k);
  if (!(options->top_p > 0 && options->top_p <= 1))
    return gw_fail(GW_USAGE, "top-p must be above 0 and at most 1, not %g", options->top_p);
  return GW_OK;
}

/* Numbers with commas or white space between. */
static GwStatus parse_ids(Generation *g) {
  static const char between[] = " ,\t\r\n";
  GwTokenIds *prompt = &g->prompt;
  int32_t limit = g->model.recipe.model.vocab_size;
  for (const char *at = g->options->ids + strspn(g->options->ids, between); *at;) {
    size_t size = strcspn(at, between);
    char *end = NULL;
    long id = size < 12 && *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : -1;
    if (end != at + size || id < 0 || id >= limit)
      return gw_fail(GW_USAGE, "ids: '%.*s' is no token of this model, which has 0 to %" PRId32,
                     (int)gw_min_i64((int64_t)size, 40), at, limit - 1);
    GW_TRY(gw_token_ids_add(prompt, (int32_t)id));
    at += size;
    at += strspn(at, between);
  }
  return prompt->count > 0 ? GW_OK : gw_fail(GW_USAGE, "ids: give at least one token id");
}

static GwStatus encode_prompt(Generation *g) {
  GwTokenIds *prompt = &g->prompt;
  const GwTokenizer *tokenizer = g->model.tokenizer;
  if (g->options->ids) return parse_ids(g);
  GW_TRY(gw_loaded_model_need_tokenizer(&g->model));
  GW_TRY(gw_token_ids_add(prompt, gw_tokenizer_end_of_text(tokenizer)));
  return gw_tokenizer_encode(tokenizer, g->options->prompt, g->options->prompt_size, prompt);
}

/* The tokens to choose from: rows of the head beyond the vocabulary are never meant. */
static int32_t choices(const Generation *g) {
  return g->model.tokenizer ? gw_tokenizer_vocab_size(g->model.tokenizer)
                            : g->model.recipe.model.vocab_size;
}

static GwStatus open_generation(const char *path, Generation *g) {
  const GwExecutionOptions *execution = &g->options->execution;
  const GwBackend *backend = NULL;
  GW_TRY(check_options(g->options));
  GW_TRY(gw_backend_choose(execution->backend, execution->isa, &backend));
  GW_TRY(gw_pool_create(execution->threads, &g->pool));
  GW_TRY(gw_loaded_model_open(path, &g->model));
  GW_TRY(encode_prompt(g));
  size_t count = (size_t)choices(g);
  g->candidates = calloc(2 * count, sizeof *g->candidates);
  if (!g->candidates) return gw_fail(GW_MEMORY, "no memory to generate");
  const GwModelRecipe *model = &g->model.recipe.model;
  return gw_decoder_create(model, backend, g->pool, g->model.params, 1,
                           gw_min_i64(PROMPT_CHUNK, model->context), &g->decoder);
}

static void close_generation(Generation *g) {
  gw_text_stream_deinit(&g->stream);
  gw_decoder_destroy(g->decoder);
  free(g->candidates);
  gw_token_ids_deinit(&g->prompt);
  gw_loaded_model_close(&g->model);
  gw_pool_destroy(g->pool);
}

static GwStatus emit_token(Generation *g, int32_t token) {
  size_t size = 0;
  if (g->options->ids) {
    char text[16];
    int length = snprintf(text, sizeof text, " %" PRId32, token);
    return gw_text_stream_push(&g->stream, text, (size_t)length);
  }
  const uint8_t *bytes = gw_tokenizer_bytes(g->model.tokenizer, token, &size);
  return gw_text_stream_push(&g->stream, bytes, size);
}

static GwStatus generate(Generation *g, GwGenerateReport *report) {
  const GwGenerateOptions *options = g->options;
  GwTokenChoice choice = {options->temperature, options->top_k, options->top_p};
  GwRng rng = gw_rng(options->seed, 0);
  const float *logits = NULL;
  report->prompt_tokens = (int64_t)g->prompt.count - !options->ids;
  if (!options->ids) GW_TRY(gw_text_stream_push(&g->stream, options->prompt, options->prompt_size));
  GW_TRY(gw_decoder_push(g->decoder, 0, g->prompt.ids, (int64_t)g->prompt.count, &logits));
  uint64_t started_ns = gw_clock_ns();
  while (report->tokens < options->tokens) {
    int32_t token = 0;
    GW_TRY(gw_token_choose(&choice, logits, choices(g), &rng, g->candidates, &token));
    report->ended = gw_text_ends_has(&g->model.ends, token);
    if (report->ended) break;
    GW_TRY(emit_token(g, token));
    if (++report->tokens < options->tokens)
      GW_TRY(gw_decoder_push(g->decoder, 0, &token, 1, &logits));
  }
  report->seconds = (double)(gw_clock_ns() - started_ns) * 1e-9;
  return gw_text_stream_flush(&g->stream);
}

GwStatus gw_generate(const char *path, const GwGenerateOptions *options, GwTextSink *sink,
                     void *context, GwGenerateReport *out) {
  Generation generation = {.options = options, .stream = {.sink = sink, .context = context}};
  GwGenerateReport report = {0};
  GwStatus status = open_generation(path, &generation);
  if (status == GW_OK) status = generate(&generation, &report);
  close_generation(&generation);
  if (status == GW_OK) *out = report;
  return status;
}
