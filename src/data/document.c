/* Listing input files, and reading documents out of them with one buffer for lines. */
#include "data/document.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/json.h"

enum { READ_BYTES = 1 << 18 };

/* ---- the list of files ---- */

/* Cuts `suffix` off the first *length bytes of `name`; false when they do not end in it. */
static bool take_suffix(const char *name, size_t *length, const char *suffix) {
  size_t size = strlen(suffix);
  if (*length <= size || memcmp(name + *length - size, suffix, size) != 0) return false;
  *length -= size;
  return true;
}

/* What the name says about a file; false when its ending is not a known one. */
static bool classify(const char *name, GwDocumentFile *file) {
  size_t length = strlen(name);
  if (take_suffix(name, &length, ".gz"))
    file->packing = GW_PACKING_GZIP;
  else if (take_suffix(name, &length, ".zst"))
    file->packing = GW_PACKING_ZSTD;
  if (take_suffix(name, &length, ".txt")) return true;
  file->lines = take_suffix(name, &length, ".jsonl");
  return file->lines;
}

static GwStatus file_size(GwFs *fs, const char *path, uint64_t *out) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_READ, &file));
  GwStatus status = fs->size(fs, file, out);
  fs->close(fs, file);
  return status;
}

static GwStatus add_file(GwFs *fs, GwDocumentList *list, GwDocumentFile file) {
  GW_TRY(file_size(fs, file.path, &file.bytes));
  if (!GW_GROW(list->files, list->capacity, list->count + 1))
    return gw_fail(GW_MEMORY, "no memory for a list of %zu files", list->count + 1);
  list->files[list->count++] = file;
  list->bytes += file.bytes;
  return GW_OK;
}

typedef struct {
  GwFs *fs;
  GwDocumentList *list;
  const char *path;
} Folder;

static GwStatus visit_entry(void *context, const char *name, bool is_dir) {
  const Folder *folder = context;
  GwDocumentFile file = {0};
  if (!is_dir && !classify(name, &file)) return GW_OK;
  const char *path = gw_arena_format(&folder->list->arena, "%s/%s", folder->path, name);
  if (!path) return gw_fail(GW_MEMORY, "no memory for the name %s", name);
  if (!is_dir) {
    file.path = file.name = path;
    return add_file(folder->fs, folder->list, file);
  }
  Folder inner = {folder->fs, folder->list, path};
  return folder->fs->list(folder->fs, path, visit_entry, &inner);
}

static GwStatus visit_nothing(void *context, const char *name, bool is_dir) {
  (void)context, (void)name, (void)is_dir;
  return GW_OK;
}

GwStatus gw_document_input_check(GwFs *fs, const char *input) {
  if (strcmp(input, "-") == 0 || fs->exists(fs, input)) return GW_OK;
  return gw_fail(GW_NOT_FOUND, "%s: no such file or folder; check the INPUT names", input);
}

static GwStatus add_input(GwFs *fs, GwDocumentList *list, const char *input,
                          const char *stdin_path) {
  if (strcmp(input, "-") == 0) {
    GW_ASSERT(stdin_path);
    return add_file(fs, list, (GwDocumentFile){.path = stdin_path, .name = "standard input"});
  }
  GW_TRY(gw_document_input_check(fs, input));
  if (fs->list(fs, input, visit_nothing, NULL) != GW_OK) {
    GwDocumentFile file = {.path = input, .name = input};
    classify(input, &file);
    return add_file(fs, list, file);
  }
  size_t before = list->count;
  Folder folder = {fs, list, input};
  GW_TRY(fs->list(fs, input, visit_entry, &folder));
  if (list->count == before)
    return gw_fail(GW_INVALID, "%s: holds no .txt or .jsonl file (packed as .gz, .zst or not)",
                   input);
  return GW_OK;
}

GwStatus gw_document_list_init(GwFs *fs, const char *const *inputs, int input_count,
                               const char *stdin_path, GwDocumentList *out) {
  GwDocumentList list = {0};
  gw_arena_init(&list.arena);
  for (int i = 0; i < input_count; i++) {
    GwStatus status = add_input(fs, &list, inputs[i], stdin_path);
    if (status != GW_OK) {
      gw_document_list_deinit(&list);
      return status;
    }
  }
  *out = list;
  return GW_OK;
}

void gw_document_list_deinit(GwDocumentList *list) {
  free(list->files);
  gw_arena_deinit(&list->arena);
  *list = (GwDocumentList){0};
}

/* ---- reading ---- */

void gw_document_reader_init(GwFs *fs, const GwDocumentList *list, size_t bytes_max,
                             GwDocumentReader *out) {
  *out = (GwDocumentReader){.fs = fs, .list = list, .bytes_max = bytes_max};
}

void gw_document_reader_deinit(GwDocumentReader *reader) {
  gw_byte_stream_close(reader->stream);
  gw_text_deinit(&reader->buffer);
  *reader = (GwDocumentReader){0};
}

uint64_t gw_document_reader_position(const GwDocumentReader *reader) {
  return reader->passed + (reader->stream ? gw_byte_stream_position(reader->stream) : 0);
}

static const GwDocumentFile *current_file(const GwDocumentReader *reader) {
  return &reader->list->files[reader->file];
}

static GwStatus open_file(GwDocumentReader *reader) {
  const GwDocumentFile *file = current_file(reader);
  reader->line = 0;
  reader->buffer.size = reader->begin = 0;
  return gw_byte_stream_open(reader->fs, file->path, file->name, file->packing, &reader->stream);
}

static void close_file(GwDocumentReader *reader) {
  gw_byte_stream_close(reader->stream);
  reader->stream = NULL;
  reader->passed += current_file(reader)->bytes;
  reader->file++;
}

static GwStatus too_large(const GwDocumentReader *reader) {
  return gw_fail(GW_INVALID, "%s: a document of more than %zu bytes; cut it into several",
                 current_file(reader)->name, reader->bytes_max);
}

/* Appends some bytes of the current file; *got is 0 at its end. */
static GwStatus read_some(GwDocumentReader *reader, GwText *out, size_t *got) {
  GW_TRY(gw_text_reserve(out, READ_BYTES));
  GW_TRY(gw_byte_stream_read(reader->stream, out->data + out->size, READ_BYTES, got));
  out->size += *got;
  return GW_OK;
}

static GwStatus read_whole(GwDocumentReader *reader, GwText *out) {
  size_t before = out->size, got = 0;
  do {
    GW_TRY(read_some(reader, out, &got));
    if (out->size - before > reader->bytes_max) return too_large(reader);
  } while (got > 0);
  return gw_text_check(current_file(reader)->name, out->data + before, out->size - before);
}

/* The next line of the current file, valid until the next call; *line is NULL at the end. */
static GwStatus next_line(GwDocumentReader *reader, const char **line, size_t *size) {
  GwText *buffer = &reader->buffer;
  size_t searched = 0, got = 1;
  for (;;) {
    size_t unread = buffer->size - reader->begin;
    char *start = unread > 0 ? buffer->data + reader->begin : NULL;
    char *newline = unread > searched ? memchr(start + searched, '\n', unread - searched) : NULL;
    if (newline || got == 0) {
      *line = start;
      *size = newline ? (size_t)(newline - start) : unread;
      reader->begin += *size + (newline != NULL);
      reader->line++;
      return GW_OK;
    }
    if (unread > reader->bytes_max) return too_large(reader);
    searched = unread;
    if (unread > 0) memmove(buffer->data, start, unread);
    buffer->size = unread;
    reader->begin = 0;
    GW_TRY(read_some(reader, buffer, &got));
  }
}

static bool is_blank(const char *line, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

GwStatus gw_document_line(const char *name, uint64_t number, const char *line, size_t size,
                          GwText *out) {
  if (is_blank(line, size)) return GW_OK;
  json_error_t error;
  json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
  if (!object)
    return gw_fail(GW_INVALID, "%s:%" PRIu64 ": broken JSON line (%s); mend the line or remove it",
                   name, number, error.text);
  const json_t *text = json_object_get(object, "text");
  GwStatus status = json_is_string(text)
                        ? gw_text_append(out, json_string_value(text), json_string_length(text))
                        : gw_fail(GW_INVALID,
                                  "%s:%" PRIu64 ": no \"text\" string in this line; each line must "
                                  "be an object such as {\"text\": \"...\"}",
                                  name, number);
  json_decref(object);
  return status;
}

/* Appends the current file's next document; *got is false at its end. */
static GwStatus next_of_lines(GwDocumentReader *reader, GwText *out, bool *got) {
  const char *line = NULL;
  size_t size = 0, before = out->size;
  do {
    GW_TRY(next_line(reader, &line, &size));
    if (!line) break;
    GW_TRY(gw_document_line(current_file(reader)->name, reader->line, line, size, out));
  } while (out->size == before);
  *got = line != NULL;
  return GW_OK;
}

GwStatus gw_document_reader_next(GwDocumentReader *reader, GwText *out, bool *end) {
  size_t before = out->size;
  while (reader->file < reader->list->count) {
    bool got = false;
    if (!reader->stream) GW_TRY(open_file(reader));
    if (current_file(reader)->lines)
      GW_TRY(next_of_lines(reader, out, &got));
    else
      GW_TRY(read_whole(reader, out));
    if (!got) close_file(reader);
    if (out->size > before) {
      *end = false;
      return GW_OK;
    }
  }
  *end = true;
  return GW_OK;
}
