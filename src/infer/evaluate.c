/* The loss program over batches of windows, and over single windows where few are left. A window's
 * row of targets holds -1 where the token was scored by an earlier window or lies beyond the
 * stream's end; rows of a batch that no window needs are all -1. Losses are summed as integers,
 * 2^-32 nats each, so every grouping gives one sum. */
#include "infer/evaluate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "data/corpus_manifest.h"
#include "godwit/log.h"
#include "model/model.h"
#include "op/constants.h"

/* PASS_ROWS: a pass takes as long as this many tokens more than it has. */
enum { BATCH_TOKENS = 4096, PASS_ROWS = 32 };

typedef struct {
  GwLaneProgram loss;
  GwRunner *runner;
  int64_t windows;
} Scorer;

struct GwEvaluator {
  Scorer batch, single;
  int64_t context; /* T */
  int32_t vocab_size;
  int32_t *window; /* [T+1] */
  GwWorld *world;  /* who shares the work; NULL: nobody */
};

int64_t gw_evaluator_batch(const GwModelRecipe *model) {
  return gw_max_i64(1, BATCH_TOKENS / model->context);
}

GwStatus gw_evaluator_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                             void *params, GwEvaluator **out) {
  GwWorkspace own = {NULL, NULL};
  return gw_evaluator_create_in(&own, gw_evaluator_batch(model), model, backend, pool, params, out);
}

static GwStatus scorer_init(Scorer *scorer, const GwWorkspace *workspace, int64_t windows,
                            const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                            void *params) {
  void *const base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = params};
  scorer->windows = windows;
  GW_TRY(gw_model_loss_program(model, windows, &scorer->loss));
  return gw_runner_create_in(workspace, &scorer->loss.program, backend, pool, base,
                             &scorer->runner);
}

static void scorer_deinit(Scorer *scorer) {
  gw_runner_destroy(scorer->runner);
  gw_program_deinit(&scorer->loss.program);
}

GwStatus gw_evaluator_create_in(const GwWorkspace *workspace, int64_t batch,
                                const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                                void *params, GwEvaluator **out) {
  GwEvaluator *evaluator = calloc(1, sizeof *evaluator);
  if (!evaluator) return gw_fail(GW_MEMORY, "no memory to evaluate");
  evaluator->context = model->context;
  evaluator->vocab_size = model->vocab_size;
  GwStatus status = GW_OK;
  evaluator->window = calloc((size_t)evaluator->context + 1, sizeof *evaluator->window);
  if (!evaluator->window) status = gw_fail(GW_MEMORY, "no memory to evaluate");
  if (status == GW_OK)
    status = scorer_init(&evaluator->batch, workspace, batch, model, backend, pool, params);
  if (status == GW_OK && batch > 1)
    status = scorer_init(&evaluator->single, workspace, 1, model, backend, pool, params);
  if (status == GW_OK)
    *out = evaluator;
  else
    gw_evaluator_destroy(evaluator);
  return status;
}

void gw_evaluator_share(GwEvaluator *evaluator, GwWorld *world, const GwObserver *watch) {
  evaluator->world = world;
  gw_runner_observe(evaluator->batch.runner, watch);
  if (evaluator->single.runner) gw_runner_observe(evaluator->single.runner, watch);
}

void gw_evaluator_destroy(GwEvaluator *evaluator) {
  if (!evaluator) return;
  scorer_deinit(&evaluator->single);
  scorer_deinit(&evaluator->batch);
  free(evaluator->window);
  free(evaluator);
}

/* One evaluation under way. */
typedef struct {
  GwEvaluator *evaluator;
  GwTokenSource *source;
  void *context;
  const GwTokenizer *tokenizer;
  int64_t count, stride;
  int64_t start;    /* of the next window */
  int64_t next;     /* the first token not scored yet */
  int64_t whole;    /* nats so far: whole ... */
  int64_t fraction; /* ... and the rest, in units of 2^-32, below 2^32 */
  int64_t tokens, bytes;
  int64_t batches; /* so far, everybody's */
} Pass;

static int64_t text_bytes(const GwTokenizer *tokenizer, int32_t token) {
  size_t size = 0;
  if (!tokenizer) return 0;
  (void)gw_tokenizer_bytes(tokenizer, token, &size);
  return (int64_t)size;
}

/* Puts the next window into row `row` of the scorer's batch. */
static GwStatus fill_row(Pass *pass, const Scorer *scorer, int64_t row) {
  GwEvaluator *evaluator = pass->evaluator;
  int64_t length = gw_min_i64(evaluator->context, pass->count - 1 - pass->start);
  int32_t *tokens = gw_runner_value(scorer->runner, scorer->loss.tokens);
  int32_t *targets = gw_runner_value(scorer->runner, scorer->loss.targets);
  int32_t *positions = gw_runner_value(scorer->runner, scorer->loss.positions);
  int64_t at = row * evaluator->context;
  GW_TRY(pass->source(pass->context, (uint64_t)pass->start, length, evaluator->window,
                      positions + at));
  memcpy(tokens + at, evaluator->window, (size_t)length * sizeof *tokens);
  for (int64_t i = pass->next - pass->start - 1; i < length; i++) {
    targets[at + i] = evaluator->window[i + 1];
    pass->bytes += text_bytes(pass->tokenizer, targets[at + i]);
  }
  pass->next = pass->start + length + 1;
  pass->start += pass->stride;
  return GW_OK;
}

static GwStatus fill_batch(Pass *pass, const Scorer *scorer) {
  int64_t rows = scorer->windows * pass->evaluator->context;
  int32_t *targets = gw_runner_value(scorer->runner, scorer->loss.targets);
  size_t size = (size_t)rows * sizeof *targets;
  memset(gw_runner_value(scorer->runner, scorer->loss.tokens), 0, size);
  memset(gw_runner_value(scorer->runner, scorer->loss.positions), 0, size);
  for (int64_t i = 0; i < rows; i++) targets[i] = -1;
  for (int64_t row = 0; row < scorer->windows && pass->next < pass->count; row++)
    GW_TRY(fill_row(pass, scorer, row));
  return GW_OK;
}

/* Single windows when the rest takes less time that way. */
static const Scorer *choose_scorer(const Pass *pass) {
  const GwEvaluator *evaluator = pass->evaluator;
  int64_t context = evaluator->context, beyond = pass->count - 1 - context - pass->start;
  int64_t left = 1 + gw_ceil_div(gw_max_i64(beyond, 0), pass->stride);
  int64_t singly = left * (context + PASS_ROWS);
  int64_t at_once = evaluator->batch.windows * context + PASS_ROWS;
  return singly < at_once ? &evaluator->single : &evaluator->batch;
}

static void carry(Pass *pass) {
  pass->whole += pass->fraction >> 32;
  pass->fraction &= INT64_C(0xffffffff);
}

/* Batches are dealt to ranks in turn. */
static bool is_ours(Pass *pass) {
  GwWorld *world = pass->evaluator->world;
  int64_t number = pass->batches++;
  return !world || number % gw_world_place(world)->ranks == gw_world_place(world)->rank;
}

static GwStatus run_batch(Pass *pass) {
  const Scorer *scorer = choose_scorer(pass);
  int64_t *tally = gw_runner_value(scorer->runner, scorer->loss.tally);
  int64_t scored = pass->next, bytes = pass->bytes;
  GW_TRY(fill_batch(pass, scorer));
  if (!is_ours(pass)) {
    pass->bytes = bytes;
    return GW_OK;
  }
  memset(tally, 0, 3 * sizeof *tally);
  GW_TRY(gw_runner_run(scorer->runner, (GwLaneKey){0}));
  if (tally[2] != 0)
    return gw_fail(GW_NUMERIC,
                   "%" PRId64 " of the losses of tokens %" PRId64 " to %" PRId64
                   " are NaN or out of range; the model's parameters are not usable",
                   tally[2], scored, pass->next - 1);
  pass->fraction += tally[0];
  carry(pass);
  pass->tokens += tally[1];
  return GW_OK;
}

/* What all ranks have found, at every one of them. */
static GwStatus add_up(Pass *pass) {
  GwWorld *world = pass->evaluator->world;
  int64_t mine[4] = {pass->whole, pass->fraction, pass->tokens, pass->bytes}, sum[4] = {0};
  if (!world) return GW_OK;
  int32_t ranks = gw_world_place(world)->ranks;
  int64_t(*all)[4] = calloc((size_t)ranks, sizeof *all);
  if (!all) return gw_fail(GW_MEMORY, "no memory to evaluate");
  GwStatus status = gw_world_gather(world, mine, sizeof mine, all);
  for (int32_t r = 0; r < ranks; r++)
    for (int i = 0; i < 4; i++) sum[i] += all[r][i];
  free(all);
  pass->whole = sum[0];
  pass->fraction = sum[1];
  pass->tokens = sum[2];
  pass->bytes = sum[3];
  carry(pass);
  return status;
}

static GwStatus run_all(Pass *pass, GwProgress *progress) {
  while (pass->next < pass->count) {
    GW_TRY(run_batch(pass));
    if (progress)
      gw_progress_update(progress, (double)pass->next / (double)pass->count, "%" PRId64 " tokens",
                         pass->tokens);
  }
  return add_up(pass);
}

static GwEvaluation result_of(const Pass *pass) {
  const double ln2 = 0.69314718055994531;
  GwEvaluation result = {.tokens = pass->tokens, .bytes = pass->bytes};
  result.nats = (double)pass->whole + (double)pass->fraction * GW_LOSS_UNIT;
  result.nats_per_token = result.nats / (double)pass->tokens;
  if (pass->bytes > 0) result.bits_per_byte = result.nats / ln2 / (double)pass->bytes;
  result.perplexity = gw_exp_f64(result.nats_per_token < 700 ? result.nats_per_token : 700);
  return result;
}

static GwStatus check_vocabulary(const GwEvaluator *evaluator, int32_t vocab_size) {
  if (vocab_size <= evaluator->vocab_size) return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "the data's vocabulary has %" PRId32 " tokens, but the model knows %" PRId32
                 "; use data prepared with the model's tokenizer",
                 vocab_size, evaluator->vocab_size);
}

GwStatus gw_evaluator_run(GwEvaluator *evaluator, GwTokenSource *source, void *context,
                          uint64_t count, int64_t stride, const GwTokenizer *tokenizer,
                          const char *progress, GwEvaluation *out) {
  GW_ASSERT(stride >= 1 && stride <= evaluator->context);
  if (count < 2)
    return gw_fail(GW_INVALID, "the text has %" PRIu64 " tokens; at least 2 are needed", count);
  if (tokenizer) GW_TRY(check_vocabulary(evaluator, gw_tokenizer_vocab_size(tokenizer)));
  Pass pass = {.evaluator = evaluator,
               .source = source,
               .context = context,
               .tokenizer = tokenizer,
               .count = (int64_t)count,
               .stride = stride,
               .next = 1};
  GwProgress line;
  if (progress) gw_progress_begin(&line, progress);
  GwStatus status = run_all(&pass, progress ? &line : NULL);
  if (progress) gw_progress_end(&line, "%" PRId64 " tokens", pass.tokens);
  GW_TRY(status);
  GW_ASSERT(pass.tokens == pass.count - 1);
  *out = result_of(&pass);
  return GW_OK;
}

typedef struct {
  const GwCorpus *corpus;
  GwSplit split;
} SplitSource;

static GwStatus read_split(void *context, uint64_t first, int64_t count, int32_t *tokens,
                           int32_t *positions) {
  const SplitSource *from = context;
  GW_TRY(gw_corpus_read(from->corpus, from->split, first, (uint64_t)count + 1, tokens));
  gw_corpus_positions(from->corpus, from->split, first, tokens, count, positions);
  return GW_OK;
}

GwStatus gw_evaluator_corpus(GwEvaluator *evaluator, const GwCorpus *corpus, GwSplit split,
                             int64_t max_tokens, int64_t stride, const char *progress,
                             GwEvaluation *out) {
  SplitSource from = {corpus, split};
  uint64_t count = gw_corpus_tokens(corpus, split);
  if (max_tokens > 0 && count > (uint64_t)max_tokens) count = (uint64_t)max_tokens;
  if (count < 2)
    return gw_fail(GW_INVALID, "%s: its %s split has %" PRIu64 " tokens; at least 2 are needed",
                   gw_corpus_dir(corpus), gw_split_name(split), count);
  GW_TRY(check_vocabulary(evaluator, gw_corpus_vocab_min(corpus)));
  return gw_evaluator_run(evaluator, read_split, &from, count, stride, gw_corpus_tokenizer(corpus),
                          progress, out);
}
