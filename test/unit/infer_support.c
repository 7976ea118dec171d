/* Small models: sizes that no tile divides, parameters drawn from a seed. */
#include "infer_support.h"

#include "base/arena.h"
#include "exec/backend_cpu.h"

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
