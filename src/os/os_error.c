/* The errno values for which the user can do something each have a row; all others are told in the
 * C library's words. */
#include "os/os_error.h"

#include <errno.h>
#include <string.h>

static const struct {
  int error;
  GwStatus status;
  const char *text;
} rows[] = {
    {ENOENT, GW_NOT_FOUND, "no such file or directory; check the path"},
    {EEXIST, GW_EXISTS, "it already exists; choose another name or remove it"},
    {ENOSPC, GW_NO_SPACE, "no space left on the disk; free some or choose another disk"},
    {EDQUOT, GW_NO_SPACE, "the disk quota is used up; free some space or choose another disk"},
    {EACCES, GW_IO, "permission denied; check who owns it and its mode"},
    {EPERM, GW_IO, "not permitted; check who owns it and its mode"},
    {EROFS, GW_IO, "the file system is read-only; choose another place"},
    {EISDIR, GW_IO, "it is a directory; name a file"},
    {ENOTDIR, GW_IO, "a part of the path is not a directory; check the path"},
    {EMFILE, GW_IO, "too many open files; raise the limit with ulimit -n"},
    {ENOMEM, GW_MEMORY, "out of memory"},
    {EIO, GW_IO, "the device reports an error; check the disk (dmesg)"},
};

GwStatus gw__os_fail(int error, const char *path, const char *action) {
  for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
    if (rows[i].error == error)
      return gw_fail(rows[i].status, "%s: cannot %s: %s", path, action, rows[i].text);
  const char *reason = strerrordesc_np(error);
  return gw_fail(GW_IO, "%s: cannot %s: %s", path, action, reason ? reason : "unknown error");
}
