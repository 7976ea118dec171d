/* The folder of checkpoints: which there are, adding one, removing old ones, finding the newest
 * that is good.
 *
 * A save writes .step-N.tmp with every file synced, renames it to step-N and syncs the folder; only
 * then is it done. At every moment before, the older checkpoints stand untouched. One that is to be
 * replaced steps aside as .old-step-N first, where a loader still finds it if the power fails
 * between the two renames; one that is to be removed is renamed to .dead-step-N first, so that a
 * half-removed one is never taken for a checkpoint. */
#include "state/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "godwit/log.h"
#include "state/checkpoint_files.h"

enum { NAME_BYTES = 48, MESSAGE_BYTES = 1024 };

/* ---- names ---- */

static void step_name(const char *prefix, int64_t step, const char *suffix, char out[NAME_BYTES]) {
  snprintf(out, NAME_BYTES, "%sstep-%08" PRId64 "%s", prefix, step, suffix);
}

/* Whether `name` is exactly `prefix` and a step's name. */
static bool parse_step(const char *name, const char *prefix, int64_t *step) {
  char again[NAME_BYTES];
  size_t skip = strlen(prefix);
  if (strncmp(name, prefix, skip) != 0 || strncmp(name + skip, "step-", 5) != 0) return false;
  int64_t value = strtoll(name + skip + 5, NULL, 10);
  step_name(prefix, value, "", again);
  if (value < 0 || strcmp(name, again) != 0) return false;
  *step = value;
  return true;
}

static GwStatus step_path(const char *dir, const char *prefix, int64_t step, const char *suffix,
                          char *out) {
  char name[NAME_BYTES];
  step_name(prefix, step, suffix, name);
  return gw_fs_path(out, "%s/%s", dir, name);
}

/* ---- what the folder holds ---- */

typedef struct {
  int64_t step;
  bool old; /* under its .old- name: in the middle of being replaced */
} Found;

typedef struct {
  Found *items;
  int count;
  size_t capacity;
} FoundList;

static GwStatus collect(void *context, const char *name, bool is_dir) {
  FoundList *list = context;
  Found found = {0};
  found.old = parse_step(name, ".old-", &found.step);
  if (!is_dir || (!found.old && !parse_step(name, "", &found.step))) return GW_OK;
  if (!GW_GROW(list->items, list->capacity, list->count + 1))
    return gw_fail(GW_MEMORY, "no memory to list checkpoints");
  list->items[list->count++] = found;
  return GW_OK;
}

/* Newest first; of one step, the one under its own name first. */
static int newest_first(const void *a, const void *b) {
  const Found *x = a, *y = b;
  if (x->step != y->step) return x->step > y->step ? -1 : 1;
  return (int)x->old - (int)y->old;
}

/* On success the caller frees out->items. */
static GwStatus find_all(GwFs *fs, const char *dir, FoundList *out) {
  FoundList list = {0};
  GwStatus status = fs->list(fs, dir, collect, &list);
  if (status != GW_OK) {
    free(list.items);
    return status;
  }
  if (list.count > 0) qsort(list.items, (size_t)list.count, sizeof *list.items, newest_first);
  *out = list;
  return GW_OK;
}

/* ---- removing ---- */

/* Removes the checkpoint at `path`, whose step is `step`. */
static GwStatus discard(GwFs *fs, const char *dir, const char *path, int64_t step) {
  char dead[GW_PATH_MAX];
  GW_TRY(step_path(dir, ".dead-", step, "", dead));
  GW_TRY(fs->rename(fs, path, dead));
  GW_TRY(fs->sync_dir(fs, dir));
  return gw_fs_remove_tree(fs, dead);
}

typedef struct {
  GwFs *fs;
  const char *dir;
} Folder;

/* What a save that was cut short left behind. A checkpoint that had stepped aside goes back to its
 * name if its replacement never came. */
static GwStatus clear_leftover(void *context, const char *name, bool is_dir) {
  (void)is_dir;
  const Folder *folder = context;
  GwFs *fs = folder->fs;
  char path[GW_PATH_MAX], home[GW_PATH_MAX];
  int64_t step = 0;
  GW_TRY(gw_fs_path(path, "%s/%s", folder->dir, name));
  if (strncmp(name, ".step-", 6) == 0 || strncmp(name, ".dead-", 6) == 0)
    return gw_fs_remove_tree(fs, path);
  if (!parse_step(name, ".old-", &step)) return GW_OK;
  GW_TRY(step_path(folder->dir, "", step, "", home));
  if (fs->exists(fs, home)) return discard(fs, folder->dir, path, step);
  GW_TRY(fs->rename(fs, path, home));
  return fs->sync_dir(fs, folder->dir);
}

static GwStatus discard_beyond(GwFs *fs, const char *dir, int keep, int64_t saved) {
  FoundList list = {0};
  GW_TRY(find_all(fs, dir, &list));
  GwStatus status = GW_OK;
  for (int i = 0; i < list.count && status == GW_OK; i++) {
    char path[GW_PATH_MAX];
    if (list.items[i].old || keep-- > 0 || list.items[i].step == saved) continue;
    status = step_path(dir, "", list.items[i].step, "", path);
    if (status == GW_OK) status = discard(fs, dir, path, list.items[i].step);
  }
  free(list.items);
  return status;
}

/* ---- saving ---- */

typedef struct {
  char home[GW_PATH_MAX];  /* where the checkpoint will be */
  char aside[GW_PATH_MAX]; /* where it is written */
  char old[GW_PATH_MAX];   /* where one of the same step waits meanwhile */
} Places;

/* Leaves nothing of a save that failed; `status` is returned with its message. */
static GwStatus undo(GwFs *fs, const Places *places, bool stepped_aside, GwStatus status) {
  char message[MESSAGE_BYTES];
  snprintf(message, sizeof message, "%s", gw_error_message());
  if (stepped_aside) (void)fs->rename(fs, places->old, places->home);
  (void)gw_fs_remove_tree(fs, places->aside);
  return gw_fail(status, "%s", message);
}

/* Moves the written checkpoint to its place, durably. */
static GwStatus publish(GwFs *fs, const char *dir, const Places *places) {
  bool replaces = fs->exists(fs, places->home);
  GwStatus status = replaces ? fs->rename(fs, places->home, places->old) : GW_OK;
  if (status != GW_OK) return undo(fs, places, false, status);
  status = fs->rename(fs, places->aside, places->home);
  if (status != GW_OK) return undo(fs, places, replaces, status);
  return fs->sync_dir(fs, dir);
}

static GwStatus write_new(GwFs *fs, const char *dir, const Places *places,
                          const GwCheckpointInfo *info, const GwTensorGroup *groups, int count) {
  GwStatus status = fs->make_dir(fs, places->aside);
  if (status == GW_OK) status = gw__checkpoint_write(fs, places->aside, info, groups, count);
  if (status != GW_OK) return undo(fs, places, false, status);
  return publish(fs, dir, places);
}

static bool is_saved(GwFs *fs, const char *path, const GwCheckpointInfo *info) {
  GwCheckpointInfo there = {0};
  return fs->exists(fs, path) && gw_checkpoint_verify(fs, path, &there) == GW_OK &&
         there.state_hash == info->state_hash && there.recipe_identity == info->recipe_identity;
}

static GwStatus check_state(const char *dir, const GwCheckpointInfo *info,
                            const GwTensorGroup *groups, int count) {
  uint64_t hash = gw_state_hash(groups, count, info->step);
  if (hash == info->state_hash) return GW_OK;
  return gw_fail(GW_CORRUPT,
                 "%s: step %" PRId64 " is not saved: the state in memory hashes to 0x%016" PRIx64
                 ", not 0x%016" PRIx64 " as before; resume from the last checkpoint",
                 dir, info->step, hash, info->state_hash);
}

GwStatus gw_checkpoint_save(GwFs *fs, const char *dir, const GwCheckpointInfo *info,
                            const GwTensorGroup *groups, int count, int keep) {
  GW_ASSERT(keep >= 1 && info->step >= 0 && count >= 1);
  Places places;
  GW_TRY(step_path(dir, "", info->step, "", places.home));
  GW_TRY(step_path(dir, ".", info->step, ".tmp", places.aside));
  GW_TRY(step_path(dir, ".old-", info->step, "", places.old));
  GW_TRY(check_state(dir, info, groups, count));
  GW_TRY(gw_fs_make_dirs(fs, dir));
  GW_TRY(fs->list(fs, dir, clear_leftover, &(Folder){fs, dir}));
  if (is_saved(fs, places.home, info))
    GW_TRY(fs->sync_dir(fs, dir)); /* its rename may not have been synced */
  else
    GW_TRY(write_new(fs, dir, &places, info, groups, count));
  GwStatus status = GW_OK; /* of making room: the checkpoint is safe whatever it is */
  if (fs->exists(fs, places.old)) status = discard(fs, dir, places.old, info->step);
  if (status == GW_OK) status = discard_beyond(fs, dir, keep, info->step);
  if (status != GW_OK)
    gw_log(GW_LOG_WARNING, "%s: an old checkpoint is not removed: %s", dir, gw_error_message());
  return GW_OK;
}

/* ---- the newest that is good ---- */

/* Takes a corrupt checkpoint out of sight; the failure's message says what is wrong with it. */
static void set_aside(GwFs *fs, const char *dir, const char *path, int64_t step) {
  char bad[GW_PATH_MAX], message[MESSAGE_BYTES];
  snprintf(message, sizeof message, "%s", gw_error_message());
  GwStatus status = step_path(dir, "bad-", step, "", bad);
  if (status == GW_OK) status = gw_fs_remove_tree(fs, bad); /* an earlier one of this step */
  if (status == GW_OK) status = fs->rename(fs, path, bad);
  if (status == GW_OK)
    gw_log(GW_LOG_WARNING, "%s; set aside as %s, trying the checkpoint before it", message, bad);
  else
    gw_log(GW_LOG_WARNING, "%s; not used, trying the checkpoint before it", message);
}

/* A search for the newest checkpoint that is good. */
typedef struct {
  GwFs *fs;
  const char *dir;
  const GwTensorGroup *groups;
  int count;
  bool looks_only; /* changes nothing on disk; `groups` may be some of all */
} Search;

static GwStatus load_step(const Search *search, const char *path, int64_t step,
                          GwCheckpointInfo *out) {
  GwCheckpointInfo info = {0};
  GwStatus status =
      search->looks_only
          ? gw_checkpoint_view(search->fs, path, search->groups, search->count, &info)
          : gw_checkpoint_load(search->fs, path, search->groups, search->count, &info);
  GW_TRY(status);
  if (info.step != step)
    return gw_fail(GW_CORRUPT, "%s: holds step %" PRId64 ", not the step of its name", path,
                   info.step);
  *out = info;
  return GW_OK;
}

static GwStatus none_found(const Search *search, int corrupt, int unreadable) {
  if (unreadable > 0)
    return gw_fail(GW_IO,
                   "%s: no checkpoint could be read (%d tried); check the disk and its "
                   "permissions",
                   search->dir, corrupt + unreadable);
  if (corrupt > 0)
    return gw_fail(GW_CORRUPT, "%s: all %d checkpoints are corrupt%s; start the run anew",
                   search->dir, corrupt,
                   search->looks_only ? "" : " and were set aside as bad-...");
  return gw_fail(GW_NOT_FOUND, "%s: holds no checkpoint; check the path or start the run",
                 search->dir);
}

static GwStatus load_first_good(const Search *search, const FoundList *list, GwCheckpointInfo *out,
                                char *path) {
  int corrupt = 0, unreadable = 0;
  for (int i = 0; i < list->count; i++) {
    int64_t step = list->items[i].step;
    GW_TRY(step_path(search->dir, list->items[i].old ? ".old-" : "", step, "", path));
    GwStatus status = load_step(search, path, step, out);
    if (status == GW_CORRUPT && !search->looks_only) {
      set_aside(search->fs, search->dir, path, step);
      corrupt++;
    } else if (status == GW_CORRUPT || status == GW_IO || status == GW_NOT_FOUND) {
      gw_log(GW_LOG_WARNING, "%s; trying the checkpoint before it", gw_error_message());
      corrupt += status == GW_CORRUPT;
      unreadable += status != GW_CORRUPT;
    } else {
      return status;
    }
  }
  return none_found(search, corrupt, unreadable);
}

static GwStatus load_newest(const Search *search, GwCheckpointInfo *out, char *path_out,
                            size_t path_size) {
  FoundList list = {0};
  char path[GW_PATH_MAX];
  GwStatus status = find_all(search->fs, search->dir, &list);
  if (status == GW_NOT_FOUND) return none_found(search, 0, 0);
  GW_TRY(status);
  status = load_first_good(search, &list, out, path);
  free(list.items);
  GW_TRY(status);
  int length = snprintf(path_out, path_size, "%s", path);
  GW_ASSERT(length >= 0 && (size_t)length < path_size);
  return GW_OK;
}

GwStatus gw_checkpoint_load_newest(GwFs *fs, const char *dir, const GwTensorGroup *groups,
                                   int count, GwCheckpointInfo *out, char *path_out,
                                   size_t path_size) {
  return load_newest(&(Search){fs, dir, groups, count, false}, out, path_out, path_size);
}

GwStatus gw_checkpoint_view_newest(GwFs *fs, const char *dir, const GwTensorGroup *groups,
                                   int count, GwCheckpointInfo *out, char *path_out,
                                   size_t path_size) {
  return load_newest(&(Search){fs, dir, groups, count, true}, out, path_out, path_size);
}

int64_t gw_checkpoint_newest_step(GwFs *fs, const char *dir) {
  FoundList list = {0};
  int64_t newest = -1;
  if (find_all(fs, dir, &list) != GW_OK) return -1;
  for (int i = 0; i < list.count && newest < 0; i++) {
    GwCheckpointInfo info;
    char path[GW_PATH_MAX];
    int64_t step = list.items[i].step;
    if (step_path(dir, list.items[i].old ? ".old-" : "", step, "", path) == GW_OK &&
        gw_checkpoint_info(fs, path, &info) == GW_OK)
      newest = step;
  }
  free(list.items);
  return newest;
}
