/* JSON lines over GwFs's append mode, which takes back a write that failed. */
#include "train/jsonl.h"

#include <stdlib.h>
#include <string.h>

#include "godwit/log.h"

enum { TAIL_BYTES = 1 << 16, LINE_BYTES_MAX = 1 << 20 };

/* Length of the whole lines at the start of `text`. */
static size_t whole_lines(const char *text, size_t size) {
  while (size > 0 && text[size - 1] != '\n') size--;
  return size;
}

/* ---- where a file is cut ---- */

/* Behind which line a file is to end: the last one that is whole and, where there is a key, has it
 * and is not above `last`. */
typedef struct {
  const char *key; /* NULL: any line */
  int64_t last;
} Cut;

static bool key_of(const char *line, size_t length, const char *key, int64_t *out) {
  json_error_t error;
  json_t *object = json_loadb(line, length, 0, &error);
  json_t *value = json_is_object(object) ? json_object_get(object, key) : NULL;
  bool there = json_is_integer(value);
  if (there) *out = json_integer_value(value);
  json_decref(object);
  return there;
}

/* Looks at the lines of `text`, the end of a file, from the last one back; false: the line is not
 * among them. What has no key stays with the line before it. */
static bool find_cut(const Cut *cut, const char *text, size_t size, bool torn, size_t *out) {
  size_t end = whole_lines(text, size);
  *out = end;
  for (size_t begin; end > 0; end = begin) {
    int64_t key;
    begin = whole_lines(text, end - 1);
    if (begin == 0 && torn) return false;
    if (!cut->key) return true;
    if (!key_of(text + begin, end - begin, cut->key, &key)) continue;
    if (key <= cut->last) return true;
    *out = begin;
  }
  return !torn;
}

/* The file may be long, and what is cut is at its end: ever more of it is read. */
static GwStatus find_end(GwFs *fs, GwFile *file, const char *path, const Cut *cut, uint64_t *bytes,
                         uint64_t *out) {
  GW_TRY(fs->size(fs, file, bytes));
  for (uint64_t window = TAIL_BYTES;; window *= 4) {
    uint64_t begin = *bytes > window ? *bytes - window : 0;
    size_t size = (size_t)(*bytes - begin), got = 0, kept = 0;
    char *text = malloc(size + 1);
    if (!text) return gw_fail(GW_MEMORY, "no memory to read %s", path);
    GwStatus status = fs->read_at(fs, file, begin, text, size, &got);
    bool found = status == GW_OK && find_cut(cut, text, got, begin > 0, &kept);
    free(text);
    GW_TRY(status);
    *out = begin + kept;
    if (found) return GW_OK;
  }
}

static GwStatus cut_file(GwFs *fs, GwFile *file, const char *path, const Cut *cut) {
  uint64_t bytes = 0, end = 0;
  GW_TRY(find_end(fs, file, path, cut, &bytes, &end));
  return end < bytes ? fs->truncate(fs, file, end) : GW_OK;
}

GwStatus gw_jsonl_cut(GwJsonl *lines, const char *key, int64_t last) {
  return cut_file(lines->fs, lines->file, lines->path, &(Cut){key, last});
}

/* ---- writing ---- */

GwStatus gw_jsonl_open(GwFs *fs, const char *path, GwJsonl *out) {
  GwJsonl lines = {.fs = fs};
  GW_TRY(gw_fs_path(lines.path, "%s", path));
  GW_TRY(fs->open(fs, path, GW_FILE_APPEND, &lines.file));
  GwStatus status = cut_file(fs, lines.file, path, &(Cut){NULL, 0});
  if (status == GW_OK)
    *out = lines;
  else
    fs->close(fs, lines.file);
  return status;
}

void gw_jsonl_close(GwJsonl *lines) {
  if (lines->file) lines->fs->close(lines->fs, lines->file);
  lines->file = NULL;
}

void gw_jsonl_add(GwJsonl *lines, json_t *object) {
  char *text = object ? gw_json_line(object) : NULL;
  json_decref(object);
  GwStatus status = GW_MEMORY;
  if (text) {
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the closing 0: one write, so that no line is torn */
    status = lines->fs->write(lines->fs, lines->file, text, length + 1);
    free(text);
  }
  if (status == GW_OK) {
    lines->warned = false;
  } else if (!lines->warned) {
    lines->warned = true;
    gw_log(GW_LOG_WARNING, "lines of %s are lost: %s", lines->path, gw_error_message());
  }
}

/* ---- reading ---- */

/* `number` of the line; 0: one of the last. */
static GwStatus read_object(const char *path, int64_t number, const char *line, size_t size,
                            json_t **out) {
  json_t *object = json_loadb(line, size, 0, NULL);
  if (!json_is_object(object)) {
    json_decref(object);
    if (number == 0) return gw_fail(GW_CORRUPT, "%s: its last lines are no JSON objects", path);
    return gw_fail(GW_CORRUPT, "%s:%lld: no JSON object", path, (long long)number);
  }
  *out = object;
  return GW_OK;
}

/* The last `count` lines of a text that may begin within one. */
static GwStatus take_last(const char *path, const char *text, size_t size, bool torn, int count,
                          json_t *out) {
  size_t end = whole_lines(text, size);
  for (; end > 0 && count > 0; count--) {
    size_t begin = whole_lines(text, end - 1);
    if (begin == 0 && torn) break;
    json_t *object = NULL;
    GW_TRY(read_object(path, 0, text + begin, end - begin, &object));
    if (json_array_insert_new(out, 0, object) != 0) return gw_fail(GW_MEMORY, "no memory");
    end = begin;
  }
  return GW_OK;
}

static GwStatus read_tail(GwFs *fs, GwFile *file, const char *path, int count, json_t *out) {
  char text[TAIL_BYTES];
  uint64_t size = 0;
  size_t got = 0;
  GW_TRY(fs->size(fs, file, &size));
  uint64_t begin = size > sizeof text ? size - sizeof text : 0;
  GW_TRY(fs->read_at(fs, file, begin, text, sizeof text, &got));
  return take_last(path, text, got, begin > 0, count, out);
}

GwStatus gw_jsonl_tail(GwFs *fs, const char *path, int count, json_t **out) {
  GwFile *file = NULL;
  json_t *lines = json_array();
  GwStatus status = lines ? GW_OK : gw_fail(GW_MEMORY, "no memory to read %s", path);
  if (status == GW_OK) status = fs->open(fs, path, GW_FILE_READ, &file);
  if (status == GW_OK) {
    status = read_tail(fs, file, path, count, lines);
    fs->close(fs, file);
  }
  if (status == GW_OK)
    *out = lines;
  else
    json_decref(lines);
  return status;
}

json_t *gw_jsonl_last(GwFs *fs, const char *path) {
  json_t *lines = NULL;
  if (gw_jsonl_tail(fs, path, 1, &lines) != GW_OK) return NULL;
  json_t *last = json_incref(json_array_get(lines, 0));
  json_decref(lines);
  return last;
}

/* Visits the whole lines of `text`; *used says how much of it they are, *number counts on. */
static GwStatus visit_lines(const char *path, const char *text, size_t size, int64_t *number,
                            GwStatus (*visit)(void *context, const json_t *object), void *context,
                            size_t *used) {
  *used = 0;
  for (const char *end; (end = memchr(text + *used, '\n', size - *used));) {
    json_t *object = NULL;
    GW_TRY(read_object(path, ++*number, text + *used, (size_t)(end - text) - *used, &object));
    GwStatus status = visit(context, object);
    json_decref(object);
    GW_TRY(status);
    *used = (size_t)(end - text) + 1;
  }
  return GW_OK;
}

static GwStatus read_each(GwFs *fs, GwFile *file, const char *path, char *text,
                          GwStatus (*visit)(void *context, const json_t *object), void *context) {
  uint64_t at = 0;
  int64_t number = 0;
  for (size_t kept = 0;;) {
    size_t got = 0, used = 0;
    GW_TRY(fs->read_at(fs, file, at, text + kept, LINE_BYTES_MAX - kept, &got));
    if (got == 0) return GW_OK;
    at += got;
    GW_TRY(visit_lines(path, text, kept + got, &number, visit, context, &used));
    kept += got - used;
    memmove(text, text + used, kept);
    if (kept == LINE_BYTES_MAX)
      return gw_fail(GW_CORRUPT, "%s: a line is longer than %d bytes", path, LINE_BYTES_MAX);
  }
}

GwStatus gw_jsonl_each(GwFs *fs, const char *path,
                       GwStatus (*visit)(void *context, const json_t *object), void *context) {
  GwFile *file = NULL;
  char *text = malloc(LINE_BYTES_MAX);
  GwStatus status = text ? GW_OK : gw_fail(GW_MEMORY, "no memory to read %s", path);
  if (status == GW_OK) status = fs->open(fs, path, GW_FILE_READ, &file);
  if (status == GW_OK) {
    status = read_each(fs, file, path, text, visit, context);
    fs->close(fs, file);
  }
  free(text);
  return status;
}
