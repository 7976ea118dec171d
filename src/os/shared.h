/* Memory that processes of one machine share, by name. A named area outlives its processes until it
 * is removed: that is what snapshots need, and what leftovers of a crash are. */
#ifndef GW_SHARED_H
#define GW_SHARED_H

#include <stdatomic.h>

#include "base/base.h"

enum { GW_SHARED_NAME_MAX = 200 };

typedef struct {
  void *data; /* page-aligned; NULL: none */
  size_t bytes;
} GwShared;

/* A new area of zeros, whatever had the name before (processes that have that keep it). Its pages
 * take memory when they are reserved or first written. `name`: letters, digits, '-', '_', '.'. */
GwStatus gw_shared_create(const char *name, size_t bytes, GwShared *out);
/* The same with all of its memory taken, or GW_MEMORY as of gw_shared_reserve. Who opens the name
 * meanwhile finds it empty, GW_CORRUPT, and never memory that is not there. */
GwStatus gw_shared_create_whole(const char *name, size_t bytes, GwShared *out);
/* An area of zeros without a name, for this process alone. */
GwStatus gw_shared_private(size_t bytes, GwShared *out);
/* GW_NOT_FOUND when nothing has the name. */
GwStatus gw_shared_open(const char *name, GwShared *out);
void gw_shared_close(GwShared *shared); /* the area stays; a zeroed one is fine */
/* Takes the name away: the memory goes when the last process has closed it. Absent is fine. */
void gw_shared_remove(const char *name);
/* Calls visit for every name that begins with `prefix`. */
GwStatus gw_shared_list(const char *prefix, GwStatus (*visit)(void *context, const char *name),
                        void *context);
/* Takes the memory of [offset, offset + bytes) now. Without it a write to an area that the machine
 * has no room for would end the process. GW_MEMORY says how much shared memory there is. */
GwStatus gw_shared_reserve(const GwShared *shared, const char *name, size_t offset, size_t bytes);

/* Sleeps until *word is no longer `expected`, somebody wakes it, or the time is over. */
void gw_shared_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void gw_shared_wake(_Atomic uint32_t *word); /* all who wait for it */

#endif
