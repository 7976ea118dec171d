/* How long ranks take to sum 64 MiB of integers: gw_world_reduce between barriers, after which each
 * rank has the totals of its half.
 *
 *   bench_world [MIB]
 *
 * Two ranks of this machine, first in shared memory, then by MPI as if each were a node; for that
 * it starts itself through the launcher of the MPI it was built with. Within shared memory all can
 * read the totals; between nodes spreading them is the other half of an allreduce. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_support.h"
#include "comm/world.h"
#include "os/clock.h"

enum { RANKS = 2, TURNS = 41, MIB_DEFAULT = 64 };
static const uint64_t timeout_ns = UINT64_C(30000000000);

/* One time per turn, in ms; the slowest rank counts, as all meet afterwards. */
static GwStatus measure(GwWorld *world, int64_t *const *sums, bool all, double *best,
                        double *median, int64_t count) {
  int64_t first[RANKS + 1] = {0, count / 2, count}, bytes[RANKS + 1];
  double times[TURNS];
  for (int i = 0; i <= RANKS; i++) bytes[i] = first[i] * (int64_t)sizeof(int64_t);
  *best = 1e18;
  for (int turn = 0; turn < TURNS; turn++) {
    GW_TRY(gw_world_barrier(world));
    uint64_t start = gw_clock_ns();
    GW_TRY(gw_world_reduce(world, sums, first));
    if (all) GW_TRY(gw_world_spread(world, sums[gw_world_place(world)->node_rank], bytes));
    GW_TRY(gw_world_barrier(world));
    times[turn] = (double)(gw_clock_ns() - start) * 1e-6;
    if (times[turn] < *best) *best = times[turn];
  }
  *median = bench_median(times, TURNS);
  return GW_OK;
}

static GwStatus run(GwWorld *world, const char *way, int64_t count) {
  const GwPlace *place = gw_world_place(world);
  int64_t *sums[RANKS];
  for (int32_t i = 0; i < place->node_ranks; i++) {
    void *array;
    GW_TRY(gw_world_memory(world, (size_t)count * sizeof(int64_t), &array));
    sums[i] = array;
  }
  for (int64_t i = 0; i < count; i++) sums[place->node_rank][i] = i;
  for (int all = 0; all < (place->nodes > 1 ? 2 : 1); all++) {
    double best, median;
    GW_TRY(measure(world, sums, all, &best, &median, count));
    if (place->rank == 0)
      printf("%-16s  %-17s  %8.2f  %8.2f\n", way, all ? "reduce and spread" : "reduce", best,
             median);
  }
  return gw_world_finish(world);
}

static int said(GwStatus status) {
  if (status != GW_OK) fprintf(stderr, "bench_world: %s\n", gw_error_message());
  fflush(NULL);
  return gw_status_exit_code(status);
}

static int run_local(const char *name, int32_t rank, int64_t count) {
  GwWorld *world;
  GwStatus status = gw_world_create_local(name, rank, RANKS, timeout_ns, &world);
  if (status != GW_OK) return said(status);
  int code = said(run(world, "shared memory", count));
  gw_world_destroy(world);
  return code;
}

static int run_mpi(const char *name, int64_t count) {
  GwWorld *world;
  GwStatus status = gw_world_create_mpi(&world);
  if (status != GW_OK) return said(status);
  status = gw_world_meet(world, name, 1, timeout_ns);
  int code = said(status == GW_OK ? run(world, gw_world_mpi_library(), count) : status);
  gw_world_destroy(world);
  return code;
}

/* The exit code of another process. */
static int await(pid_t child) {
  int code;
  return child > 0 && waitpid(child, &code, 0) == child && WIFEXITED(code) ? WEXITSTATUS(code) : 1;
}

static int launch(const char *program, const char *name, const char *mib) {
  bool open = strncmp(gw_world_mpi_library(), "Open", 4) == 0;
  pid_t child = fork();
  if (child == 0 && open)
    execlp("mpirun.openmpi", "mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n", "2",
           program, mib, name, NULL);
  else if (child == 0)
    execlp("mpiexec.mpich", "mpiexec.mpich", "-n", "2", program, mib, name, NULL);
  if (child == 0) {
    execlp("mpiexec", "mpiexec", "-n", "2", program, mib, name, NULL);
    _exit(1);
  }
  return await(child);
}

int main(int argc, char **argv) {
  char name[64], mib[24];
  int64_t size = argc > 1 ? atoll(argv[1]) : MIB_DEFAULT;
  if (argc > 3 || size < 1) {
    fprintf(stderr, "usage: bench_world [MIB]\n");
    return 2;
  }
  int64_t count = (size << 20) / (int64_t)sizeof(int64_t);
  if (argc == 3) return run_mpi(argv[2], count);
  snprintf(name, sizeof name, "bench-world-%d", (int)getpid());
  snprintf(mib, sizeof mib, "%lld", (long long)size);
  printf("%d ranks, %s MiB\n%-16s  %-17s  %8s  %8s\n", RANKS, mib, "way", "what", "best ms",
         "median");
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) _exit(run_local(name, 1, count));
  int code = run_local(name, 0, count);
  code |= await(child);
  if (gw_world_mpi_library()) code |= launch(argv[0], name, mib);
  return code;
}
