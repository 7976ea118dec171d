/* From errno to a status with a message: one table for all of os/. */
#ifndef GW_OS_ERROR_H
#define GW_OS_ERROR_H

#include "base/base.h"

/* Fails with "PATH: cannot ACTION: reason; remedy", the status chosen by `error` (an errno). */
GwStatus gw__os_fail(int error, const char *path, const char *action);

#endif
