/* Helpers of the inference tests: small models with random parameters. */
#ifndef GW_INFER_SUPPORT_H
#define GW_INFER_SUPPORT_H

#include "exec/backend.h"
#include "godwit/recipe.h"
#include "model/model.h"
#include "support.h"

typedef struct {
  GwRecipe recipe;
  GwParamList list;
  void *params;
} GwTestModel;

enum { GW_TEST_MODELS = 6 };

/* Model `which`: llama with everything it can have; llama with a sliding window; gpt2; then the
 * same three with dtype bf16. Its context is 48, its vocabulary 300 tokens; init_std is so large
 * that every part of it matters. */
void gw_test_model_init(GwTestModel *model, int which, uint64_t seed);
void gw_test_model_deinit(GwTestModel *model);

/* Into the run in `folder`, which must exist: a checkpoint of the model, as if of `recipe`, whose
 * state hash is returned; a recipe; or all that a run needs, with the byte tokenizer. */
uint64_t gw_test_save_checkpoint(const GwTestModel *model, const char *folder, int64_t step,
                                 const GwRecipe *recipe);
void gw_test_save_recipe(const char *folder, const GwRecipe *recipe);
void gw_test_save_run(const GwTestModel *model, const char *folder, int64_t step);

/* The backends to try: the reference and the best of this machine. */
enum { GW_TEST_BACKENDS = 2 };
const GwBackend *gw_test_backend(int which);

/* `count` tokens below `vocab_size`, `end_of_text` at the head and now and then. */
void gw_test_tokens(GwRng *rng, int32_t vocab_size, int32_t end_of_text, int64_t count,
                    int32_t *out);

#endif
