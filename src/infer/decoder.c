/* Two decode programs over the same parameters and caches: one for a chunk of tokens, one for a
 * single token. A push reads what the caches lack in whole chunks, then token by token. */
#include "infer/decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "model/model.h"

typedef struct {
  GwDecodeProgram decode;
  GwRunner *runner;
  int64_t rows;
} Reader;

struct GwDecoder {
  Reader chunk, single;
  void *caches;
  int64_t context, vocab_size;
  int32_t *tokens; /* all that were pushed */
  int64_t count, capacity;
  int64_t start, cached; /* the caches hold tokens [start, start + cached) */
};

/* Makes the caches with the first reader; the second has the same layout. */
static GwStatus reader_init(Reader *reader, GwDecoder *decoder, const GwModelRecipe *model,
                            const GwBackend *backend, GwPool *pool, void *params, int64_t rows) {
  GW_TRY(gw_model_decode_program(model, rows, &reader->decode));
  size_t size = (size_t)reader->decode.program.class_bytes[GW_CLASS_STATE];
  if (!decoder->caches) decoder->caches = gw_buffer_create(size);
  if (!decoder->caches)
    return gw_fail(GW_MEMORY, "no memory for key/value caches of %zu MiB", size >> 20);
  void *const base[GW_CLASS_COUNT] = {
      [GW_CLASS_PARAM] = params, [GW_CLASS_STATE] = decoder->caches};
  reader->rows = rows;
  return gw_runner_create(&reader->decode.program, backend, pool, base, &reader->runner);
}

static void reader_deinit(Reader *reader) {
  gw_runner_destroy(reader->runner);
  gw_program_deinit(&reader->decode.program);
}

GwStatus gw_decoder_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                           void *params, int64_t chunk, GwDecoder **out) {
  GW_ASSERT(chunk >= 1 && chunk <= model->context);
  GwDecoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) return gw_fail(GW_MEMORY, "no memory to generate");
  decoder->context = model->context;
  decoder->vocab_size = model->vocab_size;
  GwStatus status = reader_init(&decoder->single, decoder, model, backend, pool, params, 1);
  if (status == GW_OK)
    status = reader_init(&decoder->chunk, decoder, model, backend, pool, params, chunk);
  if (status == GW_OK)
    *out = decoder;
  else
    gw_decoder_destroy(decoder);
  return status;
}

void gw_decoder_destroy(GwDecoder *decoder) {
  if (!decoder) return;
  reader_deinit(&decoder->chunk);
  reader_deinit(&decoder->single);
  gw_buffer_destroy(decoder->caches);
  free(decoder->tokens);
  free(decoder);
}

int64_t gw_decoder_window(int64_t count, int64_t context) {
  int64_t step = context - context / 2;
  return count <= context ? 0 : gw_ceil_div(count - context, step) * step;
}

static GwStatus append(GwDecoder *decoder, const int32_t *tokens, int64_t count) {
  int64_t wanted = decoder->count + count;
  if (wanted > decoder->capacity) {
    int64_t capacity = gw_max_i64(wanted, 2 * decoder->capacity);
    int32_t *grown = realloc(decoder->tokens, (size_t)capacity * sizeof *grown);
    if (!grown) return gw_fail(GW_MEMORY, "no memory for %" PRId64 " tokens", wanted);
    decoder->tokens = grown;
    decoder->capacity = capacity;
  }
  memcpy(decoder->tokens + decoder->count, tokens, (size_t)count * sizeof *tokens);
  decoder->count = wanted;
  return GW_OK;
}

/* Reads the next reader->rows tokens into the caches; *last gets the logits of the last of them. */
static GwStatus read_rows(GwDecoder *decoder, Reader *reader, const float **last) {
  const GwDecodeProgram *decode = &reader->decode;
  int32_t *tokens = gw_runner_value(reader->runner, decode->tokens);
  int32_t *positions = gw_runner_value(reader->runner, decode->positions);
  int32_t *base = gw_runner_value(reader->runner, decode->base);
  memcpy(tokens, decoder->tokens + decoder->start + decoder->cached,
         (size_t)reader->rows * sizeof *tokens);
  for (int64_t i = 0; i < reader->rows; i++) positions[i] = (int32_t)(decoder->cached + i);
  base[0] = (int32_t)decoder->cached;
  GW_TRY(gw_runner_run(reader->runner, (GwLaneKey){0}));
  const float *logits = gw_runner_value(reader->runner, decode->logits);
  *last = logits + (reader->rows - 1) * decoder->vocab_size;
  decoder->cached += reader->rows;
  return GW_OK;
}

GwStatus gw_decoder_push(GwDecoder *decoder, const int32_t *tokens, int64_t count,
                         const float **logits) {
  GW_ASSERT(count >= 1);
  GW_TRY(append(decoder, tokens, count));
  int64_t start = gw_decoder_window(decoder->count, decoder->context);
  if (start != decoder->start) decoder->cached = 0;
  decoder->start = start;
  int64_t length = decoder->count - start;
  const float *last = NULL;
  while (decoder->cached < length) {
    bool whole = length - decoder->cached >= decoder->chunk.rows;
    GW_TRY(read_rows(decoder, whole ? &decoder->chunk : &decoder->single, &last));
  }
  *logits = last;
  return GW_OK;
}
