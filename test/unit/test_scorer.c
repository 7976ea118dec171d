/* The scorer: log-probabilities are those of the decoder's logits, bit for bit, whatever was scored
 * before, with how many threads, and from which token on. */
#include "infer/scorer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "infer/decoder.h"
#include "infer/evaluate.h"
#include "infer_support.h"

static uint64_t seed;

enum { CONTEXT = 48, VOCAB = 300, END = 256, TRIES = 40 };

static GwScorer *scorer_of(const GwTestModel *model, const GwBackend *backend, GwPool *pool) {
  GwScorer *scorer = NULL;
  assert_ok(gw_scorer_create(&model->recipe.model, backend, pool, model->params, &scorer));
  return scorer;
}

/* By hand, from the logits of one row. */
static GwTokenScore score_of(const float *logits, int32_t token) {
  int32_t best = 0;
  double sum = 0;
  for (int32_t v = 1; v < VOCAB; v++)
    if (logits[v] > logits[best]) best = v;
  for (int32_t v = 0; v < VOCAB; v++)
    sum += gw_exp_fast_f64((double)logits[v] - (double)logits[best]);
  double log_sum = gw_log_f64(sum);
  return (GwTokenScore){((double)logits[token] - (double)logits[best]) - log_sum, -log_sum, best};
}

static void expect_scores(const GwTokenScore *got, const GwTokenScore *wanted, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    assert_true(got[i].log_probability == wanted[i].log_probability);
    assert_true(got[i].greedy_log_probability == wanted[i].greedy_log_probability);
    assert_int_equal(got[i].greedy, wanted[i].greedy);
  }
}

/* Of all tokens of a sequence but the first, with the decoder, token after token. */
static void decoder_scores(const GwTestModel *model, const GwBackend *backend,
                           const int32_t *tokens, int64_t count, GwTokenScore *out) {
  GwDecoder *decoder = NULL;
  const float *logits = NULL;
  assert_ok(gw_decoder_create(&model->recipe.model, backend, NULL, model->params, 1, 1, &decoder));
  for (int64_t i = 0; i + 1 < count; i++) {
    assert_ok(gw_decoder_push(decoder, 0, tokens + i, 1, &logits));
    out[i] = score_of(logits, tokens[i + 1]);
  }
  gw_decoder_destroy(decoder);
}

static void scores_are_those_of_the_decoders_logits(void **state) {
  (void)state;
  for (int which = 0; which < GW_TEST_MODELS; which++) {
    GwTestModel model;
    gw_test_model_init(&model, which, seed);
    GwRng rng = gw_rng(seed, (uint64_t)which);
    int32_t tokens[CONTEXT + 1];
    GwTokenScore wanted[CONTEXT], got[CONTEXT];
    gw_test_tokens(&rng, VOCAB, END, CONTEXT + 1, tokens);
    for (int b = 0; b < GW_TEST_BACKENDS; b++) {
      decoder_scores(&model, gw_test_backend(b), tokens, CONTEXT + 1, wanted);
      GwScorer *scorer = scorer_of(&model, gw_test_backend(b), NULL);
      for (int64_t count = 2; count <= CONTEXT + 1; count += count < 20 ? 1 : 7) {
        assert_ok(gw_scorer_run(scorer, tokens, count, 1, got));
        expect_scores(got, wanted, count - 1);
      }
      assert_ok(gw_scorer_run(scorer, tokens, CONTEXT + 1, 1, got));
      expect_scores(got, wanted, CONTEXT);
      gw_scorer_destroy(scorer);
    }
    gw_test_model_deinit(&model);
  }
}

/* Sequences that begin alike, one after the other, as choices behind one context are. */
static void what_was_scored_before_changes_nothing(void **state) {
  (void)state;
  GwTestModel model;
  gw_test_model_init(&model, 0, seed);
  GwRng rng = gw_rng(seed, 10);
  for (int threads = 1; threads <= 3; threads++) {
    GwPool *pool = NULL;
    int32_t tokens[CONTEXT + 1];
    GwTokenScore wanted[CONTEXT], got[CONTEXT];
    assert_ok(gw_pool_create(threads, &pool));
    GwScorer *scorer = scorer_of(&model, gw_test_backend(1), pool);
    gw_test_tokens(&rng, VOCAB, END, CONTEXT + 1, tokens);
    for (int i = 0; i < TRIES; i++) {
      int64_t kept = (int64_t)gw_rng_below(&rng, CONTEXT);
      int64_t count = 2 + (int64_t)gw_rng_below(&rng, CONTEXT);
      int64_t first = 1 + (int64_t)gw_rng_below(&rng, (uint64_t)(count - 1));
      gw_test_tokens(&rng, VOCAB, END, CONTEXT + 1 - kept, tokens + kept);
      decoder_scores(&model, gw_test_backend(1), tokens, count, wanted);
      assert_ok(gw_scorer_run(scorer, tokens, count, first, got));
      expect_scores(got, wanted + first - 1, count - first);
    }
    gw_scorer_destroy(scorer);
    gw_pool_destroy(pool);
  }
  gw_test_model_deinit(&model);
}

static void every_context_is_filled_to_its_last_row(void **state) {
  (void)state;
  enum { LONGEST = 300 };
  static const int32_t contexts[] = {1, 9, 17, 129, LONGEST};
  for (size_t i = 0; i < GW_COUNT_OF(contexts); i++) {
    GwTestModel model;
    int32_t tokens[LONGEST + 1], context = contexts[i];
    GwTokenScore wanted[LONGEST], got[LONGEST];
    gw_test_model_init(&model, 1, seed);
    model.recipe.model.context = context;
    model.recipe.model.window = 0;
    GwRng rng = gw_rng(seed, 30);
    gw_test_tokens(&rng, VOCAB, END, context + 1, tokens);
    decoder_scores(&model, gw_test_backend(1), tokens, context + 1, wanted);
    GwScorer *scorer = scorer_of(&model, gw_test_backend(1), NULL);
    for (int64_t first = 1; first <= context; first += 37) {
      assert_ok(gw_scorer_run(scorer, tokens, context + 1, first, got));
      expect_scores(got, wanted + first - 1, context + 1 - first);
    }
    gw_scorer_destroy(scorer);
    gw_test_model_deinit(&model);
  }
}

typedef struct {
  const int32_t *tokens;
} Stream;

static GwStatus read_stream(void *context, uint64_t first, int64_t count, int32_t *tokens,
                            int32_t *positions) {
  const Stream *stream = context;
  memcpy(tokens, stream->tokens + first, ((size_t)count + 1) * sizeof *tokens);
  for (int64_t i = 0; i < count; i++) positions[i] = (int32_t)i;
  return GW_OK;
}

/* Whose losses are f32, so the sum differs by their rounding. */
static void the_sum_is_that_of_the_evaluator(void **state) {
  (void)state;
  GwTestModel model;
  gw_test_model_init(&model, 0, seed);
  GwRng rng = gw_rng(seed, 40);
  int32_t tokens[CONTEXT + 1] = {END};
  for (int i = 1; i <= CONTEXT; i++) tokens[i] = (int32_t)gw_rng_below(&rng, END);
  GwTokenScore scores[CONTEXT];
  GwTokenizer *tokenizer = NULL;
  GwEvaluator *evaluator = NULL;
  GwEvaluation evaluation;
  GwScorer *scorer = scorer_of(&model, gw_test_backend(1), NULL);
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_ok(
      gw_evaluator_create(&model.recipe.model, gw_test_backend(1), NULL, model.params, &evaluator));
  assert_ok(gw_evaluator_run(evaluator, read_stream, &(Stream){tokens}, CONTEXT + 1, CONTEXT,
                             tokenizer, NULL, &evaluation));
  assert_ok(gw_scorer_run(scorer, tokens, CONTEXT + 1, 1, scores));
  double sum = 0;
  for (int i = 0; i < CONTEXT; i++) sum -= scores[i].log_probability;
  assert_true(sum > 100); /* a loss, then, of some nats per token, each within 2^-21 */
  assert_true(sum - evaluation.nats < CONTEXT * 0x1p-21 &&
              evaluation.nats - sum < CONTEXT * 0x1p-21);
  gw_scorer_destroy(scorer);
  gw_evaluator_destroy(evaluator);
  gw_tokenizer_destroy(tokenizer);
  gw_test_model_deinit(&model);
}

static void of_equal_logits_the_lowest_id_is_greedy(void **state) {
  (void)state;
  static const int32_t tokens[] = {END, 7, 299, 0};
  GwTestModel model;
  GwTokenScore scores[3];
  gw_test_model_init(&model, 0, seed);
  memset(model.params, 0, (size_t)model.list.bytes);
  GwScorer *scorer = scorer_of(&model, gw_test_backend(1), NULL);
  assert_ok(gw_scorer_run(scorer, tokens, 4, 1, scores));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(scores[i].greedy, 0);
    assert_true(scores[i].log_probability == -gw_log_f64(VOCAB));
    assert_true(scores[i].greedy_log_probability == -gw_log_f64(VOCAB));
  }
  gw_scorer_destroy(scorer);
  gw_test_model_deinit(&model);
}

/* And what was read on the way to it is not taken for the keys and values of another sequence. */
static void what_is_not_finite_is_refused(void **state) {
  (void)state;
  static const int32_t good[] = {END, 1, 2, 3}, bad[] = {END, 7, 8, 9};
  GwTestModel model;
  GwTokenScore scores[3], wanted[3];
  gw_test_model_init(&model, 0, seed);
  ((float *)model.params)[7 * model.recipe.model.width] = (float)(0.0 / 0.0); /* token 7 */
  decoder_scores(&model, gw_test_backend(1), good, 4, wanted);
  GwScorer *scorer = scorer_of(&model, gw_test_backend(1), NULL);
  assert_ok(gw_scorer_run(scorer, good, 4, 1, scores));
  expect_scores(scores, wanted, 3);
  assert_fails(GW_NUMERIC, "not a finite number", gw_scorer_run(scorer, bad, 4, 1, scores));
  assert_ok(gw_scorer_run(scorer, good, 4, 3, scores));
  expect_scores(scores, wanted + 2, 1);
  gw_scorer_destroy(scorer);
  gw_test_model_deinit(&model);
}

static void what_is_too_long_is_cut_on_the_left(void **state) {
  (void)state;
  assert_int_equal(gw_scorer_cut(2, CONTEXT), 0);
  assert_int_equal(gw_scorer_cut(CONTEXT + 1, CONTEXT), 0);
  assert_int_equal(gw_scorer_cut(CONTEXT + 2, CONTEXT), 1);
  assert_int_equal(gw_scorer_cut(3 * CONTEXT, CONTEXT), 2 * CONTEXT - 1);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scores_are_those_of_the_decoders_logits),
      cmocka_unit_test(what_was_scored_before_changes_nothing),
      cmocka_unit_test(every_context_is_filled_to_its_last_row),
      cmocka_unit_test(the_sum_is_that_of_the_evaluator),
      cmocka_unit_test(of_equal_logits_the_lowest_id_is_greedy),
      cmocka_unit_test(what_is_not_finite_is_refused),
      cmocka_unit_test(what_is_too_long_is_cut_on_the_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
