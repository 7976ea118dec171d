/* Nodes (files and directories) live until the disk is destroyed; directories point to them by
 * index. A directory holds its names twice, as seen and as durable, and the list of changes that
 * lead from the second to the first. */
#include "crash_fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1, NAME_BYTES = 40, ENTRIES_MAX = 24, PENDING_MAX = 48, SECTOR = 512 };

typedef struct {
  unsigned char *data;
  size_t size;
} Bytes;

typedef struct {
  char name[NAME_BYTES];
  int node;
} Entry;

typedef struct {
  Entry items[ENTRIES_MAX];
  int count;
} Names;

/* One change of a directory: `from` (when given) loses its name, then `to` (when given) names
 * `node`, whatever it named before. */
typedef struct {
  char from[NAME_BYTES], to[NAME_BYTES];
  int node;
} Change;

typedef struct {
  bool is_dir;
  Bytes seen, durable; /* files */
  Names names, durable_names;
  Change pending[PENDING_MAX];
  int pending_count;
} Node;

struct CrashFs {
  GwFs fs;
  Node **nodes; /* [0] is the root */
  int node_count, node_capacity;
  int operations, power_left; /* operations until power is lost; negative: it stays */
  bool dead;
  uint64_t space_left, written;
};

struct GwFile {
  int node;
  GwFileMode mode;
  bool failed;
  char path[256];
};

/* ---- memory; exhaustion ends the test ---- */

static void set_bytes(Bytes *bytes, const void *data, size_t size) {
  unsigned char *copy = malloc(size + 1);
  GW_ASSERT(copy);
  if (size > 0) memcpy(copy, data, size);
  free(bytes->data);
  *bytes = (Bytes){copy, size};
}

static void append_bytes(Bytes *bytes, const void *data, size_t size) {
  bytes->data = realloc(bytes->data, bytes->size + size + 1);
  GW_ASSERT(bytes->data);
  memcpy(bytes->data + bytes->size, data, size);
  bytes->size += size;
}

static int new_node(CrashFs *disk, bool is_dir) {
  if (disk->node_count == disk->node_capacity) {
    disk->node_capacity = disk->node_capacity ? 2 * disk->node_capacity : 64;
    disk->nodes = realloc(disk->nodes, (size_t)disk->node_capacity * sizeof *disk->nodes);
    GW_ASSERT(disk->nodes);
  }
  Node *node = calloc(1, sizeof *node);
  GW_ASSERT(node);
  node->is_dir = is_dir;
  disk->nodes[disk->node_count] = node;
  return disk->node_count++;
}

/* ---- names ---- */

static int find_name(const Names *names, const char *name) {
  for (int i = 0; i < names->count; i++)
    if (strcmp(names->items[i].name, name) == 0) return i;
  return NONE;
}

static void drop_name(Names *names, const char *name) {
  int at = find_name(names, name);
  if (at != NONE) names->items[at] = names->items[--names->count];
}

static void apply_change(Names *names, const Change *change) {
  if (change->from[0]) drop_name(names, change->from);
  if (!change->to[0]) return;
  drop_name(names, change->to);
  GW_ASSERT(names->count < ENTRIES_MAX);
  Entry *entry = &names->items[names->count++];
  memcpy(entry->name, change->to, NAME_BYTES);
  entry->node = change->node;
}

static void change_names(Node *dir, const char *from, const char *to, int node) {
  GW_ASSERT(dir->pending_count < PENDING_MAX);
  Change *change = &dir->pending[dir->pending_count++];
  snprintf(change->from, NAME_BYTES, "%s", from);
  snprintf(change->to, NAME_BYTES, "%s", to);
  change->node = node;
  apply_change(&dir->names, change);
}

/* The directory that holds `path` and the last part of it; NONE when there is no such directory. */
static int find_parent(const CrashFs *disk, const char *path, char name[NAME_BYTES]) {
  int node = 0;
  while (*path == '/') path++;
  for (;;) {
    size_t length = strcspn(path, "/");
    GW_ASSERT(length < NAME_BYTES);
    memcpy(name, path, length);
    name[length] = 0;
    path += length;
    while (*path == '/') path++;
    if (!*path) return node;
    int at = find_name(&disk->nodes[node]->names, name);
    if (at == NONE) return NONE;
    node = disk->nodes[node]->names.items[at].node;
    if (!disk->nodes[node]->is_dir) return NONE;
  }
}

static int find_node(const CrashFs *disk, const char *path) {
  char name[NAME_BYTES];
  int parent = find_parent(disk, path, name);
  if (parent == NONE || !name[0] || strcmp(name, ".") == 0) return parent;
  int at = find_name(&disk->nodes[parent]->names, name);
  return at == NONE ? NONE : disk->nodes[parent]->names.items[at].node;
}

/* ---- operations ---- */

/* Counts one operation. *cut: power is lost in this very one, so its effect is still to be made
 * (unsynced), after which it fails. */
static GwStatus begin(CrashFs *disk, const char *path, bool *cut) {
  *cut = false;
  disk->operations++;
  if (disk->dead) return gw_fail(GW_IO, "%s: no power", path);
  *cut = disk->power_left == 0;
  if (disk->power_left >= 0) disk->power_left--;
  disk->dead = *cut;
  return GW_OK;
}

static GwStatus finish(const char *path, bool cut) {
  return cut ? gw_fail(GW_IO, "%s: power was lost", path) : GW_OK;
}

static GwStatus absent(const char *path) {
  return gw_fail(GW_NOT_FOUND, "%s: not found; check the path", path);
}

static GwStatus crash_open(GwFs *fs, const char *path, GwFileMode mode, GwFile **out) {
  CrashFs *disk = fs->self;
  char name[NAME_BYTES];
  bool cut;
  GW_TRY(begin(disk, path, &cut));
  int parent = find_parent(disk, path, name), node = find_node(disk, path);
  if (parent == NONE || (node == NONE && mode == GW_FILE_READ)) return absent(path);
  if (node != NONE && disk->nodes[node]->is_dir)
    return gw_fail(GW_IO, "%s: is a directory; name a file", path);
  if (node == NONE) {
    node = new_node(disk, false);
    change_names(disk->nodes[parent], "", name, node);
  }
  if (gw_file_is_new(mode)) disk->nodes[node]->seen.size = 0;
  GW_TRY(finish(path, cut));
  GwFile *file = calloc(1, sizeof *file);
  GW_ASSERT(file);
  *file = (GwFile){.node = node, .mode = mode};
  snprintf(file->path, sizeof file->path, "%s", path);
  *out = file;
  return GW_OK;
}

static GwStatus crash_read_at(GwFs *fs, GwFile *file, uint64_t offset, void *data, size_t size,
                              size_t *got) {
  CrashFs *disk = fs->self;
  bool cut;
  GW_ASSERT(!gw_file_is_new(file->mode));
  GW_TRY(begin(disk, file->path, &cut));
  GW_TRY(finish(file->path, cut));
  const Bytes *seen = &disk->nodes[file->node]->seen;
  size_t rest = offset < seen->size ? seen->size - (size_t)offset : 0;
  *got = size < rest ? size : rest;
  if (*got > 0) memcpy(data, seen->data + offset, *got);
  return GW_OK;
}

static GwStatus crash_write(GwFs *fs, GwFile *file, const void *data, size_t size) {
  CrashFs *disk = fs->self;
  bool cut;
  GW_ASSERT(file->mode != GW_FILE_READ);
  GW_TRY(begin(disk, file->path, &cut));
  if (file->failed) return gw_fail(GW_IO, "%s: a write failed before", file->path);
  bool fits = size <= disk->space_left;
  size_t part = fits ? size : (size_t)disk->space_left;
  if (!fits && file->mode == GW_FILE_APPEND) part = 0;
  append_bytes(&disk->nodes[file->node]->seen, data, part);
  disk->space_left -= part;
  disk->written += part;
  if (fits) return finish(file->path, cut);
  file->failed = gw_file_is_new(file->mode);
  return gw_fail(GW_NO_SPACE, "%s: no space left; free some", file->path);
}

static GwStatus crash_sync_file(GwFs *fs, GwFile *file) {
  CrashFs *disk = fs->self;
  Node *node = disk->nodes[file->node];
  bool cut;
  GW_TRY(begin(disk, file->path, &cut));
  GW_TRY(finish(file->path, cut));
  if (file->failed) return gw_fail(GW_IO, "%s: a write failed before", file->path);
  set_bytes(&node->durable, node->seen.data, node->seen.size);
  return GW_OK;
}

static GwStatus crash_size(GwFs *fs, GwFile *file, uint64_t *out) {
  CrashFs *disk = fs->self;
  bool cut;
  GW_TRY(begin(disk, file->path, &cut));
  GW_TRY(finish(file->path, cut));
  *out = disk->nodes[file->node]->seen.size;
  return GW_OK;
}

static GwStatus crash_truncate(GwFs *fs, GwFile *file, uint64_t size) {
  CrashFs *disk = fs->self;
  Bytes *seen = &disk->nodes[file->node]->seen;
  static const unsigned char zeros[SECTOR];
  bool cut;
  GW_TRY(begin(disk, file->path, &cut));
  if (size < seen->size) seen->size = (size_t)size;
  while (seen->size < size)
    append_bytes(seen, zeros, size - seen->size < SECTOR ? (size_t)size - seen->size : SECTOR);
  return finish(file->path, cut);
}

static void crash_close(GwFs *fs, GwFile *file) {
  (void)fs;
  free(file);
}

static GwStatus crash_make_dir(GwFs *fs, const char *path) {
  CrashFs *disk = fs->self;
  char name[NAME_BYTES];
  bool cut;
  GW_TRY(begin(disk, path, &cut));
  int parent = find_parent(disk, path, name), node = find_node(disk, path);
  if (parent == NONE) return absent(path);
  if (node != NONE && !disk->nodes[node]->is_dir)
    return gw_fail(GW_INVALID, "%s: a file has this name; remove it", path);
  if (node != NONE) return gw_fail(GW_EXISTS, "%s: already exists", path);
  change_names(disk->nodes[parent], "", name, new_node(disk, true));
  return finish(path, cut);
}

/* Within one directory, which is all that is needed. */
static GwStatus crash_rename(GwFs *fs, const char *from, const char *to) {
  CrashFs *disk = fs->self;
  char from_name[NAME_BYTES], to_name[NAME_BYTES];
  bool cut;
  GW_TRY(begin(disk, from, &cut));
  int parent = find_parent(disk, from, from_name), node = find_node(disk, from);
  int target = find_node(disk, to);
  if (node == NONE) return absent(from);
  GW_ASSERT(find_parent(disk, to, to_name) == parent);
  if (target != NONE && disk->nodes[target]->is_dir && disk->nodes[target]->names.count > 0)
    return gw_fail(GW_IO, "%s: cannot rename: %s is a directory that is not empty", from, to);
  change_names(disk->nodes[parent], from_name, to_name, node);
  return finish(from, cut);
}

static GwStatus crash_remove(GwFs *fs, const char *path) {
  CrashFs *disk = fs->self;
  char name[NAME_BYTES];
  bool cut;
  GW_TRY(begin(disk, path, &cut));
  int parent = find_parent(disk, path, name), node = find_node(disk, path);
  if (node == NONE) return absent(path);
  if (disk->nodes[node]->is_dir && disk->nodes[node]->names.count > 0)
    return gw_fail(GW_IO, "%s: cannot remove: the directory is not empty", path);
  change_names(disk->nodes[parent], name, "", NONE);
  return finish(path, cut);
}

static GwStatus crash_sync_dir(GwFs *fs, const char *path) {
  CrashFs *disk = fs->self;
  bool cut;
  GW_TRY(begin(disk, path, &cut));
  GW_TRY(finish(path, cut));
  int at = find_node(disk, path);
  if (at == NONE) return absent(path);
  Node *dir = disk->nodes[at];
  if (!dir->is_dir) return gw_fail(GW_IO, "%s: not a directory", path);
  dir->durable_names = dir->names;
  dir->pending_count = 0;
  return GW_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

static GwStatus crash_list(GwFs *fs, const char *path,
                           GwStatus (*visit)(void *context, const char *name, bool is_dir),
                           void *context) {
  CrashFs *disk = fs->self;
  bool cut;
  GW_TRY(begin(disk, path, &cut));
  GW_TRY(finish(path, cut));
  int at = find_node(disk, path);
  if (at == NONE) return absent(path);
  if (!disk->nodes[at]->is_dir) return gw_fail(GW_IO, "%s: not a directory", path);
  Names names = disk->nodes[at]->names;
  qsort(names.items, (size_t)names.count, sizeof names.items[0], by_name);
  for (int i = 0; i < names.count; i++)
    GW_TRY(visit(context, names.items[i].name, disk->nodes[names.items[i].node]->is_dir));
  return GW_OK;
}

static bool crash_exists(GwFs *fs, const char *path) {
  CrashFs *disk = fs->self;
  return !disk->dead && find_node(disk, path) != NONE;
}

/* ---- the crash ---- */

/* How much of `seen` was synced and only appended to since: that part cannot be lost. */
static size_t safe_size(const Bytes *seen, const Bytes *durable) {
  bool appended = durable->size <= seen->size &&
                  (durable->size == 0 || memcmp(seen->data, durable->data, durable->size) == 0);
  return appended ? durable->size : 0;
}

/* Makes what is durable of a file from what was synced and what was only written. */
static void settle_file(Node *node, GwCrashMode mode, GwRng *rng) {
  Bytes *seen = &node->seen, *durable = &node->durable;
  size_t safe = safe_size(seen, durable);
  if (mode == GW_CRASH_DROP) set_bytes(seen, durable->data, durable->size);
  if (mode == GW_CRASH_PREFIX) seen->size = safe + gw_rng_below(rng, seen->size - safe + 1);
  for (size_t at = safe; mode == GW_CRASH_TEAR && at < seen->size;) {
    size_t end = (at / SECTOR + 1) * SECTOR < seen->size ? (at / SECTOR + 1) * SECTOR : seen->size;
    if (gw_rng_below(rng, 2)) memset(seen->data + at, 0, end - at);
    at = end;
  }
  set_bytes(durable, seen->data, seen->size);
}

static void settle_dir(Node *dir, GwCrashMode mode, GwRng *rng) {
  int kept = mode == GW_CRASH_DROP ? 0 : dir->pending_count;
  if (mode == GW_CRASH_PREFIX || mode == GW_CRASH_TEAR)
    kept = (int)gw_rng_below(rng, (uint64_t)dir->pending_count + 1);
  for (int i = 0; i < kept; i++) apply_change(&dir->durable_names, &dir->pending[i]);
  dir->names = dir->durable_names;
  dir->pending_count = 0;
}

void gw_crash_fs_reboot(CrashFs *disk, GwCrashMode mode, GwRng *rng) {
  for (int i = 0; i < disk->node_count; i++) {
    if (disk->nodes[i]->is_dir)
      settle_dir(disk->nodes[i], mode, rng);
    else
      settle_file(disk->nodes[i], mode, rng);
  }
  disk->dead = false;
  disk->power_left = -1;
  disk->space_left = UINT64_MAX;
}

/* ---- the disk ---- */

CrashFs *gw_crash_fs_create(void) {
  CrashFs *disk = calloc(1, sizeof *disk);
  GW_ASSERT(disk);
  disk->fs = (GwFs){.self = disk,
                    .open = crash_open,
                    .read_at = crash_read_at,
                    .write = crash_write,
                    .sync_file = crash_sync_file,
                    .size = crash_size,
                    .truncate = crash_truncate,
                    .close = crash_close,
                    .make_dir = crash_make_dir,
                    .rename = crash_rename,
                    .remove = crash_remove,
                    .sync_dir = crash_sync_dir,
                    .list = crash_list,
                    .exists = crash_exists};
  disk->power_left = -1;
  disk->space_left = UINT64_MAX;
  (void)new_node(disk, true);
  return disk;
}

void gw_crash_fs_destroy(CrashFs *disk) {
  for (int i = 0; i < disk->node_count; i++) {
    free(disk->nodes[i]->seen.data);
    free(disk->nodes[i]->durable.data);
    free(disk->nodes[i]);
  }
  free(disk->nodes);
  free(disk);
}

GwFs *gw_crash_fs(CrashFs *disk) { return &disk->fs; }
int gw_crash_fs_operations(const CrashFs *disk) { return disk->operations; }
void gw_crash_fs_lose_power_at(CrashFs *disk, int n) { disk->power_left = n; }
void gw_crash_fs_limit_space(CrashFs *disk, uint64_t bytes) { disk->space_left = bytes; }
uint64_t gw_crash_fs_written(const CrashFs *disk) { return disk->written; }

unsigned char *gw_crash_fs_bytes(CrashFs *disk, const char *path, size_t *size) {
  int node = find_node(disk, path);
  if (node == NONE || disk->nodes[node]->is_dir) return NULL;
  *size = disk->nodes[node]->seen.size;
  return disk->nodes[node]->seen.data;
}
