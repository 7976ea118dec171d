/* The world's setup, memory and gathers. A gather goes through slots in the node's shared memory, a
 * piece at a time: all write, meet, and read. Between nodes the first rank of each sends what its
 * node's slots hold to the first rank of every other. The slots come in two sets that take turns:
 * who writes to a set again has met all since they read it. transfer.c has reduce and spread. */
#include "comm/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "comm/patience.h"
#include "comm/world_parts.h"
#include "os/clock.h"

enum { SLOT_BYTES = 4096, VERDICT_TEXT = 252, PAGE = 4096 };
/* A job's name leaves room for "-node" and ".", each with a number. */
enum { NODE_SUFFIX_MAX = 16, NAME_MAX_BASE = GW_SHARED_NAME_MAX - 16 };

struct GwVerdict {
  int32_t status; /* GwStatus */
  char text[VERDICT_TEXT];
};

typedef struct GwWorldMemory {
  GwShared shared; /* in a node of several */
  void *buffer;    /* in a node of one */
} GwWorldMemory;

typedef GwStatus Gather(GwWorld *world, const void *mine, size_t bytes, void *all);

/* Two sets of slots, and the words of final_from. */
static size_t slots_bytes(int32_t ranks) {
  return (size_t)ranks * (2 * SLOT_BYTES + GW_FINAL_STRIDE * sizeof(int64_t));
}

static void begin_slots(GwWorld *world, void *slots) {
  world->slots = slots;
  world->final_from =
      (_Atomic int64_t *)(void *)(world->slots + 2 * (size_t)world->place.ranks * SLOT_BYTES);
  if (world->slots) world->final_from[world->place.node_rank * GW_FINAL_STRIDE] = INT64_MAX;
}

int32_t gw_world_node_of(const GwWorld *world, int32_t rank) {
  int32_t node = 0;
  while (world->node_first[node + 1] <= world->position[rank]) node++;
  return node;
}

const GwPlace *gw_world_place(const GwWorld *world) { return &world->place; }
const char *gw_world_mpi_library(void) { return gw__link_library(); }
void gw_world_watch(GwWorld *world, _Atomic int32_t *waiting) { world->node.waiting = waiting; }

/* ---- gather ---- */

/* Waits for the messages in slots [0, count). */
static GwStatus await_all(GwWorld *world, int32_t count, uint64_t deadline_ns) {
  GwPatience patience = {.waiting = world->node.waiting};
  GwStatus status = GW_OK;
  for (int32_t i = 0; i < count && status == GW_OK;) {
    bool done = false;
    status = gw__link_test(world->link, i, &done);
    if (done)
      i++;
    else if (status == GW_OK && gw_clock_ns() > deadline_ns)
      status = gw_fail(GW_IO, "the other ranks did not come in time; see why");
    else
      gw__patience_pause(&patience);
  }
  gw__patience_end(&patience);
  return status;
}

/* By the first rank of each node: its ranks' slots go to all other nodes, theirs come. */
static GwStatus exchange_slots(GwWorld *world, char *slots, size_t bytes) {
  const GwPlace *place = &world->place;
  const int32_t *first = world->node_first;
  size_t mine = (size_t)first[place->node] * bytes;
  int32_t used = 0;
  for (int32_t node = 0; node < place->nodes; node++) {
    if (node == place->node) continue;
    int32_t peer = world->order[first[node]];
    size_t count = (size_t)(first[node + 1] - first[node]);
    GW_TRY(gw__link_receive(world->link, used++, peer, GW_TAG_GATHER,
                            slots + (size_t)first[node] * bytes, count * bytes));
    GW_TRY(gw__link_send(world->link, used++, peer, GW_TAG_GATHER, slots + mine,
                         (size_t)place->node_ranks * bytes));
  }
  return await_all(world, used, UINT64_MAX);
}

/* At most a slot of bytes. */
static GwStatus gather_piece(GwWorld *world, const char *mine, size_t bytes, char *all,
                             size_t stride) {
  const GwPlace *place = &world->place;
  char *slots = world->slots + (world->turn++ & 1) * (size_t)place->ranks * SLOT_BYTES;
  if (bytes > 0) memcpy(slots + (size_t)world->position[place->rank] * bytes, mine, bytes);
  gw__node_barrier(&world->node);
  if (place->nodes > 1) {
    if (place->node_rank == 0) GW_TRY(exchange_slots(world, slots, bytes));
    gw__node_barrier(&world->node);
  }
  for (int32_t rank = 0; rank < place->ranks && bytes > 0; rank++)
    memcpy(all + (size_t)rank * stride, slots + (size_t)world->position[rank] * bytes, bytes);
  return GW_OK;
}

GwStatus gw_world_gather(GwWorld *world, const void *mine, size_t bytes, void *all) {
  size_t done = 0;
  do {
    size_t piece = bytes - done < SLOT_BYTES ? bytes - done : SLOT_BYTES;
    GW_TRY(gather_piece(world, piece ? (const char *)mine + done : NULL, piece,
                        piece ? (char *)all + done : NULL, bytes));
    done += piece;
  } while (done < bytes);
  return GW_OK;
}

GwStatus gw_world_barrier(GwWorld *world) { return gw_world_gather(world, NULL, 0, NULL); }

/* The gather of the setup, before there are slots. */
static GwStatus gather_by_link(GwWorld *world, const void *mine, size_t bytes, void *all) {
  GW_TRY(gw__link_gather(world->link, 0, mine, bytes, all));
  return await_all(world, 1, world->deadline_ns);
}

/* All ranks fail when one does, with its words. */
static GwStatus agree(GwWorld *world, GwStatus status, Gather *gather) {
  if (world->place.ranks == 1) return status;
  GwVerdict mine = {.status = (int32_t)status};
  if (status != GW_OK) snprintf(mine.text, sizeof mine.text, "%s", gw_error_message());
  GW_TRY(gather(world, &mine, sizeof mine, world->verdicts));
  for (int32_t rank = 0; rank < world->place.ranks; rank++) {
    const GwVerdict *verdict = &world->verdicts[rank];
    if (verdict->status != GW_OK)
      return gw_fail((GwStatus)verdict->status, "rank %d: %s", rank, verdict->text);
  }
  return status;
}

/* ---- memory ---- */

static void memory_deinit(GwWorldMemory *memory) {
  gw_shared_close(&memory->shared);
  gw_buffer_destroy(memory->buffer);
}

static GwStatus make_private(size_t bytes, GwWorldMemory *memory) {
  memory->buffer = bytes <= SIZE_MAX / 2 ? gw_buffer_create(bytes + PAGE) : NULL;
  return memory->buffer ? GW_OK : gw_fail(GW_MEMORY, "no memory for %zu MiB", (bytes >> 20) + 1);
}

GwStatus gw_world_memory(GwWorld *world, size_t bytes, void **out) {
  char name[GW_SHARED_NAME_MAX];
  GwWorldMemory memory = {0};
  bool alone = world->place.node_ranks == 1, founder = world->place.node_rank == 0;
  GW_ASSERT(bytes > 0);
  snprintf(name, sizeof name, "%.*s.%d", NAME_MAX_BASE, world->node.name, world->memories + 1);
  GwStatus status = GW_OK;
  if (!GW_GROW(world->memory, world->memory_capacity, world->memories + 1))
    status = gw_fail(GW_MEMORY, "no memory for a list");
  else if (alone)
    status = make_private(bytes, &memory);
  else if (founder)
    status = gw_shared_create_whole(name, bytes, &memory.shared);
  status = agree(world, status, gw_world_gather);
  if (status == GW_OK) {
    if (!founder) status = gw_shared_open(name, &memory.shared);
    status = agree(world, status, gw_world_gather);
  }
  if (founder && !alone) gw_shared_remove(name);
  if (status != GW_OK) {
    memory_deinit(&memory);
    return status;
  }
  world->memory[world->memories++] = memory;
  *out = alone ? (void *)gw_align_up((size_t)memory.buffer, PAGE) : memory.shared.data;
  return GW_OK;
}

/* ---- setup ---- */

/* The place of a rank and the order of all, where rank r is on node node_of[r]. Nodes are numbered
 * by their first ranks. */
static GwStatus settle(GwWorld *world, int32_t rank, int32_t ranks, const int32_t *node_of) {
  GwArena *arena = &world->arena;
  world->order = GW_ARENA_ARRAY(arena, int32_t, ranks);
  world->position = GW_ARENA_ARRAY(arena, int32_t, ranks);
  world->node_first = GW_ARENA_ARRAY(arena, int32_t, ranks + 1);
  world->verdicts = GW_ARENA_ARRAY(arena, GwVerdict, ranks);
  if (!world->order || !world->position || !world->node_first || !world->verdicts)
    return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  GwPlace *place = &world->place;
  int32_t next = 0;
  *place = (GwPlace){.rank = rank, .ranks = ranks};
  for (int32_t first = 0; first < ranks; first++) {
    bool seen = false;
    for (int32_t i = 0; i < first && !seen; i++) seen = node_of[i] == node_of[first];
    if (seen) continue;
    world->node_first[place->nodes++] = next;
    for (int32_t i = first; i < ranks; i++) {
      if (node_of[i] != node_of[first]) continue;
      world->position[i] = next;
      world->order[next++] = i;
    }
  }
  world->node_first[place->nodes] = next;
  place->node = gw_world_node_of(world, rank);
  place->node_rank = world->position[rank] - world->node_first[place->node];
  place->node_ranks = world->node_first[place->node + 1] - world->node_first[place->node];
  return gw__world_routes(world);
}

/* The part within the node, of which the place is known. */
static GwStatus name_node(GwWorld *world, const char *name) {
  const GwPlace *place = &world->place;
  GwNode *node = &world->node;
  if (strlen(name) > NAME_MAX_BASE - NODE_SUFFIX_MAX)
    return gw_fail(GW_INVALID, "the name of a job is too long: %s", name);
  snprintf(node->name, sizeof node->name, place->nodes > 1 ? "%s-node%d" : "%s", name, place->node);
  node->rank = place->node_rank;
  node->ranks = place->node_ranks;
  return GW_OK;
}

static GwStatus slots_in_private(GwWorld *world) {
  begin_slots(world, gw_arena_alloc(&world->arena, slots_bytes(world->place.ranks)));
  return world->slots ? GW_OK : gw_fail(GW_MEMORY, "no memory for %d ranks", world->place.ranks);
}

static GwWorld *create(void) {
  GwWorld *world = calloc(1, sizeof *world);
  if (!world) return NULL;
  gw_arena_init(&world->arena);
  world->node.waiting = &world->unwatched;
  return world;
}

static GwStatus end_create(GwStatus status, GwWorld *world, GwWorld **out) {
  if (status == GW_OK)
    *out = world;
  else
    gw_world_destroy(world);
  return status;
}

static GwStatus enter_local(GwWorld *world, const char *name, int32_t rank, int32_t ranks,
                            uint64_t deadline_ns) {
  int32_t *node_of = GW_ARENA_ARRAY(&world->arena, int32_t, ranks); /* all on node 0 */
  if (!node_of) return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  GW_TRY(settle(world, rank, ranks, node_of));
  GW_TRY(name_node(world, name));
  if (ranks == 1) return slots_in_private(world);
  GW_TRY(gw__node_meet(&world->node, slots_bytes(ranks), deadline_ns));
  begin_slots(world, world->node.extra);
  return GW_OK;
}

GwStatus gw_world_create_local(const char *name, int32_t rank, int32_t ranks, uint64_t timeout_ns,
                               GwWorld **out) {
  GwWorld *world = create();
  GW_ASSERT(rank >= 0 && rank < ranks);
  if (!world) return gw_fail(GW_MEMORY, "no memory for a world");
  return end_create(enter_local(world, name, rank, ranks, gw_clock_ns() + timeout_ns), world, out);
}

GwStatus gw_world_create_alone(GwWorld **out) {
  return gw_world_create_local("alone", 0, 1, 0, out);
}

/* Which machine each rank is on, as the number of the first rank there. */
static GwStatus find_machines(GwWorld *world, int32_t ranks, int32_t *node_of) {
  char mine[GW_LINK_HOST_MAX];
  GW_TRY(gw__link_host(world->link, mine));
  char *hosts = gw_arena_alloc(&world->arena, (size_t)ranks * sizeof mine);
  if (!hosts) return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  GW_TRY(gather_by_link(world, mine, sizeof mine, hosts));
  for (int32_t rank = 0; rank < ranks; rank++)
    while (memcmp(hosts + (size_t)rank * sizeof mine, hosts + (size_t)node_of[rank] * sizeof mine,
                  sizeof mine) != 0)
      node_of[rank]++;
  return GW_OK;
}

/* As gw_world_memory makes its memory. */
static GwStatus enter_node(GwWorld *world) {
  GwNode *node = &world->node;
  size_t extra = slots_bytes(world->place.ranks);
  bool alone = node->ranks == 1, founder = node->rank == 0;
  GwStatus status = alone ? slots_in_private(world) : founder ? gw__node_found(node, extra) : GW_OK;
  status = agree(world, status, gather_by_link);
  if (status == GW_OK) {
    if (!founder) status = gw__node_join(node, extra);
    status = agree(world, status, gather_by_link);
  }
  if (founder && !alone) gw_shared_remove(node->name);
  if (!alone && status == GW_OK) begin_slots(world, node->extra);
  return status;
}

static GwStatus open_link(GwWorld *world) {
  GW_TRY(gw__link_open(&world->link));
  world->place.rank = gw__link_rank(world->link);
  world->place.ranks = gw__link_ranks(world->link);
  return GW_OK;
}

GwStatus gw_world_create_mpi(GwWorld **out) {
  GwWorld *world = create();
  if (!world) return gw_fail(GW_MEMORY, "no memory for a world");
  return end_create(open_link(world), world, out);
}

GwStatus gw_world_meet(GwWorld *world, const char *name, int32_t ranks_per_node,
                       uint64_t timeout_ns) {
  int32_t rank = world->place.rank, ranks = world->place.ranks;
  int32_t *node_of = GW_ARENA_ARRAY(&world->arena, int32_t, ranks);
  GW_ASSERT(ranks_per_node >= 0);
  world->deadline_ns = gw_clock_ns() + timeout_ns;
  if (!node_of) return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  if (ranks_per_node > 0) {
    for (int32_t i = 0; i < ranks; i++) node_of[i] = i / ranks_per_node;
  } else {
    GW_TRY(find_machines(world, ranks, node_of));
  }
  GW_TRY(settle(world, rank, ranks, node_of));
  GW_TRY(name_node(world, name));
  if (world->place.nodes > 1) {
    world->buffers = gw_buffer_create((size_t)GW_WORLD_BUFFERS * GW_LINK_MESSAGE_MAX);
    if (!world->buffers) return gw_fail(GW_MEMORY, "no memory for messages between nodes");
  }
  return enter_node(world);
}

GwStatus gw_world_finish(GwWorld *world) {
  GW_TRY(gw_world_barrier(world));
  GwLink *link = world->link;
  world->link = NULL;
  return gw__link_close(link, true);
}

void gw_world_destroy(GwWorld *world) {
  if (!world) return;
  for (int32_t i = 0; i < world->memories; i++) memory_deinit(&world->memory[i]);
  free(world->memory);
  gw__node_leave(&world->node);
  gw_buffer_destroy(world->buffers);
  (void)gw__link_close(world->link, false);
  gw_arena_deinit(&world->arena);
  free(world);
}
