/* What the files of the world share. */
#ifndef GW_WORLD_PARTS_H
#define GW_WORLD_PARTS_H

#include "base/arena.h"
#include "comm/link.h"
#include "comm/node.h"
#include "comm/world.h"

/* A range of elements that goes to or comes from another node: its owner, a rank, and the rank at
 * the other end. */
typedef struct {
  int32_t owner, peer;
} GwRoute;

typedef struct {
  int32_t count;
  GwRoute *route;
} GwRoutes;

enum { GW_WORLD_BUFFERS = 4 }; /* of GW_LINK_MESSAGE_MAX bytes */
enum { GW_TAG_GATHER, GW_TAG_REDUCE, GW_TAG_SPREAD, GW_TAG_PASS };

typedef struct GwVerdict GwVerdict;

struct GwWorld {
  GwPlace place;
  GwArena arena;
  GwNode node;
  GwLink *link;        /* NULL: without MPI */
  int32_t *order;      /* [ranks]: by node, ascending within */
  int32_t *node_first; /* [nodes + 1]: where in it each node begins */
  int32_t *position;   /* [ranks]: where in it each rank is */
  /* In the order of all nodes' distance, so that what is sent first is also received first. */
  GwRoutes own_out, own_in;       /* this rank's range and its agent at each other node */
  GwRoutes others_out, others_in; /* the ranges whose agent this rank is, and their owners */
  char *buffers;                  /* [GW_WORLD_BUFFERS]; NULL with one node */

  char *slots; /* of gathers: two sets of [ranks] in `order` */
  uint32_t turn;
  GwVerdict *verdicts; /* [ranks] */
  uint64_t deadline_ns;

  int32_t memories; /* made so far */
  struct GwWorldMemory *memory;
  size_t memory_capacity;
  _Atomic int32_t unwatched;
};

/* The routes of a world whose order is known. */
GwStatus gw__world_routes(GwWorld *world);

#endif
