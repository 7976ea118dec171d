/* The ranks of one node: how they find each other in shared memory, and their barrier. */
#ifndef GW_NODE_H
#define GW_NODE_H

#include <stdatomic.h>

#include "os/shared.h"

/* A rank that comes says hello with a number of its own; the founder (node rank 0) answers with the
 * same, which nobody does in what an earlier job left; then the rank stays. */
typedef struct {
  _Alignas(GW_ALIGN) _Atomic uint64_t hello;
  _Atomic uint64_t answer;
  _Atomic uint32_t stays;
} GwNodeRow;

typedef struct {
  _Alignas(GW_ALIGN) _Atomic uint64_t magic;   /* the last that the founder writes */
  _Atomic uint32_t complete;                   /* all are here, and the name may go */
  _Alignas(GW_ALIGN) _Atomic uint32_t arrived; /* at the barrier of this generation */
  _Alignas(GW_ALIGN) _Atomic uint32_t generation;
  _Alignas(GW_ALIGN) GwNodeRow row[]; /* [ranks], then the extra bytes */
} GwNodePage;

typedef struct {
  char name[GW_SHARED_NAME_MAX];
  int32_t rank, ranks; /* within the node */
  GwShared area;
  GwNodePage *page; /* NULL in a node of one */
  void *extra;
  int spins; /* before a wait sleeps; 0 where a rank may be waiting for the processor */
  _Atomic int32_t *waiting;
} GwNode;

/* Each begins with name, rank, ranks and waiting filled in, and gives every rank the same `extra`
 * zeroed bytes. With nothing but the name in common, until the monotonic time `deadline_ns`: */
GwStatus gw__node_meet(GwNode *node, size_t extra, uint64_t deadline_ns);
/* Where the ranks can tell each other: the founder founds, then the others join, then the founder
 * removes the name (gw_shared_remove). */
GwStatus gw__node_found(GwNode *node, size_t extra);
GwStatus gw__node_join(GwNode *node, size_t extra);
void gw__node_leave(GwNode *node);

void gw__node_barrier(GwNode *node);

#endif
