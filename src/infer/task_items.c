/* Files of tasks, line by line. A file is held in memory while it is read. */
#include "infer/task_items.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "infer/task_text.h"

static const size_t FILE_BYTES_MAX = (size_t)1 << 28;

/* ---- a line ---- */

static bool is_blank(const char *line, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

/* A context of white space alone gives no token to go on from. */
static GwStatus check_contexts(const GwTaskLine *line, const GwTaskItem *item) {
  const char *checked = NULL;
  for (int32_t i = 0; i < item->choice_count; i++) {
    const char *context = item->choices[i].context;
    if (context != checked && *context && gw_task_trimmed(context) == 0)
      return gw_fail(GW_CORRUPT, "%s: what stands before choice %" PRId32 " is white space only",
                     line->place, i);
    checked = context;
  }
  return GW_OK;
}

static GwStatus read_object(const GwTask *task, const GwTaskLine *line, GwTaskItem *out) {
  if (!json_is_object(line->object))
    return gw_fail(GW_CORRUPT, "%s: each line must be a JSON object", line->place);
  GW_TRY(task->layout(line, out));
  return check_contexts(line, out);
}

GwStatus gw_task_items_add(const GwTask *task, const char *file, uint64_t number, const char *line,
                           size_t size, GwTaskItems *items) {
  if (is_blank(line, size)) return GW_OK;
  char place[GW_PATH_MAX + 24];
  json_error_t error;
  GwTaskItem item = {.file = file, .line = number};
  snprintf(place, sizeof place, "%s:%" PRIu64, file, number);
  if (!GW_GROW(items->items, items->capacity, items->count + 1))
    return gw_fail(GW_MEMORY, "%s: no memory for its item", place);
  json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
  if (!object) return gw_fail(GW_CORRUPT, "%s: not valid JSON: %s", place, error.text);
  GwTaskLine from = {object, place, &items->arena};
  GwStatus status = read_object(task, &from, &item);
  json_decref(object);
  if (status == GW_OK) items->items[items->count++] = item;
  return status;
}

void gw_task_items_deinit(GwTaskItems *items) {
  free(items->items);
  gw_arena_deinit(&items->arena);
  *items = (GwTaskItems){0};
}

/* ---- files ---- */

typedef struct {
  GwFs *fs;
  const GwTask *task;
  const char *folder;
  size_t limit; /* items at most */
  bool found;   /* a file of the task */
  GwTaskItems *items;
} Reading;

/* The next line of a text; *size is without its end. */
static const char *next_line(const char **at, const char *end, size_t *size) {
  const char *line = *at, *newline = memchr(line, '\n', (size_t)(end - line));
  *size = (size_t)((newline ? newline : end) - line);
  *at = newline ? newline + 1 : end;
  return line;
}

static GwStatus add_lines(const Reading *reading, const char *file, const char *text, size_t size) {
  const char *at = text, *end = text + size;
  for (uint64_t number = 1; at < end && reading->items->count < reading->limit; number++) {
    size_t length = 0;
    const char *line = next_line(&at, end, &length);
    GW_TRY(gw_task_items_add(reading->task, file, number, line, length, reading->items));
  }
  return GW_OK;
}

/* One label, 0 or 1, per line, for the items from `first` on. */
static GwStatus set_labels(GwTaskItems *items, size_t first, const char *file, const char *text,
                           size_t size) {
  const char *at = text, *end = text + size;
  for (size_t i = first; i < items->count; i++) {
    size_t length = 0;
    const char *line = at < end ? next_line(&at, end, &length) : NULL;
    if (length > 1 && line[length - 1] == '\r') length--;
    if (length != 1 || (line[0] != '0' && line[0] != '1'))
      return gw_fail(GW_CORRUPT, "%s:%zu: there must be a label here, 0 or 1, that of %s:%" PRIu64,
                     file, i - first + 1, items->items[i].file, items->items[i].line);
    items->items[i].answer = line[0] - '0';
  }
  return GW_OK;
}

/* Reads the answers that the lines of `file` did not have from the file beside it. */
static GwStatus find_labels(const Reading *reading, const char *file, size_t first) {
  GwTaskItems *items = reading->items;
  char path[GW_PATH_MAX], *text = NULL;
  size_t unlabelled = first, size = 0, stem = strlen(file);
  while (unlabelled < items->count && items->items[unlabelled].answer >= 0) unlabelled++;
  if (unlabelled == items->count) return GW_OK;
  if (gw_task_ends_with(file, ".jsonl")) stem -= strlen(".jsonl");
  GW_TRY(gw_fs_path(path, "%.*s%s", (int)stem, file, reading->task->labels));
  if (!reading->fs->exists(reading->fs, path))
    return gw_fail(GW_NOT_FOUND,
                   "%s:%" PRIu64 ": key 'label' is missing, and there is no %s with the labels",
                   file, items->items[unlabelled].line, path);
  GW_TRY(gw_fs_read_all(reading->fs, path, FILE_BYTES_MAX, &text, &size));
  GwStatus status = set_labels(items, first, path, text, size);
  free(text);
  return status;
}

static GwStatus read_file(Reading *reading, const char *path) {
  GwTaskItems *items = reading->items;
  size_t first = items->count, size = 0;
  char *text = NULL;
  const char *file = gw_arena_string(&items->arena, path);
  if (!file) return gw_fail(GW_MEMORY, "%s: no memory to read it", path);
  reading->found = true;
  GW_TRY(gw_fs_read_all(reading->fs, path, FILE_BYTES_MAX, &text, &size));
  GwStatus status = add_lines(reading, file, text, size);
  free(text);
  if (status == GW_OK && reading->task->labels) status = find_labels(reading, file, first);
  return status;
}

static GwStatus visit_entry(void *context, const char *name, bool is_dir) {
  Reading *reading = context;
  char path[GW_PATH_MAX];
  if (is_dir || !gw_task_ends_with(name, reading->task->files)) return GW_OK;
  GW_TRY(gw_fs_path(path, "%s/%s", reading->folder, name));
  return reading->items->count < reading->limit ? read_file(reading, path) : GW_OK;
}

static GwStatus visit_nothing(void *context, const char *name, bool is_dir) {
  (void)context, (void)name, (void)is_dir;
  return GW_OK;
}

static GwStatus read_path(Reading *reading, const char *path) {
  GwFs *fs = reading->fs;
  if (!fs->exists(fs, path))
    return gw_fail(GW_NOT_FOUND, "%s: no such file or folder; give the task's data", path);
  if (fs->list(fs, path, visit_nothing, NULL) == GW_OK) {
    GW_TRY(fs->list(fs, path, visit_entry, reading));
    if (!reading->found)
      return gw_fail(GW_NOT_FOUND, "%s: holds no file *%s; give the file itself", path,
                     reading->task->files);
  } else {
    GW_TRY(read_file(reading, path));
  }
  if (reading->items->count > 0) return GW_OK;
  return gw_fail(GW_INVALID, "%s: holds no item; each line must be one", path);
}

GwStatus gw_task_items_read(GwFs *fs, const GwTask *task, const char *path, int64_t limit,
                            GwTaskItems *out) {
  GwTaskItems items = {0};
  gw_arena_init(&items.arena);
  Reading reading = {.fs = fs, .task = task, .folder = path, .items = &items};
  reading.limit = limit > 0 ? (size_t)limit : SIZE_MAX;
  GwStatus status = read_path(&reading, path);
  if (status == GW_OK)
    *out = items;
  else
    gw_task_items_deinit(&items);
  return status;
}
