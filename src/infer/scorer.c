/* Two decode programs over the same parameters and caches, a long one and a short one, which give
 * the logits of all their rows. Rows beyond the sequence's end are filled with token 0: no row sees
 * those behind it. A program may begin with tokens that were read before, since it writes the same
 * keys and values again: so the caches' last rows can be reached. */
#include "infer/scorer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mathd.h"
#include "exec/runner.h"
#include "model/model.h"

/* STREAM_ROWS: reading all weights from memory takes about as long as computing this many rows. */
enum { LONG_ROWS = 128, SHORT_ROWS = 16, STREAM_ROWS = 32 };

typedef struct {
  GwDecodeProgram decode;
  GwRunner *runner;
  int64_t rows;
} Reader;

struct GwScorer {
  Reader longer, shorter;
  GwPool *pool;
  void *caches;
  int64_t context;
  int32_t vocab_size;
  int32_t *cached; /* [T]: the tokens whose keys and values the caches hold ... */
  int64_t count;   /* ... and how many they are */
};

/* Makes the caches with the first reader; the other has the same layout. */
static GwStatus reader_init(Reader *reader, GwScorer *scorer, const GwModelRecipe *model,
                            const GwBackend *backend, void *params, int64_t rows) {
  GW_TRY(gw_model_decode_program(model, rows, rows, &reader->decode));
  size_t size = (size_t)reader->decode.program.class_bytes[GW_CLASS_STATE];
  if (!scorer->caches) scorer->caches = gw_buffer_create(size);
  if (!scorer->caches)
    return gw_fail(GW_MEMORY, "no memory for key/value caches of %zu MiB", size >> 20);
  void *const base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = params, [GW_CLASS_STATE] = scorer->caches};
  reader->rows = rows;
  return gw_runner_create(&reader->decode.program, backend, scorer->pool, base, &reader->runner);
}

static void reader_deinit(Reader *reader) {
  gw_runner_destroy(reader->runner);
  gw_program_deinit(&reader->decode.program);
}

GwStatus gw_scorer_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                          void *params, GwScorer **out) {
  GwScorer *scorer = calloc(1, sizeof *scorer);
  if (!scorer) return gw_fail(GW_MEMORY, "no memory to score");
  scorer->pool = pool;
  scorer->context = model->context;
  scorer->vocab_size = model->vocab_size;
  GwStatus status = GW_OK;
  scorer->cached = calloc((size_t)model->context, sizeof *scorer->cached);
  if (!scorer->cached) status = gw_fail(GW_MEMORY, "no memory to score");
  if (status == GW_OK)
    status = reader_init(&scorer->longer, scorer, model, backend, params,
                         gw_min_i64(LONG_ROWS, model->context));
  if (status == GW_OK)
    status = reader_init(&scorer->shorter, scorer, model, backend, params,
                         gw_min_i64(SHORT_ROWS, model->context));
  if (status == GW_OK)
    *out = scorer;
  else
    gw_scorer_destroy(scorer);
  return status;
}

void gw_scorer_destroy(GwScorer *scorer) {
  if (!scorer) return;
  reader_deinit(&scorer->longer);
  reader_deinit(&scorer->shorter);
  gw_buffer_destroy(scorer->caches);
  free(scorer->cached);
  free(scorer);
}

int64_t gw_scorer_cut(int64_t count, int64_t context) { return gw_max_i64(count - context - 1, 0); }

/* ---- from logits to scores ---- */

typedef struct {
  const float *logits; /* [rows, V] */
  const int32_t *targets;
  int32_t vocab_size;
  GwTokenScore *out;
} Scoring;

/* Where a logit is not finite there is no greedy token: it is -1. */
static void score_row(void *context, int64_t row, int thread) {
  (void)thread;
  const Scoring *scoring = context;
  const float *z = scoring->logits + row * scoring->vocab_size;
  GwTokenScore *out = &scoring->out[row];
  int32_t best = 0;
  bool finite = true;
  for (int32_t v = 0; v < scoring->vocab_size; v++) {
    finite = finite && gw_is_finite((double)z[v]);
    if (z[v] > z[best]) best = v;
  }
  *out = (GwTokenScore){.greedy = -1};
  if (!finite) return;
  double max = (double)z[best], sum = 0;
  for (int32_t v = 0; v < scoring->vocab_size; v++) sum += gw_exp_fast_f64((double)z[v] - max);
  double log_sum = gw_log_f64(sum);
  *out = (GwTokenScore){((double)z[scoring->targets[row]] - max) - log_sum, -log_sum, best};
}

static GwStatus check_scores(const GwTokenScore *scores, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (scores[i].greedy < 0)
      return gw_fail(GW_NUMERIC,
                     "a logit is not a finite number; the model's parameters are not usable");
  return GW_OK;
}

/* ---- reading ---- */

/* Reads tokens [at, at + reader->rows), those beyond `count` being 0. */
static GwStatus read_rows(Reader *reader, const int32_t *tokens, int64_t count, int64_t at) {
  const GwDecodeProgram *decode = &reader->decode;
  int32_t *inputs = gw_runner_value(reader->runner, decode->tokens);
  int32_t *positions = gw_runner_value(reader->runner, decode->positions);
  int32_t *base = gw_runner_value(reader->runner, decode->base);
  for (int64_t i = 0; i < reader->rows; i++) {
    inputs[i] = at + i < count ? tokens[at + i] : 0;
    positions[i] = (int32_t)(at + i);
  }
  base[0] = (int32_t)at;
  return gw_runner_run(reader->runner, (GwLaneKey){0});
}

/* The one that is quicker for `missing` rows. */
static Reader *choose_reader(GwScorer *scorer, int64_t missing) {
  const Reader *longer = &scorer->longer, *shorter = &scorer->shorter;
  int64_t passes = gw_ceil_div(missing, shorter->rows);
  bool at_once = longer->rows + STREAM_ROWS <= passes * (shorter->rows + STREAM_ROWS);
  return at_once ? &scorer->longer : &scorer->shorter;
}

/* How many of the tokens the caches hold; the row before `first` is read in any case. */
static int64_t in_common(const GwScorer *scorer, const int32_t *tokens, int64_t first) {
  int64_t common = 0, most = gw_min_i64(scorer->count, first - 1);
  while (common < most && tokens[common] == scorer->cached[common]) common++;
  return common;
}

GwStatus gw_scorer_run(GwScorer *scorer, const int32_t *tokens, int64_t count, int64_t first,
                       GwTokenScore *out) {
  GW_ASSERT(first >= 1 && first < count && count <= scorer->context + 1);
  int64_t rows = count - 1, begin = in_common(scorer, tokens, first);
  scorer->count = 0; /* should a pass fail */
  while (begin < rows) {
    Reader *reader = choose_reader(scorer, rows - begin);
    int64_t at = gw_min_i64(begin, scorer->context - reader->rows);
    GW_TRY(read_rows(reader, tokens, rows, at));
    int64_t end = gw_min_i64(at + reader->rows, rows), scored = gw_max_i64(begin, first - 1);
    const float *logits = gw_runner_value(reader->runner, reader->decode.logits);
    Scoring scoring = {logits + (scored - at) * scorer->vocab_size, tokens + scored + 1,
                       scorer->vocab_size, out + (scored - (first - 1))};
    if (scored < end) {
      gw_pool_run(scorer->pool, end - scored, score_row, &scoring);
      GW_TRY(check_scores(scoring.out, end - scored));
    }
    begin = end;
  }
  memcpy(scorer->cached, tokens, (size_t)rows * sizeof *tokens);
  scorer->count = rows;
  return GW_OK;
}
