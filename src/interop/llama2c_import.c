/* llama2.c's first layout: seven int32 (width, hidden, layers, heads, kv heads, vocabulary,
 * context; a negative vocabulary means an untied head), then f32 tensors, those of all layers
 * together. A head turns pairs (2j, 2j+1). The vocabulary is in another file, of another kind than
 * godwit's. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "interop/foreign_model.h"

enum { SIZES = 7 };

typedef struct {
  const char *path;
  const float *at;
  uint64_t left; /* floats */
  GwForeignModel *model;
} Reader;

/* Each tensor of all layers, in the file's order; NULL is the table of rotations, which is skipped.
 * Only q and k have their rows in another order. */
static const struct {
  const char *name;
  bool by_layer, paired;
} TENSORS[] = {
    {"model.embed_tokens.weight", false, false},
    {"model.layers.%d.input_layernorm.weight", true, false},
    {"model.layers.%d.self_attn.q_proj.weight", true, true},
    {"model.layers.%d.self_attn.k_proj.weight", true, true},
    {"model.layers.%d.self_attn.v_proj.weight", true, false},
    {"model.layers.%d.self_attn.o_proj.weight", true, false},
    {"model.layers.%d.post_attention_layernorm.weight", true, false},
    {"model.layers.%d.mlp.gate_proj.weight", true, false},
    {"model.layers.%d.mlp.down_proj.weight", true, false},
    {"model.layers.%d.mlp.up_proj.weight", true, false},
    {"model.norm.weight", false, false},
    {NULL, false, false},
    {"lm_head.weight", false, false},
};

static GwStatus read_sizes(const char *path, const void *data, size_t size, GwModelRecipe *out) {
  int32_t sizes[SIZES];
  if (size < sizeof sizes)
    return gw_fail(GW_CORRUPT, "%s: has %zu bytes, too few for a model", path, size);
  memcpy(sizes, data, sizeof sizes);
  bool tied = sizes[5] > 0;
  if (sizes[5] == INT32_MIN) sizes[5] = 0;
  if (!tied) sizes[5] = -sizes[5];
  for (int i = 0; i < SIZES; i++)
    if (sizes[i] < 1 || sizes[i] > 1 << 24)
      return gw_fail(GW_CORRUPT, "%s: size %d of 7 is %" PRId32 ": is it llama2.c's layout?", path,
                     i + 1, sizes[i]);
  GwModelRecipe m = gw_recipe_default().model;
  m.family = GW_FAMILY_LLAMA;
  m.activation = GW_ACTIVATION_SWIGLU;
  m.width = sizes[0];
  m.hidden = sizes[1];
  m.layers = sizes[2];
  m.heads = sizes[3];
  m.kv_heads = sizes[4];
  m.vocab_size = sizes[5];
  m.context = sizes[6];
  m.qk_norm = false;
  m.window = 0;
  m.tie_embeddings = tied;
  m.rope_theta = 10000;
  m.norm_epsilon = 1e-5;
  *out = m;
  return GW_OK;
}

static GwStatus take(Reader *r, const char *what, uint64_t count, const float **values) {
  if (count > r->left) return gw_fail(GW_CORRUPT, "%s: the file ends within %s", r->path, what);
  *values = r->at;
  r->at += count;
  r->left -= count;
  return GW_OK;
}

static GwStatus read_tensor(Reader *r, int param, bool paired) {
  const GwParamList *list = &r->model->list;
  const GwModelRecipe *m = &r->model->model;
  GwForeignTensor tensor = {.type = list->params[param].type,
                            .layout = paired ? GW_LAYOUT_PAIRED : GW_LAYOUT_SAME,
                            .head = m->width / m->heads,
                            .sources = {param},
                            .source_count = 1};
  const float *values = NULL;
  int64_t count = gw_type_count(&tensor.type);
  GW_TRY(take(r, list->params[param].name, (uint64_t)count, &values));
  GW_TRY(gw_foreign_check_finite(r->path, list->params[param].name, values, count));
  gw_foreign_scatter(&tensor, list, values, r->model->params);
  return GW_OK;
}

static GwStatus read_tensors(Reader *r) {
  const GwModelRecipe *m = &r->model->model;
  for (size_t i = 0; i < GW_COUNT_OF(TENSORS); i++) {
    const float *table;
    uint64_t turns = (uint64_t)m->context * (uint64_t)(m->width / m->heads);
    if (!TENSORS[i].name) {
      GW_TRY(take(r, "the table of rotations", turns, &table));
      continue;
    }
    if (i + 1 == GW_COUNT_OF(TENSORS) && m->tie_embeddings) continue;
    for (int layer = 0; layer < (TENSORS[i].by_layer ? m->layers : 1); layer++) {
      char name[GW_NAME_MAX];
      gw_layer_name(name, TENSORS[i].name, layer);
      GW_TRY(read_tensor(r, gw_param_find(&r->model->list, name), TENSORS[i].paired));
    }
  }
  if (r->left == 0) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: %" PRIu64 " bytes are left behind the last tensor", r->path,
                 4 * r->left);
}

GwStatus gw_llama2c_parse(const char *name, const void *data, size_t size, GwForeignModel *out) {
  GwForeignModel model = {0};
  GW_TRY(read_sizes(name, data, size, &model.model));
  GwStatus status = gw_foreign_model_allocate(name, size / sizeof(float), &model);
  if (status == GW_OK) {
    Reader reader = {.path = name,
                     .at = (const float *)data + SIZES,
                     .left = size / sizeof(float) - SIZES,
                     .model = &model};
    status = read_tensors(&reader);
  }
  if (status == GW_OK)
    *out = model;
  else
    gw_foreign_model_deinit(&model);
  return status;
}

GwStatus gw_llama2c_import(const char *path, GwForeignModel *out) {
  GwMap map = {0};
  GW_TRY(gw_map_open(path, &map));
  GwStatus status = gw_llama2c_parse(path, map.data, map.size, out);
  gw_map_close(&map);
  return status;
}
