/* Recipes and batches of small models. */
#include "small_run.h"

#include "support.h"

GwRecipe gw_test_recipe(const char *const *overrides, size_t count, int32_t vocab) {
  GwRecipe recipe;
  assert_ok(gw_recipe_parse("small", "{}", 2, overrides, (int)count, &recipe));
  recipe.model.vocab_size = vocab;
  return recipe;
}

void gw_test_batch(const GwRecipe *recipe, uint64_t seed, int64_t step, int32_t lane,
                   GwLaneInputs in) {
  GwRng rng = gw_rng(seed, (uint64_t)step * 1000 + (uint64_t)lane);
  uint64_t vocab = (uint64_t)recipe->model.vocab_size;
  int64_t rows = (int64_t)recipe->train.lane_batch * recipe->model.context;
  for (int64_t i = 0; i < rows; i++) {
    in.tokens[i] = (int32_t)gw_rng_below(&rng, vocab);
    in.targets[i] = (int32_t)gw_rng_below(&rng, vocab + 1) - 1;
    in.positions[i] = (int32_t)(i % recipe->model.context % 13);
  }
}

GwStatus gw_test_fill(void *batches, int64_t step, int32_t lane, GwLaneInputs in) {
  const GwTestBatches *b = batches;
  gw_test_batch(b->recipe, b->seed, step, lane, in);
  return GW_OK;
}
