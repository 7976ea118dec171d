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

/* A part of a range that fits in a message. */
typedef struct {
  int32_t peer;
  int64_t begin, count; /* elements */
} GwPiece;

/* The pieces of all routes, one after the other, each range from its end to its beginning. */
typedef struct {
  const GwRoutes *routes;
  const int64_t *first;
  int64_t most; /* elements of a piece */
  int32_t at;
  int64_t done; /* of the route at hand */
} GwPieces;

typedef struct {
  bool busy, done; /* a message is under way; and has come */
  GwPiece piece;
} GwExchangeSlot;

enum { GW_WORLD_BUFFERS = 4 }; /* of GW_LINK_MESSAGE_MAX bytes */
enum { GW_TAG_GATHER, GW_TAG_REDUCE, GW_TAG_SPREAD, GW_TAG_PASS };

typedef struct GwVerdict GwVerdict;

/* All that is sent and received in one go, some messages at a time. */
typedef struct GwExchange GwExchange;
struct GwExchange {
  GwWorld *world; /* NULL: there is none */
  GwPieces out, in;
  GwExchangeSlot slot[GW_WORLD_BUFFERS]; /* even ones send */
  int tag;
  size_t element_size;
  /* Whether a piece may be sent by now, and one that has arrived be taken up. NULL: always. */
  bool (*allowed)(const GwExchange *exchange, const GwPiece *piece);
  bool (*mine)(const GwExchange *exchange, const GwPiece *piece);
  /* Where the bytes to send are, where to receive some, and what to do with them then (or NULL);
   * `buffer` has room for a message. */
  void *(*outgoing)(const GwExchange *exchange, const GwPiece *piece, void *buffer);
  void *(*incoming)(const GwExchange *exchange, const GwPiece *piece, void *buffer);
  void (*arrived)(const GwExchange *exchange, const GwPiece *piece, const void *buffer);
  int64_t *const *sums; /* to reduce */
  char *data;           /* to spread, or this rank's to pass */
  void *const *theirs;  /* to pass */
};

enum { GW_FINAL_STRIDE = 8 }; /* words between two ranks', so that each has a cache line */

struct GwWorld {
  GwPlace place;
  GwArena arena;
  GwNode node;
  GwLink *link;        /* NULL: without MPI */
  int32_t *order;      /* [ranks]: by node, ascending within */
  int32_t *node_first; /* [nodes + 1]: where in it each node begins */
  int32_t *position;   /* [ranks]: where in it each rank is */
  /* In the order of all nodes' distance, so that what is sent first is also received first. */
  GwRoutes own_out, own_in;    /* this rank's range and its agent at each other node */
  GwRoutes others_in;          /* the ranges whose agent this rank is, and their owners */
  GwRoutes sums_out;           /* the same, the highest owner first */
  GwExchange reduce;           /* under way from gw_world_reduce_early on */
  _Atomic int64_t *final_from; /* [node_ranks], strided: each one's sums from here on are final */
  char *buffers;               /* [GW_WORLD_BUFFERS]; NULL with one node */

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
