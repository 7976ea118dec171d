/* Recomputation: the plan stays within the limit, the verifier accepts it, what does not fit is
 * said, and what is named as the least is enough; nothing but the activations changes. (That no bit
 * changes: test_trainer.c.) */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "op/ops.h"
#include "pass/memory_plan.h"
#include "pass/recompute.h"
#include "small_run.h"
#include "train/training_plan.h"

static GwRecipe recipe_of(GwFamily family) {
  const char *const overrides[] = {
      family == GW_FAMILY_GPT2 ? "model.family=gpt2" : "model.family=llama", "model.layers=6",
      "model.width=48", "model.heads=4", "model.context=40"};
  return gw_test_recipe(overrides, GW_COUNT_OF(overrides), 61);
}

static int64_t activations(const GwProgram *program) {
  return program->class_bytes[GW_CLASS_ACTIVATION];
}

/* The values that are no activations, in order, are those of `plain`. */
static void same_interface(const GwProgram *plain, const GwProgram *program) {
  GwValueId at = 1;
  for (GwValueId id = 1; id < plain->value_count; id++) {
    const GwValue *value = &plain->values[id];
    if (value->class == GW_CLASS_ACTIVATION) continue;
    while (program->values[at].class == GW_CLASS_ACTIVATION) at++;
    assert_string_equal(value->name, program->values[at].name);
    assert_int_equal(value->class, program->values[at].class);
    assert_int_equal(value->offset, program->values[at].offset);
    at++;
  }
}

static void plans_stay_within_the_limit(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = recipe_of((GwFamily)family);
    GwLaneProgram plain, lane;
    assert_ok(gw_step_lane_program(&recipe, &plain));
    int64_t all = activations(&plain.program);
    double share = 0;
    for (int percent = 100; percent >= 0; percent -= 10) {
      GwRecomputation again;
      assert_ok(gw_step_lane_program(&recipe, &lane));
      assert_ok(gw_lane_program_fit(&lane, all * percent / 100, &again));
      assert_ok(gw_program_verify(&lane.program));
      same_interface(&plain.program, &lane.program);
      assert_int_equal(again.count, lane.program.op_count - plain.program.op_count);
      assert_int_equal(again.fits, activations(&lane.program) <= all * percent / 100);
      assert_int_equal(again.count == 0, percent == 100);
      assert_true(again.share >= share && (again.flops > 0) == (again.count > 0));
      assert_true(percent < 60 || again.fits);
      assert_true(percent > 0 || !again.fits);
      share = again.share;
      gw_program_deinit(&lane.program);
    }
    assert_true(share > 0.01);
    gw_program_deinit(&plain.program);
  }
}

/* The activations under a limit, their plan's verdict, and what it costs. */
static int64_t fitted(const GwRecipe *recipe, int64_t limit, GwRecomputation *again) {
  GwLaneProgram lane;
  assert_ok(gw_step_lane_program(recipe, &lane));
  assert_ok(gw_lane_program_fit(&lane, limit, again));
  int64_t bytes = activations(&lane.program);
  gw_program_deinit(&lane.program);
  return bytes;
}

static void the_least_is_exact(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++)
    for (int32_t batch = 1; batch <= 4; batch *= 2) {
      GwRecipe recipe = recipe_of((GwFamily)family);
      GwRecomputation again;
      recipe.train.lane_batch = batch;
      int64_t least = fitted(&recipe, 0, &again);
      double most_time = again.share;
      assert_false(again.fits);
      assert_int_equal(fitted(&recipe, least, &again), least);
      assert_true(again.fits && again.share <= most_time);
      const int64_t too_low[] = {least - 1, least - GW_ALIGN, least / 2};
      for (size_t i = 0; i < GW_COUNT_OF(too_low); i++) {
        assert_int_equal(fitted(&recipe, too_low[i], &again), least);
        assert_false(again.fits);
      }
    }
}

static void a_higher_limit_never_takes_more_time(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = recipe_of((GwFamily)family);
    GwRecomputation again;
    int64_t least = fitted(&recipe, 0, &again), all = fitted(&recipe, INT64_MAX, &again);
    assert_true(least < all && again.share == 0);
    double share = 0;
    for (int64_t i = 0; i <= 20; i++) {
      int64_t limit = all - (all - least) * i / 20;
      assert_true(fitted(&recipe, limit, &again) <= limit);
      assert_true(again.fits && again.share >= share);
      share = again.share;
    }
  }
}

/* x → gelu → sum with x: g could be computed again from x, which is alive anyway. */
static void the_cheapest_is_chosen(void **state) {
  (void)state;
  GwProgram p;
  gw_program_init(&p, "small");
  GwType type = gw_type_2d(GW_F32, 32, 32), square = gw_type_2d(GW_F32, 32, 32);
  GwValueId input = gw_value_add(&p, GW_CLASS_PARAM, type, "input");
  GwValueId weight = gw_value_add(&p, GW_CLASS_PARAM, square, "weight");
  GwValueId x = gw_linear(&p, input, weight, 0, GW_OPERANDS_F32), g = gw_gelu(&p, input), y = input;
  for (int i = 0; i < 4; i++) {
    GwValueId z = gw_gelu(&p, y);
    y = gw_add(&p, z, y); /* three values here, x and g idle */
  }
  y = gw_add(&p, y, x);
  y = gw_add(&p, y, g);
  assert_ok(gw_plan_memory(&p));
  assert_ok(gw_program_verify(&p));
  int64_t one = (int64_t)gw_type_size(&type);
  assert_int_equal(activations(&p), 5 * one);
  GwRecomputation again;
  assert_ok(gw_recompute(&p, 4 * one, &again));
  assert_ok(gw_program_verify(&p));
  assert_true(again.fits);
  assert_int_equal(again.count, 1);
  assert_int_equal(again.by_op[GW_OP_GELU], 1); /* not the product */
  assert_int_equal(activations(&p), 4 * one);
  gw_program_deinit(&p);
}

/* What reads sums or state is never computed twice: these change meanwhile. */
static void what_changes_is_not_read_again(void **state) {
  (void)state;
  for (int family = 0; family < 2; family++) {
    GwRecipe recipe = recipe_of((GwFamily)family);
    GwLaneProgram lane;
    GwRecomputation again;
    int32_t before[GW_OP_COUNT] = {0};
    assert_ok(gw_step_lane_program(&recipe, &lane));
    for (int32_t i = 0; i < lane.program.op_count; i++) before[lane.program.ops[i].code]++;
    assert_ok(gw_lane_program_fit(&lane, 0, &again));
    assert_false(again.fits);
    for (int32_t i = 0; i < lane.program.op_count; i++) before[lane.program.ops[i].code]--;
    assert_int_equal(before[GW_OP_ACCUMULATE], 0);
    assert_int_equal(before[GW_OP_EMBEDDING_SUM], 0);
    assert_int_equal(before[GW_OP_TALLY], 0);
    for (int i = 0; i < GW_OP_COUNT; i++) assert_int_equal(-before[i], again.by_op[i]);
    gw_program_deinit(&lane.program);
  }
}

/* In the message that refuses the recipe's limit. */
static int64_t least_named(const GwRecipe *recipe) {
  GwTrainingMemory memory;
  static const char words[] = " takes at least ";
  assert_fails(GW_MEMORY, words, gw_training_memory(recipe, 1, &memory));
  return strtoll(strstr(gw_error_message(), words) + strlen(words), NULL, 10);
}

static void a_plan_counts_all_memory(void **state) {
  (void)state;
  GwRecipe recipe = recipe_of(GW_FAMILY_GPT2);
  GwTrainingMemory all, less;
  assert_ok(gw_training_memory(&recipe, 1, &all));
  recipe.train.memory_limit = all.total - all.activations / 3;
  assert_ok(gw_training_memory(&recipe, 1, &less));
  assert_true(less.total <= recipe.train.memory_limit);
  assert_true(less.activations < all.activations);
  assert_int_equal(less.sums, all.sums);
  recipe.train.memory_limit = 1;
  int64_t needed = least_named(&recipe);
  assert_true(needed < less.total);
  recipe.train.memory_limit = needed - 1;
  assert_int_equal(least_named(&recipe), needed);
  recipe.train.memory_limit = needed;
  assert_ok(gw_training_memory(&recipe, 1, &less));
  assert_int_equal(less.total, needed);
  recipe.train.memory_limit = 0;
  recipe.train.lanes = 5;
  GwTrainingPlan plan;
  assert_ok(gw_training_plan_create(&recipe, &(GwTrainingPart){.ranks = 1, .threads = 3}, &plan));
  assert_int_equal(plan.lanes_at_once, 3);
  assert_true(plan.memory.sums > 2 * all.sums);
  gw_training_plan_destroy(&plan);
  assert_ok(gw_training_memory(&recipe, 3, &all));
  recipe.train.memory_limit = all.total - 1; /* one lane at a time is enough to save that byte */
  assert_ok(gw_training_plan_create(&recipe, &(GwTrainingPart){.ranks = 1, .threads = 3}, &plan));
  assert_int_equal(plan.lanes_at_once, 1);
  assert_int_equal(plan.recomputation.count, 0);
  gw_training_plan_destroy(&plan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plans_stay_within_the_limit),
      cmocka_unit_test(the_least_is_exact),
      cmocka_unit_test(a_higher_limit_never_takes_more_time),
      cmocka_unit_test(the_cheapest_is_chosen),
      cmocka_unit_test(what_changes_is_not_read_again),
      cmocka_unit_test(a_plan_counts_all_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
