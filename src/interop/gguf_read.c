/* Reading trusts nothing: every count is bounded by the bytes that are left before anything is
 * allocated for it, and every place is checked before it is kept. Nothing is copied. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash_set.h"
#include "interop/gguf.h"

enum { KEY_BYTES_MIN = 8 + 4 + 1, TENSOR_BYTES_MIN = 8 + 4 + 4 + 8, NAME_MAX_BYTES = 64 };

typedef struct {
  const char *name;
  size_t name_size;
  uint32_t kind, item_kind; /* the latter of an array */
  uint64_t count;           /* of an array */
  const uint8_t *value;     /* of an array its first item; of a string its length */
} Key;

struct GwGguf {
  const char *name;
  const uint8_t *begin, *at, *end;
  uint64_t alignment;
  Key *keys;
  uint64_t key_count;
  GwGgufTensor *tensors;
  uint64_t tensor_count;
};

static GwStatus fail_end(const GwGguf *file, const char *what) {
  return gw_fail(GW_CORRUPT, "%s: the file ends within %s", file->name, what);
}

static GwStatus take(GwGguf *file, const char *what, void *out, size_t size) {
  if ((size_t)(file->end - file->at) < size) return fail_end(file, what);
  memcpy(out, file->at, size);
  file->at += size;
  return GW_OK;
}

static GwStatus skip(GwGguf *file, const char *what, uint64_t size) {
  if ((uint64_t)(file->end - file->at) < size) return fail_end(file, what);
  file->at += size;
  return GW_OK;
}

static GwStatus take_string(GwGguf *file, const char *what, const char **text, size_t *size) {
  uint64_t length = 0;
  GW_TRY(take(file, what, &length, sizeof length));
  *text = (const char *)file->at;
  *size = (size_t)length;
  return skip(file, what, length);
}

/* Bytes of a value of a fixed size; 0 for strings, arrays and what is none. */
static uint64_t kind_size(uint32_t kind) {
  static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kind < GW_COUNT_OF(sizes) ? sizes[kind] : 0;
}

static GwStatus skip_items(GwGguf *file, const char *what, Key *key) {
  uint64_t size = kind_size(key->item_kind), left = (uint64_t)(file->end - file->at);
  if (key->item_kind != GW_GGUF_STRING && size == 0)
    return gw_fail(GW_UNSUPPORTED, "%s: %s is an array of items of kind %" PRIu32, file->name, what,
                   key->item_kind);
  if (size > 0)
    return key->count > left / size ? fail_end(file, what) : skip(file, what, key->count * size);
  if (key->count > left / 8) return fail_end(file, what);
  for (uint64_t i = 0; i < key->count; i++) {
    const char *text;
    size_t length;
    GW_TRY(take_string(file, what, &text, &length));
  }
  return GW_OK;
}

static GwStatus read_key(GwGguf *file, GwHashSet *seen, Key *key) {
  char what[NAME_MAX_BYTES + 16];
  bool added = false;
  GW_TRY(take_string(file, "a key", &key->name, &key->name_size));
  int shown = key->name_size < NAME_MAX_BYTES ? (int)key->name_size : NAME_MAX_BYTES;
  snprintf(what, sizeof what, "key '%.*s'", shown, key->name);
  GW_TRY(gw_hash_set_add(seen, gw_hash128(key->name, key->name_size), &added));
  if (!added) return gw_fail(GW_CORRUPT, "%s: %s stands there twice", file->name, what);
  GW_TRY(take(file, what, &key->kind, sizeof key->kind));
  key->value = file->at;
  if (key->kind == GW_GGUF_ARRAY) {
    GW_TRY(take(file, what, &key->item_kind, sizeof key->item_kind));
    GW_TRY(take(file, what, &key->count, sizeof key->count));
    key->value = file->at;
    return skip_items(file, what, key);
  }
  if (key->kind == GW_GGUF_STRING) {
    const char *text;
    size_t length;
    return take_string(file, what, &text, &length);
  }
  if (kind_size(key->kind) == 0)
    return gw_fail(GW_CORRUPT, "%s: %s has kind %" PRIu32 ", which GGUF doesn't have", file->name,
                   what, key->kind);
  return skip(file, what, kind_size(key->kind));
}

static GwStatus read_dims(GwGguf *file, const char *what, GwGgufTensor *tensor) {
  uint32_t rank = 0;
  GW_TRY(take(file, what, &rank, sizeof rank));
  if (rank < 1 || rank > GW_GGUF_DIMS_MAX)
    return gw_fail(GW_CORRUPT, "%s: %s has %" PRIu32 " dimensions, not 1 to %d", file->name, what,
                   rank, GW_GGUF_DIMS_MAX);
  tensor->rank = (int)rank;
  tensor->count = 1;
  for (uint32_t i = 0; i < rank; i++) {
    GW_TRY(take(file, what, &tensor->dims[i], sizeof tensor->dims[i]));
    if (tensor->dims[i] == 0 || tensor->dims[i] > (uint64_t)INT64_MAX / 8 / tensor->count)
      return gw_fail(GW_CORRUPT, "%s: %s has a dimension of %" PRIu64, file->name, what,
                     tensor->dims[i]);
    tensor->count *= tensor->dims[i];
  }
  return GW_OK;
}

/* The offset is kept in `data` until the place where data begins is known. */
static GwStatus read_tensor(GwGguf *file, GwHashSet *seen, GwGgufTensor *tensor, uint64_t *offset) {
  char what[NAME_MAX_BYTES + 16] = "a tensor";
  bool added = false;
  GW_TRY(take_string(file, what, &tensor->name, &tensor->name_size));
  if (tensor->name_size > NAME_MAX_BYTES)
    return gw_fail(GW_CORRUPT, "%s: a tensor's name has %zu bytes, more than %d", file->name,
                   tensor->name_size, NAME_MAX_BYTES);
  snprintf(what, sizeof what, "tensor '%.*s'", (int)tensor->name_size, tensor->name);
  GW_TRY(gw_hash_set_add(seen, gw_hash128(tensor->name, tensor->name_size), &added));
  if (!added) return gw_fail(GW_CORRUPT, "%s: %s stands there twice", file->name, what);
  GW_TRY(read_dims(file, what, tensor));
  GW_TRY(take(file, what, &tensor->type, sizeof tensor->type));
  if (!gw_ggml_name(tensor->type))
    return gw_fail(GW_UNSUPPORTED,
                   "%s: %s has ggml's type %" PRIu32 "; godwit reads F32, F16, BF16 and Q8_0",
                   file->name, what, tensor->type);
  if (tensor->type == GW_GGML_Q8_0 && tensor->dims[0] % GW_Q8_0_BLOCK != 0)
    return gw_fail(GW_CORRUPT, "%s: %s has rows of %" PRIu64 " elements, no multiple of %d",
                   file->name, what, tensor->dims[0], GW_Q8_0_BLOCK);
  return take(file, what, offset, sizeof *offset);
}

static GwStatus read_alignment(GwGguf *file) {
  uint32_t alignment = GW_GGUF_ALIGNMENT;
  if (gw_gguf_has(file, "general.alignment"))
    GW_TRY(gw_gguf_u32(file, "general.alignment", &alignment));
  if (alignment == 0 || alignment % 8 != 0 || alignment > 1 << 20)
    return gw_fail(GW_CORRUPT, "%s: general.alignment is %" PRIu32 ", no multiple of 8 up to 2^20",
                   file->name, alignment);
  file->alignment = alignment;
  return GW_OK;
}

typedef struct {
  uint64_t begin, end;
} Span;

static int by_begin(const void *a, const void *b) {
  const Span *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Gives the tensors their data; they lie within the file and apart. */
static GwStatus place_tensors(GwGguf *file, Span *spans) {
  uint64_t start = gw_align_up((uint64_t)(file->at - file->begin), file->alignment);
  uint64_t size = (uint64_t)(file->end - file->begin);
  size = size > start ? size - start : 0;
  for (uint64_t i = 0; i < file->tensor_count; i++) {
    GwGgufTensor *tensor = &file->tensors[i];
    uint64_t bytes = gw_ggml_size((GwGgmlType)tensor->type, tensor->count);
    uint64_t offset = spans[i].begin;
    if (offset % file->alignment != 0 || offset > size || bytes > size - offset)
      return gw_fail(GW_CORRUPT,
                     "%s: tensor '%.*s': %" PRIu64 " bytes at offset %" PRIu64
                     " are not aligned or not in the file, which has %" PRIu64 " bytes of data",
                     file->name, (int)tensor->name_size, tensor->name, bytes, offset, size);
    spans[i].end = offset + bytes;
    tensor->data = file->begin + start + offset;
  }
  qsort(spans, (size_t)file->tensor_count, sizeof *spans, by_begin);
  for (uint64_t i = 1; i < file->tensor_count; i++)
    if (spans[i].begin < spans[i - 1].end)
      return gw_fail(GW_CORRUPT, "%s: the tensor at offset %" PRIu64 " overlaps the one before it",
                     file->name, spans[i].begin);
  return GW_OK;
}

static GwStatus read_tensors(GwGguf *file, GwHashSet *seen) {
  Span *spans = calloc((size_t)file->tensor_count + 1, sizeof *spans);
  file->tensors = calloc((size_t)file->tensor_count + 1, sizeof *file->tensors);
  GwStatus status = spans && file->tensors
                        ? GW_OK
                        : gw_fail(GW_MEMORY, "%s: no memory for its tensors", file->name);
  for (uint64_t i = 0; status == GW_OK && i < file->tensor_count; i++)
    status = read_tensor(file, seen, &file->tensors[i], &spans[i].begin);
  if (status == GW_OK) status = place_tensors(file, spans);
  free(spans);
  return status;
}

static GwStatus read_keys(GwGguf *file, GwHashSet *seen) {
  file->keys = calloc((size_t)file->key_count + 1, sizeof *file->keys);
  if (!file->keys) return gw_fail(GW_MEMORY, "%s: no memory for its keys", file->name);
  for (uint64_t i = 0; i < file->key_count; i++) GW_TRY(read_key(file, seen, &file->keys[i]));
  return read_alignment(file);
}

static GwStatus read_counts(GwGguf *file) {
  char magic[4];
  uint32_t version = 0;
  GW_TRY(take(file, "its head", magic, sizeof magic));
  GW_TRY(take(file, "its head", &version, sizeof version));
  if (memcmp(magic, "GGUF", 4) != 0) return gw_fail(GW_CORRUPT, "%s: no GGUF file", file->name);
  if (version != GW_GGUF_VERSION)
    return gw_fail(GW_UNSUPPORTED, "%s: GGUF version %" PRIu32 "; godwit reads %d, little-endian",
                   file->name, version, GW_GGUF_VERSION);
  GW_TRY(take(file, "its head", &file->tensor_count, sizeof file->tensor_count));
  GW_TRY(take(file, "its head", &file->key_count, sizeof file->key_count));
  uint64_t left = (uint64_t)(file->end - file->at);
  if (file->key_count > left / KEY_BYTES_MIN || file->tensor_count > left / TENSOR_BYTES_MIN)
    return gw_fail(GW_CORRUPT,
                   "%s: %" PRIu64 " keys and %" PRIu64 " tensors do not fit into the file",
                   file->name, file->key_count, file->tensor_count);
  return GW_OK;
}

GwStatus gw_gguf_parse(const char *name, const void *data, size_t size, GwGguf **out) {
  GwGguf *file = calloc(1, sizeof *file);
  if (!file) return gw_fail(GW_MEMORY, "%s: no memory for its keys", name);
  *file = (GwGguf){.name = name, .begin = data, .at = data, .end = (const uint8_t *)data + size};
  GwHashSet keys = {0}, tensors = {0};
  GwStatus status = read_counts(file);
  if (status == GW_OK) status = read_keys(file, &keys);
  if (status == GW_OK) status = read_tensors(file, &tensors);
  gw_hash_set_deinit(&keys);
  gw_hash_set_deinit(&tensors);
  if (status == GW_OK)
    *out = file;
  else
    gw_gguf_close(file);
  return status;
}

void gw_gguf_close(GwGguf *file) {
  if (!file) return;
  free(file->keys);
  free(file->tensors);
  free(file);
}

/* ---- what the file holds ---- */

uint64_t gw_gguf_tensor_count(const GwGguf *file) { return file->tensor_count; }

const GwGgufTensor *gw_gguf_tensor(const GwGguf *file, uint64_t index) {
  GW_ASSERT(index < file->tensor_count);
  return &file->tensors[index];
}

const GwGgufTensor *gw_gguf_find(const GwGguf *file, const char *name) {
  size_t size = strlen(name);
  for (uint64_t i = 0; i < file->tensor_count; i++)
    if (file->tensors[i].name_size == size && memcmp(file->tensors[i].name, name, size) == 0)
      return &file->tensors[i];
  return NULL;
}

static const Key *find_key(const GwGguf *file, const char *name) {
  size_t size = strlen(name);
  for (uint64_t i = 0; i < file->key_count; i++)
    if (file->keys[i].name_size == size && memcmp(file->keys[i].name, name, size) == 0)
      return &file->keys[i];
  return NULL;
}

bool gw_gguf_has(const GwGguf *file, const char *key) { return find_key(file, key) != NULL; }

static GwStatus find_kind(const GwGguf *file, const char *name, GwGgufKind kind, const Key **out) {
  static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                      "bool", "string", "array", "u64", "i64", "f64"};
  *out = find_key(file, name);
  if (!*out) return gw_fail(GW_CORRUPT, "%s: key '%s' is missing", file->name, name);
  if ((*out)->kind == (uint32_t)kind) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: key '%s' has kind %s, not %s", file->name, name,
                 names[(*out)->kind], names[kind]);
}

GwStatus gw_gguf_u32(const GwGguf *file, const char *key, uint32_t *out) {
  const Key *found;
  GW_TRY(find_kind(file, key, GW_GGUF_U32, &found));
  memcpy(out, found->value, sizeof *out);
  return GW_OK;
}

GwStatus gw_gguf_f32(const GwGguf *file, const char *key, float *out) {
  const Key *found;
  GW_TRY(find_kind(file, key, GW_GGUF_F32, &found));
  memcpy(out, found->value, sizeof *out);
  return GW_OK;
}

GwStatus gw_gguf_string(const GwGguf *file, const char *key, const char **out, size_t *size) {
  const Key *found;
  GW_TRY(find_kind(file, key, GW_GGUF_STRING, &found));
  GwGgufWalk walk = {found->value, 1};
  *out = gw_gguf_next_string(&walk, size);
  return GW_OK;
}

GwStatus gw_gguf_array(const GwGguf *file, const char *key, GwGgufKind kind, GwGgufWalk *out) {
  const Key *found;
  GW_TRY(find_kind(file, key, GW_GGUF_ARRAY, &found));
  if (found->item_kind != (uint32_t)kind)
    return gw_fail(GW_CORRUPT, "%s: key '%s' has items of kind %" PRIu32 ", not %d", file->name,
                   key, found->item_kind, (int)kind);
  *out = (GwGgufWalk){found->value, found->count};
  return GW_OK;
}

const char *gw_gguf_next_string(GwGgufWalk *walk, size_t *size) {
  uint64_t length = 0;
  GW_ASSERT(walk->left > 0);
  walk->left--;
  memcpy(&length, walk->at, sizeof length);
  const char *text = (const char *)walk->at + sizeof length;
  walk->at += sizeof length + length;
  *size = (size_t)length;
  return text;
}

int32_t gw_gguf_next_i32(GwGgufWalk *walk) {
  int32_t value = 0;
  GW_ASSERT(walk->left > 0);
  walk->left--;
  memcpy(&value, walk->at, sizeof value);
  walk->at += sizeof value;
  return value;
}
