/* gw_final_sums against runs of the lane program itself: what it says is final does not change any
 * more, and what it does not say still does. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "small_run.h"
#include "train/final_sums.h"
#include "train/trainer.h"

enum { VOCAB = 61 };

typedef struct {
  const GwTrainer *trainer;
  int64_t *begin; /* of the sums: the accum buffer's element `first` */
  int64_t first, count;
  int64_t *copy; /* before each op: [ops + 1][count] */
  int32_t op_count;
} Watch;

static GwStatus before(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  Watch *watch = self;
  (void)def, (void)call;
  memcpy(watch->copy + (int64_t)op * watch->count, watch->begin,
         (size_t)watch->count * sizeof *watch->copy);
  return GW_OK;
}

static void check_recipe(const char *family) {
  const char *const overrides[] = {
      family,          "model.layers=2",    "model.width=24", "model.heads=4", "model.context=8",
      "train.lanes=1", "train.lane_batch=1"};
  GwRecipe recipe = gw_test_recipe(overrides, GW_COUNT_OF(overrides), VOCAB);
  GwTestBatches batches = {&recipe, 3};
  GwPool *pool;
  GwTrainer *trainer;
  uint64_t signature;
  int64_t slice[2];
  assert_ok(gw_pool_create(1, &pool));
  assert_ok(gw_trainer_create(&recipe, gw_backend_cpu(gw_isa_best()), pool, &trainer));
  const GwProgram *lane = gw_trainer_lane_program(trainer);
  Watch watch = {.trainer = trainer, .op_count = lane->op_count};
  watch.begin = gw_trainer_sums(trainer, &watch.count, slice);
  int64_t *from = calloc((size_t)lane->op_count + 1, sizeof *from);
  watch.copy = calloc((size_t)((lane->op_count + 1) * watch.count), sizeof *watch.copy);
  assert_true(from && watch.copy);
  GwValueId tally = gw_value_find(lane, GW_CLASS_ACCUM, "tally");
  watch.first = lane->values[tally + 1].offset / (int64_t)sizeof(int64_t);
  GwObserver observer = {.self = &watch, .before = before};
  gw_trainer_observe(trainer, &observer);
  for (int64_t i = 0; i < watch.count; i++) watch.begin[i] = INT64_MIN; /* fresh: replaced */
  gw_trainer_begin(trainer);
  gw_trainer_set_way(trainer, GW_WAY_INSIDE);
  assert_ok(gw_trainer_lanes(trainer, 0, gw_test_fill, &batches, &signature));
  gw_final_sums(lane, watch.first, watch.first + watch.count, from);
  int64_t moved = 0;
  assert_int_equal(from[lane->op_count], watch.first);
  for (int32_t op = 0; op < lane->op_count; op++) {
    assert_true(from[op] >= from[op + 1]);
    moved += from[op] > from[op + 1];
    const int64_t *then = watch.copy + op * watch.count;
    for (int64_t i = from[op] - watch.first; i < watch.count; i++)
      if (then[i] != watch.begin[i]) fail_msg("op %d: element %d is said to be final", op, (int)i);
  }
  assert_true(moved >= 4); /* in so many parts at least */
  int64_t half = lane->op_count * 3 / 4;
  assert_true(from[half] - watch.first < watch.count); /* some long before the end */
  free(from);
  free(watch.copy);
  gw_trainer_destroy(trainer);
  gw_pool_destroy(pool);
}

static void what_is_final_stays(void **state) {
  (void)state;
  check_recipe("model.family=llama");
  check_recipe("model.family=gpt2");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_final_stays)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
