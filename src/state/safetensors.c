/* Writing goes through one 64 KiB block, hashed when it is full, so the file's hash costs no second
 * pass. Reading trusts nothing: every number of the header is checked before it is used, and the
 * tensors must tile the bytes behind the header exactly. */
#include "state/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash64.h"
#include "base/json.h"

enum { LENGTH_BYTES = 8 };

#define METADATA_KEY "__metadata__"

/* ---- writing ---- */

typedef struct {
  GwFs *fs;
  GwFile *file;
  uint64_t blocks, hash, bytes;
  size_t used;
  unsigned char block[GW_HASH_BLOCK];
} Writer;

static GwStatus write_block(Writer *writer) {
  if (writer->used == 0) return GW_OK;
  GW_TRY(writer->fs->write(writer->fs, writer->file, writer->block, writer->used));
  writer->hash += gw_hash_blocks(writer->block, writer->used, writer->blocks++, 0);
  writer->bytes += writer->used;
  writer->used = 0;
  return GW_OK;
}

static GwStatus write_bytes(Writer *writer, const void *data, size_t size) {
  for (size_t done = 0; done < size;) {
    size_t room = sizeof writer->block - writer->used;
    size_t part = size - done < room ? size - done : room;
    memcpy(writer->block + writer->used, (const char *)data + done, part);
    writer->used += part;
    done += part;
    if (writer->used == sizeof writer->block) GW_TRY(write_block(writer));
  }
  return GW_OK;
}

/* NULL on exhaustion. */
static json_t *shape_json(const GwType *type) {
  json_t *shape = json_array();
  for (int i = 0; i < type->rank; i++) json_array_append_new(shape, json_integer(type->dim[i]));
  if (json_array_size(shape) == (size_t)type->rank) return shape;
  json_decref(shape);
  return NULL;
}

/* The header's text, malloc'd, or NULL on exhaustion. jansson passes NULLs on, so an entry that
 * was lost on the way is found missing at the end. */
static char *header_text(const GwTensor *tensors, int count) {
  json_t *header = json_pack("{s:{s:s}}", METADATA_KEY, "format", "pt");
  int64_t offset = 0;
  for (int i = 0; i < count; i++) {
    const GwTensor *tensor = &tensors[i];
    int64_t end = offset + (int64_t)gw_type_size(&tensor->type);
    GW_ASSERT(!json_object_get(header, tensor->name));
    json_t *entry = json_pack(
        "{s:s, s:o, s:[I,I]}", "dtype", gw_dtype_safetensors_name(tensor->type.dtype), "shape",
        shape_json(&tensor->type), "data_offsets", (json_int_t)offset, (json_int_t)end);
    json_object_set_new(header, tensor->name, entry);
    offset = end;
  }
  bool whole = json_object_size(header) == (size_t)count + 1;
  char *text = whole ? gw_json_line(header) : NULL;
  json_decref(header);
  return text;
}

static GwStatus write_header(Writer *writer, const char *path, const GwTensor *tensors, int count) {
  char *text = header_text(tensors, count);
  if (!text) return gw_fail(GW_MEMORY, "%s: no memory for the header", path);
  size_t length = strlen(text), padded = gw_align_up(length, LENGTH_BYTES);
  unsigned char bytes[LENGTH_BYTES];
  for (int i = 0; i < LENGTH_BYTES; i++) bytes[i] = (unsigned char)(padded >> (8 * i));
  GwStatus status = write_bytes(writer, bytes, sizeof bytes);
  if (status == GW_OK) status = write_bytes(writer, text, length);
  if (status == GW_OK) status = write_bytes(writer, "       ", padded - length);
  free(text);
  return status;
}

static GwStatus write_file(Writer *writer, const char *path, const GwTensor *tensors, int count,
                           GwTensorSource *source, void *context) {
  GW_TRY(write_header(writer, path, tensors, count));
  for (int i = 0; i < count; i++) {
    const void *data = NULL;
    GW_TRY(source(context, i, &data));
    GW_TRY(write_bytes(writer, data, gw_type_size(&tensors[i].type)));
  }
  GW_TRY(write_block(writer));
  return writer->fs->sync_file(writer->fs, writer->file);
}

GwStatus gw_safetensors_write_from(GwFs *fs, const char *path, const GwTensor *tensors, int count,
                                   GwTensorSource *source, void *context, uint64_t *hash,
                                   uint64_t *bytes) {
  Writer *writer = calloc(1, sizeof *writer);
  if (!writer) return gw_fail(GW_MEMORY, "%s: no memory for the write buffer", path);
  writer->fs = fs;
  GwStatus status = GW_OK;
  GW_TRY_GOTO(status, fs->open(fs, path, GW_FILE_LARGE, &writer->file), free_writer);
  GW_TRY_GOTO(status, write_file(writer, path, tensors, count, source, context), close_file);
  *hash = writer->hash;
  *bytes = writer->bytes;
close_file:
  fs->close(fs, writer->file);
free_writer:
  free(writer);
  return status;
}

static GwStatus data_at_hand(void *context, int i, const void **data) {
  *data = ((const GwTensor *)context)[i].data;
  return GW_OK;
}

GwStatus gw_safetensors_write(GwFs *fs, const char *path, const GwTensor *tensors, int count,
                              uint64_t *hash, uint64_t *bytes) {
  return gw_safetensors_write_from(fs, path, tensors, count, data_at_hand,
                                   (void *)(uintptr_t)tensors, hash, bytes);
}

/* ---- parsing ---- */

typedef struct {
  const char *name;
  GwType type;
  uint64_t begin, end; /* bytes behind the header */
} Entry;

struct GwSafetensors {
  GwFs *fs;     /* NULL when parsed from memory */
  GwFile *file; /* likewise */
  GwArena arena;
  const char *name;    /* the file's, for messages */
  uint64_t data_start; /* offset in the file of the bytes behind the header */
  uint64_t data_size;
  int count;
  Entry *entries; /* in the header's order */
};

/* The header's length from the first `got` <= 8 bytes of a file of `file_size` bytes. */
static GwStatus header_length(const char *name, const unsigned char *bytes, size_t got,
                              uint64_t file_size, size_t *out) {
  if (got < LENGTH_BYTES)
    return gw_fail(GW_CORRUPT, "%s: has %zu bytes, too few for a safetensors file", name, got);
  uint64_t length = 0;
  for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)bytes[i] << (8 * i);
  if (length > GW_SAFETENSORS_HEADER_MAX)
    return gw_fail(GW_CORRUPT, "%s: header length %llu is over the limit of %d", name,
                   (unsigned long long)length, GW_SAFETENSORS_HEADER_MAX);
  if (length > file_size - LENGTH_BYTES)
    return gw_fail(GW_CORRUPT, "%s: header length %llu is more than the file holds", name,
                   (unsigned long long)length);
  *out = (size_t)length;
  return GW_OK;
}

static GwStatus parse_dtype(const json_t *object, const char *where, GwDtype *out) {
  const char *text = NULL;
  GW_TRY(gw_json_string(object, where, "dtype", &text));
  if (!gw_dtype_from_safetensors_name(text, out))
    return gw_fail(GW_CORRUPT, "%s: dtype '%.20s' is not known", where, text);
  return GW_OK;
}

/* Fills rank and dims; *bytes gets the size. */
static GwStatus parse_shape(const json_t *object, const char *where, GwType *type, int64_t *bytes) {
  json_t *shape = NULL;
  GW_TRY(gw_json_array(object, where, "shape", &shape));
  size_t rank = json_array_size(shape);
  if (rank > GW_RANK_MAX)
    return gw_fail(GW_CORRUPT, "%s: shape has %zu dimensions, more than %d", where, rank,
                   GW_RANK_MAX);
  int64_t size = (int64_t)gw_dtype_size(type->dtype);
  for (size_t i = 0; i < rank; i++) {
    const json_t *dim = json_array_get(shape, i);
    if (!json_is_integer(dim) || json_integer_value(dim) < 0)
      return gw_fail(GW_CORRUPT, "%s: shape[%zu] must be a whole number >= 0", where, i);
    type->dim[i] = json_integer_value(dim);
    if (!gw_mul_i64(size, type->dim[i], &size))
      return gw_fail(GW_CORRUPT, "%s: shape is larger than any file", where);
  }
  type->rank = (int32_t)rank;
  *bytes = size;
  return GW_OK;
}

static GwStatus parse_offsets(const json_t *object, const char *where, int64_t bytes,
                              uint64_t data_size, Entry *entry) {
  json_t *offsets = NULL;
  GW_TRY(gw_json_array(object, where, "data_offsets", &offsets));
  const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
    return gw_fail(GW_CORRUPT, "%s: data_offsets must be two whole numbers", where);
  int64_t begin = json_integer_value(first), end = json_integer_value(second);
  if (begin < 0 || end < begin || (uint64_t)end > data_size)
    return gw_fail(GW_CORRUPT, "%s: data_offsets [%lld, %lld] are outside the file's %llu bytes",
                   where, (long long)begin, (long long)end, (unsigned long long)data_size);
  if (end - begin != bytes)
    return gw_fail(GW_CORRUPT, "%s: data_offsets span %lld bytes, but shape and dtype need %lld",
                   where, (long long)(end - begin), (long long)bytes);
  entry->begin = (uint64_t)begin;
  entry->end = (uint64_t)end;
  return GW_OK;
}

static GwStatus parse_entry(GwSafetensors *file, const char *name, const json_t *object,
                            Entry *entry) {
  char where[512];
  snprintf(where, sizeof where, "%.300s: tensor '%.100s'", file->name, name);
  if (!json_is_object(object)) return gw_fail(GW_CORRUPT, "%s must be an object", where);
  int64_t bytes = 0;
  GW_TRY(parse_dtype(object, where, &entry->type.dtype));
  GW_TRY(parse_shape(object, where, &entry->type, &bytes));
  GW_TRY(parse_offsets(object, where, bytes, file->data_size, entry));
  entry->name = gw_arena_string(&file->arena, name);
  return entry->name ? GW_OK : gw_fail(GW_MEMORY, "%s: no memory for the header", file->name);
}

static GwStatus check_metadata(const char *file, json_t *metadata) {
  if (!json_is_object(metadata))
    return gw_fail(GW_CORRUPT, "%s: " METADATA_KEY " must be an object", file);
  const char *key;
  json_t *value;
  json_object_foreach(metadata, key, value) {
    if (!json_is_string(value))
      return gw_fail(GW_CORRUPT, "%s: " METADATA_KEY ".%.100s must be a string", file, key);
  }
  return GW_OK;
}

static int by_place(const void *a, const void *b) {
  const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return 0;
}

/* Sorted by place, the tensors must follow each other without overlap or hole, to the end. */
static GwStatus check_tiling(GwSafetensors *file) {
  const Entry **sorted = GW_ARENA_ARRAY(&file->arena, const Entry *, file->count + 1);
  if (!sorted) return gw_fail(GW_MEMORY, "%s: no memory for the header", file->name);
  for (int i = 0; i < file->count; i++) sorted[i] = &file->entries[i];
  qsort(sorted, (size_t)file->count, sizeof *sorted, by_place);
  uint64_t at = 0;
  for (int i = 0; i < file->count; i++) {
    if (sorted[i]->begin != at)
      return gw_fail(GW_CORRUPT, "%s: tensor '%.100s': data_offsets begin at %llu, which leaves %s",
                     file->name, sorted[i]->name, (unsigned long long)sorted[i]->begin,
                     sorted[i]->begin < at ? "an overlap" : "a hole");
    at = sorted[i]->end;
  }
  if (at != file->data_size)
    return gw_fail(GW_CORRUPT, "%s: data_offsets end at %llu, but the file goes on to %llu",
                   file->name, (unsigned long long)at, (unsigned long long)file->data_size);
  return GW_OK;
}

static GwStatus parse_header(GwSafetensors *file, json_t *header) {
  file->entries = GW_ARENA_ARRAY(&file->arena, Entry, json_object_size(header) + 1);
  if (!file->entries) return gw_fail(GW_MEMORY, "%s: no memory for the header", file->name);
  const char *name;
  json_t *value;
  json_object_foreach(header, name, value) {
    if (strcmp(name, METADATA_KEY) == 0) {
      GW_TRY(check_metadata(file->name, value));
      continue;
    }
    GW_TRY(parse_entry(file, name, value, &file->entries[file->count]));
    file->count++;
  }
  return check_tiling(file);
}

static GwStatus parse_text(GwSafetensors *file, const char *text, size_t length) {
  if (length == 0 || text[0] != '{')
    return gw_fail(GW_CORRUPT, "%s: the header must begin with '{'", file->name);
  json_t *header = NULL;
  GW_TRY(gw_json_parse(file->name, text, length, &header));
  GwStatus status = parse_header(file, header);
  json_decref(header);
  return status;
}

GwStatus gw_safetensors_parse(const char *name, const void *data, size_t size, uint64_t file_size,
                              GwSafetensors **out) {
  size_t length = 0;
  size_t first = size < LENGTH_BYTES ? size : LENGTH_BYTES;
  GW_ASSERT(size <= file_size);
  GW_TRY(header_length(name, data, first, file_size, &length));
  if (length > size - LENGTH_BYTES) return gw_fail(GW_CORRUPT, "%s: the header ends early", name);
  GwSafetensors *file = calloc(1, sizeof *file);
  if (!file) return gw_fail(GW_MEMORY, "%s: no memory for the header", name);
  gw_arena_init(&file->arena);
  file->data_start = LENGTH_BYTES + length;
  file->data_size = file_size - file->data_start;
  file->name = gw_arena_string(&file->arena, name);
  GwStatus status = file->name ? parse_text(file, (const char *)data + LENGTH_BYTES, length)
                               : gw_fail(GW_MEMORY, "%s: no memory for the header", name);
  if (status != GW_OK) {
    gw_safetensors_close(file);
    return status;
  }
  *out = file;
  return GW_OK;
}

/* ---- reading ---- */

/* Reads the length, then the length and the header together. */
static GwStatus read_prefix(GwFs *fs, GwFile *file, const char *path, uint64_t file_size,
                            char **out, size_t *size) {
  unsigned char bytes[LENGTH_BYTES];
  size_t first = file_size < LENGTH_BYTES ? (size_t)file_size : LENGTH_BYTES;
  size_t got = 0, length = 0;
  GW_TRY(fs->read_at(fs, file, 0, bytes, first, &got));
  GW_TRY(header_length(path, bytes, got, file_size, &length));
  char *prefix = malloc(LENGTH_BYTES + length);
  if (!prefix) return gw_fail(GW_MEMORY, "%s: no memory for the header", path);
  GwStatus status = fs->read_at(fs, file, 0, prefix, LENGTH_BYTES + length, &got);
  if (status != GW_OK) {
    free(prefix);
    return status;
  }
  *out = prefix;
  *size = got;
  return GW_OK;
}

static GwStatus open_parsed(GwFs *fs, GwFile *file, const char *path, GwSafetensors **out) {
  uint64_t file_size = 0;
  char *prefix = NULL;
  size_t size = 0;
  GW_TRY(fs->size(fs, file, &file_size));
  GW_TRY(read_prefix(fs, file, path, file_size, &prefix, &size));
  GwStatus status = gw_safetensors_parse(path, prefix, size, file_size, out);
  free(prefix);
  return status;
}

GwStatus gw_safetensors_open(GwFs *fs, const char *path, GwSafetensors **out) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_READ, &file));
  GwSafetensors *parsed = NULL;
  GwStatus status = open_parsed(fs, file, path, &parsed);
  if (status != GW_OK) {
    fs->close(fs, file);
    return status;
  }
  parsed->fs = fs;
  parsed->file = file;
  *out = parsed;
  return GW_OK;
}

void gw_safetensors_close(GwSafetensors *file) {
  if (!file) return;
  if (file->file) file->fs->close(file->fs, file->file);
  gw_arena_deinit(&file->arena);
  free(file);
}

int gw_safetensors_count(const GwSafetensors *file) { return file->count; }

GwTensor gw_safetensors_entry(const GwSafetensors *file, int i, uint64_t *offset) {
  GW_ASSERT(i >= 0 && i < file->count);
  const Entry *entry = &file->entries[i];
  *offset = file->data_start + entry->begin;
  return (GwTensor){.name = entry->name, .type = entry->type};
}

int gw_safetensors_find(const GwSafetensors *file, const char *name) {
  for (int i = 0; i < file->count; i++)
    if (strcmp(file->entries[i].name, name) == 0) return i;
  return -1;
}

GwStatus gw_safetensors_read(GwSafetensors *file, int i, void *data) {
  GW_ASSERT(file->file && i >= 0 && i < file->count);
  const Entry *entry = &file->entries[i];
  size_t size = (size_t)(entry->end - entry->begin), got = 0;
  GW_TRY(
      file->fs->read_at(file->fs, file->file, file->data_start + entry->begin, data, size, &got));
  if (got < size)
    return gw_fail(GW_CORRUPT, "%s: ends early, in tensor '%s'", file->name, entry->name);
  return GW_OK;
}
