/* Looking around on the machine: programs on PATH, libraries in the usual folders, the processor's
 * name. Nothing is executed or loaded. */
#ifndef GW_PROBE_H
#define GW_PROBE_H

#include "base/base.h"

/* The path of the executable `name`, searched on PATH and then in the places where compute
 * software is usually installed; false when there is none. `out` is written on success only. */
bool gw_probe_program(const char *name, char *out, size_t size);
/* The path of the shared library `name` ("libnccl.so.2") in the usual folders. */
bool gw_probe_library(const char *name, char *out, size_t size);
/* The value behind "key :" in a text file of the kernel, such as /proc/cpuinfo; false when the file
 * or the key is absent. */
bool gw_probe_field(const char *path, const char *key, char *out, size_t size);

/* Memory that new work can take without swapping, bytes; 0 when the kernel does not say. */
uint64_t gw_probe_memory_available_bytes(void);

#endif
