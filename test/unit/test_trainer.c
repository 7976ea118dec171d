/* The trainer against the numbers contract, in one process:
 *   N1  the same state hash for 1 to 4 threads, every instruction set and the reference kernels,
 *       for both dtypes
 *   N2  the same state hash however the lanes are ordered, and when two trainers compute half of
 * them each and add their sums, and however many lanes run at once; and under any memory limit
 * and its guards: a changed sum breaks the signature, a NaN is named, every op passes its check. */
#include "support.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "small_run.h"
#include "train/trainer.h"

enum { VOCAB = 61, STEPS = 4, VARIANTS = 4, UNTIL_CHOSEN = 2 * GW_WAY_TRIALS + 2 };

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
  return gw_test_recipe(overrides, GW_COUNT_OF(overrides), VOCAB);
}

/* Both families with both dtypes. */
static GwRecipe variant_recipe(int variant) {
  GwRecipe recipe = small_recipe(variant / 2 ? GW_FAMILY_GPT2 : GW_FAMILY_LLAMA);
  recipe.model.dtype = variant % 2 ? GW_PROFILE_BF16 : GW_PROFILE_F32;
  return recipe;
}

static void fill(const GwTrainer *trainer, const GwRecipe *recipe, int64_t step, int32_t lane) {
  gw_test_batch(recipe, seed, step, lane, gw_trainer_inputs(trainer));
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
    assert_ok(gw_trainer_end(trainer, step, NULL, &report));
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
  uint64_t before = 0;
  for (int variant = 0; variant < VARIANTS; variant++) {
    GwRecipe recipe = variant_recipe(variant);
    uint64_t wanted = train(&recipe, gw_backend_reference(), 2, in_order, NULL);
    assert_true(wanted != before); /* the dtype does matter */
    before = wanted;
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
    assert_ok(gw_trainer_end(a, step, NULL, &report));
    memcpy(gw_trainer_params(b), gw_trainer_params(a),
           (size_t)gw_trainer_param_bytes(a)); /* what a gather does */
  }
  assert_true(gw_trainer_hash(a, STEPS) == wanted);
  gw_trainer_destroy(a);
  gw_trainer_destroy(b);
}

static GwStatus fill_lane(void *context, int64_t step, int32_t lane, GwLaneInputs in) {
  gw_test_batch(context, seed, step, lane, in);
  return GW_OK;
}

/* `steps` is UNTIL_CHOSEN at least where `way` is undecided. */
static uint64_t train_whole(GwRecipe *recipe, int threads, GwLaneWay way, int64_t steps) {
  GwPool *pool;
  GwTrainer *trainer;
  uint64_t signatures[8];
  assert_ok(gw_pool_create(threads, &pool));
  assert_ok(gw_trainer_create(recipe, gw_backend_cpu(gw_isa_best()), pool, &trainer));
  gw_trainer_set_way(trainer, way);
  for (int64_t step = 0; step < steps; step++) {
    GwStepReport report;
    gw_trainer_begin(trainer);
    assert_ok(gw_trainer_lanes(trainer, step, fill_lane, recipe, signatures));
    assert_ok(gw_trainer_end(trainer, step, NULL, &report));
  }
  assert_int_not_equal(gw_trainer_way(trainer)->chosen, GW_WAY_UNDECIDED);
  uint64_t hash = gw_trainer_hash(trainer, steps);
  gw_trainer_destroy(trainer);
  gw_pool_destroy(pool);
  return hash;
}

static void lanes_at_once_do_not_matter(void **state) {
  (void)state;
  const int32_t lane_counts[] = {2, 5};
  const GwLaneWay ways[] = {GW_WAY_UNDECIDED, GW_WAY_INSIDE, GW_WAY_LANES};
  for (int family = 0; family < 2; family++)
    for (size_t l = 0; l < GW_COUNT_OF(lane_counts); l++) {
      GwRecipe recipe = small_recipe((GwFamily)family);
      recipe.train.lanes = lane_counts[l];
      uint64_t wanted = train_whole(&recipe, 1, GW_WAY_INSIDE, UNTIL_CHOSEN);
      for (int threads = 1; threads <= 4; threads++)
        for (size_t w = 0; w < GW_COUNT_OF(ways); w++)
          assert_true(train_whole(&recipe, threads, ways[w], UNTIL_CHOSEN) == wanted);
    }
}

static void memory_limits_do_not_matter(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = small_recipe((GwFamily)family);
    GwLaneProgram lane;
    GwRecomputation again;
    recipe.model.context = 40; /* activations beyond those of validation */
    recipe.train.lane_batch = 120;
    recipe.train.lanes = 2;
    GwTrainingMemory memory;
    assert_ok(gw_training_memory(&recipe, 1, &memory));
    assert_ok(gw_step_lane_program(&recipe, &lane));
    int64_t most = lane.program.class_bytes[GW_CLASS_ACTIVATION];
    assert_int_equal(most, memory.activations);
    assert_ok(gw_lane_program_fit(&lane, 0, &again));
    int64_t least = lane.program.class_bytes[GW_CLASS_ACTIVATION];
    gw_program_deinit(&lane.program);
    print_message("activations: %lld, at least %lld\n", (long long)most, (long long)least);
    assert_true(least < most / 2);
    uint64_t wanted = train_whole(&recipe, 1, GW_WAY_INSIDE, 2);
    for (int i = 0; i <= 4; i++) {
      recipe.train.memory_limit = memory.total - most + least + (most - least) * i / 4;
      assert_true(train_whole(&recipe, 1, GW_WAY_INSIDE, 2) == wanted);
    }
    int64_t needed = memory.total - most + least;
    char named[64];
    GwTrainer *trainer;
    snprintf(named, sizeof named, " takes at least %" PRId64 ":", needed);
    recipe.train.memory_limit = needed - 1;
    assert_fails(GW_MEMORY, named,
                 gw_trainer_create(&recipe, gw_backend_reference(), NULL, &trainer));
  }
}

/* Nor with recomputed products, whose weights are packed once for all of them. */
static void kept_weights_do_not_matter(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    GwRecipe recipe = small_recipe((GwFamily)(i % 2));
    GwTrainingMemory plain, packed;
    recipe.model.dtype = i / 2 ? GW_PROFILE_BF16 : GW_PROFILE_F32;
    recipe.model.context = 24;
    recipe.train.lane_batch = 12;
    recipe.train.lanes = 3;
    uint64_t wanted = train_whole(&recipe, 1, GW_WAY_INSIDE, STEPS);
    assert_ok(gw_training_memory(&recipe, 1, &plain));
    recipe.train.keep_packed = true;
    assert_ok(gw_training_memory(&recipe, 1, &packed));
    assert_true(packed.packed >= 6 * plain.params / 4 && packed.packed < 10 * plain.params);
    assert_true(packed.total == plain.total + packed.packed);
    for (int threads = 1; threads <= 3; threads += 2)
      assert_true(train_whole(&recipe, threads, GW_WAY_INSIDE, STEPS) == wanted);
    recipe.train.memory_limit = packed.total - packed.activations / 2;
    assert_true(train_whole(&recipe, 1, GW_WAY_INSIDE, STEPS) == wanted);
    recipe.train.lanes = 1; /* nothing to keep them for */
    recipe.train.memory_limit = 0;
    assert_ok(gw_training_memory(&recipe, 1, &packed));
    assert_true(packed.packed == 0);
  }
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
  assert_fails(GW_NUMERIC, "signature", gw_trainer_end(trainer, 0, NULL, &report));
  GwObserver poison = {.before = poison_a_gradient};
  gw_trainer_observe(trainer, &poison);
  gw_trainer_begin(trainer);
  fill(trainer, &recipe, 0, 0);
  assert_fails(GW_NUMERIC, "lane 0", gw_trainer_lane(trainer, 0, 0, &signature));
  gw_trainer_destroy(trainer);
}

/* ---- bf16 against f32 ---- */

/* Sequences with a rule to learn: each token is 5 times the one before, plus 3, and now and then
 * anything. */
static void fill_learnable(const GwTrainer *trainer, const GwRecipe *recipe, GwRng *rng) {
  GwLaneInputs in = gw_trainer_inputs(trainer);
  int64_t rows = (int64_t)recipe->train.lane_batch * recipe->model.context;
  int32_t token = 0;
  for (int64_t i = 0; i < rows; i++) {
    in.tokens[i] = token;
    in.positions[i] = (int32_t)(i % recipe->model.context);
    token = gw_rng_below(rng, 4) ? (5 * token + 3) % VOCAB : (int32_t)gw_rng_below(rng, VOCAB);
    in.targets[i] = token;
  }
}

/* The mean loss of the last 10 of `steps` steps; *first is that of the first one. */
static double learn(const GwRecipe *recipe, int64_t steps, double *first) {
  GwTrainer *trainer;
  GwRng rng = gw_rng(seed, 77);
  double sum = 0;
  assert_ok(gw_trainer_create(recipe, gw_backend_cpu(gw_isa_best()), NULL, &trainer));
  for (int64_t step = 0; step < steps; step++) {
    GwStepReport report;
    uint64_t signature;
    gw_trainer_begin(trainer);
    for (int32_t lane = 0; lane < recipe->train.lanes; lane++) {
      fill_learnable(trainer, recipe, &rng);
      assert_ok(gw_trainer_lane(trainer, step, lane, &signature));
    }
    assert_ok(gw_trainer_end(trainer, step, NULL, &report));
    if (step == 0) *first = report.loss;
    if (step >= steps - 10) sum += report.loss / 10;
  }
  gw_trainer_destroy(trainer);
  return sum;
}

/* The loss of bf16 differs from that of f32 by less than 1 % of what was learnt. */
static void bf16_learns_as_f32_does(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    double loss[2], first = 0;
    for (int dtype = 0; dtype < 2; dtype++) {
      GwRecipe recipe = variant_recipe(2 * family + dtype);
      recipe.train.optimizer.lr = 1e-2;
      loss[dtype] = learn(&recipe, 60, &first);
    }
    print_message("loss %.4f at first, %.5f with f32, %.5f with bf16\n", first, loss[0], loss[1]);
    assert_true(loss[0] < 0.8 * first);
    assert_true(fabs(loss[1] - loss[0]) < 0.01 * (first - loss[0]));
  }
}

typedef struct {
  GwRecipe *recipe;
  int32_t bad, worse; /* lanes */
} BadLanes;

static GwStatus fill_or_fail(void *context, int64_t step, int32_t lane, GwLaneInputs in) {
  const BadLanes *lanes = context;
  if (lane == lanes->bad || lane == lanes->worse)
    return gw_fail(GW_CORRUPT, "lane %d has no data", lane);
  gw_test_batch(lanes->recipe, seed, step, lane, in);
  return GW_OK;
}

static void the_first_lane_that_fails_is_named(void **state) {
  (void)state;
  GwRecipe recipe = small_recipe(GW_FAMILY_LLAMA);
  GwPool *pool;
  GwTrainer *trainer;
  GwStepReport report;
  uint64_t signatures[8];
  recipe.train.lanes = 7;
  uint64_t wanted = train_whole(&recipe, 1, GW_WAY_INSIDE, STEPS);
  assert_ok(gw_pool_create(3, &pool));
  assert_ok(gw_trainer_create(&recipe, gw_backend_cpu(gw_isa_best()), pool, &trainer));
  gw_trainer_set_way(trainer, GW_WAY_LANES);
  for (int round = 0; round < 10; round++) {
    BadLanes lanes = {&recipe, 2, 3};
    gw_trainer_begin(trainer);
    assert_fails(GW_CORRUPT, "lane 2 has no data",
                 gw_trainer_lanes(trainer, 0, fill_or_fail, &lanes, signatures));
  }
  GwObserver poison = {.after = poison_a_gradient};
  gw_trainer_observe(trainer, &poison);
  gw_trainer_begin(trainer);
  assert_fails(GW_NUMERIC, "lane 0", gw_trainer_lanes(trainer, 0, fill_lane, &recipe, signatures));
  gw_trainer_observe(trainer, NULL); /* and nothing of it is left behind */
  for (int64_t step = 0; step < STEPS; step++) {
    gw_trainer_begin(trainer);
    assert_ok(gw_trainer_lanes(trainer, step, fill_lane, &recipe, signatures));
    assert_ok(gw_trainer_end(trainer, step, NULL, &report));
  }
  assert_true(gw_trainer_hash(trainer, STEPS) == wanted);
  gw_trainer_destroy(trainer);
  gw_pool_destroy(pool);
}

/* One whole step; the state's hash after it. */
static uint64_t step_hash(GwTrainer *trainer, const GwRecipe *recipe, int64_t step) {
  GwStepReport report;
  run_lanes(trainer, recipe, step, in_order, 4);
  assert_ok(gw_trainer_end(trainer, step, NULL, &report));
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
    gw_test_batch(&recipe, seed, 0, 0, gw_trainer_inputs(a));
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
    assert_ok(gw_trainer_end(a, 1, NULL, &report));
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
  for (int variant = 0; variant < VARIANTS; variant++) {
    GwRecipe recipe = variant_recipe(variant);
    train(&recipe, gw_backend_cpu(gw_isa_best()), 2, in_order, &check);
  }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_bits_for_threads_and_instruction_sets),
      cmocka_unit_test(order_of_lanes_does_not_matter),
      cmocka_unit_test(grouping_of_lanes_does_not_matter),
      cmocka_unit_test(lanes_at_once_do_not_matter),
      cmocka_unit_test(memory_limits_do_not_matter),
      cmocka_unit_test(kept_weights_do_not_matter),
      cmocka_unit_test(faults_are_named),
      cmocka_unit_test(bf16_learns_as_f32_does),
      cmocka_unit_test(the_first_lane_that_fails_is_named),
      cmocka_unit_test(sums_of_earlier_steps_leave_nothing),
      cmocka_unit_test(every_op_of_a_step_passes_its_check),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
