/* One rank: its place in the world, its row on the board, and the training loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash64.h"
#include "cluster/job.h"
#include "cluster/supervisor.h"
#include "godwit/cluster.h"
#include "godwit/log.h"
#include "guard/inject.h"
#include "os/clock.h"
#include "os/fs.h"
#include "os/process.h"
#include "train/rank.h"

static const uint64_t meeting_ns = UINT64_C(120000000000);

/* All that is open. */
typedef struct {
  GwRank rank;
  GwShared board;
  GwInjector *injector;
} Seat;

static GwStatus take_row(const GwRankOptions *options, int32_t rank, Seat *seat) {
  char boards[GW_SHARED_NAME_MAX], name[GW_SHARED_NAME_MAX];
  gw_job_boards(options->job, boards);
  snprintf(name, sizeof name, "%.150s%llu", boards, (unsigned long long)options->epoch);
  GW_TRY(
      gw_board_open(name, options->epoch, rank, options->ranks, &seat->board, &seat->rank.board));
  seat->rank.row = &seat->rank.board->row[rank];
  if (rank >= seat->rank.board->first && rank < seat->rank.board->end) return GW_OK;
  /* The launcher has put it on a machine where it does not belong. The supervisor sees it sit
   * there, says so and ends the epoch; nothing is begun until then, as the others wait. */
  gw_clock_sleep(meeting_ns);
  return gw_fail(GW_MISMATCH, "the launcher has put rank %d on the wrong machine", rank);
}

/* A rank sits down as soon as it knows its number, before it makes anything that another process
 * would have to clear up: an epoch is over when all who sit are gone. */
static GwStatus meet(const GwRankOptions *options, Seat *seat) {
  char name[GW_SHARED_NAME_MAX];
  GwWorld **world = &seat->rank.world;
  gw_job_world(options->job, options->epoch, name);
  if (options->rank >= 0) {
    GW_TRY(take_row(options, options->rank, seat));
    GW_TRY(gw_world_create_local(name, options->rank, options->ranks, meeting_ns, world));
  } else {
    GW_TRY(gw_world_create_mpi(world));
    const GwPlace *place = gw_world_place(*world);
    if (place->ranks != options->ranks)
      return gw_fail(GW_MISMATCH, "the launcher has started %d ranks, not %d", place->ranks,
                     options->ranks);
    GW_TRY(take_row(options, place->rank, seat));
    GW_TRY(gw_world_meet(*world, name, options->ranks_per_node, meeting_ns));
  }
  gw_world_watch(*world, &seat->rank.row->waiting);
  return GW_OK;
}

/* All ranks must run the same program: another build may compute other bits. */
static GwStatus compare_programs(GwWorld *world) {
  int32_t ranks = gw_world_place(world)->ranks;
  uint64_t mine, *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  GwStatus status = gw_job_build(&mine);
  if (status == GW_OK) status = gw_world_gather(world, &mine, sizeof mine, all);
  for (int32_t r = 0; r < ranks && status == GW_OK; r++)
    if (all[r] != all[0])
      status = gw_fail(GW_MISMATCH,
                       "rank %d runs another build of godwit than rank 0; install the "
                       "same on every machine",
                       r);
  free(all);
  return status;
}

static GwStatus expect_faults(const GwRankOptions *options, Seat *seat) {
  if (options->inject_count == 0) return GW_OK;
  GwInjectorOptions injector = {.specs = options->inject,
                                .count = options->inject_count,
                                .run_dir = options->train.run_dir,
                                .epoch = options->epoch,
                                .snapshots = seat->rank.run,
                                .place = gw_world_place(seat->rank.world),
                                .board = seat->rank.board};
  GW_TRY(gw_injector_create(&injector, &seat->injector));
  seat->rank.hook = gw_injector_hook(seat->injector);
  seat->rank.fs = gw_injector_fs(seat->injector);
  return GW_OK;
}

/* What the run came to, for the supervisor. */
static GwStatus leave_report(const char *job, const GwTrainReport *report) {
  char name[GW_SHARED_NAME_MAX];
  GwShared area;
  gw_job_report(job, name);
  GW_TRY(gw_shared_open(name, &area));
  if (area.bytes >= sizeof *report) memcpy(area.data, report, sizeof *report);
  gw_shared_close(&area);
  return GW_OK;
}

static GwStatus train(const GwRankOptions *options, Seat *seat) {
  char path[GW_PATH_MAX];
  GwRecipe recipe;
  GwTrainReport report;
  GwTrainOptions train = options->train;
  GW_TRY(meet(options, seat));
  GW_TRY(compare_programs(seat->rank.world));
  if (gw_world_place(seat->rank.world)->rank > 0) gw_log_configure(GW_LOG_WARNING, false);
  GW_TRY(gw_fs_path(path, "%s/recipe.yaml", train.run_dir));
  GW_TRY(gw_recipe_load(path, NULL, 0, &recipe));
  train.recipe = &recipe;
  train.resume = true;
  seat->rank.run = gw_job_run(options->job, gw_recipe_identity(&recipe));
  seat->rank.epoch = options->epoch;
  seat->rank.snapshot = options->snapshot;
  GW_TRY(expect_faults(options, seat));
  GW_TRY(gw_train_rank(&train, &seat->rank, &report));
  if (gw_world_place(seat->rank.world)->rank == 0) GW_TRY(leave_report(options->job, &report));
  return gw_world_finish(seat->rank.world);
}

/* What would fail the same way again. */
static bool is_hopeless(GwStatus status) {
  switch (status) {
  case GW_USAGE:
  case GW_INVALID:
  case GW_NOT_FOUND:
  case GW_EXISTS:
  case GW_MISMATCH:
  case GW_MEMORY:
  case GW_NO_SPACE:
  case GW_UNSUPPORTED: return true;
  default: return false;
  }
}

int gw_cluster_rank(const GwRankOptions *options) {
  Seat seat = {0};
  GwStatus status = train(options, &seat);
  if (seat.rank.row && status == GW_OK) atomic_store(&seat.rank.row->state, GW_RANK_ENDED);
  if (seat.rank.row && status != GW_OK) gw_board_say(seat.rank.row, gw_error_message());
  gw_injector_destroy(seat.injector);
  gw_world_destroy(seat.rank.world);
  gw_shared_close(&seat.board);
  return is_hopeless(status) ? GW_EXIT_HOPELESS : gw_status_exit_code(status);
}
