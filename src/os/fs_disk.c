/* The real disk behind GwFs.
 *
 * A file that is created is written through a buffer, flushed when it is full, before it is synced
 * and when it is closed; the first failure is remembered, so a sync after a lost write cannot
 * succeed. Of a LARGE one whole buffers go past the system's cache (O_DIRECT: their place in memory
 * and in the file must be a multiple of the disk's blocks). A journal (APPEND) has no buffer. Calls
 * cut short by signals or by the kernel's limits go on where they stopped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "godwit/log.h"
#include "os/fs.h"
#include "os/os_error.h"

enum { BUFFER_BYTES = 1 << 20, BUFFER_ALIGN = 1 << 16, CALL_BYTES_MAX = 1 << 30 };

struct GwFile {
  int descriptor;
  GwStatus failure; /* of the first write or sync that failed */
  char *buffer;     /* of a new file, else NULL */
  size_t used;      /* bytes in the buffer, not yet written */
  bool direct;      /* LARGE, as long as it can: only whole buffers have been written */
  char path[];
};

/* Not every file system knows O_DIRECT. */
static int open_descriptor(const char *path, GwFileMode mode, bool *direct) {
  static const int flags[] = {[GW_FILE_READ] = O_RDONLY,
                              [GW_FILE_CREATE] = O_WRONLY | O_CREAT | O_TRUNC,
                              [GW_FILE_LARGE] = O_WRONLY | O_CREAT | O_TRUNC,
                              [GW_FILE_APPEND] = O_RDWR | O_CREAT | O_APPEND};
  *direct = mode == GW_FILE_LARGE;
  int descriptor = open(path, flags[mode] | O_CLOEXEC | (*direct ? O_DIRECT : 0), 0666);
  if (descriptor >= 0 || errno != EINVAL || !*direct) return descriptor;
  *direct = false;
  return open(path, flags[mode] | O_CLOEXEC, 0666);
}

static GwStatus disk_open(GwFs *fs, const char *path, GwFileMode mode, GwFile **out) {
  (void)fs;
  size_t length = strlen(path) + 1;
  bool buffered = gw_file_is_new(mode);
  GwFile *file = calloc(1, sizeof *file + length);
  char *buffer = buffered ? aligned_alloc(BUFFER_ALIGN, BUFFER_BYTES) : NULL;
  if (!file || (buffered && !buffer)) {
    free(buffer);
    free(file);
    return gw__os_fail(ENOMEM, path, "open");
  }
  int descriptor = open_descriptor(path, mode, &file->direct);
  if (descriptor < 0) {
    int error = errno;
    free(buffer);
    free(file);
    return gw__os_fail(error, path, mode == GW_FILE_READ ? "open" : "open for writing");
  }
  file->descriptor = descriptor;
  file->buffer = buffer;
  memcpy(file->path, path, length);
  *out = file;
  return GW_OK;
}

static GwStatus disk_read_at(GwFs *fs, GwFile *file, uint64_t offset, void *data, size_t size,
                             size_t *got) {
  (void)fs;
  GW_ASSERT(!file->buffer);
  size_t done = 0;
  while (done < size) {
    size_t part = size - done < CALL_BYTES_MAX ? size - done : CALL_BYTES_MAX;
    ssize_t n = pread(file->descriptor, (char *)data + done, part, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return gw__os_fail(errno, file->path, "read");
    if (n == 0) break;
    done += (size_t)n;
  }
  *got = done;
  return GW_OK;
}

static void leave_direct(GwFile *file) {
  if (!file->direct) return;
  file->direct = false;
  (void)fcntl(file->descriptor, F_SETFL, fcntl(file->descriptor, F_GETFL) & ~O_DIRECT);
}

/* Writes all of `data` at the file's position; *done says how much of it went out, even on failure.
 */
static GwStatus write_out(GwFile *file, const char *data, size_t size, size_t *done) {
  for (*done = 0; *done < size;) {
    size_t part = size - *done < CALL_BYTES_MAX ? size - *done : CALL_BYTES_MAX;
    ssize_t n = write(file->descriptor, data + *done, part);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && file->direct) { /* larger blocks, or a part went out */
      leave_direct(file);
      continue;
    }
    if (n <= 0) return gw__os_fail(n < 0 ? errno : EIO, file->path, "write");
    *done += (size_t)n;
  }
  return GW_OK;
}

static GwStatus earlier_failure(const GwFile *file) {
  if (file->failure == GW_OK) return GW_OK;
  return gw_fail(file->failure, "%s: cannot write: %s before; write the file anew", file->path,
                 gw_status_text(file->failure));
}

static GwStatus flush(GwFile *file) {
  GW_TRY(earlier_failure(file));
  size_t done;
  if (file->used % BUFFER_BYTES != 0) leave_direct(file);
  file->failure = write_out(file, file->buffer, file->used, &done);
  file->used = 0;
  return file->failure;
}

static GwStatus write_buffered(GwFile *file, const char *data, size_t size) {
  GW_TRY(earlier_failure(file));
  for (size_t room; file->direct && size >= (room = BUFFER_BYTES - file->used); size -= room) {
    memcpy(file->buffer + file->used, data, room);
    file->used += room;
    data += room;
    GW_TRY(flush(file));
  }
  if (size > BUFFER_BYTES - file->used) GW_TRY(flush(file));
  if (size >= BUFFER_BYTES) {
    size_t done;
    file->failure = write_out(file, data, size, &done);
    return file->failure;
  }
  memcpy(file->buffer + file->used, data, size);
  file->used += size;
  return GW_OK;
}

/* A journal's write: whole, or taken back so that no torn line stays. */
static GwStatus write_through(GwFile *file, const char *data, size_t size) {
  GW_TRY(earlier_failure(file));
  size_t done;
  GwStatus status = write_out(file, data, size, &done);
  if (status == GW_OK || done == 0) return status;
  off_t end = lseek(file->descriptor, 0, SEEK_END);
  if (end < (off_t)done || ftruncate(file->descriptor, end - (off_t)done) != 0)
    file->failure = status;
  return status;
}

static GwStatus disk_write(GwFs *fs, GwFile *file, const void *data, size_t size) {
  (void)fs;
  if (size == 0) return earlier_failure(file);
  return file->buffer ? write_buffered(file, data, size) : write_through(file, data, size);
}

/* fsync says EINVAL where there is nothing to make durable (a pipe, a terminal, a directory of some
 * network file systems). */
static int sync_descriptor(int descriptor) {
  while (fsync(descriptor) != 0)
    if (errno != EINTR) return errno == EINVAL ? 0 : errno;
  return 0;
}

static GwStatus disk_sync_file(GwFs *fs, GwFile *file) {
  (void)fs;
  GW_TRY(earlier_failure(file));
  if (file->buffer) GW_TRY(flush(file));
  int error = sync_descriptor(file->descriptor);
  /* The kernel may drop the pages it could not write, so a second fsync would prove nothing. */
  if (error) file->failure = gw__os_fail(error, file->path, "sync");
  return file->failure;
}

static GwStatus disk_size(GwFs *fs, GwFile *file, uint64_t *out) {
  (void)fs;
  if (file->buffer) GW_TRY(flush(file));
  struct stat info;
  if (fstat(file->descriptor, &info) != 0) return gw__os_fail(errno, file->path, "stat");
  *out = (uint64_t)info.st_size;
  return GW_OK;
}

static GwStatus disk_truncate(GwFs *fs, GwFile *file, uint64_t size) {
  (void)fs;
  if (file->buffer) GW_TRY(flush(file));
  leave_direct(file);
  if (ftruncate(file->descriptor, (off_t)size) != 0)
    return gw__os_fail(errno, file->path, "truncate");
  if (lseek(file->descriptor, (off_t)size, SEEK_SET) < 0)
    return gw__os_fail(errno, file->path, "seek");
  return GW_OK;
}

static void disk_close(GwFs *fs, GwFile *file) {
  (void)fs;
  if (!file) return;
  GwStatus status = file->buffer && file->failure == GW_OK ? flush(file) : GW_OK;
  if (status != GW_OK) gw_log(GW_LOG_WARNING, "%s", gw_error_message());
  close(file->descriptor);
  free(file->buffer);
  free(file);
}

static GwStatus disk_make_dir(GwFs *fs, const char *path) {
  (void)fs;
  if (mkdir(path, 0777) == 0) return GW_OK;
  int error = errno;
  struct stat info;
  if (error == EEXIST && stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
    return gw_fail(GW_INVALID, "%s: cannot create the directory: a file has this name; remove it",
                   path);
  return gw__os_fail(error, path, "create the directory");
}

static GwStatus disk_rename(GwFs *fs, const char *from, const char *to) {
  (void)fs;
  if (rename(from, to) == 0) return GW_OK;
  int error = errno;
  char action[512];
  snprintf(action, sizeof action, "rename to %.480s", to);
  return gw__os_fail(error, from, action);
}

static GwStatus disk_remove(GwFs *fs, const char *path) {
  (void)fs;
  return remove(path) == 0 ? GW_OK : gw__os_fail(errno, path, "remove");
}

static GwStatus disk_sync_dir(GwFs *fs, const char *path) {
  (void)fs;
  int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return gw__os_fail(errno, path, "open the directory");
  int error = sync_descriptor(descriptor);
  close(descriptor);
  return error ? gw__os_fail(error, path, "sync the directory") : GW_OK;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry) {
  return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool entry_is_dir(const char *path, const struct dirent *entry) {
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  char full[GW_PATH_MAX];
  struct stat info;
  return gw_fs_path(full, "%s/%s", path, entry->d_name) == GW_OK && lstat(full, &info) == 0 &&
         S_ISDIR(info.st_mode);
}

static GwStatus disk_list(GwFs *fs, const char *path,
                          GwStatus (*visit)(void *context, const char *name, bool is_dir),
                          void *context) {
  (void)fs;
  struct dirent **entries = NULL;
  int count = scandir(path, &entries, not_dots, by_name);
  if (count < 0) return gw__os_fail(errno, path, "list");
  GwStatus status = GW_OK;
  for (int i = 0; i < count; i++) {
    if (status == GW_OK)
      status = visit(context, entries[i]->d_name, entry_is_dir(path, entries[i]));
    free(entries[i]);
  }
  free(entries);
  return status;
}

int64_t gw_file_changed_ns(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0) return 0;
  return (int64_t)info.st_mtim.tv_sec * 1000000000 + (int64_t)info.st_mtim.tv_nsec;
}

static bool disk_exists(GwFs *fs, const char *path) {
  (void)fs;
  return access(path, F_OK) == 0;
}

GwFs *gw_fs_disk(void) {
  static GwFs disk = {
      .open = disk_open,
      .read_at = disk_read_at,
      .write = disk_write,
      .sync_file = disk_sync_file,
      .size = disk_size,
      .truncate = disk_truncate,
      .close = disk_close,
      .make_dir = disk_make_dir,
      .rename = disk_rename,
      .remove = disk_remove,
      .sync_dir = disk_sync_dir,
      .list = disk_list,
      .exists = disk_exists,
  };
  return &disk;
}
