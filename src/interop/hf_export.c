/* A folder as Hugging Face's transformers reads it: config.json, the tensors in one file or in
 * several of limited size with an index, tokenizer.json and the small files that go with it. It is
 * written aside and then renamed. Tensors are made one by one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "interop/foreign_model.h"
#include "interop/hf_config.h"
#include "state/safetensors.h"
#include "tokenizer/tokenizer_table.h"

typedef struct {
  GwFs *fs;
  const char *folder;
  const GwForeignModel *model;
  GwGgmlType type;
  uint64_t shard_bytes;
  GwTensorMap map;
  GwTensor *tensors; /* [map.count], as they stand in the files */
  int first;         /* tensor of the file being written */
  float *values;
  void *encoded;
} Writer;

static GwStatus fail_memory(void) { return gw_fail(GW_MEMORY, "no memory to export the model"); }

static GwStatus give_tensor(void *context, int i, const void **data) {
  Writer *w = context;
  const GwForeignTensor *tensor = &w->map.tensors[w->first + i];
  int64_t count = gw_type_count(&tensor->type);
  gw_foreign_gather(tensor, &w->model->list, w->model->params, w->values);
  GW_TRY(gw_foreign_check_finite("the model", tensor->name, w->values, count));
  *data = w->values;
  if (w->type == GW_GGML_F32) return GW_OK;
  gw_ggml_encode(w->type, w->values, (uint64_t)count, w->encoded);
  *data = w->encoded;
  return GW_OK;
}

static GwStatus prepare(Writer *w) {
  static const GwDtype dtypes[] = {[GW_GGML_F32] = GW_F32, [GW_GGML_F16] = GW_F16};
  GwDtype dtype = w->type == GW_GGML_BF16 ? GW_BF16 : dtypes[w->type];
  size_t largest = gw_tensor_map_largest(&w->map);
  w->tensors = calloc((size_t)w->map.count, sizeof *w->tensors);
  if (!w->tensors) return fail_memory();
  for (int i = 0; i < w->map.count; i++) {
    w->tensors[i] = (GwTensor){.name = w->map.tensors[i].name, .type = w->map.tensors[i].type};
    w->tensors[i].type.dtype = dtype;
  }
  w->values = malloc(largest);
  w->encoded = malloc(largest);
  return w->values && w->encoded ? GW_OK : fail_memory();
}

/* The end of the file that begins with tensor `first`. */
static int shard_end(const Writer *w, int first) {
  uint64_t bytes = 0;
  int end = first;
  for (; end < w->map.count; end++) {
    bytes += gw_type_size(&w->tensors[end].type);
    if (bytes > w->shard_bytes && end > first) break;
  }
  return end;
}

static GwStatus write_text(const Writer *w, const char *name, json_t *value) {
  char path[GW_PATH_MAX];
  char *text = value ? gw_json_text(value) : NULL;
  json_decref(value);
  if (!text) return fail_memory();
  GwStatus status = gw_fs_path(path, "%s/%s", w->folder, name);
  if (status == GW_OK) status = gw_fs_write_atomic(w->fs, path, text, strlen(text));
  free(text);
  return status;
}

static GwStatus write_shard(Writer *w, const char *name, int end, json_t *weights,
                            uint64_t *total) {
  char path[GW_PATH_MAX];
  uint64_t hash = 0, bytes = 0;
  for (int i = w->first; i < end; i++) {
    *total += gw_type_size(&w->tensors[i].type);
    if (json_object_set_new(weights, w->tensors[i].name, json_string(name)) != 0)
      return fail_memory();
  }
  GW_TRY(gw_fs_path(path, "%s/%s", w->folder, name));
  return gw_safetensors_write_from(w->fs, path, w->tensors + w->first, end - w->first, give_tensor,
                                   w, &hash, &bytes);
}

static GwStatus write_shards(Writer *w, int shards, json_t *weights) {
  uint64_t total = 0;
  for (int number = 1; number <= shards; number++) {
    char name[64] = "model.safetensors";
    if (shards > 1) snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", number, shards);
    int end = shard_end(w, w->first);
    GW_TRY(write_shard(w, name, end, weights, &total));
    w->first = end;
  }
  if (shards == 1) return GW_OK;
  return write_text(w, "model.safetensors.index.json",
                    json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total,
                              "weight_map", weights));
}

static GwStatus write_weights(Writer *w) {
  int shards = 0;
  for (int first = 0; first < w->map.count; first = shard_end(w, first)) shards++;
  json_t *weights = json_object();
  GwStatus status = weights ? write_shards(w, shards, weights) : fail_memory();
  json_decref(weights);
  return status;
}

static GwStatus write_tokenizer(const Writer *w) {
  char path[GW_PATH_MAX];
  const GwTokenizer *tokenizer = w->model->tokenizer;
  GwTextEnds ends = gw_foreign_ends(w->model);
  const char *begin = gw_tokenizer_special_name(tokenizer, gw_tokenizer_end_of_text(tokenizer));
  const char *end = gw_tokenizer_special_name(tokenizer, ends.ids[0]);
  GW_TRY(gw_fs_path(path, "%s/tokenizer.json", w->folder));
  GW_TRY(gw_tokenizer_save(w->fs, tokenizer, path));
  GW_TRY(write_text(w, "tokenizer_config.json",
                    json_pack("{s:s, s:s, s:s*, s:i, s:b, s:b}", "tokenizer_class",
                              "PreTrainedTokenizerFast", "bos_token", begin, "eos_token", end,
                              "model_max_length", (int)w->model->model.context, "add_prefix_space",
                              0, "clean_up_tokenization_spaces", 0)));
  return write_text(w, "special_tokens_map.json",
                    json_pack("{s:s, s:s*}", "bos_token", begin, "eos_token", end));
}

static GwStatus write_config(const Writer *w) {
  char path[GW_PATH_MAX], *text = NULL;
  const char *dtype = w->type == GW_GGML_F32   ? "float32"
                      : w->type == GW_GGML_F16 ? "float16"
                                               : "bfloat16";
  int32_t head = gw_tokenizer_end_of_text(w->model->tokenizer);
  GwTextEnds ends = gw_foreign_ends(w->model);
  GW_TRY(gw_fs_path(path, "%s/config.json", w->folder));
  GW_TRY(gw_hf_config_write(&w->model->model, head, &ends, dtype, &text));
  GwStatus status = gw_fs_write_atomic(w->fs, path, text, strlen(text));
  free(text);
  GW_TRY(status);
  return gw_text_ends_save(w->fs, w->folder, head, &ends);
}

static GwStatus write_all(Writer *w) {
  GW_TRY(gw_tensor_map_create(&w->model->model, &w->model->list, GW_FORMAT_HF, &w->map));
  GW_TRY(prepare(w));
  GW_TRY(write_config(w));
  GW_TRY(write_tokenizer(w));
  return write_weights(w);
}

GwStatus gw_hf_export(GwFs *fs, const GwForeignModel *model, const char *folder, GwGgmlType type,
                      uint64_t shard_bytes) {
  if (type == GW_GGML_Q8_0)
    return gw_fail(GW_UNSUPPORTED, "Hugging Face's folders have no q8_0; give f32, f16 or bf16");
  char aside[GW_PATH_MAX];
  const char *architecture = NULL;
  GW_TRY(gw_foreign_architecture(&model->model, &architecture));
  GW_TRY(gw_fs_path(aside, "%s" GW_EXPORT_ASIDE, folder));
  GW_TRY(gw_fs_remove_tree(fs, aside));
  GW_TRY(gw_fs_make_dirs(fs, aside));
  Writer writer = {
      .fs = fs, .folder = aside, .model = model, .type = type, .shard_bytes = shard_bytes};
  GwStatus status = gw_fs_replace(fs, aside, folder, write_all(&writer));
  gw_tensor_map_deinit(&writer.map);
  free(writer.tensors);
  free(writer.values);
  free(writer.encoded);
  return status;
}
