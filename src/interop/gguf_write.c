/* Keys and tensors are put into two texts, since their numbers stand before both. */
#include <string.h>

#include "base/half.h"
#include "interop/gguf.h"

const char *const gw_gguf_ends[GW_GGUF_ENDS] = {
    "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};

static void append(GwGgufHead *head, GwText *text, const void *data, size_t size) {
  if (head->status == GW_OK) head->status = gw_text_append(text, data, size);
}

static void append_u32(GwGgufHead *head, GwText *text, uint32_t value) {
  append(head, text, &value, sizeof value);
}

static void append_u64(GwGgufHead *head, GwText *text, uint64_t value) {
  append(head, text, &value, sizeof value);
}

static void append_string(GwGgufHead *head, GwText *text, const char *value) {
  size_t size = strlen(value);
  append_u64(head, text, size);
  append(head, text, value, size);
}

static void begin_key(GwGgufHead *head, const char *key, GwGgufKind kind) {
  append_string(head, &head->keys, key);
  append_u32(head, &head->keys, (uint32_t)kind);
  head->key_count++;
}

void gw_gguf_put_u32(GwGgufHead *head, const char *key, uint32_t value) {
  begin_key(head, key, GW_GGUF_U32);
  append_u32(head, &head->keys, value);
}

void gw_gguf_put_f32(GwGgufHead *head, const char *key, float value) {
  begin_key(head, key, GW_GGUF_F32);
  append(head, &head->keys, &value, sizeof value);
}

void gw_gguf_put_bool(GwGgufHead *head, const char *key, bool value) {
  uint8_t byte = value;
  begin_key(head, key, GW_GGUF_BOOL);
  append(head, &head->keys, &byte, 1);
}

void gw_gguf_put_string(GwGgufHead *head, const char *key, const char *value) {
  begin_key(head, key, GW_GGUF_STRING);
  append_string(head, &head->keys, value);
}

void gw_gguf_begin_array(GwGgufHead *head, const char *key, GwGgufKind kind, uint64_t count) {
  begin_key(head, key, GW_GGUF_ARRAY);
  append_u32(head, &head->keys, (uint32_t)kind);
  append_u64(head, &head->keys, count);
}

void gw_gguf_item_string(GwGgufHead *head, const char *value) {
  append_string(head, &head->keys, value);
}

void gw_gguf_item_i32(GwGgufHead *head, int32_t value) {
  append(head, &head->keys, &value, sizeof value);
}

void gw_gguf_put_tensor(GwGgufHead *head, const char *name, GwGgmlType type, int rank,
                        const uint64_t *dims) {
  uint64_t count = 1;
  append_string(head, &head->tensors, name);
  append_u32(head, &head->tensors, (uint32_t)rank);
  for (int i = 0; i < rank; i++) {
    append_u64(head, &head->tensors, dims[i]);
    count *= dims[i];
  }
  append_u32(head, &head->tensors, (uint32_t)type);
  append_u64(head, &head->tensors, head->data_size);
  head->tensor_count++;
  head->data_size += gw_align_up(gw_ggml_size(type, count), GW_GGUF_ALIGNMENT);
}

GwStatus gw_gguf_head_finish(GwGgufHead *head, GwText *out) {
  static const char padding[GW_GGUF_ALIGNMENT] = {0};
  append(head, out, "GGUF", 4);
  append_u32(head, out, GW_GGUF_VERSION);
  append_u64(head, out, head->tensor_count);
  append_u64(head, out, head->key_count);
  append(head, out, head->keys.data, head->keys.size);
  append(head, out, head->tensors.data, head->tensors.size);
  append(head, out, padding, gw_align_up(out->size, GW_GGUF_ALIGNMENT) - out->size);
  return head->status;
}

void gw_gguf_head_deinit(GwGgufHead *head) {
  gw_text_deinit(&head->keys);
  gw_text_deinit(&head->tensors);
}
