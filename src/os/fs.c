/* What is built on GwFs alone, and so works the same on the real disk and on the tests' disks. */
#include "os/fs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

GwStatus gw_fs_path(char *out, const char *format, ...) {
  char text[GW_PATH_MAX]; /* aside: `out` may be among the arguments */
  va_list list;
  va_start(list, format);
  int length = vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (length < 0 || length >= GW_PATH_MAX)
    return gw_fail(GW_INVALID, "%.80s...: the path is longer than %d bytes; choose a shorter one",
                   text, GW_PATH_MAX - 1);
  memcpy(out, text, (size_t)length + 1);
  return GW_OK;
}

/* The directory that holds `path`. */
static GwStatus parent_path(const char *path, char *out) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  while (length > 0 && path[length - 1] != '/') length--;
  while (length > 1 && path[length - 1] == '/') length--;
  return length == 0 ? gw_fs_path(out, ".") : gw_fs_path(out, "%.*s", (int)length, path);
}

static GwStatus read_whole(GwFs *fs, GwFile *file, const char *path, size_t limit, char **data,
                           size_t *size) {
  uint64_t bytes = 0;
  GW_TRY(fs->size(fs, file, &bytes));
  if (bytes > limit)
    return gw_fail(GW_INVALID, "%s: has %llu bytes, more than the %zu that are allowed here", path,
                   (unsigned long long)bytes, limit);
  char *text = malloc((size_t)bytes + 1);
  if (!text)
    return gw_fail(GW_MEMORY, "%s: no memory for its %llu bytes", path, (unsigned long long)bytes);
  size_t got = 0;
  GwStatus status = fs->read_at(fs, file, 0, text, (size_t)bytes, &got);
  if (status != GW_OK) {
    free(text);
    return status;
  }
  text[got] = 0;
  *data = text;
  *size = got;
  return GW_OK;
}

GwStatus gw_fs_read_all(GwFs *fs, const char *path, size_t limit, char **data, size_t *size) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_READ, &file));
  GwStatus status = read_whole(fs, file, path, limit, data, size);
  fs->close(fs, file);
  return status;
}

static GwStatus write_and_sync(GwFs *fs, const char *path, const void *data, size_t size) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_CREATE, &file));
  GwStatus status = fs->write(fs, file, data, size);
  if (status == GW_OK) status = fs->sync_file(fs, file);
  fs->close(fs, file);
  return status;
}

GwStatus gw_fs_replace(GwFs *fs, const char *aside, const char *path, GwStatus status) {
  char parent[GW_PATH_MAX];
  if (status == GW_OK) status = parent_path(path, parent);
  if (status == GW_OK) status = fs->rename(fs, aside, path);
  if (status == GW_OK) return fs->sync_dir(fs, parent);
  char message[1024]; /* the cause, which a failing removal would overwrite */
  snprintf(message, sizeof message, "%s", gw_error_message());
  (void)gw_fs_remove_tree(fs, aside);
  return gw_fail(status, "%s", message);
}

GwStatus gw_fs_write_atomic(GwFs *fs, const char *path, const void *data, size_t size) {
  char aside[GW_PATH_MAX];
  GW_TRY(gw_fs_path(aside, "%s.tmp", path));
  return gw_fs_replace(fs, aside, path, write_and_sync(fs, aside, data, size));
}

GwStatus gw_fs_sync(GwFs *fs, const char *path) {
  GwFile *file = NULL;
  GW_TRY(fs->open(fs, path, GW_FILE_APPEND, &file));
  GwStatus status = fs->sync_file(fs, file);
  fs->close(fs, file);
  return status;
}

/* Makes one directory unless it is there; its parent must exist. */
static GwStatus make_one_dir(GwFs *fs, const char *path) {
  char parent[GW_PATH_MAX];
  GW_TRY(parent_path(path, parent));
  GwStatus status = fs->make_dir(fs, path);
  if (status == GW_EXISTS) return GW_OK;
  GW_TRY(status);
  return fs->sync_dir(fs, parent);
}

GwStatus gw_fs_make_dirs(GwFs *fs, const char *path) {
  char part[GW_PATH_MAX];
  for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
    if (slash == path || slash[1] == 0 || slash[1] == '/') continue;
    GW_TRY(gw_fs_path(part, "%.*s", (int)(slash - path), path));
    GW_TRY(make_one_dir(fs, part));
  }
  return make_one_dir(fs, path);
}

typedef struct {
  GwFs *fs;
  const char *path;
} Removal;

static GwStatus remove_entry(void *context, const char *name, bool is_dir) {
  Removal *removal = context;
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/%s", removal->path, name));
  return is_dir ? gw_fs_remove_tree(removal->fs, path) : removal->fs->remove(removal->fs, path);
}

GwStatus gw_fs_remove_tree(GwFs *fs, const char *path) {
  GwStatus status = fs->remove(fs, path); /* enough for a file, a link or an empty directory */
  if (status == GW_OK || status == GW_NOT_FOUND) return GW_OK;
  Removal removal = {fs, path};
  GW_TRY(fs->list(fs, path, remove_entry, &removal));
  return fs->remove(fs, path);
}
