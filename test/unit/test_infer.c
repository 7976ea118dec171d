/* Inference: the cached pass gives the bits of the uncached one however the tokens are fed, and an
 * evaluation depends on nothing but the model, the tokens and the stride. */
#include "infer_support.h"

#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "exec/runner.h"
#include "infer/decoder.h"
#include "infer/evaluate.h"
#include "op/constants.h"

static uint64_t seed;

enum { CONTEXT = 48, VOCAB = 300, END = 256 };

/* ---- the cached pass ---- */

/* Keeps what the last op of a forward pass reads: the hidden states. */
typedef struct {
  float *hidden;
  size_t bytes;
} Capture;

static GwStatus capture_hidden(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)op;
  Capture *capture = self;
  if (strcmp(def->name, "head_loss") == 0) memcpy(capture->hidden, call->in[0], capture->bytes);
  return GW_OK;
}

/* Logits of every position of a whole-sequence pass, [T,V]: the loss program's hidden states times
 * the head's weights, by the reference of linear. */
static void uncached_logits(const GwTestModel *model, const GwBackend *backend,
                            const int32_t *tokens, float *out) {
  const GwModelRecipe *recipe = &model->recipe.model;
  GwLaneProgram loss;
  GwRunner *runner = NULL;
  assert_ok(gw_model_loss_program(recipe, 1, &loss));
  void *const base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = model->params};
  assert_ok(gw_runner_create(&loss.program, backend, NULL, base, &runner));
  int32_t *positions = gw_runner_value(runner, loss.positions);
  memcpy(gw_runner_value(runner, loss.tokens), tokens, CONTEXT * sizeof *tokens);
  for (int32_t i = 0; i < CONTEXT; i++) positions[i] = i;
  Capture capture = {.bytes = CONTEXT * (size_t)recipe->width * sizeof(float)};
  capture.hidden = malloc(capture.bytes);
  GwObserver observer = {.self = &capture, .before = capture_hidden};
  gw_runner_observe(runner, &observer);
  assert_ok(gw_runner_run(runner, (GwLaneKey){0}));

  const GwProgram *p = &loss.program;
  GwValueId head = 0;
  for (int32_t i = 0; i < p->op_count; i++)
    if (p->ops[i].code == GW_OP_HEAD_LOSS) head = p->ops[i].in[1];
  GwCall call = {.in = {capture.hidden, gw_runner_value(runner, head)}, .out = {out}};
  call.shapes = (GwShapes){
      .in = {gw_type_2d(GW_F32, CONTEXT, recipe->width), gw_type_2d(GW_F32, VOCAB, recipe->width)},
      .has = {true, true},
      .attr = {recipe->dtype == GW_PROFILE_BF16 ? GW_OPERANDS_BF16 : GW_OPERANDS_F32},
      .out = {gw_type_2d(GW_F32, CONTEXT, VOCAB)}};
  const GwOpDef *linear = gw_op_def(GW_OP_LINEAR);
  linear->reference(&call, 0, linear->units(&call.shapes));
  free(capture.hidden);
  gw_runner_destroy(runner);
  gw_program_deinit(&loss.program);
}

static GwDecoder *decoder_of(const GwTestModel *model, const GwBackend *backend, int64_t chunk) {
  GwDecoder *decoder = NULL;
  assert_ok(
      gw_decoder_create(&model->recipe.model, backend, NULL, model->params, 1, chunk, &decoder));
  return decoder;
}

static void cached_logits_are_those_of_a_whole_pass(void **state) {
  (void)state;
  float *expected = malloc(CONTEXT * VOCAB * sizeof *expected);
  for (int which = 0; which < GW_TEST_MODELS; which++) {
    GwTestModel model;
    gw_test_model_init(&model, which, seed);
    GwRng rng = gw_rng(seed, (uint64_t)which);
    int32_t tokens[CONTEXT];
    for (int i = 0; i < CONTEXT; i++) tokens[i] = (int32_t)gw_rng_below(&rng, VOCAB);
    uncached_logits(&model, gw_test_backend(0), tokens, expected);
    for (int b = 0; b < GW_TEST_BACKENDS; b++) {
      static const int64_t chunks[] = {1, 5, 32, CONTEXT};
      for (size_t c = 0; c < GW_COUNT_OF(chunks); c++) {
        GwDecoder *decoder = decoder_of(&model, gw_test_backend(b), chunks[c]);
        for (int64_t done = 0; done < CONTEXT;) {
          int64_t some = 1 + (int64_t)gw_rng_below(&rng, (uint64_t)(CONTEXT - done));
          const float *logits = NULL;
          assert_ok(gw_decoder_push(decoder, 0, tokens + done, some, &logits));
          done += some;
          assert_memory_equal(logits, expected + (done - 1) * VOCAB, VOCAB * sizeof *logits);
        }
        gw_decoder_destroy(decoder);
      }
    }
    gw_test_model_deinit(&model);
  }
  free(expected);
}

static void window_keeps_half_and_never_exceeds_the_context(void **state) {
  (void)state;
  for (int64_t context = 1; context <= 9; context++) {
    int64_t start = 0;
    for (int64_t count = 1; count <= 60; count++) {
      if (count - start > context) start = count - 1 - context / 2; /* kept half, and the new one */
      assert_int_equal(gw_decoder_window(count, context), start);
    }
  }
}

/* Beyond the context: the same bits pushed one by one, in pieces, or all at once, and those of a
 * decoder that was only ever given the window. */
static void long_sequences_depend_on_the_window_only(void **state) {
  (void)state;
  enum { LENGTH = 3 * CONTEXT + 7 };
  GwTestModel model;
  gw_test_model_init(&model, 0, seed);
  const GwBackend *backend = gw_test_backend(1);
  GwRng rng = gw_rng(seed, 9);
  int32_t tokens[LENGTH];
  for (int i = 0; i < LENGTH; i++) tokens[i] = (int32_t)gw_rng_below(&rng, VOCAB);
  GwDecoder *one_by_one = decoder_of(&model, backend, 32);
  for (int64_t count = 1; count <= LENGTH; count++) {
    const float *logits = NULL, *others = NULL;
    assert_ok(gw_decoder_push(one_by_one, 0, &tokens[count - 1], 1, &logits));
    if (count % 13 != 0 && count != LENGTH) continue;
    int64_t start = gw_decoder_window(count, CONTEXT), half = count / 2;
    GwDecoder *pieces = decoder_of(&model, backend, 7), *window = decoder_of(&model, backend, 32);
    assert_ok(gw_decoder_push(pieces, 0, tokens, half, &others));
    assert_ok(gw_decoder_push(pieces, 0, tokens + half, count - half, &others));
    assert_memory_equal(logits, others, VOCAB * sizeof *logits);
    assert_ok(gw_decoder_push(window, 0, tokens + start, count - start, &others));
    assert_memory_equal(logits, others, VOCAB * sizeof *logits);
    gw_decoder_destroy(pieces);
    gw_decoder_destroy(window);
  }
  gw_decoder_destroy(one_by_one);
  gw_test_model_deinit(&model);
}

/* Slots at random get tokens, together or alone, or lose what they have; each has a decoder of its
 * own beside it. Sequences become longer than the context. */
enum { SLOTS = 5, ROUNDS = 160 };

static void check_round(GwDecoder *together, GwDecoder **alone, GwRng *rng) {
  int64_t slots[SLOTS], count = 0;
  int32_t tokens[SLOTS];
  const float *logits = NULL, *expected = NULL;
  for (int64_t s = 0; s < SLOTS; s++) {
    if (gw_rng_below(rng, 3) == 0) continue;
    tokens[count] = (int32_t)gw_rng_below(rng, VOCAB);
    slots[count++] = s;
  }
  if (count == 0) return;
  for (int64_t i = count - 1; i > 0; i--) { /* in any order */
    int64_t j = (int64_t)gw_rng_below(rng, (uint64_t)i + 1), slot = slots[i];
    slots[i] = slots[j];
    slots[j] = slot;
  }
  assert_ok(gw_decoder_step(together, slots, tokens, count, &logits));
  for (int64_t i = 0; i < count; i++) {
    assert_ok(gw_decoder_push(alone[slots[i]], 0, &tokens[i], 1, &expected));
    assert_memory_equal(logits + i * VOCAB, expected, VOCAB * sizeof *logits);
  }
}

static void check_prompt(GwDecoder *together, GwDecoder **alone, GwRng *rng) {
  int32_t prompt[CONTEXT + 9];
  int64_t slot = (int64_t)gw_rng_below(rng, SLOTS);
  int64_t count = 1 + (int64_t)gw_rng_below(rng, GW_COUNT_OF(prompt));
  const float *logits = NULL, *expected = NULL;
  for (int64_t i = 0; i < count; i++) prompt[i] = (int32_t)gw_rng_below(rng, VOCAB);
  if (gw_rng_below(rng, 2)) {
    gw_decoder_truncate(together, slot, 0);
    gw_decoder_truncate(alone[slot], 0, 0);
  }
  assert_ok(gw_decoder_push(together, slot, prompt, count, &logits));
  assert_ok(gw_decoder_push(alone[slot], 0, prompt, count, &expected));
  assert_memory_equal(logits, expected, VOCAB * sizeof *logits);
}

static void sequences_beside_others_have_the_bits_of_one_alone(void **state) {
  (void)state;
  for (int which = 0; which < GW_TEST_MODELS; which++) {
    GwTestModel model;
    gw_test_model_init(&model, which, seed);
    const GwBackend *backend = gw_test_backend(1);
    GwRng rng = gw_rng(seed, 40 + (uint64_t)which);
    GwDecoder *together = NULL, *alone[SLOTS];
    assert_ok(
        gw_decoder_create(&model.recipe.model, backend, NULL, model.params, SLOTS, 7, &together));
    for (int s = 0; s < SLOTS; s++) alone[s] = decoder_of(&model, backend, 32);
    for (int round = 0; round < ROUNDS; round++) {
      if (gw_rng_below(&rng, 12) == 0) check_prompt(together, alone, &rng);
      check_round(together, alone, &rng);
    }
    for (int s = 0; s < SLOTS; s++) gw_decoder_destroy(alone[s]);
    gw_decoder_destroy(together);
    gw_test_model_deinit(&model);
  }
}

/* ---- evaluation ---- */

typedef struct {
  int32_t *tokens;
  uint64_t count;
} Stream;

static GwStatus read_stream(void *context, uint64_t first, int64_t count, int32_t *tokens,
                            int32_t *positions) {
  const Stream *stream = context;
  assert_true(first + (uint64_t)count < stream->count);
  memcpy(tokens, stream->tokens + first, ((size_t)count + 1) * sizeof *tokens);
  gw_positions(tokens, count, END, positions);
  return GW_OK;
}

/* The sum by hand: one window at a time through a loss program of batch 1, each token scored in the
 * first window that reaches it. Returns units of 2^-32 nats. */
static int64_t sum_by_hand(const GwTestModel *model, const Stream *stream, int64_t stride) {
  GwLaneProgram loss;
  GwRunner *runner = NULL;
  assert_ok(gw_model_loss_program(&model->recipe.model, 1, &loss));
  void *const base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = model->params};
  assert_ok(gw_runner_create(&loss.program, gw_test_backend(1), NULL, base, &runner));
  int32_t *tokens = gw_runner_value(runner, loss.tokens);
  int32_t *targets = gw_runner_value(runner, loss.targets);
  int32_t *positions = gw_runner_value(runner, loss.positions);
  int64_t *tally = gw_runner_value(runner, loss.tally), count = (int64_t)stream->count;
  char *scored = calloc((size_t)count, 1);
  for (int64_t start = 0; start + 1 < count; start += stride) {
    for (int64_t i = 0; i < CONTEXT; i++) {
      bool inside = start + i + 1 < count;
      tokens[i] = inside ? stream->tokens[start + i] : 1;
      positions[i] = tokens[i] == END || i == 0 ? 0 : positions[i - 1] + 1;
      targets[i] = inside && !scored[start + i + 1] ? stream->tokens[start + i + 1] : -1;
      if (inside) scored[start + i + 1] = 1;
    }
    assert_ok(gw_runner_run(runner, (GwLaneKey){0}));
  }
  assert_int_equal(tally[1], count - 1);
  assert_int_equal(tally[2], 0);
  int64_t sum = tally[0];
  free(scored);
  gw_runner_destroy(runner);
  gw_program_deinit(&loss.program);
  return sum;
}

static void expect_near(double a, double b) { assert_true(a - b < 1e-12 * b && b - a < 1e-12 * b); }

static void expect_evaluation(const GwTestModel *model, const GwBackend *backend, int threads,
                              Stream *stream, int64_t stride, int64_t sum) {
  GwTokenizer *tokenizer = NULL;
  GwPool *pool = NULL;
  GwEvaluator *evaluator = NULL;
  GwEvaluation result;
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_ok(gw_pool_create(threads, &pool));
  assert_ok(gw_evaluator_create(&model->recipe.model, backend, pool, model->params, &evaluator));
  for (int twice = 0; twice < 2; twice++) {
    assert_ok(gw_evaluator_run(evaluator, read_stream, stream, stream->count, stride, tokenizer,
                               NULL, &result));
    int64_t bytes = 0;
    for (uint64_t i = 1; i < stream->count; i++) bytes += stream->tokens[i] != END;
    assert_true(result.nats == (double)sum * GW_LOSS_UNIT);
    assert_int_equal(result.tokens, stream->count - 1);
    assert_int_equal(result.bytes, bytes);
    assert_true(result.nats_per_token == result.nats / (double)result.tokens);
    expect_near(result.bits_per_byte * (double)bytes * 0.6931471805599453, result.nats);
    expect_near(gw_log_f64(result.perplexity), result.nats_per_token);
  }
  gw_evaluator_destroy(evaluator);
  gw_pool_destroy(pool);
  gw_tokenizer_destroy(tokenizer);
}

static void evaluation_is_the_sum_over_windows(void **state) {
  (void)state;
  static const uint64_t counts[] = {2, CONTEXT, CONTEXT + 1, CONTEXT + 2, 4000, 5000};
  static int32_t tokens[5000];
  GwTestModel model;
  gw_test_model_init(&model, 0, seed);
  assert_int_equal(gw_evaluator_batch(&model.recipe.model), 4096 / CONTEXT);
  GwRng rng = gw_rng(seed, 20);
  gw_test_tokens(&rng, END, END, 5000, tokens);
  for (size_t i = 0; i < GW_COUNT_OF(counts); i++) {
    Stream stream = {tokens, counts[i]};
    int64_t sum = sum_by_hand(&model, &stream, CONTEXT);
    for (int threads = 1; threads <= 3; threads++)
      expect_evaluation(&model, gw_test_backend(1), threads, &stream, CONTEXT, sum);
    if (counts[i] == CONTEXT)
      expect_evaluation(&model, gw_test_backend(0), 2, &stream, CONTEXT, sum);
  }
  gw_test_model_deinit(&model);
}

static void overlapping_windows_score_each_token_once(void **state) {
  (void)state;
  static const int64_t strides[] = {1, 13, CONTEXT - 1};
  static int32_t tokens[200];
  GwTestModel model;
  gw_test_model_init(&model, 2, seed);
  GwRng rng = gw_rng(seed, 21);
  gw_test_tokens(&rng, END, END, 200, tokens);
  int64_t plain = sum_by_hand(&model, &(Stream){tokens, 200}, CONTEXT);
  for (size_t i = 0; i < GW_COUNT_OF(strides); i++) {
    Stream stream = {tokens, 200};
    int64_t sum = sum_by_hand(&model, &stream, strides[i]);
    assert_int_not_equal(sum, plain); /* more context gives other numbers */
    expect_evaluation(&model, gw_test_backend(1), 2, &stream, strides[i], sum);
  }
  gw_test_model_deinit(&model);
}

static void what_cannot_be_evaluated_is_refused(void **state) {
  (void)state;
  int32_t tokens[4] = {END, 1, 2, 3};
  Stream stream = {tokens, 4};
  GwTestModel model;
  GwTokenizer *tokenizer = NULL;
  GwEvaluator *evaluator = NULL;
  GwEvaluation result;
  assert_ok(gw_tokenizer_byte(&tokenizer));
  gw_test_model_init(&model, 0, seed);
  assert_ok(
      gw_evaluator_create(&model.recipe.model, gw_test_backend(1), NULL, model.params, &evaluator));
  assert_fails(
      GW_INVALID, "1 tokens",
      gw_evaluator_run(evaluator, read_stream, &stream, 1, CONTEXT, tokenizer, NULL, &result));
  ((float *)model.params)[2 * model.recipe.model.width] = (float)(0.0 / 0.0); /* token 2 */
  assert_fails(
      GW_NUMERIC, "NaN",
      gw_evaluator_run(evaluator, read_stream, &stream, 4, CONTEXT, tokenizer, NULL, &result));
  gw_evaluator_destroy(evaluator);
  gw_test_model_deinit(&model);

  GwModelRecipe small = model.recipe.model;
  small.vocab_size = 256;
  void *params = calloc(1, 1 << 20);
  assert_ok(gw_evaluator_create(&small, gw_test_backend(1), NULL, params, &evaluator));
  assert_fails(
      GW_MISMATCH, "257 tokens",
      gw_evaluator_run(evaluator, read_stream, &stream, 4, CONTEXT, tokenizer, NULL, &result));
  gw_evaluator_destroy(evaluator);
  free(params);
  gw_tokenizer_destroy(tokenizer);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cached_logits_are_those_of_a_whole_pass),
      cmocka_unit_test(window_keeps_half_and_never_exceeds_the_context),
      cmocka_unit_test(long_sequences_depend_on_the_window_only),
      cmocka_unit_test(sequences_beside_others_have_the_bits_of_one_alone),
      cmocka_unit_test(evaluation_is_the_sum_over_windows),
      cmocka_unit_test(overlapping_windows_score_each_token_once),
      cmocka_unit_test(what_cannot_be_evaluated_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
