/* Between nodes: messages from process to process, by MPI. Nothing here waits but gw__link_open,
 * where all processes meet, and gw__link_close: a message is started in a slot and asked for until
 * it is done, so that a lost peer never leaves us where nothing can be done about it.
 *
 * link_mpi.c, or link_absent.c in a build without MPI: then opening is GW_UNSUPPORTED and nothing
 * else may be called but gw__link_library. */
#ifndef GW_LINK_H
#define GW_LINK_H

#include "base/base.h"

enum { GW_LINK_HOST_MAX = 256, GW_LINK_MESSAGE_MAX = 1 << 20 }; /* bytes */

typedef struct GwLink GwLink;

GwStatus gw__link_open(GwLink **out);
/* Ends MPI when `clean`; all processes must then do so. NULL is fine. */
GwStatus gw__link_close(GwLink *link, bool clean);

int32_t gw__link_rank(const GwLink *link);
int32_t gw__link_ranks(const GwLink *link);
GwStatus gw__link_host(const GwLink *link, char out[GW_LINK_HOST_MAX]);
const char *gw__link_library(void); /* gw_world_mpi_library */

/* Starts a message in a free slot, of which there are 2 ranks + 6. Messages from a rank to another
 * with the same tag arrive in order; the receiver asks for exactly as many bytes as are sent. Long
 * data goes in messages of GW_LINK_MESSAGE_MAX. The bytes stay where they are until gw__link_test
 * says `done`. */
GwStatus gw__link_send(GwLink *link, int32_t slot, int32_t peer, int tag, const void *data,
                       size_t bytes);
GwStatus gw__link_receive(GwLink *link, int32_t slot, int32_t peer, int tag, void *data,
                          size_t bytes);
/* Likewise: all[r * bytes ...] becomes what rank r gave. For setup. */
GwStatus gw__link_gather(GwLink *link, int32_t slot, const void *mine, size_t bytes, void *all);
GwStatus gw__link_test(GwLink *link, int32_t slot, bool *done);

#endif
