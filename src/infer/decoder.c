/* Decode programs of several lengths over the same parameters and caches, each an eighth of the one
 * before it, down to a single token. A push reads what the caches lack with the programs that are
 * quickest together. A program may begin with tokens that were read before, since it writes the
 * same keys and values again: so the end of a prompt needs no reading token by token. */
#include "infer/decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "exec/runner.h"
#include "model/model.h"

/* SHRINK: one program's length over the next one's. STREAM_ROWS: reading all weights from memory
 * takes about as long as computing this many rows. */
enum { READERS_MAX = 6, SHRINK = 8, STREAM_ROWS = 32 };

typedef struct {
  GwDecodeProgram decode;
  GwRunner *runner;
  int64_t rows;
} Reader;

struct GwDecoder {
  Reader readers[READERS_MAX]; /* the longest first, the last one for a single token */
  int reader_count;
  void *caches;
  int64_t context;
  int32_t *tokens; /* all that were pushed */
  int64_t count;
  size_t capacity;
  int64_t start, cached; /* the caches hold tokens [start, start + cached) */
};

/* Makes the caches with the first reader; the others have the same layout. */
static GwStatus reader_init(Reader *reader, GwDecoder *decoder, const GwModelRecipe *model,
                            const GwBackend *backend, GwPool *pool, void *params, int64_t rows) {
  GW_TRY(gw_model_decode_program(model, rows, 1, &reader->decode));
  size_t size = (size_t)reader->decode.program.class_bytes[GW_CLASS_STATE];
  if (!decoder->caches) decoder->caches = gw_buffer_create(size);
  if (!decoder->caches)
    return gw_fail(GW_MEMORY, "no memory for key/value caches of %zu MiB", size >> 20);
  void *const base[GW_CLASS_COUNT] = {
      [GW_CLASS_PARAM] = params, [GW_CLASS_STATE] = decoder->caches};
  reader->rows = rows;
  GW_TRY(gw_runner_create(&reader->decode.program, backend, pool, base, &reader->runner));
  if (rows > 1)
    *(int32_t *)gw_runner_value(reader->runner, reader->decode.wanted) = (int32_t)rows - 1;
  return GW_OK;
}

static void reader_deinit(Reader *reader) {
  gw_runner_destroy(reader->runner);
  gw_program_deinit(&reader->decode.program);
}

/* After a program for `rows` tokens; 0 after that for a single one. */
static int64_t next_length(const GwDecoder *decoder, int64_t rows) {
  if (rows == 1) return 0;
  bool last = decoder->reader_count == READERS_MAX - 1;
  return last || rows < SHRINK * SHRINK ? 1 : rows / SHRINK;
}

GwStatus gw_decoder_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                           void *params, int64_t chunk, GwDecoder **out) {
  GW_ASSERT(chunk >= 1 && chunk <= model->context);
  GwDecoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) return gw_fail(GW_MEMORY, "no memory to generate");
  decoder->context = model->context;
  GwStatus status = GW_OK;
  for (int64_t rows = chunk; rows >= 1 && status == GW_OK; rows = next_length(decoder, rows))
    status = reader_init(&decoder->readers[decoder->reader_count++], decoder, model, backend, pool,
                         params, rows);
  if (status == GW_OK)
    *out = decoder;
  else
    gw_decoder_destroy(decoder);
  return status;
}

void gw_decoder_destroy(GwDecoder *decoder) {
  if (!decoder) return;
  for (int i = 0; i < decoder->reader_count; i++) reader_deinit(&decoder->readers[i]);
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
  if (!GW_GROW(decoder->tokens, decoder->capacity, wanted))
    return gw_fail(GW_MEMORY, "no memory for %" PRId64 " tokens", wanted);
  memcpy(decoder->tokens + decoder->count, tokens, (size_t)count * sizeof *tokens);
  decoder->count = wanted;
  return GW_OK;
}

/* Reads tokens [first, first + reader->rows) of the window into the caches; *last gets the logits
 * of the last of them. */
static GwStatus read_rows(GwDecoder *decoder, Reader *reader, int64_t first, const float **last) {
  const GwDecodeProgram *decode = &reader->decode;
  int32_t *positions = gw_runner_value(reader->runner, decode->positions);
  int32_t *base = gw_runner_value(reader->runner, decode->base);
  memcpy(gw_runner_value(reader->runner, decode->tokens), decoder->tokens + decoder->start + first,
         (size_t)reader->rows * sizeof *decoder->tokens);
  for (int64_t i = 0; i < reader->rows; i++) positions[i] = (int32_t)(first + i);
  base[0] = (int32_t)first;
  GW_TRY(gw_runner_run(reader->runner, (GwLaneKey){0}));
  *last = gw_runner_value(reader->runner, decode->logits);
  decoder->cached = first + reader->rows;
  return GW_OK;
}

/* Whether one pass of `rows` tokens is quicker than those of the next shorter program that read the
 * `missing` ones. */
static bool worth_it(int64_t rows, int64_t shorter, int64_t missing) {
  return rows + STREAM_ROWS <= gw_ceil_div(missing, shorter) * (shorter + STREAM_ROWS);
}

/* The program for the next tokens of a window of `length`. */
static Reader *choose_reader(GwDecoder *decoder, int64_t length) {
  Reader *reader = decoder->readers, *single = reader + decoder->reader_count - 1;
  while (reader < single && (reader->rows > length ||
                             !worth_it(reader->rows, reader[1].rows, length - decoder->cached)))
    reader++;
  return reader;
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
    Reader *reader = choose_reader(decoder, length);
    int64_t first = gw_min_i64(decoder->cached, length - reader->rows);
    GW_TRY(read_rows(decoder, reader, first, &last));
  }
  *logits = last;
  return GW_OK;
}
