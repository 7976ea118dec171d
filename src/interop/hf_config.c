/* Fields that matter to what a model computes are read; a field that could change it and has not
 * the value of our own models is refused. */
#include "interop/hf_config.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *file;
  const json_t *config;
} Reader;

GwStatus gw_foreign_architecture(const GwModelRecipe *model, const char **out) {
  if (model->family == GW_FAMILY_GPT2) {
    *out = "gpt2";
    return GW_OK;
  }
  if (model->activation != GW_ACTIVATION_SWIGLU)
    return gw_fail(GW_UNSUPPORTED,
                   "model.activation: relu2 has no place in llama or qwen3 files; only swiglu has");
  if (model->window > 0)
    return gw_fail(GW_UNSUPPORTED, "model.window: llama and qwen3 files have no sliding window");
  *out = model->qk_norm ? "qwen3" : "llama";
  return GW_OK;
}

static json_t *write_gpt2(const GwModelRecipe *m) {
  json_t *inner = m->hidden == 4 * m->width ? json_null() : json_integer(m->hidden);
  return json_pack("{s:[s], s:i, s:i, s:i, s:i, s:i, s:o, s:s, s:f}", "architectures",
                   "GPT2LMHeadModel", "n_positions", (int)m->context, "n_ctx", (int)m->context,
                   "n_embd", (int)m->width, "n_layer", (int)m->layers, "n_head", (int)m->heads,
                   "n_inner", inner, "activation_function", "gelu_new", "layer_norm_epsilon",
                   m->norm_epsilon);
}

static json_t *write_llama(const GwModelRecipe *m) {
  return json_pack("{s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:b, s:b, s:f, s:n}",
                   "architectures", m->qk_norm ? "Qwen3ForCausalLM" : "LlamaForCausalLM",
                   "hidden_size", (int)m->width, "intermediate_size", (int)m->hidden,
                   "num_hidden_layers", (int)m->layers, "num_attention_heads", (int)m->heads,
                   "num_key_value_heads", (int)m->kv_heads, "head_dim", (int)gw_model_head_width(m),
                   "max_position_embeddings", (int)m->context, "rms_norm_eps", m->norm_epsilon,
                   "hidden_act", "silu", "attention_bias", 0, "mlp_bias", 0, "rope_theta",
                   m->rope_theta, "rope_scaling");
}

GwStatus gw_hf_config_write(const GwModelRecipe *model, int32_t head, const GwTextEnds *ends,
                            const char *dtype, char **out) {
  const char *type = NULL;
  GW_TRY(gw_foreign_architecture(model, &type));
  bool gpt2 = model->family == GW_FAMILY_GPT2;
  json_t *config = gpt2 ? write_gpt2(model) : write_llama(model);
  json_t *rest = json_pack("{s:s, s:i, s:i, s:o, s:b, s:s}", "model_type", type, "vocab_size",
                           (int)model->vocab_size, "bos_token_id", (int)head, "eos_token_id",
                           gw_text_ends_json(ends), "tie_word_embeddings",
                           (int)model->tie_embeddings, "torch_dtype", dtype);
  bool whole = config && rest && json_object_update(config, rest) == 0;
  char *text = whole ? gw_json_text(config) : NULL;
  json_decref(config);
  json_decref(rest);
  if (!text) return gw_fail(GW_MEMORY, "no memory for config.json");
  *out = text;
  return GW_OK;
}

/* ---- reading ---- */

static const json_t *find(const Reader *reader, const char *key) {
  const json_t *value = json_object_get(reader->config, key);
  return json_is_null(value) ? NULL : value;
}

/* A whole number from 1 on; `fallback` where it is absent and that is not 0. */
static GwStatus read_count(const Reader *reader, const char *key, int32_t fallback, int32_t *out) {
  const json_t *value = find(reader, key);
  if (!value && fallback > 0) {
    *out = fallback;
    return GW_OK;
  }
  if (!value) return gw_fail(GW_CORRUPT, "%s: '%s' is missing", reader->file, key);
  json_int_t number = json_integer_value(value);
  if (!json_is_integer(value) || number < 1 || number > INT32_MAX)
    return gw_fail(GW_CORRUPT, "%s: '%s' must be a whole number from 1 on", reader->file, key);
  *out = (int32_t)number;
  return GW_OK;
}

static GwStatus read_positive(const Reader *reader, const json_t *object, const char *key,
                              double fallback, double *out) {
  const json_t *value = json_object_get(object, key);
  *out = value && !json_is_null(value) ? json_number_value(value) : fallback;
  if (*out > 0 && *out < 1e30) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: '%s' must be a number above 0", reader->file, key);
}

static GwStatus read_flag(const Reader *reader, const char *key, bool fallback, bool *out) {
  const json_t *value = find(reader, key);
  if (value && !json_is_boolean(value))
    return gw_fail(GW_CORRUPT, "%s: '%s' must be true or false", reader->file, key);
  *out = value ? json_is_true(value) : fallback;
  return GW_OK;
}

static GwStatus want_flag(const Reader *reader, const char *key, bool wanted) {
  bool value = wanted;
  GW_TRY(read_flag(reader, key, wanted, &value));
  if (value == wanted) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: '%s' is %s, and godwit's models have it %s", reader->file,
                 key, value ? "true" : "false", wanted ? "true" : "false");
}

/* `wanted` ends with NULL; an absent field has the first. */
static GwStatus want_text(const Reader *reader, const char *key, const char *const *wanted) {
  const json_t *value = find(reader, key);
  if (!value) return GW_OK;
  const char *text = json_string_value(value);
  for (int i = 0; text && wanted[i]; i++)
    if (strcmp(text, wanted[i]) == 0) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: '%s' is not %s, the only one that godwit has", reader->file,
                 key, wanted[0]);
}

static GwStatus read_gpt2(const Reader *reader, GwModelRecipe *m) {
  static const char *const gelu[] = {"gelu_new", "gelu_pytorch_tanh", NULL};
  m->family = GW_FAMILY_GPT2;
  m->activation = GW_ACTIVATION_GELU;
  GW_TRY(read_count(reader, "n_embd", 768, &m->width));
  GW_TRY(read_count(reader, "n_layer", 12, &m->layers));
  GW_TRY(read_count(reader, "n_head", 12, &m->heads));
  m->kv_heads = m->heads;
  if (m->width > INT32_MAX / 4)
    return gw_fail(GW_CORRUPT, "%s: 'n_embd' is out of range", reader->file);
  GW_TRY(read_count(reader, "n_inner", 4 * m->width, &m->hidden));
  GW_TRY(read_count(reader, "n_ctx", 1024, &m->context));
  GW_TRY(read_count(reader, "n_positions", m->context, &m->context));
  GW_TRY(read_positive(reader, reader->config, "layer_norm_epsilon", 1e-5, &m->norm_epsilon));
  GW_TRY(want_text(reader, "activation_function", gelu));
  GW_TRY(want_flag(reader, "scale_attn_weights", true));
  GW_TRY(want_flag(reader, "scale_attn_by_inverse_layer_idx", false));
  m->tie_embeddings = true;
  return want_flag(reader, "tie_word_embeddings", true);
}

/* transformers 4 has rope_theta and rope_scaling, 5 has them as rope_parameters. */
static GwStatus read_rope(const Reader *reader, GwModelRecipe *m) {
  const json_t *scaling = find(reader, "rope_scaling"), *rope = find(reader, "rope_parameters");
  const json_t *holder = rope ? rope : reader->config;
  const json_t *type = json_object_get(rope ? rope : scaling, "rope_type");
  if (!type) type = json_object_get(rope ? rope : scaling, "type");
  if ((scaling && !type) ||
      (type && (!json_is_string(type) || strcmp(json_string_value(type), "default") != 0)))
    return gw_fail(GW_UNSUPPORTED, "%s: '%s' scales rotary positions, which godwit does not",
                   reader->file, rope ? "rope_parameters" : "rope_scaling");
  return read_positive(reader, holder, "rope_theta", 10000, &m->rope_theta);
}

static GwStatus read_llama(const Reader *reader, bool qwen3, GwModelRecipe *m) {
  static const char *const silu[] = {"silu", "swish", NULL};
  int32_t head = 0;
  m->family = GW_FAMILY_LLAMA;
  m->activation = GW_ACTIVATION_SWIGLU;
  m->qk_norm = qwen3;
  GW_TRY(read_count(reader, "hidden_size", 0, &m->width));
  GW_TRY(read_count(reader, "intermediate_size", 0, &m->hidden));
  GW_TRY(read_count(reader, "num_hidden_layers", 0, &m->layers));
  GW_TRY(read_count(reader, "num_attention_heads", 0, &m->heads));
  GW_TRY(read_count(reader, "num_key_value_heads", m->heads, &m->kv_heads));
  GW_TRY(read_count(reader, "max_position_embeddings", 2048, &m->context));
  GW_TRY(read_positive(reader, reader->config, "rms_norm_eps", 1e-6, &m->norm_epsilon));
  int32_t usual = m->width < m->heads ? 1 : m->width / m->heads;
  GW_TRY(read_count(reader, "head_dim", qwen3 ? 128 : usual, &head));
  if (head != usual || m->width % m->heads != 0) m->head_width = head;
  GW_TRY(read_rope(reader, m));
  GW_TRY(want_text(reader, "hidden_act", silu));
  GW_TRY(want_flag(reader, "attention_bias", false));
  GW_TRY(want_flag(reader, "mlp_bias", false));
  GW_TRY(want_flag(reader, "use_sliding_window", false));
  return read_flag(reader, "tie_word_embeddings", false, &m->tie_embeddings);
}

GwStatus gw_hf_config_read(const char *file, const json_t *config, GwModelRecipe *out) {
  Reader reader = {file, config};
  const char *type = NULL;
  GW_TRY(gw_json_string(config, file, "model_type", &type));
  bool gpt2 = strcmp(type, "gpt2") == 0, llama = strcmp(type, "llama") == 0;
  bool qwen3 = strcmp(type, "qwen3") == 0;
  if (!gpt2 && !llama && !qwen3)
    return gw_fail(GW_UNSUPPORTED, "%s: 'model_type' must be gpt2, llama or qwen3", file);
  GwModelRecipe model = gw_recipe_default().model;
  GW_TRY(read_count(&reader, "vocab_size", gpt2 ? 50257 : 0, &model.vocab_size));
  GW_TRY(gpt2 ? read_gpt2(&reader, &model) : read_llama(&reader, qwen3, &model));
  *out = model;
  return GW_OK;
}
