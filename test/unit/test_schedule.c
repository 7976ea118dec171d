/* The learning rate: its ends, its shape, its bits. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "train/schedule.h"

static GwTrainRecipe recipe(GwScheduleKind kind, int64_t steps, int64_t warmup) {
  GwTrainRecipe train = gw_recipe_default().train;
  train.steps = steps;
  train.optimizer.lr = 0.001;
  train.schedule = (GwScheduleRecipe){
      .kind = kind, .warmup_steps = warmup, .final_fraction = 0.1, .decay_fraction = 0.2};
  return train;
}

static void near(double got, double wanted) {
  if (fabs(got - wanted) > 1e-15) fail_msg("%.17g is not %.17g", got, wanted);
}

static void warm_up_rises_to_the_peak(void **unused) {
  (void)unused;
  for (int kind = GW_SCHEDULE_COSINE; kind <= GW_SCHEDULE_CONSTANT; kind++) {
    GwTrainRecipe train = recipe((GwScheduleKind)kind, 1000, 100);
    near(gw_schedule_lr(&train, 0), 1e-5);
    near(gw_schedule_lr(&train, 49), 5e-4);
    assert_true(gw_schedule_lr(&train, 99) == 0.001);
    assert_true(gw_schedule_lr(&train, 100) == 0.001);
  }
}

static void end_is_the_final_fraction_and_stays(void **unused) {
  (void)unused;
  const GwScheduleKind falling[] = {GW_SCHEDULE_COSINE, GW_SCHEDULE_LINEAR, GW_SCHEDULE_WSD};
  for (size_t i = 0; i < GW_COUNT_OF(falling); i++) {
    GwTrainRecipe train = recipe(falling[i], 1000, 100);
    assert_true(gw_schedule_lr(&train, 999) == 0.001 * 0.1);
    assert_true(gw_schedule_lr(&train, 998) > 0.001 * 0.1);
    assert_true(gw_schedule_lr(&train, 1000) == 0.001 * 0.1);
    assert_true(gw_schedule_lr(&train, INT64_C(1) << 40) == 0.001 * 0.1);
  }
  GwTrainRecipe train = recipe(GW_SCHEDULE_CONSTANT, 1000, 100);
  assert_true(gw_schedule_lr(&train, 5000) == 0.001);
}

static void shapes(void **unused) {
  (void)unused;
  GwTrainRecipe cosine = recipe(GW_SCHEDULE_COSINE, 1101, 100);
  near(gw_schedule_lr(&cosine, 600), 0.001 * 0.55);
  near(gw_schedule_lr(&cosine, 350), 0.001 * (0.1 + 0.9 * 0.5 * (1 + sqrt(0.5))));
  GwTrainRecipe linear = recipe(GW_SCHEDULE_LINEAR, 1101, 100);
  near(gw_schedule_lr(&linear, 350), 0.001 * (0.1 + 0.9 * 0.75));
  GwTrainRecipe wsd = recipe(GW_SCHEDULE_WSD, 1001, 100);
  assert_true(gw_schedule_lr(&wsd, 800) == 0.001);
  near(gw_schedule_lr(&wsd, 900), 0.001 * 0.55);
}

static void never_rises_after_the_warm_up(void **unused) {
  (void)unused;
  for (int kind = GW_SCHEDULE_COSINE; kind <= GW_SCHEDULE_CONSTANT; kind++) {
    GwTrainRecipe train = recipe((GwScheduleKind)kind, 3000, 7);
    for (int64_t step = 7; step < 3100; step++)
      assert_true(gw_schedule_lr(&train, step + 1) <= gw_schedule_lr(&train, step));
  }
}

static void odd_lengths_are_defined(void **unused) {
  (void)unused;
  for (int kind = GW_SCHEDULE_COSINE; kind < GW_SCHEDULE_CONSTANT; kind++) {
    GwTrainRecipe one = recipe((GwScheduleKind)kind, 1, 0);
    assert_true(gw_schedule_lr(&one, 0) == 0.001 * 0.1);
    GwTrainRecipe cut = recipe((GwScheduleKind)kind, 10, 100);
    near(gw_schedule_lr(&cut, 9), 1e-4);
    assert_true(gw_schedule_lr(&cut, 100) == 0.001 * 0.1);
  }
}

/* N1 of the numbers contract: a change of one bit here changes every run. */
static void bits_are_pinned(void **unused) {
  (void)unused;
  GwTrainRecipe train = recipe(GW_SCHEDULE_COSINE, 2000, 100);
  const struct {
    int64_t step;
    double lr;
  } pinned[] = {{0, 0x1.4f8b588e368f1p-17},
                {777, 0x1.8726b65d148edp-11},
                {1234, 0x1.b2eb47e66c45ep-12},
                {1998, 0x1.a36ed7f618843p-14}};
  for (size_t i = 0; i < GW_COUNT_OF(pinned); i++) {
    double lr = gw_schedule_lr(&train, pinned[i].step);
    if (memcmp(&lr, &pinned[i].lr, sizeof lr) != 0)
      fail_msg("step %d: %a is not %a", (int)pinned[i].step, lr, pinned[i].lr);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(warm_up_rises_to_the_peak),
      cmocka_unit_test(end_is_the_final_fraction_and_stays),
      cmocka_unit_test(shapes),
      cmocka_unit_test(never_rises_after_the_warm_up),
      cmocka_unit_test(odd_lengths_are_defined),
      cmocka_unit_test(bits_are_pinned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
