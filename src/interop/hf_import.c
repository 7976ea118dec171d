/* A folder of Hugging Face's transformers: config.json says what the model is, its tensors are in
 * model.safetensors or in the files that model.safetensors.index.json names. Every tensor of the
 * model must be there once and nothing else, save what is known to be none of its weights. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "interop/foreign_model.h"
#include "interop/hf_config.h"
#include "state/safetensors.h"
#include "tokenizer/tokenizer_table.h"

enum { JSON_SIZE_MAX = 64 << 20, FILES_MAX = 1000 };

typedef struct {
  GwSafetensors *file;
  char path[GW_PATH_MAX];
  bool *used; /* [count of the file's tensors] */
} Shard;

typedef struct {
  GwFs *fs;
  const char *folder;
  GwForeignModel *model;
  GwTensorMap map;
  Shard *shards;
  int shard_count;
  float *values;
  void *encoded;
} Reader;

static GwStatus fail_memory(const Reader *r) {
  return gw_fail(GW_MEMORY, "%s: no memory to import it", r->folder);
}

static GwStatus read_json(const Reader *r, const char *name, char *path, json_t **out) {
  char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_fs_path(path, "%s/%s", r->folder, name));
  GW_TRY(gw_fs_read_all(r->fs, path, JSON_SIZE_MAX, &text, &size));
  GwStatus status = gw_json_parse(path, text, size, out);
  free(text);
  return status;
}

static GwStatus open_shard(Reader *r, const char *name) {
  Shard *shard = &r->shards[r->shard_count];
  GW_TRY(gw_fs_path(shard->path, "%s/%s", r->folder, name));
  GW_TRY(gw_safetensors_open(r->fs, shard->path, &shard->file));
  r->shard_count++;
  shard->used = calloc((size_t)gw_safetensors_count(shard->file) + 1, sizeof *shard->used);
  return shard->used ? GW_OK : fail_memory(r);
}

static bool is_open(const Reader *r, const char *name) {
  for (int i = 0; i < r->shard_count; i++) {
    const char *slash = strrchr(r->shards[i].path, '/');
    if (strcmp(slash + 1, name) == 0) return true;
  }
  return false;
}

/* The files that the index names; a name is one of this folder. */
static GwStatus open_listed(Reader *r, const char *path, const json_t *index) {
  json_t *weights = NULL, *value;
  const char *key;
  GW_TRY(gw_json_object(index, path, "weight_map", &weights));
  json_object_foreach(weights, key, value) {
    const char *name = json_string_value(value);
    if (!name || !*name || strchr(name, '/'))
      return gw_fail(GW_CORRUPT, "%s: weight_map['%.100s'] must be a file of the folder", path,
                     key);
    if (is_open(r, name)) continue;
    if (r->shard_count == FILES_MAX)
      return gw_fail(GW_UNSUPPORTED, "%s: more than %d files", path, FILES_MAX);
    GW_TRY(open_shard(r, name));
  }
  return GW_OK;
}

static GwStatus open_shards(Reader *r) {
  char path[GW_PATH_MAX];
  r->shards = calloc(FILES_MAX, sizeof *r->shards);
  if (!r->shards) return fail_memory(r);
  GW_TRY(gw_fs_path(path, "%s/model.safetensors", r->folder));
  if (r->fs->exists(r->fs, path)) return open_shard(r, "model.safetensors");
  json_t *index = NULL;
  GwStatus status = read_json(r, "model.safetensors.index.json", path, &index);
  if (status == GW_NOT_FOUND)
    return gw_fail(GW_NOT_FOUND,
                   "%s: no model.safetensors and no model.safetensors.index.json; weights in other "
                   "formats are not read",
                   r->folder);
  GW_TRY(status);
  status = open_listed(r, path, index);
  json_decref(index);
  return status;
}

/* A tensor by its name, or without the prefix that files of base models lack. */
static GwStatus find_tensor(const Reader *r, const char *name, Shard **shard, int *entry) {
  static const char prefix[] = "transformer.";
  const char *bare =
      strncmp(name, prefix, sizeof prefix - 1) == 0 ? name + sizeof prefix - 1 : NULL;
  for (int i = 0; i < r->shard_count; i++) {
    *shard = &r->shards[i];
    *entry = gw_safetensors_find((*shard)->file, name);
    if (*entry < 0 && bare) *entry = gw_safetensors_find((*shard)->file, bare);
    if (*entry >= 0) return GW_OK;
  }
  return gw_fail(GW_MISMATCH, "%s: the tensor '%s' is missing", r->folder, name);
}

/* The tensor's elements as f32 in r->values, of which there is room for as many. */
static GwStatus read_values(Reader *r, Shard *shard, int entry, const GwType *wanted) {
  uint64_t offset;
  GwTensor tensor = gw_safetensors_entry(shard->file, entry, &offset);
  GwType as_f32 = tensor.type;
  as_f32.dtype = GW_F32;
  if (tensor.type.dtype != GW_F32 && tensor.type.dtype != GW_F16 && tensor.type.dtype != GW_BF16)
    return gw_fail(GW_UNSUPPORTED, "%s: tensor '%s' has dtype %s; godwit reads F32, F16 and BF16",
                   shard->path, tensor.name, gw_dtype_safetensors_name(tensor.type.dtype));
  if (!gw_type_equal(&as_f32, wanted)) {
    int rank = tensor.type.rank;
    return gw_fail(GW_MISMATCH,
                   "%s: tensor '%s' has %d dimensions, %" PRId64 " x %" PRId64
                   "; by config.json it has %d, %" PRId64 " x %" PRId64,
                   shard->path, tensor.name, rank, rank > 0 ? tensor.type.dim[0] : 1,
                   rank > 1 ? tensor.type.dim[1] : 1, wanted->rank, wanted->dim[0],
                   wanted->rank > 1 ? wanted->dim[1] : 1);
  }
  int64_t count = gw_type_count(wanted);
  shard->used[entry] = true;
  if (tensor.type.dtype == GW_F32) {
    GW_TRY(gw_safetensors_read(shard->file, entry, r->values));
  } else {
    GW_TRY(gw_safetensors_read(shard->file, entry, r->encoded));
    gw_ggml_decode(tensor.type.dtype == GW_F16 ? GW_GGML_F16 : GW_GGML_BF16, r->encoded,
                   (uint64_t)count, r->values);
  }
  return gw_foreign_check_finite(shard->path, tensor.name, r->values, count);
}

static GwStatus read_tensors(Reader *r) {
  size_t largest = gw_tensor_map_largest(&r->map);
  r->values = malloc(largest);
  r->encoded = malloc(largest);
  if (!r->values || !r->encoded) return fail_memory(r);
  for (int i = 0; i < r->map.count; i++) {
    Shard *shard = NULL;
    int entry = -1;
    GW_TRY(find_tensor(r, r->map.tensors[i].name, &shard, &entry));
    GW_TRY(read_values(r, shard, entry, &r->map.tensors[i].type));
    gw_foreign_scatter(&r->map.tensors[i], &r->model->list, r->values, r->model->params);
  }
  return GW_OK;
}

static bool ends_with(const char *text, const char *end) {
  size_t size = strlen(text), tail = strlen(end);
  return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* The head of a tied model, which some files have a second time: it must be the embedding. */
static GwStatus check_tied_head(Reader *r, Shard *shard, int entry) {
  const GwForeignTensor *embedding = &r->map.tensors[0];
  GW_TRY(read_values(r, shard, entry, &embedding->type));
  const char *own =
      (const char *)r->model->params + r->model->list.params[embedding->sources[0]].offset;
  if (memcmp(r->values, own, gw_type_size(&embedding->type)) == 0) return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "%s: lm_head.weight differs from the embedding, but config.json ties them "
                 "(tie_word_embeddings)",
                 shard->path);
}

static GwStatus check_rest(Reader *r, Shard *shard, int entry) {
  uint64_t offset;
  const char *name = gw_safetensors_entry(shard->file, entry, &offset).name;
  if (shard->used[entry]) return GW_OK;
  if (strcmp(name, "lm_head.weight") == 0 && r->model->model.tie_embeddings)
    return check_tied_head(r, shard, entry);
  if (ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias") ||
      ends_with(name, ".rotary_emb.inv_freq"))
    return GW_OK; /* masks and tables that old versions kept */
  return gw_fail(GW_UNSUPPORTED, "%s: the model has nothing for the tensor '%.100s'", shard->path,
                 name);
}

/* A folder may have none, or one that no other program than its own reads. */
static GwStatus read_tokenizer(Reader *r) {
  static const char *const names[] = {"tokenizer.json", "vocab.json"};
  char path[GW_PATH_MAX];
  for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
    GW_TRY(gw_fs_path(path, "%s/%s", r->folder, names[i]));
    if (r->fs->exists(r->fs, path)) return gw_tokenizer_open(r->fs, path, &r->model->tokenizer);
  }
  return GW_OK;
}

/* A token that tokenizer_config.json names: as a string, or as an object with `content`. NULL for
 * none. */
static const char *token_name(const json_t *config, const char *key) {
  const json_t *value = json_object_get(config, key);
  return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* The special token of that name, -1 for none. */
static int32_t find_special(const GwTokenizer *tokenizer, const char *name) {
  for (int32_t i = 0; name && i < tokenizer->special_count; i++)
    if (strcmp(tokenizer->specials[i].name, name) == 0) return tokenizer->specials[i].id;
  return -1;
}

/* What a configuration says of a text's first token and its last, where no other has said it. */
static GwStatus read_borders(Reader *r, const char *name, bool *has_head) {
  static const char key[] = "bos_token_id";
  GwForeignModel *model = r->model;
  char path[GW_PATH_MAX];
  json_t *config = NULL;
  GwStatus status = read_json(r, name, path, &config);
  if (status == GW_NOT_FOUND) return GW_OK;
  GW_TRY(status);
  const json_t *head = json_object_get(config, key);
  if (model->ends.count == 0)
    status = gw_text_ends_read(path, config, model->model.vocab_size, &model->ends);
  if (status == GW_OK && head && !json_is_null(head) && !json_is_integer(head))
    status = gw_fail(GW_CORRUPT, "%s: '%s' must be a token's id", path, key);
  if (status == GW_OK && !*has_head && json_is_integer(head)) {
    gw_foreign_set_head(model, path, key, json_integer_value(head));
    *has_head = true;
  }
  if (model->tokenizer) { /* tokenizer_config.json has names */
    int32_t begin = find_special(model->tokenizer, token_name(config, "bos_token"));
    int32_t end = find_special(model->tokenizer, token_name(config, "eos_token"));
    if (begin >= 0 && !*has_head) gw_tokenizer_set_end_of_text(model->tokenizer, begin);
    if (end >= 0 && model->ends.count == 0) gw_text_ends_add(&model->ends, end);
  }
  json_decref(config);
  return status;
}

static GwStatus read_all_borders(Reader *r) {
  static const char *const names[] = {GW_GENERATION_CONFIG, "config.json", "tokenizer_config.json"};
  bool has_head = false;
  for (size_t i = 0; i < GW_COUNT_OF(names); i++) GW_TRY(read_borders(r, names[i], &has_head));
  return GW_OK;
}

static GwStatus read_all(Reader *r) {
  char path[GW_PATH_MAX];
  json_t *config = NULL;
  GW_TRY(read_json(r, "config.json", path, &config));
  GwStatus status = gw_hf_config_read(path, config, &r->model->model);
  json_decref(config);
  GW_TRY(status);
  GW_TRY(open_shards(r));
  uint64_t elements = 0, offset;
  for (int i = 0; i < r->shard_count; i++)
    for (int entry = 0; entry < gw_safetensors_count(r->shards[i].file); entry++) {
      GwTensor tensor = gw_safetensors_entry(r->shards[i].file, entry, &offset);
      elements += (uint64_t)gw_type_count(&tensor.type);
    }
  GW_TRY(gw_foreign_model_allocate(path, elements, r->model));
  GW_TRY(gw_tensor_map_create(&r->model->model, &r->model->list, GW_FORMAT_HF, &r->map));
  GW_TRY(read_tensors(r));
  for (int i = 0; i < r->shard_count; i++)
    for (int entry = 0; entry < gw_safetensors_count(r->shards[i].file); entry++)
      GW_TRY(check_rest(r, &r->shards[i], entry));
  GW_TRY(read_tokenizer(r));
  return read_all_borders(r);
}

GwStatus gw_hf_import(GwFs *fs, const char *folder, GwForeignModel *out) {
  GwForeignModel model = {0};
  Reader reader = {.fs = fs, .folder = folder, .model = &model};
  GwStatus status = read_all(&reader);
  for (int i = 0; i < reader.shard_count; i++) {
    gw_safetensors_close(reader.shards[i].file);
    free(reader.shards[i].used);
  }
  free(reader.shards);
  gw_tensor_map_deinit(&reader.map);
  free(reader.values);
  free(reader.encoded);
  if (status == GW_OK)
    *out = model;
  else
    gw_foreign_model_deinit(&model);
  return status;
}
