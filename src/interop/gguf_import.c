/* A model from GGUF: its keys say what it is, its tensors are decoded to f32, and its vocabulary is
 * read as the tokenizer.json that says the same. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interop/foreign_model.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer_formats.h"

enum { TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

typedef struct {
  const char *path;
  GwGguf *file;
  char architecture[16];
  GwForeignModel *model;
  GwTensorMap map;
} Reader;

static GwStatus fail_memory(const Reader *r) {
  return gw_fail(GW_MEMORY, "%s: no memory to import it", r->path);
}

/* A key under the architecture's name; false where it may be absent, having a fallback, and is. */
static bool wants_key(const Reader *r, const char *name, bool has_fallback, char *key) {
  snprintf(key, GW_NAME_MAX, "%s.%s", r->architecture, name);
  return !has_fallback || gw_gguf_has(r->file, key);
}

/* A size under the architecture's name; `fallback` where it is absent and that is not 0. */
static GwStatus read_size(const Reader *r, const char *name, int32_t fallback, int32_t *out) {
  char key[GW_NAME_MAX];
  uint32_t value = 0;
  *out = fallback;
  if (!wants_key(r, name, fallback > 0, key)) return GW_OK;
  GW_TRY(gw_gguf_u32(r->file, key, &value));
  if (value < 1 || value > INT32_MAX)
    return gw_fail(GW_CORRUPT, "%s: key '%s' is %" PRIu32, r->path, key, value);
  *out = (int32_t)value;
  return GW_OK;
}

static GwStatus read_real(const Reader *r, const char *name, double fallback, double *out) {
  char key[GW_NAME_MAX];
  float value = 0;
  *out = fallback;
  if (!wants_key(r, name, fallback > 0, key)) return GW_OK;
  GW_TRY(gw_gguf_f32(r->file, key, &value));
  if (!(value > 0 && value < 1e30f))
    return gw_fail(GW_CORRUPT, "%s: key '%s' must be a number above 0", r->path, key);
  /* The shortest decimal that is this f32: 1e-05 and not 9.99999975e-06. */
  char text[32];
  snprintf(text, sizeof text, "%.7g", (double)value);
  *out = strtod(text, NULL);
  return GW_OK;
}

static GwStatus read_architecture(Reader *r) {
  static const char *const known[] = {"gpt2", "llama", "qwen3"};
  const char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_gguf_string(r->file, "general.architecture", &text, &size));
  for (size_t i = 0; i < GW_COUNT_OF(known); i++)
    if (size == strlen(known[i]) && memcmp(text, known[i], size) == 0)
      snprintf(r->architecture, sizeof r->architecture, "%s", known[i]);
  if (r->architecture[0]) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: general.architecture must be gpt2, llama or qwen3", r->path);
}

static GwStatus read_vocab_size(const Reader *r, GwModelRecipe *m) {
  const GwGgufTensor *embedding = gw_gguf_find(r->file, "token_embd.weight");
  if (!embedding) return gw_fail(GW_MISMATCH, "%s: no tensor token_embd.weight", r->path);
  if (embedding->rank != 2 || embedding->dims[1] > INT32_MAX)
    return gw_fail(GW_CORRUPT, "%s: tensor token_embd.weight is no matrix", r->path);
  m->vocab_size = (int32_t)embedding->dims[1];
  return GW_OK;
}

static GwStatus read_llama(const Reader *r, GwModelRecipe *m) {
  int32_t head = 0, turned = 0;
  m->family = GW_FAMILY_LLAMA;
  m->activation = GW_ACTIVATION_SWIGLU;
  m->qk_norm = strcmp(r->architecture, "qwen3") == 0;
  m->tie_embeddings = !gw_gguf_find(r->file, "output.weight");
  GW_TRY(read_size(r, "attention.head_count_kv", m->heads, &m->kv_heads));
  GW_TRY(read_real(r, "attention.layer_norm_rms_epsilon", 0, &m->norm_epsilon));
  GW_TRY(read_real(r, "rope.freq_base", 10000, &m->rope_theta));
  int32_t usual = m->width < m->heads ? 1 : m->width / m->heads, values = 0;
  GW_TRY(read_size(r, "attention.key_length", usual, &head));
  GW_TRY(read_size(r, "attention.value_length", head, &values));
  GW_TRY(read_size(r, "rope.dimension_count", head, &turned));
  if (values != head || turned != head)
    return gw_fail(GW_UNSUPPORTED,
                   "%s: keys of %" PRId32 ", of which %" PRId32 " are turned, and values of "
                   "%" PRId32 "; in godwit all are as wide",
                   r->path, head, turned, values);
  if (head != usual || m->width % m->heads != 0) m->head_width = head;
  if (!gw_gguf_find(r->file, "rope_freqs.weight")) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: rope_freqs.weight scales rotary positions, godwit does not",
                 r->path);
}

static GwStatus read_sizes(const Reader *r, GwModelRecipe *m) {
  *m = gw_recipe_default().model;
  GW_TRY(read_vocab_size(r, m));
  GW_TRY(read_size(r, "context_length", 0, &m->context));
  GW_TRY(read_size(r, "embedding_length", 0, &m->width));
  GW_TRY(read_size(r, "block_count", 0, &m->layers));
  GW_TRY(read_size(r, "feed_forward_length", 0, &m->hidden));
  GW_TRY(read_size(r, "attention.head_count", 0, &m->heads));
  if (strcmp(r->architecture, "gpt2") != 0) return read_llama(r, m);
  m->family = GW_FAMILY_GPT2;
  m->activation = GW_ACTIVATION_GELU;
  m->kv_heads = m->heads;
  m->tie_embeddings = true;
  return read_real(r, "attention.layer_norm_epsilon", 0, &m->norm_epsilon);
}

static bool same_shape(const GwGgufTensor *tensor, const GwType *type) {
  if (tensor->rank != type->rank) return false;
  for (int i = 0; i < type->rank; i++)
    if (tensor->dims[i] != (uint64_t)type->dim[type->rank - 1 - i]) return false;
  return true;
}

static GwStatus read_tensor(Reader *r, const GwForeignTensor *wanted, float *values) {
  const GwGgufTensor *tensor = gw_gguf_find(r->file, wanted->name);
  if (!tensor) return gw_fail(GW_MISMATCH, "%s: the tensor '%s' is missing", r->path, wanted->name);
  if (!same_shape(tensor, &wanted->type))
    return gw_fail(GW_MISMATCH, "%s: the tensor '%s' has another shape than the keys say", r->path,
                   wanted->name);
  int64_t count = gw_type_count(&wanted->type);
  gw_ggml_decode((GwGgmlType)tensor->type, tensor->data, (uint64_t)count, values);
  GW_TRY(gw_foreign_check_finite(r->path, wanted->name, values, count));
  gw_foreign_scatter(wanted, &r->model->list, values, r->model->params);
  return GW_OK;
}

static bool is_wanted(const Reader *r, const GwGgufTensor *tensor) {
  for (int i = 0; i < r->map.count; i++)
    if (strlen(r->map.tensors[i].name) == tensor->name_size &&
        memcmp(r->map.tensors[i].name, tensor->name, tensor->name_size) == 0)
      return true;
  return false;
}

static GwStatus check_rest(const Reader *r) {
  for (uint64_t i = 0; i < gw_gguf_tensor_count(r->file); i++) {
    const GwGgufTensor *tensor = gw_gguf_tensor(r->file, i);
    if (!is_wanted(r, tensor))
      return gw_fail(GW_UNSUPPORTED, "%s: the model has nothing for the tensor '%.*s'", r->path,
                     (int)tensor->name_size, tensor->name);
  }
  return GW_OK;
}

static GwStatus read_tensors(Reader *r) {
  uint64_t elements = 0;
  for (uint64_t i = 0; i < gw_gguf_tensor_count(r->file); i++)
    elements += gw_gguf_tensor(r->file, i)->count;
  GW_TRY(gw_foreign_model_allocate(r->path, elements, r->model));
  GW_TRY(gw_tensor_map_create(&r->model->model, &r->model->list, GW_FORMAT_GGUF, &r->map));
  GW_TRY(check_rest(r));
  float *values = malloc(gw_tensor_map_largest(&r->map));
  GwStatus status = values ? GW_OK : fail_memory(r);
  for (int i = 0; status == GW_OK && i < r->map.count; i++)
    status = read_tensor(r, &r->map.tensors[i], values);
  free(values);
  return status;
}

/* ---- the vocabulary ---- */

/* model.vocab and added_tokens: unused ids are left out. */
static GwStatus read_tokens(const Reader *r, json_t *vocab, json_t *added) {
  GwGgufWalk names, types;
  GW_TRY(gw_gguf_array(r->file, "tokenizer.ggml.tokens", GW_GGUF_STRING, &names));
  GW_TRY(gw_gguf_array(r->file, "tokenizer.ggml.token_type", GW_GGUF_I32, &types));
  if (names.left != types.left || names.left != (uint64_t)r->model->model.vocab_size)
    return gw_fail(GW_CORRUPT,
                   "%s: %" PRIu64 " tokens, %" PRIu64 " types of tokens, and an embedding of "
                   "%" PRId32 " rows",
                   r->path, names.left, types.left, r->model->model.vocab_size);
  for (json_int_t id = 0; names.left > 0; id++) {
    size_t size = 0;
    const char *name = gw_gguf_next_string(&names, &size);
    int32_t type = gw_gguf_next_i32(&types);
    if (type == TOKEN_UNUSED) continue;
    json_t *text = json_stringn(name, size);
    if (!text || strlen(json_string_value(text)) != size) {
      json_decref(text);
      return gw_fail(GW_CORRUPT, "%s: the name of token %" JSON_INTEGER_FORMAT " is no text",
                     r->path, id);
    }
    bool special = type == TOKEN_CONTROL || type == TOKEN_USER;
    bool twice = json_object_get(vocab, json_string_value(text)) != NULL;
    int failed = json_object_set_new(vocab, json_string_value(text), json_integer(id));
    if (special && failed == 0)
      failed = json_array_append_new(
          added, json_pack("{s:I, s:O, s:b}", "id", id, "content", text, "special", 1));
    json_decref(text);
    if (twice)
      return gw_fail(GW_CORRUPT, "%s: token %" JSON_INTEGER_FORMAT " has the name of another",
                     r->path, id);
    if (failed != 0) return fail_memory(r);
  }
  return GW_OK;
}

static GwStatus read_merges(const Reader *r, json_t *merges) {
  GwGgufWalk walk;
  GW_TRY(gw_gguf_array(r->file, "tokenizer.ggml.merges", GW_GGUF_STRING, &walk));
  for (size_t i = 0; walk.left > 0; i++) {
    size_t size = 0;
    const char *text = gw_gguf_next_string(&walk, &size);
    json_t *merge = json_stringn(text, size);
    if (!merge) return gw_fail(GW_CORRUPT, "%s: merge %zu is no text", r->path, i);
    if (json_array_append_new(merges, merge) != 0) return fail_memory(r);
  }
  return GW_OK;
}

static GwStatus read_splitting(const Reader *r, json_t **out, bool *whole_pieces) {
  static const struct {
    const char *name;
    GwSplitPattern pattern;
    bool whole_pieces;
  } known[] = {{"gpt-2", GW_PATTERN_GPT2, false},
               {"llama-bpe", GW_PATTERN_CL100K, true},
               {"gpt-4o", GW_PATTERN_O200K, false},
               {"qwen2", GW_PATTERN_QWEN2, false}};
  const char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_gguf_string(r->file, "tokenizer.ggml.pre", &text, &size));
  for (size_t i = 0; i < GW_COUNT_OF(known); i++) {
    if (size != strlen(known[i].name) || memcmp(text, known[i].name, size) != 0) continue;
    *whole_pieces = known[i].whole_pieces;
    *out = gw__tokenizer_splitting_json(known[i].pattern);
    return *out ? GW_OK : fail_memory(r);
  }
  return gw_fail(GW_UNSUPPORTED, "%s: tokenizer.ggml.pre must be gpt-2, llama-bpe, gpt-4o or qwen2",
                 r->path);
}

static GwStatus build_tokenizer(Reader *r, json_t *vocab, json_t *added, json_t *merges) {
  json_t *splitting = NULL;
  bool whole_pieces = false;
  GW_TRY(read_tokens(r, vocab, added));
  GW_TRY(read_merges(r, merges));
  GW_TRY(read_splitting(r, &splitting, &whole_pieces));
  json_t *root = json_pack("{s:o, s:O, s:{s:s, s:b, s:O, s:O}}", "pre_tokenizer", splitting,
                           "added_tokens", added, "model", "type", "BPE", "ignore_merges",
                           (int)whole_pieces, "vocab", vocab, "merges", merges);
  if (!root) return fail_memory(r);
  GwStatus status = gw__tokenizer_from_json(r->path, root, &r->model->tokenizer);
  json_decref(root);
  return status;
}

static GwStatus read_tokenizer(Reader *r) {
  const char *kind = NULL;
  size_t size = 0;
  GW_TRY(gw_gguf_string(r->file, "tokenizer.ggml.model", &kind, &size));
  if (size != 4 || memcmp(kind, "gpt2", 4) != 0)
    return gw_fail(GW_UNSUPPORTED, "%s: tokenizer.ggml.model must be gpt2, byte-level BPE",
                   r->path);
  json_t *vocab = json_object(), *added = json_array(), *merges = json_array();
  GwStatus status =
      vocab && added && merges ? build_tokenizer(r, vocab, added, merges) : fail_memory(r);
  json_decref(vocab);
  json_decref(added);
  json_decref(merges);
  return status;
}

/* A token under `key`; *id stays as it is where there is none. */
static GwStatus read_token(const Reader *r, const char *key, int32_t *id) {
  uint32_t value = 0;
  if (!gw_gguf_has(r->file, key)) return GW_OK;
  GW_TRY(gw_gguf_u32(r->file, key, &value));
  if (value >= (uint32_t)r->model->model.vocab_size)
    return gw_fail(GW_CORRUPT, "%s: %s is %" PRIu32 ", and the model has %" PRId32 " tokens",
                   r->path, key, value, r->model->model.vocab_size);
  *id = (int32_t)value;
  return GW_OK;
}

static GwStatus read_borders(Reader *r) {
  static const char begin[] = "tokenizer.ggml.bos_token_id";
  int32_t head = -1;
  GW_TRY(read_token(r, begin, &head));
  if (head >= 0) gw_foreign_set_head(r->model, r->path, begin, head);
  for (int i = 0; i < GW_GGUF_ENDS; i++) {
    int32_t end = -1;
    GW_TRY(read_token(r, gw_gguf_ends[i], &end));
    if (end >= 0) gw_text_ends_add(&r->model->ends, end);
  }
  return GW_OK;
}

static GwStatus read_name(Reader *r) {
  const char *text = NULL;
  size_t size = 0;
  if (!gw_gguf_has(r->file, "general.name")) return GW_OK;
  GW_TRY(gw_gguf_string(r->file, "general.name", &text, &size));
  gw_foreign_set_name(r->model, text, size);
  return GW_OK;
}

static GwStatus read_all(Reader *r, const GwMap *map) {
  GW_TRY(gw_gguf_parse(r->path, map->data, map->size, &r->file));
  GW_TRY(read_name(r));
  GW_TRY(read_architecture(r));
  GW_TRY(read_sizes(r, &r->model->model));
  GW_TRY(read_tensors(r));
  GW_TRY(read_tokenizer(r));
  return read_borders(r);
}

GwStatus gw_gguf_import(const char *path, GwForeignModel *out) {
  GwMap map = {0};
  GwForeignModel model = {0};
  Reader reader = {.path = path, .model = &model};
  GW_TRY(gw_map_open(path, &map));
  GwStatus status = read_all(&reader, &map);
  gw_gguf_close(reader.file);
  gw_tensor_map_deinit(&reader.map);
  gw_map_close(&map);
  if (status == GW_OK)
    *out = model;
  else
    gw_foreign_model_deinit(&model);
  return status;
}
