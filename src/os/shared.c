/* POSIX shared memory, and futexes for waiting in it. */
#include "os/shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/os_error.h"

#define FOLDER "/dev/shm"

static GwStatus path_of(const char *name, char out[GW_SHARED_NAME_MAX + 2]) {
  GW_ASSERT(name[0] != 0 && !strchr(name, '/'));
  if (strlen(name) >= GW_SHARED_NAME_MAX)
    return gw_fail(GW_INVALID, "the name of a shared memory area is too long: %s", name);
  snprintf(out, GW_SHARED_NAME_MAX + 2, "/%s", name);
  return GW_OK;
}

static GwStatus map(int descriptor, const char *path, size_t bytes, GwShared *out) {
  void *data = bytes == 0 ? MAP_FAILED
                          : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                                 descriptor, 0);
  if (bytes == 0) return gw_fail(GW_CORRUPT, FOLDER "%s: an empty shared memory area", path);
  if (data == MAP_FAILED) return gw__os_fail(errno, path, "map the shared memory");
  *out = (GwShared){data, bytes};
  return GW_OK;
}

/* Growing the file by taking memory leaves it empty when there is too little. */
static GwStatus take(int descriptor, const char *path, size_t offset, size_t bytes) {
  int error;
  do error = posix_fallocate(descriptor, (off_t)offset, (off_t)bytes);
  while (error == EINTR);
  if (error == 0) return GW_OK;
  if (error != ENOSPC) return gw__os_fail(error, path, "reserve shared memory");
  struct statvfs room = {0};
  (void)statvfs(FOLDER, &room);
  return gw_fail(GW_MEMORY,
                 "%zu MiB of shared memory are needed at once, and " FOLDER " has %llu of %llu MiB "
                 "left; enlarge it (mount -o remount,size=...), or use fewer ranks here",
                 (bytes >> 20) + 1, (unsigned long long)room.f_bavail * room.f_frsize >> 20,
                 (unsigned long long)room.f_blocks * room.f_frsize >> 20);
}

static GwStatus create(const char *name, size_t bytes, bool whole, GwShared *out) {
  char path[GW_SHARED_NAME_MAX + 2];
  GW_ASSERT(bytes > 0);
  GW_TRY(path_of(name, path));
  shm_unlink(path);
  int descriptor = shm_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return gw__os_fail(errno, path, "make the shared memory");
  GwStatus status = GW_OK;
  if (whole)
    status = take(descriptor, path, 0, bytes);
  else if (ftruncate(descriptor, (off_t)bytes) != 0)
    status = gw__os_fail(errno, path, "size the shared memory");
  if (status == GW_OK) status = map(descriptor, path, bytes, out);
  close(descriptor);
  if (status != GW_OK) shm_unlink(path);
  return status;
}

GwStatus gw_shared_create(const char *name, size_t bytes, GwShared *out) {
  return create(name, bytes, false, out);
}

GwStatus gw_shared_create_whole(const char *name, size_t bytes, GwShared *out) {
  return create(name, bytes, true, out);
}

GwStatus gw_shared_private(size_t bytes, GwShared *out) {
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return gw_fail(GW_MEMORY, "no memory for %zu bytes", bytes);
  *out = (GwShared){data, bytes};
  return GW_OK;
}

GwStatus gw_shared_open(const char *name, GwShared *out) {
  char path[GW_SHARED_NAME_MAX + 2];
  struct stat stat;
  GW_TRY(path_of(name, path));
  int descriptor = shm_open(path, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return gw__os_fail(errno, path, "open the shared memory");
  GwStatus status = fstat(descriptor, &stat) == 0
                        ? map(descriptor, path, (size_t)stat.st_size, out)
                        : gw__os_fail(errno, path, "measure the shared memory");
  close(descriptor);
  return status;
}

void gw_shared_close(GwShared *shared) {
  if (shared->data) munmap(shared->data, shared->bytes);
  *shared = (GwShared){0};
}

void gw_shared_remove(const char *name) {
  char path[GW_SHARED_NAME_MAX + 2];
  if (path_of(name, path) == GW_OK) shm_unlink(path);
}

GwStatus gw_shared_list(const char *prefix, GwStatus (*visit)(void *context, const char *name),
                        void *context) {
  DIR *folder = opendir(FOLDER);
  if (!folder) return gw__os_fail(errno, FOLDER, "list");
  GwStatus status = GW_OK;
  for (struct dirent *entry; status == GW_OK && (entry = readdir(folder));)
    if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) status = visit(context, entry->d_name);
  closedir(folder);
  return status;
}

GwStatus gw_shared_reserve(const GwShared *shared, const char *name, size_t offset, size_t bytes) {
  char path[GW_SHARED_NAME_MAX + 2];
  GW_ASSERT(offset + bytes <= shared->bytes);
  GW_TRY(path_of(name, path));
  if (bytes == 0) return GW_OK;
  int descriptor = shm_open(path, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return gw__os_fail(errno, path, "open the shared memory");
  GwStatus status = take(descriptor, path, offset, bytes);
  close(descriptor);
  return status;
}

void gw_shared_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
  struct timespec most = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  syscall(SYS_futex, word, FUTEX_WAIT, expected, &most, NULL, 0);
}

void gw_shared_wake(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}
