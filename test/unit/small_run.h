/* Small models to train in tests: recipes from overrides alone, and batches that depend on seed,
 * step and lane only. */
#ifndef GW_SMALL_RUN_H
#define GW_SMALL_RUN_H

#include "godwit/recipe.h"
#include "train/trainer.h"

GwRecipe gw_test_recipe(const char *const *overrides, size_t count, int32_t vocab);

/* Random tokens and targets, some of these -1; a document every 13 tokens. */
void gw_test_batch(const GwRecipe *recipe, uint64_t seed, int64_t step, int32_t lane,
                   GwLaneInputs in);
/* For gw_trainer_lanes. */
typedef struct {
  const GwRecipe *recipe;
  uint64_t seed;
} GwTestBatches;
GwStatus gw_test_fill(void *batches, int64_t step, int32_t lane, GwLaneInputs in);

#endif
