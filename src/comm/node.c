/* How ranks meet by name. The founder makes a fresh area, whatever had the name. A rank may find
 * the area of an earlier job instead, whole or half met, or open it just before it is replaced: so
 * it looks again and again at what has the name now, and stays where it is answered. The founder
 * removes the name only when all have said that they stay: nobody then looks for it any more. */
#include "comm/node.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"
#include "comm/patience.h"
#include "os/clock.h"

#define MAGIC UINT64_C(0x31646c726f777767) /* "gwworld1" */

enum { SPINS = 100, WAIT_NS = 100000000 };

static size_t page_bytes(int32_t ranks) {
  return sizeof(GwNodePage) + (size_t)ranks * sizeof(GwNodeRow);
}

static void settle(GwNode *node, GwShared area) {
  node->area = area;
  node->page = area.data;
  node->extra = (char *)area.data + page_bytes(node->ranks);
  node->spins = gw_processor_count() >= node->ranks ? SPINS : 0;
}

GwStatus gw__node_found(GwNode *node, size_t extra) {
  GwShared area;
  GW_TRY(gw_shared_create_whole(node->name, page_bytes(node->ranks) + extra, &area));
  settle(node, area);
  atomic_store(&node->page->magic, MAGIC);
  return GW_OK;
}

GwStatus gw__node_join(GwNode *node, size_t extra) {
  GwShared area;
  GW_TRY(gw_shared_open(node->name, &area));
  bool right = area.bytes == page_bytes(node->ranks) + extra &&
               atomic_load(&((GwNodePage *)area.data)->magic) == MAGIC;
  if (!right) {
    gw_shared_close(&area);
    return gw_fail(GW_MISMATCH, "%s: shared memory of another kind of job", node->name);
  }
  settle(node, area);
  return GW_OK;
}

void gw__node_leave(GwNode *node) {
  gw_shared_close(&node->area);
  node->page = NULL;
  node->extra = NULL;
}

/* How many are here, the founder included; answers those who came. */
static int32_t welcome(GwNode *node) {
  int32_t here = 1;
  for (int32_t i = 1; i < node->ranks; i++) {
    GwNodeRow *row = &node->page->row[i];
    atomic_store(&row->answer, atomic_load(&row->hello));
    here += atomic_load(&row->stays) == 1;
  }
  return here;
}

static GwStatus lead(GwNode *node, size_t extra, uint64_t deadline_ns) {
  GwPatience patience = {.waiting = node->waiting};
  GW_TRY(gw__node_found(node, extra));
  GwStatus status = GW_OK;
  for (int32_t here; status == GW_OK && (here = welcome(node)) < node->ranks;) {
    if (gw_clock_ns() > deadline_ns)
      status = gw_fail(GW_IO, "%s: only %d of %d ranks came in time; see why the others did not",
                       node->name, here, node->ranks);
    gw__patience_pause(&patience);
  }
  gw__patience_end(&patience);
  gw_shared_remove(node->name);
  if (status != GW_OK) {
    gw__node_leave(node);
    return status;
  }
  atomic_store(&node->page->complete, 1);
  return GW_OK;
}

/* One look at what has the name now: whether the founder answers there within some milliseconds. */
static bool answered(GwNode *node, size_t extra, uint64_t number) {
  enum { LOOK_NS = 5000000 };
  GwPatience patience = {.waiting = node->waiting};
  if (gw__node_join(node, extra) != GW_OK) return false;
  GwNodeRow *row = &node->page->row[node->rank];
  uint64_t until = gw_clock_ns() + LOOK_NS;
  bool answer;
  atomic_store(&row->hello, number);
  while (!(answer = atomic_load(&row->answer) == number) && gw_clock_ns() < until)
    gw__patience_pause(&patience);
  gw__patience_end(&patience);
  if (!answer) gw__node_leave(node);
  return answer;
}

static GwStatus follow(GwNode *node, size_t extra, uint64_t deadline_ns) {
  GwPatience patience = {.waiting = node->waiting};
  uint64_t number = gw_clock_ns() << 22 ^ (uint64_t)getpid(); /* never met before */
  while (!answered(node, extra, number)) {
    if (gw_clock_ns() > deadline_ns)
      return gw_fail(GW_IO, "%s: rank 0 did not come in time; see why", node->name);
    gw__patience_pause(&patience);
  }
  atomic_store(&node->page->row[node->rank].stays, 1);
  while (!atomic_load(&node->page->complete)) {
    if (gw_clock_ns() > deadline_ns) {
      gw__node_leave(node);
      return gw_fail(GW_IO, "%s: not all of the %d ranks came in time; see why", node->name,
                     node->ranks);
    }
    gw__patience_pause(&patience);
  }
  gw__patience_end(&patience);
  return GW_OK;
}

GwStatus gw__node_meet(GwNode *node, size_t extra, uint64_t deadline_ns) {
  return node->rank == 0 ? lead(node, extra, deadline_ns) : follow(node, extra, deadline_ns);
}

static bool changes_soon(_Atomic uint32_t *word, uint32_t from, int spins) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load(word) != from) return true;
    sched_yield();
  }
  return false;
}

void gw__node_barrier(GwNode *node) {
  if (node->ranks == 1) return;
  GwNodePage *page = node->page;
  uint32_t generation = atomic_load(&page->generation);
  if (atomic_fetch_add(&page->arrived, 1) + 1 == (uint32_t)node->ranks) {
    atomic_store(&page->arrived, 0);
    atomic_fetch_add(&page->generation, 1);
    gw_shared_wake(&page->generation);
  } else if (!changes_soon(&page->generation, generation, node->spins)) {
    atomic_store(node->waiting, 1);
    while (atomic_load(&page->generation) == generation)
      gw_shared_wait(&page->generation, generation, WAIT_NS);
    atomic_store(node->waiting, 0);
  }
}
