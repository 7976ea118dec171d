/* Parameters, attention and dropout as the families use them. */
#include "model/model_builder.h"

#include <stdarg.h>
#include <string.h>

#include "base/grow.h"
#include "op/ops.h"

static void remember(GwModelBuilder *b, GwValueId id, GwInit init) {
  GwParamList *list = b->list;
  if (!list || b->p->status != GW_OK) return;
  if (!GW_GROW(list->params, list->capacity, list->count + 1)) {
    gw_program_fail(b->p, gw_fail(GW_MEMORY, "no memory for the list of parameters"));
    return;
  }
  const GwValue *value = &b->p->values[id];
  GwParam *param = &list->params[list->count++];
  *param = (GwParam){.type = value->type, .offset = value->offset, .init = init};
  memcpy(param->name, value->name, sizeof param->name);
  param->embedding = strstr(value->name, "embed_tokens") || strncmp(value->name, "wte", 3) == 0 ||
                     strncmp(value->name, "wpe", 3) == 0;
  list->elements += gw_type_count(&value->type);
}

GwValueId gw__param(GwModelBuilder *b, GwInit init, int64_t rows, int64_t columns,
                    const char *format, ...) {
  char name[GW_NAME_MAX];
  va_list list;
  va_start(list, format);
  vsnprintf(name, sizeof name, format, list);
  va_end(list);
  GwType type = rows ? gw_type_2d(GW_F32, rows, columns) : gw_type_1d(GW_F32, columns);
  GwValueId id = gw_value_add(b->p, GW_CLASS_PARAM, type, name);
  remember(b, id, init);
  return id;
}

GwValueId gw__linear(GwModelBuilder *b, GwValueId x, GwValueId weight, GwValueId bias) {
  return gw_linear(b->p, x, weight, bias, b->operands);
}

GwValueId gw__attention(GwModelBuilder *b, int layer, GwValueId q, GwValueId k, GwValueId v) {
  const GwModelRecipe *m = b->model;
  GwAttentionShape shape = {m->heads, m->kv_heads, b->context, m->window, b->operands};
  if (!b->base) return gw_attention(b->p, q, k, v, b->positions, shape);
  int64_t rows = b->slots * m->kv_heads * b->context;
  GwType cache = gw_type_2d(GW_F32, rows, gw_model_head_width(m));
  char name[GW_NAME_MAX];
  snprintf(name, sizeof name, "cache.%d.k", layer);
  GwValueId k_cache = gw_value_add(b->p, GW_CLASS_STATE, cache, name);
  snprintf(name, sizeof name, "cache.%d.v", layer);
  GwValueId v_cache = gw_value_add(b->p, GW_CLASS_STATE, cache, name);
  gw_cache_append(b->p, k, k_cache, b->base, b->context);
  gw_cache_append(b->p, v, v_cache, b->base, b->context);
  return gw_attention_cached(b->p, q, k_cache, v_cache, b->positions, b->base, shape);
}

GwValueId gw__dropout(GwModelBuilder *b, GwValueId x) {
  return b->dropout > 0 ? gw_dropout(b->p, x, b->dropout, b->dropout_site++) : x;
}
