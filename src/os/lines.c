/* One buffer, moved to its beginning when it is read into. */
#include "os/lines.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/grow.h"
#include "os/os_error.h"

static bool is_readable(int descriptor) {
  struct pollfd set = {.fd = descriptor, .events = POLLIN};
  return poll(&set, 1, 0) > 0;
}

GwStatus gw_lines_read(GwLines *l) {
  if (l->taken > 0) memmove(l->data, l->data + l->taken, l->used - l->taken);
  l->used -= l->taken;
  l->taken = 0;
  while (!l->ended && is_readable(l->descriptor)) {
    if (l->used > GW_LINE_MAX && !memchr(l->data, '\n', l->used)) {
      l->ended = true;
      return gw_fail(GW_CORRUPT, "a line of more than %d bytes", GW_LINE_MAX);
    }
    if (!GW_GROW(l->data, l->capacity, l->used + 4096)) return gw_fail(GW_MEMORY, "no memory");
    ssize_t got = read(l->descriptor, l->data + l->used, l->capacity - l->used);
    if (got > 0)
      l->used += (size_t)got;
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
      l->ended = true;
  }
  return GW_OK;
}

char *gw_lines_next(GwLines *l) {
  if (l->used == l->taken) return NULL;
  char *line = l->data + l->taken, *end = memchr(line, '\n', l->used - l->taken);
  if (!end) return NULL;
  *end = 0;
  l->taken = (size_t)(end - l->data) + 1;
  return line;
}

void gw_lines_deinit(GwLines *l) {
  free(l->data);
  *l = (GwLines){.descriptor = -1};
}

/* Sockets say so when nobody reads; a pipe raises a signal, which its user ignores. */
static ssize_t put(int descriptor, const char *data, size_t bytes) {
  ssize_t done = send(descriptor, data, bytes, MSG_NOSIGNAL);
  return done < 0 && errno == ENOTSOCK ? write(descriptor, data, bytes) : done;
}

GwStatus gw_line_write(int descriptor, const char *format, ...) {
  char *line;
  va_list list;
  va_start(list, format);
  int length = vasprintf(&line, format, list);
  va_end(list);
  if (length < 0) return gw_fail(GW_MEMORY, "no memory for a line");
  line[length] = '\n'; /* in place of the 0: it is no string any more */
  GwStatus status = GW_OK;
  for (size_t done = 0, bytes = (size_t)length + 1; done < bytes && status == GW_OK;) {
    ssize_t some = put(descriptor, line + done, bytes - done);
    if (some >= 0)
      done += (size_t)some;
    else if (errno != EINTR)
      status = gw__os_fail(errno, "another process", "write to it");
  }
  free(line);
  return status;
}
