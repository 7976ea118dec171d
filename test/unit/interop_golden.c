/* Parameters are whole numbers below 128 over 512: eight bits, so that f16 and bf16 hold them; in
 * each row of a block of Q8_0 the first is the largest, so that its scale is a power of two. */
#include "interop_golden.h"

#include <string.h>

#include "base/rng.h"

const GwGoldenExport gw_golden_exports[GW_GOLDEN_EXPORTS] = {
    {"gpt2-hf", 0, true, GW_GGML_F32},   {"gpt2.gguf", 0, false, GW_GGML_F16},
    {"llama-hf", 1, true, GW_GGML_BF16}, {"llama.gguf", 1, false, GW_GGML_Q8_0},
    {"qwen3-hf", 2, true, GW_GGML_F16},  {"qwen3.gguf", 2, false, GW_GGML_F32},
};

static GwStatus make_tokenizer(GwTokenizer **out) {
  static const char text[] = "the cat sat on the mat and the cat ate the rat, that's that.";
  GwBpeTrainer *trainer = NULL;
  GW_TRY(gw_bpe_trainer_create(&trainer));
  GwStatus status = gw_bpe_trainer_add(trainer, text, sizeof text - 1);
  if (status == GW_OK) status = gw_bpe_trainer_finish(trainer, 264, out);
  gw_bpe_trainer_destroy(trainer);
  return status;
}

static GwModelRecipe sizes_of(int family) {
  GwModelRecipe m = gw_recipe_default().model;
  m.family = family == 0 ? GW_FAMILY_GPT2 : GW_FAMILY_LLAMA;
  m.activation = family == 0 ? GW_ACTIVATION_GELU : GW_ACTIVATION_SWIGLU;
  m.layers = family == 2 ? 2 : 1;
  m.width = family == 1 ? 32 : 8;
  m.heads = 2;
  m.kv_heads = family == 0 ? 2 : 1;
  m.head_width = family == 2 ? 8 : 0;
  m.hidden = 32;
  m.context = 256;
  m.vocab_size = 264;
  m.qk_norm = family == 2;
  m.tie_embeddings = family != 1;
  m.rope_theta = 10000;
  m.norm_epsilon = 1e-5;
  return m;
}

static void fill(const GwParam *param, GwRng *rng, float *values) {
  bool gain = param->type.rank == 1 && !strstr(param->name, "bias");
  for (int64_t i = 0; i < gw_type_count(&param->type); i++) {
    int32_t whole = i % GW_Q8_0_BLOCK == 0 ? 127 : (int32_t)gw_rng_below(rng, 255) - 127;
    values[i] = gain ? 1 + (float)(whole / 8) / 128 : (float)whole / 512;
  }
}

GwStatus gw_golden_model(const GwGoldenExport *export, GwForeignModel *out) {
  GwForeignModel model = {.name = "golden", .model = sizes_of(export->family)};
  GwRng rng = gw_rng(2027, (uint64_t) export->family);
  GW_TRY(make_tokenizer(&model.tokenizer));
  GwStatus status = gw_foreign_model_allocate("golden", UINT64_MAX, &model);
  for (int i = 0; status == GW_OK && i < model.list.count; i++)
    fill(&model.list.params[i], &rng,
         (float *)(void *)((char *)model.params + model.list.params[i].offset));
  if (status == GW_OK)
    *out = model;
  else
    gw_foreign_model_deinit(&model);
  return status;
}

GwStatus gw_golden_write(const GwGoldenExport *export, const char *folder) {
  GwFs *fs = gw_fs_disk();
  GwForeignModel model = {0};
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/%s", folder, export->name));
  GW_TRY(gw_golden_model(export, &model));
  GwStatus status = export->hf ? gw_hf_export(fs, &model, path, export->type, GW_HF_SHARD_BYTES)
                               : gw_gguf_export(fs, &model, path, export->type);
  gw_foreign_model_deinit(&model);
  return status;
}
