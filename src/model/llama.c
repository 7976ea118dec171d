/* The llama family: RMSNorm before each block, rotary positions, grouped-query attention, SwiGLU
 * (Touvron et al. 2023); on request QK-norm (Dehghani et al. 2023), squared ReLU in place of
 * SwiGLU, a sliding window, a tied head. Names and layouts are Hugging Face's. */
#include "model/model_builder.h"
#include "op/ops.h"

typedef struct {
  int64_t width, hidden, head, heads, kv_heads;
  double epsilon;
  GwValueId table; /* rotary cosines and sines */
} Sizes;

static GwValueId attention_block(GwModelBuilder *b, const Sizes *s, int layer, GwValueId x) {
  GwProgram *p = b->p;
  int64_t q_width = s->heads * s->head, kv_width = s->kv_heads * s->head;
#define NAME(text) "model.layers.%d.self_attn." text ".weight", layer
  GwValueId q =
      gw__linear(b, x, gw__param(b, GW_INIT_NORMAL, q_width, s->width, NAME("q_proj")), 0);
  GwValueId k =
      gw__linear(b, x, gw__param(b, GW_INIT_NORMAL, kv_width, s->width, NAME("k_proj")), 0);
  GwValueId v =
      gw__linear(b, x, gw__param(b, GW_INIT_NORMAL, kv_width, s->width, NAME("v_proj")), 0);
  if (b->model->qk_norm) {
    q = gw_rms_norm(p, q, gw__param(b, GW_INIT_ONE, 0, s->head, NAME("q_norm")), s->epsilon);
    k = gw_rms_norm(p, k, gw__param(b, GW_INIT_ONE, 0, s->head, NAME("k_norm")), s->epsilon);
  }
  q = gw_rotary(p, q, b->positions, s->table);
  k = gw_rotary(p, k, b->positions, s->table);
  GwValueId y = gw__attention(b, layer, q, k, v);
  GwValueId w = gw__param(b, GW_INIT_RESIDUAL, s->width, q_width, NAME("o_proj"));
#undef NAME
  return gw__dropout(b, gw__linear(b, y, w, 0));
}

static GwValueId mlp_block(GwModelBuilder *b, const Sizes *s, int layer, GwValueId x) {
  GwProgram *p = b->p;
#define NAME(text) "model.layers.%d.mlp." text ".weight", layer
  GwValueId h;
  if (b->model->activation == GW_ACTIVATION_SWIGLU) {
    GwValueId gate = gw__param(b, GW_INIT_NORMAL, s->hidden, s->width, NAME("gate_proj"));
    GwValueId up = gw__param(b, GW_INIT_NORMAL, s->hidden, s->width, NAME("up_proj"));
    GwValueId gated = gw__linear(b, x, gate, 0); /* in statements: argument order is not defined */
    h = gw_swiglu(p, gated, gw__linear(b, x, up, 0));
  } else {
    GwValueId up = gw__param(b, GW_INIT_NORMAL, s->hidden, s->width, NAME("up_proj"));
    h = gw_relu2(p, gw__linear(b, x, up, 0));
  }
  GwValueId down = gw__param(b, GW_INIT_RESIDUAL, s->width, s->hidden, NAME("down_proj"));
#undef NAME
  return gw__dropout(b, gw__linear(b, h, down, 0));
}

GwHidden gw__llama(GwModelBuilder *b) {
  GwProgram *p = b->p;
  const GwModelRecipe *m = b->model;
  Sizes s = {.width = m->width,
             .hidden = m->hidden,
             .head = gw_model_head_width(m),
             .heads = m->heads,
             .kv_heads = m->kv_heads,
             .epsilon = m->norm_epsilon};
  GwValueId embedding =
      gw__param(b, GW_INIT_NORMAL, m->vocab_size, s.width, "model.embed_tokens.weight");
  GwValueId x = gw__dropout(b, gw_embedding(p, embedding, b->tokens));
  s.table = gw_rotary_table(p, b->context, s.head, m->rope_theta);
  for (int layer = 0; layer < m->layers; layer++) {
    GwValueId norm =
        gw__param(b, GW_INIT_ONE, 0, s.width, "model.layers.%d.input_layernorm.weight", layer);
    x = gw_add(p, x, attention_block(b, &s, layer, gw_rms_norm(p, x, norm, s.epsilon)));
    norm = gw__param(b, GW_INIT_ONE, 0, s.width, "model.layers.%d.post_attention_layernorm.weight",
                     layer);
    x = gw_add(p, x, mlp_block(b, &s, layer, gw_rms_norm(p, x, norm, s.epsilon)));
  }
  x = gw_rms_norm(p, x, gw__param(b, GW_INIT_ONE, 0, s.width, "model.norm.weight"), s.epsilon);
  GwValueId head = embedding;
  if (!m->tie_embeddings)
    head = gw__param(b, GW_INIT_NORMAL, m->vocab_size, s.width, "lm_head.weight");
  return (GwHidden){x, head};
}
