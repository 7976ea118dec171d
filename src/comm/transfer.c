/* Reduce and spread. Within a node ranks read each other's memory. Between nodes each range has an
 * agent at every other node: the ranks of a node share that work by the number of the owner. To
 * reduce, the agent adds up what its node has and sends it to the owner; to spread, the owner sends
 * its range to the agent.
 *
 * Two messages each way are under way at a time. All ranks go through the nodes by distance, sends
 * to the nodes behind, receives from those before: so of all messages not yet done the nearest
 * always has both its sides waiting for it, and nothing can lock up. */
#include <stdlib.h>
#include <string.h>

#include "comm/patience.h"
#include "comm/world_parts.h"

enum { RUN = 64, BLOCK = 4096 /* elements: 32 KiB stay in the first cache */ };

/* ---- routes ---- */

static int32_t node_ranks(const GwWorld *world, int32_t node) {
  return world->node_first[node + 1] - world->node_first[node];
}

static int32_t agent_of(const GwWorld *world, int32_t node, int32_t owner) {
  return world->order[world->node_first[node] + owner % node_ranks(world, node)];
}

static void add_own(const GwWorld *world, int32_t node, GwRoutes *routes) {
  int32_t rank = world->place.rank;
  routes->route[routes->count++] = (GwRoute){rank, agent_of(world, node, rank)};
}

static void add_others(const GwWorld *world, int32_t node, GwRoutes *routes) {
  for (int32_t i = 0; i < node_ranks(world, node); i++) {
    int32_t owner = world->order[world->node_first[node] + i];
    if (agent_of(world, world->place.node, owner) == world->place.rank)
      routes->route[routes->count++] = (GwRoute){owner, owner};
  }
}

GwStatus gw__world_routes(GwWorld *world) {
  const GwPlace *place = &world->place;
  GwRoutes *all[] = {&world->own_out, &world->own_in, &world->others_out, &world->others_in};
  for (size_t i = 0; i < GW_COUNT_OF(all); i++) {
    all[i]->route = GW_ARENA_ARRAY(&world->arena, GwRoute, place->ranks);
    if (!all[i]->route) return gw_fail(GW_MEMORY, "no memory for %d ranks", place->ranks);
  }
  for (int32_t distance = 1; distance < place->nodes; distance++) {
    int32_t behind = (place->node + distance) % place->nodes;
    int32_t before = (place->node - distance + place->nodes) % place->nodes;
    add_own(world, behind, &world->own_out);
    add_own(world, before, &world->own_in);
    add_others(world, behind, &world->others_out);
    add_others(world, before, &world->others_in);
  }
  return GW_OK;
}

/* ---- messages ---- */

/* A part of a range that fits in a message. */
typedef struct {
  int32_t peer;
  int64_t begin, count; /* elements */
} Piece;

/* The pieces of all routes, one after the other. */
typedef struct {
  const GwRoutes *routes;
  const int64_t *first;
  int64_t most; /* elements of a piece */
  int32_t at;
  int64_t done; /* of the route at hand */
} Pieces;

static bool pieces_next(Pieces *pieces, Piece *out) {
  for (; pieces->at < pieces->routes->count; pieces->at++, pieces->done = 0) {
    const GwRoute *route = &pieces->routes->route[pieces->at];
    int64_t begin = pieces->first[route->owner] + pieces->done;
    int64_t left = pieces->first[route->owner + 1] - begin;
    GW_ASSERT(left >= 0);
    if (left == 0) continue;
    *out = (Piece){route->peer, begin, gw_min_i64(left, pieces->most)};
    pieces->done += out->count;
    return true;
  }
  return false;
}

typedef struct Exchange Exchange;
struct Exchange {
  GwWorld *world;
  Pieces out, in;
  int tag;
  size_t element_size;
  /* Where the bytes to send are, where to receive some, and what to do with them then (or NULL);
   * `buffer` has room for a message. */
  void *(*outgoing)(const Exchange *exchange, const Piece *piece, void *buffer);
  void *(*incoming)(const Exchange *exchange, const Piece *piece, void *buffer);
  void (*arrived)(const Exchange *exchange, const Piece *piece, const void *buffer);
  int64_t *const *sums; /* to reduce */
  char *data;           /* to spread, or this rank's to pass */
  void *const *theirs;  /* to pass */
};

typedef struct {
  bool busy;
  Piece piece;
} Slot;

/* Ends the slot's message, if it is done, and starts the next one. */
static GwStatus slot_advance(Exchange *exchange, int32_t index, Slot *slot, bool *moved) {
  GwLink *link = exchange->world->link;
  bool sends = index % 2 == 0;
  char *buffer = exchange->world->buffers + (size_t)index * GW_LINK_MESSAGE_MAX;
  if (slot->busy) {
    bool done;
    GW_TRY(gw__link_test(link, index, &done));
    if (!done) return GW_OK;
    if (!sends && exchange->arrived) exchange->arrived(exchange, &slot->piece, buffer);
    slot->busy = false;
    *moved = true;
  }
  const Piece *piece = &slot->piece;
  if (!pieces_next(sends ? &exchange->out : &exchange->in, &slot->piece)) return GW_OK;
  size_t bytes = (size_t)piece->count * exchange->element_size;
  slot->busy = *moved = true;
  return sends ? gw__link_send(link, index, piece->peer, exchange->tag,
                               exchange->outgoing(exchange, piece, buffer), bytes)
               : gw__link_receive(link, index, piece->peer, exchange->tag,
                                  exchange->incoming(exchange, piece, buffer), bytes);
}

static GwStatus exchange_run(Exchange *exchange) {
  Slot slots[GW_WORLD_BUFFERS] = {0};
  GwPatience patience = {.waiting = exchange->world->node.waiting};
  GwStatus status = GW_OK;
  for (bool busy = true; busy && status == GW_OK;) {
    bool moved = false;
    busy = false;
    for (int32_t i = 0; i < GW_WORLD_BUFFERS && status == GW_OK; i++) {
      status = slot_advance(exchange, i, &slots[i], &moved);
      busy = busy || slots[i].busy;
    }
    if (moved)
      gw__patience_end(&patience);
    else if (busy)
      gw__patience_pause(&patience);
  }
  gw__patience_end(&patience);
  return status;
}

/* ---- reduce ---- */

/* Unsigned: sums wrap. Runs of a constant length are what the compiler makes vectors of. */
static void add(uint64_t *restrict to, const uint64_t *restrict from, int64_t count) {
  int64_t i = 0;
  for (; i + RUN <= count; i += RUN)
    for (int64_t j = 0; j < RUN; j++) to[i + j] += from[i + j];
  for (; i < count; i++) to[i] += from[i];
}

/* The node's sum of elements [begin, begin + count) into `to`, which holds those of its rank `base`
 * already. */
static void add_node(const GwWorld *world, int64_t *const *sums, int64_t begin, int64_t count,
                     int32_t base, int64_t *to) {
  for (int64_t done = 0; done < count; done += BLOCK)
    for (int32_t i = 0; i < world->place.node_ranks; i++)
      if (i != base)
        add((uint64_t *)to + done, (const uint64_t *)sums[i] + begin + done,
            gw_min_i64(BLOCK, count - done));
}

static void *sum_outgoing(const Exchange *exchange, const Piece *piece, void *buffer) {
  const GwWorld *world = exchange->world;
  int64_t *mine = exchange->sums[world->place.node_rank] + piece->begin;
  if (world->place.node_ranks == 1) return mine;
  memcpy(buffer, mine, (size_t)piece->count * sizeof *mine);
  add_node(world, exchange->sums, piece->begin, piece->count, world->place.node_rank, buffer);
  return buffer;
}

static void *sum_incoming(const Exchange *exchange, const Piece *piece, void *buffer) {
  (void)exchange;
  (void)piece;
  return buffer;
}

static void sum_arrived(const Exchange *exchange, const Piece *piece, const void *buffer) {
  int64_t *mine = exchange->sums[exchange->world->place.node_rank] + piece->begin;
  add((uint64_t *)mine, buffer, piece->count);
}

GwStatus gw_world_reduce(GwWorld *world, int64_t *const *sums, const int64_t *first) {
  const GwPlace *place = &world->place;
  int64_t begin = first[place->rank], count = first[place->rank + 1] - begin;
  int64_t most = GW_LINK_MESSAGE_MAX / sizeof(int64_t);
  GW_ASSERT(count >= 0);
  add_node(world, sums, begin, count, place->node_rank, sums[place->node_rank] + begin);
  if (place->nodes == 1) return GW_OK;
  Exchange exchange = {.world = world,
                       .out = {&world->others_out, first, most, 0, 0},
                       .in = {&world->own_in, first, most, 0, 0},
                       .tag = GW_TAG_REDUCE,
                       .element_size = sizeof(int64_t),
                       .outgoing = sum_outgoing,
                       .incoming = sum_incoming,
                       .arrived = sum_arrived,
                       .sums = sums};
  return exchange_run(&exchange);
}

/* ---- spread ---- */

static void *in_place(const Exchange *exchange, const Piece *piece, void *buffer) {
  (void)buffer;
  return exchange->data + piece->begin;
}

GwStatus gw_world_spread(GwWorld *world, void *data, const int64_t *first) {
  if (world->place.nodes == 1) return GW_OK;
  Exchange exchange = {.world = world,
                       .out = {&world->own_out, first, GW_LINK_MESSAGE_MAX, 0, 0},
                       .in = {&world->others_in, first, GW_LINK_MESSAGE_MAX, 0, 0},
                       .tag = GW_TAG_SPREAD,
                       .element_size = 1,
                       .outgoing = in_place,
                       .incoming = in_place,
                       .data = data};
  return exchange_run(&exchange);
}

/* ---- pass ---- */

static void *pass_outgoing(const Exchange *exchange, const Piece *piece, void *buffer) {
  (void)buffer;
  return exchange->data + (piece->begin - exchange->out.first[exchange->world->place.rank]);
}

static void *pass_incoming(const Exchange *exchange, const Piece *piece, void *buffer) {
  (void)buffer;
  return (char *)exchange->theirs[piece->peer] + (piece->begin - exchange->in.first[piece->peer]);
}

/* A rank sends to one other only, so whoever it is that is received from next is sending. */
GwStatus gw_world_pass(GwWorld *world, const int32_t *to, const int64_t *bytes, void *mine,
                       void *const *theirs) {
  int32_t ranks = world->place.ranks, rank = world->place.rank;
  int64_t *first = calloc((size_t)ranks + 1, sizeof *first);
  GwRoute out = {rank, to[rank]}, *in = calloc((size_t)ranks, sizeof *in);
  GwRoutes outs = {1, &out}, ins = {0, in};
  GwStatus status = first && in ? GW_OK : gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  for (int32_t r = 0; r < ranks && status == GW_OK; r++) {
    GW_ASSERT(gw_world_node_of(world, to[r]) != gw_world_node_of(world, r));
    first[r + 1] = first[r] + bytes[r];
    if (to[r] == rank) in[ins.count++] = (GwRoute){r, r};
  }
  Exchange exchange = {.world = world,
                       .out = {&outs, first, GW_LINK_MESSAGE_MAX, 0, 0},
                       .in = {&ins, first, GW_LINK_MESSAGE_MAX, 0, 0},
                       .tag = GW_TAG_PASS,
                       .element_size = 1,
                       .outgoing = pass_outgoing,
                       .incoming = pass_incoming,
                       .data = mine,
                       .theirs = theirs};
  if (status == GW_OK) status = exchange_run(&exchange);
  free(first);
  free(in);
  return status;
}
