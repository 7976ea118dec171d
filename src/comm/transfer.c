/* Reduce and spread. Within a node ranks read each other's memory. Between nodes each range has an
 * agent at every other node: the ranks of a node share that work by the number of the owner. To
 * reduce, the agent adds up what its node has and sends it to the owner; to spread, the owner sends
 * its range to the agent.
 *
 * Two messages each way are under way at a time, and nothing can lock up. To spread, all ranks go
 * through the nodes by distance, sends to the nodes behind, receives from those before: of all
 * messages not yet done the nearest always has both its sides waiting for it. To reduce, they send
 * to the highest owner first: of all owners not yet done the highest waits for agents that have
 * nobody else before him. */
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
  GwRoutes *all[] = {&world->own_out, &world->own_in, &world->sums_out, &world->others_in};
  for (size_t i = 0; i < GW_COUNT_OF(all); i++) {
    all[i]->route = GW_ARENA_ARRAY(&world->arena, GwRoute, place->ranks);
    if (!all[i]->route) return gw_fail(GW_MEMORY, "no memory for %d ranks", place->ranks);
  }
  for (int32_t distance = 1; distance < place->nodes; distance++) {
    int32_t behind = (place->node + distance) % place->nodes;
    int32_t before = (place->node - distance + place->nodes) % place->nodes;
    add_own(world, behind, &world->own_out);
    add_own(world, before, &world->own_in);
    add_others(world, before, &world->others_in);
  }
  for (int32_t owner = place->ranks; owner-- > 0;)
    if (gw_world_node_of(world, owner) != place->node &&
        agent_of(world, place->node, owner) == place->rank)
      world->sums_out.route[world->sums_out.count++] = (GwRoute){owner, owner};
  return GW_OK;
}

/* ---- messages ---- */

static bool pieces_next(GwPieces *pieces, bool (*allowed)(const GwExchange *, const GwPiece *),
                        const GwExchange *exchange, GwPiece *out) {
  for (; pieces->at < pieces->routes->count; pieces->at++, pieces->done = 0) {
    const GwRoute *route = &pieces->routes->route[pieces->at];
    int64_t end = pieces->first[route->owner + 1] - pieces->done;
    int64_t left = end - pieces->first[route->owner];
    GW_ASSERT(left >= 0);
    if (left == 0) continue;
    int64_t count = gw_min_i64(left, pieces->most);
    GwPiece piece = {route->peer, end - count, count};
    if (allowed && !allowed(exchange, &piece)) return false;
    pieces->done += count;
    *out = piece;
    return true;
  }
  return false;
}

static bool pieces_left(const GwPieces *pieces) { return pieces->at < pieces->routes->count; }

/* Ends the slot's message, if it is done, and starts the next one. */
static GwStatus slot_advance(GwExchange *x, int32_t index, bool *moved) {
  GwLink *link = x->world->link;
  GwExchangeSlot *slot = &x->slot[index];
  bool sends = index % 2 == 0;
  int32_t number = 2 * x->world->place.ranks + 2 + index; /* gathers have those before */
  char *buffer = x->world->buffers + (size_t)index * GW_LINK_MESSAGE_MAX;
  if (slot->busy && !slot->done) GW_TRY(gw__link_test(link, number, &slot->done));
  if (slot->busy) {
    if (!slot->done || (!sends && x->mine && !x->mine(x, &slot->piece))) return GW_OK;
    if (!sends && x->arrived) x->arrived(x, &slot->piece, buffer);
    slot->busy = slot->done = false;
    *moved = true;
  }
  const GwPiece *piece = &slot->piece;
  if (!pieces_next(sends ? &x->out : &x->in, sends ? x->allowed : NULL, x, &slot->piece))
    return GW_OK;
  size_t bytes = (size_t)piece->count * x->element_size;
  slot->busy = *moved = true;
  return sends ? gw__link_send(link, number, piece->peer, x->tag, x->outgoing(x, piece, buffer),
                               bytes)
               : gw__link_receive(link, number, piece->peer, x->tag, x->incoming(x, piece, buffer),
                                  bytes);
}

/* *busy: there is more to do. */
static GwStatus exchange_advance(GwExchange *x, bool *moved, bool *busy) {
  *moved = false;
  for (int32_t i = 0; i < GW_WORLD_BUFFERS; i++) GW_TRY(slot_advance(x, i, moved));
  *busy = pieces_left(&x->out) || pieces_left(&x->in);
  for (int32_t i = 0; i < GW_WORLD_BUFFERS; i++) *busy = *busy || x->slot[i].busy;
  return GW_OK;
}

static GwStatus exchange_run(GwExchange *x) {
  GwPatience patience = {.waiting = x->world->node.waiting};
  GwStatus status = GW_OK;
  for (bool busy = true, moved; busy && status == GW_OK;) {
    status = exchange_advance(x, &moved, &busy);
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

static void *sum_outgoing(const GwExchange *exchange, const GwPiece *piece, void *buffer) {
  const GwWorld *world = exchange->world;
  int64_t *mine = exchange->sums[world->place.node_rank] + piece->begin;
  if (world->place.node_ranks == 1) return mine;
  memcpy(buffer, mine, (size_t)piece->count * sizeof *mine);
  add_node(world, exchange->sums, piece->begin, piece->count, world->place.node_rank, buffer);
  return buffer;
}

static void *sum_incoming(const GwExchange *exchange, const GwPiece *piece, void *buffer) {
  (void)exchange;
  (void)piece;
  return buffer;
}

static void sum_arrived(const GwExchange *exchange, const GwPiece *piece, const void *buffer) {
  int64_t *mine = exchange->sums[exchange->world->place.node_rank] + piece->begin;
  add((uint64_t *)mine, buffer, piece->count);
}

/* Whether all ranks of the node have their last word on a piece. */
static bool node_is_final(const GwExchange *exchange, const GwPiece *piece) {
  const GwWorld *world = exchange->world;
  for (int32_t i = 0; i < world->place.node_ranks; i++)
    if (world->final_from[i * GW_FINAL_STRIDE] > piece->begin) return false;
  return true;
}

static bool own_is_final(const GwExchange *exchange, const GwPiece *piece) {
  const GwWorld *world = exchange->world;
  return world->final_from[world->place.node_rank * GW_FINAL_STRIDE] <= piece->begin;
}

/* From the highest owner to the lowest, each range from its end: as gradients become final. */
static void begin_reduce(GwWorld *world, int64_t *const *sums, const int64_t *first) {
  int64_t most = GW_LINK_MESSAGE_MAX / sizeof(int64_t);
  world->reduce = (GwExchange){.world = world,
                               .out = {&world->sums_out, first, most, 0, 0},
                               .in = {&world->own_in, first, most, 0, 0},
                               .tag = GW_TAG_REDUCE,
                               .element_size = sizeof(int64_t),
                               .allowed = node_is_final,
                               .mine = own_is_final,
                               .outgoing = sum_outgoing,
                               .incoming = sum_incoming,
                               .arrived = sum_arrived,
                               .sums = sums};
}

void gw_world_reduce_early(GwWorld *world, int64_t *const *sums, const int64_t *first) {
  if (world->place.nodes > 1) begin_reduce(world, sums, first);
}

GwStatus gw_world_reduce_poll(GwWorld *world, int64_t final_from) {
  bool moved, busy;
  if (!world->reduce.world) return GW_OK;
  world->final_from[world->place.node_rank * GW_FINAL_STRIDE] = final_from;
  return exchange_advance(&world->reduce, &moved, &busy);
}

GwStatus gw_world_reduce(GwWorld *world, int64_t *const *sums, const int64_t *first) {
  const GwPlace *place = &world->place;
  int64_t begin = first[place->rank], count = first[place->rank + 1] - begin;
  GW_ASSERT(count >= 0);
  add_node(world, sums, begin, count, place->node_rank, sums[place->node_rank] + begin);
  if (place->nodes == 1) return GW_OK;
  if (!world->reduce.world) begin_reduce(world, sums, first);
  world->reduce.allowed = world->reduce.mine = NULL; /* all are whole now */
  world->final_from[place->node_rank * GW_FINAL_STRIDE] = INT64_MAX;
  GwStatus status = exchange_run(&world->reduce);
  world->reduce = (GwExchange){0};
  return status;
}

/* ---- spread ---- */

static void *in_place(const GwExchange *exchange, const GwPiece *piece, void *buffer) {
  (void)buffer;
  return exchange->data + piece->begin;
}

GwStatus gw_world_spread(GwWorld *world, void *data, const int64_t *first) {
  if (world->place.nodes == 1) return GW_OK;
  GwExchange exchange = {.world = world,
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

static void *pass_outgoing(const GwExchange *exchange, const GwPiece *piece, void *buffer) {
  (void)buffer;
  return exchange->data + (piece->begin - exchange->out.first[exchange->world->place.rank]);
}

static void *pass_incoming(const GwExchange *exchange, const GwPiece *piece, void *buffer) {
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
  GwExchange exchange = {.world = world,
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
