/* GGUF from a model: the keys that llama.cpp reads for the architecture, the vocabulary, and the
 * tensors under llama.cpp's names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interop/foreign_model.h"
#include "interop/hf_config.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_table.h"

enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_UNUSED = 5 };

static const char *key_of(char *out, const char *architecture, const char *key) {
  snprintf(out, GW_NAME_MAX, "%s.%s", architecture, key);
  return out;
}

/* general.file_type */
static uint32_t file_type(GwGgmlType type) {
  return type == GW_GGML_F32 ? 0 : type == GW_GGML_F16 ? 1 : type == GW_GGML_Q8_0 ? 7 : 32;
}

static void put_sizes(GwGgufHead *head, const GwForeignModel *foreign, const char *architecture,
                      GwGgmlType type) {
  const GwModelRecipe *m = &foreign->model;
  bool gpt2 = m->family == GW_FAMILY_GPT2;
  char key[GW_NAME_MAX];
  gw_gguf_put_string(head, "general.architecture", architecture);
  gw_gguf_put_string(head, "general.name", foreign->name[0] ? foreign->name : "godwit");
  gw_gguf_put_u32(head, "general.file_type", file_type(type));
#define PUT(name, value) gw_gguf_put_u32(head, key_of(key, architecture, name), (uint32_t)(value))
  PUT("context_length", m->context);
  PUT("embedding_length", m->width);
  PUT("block_count", m->layers);
  PUT("feed_forward_length", m->hidden);
  PUT("attention.head_count", m->heads);
  if (!gpt2) {
    PUT("attention.head_count_kv", m->kv_heads);
    PUT("attention.key_length", gw_model_head_width(m));
    PUT("attention.value_length", gw_model_head_width(m));
    PUT("rope.dimension_count", gw_model_head_width(m));
    gw_gguf_put_f32(head, key_of(key, architecture, "rope.freq_base"), (float)m->rope_theta);
  }
  PUT("vocab_size", m->vocab_size);
#undef PUT
  const char *epsilon = gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
  gw_gguf_put_f32(head, key_of(key, architecture, epsilon), (float)m->norm_epsilon);
}

/* llama.cpp's name for how text is split. It decides there too whether a piece that is a token
 * becomes that token, so a vocabulary for which this matters must have it so. */
static GwStatus splitting_name(const GwTokenizer *tokenizer, const char **out) {
  static const char *const names[GW_PATTERN_COUNT] = {"gpt-2", "llama-bpe", "gpt-4o", "qwen2"};
  *out = names[tokenizer->pattern];
  bool there = tokenizer->pattern == GW_PATTERN_CL100K;
  if (there == tokenizer->whole_pieces || (tokenizer->whole_pieces && !tokenizer->wholes))
    return GW_OK;
  if (there && !tokenizer->whole_pieces)
    return gw_fail(GW_UNSUPPORTED,
                   "the tokenizer: GGUF's 'llama-bpe' takes pieces that are tokens as they are "
                   "(ignore_merges), and this vocabulary doesn't");
  return gw_fail(
      GW_UNSUPPORTED,
      "the tokenizer: it takes pieces that are tokens as they are (ignore_merges), which "
      "GGUF's '%s' does not",
      *out);
}

/* The names of all ids, malloc'd one by one; NULL on exhaustion. */
static char *spell_token(const GwByteAlphabet *alphabet, const GwTokenizer *tokenizer, int32_t id) {
  const GwTokenText *token = &tokenizer->tokens[id];
  char *name = malloc(2 * token->size + 1);
  if (name) gw_byte_spell(alphabet, token->bytes, token->size, name);
  return name;
}

static bool is_token(const GwTokenizer *tokenizer, int32_t id) {
  return id < tokenizer->vocab_size && tokenizer->tokens[id].size > 0;
}

/* As many names as the model has rows; ids without a token get names that no text has. */
static GwStatus put_tokens(GwGgufHead *head, const GwTokenizer *tokenizer, int32_t rows) {
  GwByteAlphabet alphabet;
  gw_byte_alphabet_init(&alphabet);
  gw_gguf_begin_array(head, "tokenizer.ggml.tokens", GW_GGUF_STRING, (uint64_t)rows);
  for (int32_t id = 0; id < rows; id++) {
    if (is_token(tokenizer, id)) {
      char *name = spell_token(&alphabet, tokenizer, id);
      if (!name) return gw_fail(GW_MEMORY, "no memory for the tokens' names");
      gw_gguf_item_string(head, name);
      free(name);
      continue;
    }
    char unused[32];
    snprintf(unused, sizeof unused, "[UNUSED%" PRId32 "]", id);
    const char *special = gw_tokenizer_special_name(tokenizer, id);
    gw_gguf_item_string(head, special ? special : unused);
  }
  gw_gguf_begin_array(head, "tokenizer.ggml.token_type", GW_GGUF_I32, (uint64_t)rows);
  for (int32_t id = 0; id < rows; id++)
    gw_gguf_item_i32(head, is_token(tokenizer, id)                    ? TOKEN_NORMAL
                           : gw_tokenizer_special_name(tokenizer, id) ? TOKEN_CONTROL
                                                                      : TOKEN_UNUSED);
  return head->status;
}

static GwStatus put_merges(GwGgufHead *head, const GwTokenizer *tokenizer) {
  GwByteAlphabet alphabet;
  gw_byte_alphabet_init(&alphabet);
  gw_gguf_begin_array(head, "tokenizer.ggml.merges", GW_GGUF_STRING,
                      (uint64_t)tokenizer->merge_count);
  for (int32_t rank = 0; rank < tokenizer->merge_count; rank++) {
    char *left = spell_token(&alphabet, tokenizer, tokenizer->merges[rank].left);
    char *right = spell_token(&alphabet, tokenizer, tokenizer->merges[rank].right);
    char *both = NULL;
    if (left && right && asprintf(&both, "%s %s", left, right) < 0) both = NULL;
    free(left);
    free(right);
    if (!both) return gw_fail(GW_MEMORY, "no memory for the tokenizer's merges");
    gw_gguf_item_string(head, both);
    free(both);
  }
  return head->status;
}

static GwStatus put_tokenizer(GwGgufHead *head, const GwForeignModel *model) {
  const GwTokenizer *tokenizer = model->tokenizer;
  const char *splitting = NULL;
  if (tokenizer->nfc)
    return gw_fail(GW_UNSUPPORTED,
                   "the tokenizer: its normalizer NFC has no place in GGUF, so other tokens would "
                   "come of some texts there; export to hf");
  GW_TRY(splitting_name(tokenizer, &splitting));
  gw_gguf_put_string(head, "tokenizer.ggml.model", "gpt2");
  gw_gguf_put_string(head, "tokenizer.ggml.pre", splitting);
  GW_TRY(put_tokens(head, tokenizer, model->model.vocab_size));
  GW_TRY(put_merges(head, tokenizer));
  gw_gguf_put_u32(head, "tokenizer.ggml.bos_token_id", (uint32_t)tokenizer->end_of_text);
  GwTextEnds ends = gw_foreign_ends(model);
  if (ends.count > GW_GGUF_ENDS)
    return gw_fail(GW_UNSUPPORTED,
                   "%d tokens end a text of this model, and GGUF has places for %d; export to hf",
                   ends.count, GW_GGUF_ENDS);
  for (int i = 0; i < ends.count; i++)
    gw_gguf_put_u32(head, gw_gguf_ends[i], (uint32_t)ends.ids[i]);
  gw_gguf_put_bool(head, "tokenizer.ggml.add_bos_token", true);
  return head->status;
}

/* Vectors, and tables that are read by place, stay as they are, as llama.cpp's converter has it;
 * rows that Q8_0's blocks don't divide are F16. */
static GwGgmlType type_of(const GwForeignTensor *tensor, GwGgmlType wanted) {
  if (tensor->type.rank < 2 || strcmp(tensor->name, "position_embd.weight") == 0)
    return GW_GGML_F32;
  if (wanted == GW_GGML_Q8_0 && tensor->type.dim[1] % GW_Q8_0_BLOCK != 0) return GW_GGML_F16;
  return wanted;
}

static void put_tensors(GwGgufHead *head, const GwTensorMap *map, GwGgmlType type) {
  for (int i = 0; i < map->count; i++) {
    const GwForeignTensor *tensor = &map->tensors[i];
    int rank = tensor->type.rank;
    uint64_t dims[GW_GGUF_DIMS_MAX];
    for (int k = 0; k < rank; k++) dims[k] = (uint64_t)tensor->type.dim[rank - 1 - k];
    gw_gguf_put_tensor(head, tensor->name, type_of(tensor, type), rank, dims);
  }
}

static GwStatus write_tensor(GwFs *fs, GwFile *file, const GwForeignModel *model,
                             const GwForeignTensor *tensor, GwGgmlType type, float *values,
                             char *encoded) {
  static const char padding[GW_GGUF_ALIGNMENT] = {0};
  int64_t count = gw_type_count(&tensor->type);
  uint64_t bytes = gw_ggml_size(type, (uint64_t)count);
  gw_foreign_gather(tensor, &model->list, model->params, values);
  GW_TRY(gw_foreign_check_finite("the model", tensor->name, values, count));
  gw_ggml_encode(type, values, (uint64_t)count, encoded);
  GW_TRY(fs->write(fs, file, encoded, bytes));
  return fs->write(fs, file, padding, gw_align_up(bytes, GW_GGUF_ALIGNMENT) - bytes);
}

static GwStatus write_tensors(GwFs *fs, GwFile *file, const GwForeignModel *model,
                              const GwTensorMap *map, GwGgmlType type) {
  size_t largest = gw_tensor_map_largest(map);
  float *values = malloc(largest);
  char *encoded = malloc(largest);
  GwStatus status = values && encoded ? GW_OK : gw_fail(GW_MEMORY, "no memory for a tensor");
  for (int i = 0; status == GW_OK && i < map->count; i++)
    status = write_tensor(fs, file, model, &map->tensors[i], type_of(&map->tensors[i], type),
                          values, encoded);
  free(values);
  free(encoded);
  return status;
}

static GwStatus write_head(GwFs *fs, GwFile *file, const GwForeignModel *model,
                           const char *architecture, const GwTensorMap *map, GwGgmlType type) {
  GwGgufHead head = {0};
  GwText text = {0};
  put_sizes(&head, model, architecture, type);
  GwStatus status = put_tokenizer(&head, model);
  put_tensors(&head, map, type);
  if (status == GW_OK) status = gw_gguf_head_finish(&head, &text);
  if (status == GW_OK) status = fs->write(fs, file, text.data, text.size);
  gw_text_deinit(&text);
  gw_gguf_head_deinit(&head);
  return status;
}

static GwStatus write_file(GwFs *fs, const GwForeignModel *model, const char *architecture,
                           const GwTensorMap *map, const char *path, GwGgmlType type) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_CREATE, &file));
  GwStatus status = write_head(fs, file, model, architecture, map, type);
  if (status == GW_OK) status = write_tensors(fs, file, model, map, type);
  if (status == GW_OK) status = fs->sync_file(fs, file);
  fs->close(fs, file);
  return status;
}

GwStatus gw_gguf_export(GwFs *fs, const GwForeignModel *model, const char *path, GwGgmlType type) {
  const char *architecture = NULL;
  GW_TRY(gw_foreign_architecture(&model->model, &architecture));
  char aside[GW_PATH_MAX];
  GW_TRY(gw_fs_path(aside, "%s" GW_EXPORT_ASIDE, path));
  GwTensorMap map = {0};
  GW_TRY(gw_tensor_map_create(&model->model, &model->list, GW_FORMAT_GGUF, &map));
  GwStatus status = write_file(fs, model, architecture, &map, aside, type);
  status = gw_fs_replace(fs, aside, path, status);
  gw_tensor_map_deinit(&map);
  return status;
}
