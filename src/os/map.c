/* A whole file mapped read-only. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fs.h"
#include "os/os_error.h"

enum { AROUND_BYTES = 1 << 16 }; /* Linux maps up to this much on one fault */

static GwStatus map_descriptor(int descriptor, const char *path, GwMap *out) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return gw__os_fail(errno, path, "stat");
  if (!S_ISREG(info.st_mode))
    return gw_fail(GW_INVALID, "%s: cannot map: it is not a regular file; name one", path);
  size_t size = (size_t)info.st_size;
  void *data = NULL; /* an empty file has nothing to map */
  if (size > 0) data = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (data == MAP_FAILED) return gw__os_fail(errno, path, "map");
  *out = (GwMap){data, size};
  return GW_OK;
}

GwStatus gw_map_open(const char *path, GwMap *out) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return gw__os_fail(errno, path, "open");
  GwStatus status = map_descriptor(descriptor, path, out);
  close(descriptor);
  return status;
}

void gw_map_release(const GwMap *map, size_t offset, size_t size) {
  GW_ASSERT(offset <= map->size && size <= map->size - offset);
  size_t end = gw_align_up(offset + size, AROUND_BYTES);
  if (end > map->size) end = map->size;
  offset -= offset % AROUND_BYTES;
  if (offset < end) madvise((void *)(uintptr_t)(map->data + offset), end - offset, MADV_DONTNEED);
}

void gw_map_close(GwMap *map) {
  if (map->size > 0) munmap((void *)(uintptr_t)map->data, map->size);
  *map = (GwMap){0};
}
