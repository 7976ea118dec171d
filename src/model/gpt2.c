/* The GPT-2 family (Radford et al. 2019): LayerNorm before each block, learned positions, biases,
 * GELU, the head tied to the token embedding. The q, k, v matrices stand apart, [out,in]. */
#include "model/model_builder.h"
#include "op/ops.h"

static GwValueId norm(GwModelBuilder *b, GwValueId x, const char *name) {
  int64_t width = b->model->width;
  GwValueId weight = gw__param(b, GW_INIT_ONE, 0, width, "%s.weight", name);
  GwValueId bias = gw__param(b, GW_INIT_ZERO, 0, width, "%s.bias", name);
  return gw_layer_norm(b->p, x, weight, bias, b->model->norm_epsilon);
}

static GwValueId linear(GwModelBuilder *b, GwValueId x, GwInit init, int64_t out, int64_t in,
                        int layer, const char *name) {
  GwValueId weight = gw__param(b, init, out, in, "h.%d.%s.weight", layer, name);
  GwValueId bias = gw__param(b, GW_INIT_ZERO, 0, out, "h.%d.%s.bias", layer, name);
  return gw__linear(b, x, weight, bias);
}

static GwValueId block(GwModelBuilder *b, int layer, GwValueId x) {
  GwProgram *p = b->p;
  int64_t width = b->model->width, hidden = b->model->hidden;
  char name[GW_NAME_MAX];
  snprintf(name, sizeof name, "h.%d.ln_1", layer);
  GwValueId h = norm(b, x, name);
  GwValueId q = linear(b, h, GW_INIT_NORMAL, width, width, layer, "attn.q");
  GwValueId k = linear(b, h, GW_INIT_NORMAL, width, width, layer, "attn.k");
  GwValueId v = linear(b, h, GW_INIT_NORMAL, width, width, layer, "attn.v");
  h = gw__attention(b, layer, q, k, v);
  h = linear(b, h, GW_INIT_RESIDUAL, width, width, layer, "attn.proj");
  x = gw_add(p, x, gw__dropout(b, h));
  snprintf(name, sizeof name, "h.%d.ln_2", layer);
  h = linear(b, norm(b, x, name), GW_INIT_NORMAL, hidden, width, layer, "mlp.fc");
  h = linear(b, gw_gelu(p, h), GW_INIT_RESIDUAL, width, hidden, layer, "mlp.proj");
  return gw_add(p, x, gw__dropout(b, h));
}

GwHidden gw__gpt2(GwModelBuilder *b) {
  const GwModelRecipe *m = b->model;
  GwValueId tokens = gw__param(b, GW_INIT_NORMAL, m->vocab_size, m->width, "wte.weight");
  GwValueId places = gw__param(b, GW_INIT_NORMAL, b->context, m->width, "wpe.weight");
  GwValueId x =
      gw_add(b->p, gw_embedding(b->p, tokens, b->tokens), gw_embedding(b->p, places, b->positions));
  x = gw__dropout(b, x);
  for (int layer = 0; layer < m->layers; layer++) x = block(b, layer, x);
  return (GwHidden){norm(b, x, "ln_f"), tokens};
}
