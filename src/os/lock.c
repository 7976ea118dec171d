/* One process at a time: flock, which the kernel gives back however the process ends. The file
 * stays, since removing it would let two processes lock two files of the same name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fs.h"
#include "os/os_error.h"

enum { LOOKS = 5, LOOK_NS = 5000000 };

static GwStatus busy(const char *path, int descriptor) {
  char text[24] = "";
  if (pread(descriptor, text, sizeof text - 1, 0) < 0) text[0] = 0;
  long owner = strtol(text, NULL, 10);
  if (owner <= 0)
    return gw_fail(GW_BUSY, "%s: locked by another process; wait until it ends", path);
  return gw_fail(GW_BUSY, "%s: locked by process %ld; wait until it ends, or stop it", path, owner);
}

/* The number only serves the other process's message, so a full disk need not stop us. */
static void write_owner(int descriptor) {
  char text[24];
  int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, text, (size_t)length, 0) != length)
    (void)!ftruncate(descriptor, 0);
}

/* Who only looks (gw_lock_is_held) has it for an instant; that is waited for. */
static int take(int descriptor) {
  for (int tries = 0; flock(descriptor, LOCK_EX | LOCK_NB) != 0;) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || ++tries == LOOKS) return errno;
    gw_clock_sleep(LOOK_NS);
  }
  return 0;
}

GwStatus gw_lock_open(const char *path, GwLock *out) {
  int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return gw__os_fail(errno, path, "open the lock");
  int error = take(descriptor);
  if (error) {
    GwStatus status =
        error == EWOULDBLOCK ? busy(path, descriptor) : gw__os_fail(error, path, "lock");
    close(descriptor);
    return status;
  }
  write_owner(descriptor);
  *out = (GwLock){descriptor};
  return GW_OK;
}

void gw_lock_close(GwLock *lock) {
  if (lock->descriptor < 0) return;
  (void)!ftruncate(lock->descriptor, 0); /* nobody owns it now */
  close(lock->descriptor);
  lock->descriptor = -1;
}

bool gw_lock_is_held(const char *path) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  bool held = flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(descriptor);
  return held;
}
