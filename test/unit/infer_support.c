/* Small models: sizes that no tile divides, parameters drawn from a seed. */
#include "infer_support.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "corpus_support.h"
#include "exec/backend_cpu.h"
#include "state/checkpoint.h"
#include "tokenizer/tokenizer.h"

void gw_test_model_init(GwTestModel *model, int which, uint64_t seed) {
  GwRecipe recipe = gw_recipe_default();
  bool bf16 = which >= GW_TEST_MODELS / 2;
  which %= GW_TEST_MODELS / 2;
  recipe.model =
      (GwModelRecipe){.dtype = bf16 ? GW_PROFILE_BF16 : GW_PROFILE_F32,
                      .family = which == 2 ? GW_FAMILY_GPT2 : GW_FAMILY_LLAMA,
                      .layers = 2,
                      .width = 36,
                      .heads = 6,
                      .kv_heads = which == 2 ? 6 : 3,
                      .hidden = 50,
                      .context = 48,
                      .vocab_size = 300,
                      .activation = (GwActivation[]){GW_ACTIVATION_SWIGLU, GW_ACTIVATION_RELU2,
                                                     GW_ACTIVATION_GELU}[which],
                      .qk_norm = which == 0,
                      .tie_embeddings = which == 2,
                      .window = which == 1 ? 11 : 0,
                      .rope_theta = 10000,
                      .norm_epsilon = 1e-5,
                      .init_std = 0.2};
  recipe.train.seed = seed;
  *model = (GwTestModel){.recipe = recipe};
  assert_ok(gw_model_params(&recipe.model, &model->list));
  model->params = gw_buffer_create((size_t)model->list.bytes);
  assert_non_null(model->params);
  gw_model_init(&recipe.model, &model->list, seed, NULL, model->params);
}

void gw_test_model_deinit(GwTestModel *model) {
  gw_buffer_destroy(model->params);
  gw_param_list_deinit(&model->list);
}

uint64_t gw_test_save_checkpoint(const GwTestModel *model, const char *folder, int64_t step,
                                 const GwRecipe *recipe) {
  GwTensor tensors[64], m = {"m", gw_type_1d(GW_F32, 3), (float[]){1, 2, 3}};
  assert_true(model->list.count <= 64);
  for (int i = 0; i < model->list.count; i++) {
    const GwParam *param = &model->list.params[i];
    tensors[i] = (GwTensor){param->name, param->type, (char *)model->params + param->offset};
  }
  GwTensorGroup groups[2] = {{"params", tensors, model->list.count}, {"adam_m", &m, 1}};
  GwCheckpointInfo info = {step, gw_recipe_identity(recipe), gw_state_hash(groups, 2, step)};
  assert_ok(
      gw_checkpoint_save(gw_fs_disk(), gw_test_path(folder, "checkpoints"), &info, groups, 2, 5));
  return info.state_hash;
}

void gw_test_save_recipe(const char *folder, const GwRecipe *recipe) {
  char *text = NULL;
  assert_ok(gw_recipe_write(recipe, &text));
  gw_test_write(gw_test_path(folder, "recipe.yaml"), text, strlen(text));
  free(text);
}

void gw_test_save_run(const GwTestModel *model, const char *folder, int64_t step) {
  GwTokenizer *tokenizer = NULL;
  gw_test_save_recipe(folder, &model->recipe);
  assert_ok(gw_tokenizer_byte(&tokenizer));
  assert_ok(gw_tokenizer_save(gw_fs_disk(), tokenizer, gw_test_path(folder, "tokenizer.json")));
  gw_tokenizer_destroy(tokenizer);
  gw_test_save_checkpoint(model, folder, step, &model->recipe);
}

const GwBackend *gw_test_backend(int which) {
  const GwBackend *backend = NULL;
  assert_ok(gw_backend_choose(which == 0 ? "reference" : "cpu", NULL, &backend));
  return backend;
}

void gw_test_tokens(GwRng *rng, int32_t vocab_size, int32_t end_of_text, int64_t count,
                    int32_t *out) {
  for (int64_t i = 0; i < count; i++)
    out[i] = i == 0 || gw_rng_below(rng, 20) == 0
                 ? end_of_text
                 : (int32_t)gw_rng_below(rng, (uint64_t)vocab_size);
}
