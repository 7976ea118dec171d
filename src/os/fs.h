/* Files behind a vtable, so that tests can replace the disk (test/unit/crash_fs.c drops and tears
 * unsynced writes). Paths are plain strings; every failure is a status whose message names the
 * path.
 *
 * Durability: bytes of a file are durable after sync_file; a name (created, renamed, removed) is
 * durable after sync_dir of the directory that holds it.
 *
 * Statuses: GW_NOT_FOUND, GW_EXISTS, GW_NO_SPACE (disk or quota), GW_MEMORY, else GW_IO. */
#ifndef GW_FS_H
#define GW_FS_H

#include "base/base.h"

typedef struct GwFs GwFs;
typedef struct GwFile GwFile; /* defined by each implementation */

/* READ    read_at and size only.
 * CREATE  truncates; writes are buffered, so a small one costs little and may fail late: what was
 *         written counts only once sync_file has returned GW_OK. After one failure all further
 *         writes and syncs of the file fail. Not readable.
 * LARGE   like CREATE, for what is large and not read soon: it goes past the system's cache where
 *         the file system lets it. That costs the processor half as much, and nothing else is
 *         pushed out of the cache; but the writer waits for the disk.
 * APPEND  for journals: created when absent, each write is with the kernel when it returns, and
 *         one that fails is taken back whole, so that a later one may succeed. Readable. */
typedef enum { GW_FILE_READ, GW_FILE_CREATE, GW_FILE_LARGE, GW_FILE_APPEND } GwFileMode;

static inline bool gw_file_is_new(GwFileMode mode) {
  return mode == GW_FILE_CREATE || mode == GW_FILE_LARGE;
}

struct GwFs {
  void *self;
  GwStatus (*open)(GwFs *fs, const char *path, GwFileMode mode, GwFile **out);
  /* Reads up to `size` bytes at `offset`; *got < size only at the end of the file. */
  GwStatus (*read_at)(GwFs *fs, GwFile *file, uint64_t offset, void *data, size_t size,
                      size_t *got);
  /* Appends all of `data` (files are written front to back). */
  GwStatus (*write)(GwFs *fs, GwFile *file, const void *data, size_t size);
  GwStatus (*sync_file)(GwFs *fs, GwFile *file);
  GwStatus (*size)(GwFs *fs, GwFile *file, uint64_t *out);
  GwStatus (*truncate)(GwFs *fs, GwFile *file, uint64_t size);
  void (*close)(GwFs *fs, GwFile *file);
  /* GW_EXISTS when the directory is there; GW_INVALID when something else has its name. */
  GwStatus (*make_dir)(GwFs *fs, const char *path);
  /* Replaces a file (or an empty directory) that is at `to`. */
  GwStatus (*rename)(GwFs *fs, const char *from, const char *to);
  GwStatus (*remove)(GwFs *fs, const char *path); /* a file or an empty directory */
  GwStatus (*sync_dir)(GwFs *fs, const char *path);
  /* Calls visit for every entry (not . or ..), in ascending byte order of the names, which are
   * collected first: visit may change the directory. A symbolic link is not a directory. */
  GwStatus (*list)(GwFs *fs, const char *path,
                   GwStatus (*visit)(void *context, const char *name, bool is_dir), void *context);
  bool (*exists)(GwFs *fs, const char *path);
};

/* The real disk. */
GwFs *gw_fs_disk(void);

/* Built from the above. */

enum { GW_PATH_MAX = 4096 };
/* Formats a path into `out` (GW_PATH_MAX bytes); GW_INVALID when it is too long. */
GwStatus gw_fs_path(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The whole file in a malloc'd buffer with a 0 behind its last byte; at most `limit`
 * bytes, GW_INVALID when it is larger. */
GwStatus gw_fs_read_all(GwFs *fs, const char *path, size_t limit, char **data, size_t *size);
/* Writes `path` so that after a crash it is either absent/old or whole: aside, fsync, rename, fsync
 * of the directory. */
GwStatus gw_fs_write_atomic(GwFs *fs, const char *path, const void *data, size_t size);
/* Has what was written to a file that is there on the disk, whoever wrote it; from any thread. */
GwStatus gw_fs_sync(GwFs *fs, const char *path);
/* Ends the writing of `aside`, a synced file or folder beside `path`: where `status`, that of the
 * writing, is GW_OK it takes the place of `path` and is synced there, else it is removed. Returns
 * `status` with its message, or what went wrong. */
GwStatus gw_fs_replace(GwFs *fs, const char *aside, const char *path, GwStatus status);
/* mkdir -p, syncing the parent of each directory made. */
GwStatus gw_fs_make_dirs(GwFs *fs, const char *path);
/* Removes a file, or a directory and all it holds; GW_OK when absent. Not synced. */
GwStatus gw_fs_remove_tree(GwFs *fs, const char *path);

/* A read-only map of a whole file on the real disk; `data` is NULL for an empty one. */
typedef struct {
  const uint8_t *data;
  size_t size;
} GwMap;
GwStatus gw_map_open(const char *path, GwMap *out);
/* Gives back the memory of [offset, offset + size) and what the system may have read along with it
 * (64 KiB around); it may be read again. So whoever reads a large file need not hold all of it. */
void gw_map_release(const GwMap *map, size_t offset, size_t size);
void gw_map_close(GwMap *map);

/* An exclusive lock (flock) on `path`, created when absent; GW_BUSY names the owner's process id,
 * which is written into the file. Held until closed or until the process ends. */
typedef struct {
  int descriptor; /* -1: not held */
} GwLock;
GwStatus gw_lock_open(const char *path, GwLock *out);
void gw_lock_close(GwLock *lock);
/* Whether a process holds the lock. Nothing is made or changed; who wants it at this very moment
 * waits for a few milliseconds. */
bool gw_lock_is_held(const char *path);

/* When a file of the real disk was last written, nanoseconds since 1970; 0 where there is none. */
int64_t gw_file_changed_ns(const char *path);

#endif
