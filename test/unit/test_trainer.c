/* The trainer against the numbers contract, in one process:
 *   N1  the same state hash for 1 to 4 threads, every instruction set and the reference kernels
 *   N2  the same state hash however the lanes are ordered, and when two trainers compute half of
 * them each and add their sums and its guards: a changed sum breaks the signature, a NaN is named,
 * every op passes its check. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "train/trainer.h"

enum { VOCAB = 61, STEPS = 4 };

static uint64_t seed;

static GwRecipe small_recipe(GwFamily family) {
  const char *const overrides[] = {
      family == GW_FAMILY_GPT2 ? "model.family=gpt2" : "model.family=llama",
      family == GW_FAMILY_GPT2 ? "model.activation=gelu" : "model.activation=swiglu",
      "model.layers=2",
      "model.width=24",
      "model.heads=4",
      family == GW_FAMILY_GPT2 ? "model.kv_heads=4" : "model.kv_heads=2",
      "model.context=20",
      family == GW_FAMILY_GPT2 ? "model.dropout=0.1" : "model.qk_norm=true",
      "train.lanes=4",
      "train.lane_batch=2",
      "train.schedule.warmup_steps=2"};
  GwRecipe recipe;
  assert_ok(gw_recipe_parse("small", "{}", 2, overrides, (int)GW_COUNT_OF(overrides), &recipe));
  recipe.model.vocab_size = VOCAB;
  return recipe;
}

/* A batch that depends on step and lane only. */
static void fill(const GwTrainer *trainer, const GwRecipe *recipe, int64_t step, int32_t lane) {
  GwLaneInputs in = gw_trainer_inputs(trainer);
  GwRng rng = gw_rng(seed, (uint64_t)step * 1000 + (uint64_t)lane);
  int64_t rows = (int64_t)recipe->train.lane_batch * recipe->model.context;
  for (int64_t i = 0; i < rows; i++) {
    in.tokens[i] = (int32_t)gw_rng_below(&rng, VOCAB);
    in.targets[i] = (int32_t)gw_rng_below(&rng, VOCAB + 1) - 1;
    in.positions[i] = (int32_t)(i % recipe->model.context % 13); /* a document every 13 tokens */
  }
}

static uint64_t run_lanes(GwTrainer *trainer, const GwRecipe *recipe, int64_t step,
                          const int32_t *lanes, int count) {
  uint64_t signature = 0, sum = 0;
  gw_trainer_begin(trainer);
  for (int i = 0; i < count; i++) {
    fill(trainer, recipe, step, lanes[i]);
    assert_ok(gw_trainer_lane(trainer, step, lanes[i], &signature));
    sum += signature;
  }
  return sum;
}

static uint64_t train(const GwRecipe *recipe, const GwBackend *backend, int threads,
                      const int32_t lanes[4], const GwObserver *observer) {
  GwPool *pool;
  GwTrainer *trainer;
  assert_ok(gw_pool_create(threads, &pool));
  assert_ok(gw_trainer_create(recipe, backend, pool, &trainer));
  gw_trainer_observe(trainer, observer);
  for (int64_t step = 0; step < STEPS; step++) {
    GwStepReport report;
    run_lanes(trainer, recipe, step, lanes, 4);
    assert_ok(gw_trainer_end(trainer, step, &report));
    assert_true(report.loss > 0 && report.loss < 10 && report.gradient_norm > 0);
    assert_true(report.state_hash == gw_trainer_hash(trainer, step + 1));
  }
  uint64_t hash = gw_trainer_hash(trainer, STEPS);
  gw_trainer_destroy(trainer);
  gw_pool_destroy(pool);
  return hash;
}

static const int32_t in_order[4] = {0, 1, 2, 3};

static void same_bits_for_threads_and_instruction_sets(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = small_recipe((GwFamily)family);
    uint64_t wanted = train(&recipe, gw_backend_reference(), 2, in_order, NULL);
    for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++)
      for (int threads = 1; threads <= 4; threads++) {
        const GwBackend *backend = gw_backend_cpu((GwIsa)isa);
        if (backend) assert_true(train(&recipe, backend, threads, in_order, NULL) == wanted);
      }
  }
}

static void order_of_lanes_does_not_matter(void **state) {
  (void)state;
  GwRecipe recipe = small_recipe(GW_FAMILY_LLAMA);
  const GwBackend *backend = gw_backend_cpu(gw_isa_best());
  uint64_t wanted = train(&recipe, backend, 1, in_order, NULL);
  const int32_t orders[3][4] = {{3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
  for (int i = 0; i < 3; i++) assert_true(train(&recipe, backend, 1, orders[i], NULL) == wanted);
  recipe.train.seed++; /* and the hash does depend on what it should */
  assert_true(train(&recipe, backend, 1, in_order, NULL) != wanted);
}

static void grouping_of_lanes_does_not_matter(void **state) {
  (void)state;
  GwRecipe recipe = small_recipe(GW_FAMILY_LLAMA);
  const GwBackend *backend = gw_backend_cpu(gw_isa_best());
  uint64_t wanted = train(&recipe, backend, 1, in_order, NULL);
  GwTrainer *a, *b;
  assert_ok(gw_trainer_create(&recipe, backend, NULL, &a));
  assert_ok(gw_trainer_create(&recipe, backend, NULL, &b));
  for (int64_t step = 0; step < STEPS; step++) {
    const int32_t one[1] = {2}, three[3] = {0, 3, 1};
    GwStepReport report;
    run_lanes(a, &recipe, step, one, 1);
    run_lanes(b, &recipe, step, three, 3);
    gw_trainer_add(a, b);
    assert_ok(gw_trainer_end(a, step, &report));
    memcpy(gw_trainer_params(b), gw_trainer_params(a),
           (size_t)gw_trainer_param_bytes(a)); /* what a gather does */
  }
  assert_true(gw_trainer_hash(a, STEPS) == wanted);
  gw_trainer_destroy(a);
  gw_trainer_destroy(b);
}

/* Flips one bit of a gradient sum behind the trainer's back. */
static GwStatus flip_in_last_sum(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)op;
  if (strcmp(def->name, "accumulate") != 0 || *(int *)self == 0) return GW_OK;
  *(int *)self = 0;
  ((int64_t *)call->in[1])[0] ^= INT64_C(1) << 20;
  return GW_OK;
}

/* Before the product of a weight's gradient. */
static GwStatus poison_a_gradient(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)op, (void)self;
  if (strcmp(def->name, "linear_sum") == 0) ((float *)call->in[0])[0] = NAN;
  return GW_OK;
}

static void faults_are_named(void **state) {
  (void)state;
  GwRecipe recipe = small_recipe(GW_FAMILY_LLAMA);
  GwTrainer *trainer;
  GwStepReport report;
  uint64_t signature;
  assert_ok(gw_trainer_create(&recipe, gw_backend_cpu(gw_isa_best()), NULL, &trainer));
  int flips = 1;
  GwObserver flip = {.self = &flips, .after = flip_in_last_sum};
  gw_trainer_observe(trainer, &flip);
  run_lanes(trainer, &recipe, 0, in_order, 4);
  assert_int_equal(flips, 0);
  assert_fails(GW_NUMERIC, "signature", gw_trainer_end(trainer, 0, &report));
  GwObserver poison = {.before = poison_a_gradient};
  gw_trainer_observe(trainer, &poison);
  gw_trainer_begin(trainer);
  fill(trainer, &recipe, 0, 0);
  assert_fails(GW_NUMERIC, "lane 0", gw_trainer_lane(trainer, 0, 0, &signature));
  gw_trainer_destroy(trainer);
}

/* One whole step; the state's hash after it. */
static uint64_t step_hash(GwTrainer *trainer, const GwRecipe *recipe, int64_t step) {
  GwStepReport report;
  run_lanes(trainer, recipe, step, in_order, 4);
  assert_ok(gw_trainer_end(trainer, step, &report));
  return report.state_hash;
}

static void sums_of_earlier_steps_leave_nothing(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = small_recipe((GwFamily)family);
    const GwBackend *backend = gw_backend_cpu(gw_isa_best());
    GwTrainer *clean, *a, *b, *empty;
    GwStepReport report;
    uint64_t signature;
    assert_ok(gw_trainer_create(&recipe, backend, NULL, &clean));
    assert_ok(gw_trainer_create(&recipe, backend, NULL, &a));
    assert_ok(gw_trainer_create(&recipe, backend, NULL, &b));
    assert_ok(gw_trainer_create(&recipe, backend, NULL, &empty));
    uint64_t first = step_hash(clean, &recipe, 0), second = step_hash(clean, &recipe, 1);
    /* a lane that fails, and the step again */
    GwObserver poison = {.after = poison_a_gradient};
    gw_trainer_observe(a, &poison);
    gw_trainer_begin(a);
    fill(a, &recipe, 0, 0);
    assert_fails(GW_NUMERIC, "lane 0", gw_trainer_lane(a, 0, 0, &signature));
    gw_trainer_observe(a, NULL);
    assert_true(step_hash(a, &recipe, 0) == first);
    /* sums added to a trainer without lanes, and none from another without */
    assert_true(step_hash(b, &recipe, 0) == first);
    run_lanes(b, &recipe, 1, in_order, 4);
    step_hash(empty, &recipe, 0);
    gw_trainer_begin(empty);
    gw_trainer_begin(a);
    gw_trainer_add(a, b);
    gw_trainer_add(a, empty);
    assert_ok(gw_trainer_end(a, 1, &report));
    assert_true(report.state_hash == second);
    gw_trainer_destroy(empty);
    gw_trainer_destroy(b);
    gw_trainer_destroy(a);
    gw_trainer_destroy(clean);
  }
}

static void every_op_of_a_step_passes_its_check(void **state) {
  (void)state;
  GwObserver check = gw_observer_check();
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = small_recipe((GwFamily)family);
    train(&recipe, gw_backend_cpu(gw_isa_best()), 2, in_order, &check);
  }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_bits_for_threads_and_instruction_sets),
      cmocka_unit_test(order_of_lanes_does_not_matter),
      cmocka_unit_test(grouping_of_lanes_does_not_matter),
      cmocka_unit_test(faults_are_named),
      cmocka_unit_test(sums_of_earlier_steps_leave_nothing),
      cmocka_unit_test(every_op_of_a_step_passes_its_check),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
