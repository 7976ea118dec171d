/* Copying what is not read again soon. */
#ifndef GW_STREAM_COPY_H
#define GW_STREAM_COPY_H

#include "base/base.h"

/* memcpy that writes past the caches, where the processor can: what it writes is not read from
 * memory first, and pushes nothing else out. For copies larger than a cache in all, block by
 * block. */
void gw_stream_copy(void *to, const void *from, size_t bytes);
/* The copies until now are seen before what this thread writes from here on. */
void gw_stream_copy_end(void);

#endif
