/* Decode programs of several shapes over the same parameters and caches. Readers read one sequence,
 * each an eighth of the tokens of the one before it, down to a single one; tellers do so and give
 * the logits of all rows; steppers read one token of each of 2, 4, 8... sequences. A push reads
 * what the caches lack with the readers that are quickest together. A program may begin with tokens
 * that were read before, since it writes the same keys and values again: so the end of a prompt
 * needs no reading token by token. A teller may go on beyond the end, which no other row sees; a
 * stepper that has room for more sequences than there are writes into a slot that nobody has. */
#include "infer/decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "exec/runner.h"
#include "model/model.h"

/* SHRINK: one program's length over the next one's. STREAM_ROWS: reading all weights from memory
 * takes about as long as computing this many rows. */
enum {
  READERS_MAX = 6,
  STEPPERS_MAX = 16,
  TELLERS = 2,
  TELLER_ROWS = 128, /* of the longer one */
  SHRINK = 8,
  STREAM_ROWS = 32
};

typedef struct {
  GwDecodeProgram decode;
  GwRunner *runner;
  int64_t rows;
} Reader;

typedef struct {
  int32_t *tokens; /* all that were pushed */
  int64_t count;
  size_t capacity;
  int64_t start, cached; /* the caches hold tokens [start, start + cached) */
} Sequence;

/* What programs are made from. */
typedef struct {
  const GwModelRecipe *model;
  const GwBackend *backend;
  GwPool *pool;
  void *params;
} Maker;

struct GwDecoder {
  Maker maker;
  Reader readers[READERS_MAX]; /* the longest first, the last one for a single token */
  int reader_count;
  Reader steppers[STEPPERS_MAX]; /* the narrowest first */
  int stepper_count;
  Reader tellers[TELLERS]; /* the longer first; made when they are wanted */
  int teller_count;
  void *caches;
  int64_t context;
  Sequence *sequences; /* [slots] */
  int64_t slots;
};

/* Makes the caches with the first reader; the others have the same layout. */
static GwStatus reader_init(Reader *reader, GwDecoder *decoder, GwDecodeShape shape) {
  const Maker *m = &decoder->maker;
  shape.slots = decoder->slots + (decoder->slots > 1); /* and the one that nobody has */
  GW_TRY(gw_model_decode_program(m->model, shape, &reader->decode));
  size_t size = (size_t)reader->decode.program.class_bytes[GW_CLASS_STATE];
  if (!decoder->caches) decoder->caches = gw_buffer_create(size);
  if (!decoder->caches)
    return gw_fail(GW_MEMORY, "no memory for key/value caches of %zu MiB", size >> 20);
  void *const base[GW_CLASS_COUNT] = {
      [GW_CLASS_PARAM] = m->params, [GW_CLASS_STATE] = decoder->caches};
  reader->rows = shape.sequences * shape.rows;
  GW_TRY(gw_runner_create(&reader->decode.program, m->backend, m->pool, base, &reader->runner));
  if (shape.wanted < reader->rows)
    *(int32_t *)gw_runner_value(reader->runner, reader->decode.wanted) = (int32_t)shape.rows - 1;
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

static GwStatus make_readers(GwDecoder *decoder, int64_t chunk) {
  for (int64_t rows = chunk; rows >= 1; rows = next_length(decoder, rows)) {
    GwDecodeShape shape = {.sequences = 1, .rows = rows, .wanted = 1};
    GW_TRY(reader_init(&decoder->readers[decoder->reader_count++], decoder, shape));
  }
  for (int64_t wide = 1; wide < decoder->slots;) {
    wide = gw_min_i64(2 * wide, decoder->slots);
    GW_ASSERT(decoder->stepper_count < STEPPERS_MAX);
    GwDecodeShape shape = {.sequences = wide, .rows = 1, .wanted = wide};
    GW_TRY(reader_init(&decoder->steppers[decoder->stepper_count++], decoder, shape));
  }
  return GW_OK;
}

static GwStatus make_tellers(GwDecoder *decoder) {
  int64_t rows = gw_min_i64(TELLER_ROWS, decoder->context);
  for (; decoder->teller_count < TELLERS; rows = gw_ceil_div(rows, SHRINK)) {
    GwDecodeShape shape = {.sequences = 1, .rows = rows, .wanted = rows};
    GW_TRY(reader_init(&decoder->tellers[decoder->teller_count++], decoder, shape));
  }
  return GW_OK;
}

GwStatus gw_decoder_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                           void *params, int64_t slots, int64_t chunk, GwDecoder **out) {
  GW_ASSERT(chunk >= 1 && chunk <= model->context && slots >= 1);
  GwDecoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) return gw_fail(GW_MEMORY, "no memory to generate");
  decoder->maker = (Maker){model, backend, pool, params};
  decoder->context = model->context;
  decoder->slots = slots;
  decoder->sequences = calloc((size_t)slots, sizeof *decoder->sequences);
  GwStatus status = decoder->sequences ? make_readers(decoder, chunk)
                                       : gw_fail(GW_MEMORY, "no memory to generate");
  if (status == GW_OK)
    *out = decoder;
  else
    gw_decoder_destroy(decoder);
  return status;
}

void gw_decoder_destroy(GwDecoder *decoder) {
  if (!decoder) return;
  for (int i = 0; i < decoder->reader_count; i++) reader_deinit(&decoder->readers[i]);
  for (int i = 0; i < decoder->stepper_count; i++) reader_deinit(&decoder->steppers[i]);
  for (int i = 0; i < decoder->teller_count; i++) reader_deinit(&decoder->tellers[i]);
  gw_buffer_destroy(decoder->caches);
  for (int64_t i = 0; decoder->sequences && i < decoder->slots; i++)
    free(decoder->sequences[i].tokens);
  free(decoder->sequences);
  free(decoder);
}

void gw_decoder_truncate(GwDecoder *decoder, int64_t slot, int64_t count) {
  Sequence *sequence = &decoder->sequences[slot];
  GW_ASSERT(count >= 0 && count <= sequence->count && (count == 0 || sequence->start == 0));
  sequence->count = count;
  sequence->cached = gw_min_i64(sequence->start ? 0 : sequence->cached, count);
  sequence->start = 0;
}

int64_t gw_decoder_window(int64_t count, int64_t context) {
  int64_t step = context - context / 2;
  return count <= context ? 0 : gw_ceil_div(count - context, step) * step;
}

/* Where the window moves on, the caches hold nothing of it. */
static GwStatus append(const GwDecoder *decoder, Sequence *sequence, const int32_t *tokens,
                       int64_t count) {
  int64_t wanted = sequence->count + count, start = gw_decoder_window(wanted, decoder->context);
  if (!GW_GROW(sequence->tokens, sequence->capacity, wanted))
    return gw_fail(GW_MEMORY, "no memory for %" PRId64 " tokens", wanted);
  memcpy(sequence->tokens + sequence->count, tokens, (size_t)count * sizeof *tokens);
  sequence->count = wanted;
  if (start != sequence->start) sequence->cached = 0;
  sequence->start = start;
  return GW_OK;
}

/* Puts tokens [first, first + rows) of a slot's window into rows at.. of the program's inputs, as
 * its sequence number `number`. */
static void set_rows(const GwDecoder *decoder, const Reader *reader, int64_t number, int64_t slot,
                     int64_t first, int64_t rows) {
  const Sequence *sequence = &decoder->sequences[slot];
  int64_t at = number * rows; /* all sequences of a program have as many */
  int32_t *tokens = gw_runner_value(reader->runner, reader->decode.tokens);
  int32_t *positions = gw_runner_value(reader->runner, reader->decode.positions);
  int32_t *base = gw_runner_value(reader->runner, reader->decode.base);
  memcpy(tokens + at, sequence->tokens + sequence->start + first, (size_t)rows * sizeof *tokens);
  for (int64_t i = 0; i < rows; i++) positions[at + i] = (int32_t)(first + i);
  base[number] = (int32_t)(slot * decoder->context + first);
}

/* Reads tokens [first, first + reader->rows) of the slot's window into the caches; *last gets the
 * logits of the last of them. */
static GwStatus read_rows(GwDecoder *decoder, const Reader *reader, int64_t slot, int64_t first,
                          const float **last) {
  set_rows(decoder, reader, 0, slot, first, reader->rows);
  GW_TRY(gw_runner_run(reader->runner, (GwLaneKey){0}));
  *last = gw_runner_value(reader->runner, reader->decode.logits);
  decoder->sequences[slot].cached = first + reader->rows;
  return GW_OK;
}

/* Whether one pass of `rows` tokens is quicker than those of the next shorter program that read the
 * `missing` ones. */
static bool worth_it(int64_t rows, int64_t shorter, int64_t missing) {
  return rows + STREAM_ROWS <= gw_ceil_div(missing, shorter) * (shorter + STREAM_ROWS);
}

/* The program for the next of `missing` tokens of a window of `length`. */
static const Reader *choose_reader(const GwDecoder *decoder, int64_t length, int64_t missing) {
  const Reader *reader = decoder->readers, *single = reader + decoder->reader_count - 1;
  while (reader < single &&
         (reader->rows > length || !worth_it(reader->rows, reader[1].rows, missing)))
    reader++;
  return reader;
}

/* Reads until the caches hold `length` tokens of the slot's window; *last as for read_rows. */
static GwStatus read_up_to(GwDecoder *decoder, int64_t slot, int64_t length, const float **last) {
  Sequence *sequence = &decoder->sequences[slot];
  while (sequence->cached < length) {
    const Reader *reader = choose_reader(decoder, length, length - sequence->cached);
    int64_t first = gw_min_i64(sequence->cached, length - reader->rows);
    GW_TRY(read_rows(decoder, reader, slot, first, last));
  }
  return GW_OK;
}

GwStatus gw_decoder_push(GwDecoder *decoder, int64_t slot, const int32_t *tokens, int64_t count,
                         const float **logits) {
  GW_ASSERT(count >= 1 && slot >= 0 && slot < decoder->slots);
  Sequence *sequence = &decoder->sequences[slot];
  const float *last = NULL;
  GW_TRY(append(decoder, sequence, tokens, count));
  GW_TRY(read_up_to(decoder, slot, sequence->count - sequence->start, &last));
  *logits = last;
  return GW_OK;
}

/* The teller that is quicker for `missing` rows. */
static const Reader *choose_teller(const GwDecoder *decoder, int64_t missing) {
  const Reader *longer = &decoder->tellers[0], *shorter = &decoder->tellers[1];
  return worth_it(longer->rows, shorter->rows, missing) ? longer : shorter;
}

/* Tokens from `first` on of the slot's window, as many as the teller has rows; beyond the end of
 * the sequence it reads token 0. */
static GwStatus tell_rows(GwDecoder *decoder, const Reader *teller, int64_t slot, int64_t first) {
  const Sequence *sequence = &decoder->sequences[slot];
  int64_t some = gw_min_i64(teller->rows, sequence->count - first);
  int32_t *tokens = gw_runner_value(teller->runner, teller->decode.tokens);
  int32_t *positions = gw_runner_value(teller->runner, teller->decode.positions);
  set_rows(decoder, teller, 0, slot, first, some);
  for (int64_t i = some; i < teller->rows; i++) {
    tokens[i] = 0;
    positions[i] = (int32_t)(first + i);
  }
  return gw_runner_run(teller->runner, (GwLaneKey){0});
}

GwStatus gw_decoder_read(GwDecoder *decoder, int64_t slot, const int32_t *tokens, int64_t count,
                         GwLogitsVisit *visit, void *context) {
  Sequence *sequence = &decoder->sequences[slot];
  int64_t before = sequence->count;
  GW_ASSERT(count >= 1 && before + count <= decoder->context && sequence->cached == before);
  if (decoder->teller_count == 0) GW_TRY(make_tellers(decoder));
  GW_TRY(append(decoder, sequence, tokens, count));
  while (sequence->cached < sequence->count) {
    const Reader *teller = choose_teller(decoder, sequence->count - sequence->cached);
    int64_t first = gw_min_i64(sequence->cached, decoder->context - teller->rows);
    GW_TRY(tell_rows(decoder, teller, slot, first));
    int64_t skipped = sequence->cached - first;
    int64_t rows = gw_min_i64(teller->rows - skipped, sequence->count - sequence->cached);
    const float *logits = gw_runner_value(teller->runner, teller->decode.logits);
    GW_TRY(visit(context, sequence->cached - before, rows,
                 logits + skipped * decoder->maker.model->vocab_size));
    sequence->cached += rows;
  }
  return GW_OK;
}

/* The last token of each sequence, in one pass. */
static GwStatus step(GwDecoder *decoder, const int64_t *slots, int64_t count,
                     const float **logits) {
  const Reader *stepper = decoder->steppers;
  while (stepper->rows < count) stepper++;
  for (int64_t i = 0; i < count; i++) {
    Sequence *sequence = &decoder->sequences[slots[i]];
    set_rows(decoder, stepper, i, slots[i], sequence->cached, 1);
    sequence->cached++;
  }
  for (int64_t i = count; i < stepper->rows; i++) {
    ((int32_t *)gw_runner_value(stepper->runner, stepper->decode.tokens))[i] = 0;
    ((int32_t *)gw_runner_value(stepper->runner, stepper->decode.positions))[i] = 0;
    ((int32_t *)gw_runner_value(stepper->runner, stepper->decode.base))[i] =
        (int32_t)(decoder->slots * decoder->context);
  }
  GW_TRY(gw_runner_run(stepper->runner, (GwLaneKey){0}));
  *logits = gw_runner_value(stepper->runner, stepper->decode.logits);
  return GW_OK;
}

GwStatus gw_decoder_step(GwDecoder *decoder, const int64_t *slots, const int32_t *tokens,
                         int64_t count, const float **logits) {
  GW_ASSERT(count >= 1 && count <= decoder->slots);
  if (count == 1) return gw_decoder_push(decoder, slots[0], tokens, 1, logits);
  for (int64_t i = 0; i < count; i++) {
    Sequence *sequence = &decoder->sequences[slots[i]];
    const float *unused;
    GW_TRY(append(decoder, sequence, &tokens[i], 1));
    GW_TRY(read_up_to(decoder, slots[i], sequence->count - sequence->start - 1, &unused));
  }
  return step(decoder, slots, count, logits);
}
