/* A run's state: from a checkpoint or a snapshot, and back into them. */
#include "os/clock.h"
#include "train/run_parts.h"

/* Goes to the newest good checkpoint, or to the initial values when there is none. A bad one is set
 * aside by rank 0 alone. */
static GwStatus load(Run *run) {
  GwCheckpointInfo info = {0};
  char path[GW_PATH_MAX];
  GwStatus status = (gw__run_writes(run) ? gw_checkpoint_load_newest : gw_checkpoint_view_newest)(
      run->folder.fs, run->folder.checkpoints, gw_trainer_state(run->trainer), GW_STATE_GROUPS,
      &info, path, sizeof path);
  if (status == GW_NOT_FOUND && !run->folder.has_init) {
    gw_trainer_init(run->trainer);
    return GW_OK;
  }
  GW_TRY(status);
  if (info.recipe_identity != gw_recipe_identity(&run->recipe))
    return gw_fail(GW_MISMATCH, "%s is of another recipe", path);
  run->step = run->saved = info.step;
  if (gw__run_writes(run))
    gw_log(GW_LOG_INFO, "%s %s", info.step > 0 ? "resuming from" : "beginning with", path);
  return GW_OK;
}

/* Every rank learns the step that node 0 has loaded; other nodes must find the same. */
static GwStatus agree_on_step(Run *run) {
  int64_t *steps = GW_ARENA_ARRAY(&run->arena, int64_t, run->place->ranks);
  if (!steps) return gw_fail(GW_MEMORY, "no memory for %d ranks", run->place->ranks);
  if (run->place->node_rank > 0) run->step = run->saved = -1;
  GW_TRY(gw_world_gather(gw__run_world(run), &run->step, sizeof run->step, steps));
  for (int32_t r = 0; r < run->place->ranks; r++)
    if (steps[r] >= 0 && steps[r] != steps[0])
      return gw_fail(GW_MISMATCH,
                     "rank %d finds a checkpoint of step %lld, rank 0 one of %lld: the "
                     "nodes do not see the same run folder",
                     r, (long long)steps[r], (long long)steps[0]);
  run->step = steps[0];
  gw_trainer_state_changed(run->trainer);
  return GW_OK;
}

/* Snapshots are for ranks that may have to begin again. */
GwStatus gw__run_create_snapshots(Run *run) {
  const GwRank *rank = run->rank;
  if (!rank || run->recipe.train.snapshot_every == 0) return GW_OK;
  return gw_rank_snapshots_create(run->trainer, gw__run_world(run), rank->run, rank->epoch,
                                  &run->snapshots);
}

static GwStatus restore_snapshot(Run *run) {
  int64_t step = run->rank->snapshot;
  GwStatus status = gw_rank_snapshots_restore(&run->snapshots, step);
  if (status != GW_OK && run->rank->row) atomic_store(&run->rank->row->bad_copy, step);
  GW_TRY(status);
  run->step = step;
  gw_trainer_state_changed(run->trainer);
  return GW_OK;
}

static GwStatus restore_checkpoint(Run *run) {
  if (gw__run_writes(run)) GW_TRY(load(run));
  if (run->rank) GW_TRY(gw_world_barrier(gw__run_world(run)));
  if (!gw__run_writes(run) && run->place->node_rank == 0) GW_TRY(load(run));
  return run->rank ? agree_on_step(run) : GW_OK;
}

GwStatus gw__run_restore(Run *run) {
  run->saved = run->gathered = run->taken = -1;
  bool memory = run->rank && run->rank->snapshot >= 0 && run->snapshots.trainer;
  GW_TRY(memory ? restore_snapshot(run) : restore_checkpoint(run));
  if (!gw__run_writes(run)) return GW_OK;
  if (run->step > 0) gw_ledger_reach(run->folder.ledger, run->step);
  return gw_jsonl_cut(&run->folder.metrics, "step", run->step);
}

/* ---- keeping ---- */

/* A checkpoint that cannot be written for lack of space is reported and the run goes on with the
 * older one. */
static GwStatus tell_saved(Run *run, const GwCheckpointInfo *info, GwStatus status) {
  if (status == GW_OK) {
    run->saved = info->step;
    gw_run_folder_journal(&run->folder, "checkpoint", info->step,
                          json_pack("{s:o}", "state_hash", gw_json_from_hash(info->state_hash)));
    if (run->rank && run->rank->board)
      gw_board_tell(run->rank->board, &run->rank->board->checkpoint, info->step);
    GW_TRY(gw__run_moment(run, GW_MOMENT_SAVED, info->step));
  } else if (status == GW_NO_SPACE || status == GW_IO) {
    gw_log(GW_LOG_WARNING, "no checkpoint at step %lld, the older one is kept: %s",
           (long long)info->step, gw_error_message());
    gw_run_folder_journal(&run->folder, "checkpoint_failed", info->step,
                          json_pack("{s:s}", "why", gw_error_message()));
  } else if (status == GW_CORRUPT) {
    gw_trainer_accuse(run->trainer);
  }
  return status;
}

/* What has become of the checkpoint under way; BUSY: nothing yet. */
static GwSaverState look_at_saver(Run *run, GwStatus *status) {
  GwCheckpointInfo info;
  if (!run->saver) return GW_SAVER_IDLE;
  GwSaverState state = gw_saver_look(run->saver, &info, status);
  if (state == GW_SAVER_DONE) *status = tell_saved(run, &info, *status);
  return state;
}

/* That is progress, as the disk may be slow. */
GwStatus gw__run_await_saver(Run *run) {
  GwStatus status = GW_OK;
  uint64_t start = gw_clock_ns();
  while (look_at_saver(run, &status) == GW_SAVER_BUSY) {
    gw_clock_sleep(1000000);
    if (run->rank->row) atomic_fetch_add(&run->rank->row->progress, 1);
  }
  run->writing_ns += gw_clock_ns() - start;
  return status;
}

static void sync_record(void *self) { gw_run_folder_sync(self); }

static GwStatus save_behind(Run *run, const GwCheckpointInfo *info) {
  GwSaverOptions options = {.fs = run->folder.fs,
                            .dir = run->folder.checkpoints,
                            .keep = run->recipe.train.keep_checkpoints,
                            .groups = gw_trainer_state(run->trainer),
                            .count = GW_STATE_GROUPS,
                            .first = sync_record,
                            .self = &run->folder};
  if (!run->saver) GW_TRY(gw_saver_create(&options, &run->saver));
  return gw_saver_begin(run->saver, info);
}

/* The one before may have failed; that was told. */
static GwStatus make_way(Run *run, bool wait, bool *free) {
  GwStatus status = GW_OK;
  *free = wait || look_at_saver(run, &status) != GW_SAVER_BUSY;
  if (wait) status = gw__run_await_saver(run);
  if (!*free)
    gw_log(GW_LOG_INFO, "no checkpoint at step %lld: the one before is still being written",
           (long long)run->step);
  return gw__run_forgiven(status);
}

GwStatus gw__run_save(Run *run, bool wait) {
  bool free = true;
  if (run->gathered != run->step) GW_TRY(gw_trainer_gather(run->trainer));
  run->gathered = run->step;
  if (!gw__run_writes(run)) return GW_OK;
  if (run->rank) GW_TRY(make_way(run, wait, &free));
  if (!free || run->saved == run->step) return GW_OK;
  GwCheckpointInfo info = {.step = run->step,
                           .recipe_identity = gw_recipe_identity(&run->recipe),
                           .state_hash = run->report.state_hash};
  GW_TRY(gw__run_moment(run, GW_MOMENT_SAVE, run->step));
  if (run->rank) return save_behind(run, &info);
  gw_run_folder_sync(&run->folder);
  return tell_saved(run, &info,
                    gw_checkpoint_save(run->folder.fs, run->folder.checkpoints, &info,
                                       gw_trainer_state(run->trainer), GW_STATE_GROUPS,
                                       run->recipe.train.keep_checkpoints));
}

/* A rank's share of the state, kept in memory; and what became of the checkpoint under way. */
GwStatus gw__run_keep(Run *run) {
  GwStatus status = GW_OK;
  bool due = gw__run_due(run->step, run->recipe.train.snapshot_every);
  if (run->snapshots.trainer && due && run->taken <= run->known) {
    GW_TRY(gw_rank_snapshots_take(&run->snapshots, run->step, run->report.state_hash));
    run->taken = run->step;
    if (run->rank->row) atomic_store(&run->rank->row->snapshot, run->step);
  }
  (void)look_at_saver(run, &status);
  return status;
}
