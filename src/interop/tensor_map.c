/* The rows of the tables; a name with %d stands for one per layer, in the order of the file. */
#include "interop/tensor_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

typedef struct {
  const char *foreign;
  const char *own[GW_SOURCES_MAX];
  GwForeignLayout layout;
} Row;

#define SAME(foreign, own)                                                                         \
  { foreign, {own}, GW_LAYOUT_SAME }
#define SAME_BOTH(foreign, own)                                                                    \
  SAME(foreign ".weight", own ".weight"), SAME(foreign ".bias", own ".bias")

static const Row GPT2_HF[] = {
    SAME("transformer.wte.weight", "wte.weight"),
    SAME("transformer.wpe.weight", "wpe.weight"),
    SAME_BOTH("transformer.h.%d.ln_1", "h.%d.ln_1"),
    {"transformer.h.%d.attn.c_attn.weight",
     {"h.%d.attn.q.weight", "h.%d.attn.k.weight", "h.%d.attn.v.weight"},
     GW_LAYOUT_TRANSPOSED},
    {"transformer.h.%d.attn.c_attn.bias",
     {"h.%d.attn.q.bias", "h.%d.attn.k.bias", "h.%d.attn.v.bias"},
     GW_LAYOUT_SAME},
    {"transformer.h.%d.attn.c_proj.weight", {"h.%d.attn.proj.weight"}, GW_LAYOUT_TRANSPOSED},
    SAME("transformer.h.%d.attn.c_proj.bias", "h.%d.attn.proj.bias"),
    SAME_BOTH("transformer.h.%d.ln_2", "h.%d.ln_2"),
    {"transformer.h.%d.mlp.c_fc.weight", {"h.%d.mlp.fc.weight"}, GW_LAYOUT_TRANSPOSED},
    SAME("transformer.h.%d.mlp.c_fc.bias", "h.%d.mlp.fc.bias"),
    {"transformer.h.%d.mlp.c_proj.weight", {"h.%d.mlp.proj.weight"}, GW_LAYOUT_TRANSPOSED},
    SAME("transformer.h.%d.mlp.c_proj.bias", "h.%d.mlp.proj.bias"),
    SAME_BOTH("transformer.ln_f", "ln_f"),
};

static const Row GPT2_GGUF[] = {
    SAME("token_embd.weight", "wte.weight"),
    SAME("position_embd.weight", "wpe.weight"),
    SAME_BOTH("blk.%d.attn_norm", "h.%d.ln_1"),
    {"blk.%d.attn_qkv.weight",
     {"h.%d.attn.q.weight", "h.%d.attn.k.weight", "h.%d.attn.v.weight"},
     GW_LAYOUT_SAME},
    {"blk.%d.attn_qkv.bias",
     {"h.%d.attn.q.bias", "h.%d.attn.k.bias", "h.%d.attn.v.bias"},
     GW_LAYOUT_SAME},
    SAME_BOTH("blk.%d.attn_output", "h.%d.attn.proj"),
    SAME_BOTH("blk.%d.ffn_norm", "h.%d.ln_2"),
    SAME_BOTH("blk.%d.ffn_up", "h.%d.mlp.fc"),
    SAME_BOTH("blk.%d.ffn_down", "h.%d.mlp.proj"),
    SAME_BOTH("output_norm", "ln_f"),
};

/* Hugging Face's names are ours. QK-norm is what tells qwen3 from llama; of the two only llama has
 * its rows in another order. */
#define LLAMA(layout)                                                                              \
  SAME("token_embd.weight", "model.embed_tokens.weight"),                                          \
      SAME("blk.%d.attn_norm.weight", "model.layers.%d.input_layernorm.weight"),                   \
      {"blk.%d.attn_q.weight", {"model.layers.%d.self_attn.q_proj.weight"}, layout},               \
      {"blk.%d.attn_k.weight", {"model.layers.%d.self_attn.k_proj.weight"}, layout},               \
      SAME("blk.%d.attn_v.weight", "model.layers.%d.self_attn.v_proj.weight"),                     \
      SAME("blk.%d.attn_output.weight", "model.layers.%d.self_attn.o_proj.weight"),                \
      SAME("blk.%d.ffn_norm.weight", "model.layers.%d.post_attention_layernorm.weight"),           \
      SAME("blk.%d.ffn_gate.weight", "model.layers.%d.mlp.gate_proj.weight"),                      \
      SAME("blk.%d.ffn_up.weight", "model.layers.%d.mlp.up_proj.weight"),                          \
      SAME("blk.%d.ffn_down.weight", "model.layers.%d.mlp.down_proj.weight"),                      \
      SAME("output_norm.weight", "model.norm.weight"), SAME("output.weight", "lm_head.weight")

static const Row LLAMA_GGUF[] = {LLAMA(GW_LAYOUT_PAIRED)};
static const Row QWEN3_GGUF[] = {
    LLAMA(GW_LAYOUT_SAME),
    SAME("blk.%d.attn_q_norm.weight", "model.layers.%d.self_attn.q_norm.weight"),
    SAME("blk.%d.attn_k_norm.weight", "model.layers.%d.self_attn.k_norm.weight"),
};

typedef struct {
  const GwModelRecipe *model;
  const GwParamList *list;
  GwTensorMap *map;
  size_t capacity;
} Maker;

int gw_param_find(const GwParamList *list, const char *name) {
  for (int i = 0; i < list->count; i++)
    if (strcmp(list->params[i].name, name) == 0) return i;
  return -1;
}

void gw_layer_name(char *out, const char *pattern, int layer) {
  const char *mark = strstr(pattern, "%d");
  if (mark)
    snprintf(out, GW_NAME_MAX, "%.*s%d%s", (int)(mark - pattern), pattern, layer, mark + 2);
  else
    snprintf(out, GW_NAME_MAX, "%s", pattern);
}

static GwStatus add_tensor(Maker *maker, const GwForeignTensor *tensor) {
  GwTensorMap *map = maker->map;
  if (!GW_GROW(map->tensors, maker->capacity, map->count + 1))
    return gw_fail(GW_MEMORY, "no memory for the table of %d tensors", maker->list->count);
  map->tensors[map->count++] = *tensor;
  return GW_OK;
}

/* The shape that the sources have one below the other, seen through the layout. */
static GwType foreign_type(const GwForeignTensor *tensor, const GwParamList *list) {
  GwType type = list->params[tensor->sources[0]].type;
  for (int i = 1; i < tensor->source_count; i++)
    type.dim[0] += list->params[tensor->sources[i]].type.dim[0];
  if (tensor->layout == GW_LAYOUT_TRANSPOSED) {
    int64_t rows = type.dim[0];
    type.dim[0] = type.dim[1];
    type.dim[1] = rows;
  }
  return type;
}

/* A row whose parameter this model doesn't have is none: an untied head, QK-norm. */
static GwStatus add_row(Maker *maker, const Row *row, int layer) {
  GwForeignTensor tensor = {.layout = row->layout, .head = gw_model_head_width(maker->model)};
  gw_layer_name(tensor.name, row->foreign, layer);
  for (int i = 0; i < GW_SOURCES_MAX && row->own[i]; i++) {
    char own[GW_NAME_MAX];
    gw_layer_name(own, row->own[i], layer);
    tensor.sources[i] = gw_param_find(maker->list, own);
    if (tensor.sources[i] < 0) return GW_OK;
    tensor.source_count++;
  }
  tensor.type = foreign_type(&tensor, maker->list);
  return add_tensor(maker, &tensor);
}

static GwStatus add_rows(Maker *maker, const Row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    int layers = strstr(rows[i].foreign, "%d") ? maker->model->layers : 1;
    for (int layer = 0; layer < layers; layer++) GW_TRY(add_row(maker, &rows[i], layer));
  }
  return GW_OK;
}

static GwStatus add_unchanged(Maker *maker) {
  for (int i = 0; i < maker->list->count; i++) {
    GwForeignTensor tensor = {
        .type = maker->list->params[i].type, .sources = {i}, .source_count = 1};
    snprintf(tensor.name, sizeof tensor.name, "%s", maker->list->params[i].name);
    GW_TRY(add_tensor(maker, &tensor));
  }
  return GW_OK;
}

static GwStatus add_all(Maker *maker, GwForeignFormat format) {
  bool gpt2 = maker->model->family == GW_FAMILY_GPT2, hf = format == GW_FORMAT_HF;
  if (gpt2 && hf) return add_rows(maker, GPT2_HF, GW_COUNT_OF(GPT2_HF));
  if (gpt2) return add_rows(maker, GPT2_GGUF, GW_COUNT_OF(GPT2_GGUF));
  if (hf) return add_unchanged(maker);
  if (maker->model->qk_norm) return add_rows(maker, QWEN3_GGUF, GW_COUNT_OF(QWEN3_GGUF));
  return add_rows(maker, LLAMA_GGUF, GW_COUNT_OF(LLAMA_GGUF));
}

GwStatus gw_tensor_map_create(const GwModelRecipe *model, const GwParamList *list,
                              GwForeignFormat format, GwTensorMap *out) {
  GwTensorMap map = {0};
  Maker maker = {model, list, &map, 0};
  GwStatus status = add_all(&maker, format);
  if (status == GW_OK) {
    int sources = 0;
    for (int i = 0; i < map.count; i++) sources += map.tensors[i].source_count;
    GW_ASSERT(sources == list->count);
    *out = map;
  } else {
    gw_tensor_map_deinit(&map);
  }
  return status;
}

void gw_tensor_map_deinit(GwTensorMap *map) {
  free(map->tensors);
  *map = (GwTensorMap){0};
}

size_t gw_tensor_map_largest(const GwTensorMap *map) {
  size_t largest = 0;
  for (int i = 0; i < map->count; i++) {
    size_t size = gw_type_size(&map->tensors[i].type);
    if (size > largest) largest = size;
  }
  return largest;
}

/* Where element (row, column) of the sources, one below the other, stands in the tensor. */
static int64_t place_of(const GwForeignTensor *tensor, int64_t rows, int64_t columns, int64_t row,
                        int64_t column) {
  if (tensor->layout == GW_LAYOUT_TRANSPOSED) return column * rows + row;
  if (tensor->layout == GW_LAYOUT_PAIRED) {
    int64_t half = tensor->head / 2, first = row - row % tensor->head, j = row % tensor->head;
    row = first + (j < half ? 2 * j : 2 * (j - half) + 1);
  }
  return row * columns + column;
}

static int64_t rows_of(const GwType *type) { return type->rank > 1 ? type->dim[0] : 1; }
static int64_t columns_of(const GwType *type) { return type->dim[type->rank - 1]; }

/* Copies between the sources and the tensor; one of the two is written. A vector is one row, and
 * several of them one after the other are one vector. */
static void move(const GwForeignTensor *tensor, const GwParamList *list, char *params,
                 float *values, bool gather) {
  bool vectors = tensor->type.rank < 2;
  int64_t rows = 0, begin = 0;
  for (int i = 0; i < tensor->source_count; i++)
    rows += rows_of(&list->params[tensor->sources[i]].type);
  for (int i = 0; i < tensor->source_count; i++) {
    const GwParam *param = &list->params[tensor->sources[i]];
    float *own = (float *)(void *)(params + param->offset);
    int64_t own_rows = rows_of(&param->type), columns = columns_of(&param->type);
    for (int64_t row = 0; row < own_rows; row++)
      for (int64_t column = 0; column < columns; column++) {
        int64_t at = vectors ? begin * columns + column
                             : place_of(tensor, rows, columns, begin + row, column);
        float *mine = &own[row * columns + column];
        if (gather)
          values[at] = *mine;
        else
          *mine = values[at];
      }
    begin += own_rows;
  }
}

void gw_foreign_gather(const GwForeignTensor *tensor, const GwParamList *list, const void *params,
                       float *out) {
  move(tensor, list, (char *)(uintptr_t)params, out, true);
}

void gw_foreign_scatter(const GwForeignTensor *tensor, const GwParamList *list, const float *values,
                        void *params) {
  move(tensor, list, params, (float *)(uintptr_t)values, false);
}
