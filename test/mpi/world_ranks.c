/* A rank under an MPI launcher, for test/e2e/world_mpi.sh.
 *
 *   world_ranks library                          prints which MPI this is
 *   world_ranks check NAME PER_NODE SEED         the random rounds; rank 0 prints how it went
 *   world_ranks fail NAME PER_NODE               rank 1 gives up, the others wait for it
 *   world_ranks full NAME PER_NODE               asks for more memory than there is */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world.h"
#include "world_check.h"

enum { ROUNDS = 40 };
static const int64_t elements_max = 400000; /* several messages of a MiB */
static const uint64_t timeout_ns = UINT64_C(60000000000);

static GwStatus check(GwWorld *world, uint64_t seed) {
  const GwPlace *place = gw_world_place(world);
  GW_TRY(gw_world_check(world, seed, ROUNDS, 5000));
  GW_TRY(gw_world_check(world, seed + 1, ROUNDS / 4, elements_max));
  GW_TRY(gw_world_finish(world));
  if (place->rank == 0)
    printf("ok: %d ranks, %d nodes, %d ranks here\n", place->ranks, place->nodes,
           place->node_ranks);
  return GW_OK;
}

static GwStatus act(GwWorld *world, int argc, char **argv) {
  void *data;
  GW_TRY(gw_world_meet(world, argv[2], atoi(argv[3]), timeout_ns));
  if (strcmp(argv[1], "check") == 0)
    return check(world, argc > 4 ? strtoull(argv[4], NULL, 10) : 1);
  if (strcmp(argv[1], "full") == 0) return gw_world_memory(world, (size_t)1 << 46, &data);
  if (gw_world_place(world)->rank == 1) return gw_fail(GW_NUMERIC, "rank 1 gives up");
  return gw_world_barrier(world);
}

static GwStatus run(int argc, char **argv) {
  GwWorld *world;
  GW_TRY(gw_world_create_mpi(&world));
  GwStatus status = act(world, argc, argv);
  gw_world_destroy(world);
  return status;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "library") == 0) {
    puts(gw_world_mpi_library() ? gw_world_mpi_library() : "none");
    return 0;
  }
  if (argc < 4) return 2;
  GwStatus status = run(argc, argv);
  if (status != GW_OK) fprintf(stderr, "error: %s\n", gw_error_message());
  return gw_status_exit_code(status);
}
