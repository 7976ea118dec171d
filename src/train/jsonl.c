/* JSON lines over GwFs's append mode, which takes back a write that failed. */
#include "train/jsonl.h"

#include <stdlib.h>
#include <string.h>

#include "godwit/log.h"

static const size_t largest_file = (size_t)1 << 32;

/* Length of the whole lines at the start of `text`. */
static size_t whole_lines(const char *text, size_t size) {
  while (size > 0 && text[size - 1] != '\n') size--;
  return size;
}

GwStatus gw_jsonl_open(GwFs *fs, const char *path, GwJsonl *out) {
  GwJsonl lines = {.fs = fs};
  GW_TRY(gw_fs_path(lines.path, "%s", path));
  GW_TRY(fs->open(fs, path, GW_FILE_APPEND, &lines.file));
  char *text = NULL;
  size_t size = 0;
  GwStatus status = gw_fs_read_all(fs, path, largest_file, &text, &size);
  if (status == GW_OK) {
    size_t whole = whole_lines(text, size);
    if (whole < size) status = fs->truncate(fs, lines.file, whole);
    free(text);
  }
  if (status != GW_OK) {
    fs->close(fs, lines.file);
    return status;
  }
  *out = lines;
  return GW_OK;
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

static int64_t key_of(const char *line, size_t length, const char *key) {
  json_error_t error;
  json_t *object = json_loadb(line, length, 0, &error);
  json_t *value = json_is_object(object) ? json_object_get(object, key) : NULL;
  int64_t number = json_is_integer(value) ? json_integer_value(value) : 0;
  json_decref(object);
  return number;
}

GwStatus gw_jsonl_cut(GwJsonl *lines, const char *key, int64_t last) {
  char *text = NULL;
  size_t size = 0, at = 0;
  GW_TRY(gw_fs_read_all(lines->fs, lines->path, largest_file, &text, &size));
  while (at < size) {
    const char *end = memchr(text + at, '\n', size - at);
    size_t length = end ? (size_t)(end - text) - at : size - at;
    if (key_of(text + at, length, key) > last) break;
    at += length + 1;
  }
  free(text);
  return at < size ? lines->fs->truncate(lines->fs, lines->file, at) : GW_OK;
}

json_t *gw_jsonl_last(GwFs *fs, const char *path) {
  char *text = NULL;
  size_t size = 0;
  json_t *last = NULL;
  if (gw_fs_read_all(fs, path, largest_file, &text, &size) != GW_OK) return NULL;
  size_t end = whole_lines(text, size);
  if (end > 0) {
    size_t begin = whole_lines(text, end - 1);
    last = json_loadb(text + begin, end - begin, 0, NULL);
  }
  free(text);
  return last;
}
