/* Generation: the end-of-text token heads the document, as in training data; then the prompt, then
 * choose, emit, push, until enough tokens came or end-of-text was chosen. */
#include <inttypes.h>
#include <stdlib.h>

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

static GwStatus encode_prompt(Generation *g) {
  GwTokenIds *prompt = &g->prompt;
  const GwTokenizer *tokenizer = g->model.tokenizer;
  prompt->ids = malloc(sizeof *prompt->ids);
  if (!prompt->ids) return gw_fail(GW_MEMORY, "no memory for the prompt");
  prompt->ids[0] = gw_tokenizer_end_of_text(tokenizer);
  prompt->count = prompt->capacity = 1;
  return gw_tokenizer_encode(tokenizer, g->options->prompt, g->options->prompt_size, prompt);
}

static GwStatus open_generation(const char *path, Generation *g) {
  const GwExecutionOptions *execution = &g->options->execution;
  const GwBackend *backend = NULL;
  GW_TRY(check_options(g->options));
  GW_TRY(gw_backend_choose(execution->backend, execution->isa, &backend));
  GW_TRY(gw_pool_create(execution->threads, &g->pool));
  GW_TRY(gw_loaded_model_open(path, &g->model));
  GW_TRY(encode_prompt(g));
  size_t count = (size_t)gw_tokenizer_vocab_size(g->model.tokenizer);
  g->candidates = calloc(2 * count, sizeof *g->candidates);
  if (!g->candidates) return gw_fail(GW_MEMORY, "no memory to generate");
  const GwModelRecipe *model = &g->model.recipe.model;
  return gw_decoder_create(model, backend, g->pool, g->model.params,
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
  const uint8_t *bytes = gw_tokenizer_bytes(g->model.tokenizer, token, &size);
  return gw_text_stream_push(&g->stream, bytes, size);
}

static GwStatus generate(Generation *g, GwGenerateReport *report) {
  const GwGenerateOptions *options = g->options;
  const GwTokenizer *tokenizer = g->model.tokenizer;
  GwTokenChoice choice = {options->temperature, options->top_k, options->top_p};
  GwRng rng = gw_rng(options->seed, 0);
  const float *logits = NULL;
  report->prompt_tokens = (int64_t)g->prompt.count - 1;
  GW_TRY(gw_text_stream_push(&g->stream, options->prompt, options->prompt_size));
  GW_TRY(gw_decoder_push(g->decoder, g->prompt.ids, (int64_t)g->prompt.count, &logits));
  uint64_t started_ns = gw_clock_ns();
  while (report->tokens < options->tokens) {
    int32_t token = 0;
    GW_TRY(gw_token_choose(&choice, logits, gw_tokenizer_vocab_size(tokenizer), &rng, g->candidates,
                           &token));
    report->ended = token == gw_tokenizer_end_of_text(tokenizer);
    if (report->ended) break;
    GW_TRY(emit_token(g, token));
    if (++report->tokens < options->tokens) GW_TRY(gw_decoder_push(g->decoder, &token, 1, &logits));
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
