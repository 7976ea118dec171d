/* The world of a rank: who else computes this run, and what they exchange. Ranks on one machine (a
 * node) meet in shared memory; MPI carries what goes from node to node. All that is exchanged is
 * integers or bytes, so neither the number of ranks nor the way can change a result.
 *
 * Every function from gw_world_memory on is collective: all ranks call it, in the same order. While
 * a rank waits for others, *waiting (gw_world_watch) is 1. A rank that is gone is nobody's business
 * here: the others wait until the supervisor stops them.
 *
 * All calls come from one thread; with MPI from the one that began main(). Local ranks and a world
 * of one never touch MPI. */
#ifndef GW_WORLD_H
#define GW_WORLD_H

#include "base/base.h"

typedef struct GwWorld GwWorld;

typedef struct {
  int32_t rank, ranks;
  int32_t node, nodes;           /* a node: ranks that share memory */
  int32_t node_rank, node_ranks; /* its ranks in ascending order; node_rank 0 speaks for it */
} GwPlace;

/* One rank, nobody else. */
GwStatus gw_world_create_alone(GwWorld **out);
/* `ranks` processes of this machine, without MPI. `name`, the same for all and for nobody else, is
 * that of their shared memory; no name is left behind once all are there. GW_IO when the others do
 * not come within `timeout_ns`. */
GwStatus gw_world_create_local(const char *name, int32_t rank, int32_t ranks, uint64_t timeout_ns,
                               GwWorld **out);
/* The processes that an MPI launcher started, which sees to it that all do. Once in the life of a
 * process. A rank then knows `rank` and `ranks` of its place and nothing else; only gw_world_meet
 * or gw_world_destroy may follow. GW_UNSUPPORTED when this program was built without MPI. */
GwStatus gw_world_create_mpi(GwWorld **out);
/* What they then set up together, with `name` as above. Nodes are the machines; `ranks_per_node` >
 * 0: rank r counts as on node r / ranks_per_node instead, to try the way between nodes on one
 * machine. GW_IO when the others do not come within `timeout_ns`. */
GwStatus gw_world_meet(GwWorld *world, const char *name, int32_t ranks_per_node,
                       uint64_t timeout_ns);
/* Collective, the last call of a run that went well: waits for all, then ends MPI, which a launcher
 * wants before a process exits. Only gw_world_destroy may follow. */
GwStatus gw_world_finish(GwWorld *world);
/* Not collective: it waits for nobody. Without gw_world_finish MPI is left as it is; the process
 * should then exit with an error, upon which the launcher ends the others. NULL is fine. */
void gw_world_destroy(GwWorld *world);

/* "Open MPI 4.1.4", as the library says; NULL: built without. */
const char *gw_world_mpi_library(void);

const GwPlace *gw_world_place(const GwWorld *world);
int32_t gw_world_node_of(const GwWorld *world, int32_t rank);
void gw_world_watch(GwWorld *world, _Atomic int32_t *waiting);

/* Zeroed, page-aligned memory that the ranks of a node share: the same bytes, each at an address of
 * its own. All of it is taken at once, so that no later write can fail; it is freed with the world.
 * bytes > 0, the same at all ranks. GW_MEMORY, at all ranks, when it does not fit. */
GwStatus gw_world_memory(GwWorld *world, size_t bytes, void **out);

GwStatus gw_world_barrier(GwWorld *world);
/* all[r * bytes ...] becomes what rank r gave. */
GwStatus gw_world_gather(GwWorld *world, const void *mine, size_t bytes, void *all);

/* Integer reduce-scatter. sums[i]: the array of the node's i-th rank, in memory of gw_world_memory.
 * Elements [first[r], first[r+1]) of rank r's own array become the totals over all ranks; the rest
 * stays. first: [ranks + 1]. All ranks' arrays must be whole when anybody calls (a barrier or
 * gather before), and nobody may write to his before the next barrier or gather. */
GwStatus gw_world_reduce(GwWorld *world, int64_t *const *sums, const int64_t *first);

/* To have part of that behind us before the sums are whole. gw_world_reduce_early begins, with the
 * arguments that gw_world_reduce will have; it is not collective: who does not call it sends later.
 * From then on gw_world_reduce_poll, at any time and as often as one likes, sends what can be sent
 * without waiting: elements from `final_from` on of this rank's array will not change any more. */
void gw_world_reduce_early(GwWorld *world, int64_t *const *sums, const int64_t *first);
GwStatus gw_world_reduce_poll(GwWorld *world, int64_t final_from);

/* `data`: memory of gw_world_memory. Rank r has written bytes [first[r], first[r+1]); when all have
 * returned, every node has all. Within a node nothing moves. */
GwStatus gw_world_spread(GwWorld *world, void *data, const int64_t *first);

/* Each rank r has bytes[r] bytes for rank to[r], which is of another node: this rank's are `mine`,
 * and what rank r has for it goes to theirs[r]. to, bytes and theirs: [ranks], the first two the
 * same at all ranks. */
GwStatus gw_world_pass(GwWorld *world, const int32_t *to, const int64_t *bytes, void *mine,
                       void *const *theirs);

#endif
