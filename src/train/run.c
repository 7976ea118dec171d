/* The training loop: dull and short. Everything that decides a number is in the trainer; this
 * drives it over the folder of a run: sample, step, record, validate, checkpoint. Where there are
 * several ranks each runs this loop, and rank 0 alone has files to write to. */
#include "base/arena.h"
#include "data/prefetch.h"
#include "exec/backend_cpu.h"
#include "godwit/log.h"
#include "godwit/train.h"
#include "infer/evaluate.h"
#include "os/clock.h"
#include "os/probe.h"
#include "train/deal.h"
#include "train/rank.h"
#include "train/rank_snapshot.h"
#include "train/relief.h"
#include "train/run_data.h"
#include "train/run_folder.h"
#include "train/saver.h"
#include "train/trainer.h"

/* What a rank tells all others with each step. */
typedef struct {
  int64_t stop; /* 1: it was asked to end the run */
  GwRankTimes times;
} Note;

typedef struct {
  const GwTrainOptions *options;
  const GwRank *rank;   /* NULL: alone */
  const GwPlace *place; /* as if alone */
  GwRecipe recipe;      /* vocab_size resolved */
  GwCorpus *corpus;
  GwRunFolder folder;
  const GwBackend *backend;
  GwPool *pool;
  GwTrainer *trainer;
  GwEvaluator *evaluator; /* NULL without validation data */
  GwSampler sampler;
  GwPrefetch *prefetch; /* of the steps to come */
  GwRankSnapshots snapshots;
  GwSaver *saver; /* of rank 0 */
  bool way_told;
  uint64_t *signatures; /* of the step's lanes */
  GwObserver watch;     /* puts progress on the board */
  Note *notes;          /* [ranks] */
  int32_t *deal;        /* [ranks + 1], see gw_deal */
  GwRelief relief;
  GwRankTimes *times;                      /* [ranks] */
  uint64_t input_ns, transfer_ns, disk_ns; /* what they came to at the last note */
  uint64_t saving_ns;                      /* spent on checkpoints */
  bool stop;                               /* all have agreed to end */
  GwArena arena;
  int64_t step, last;   /* done; to be done */
  int64_t saved;        /* the newest checkpoint's step, -1: none */
  int64_t gathered;     /* the last step whose moments every node was given */
  uint64_t training_ns; /* spent in steps */
  int64_t trained_tokens;
  GwProgress progress;
  GwTrainReport report;
} Run;

/* ---- setting up ---- */

static GwStatus open_corpus(Run *run) {
  GW_TRY(gw_run_data_open(run->options, &run->recipe, &run->corpus));
  return gw_sampler_init(run->corpus, run->recipe.data.seed, run->recipe.train.lanes,
                         run->recipe.train.lane_batch, run->recipe.model.context, &run->sampler);
}

static GwWorld *world_of(const Run *run) { return run->rank ? run->rank->world : NULL; }

static bool writes(const Run *run) { return run->place->rank == 0; }

/* What the ranks of this node take together. */
static int64_t node_bytes(const Run *run, const GwTrainingPlan *plan) {
  const GwTrainingMemory *memory = &plan->memory;
  int64_t shared = memory->params + memory->moments, each = memory->total - plan->lanes_bytes;
  return shared + run->place->node_ranks * (each - shared);
}

/* A run that outgrows the machine would be killed in the middle, without a word. */
static GwStatus check_memory(const Run *run) {
  GwTrainingPlan plan;
  GwTrainingPart part = {.ranks = run->place->ranks, .threads = gw_pool_threads(run->pool)};
  GW_TRY(gw_training_plan_create(&run->recipe, &part, &plan));
  double needed = (double)node_bytes(run, &plan);
  double available = (double)gw_probe_memory_available_bytes();
  gw_training_plan_destroy(&plan);
  if (available == 0 || needed <= available) return GW_OK;
  return gw_fail(GW_MEMORY,
                 "recipe '%s' needs %.1f GB of memory, and %.1f GB are available; lower "
                 "train.lane_batch, model.context or the model's size, or set train.memory_limit "
                 "(`godwit program` says what takes how much)",
                 run->recipe.name, needed * 1e-9, available * 1e-9);
}

/* Progress on the board, op by op. */
static GwStatus before_op(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)def, (void)call;
  const GwRank *rank = self;
  atomic_store_explicit(&rank->row->op, op, memory_order_relaxed);
  atomic_fetch_add_explicit(&rank->row->progress, 1, memory_order_relaxed);
  return rank->hook && rank->hook->op ? rank->hook->op(rank->hook->self, op) : GW_OK;
}

static GwStatus create_evaluator(Run *run) {
  if (gw_corpus_tokens(run->corpus, GW_SPLIT_VAL) < 2) return GW_OK;
  GW_TRY(gw_evaluator_create_in(gw_trainer_workspace(run->trainer),
                                gw_trainer_plan(run->trainer)->validation_batch, &run->recipe.model,
                                run->backend, run->pool, gw_trainer_params(run->trainer),
                                &run->evaluator));
  if (run->rank)
    gw_evaluator_share(run->evaluator, world_of(run), run->watch.self ? &run->watch : NULL);
  return GW_OK;
}

/* The processors of a machine are split among its ranks. */
static int threads_of(const Run *run) {
  if (run->options->threads > 0 || !run->rank) return run->options->threads;
  return (int)gw_max_i64(1, gw_processor_count() / run->place->node_ranks);
}

static GwStatus make_lists(Run *run) {
  run->signatures = GW_ARENA_ARRAY(&run->arena, uint64_t, run->recipe.train.lanes);
  run->notes = GW_ARENA_ARRAY(&run->arena, Note, run->place->ranks);
  run->deal = GW_ARENA_ARRAY(&run->arena, int32_t, run->place->ranks + 1);
  run->times = GW_ARENA_ARRAY(&run->arena, GwRankTimes, run->place->ranks);
  if (!run->signatures || !run->notes || !run->deal || !run->times)
    return gw_fail(GW_MEMORY, "no memory for %d lanes", run->recipe.train.lanes);
  gw_deal(run->recipe.train.lanes, run->place->ranks, NULL, run->deal);
  return gw_relief_create(run->recipe.train.lanes, run->place->ranks, &run->relief);
}

static GwStatus create_compute(Run *run) {
  const GwTrainOptions *options = run->options;
  if (run->place->ranks > run->recipe.train.lanes)
    return gw_fail(GW_USAGE,
                   "%d ranks are more than the recipe's %d lanes; train.lanes says into "
                   "how many parts a step can be cut",
                   run->place->ranks, run->recipe.train.lanes);
  GW_TRY(gw_backend_choose(options->backend, options->isa, &run->backend));
  if (options->abft && run->backend == gw_backend_reference())
    return gw_fail(GW_USAGE, "--abft checks the fast kernels: --backend reference runs none");
  GW_TRY(gw_pool_create(threads_of(run), &run->pool));
  GW_TRY(check_memory(run));
  GW_TRY(gw_trainer_create_in(world_of(run), &run->recipe, run->backend, run->pool,
                              run->rank != NULL, &run->trainer));
  if (options->abft) GW_TRY(gw_trainer_verify_products(run->trainer));
  GW_TRY(make_lists(run));
  gw_trainer_deal(run->trainer, run->deal[run->place->rank], run->deal[run->place->rank + 1]);
  run->watch = (GwObserver){.before = before_op};
  if (run->rank && run->rank->row) run->watch.self = (void *)run->rank;
  if (run->rank) gw_trainer_hook(run->trainer, run->rank->hook);
  if (run->watch.self) gw_trainer_observe(run->trainer, &run->watch);
  return create_evaluator(run);
}

static GwStatus open_folder(Run *run) {
  const char *path = run->report.run_dir;
  GW_TRY(gw_run_data_folder(run->options, &run->recipe, run->report.run_dir));
  GwFs *fs = run->rank && run->rank->fs ? run->rank->fs : gw_fs_disk();
  if (run->rank)
    return gw_run_folder_join(fs, path, &run->recipe, run->corpus, writes(run), &run->folder);
  return gw_run_folder_open(fs, path, &run->recipe, run->corpus, run->options->resume,
                            &run->folder);
}

/* Goes to the newest good checkpoint, or stays at the initial values when there is none. A bad one
 * is set aside by rank 0 alone. */
static GwStatus load(Run *run) {
  GwCheckpointInfo info = {0};
  char path[GW_PATH_MAX];
  GwStatus status = (writes(run) ? gw_checkpoint_load_newest : gw_checkpoint_view_newest)(
      run->folder.fs, run->folder.checkpoints, gw_trainer_state(run->trainer), GW_STATE_GROUPS,
      &info, path, sizeof path);
  if (status == GW_NOT_FOUND) return GW_OK;
  GW_TRY(status);
  if (info.recipe_identity != gw_recipe_identity(&run->recipe))
    return gw_fail(GW_MISMATCH, "%s is of another recipe", path);
  run->step = run->saved = info.step;
  if (writes(run)) gw_log(GW_LOG_INFO, "resuming from %s", path);
  return GW_OK;
}

/* Every rank learns the step that node 0 has loaded; other nodes must find the same. */
static GwStatus agree_on_step(Run *run) {
  int64_t *steps = GW_ARENA_ARRAY(&run->arena, int64_t, run->place->ranks);
  if (!steps) return gw_fail(GW_MEMORY, "no memory for %d ranks", run->place->ranks);
  if (run->place->node_rank > 0) run->step = run->saved = -1;
  GW_TRY(gw_world_gather(world_of(run), &run->step, sizeof run->step, steps));
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
static GwStatus create_snapshots(Run *run) {
  const GwRank *rank = run->rank;
  if (!rank || run->recipe.train.snapshot_every == 0) return GW_OK;
  return gw_rank_snapshots_create(run->trainer, run->place, rank->run, rank->epoch,
                                  &run->snapshots);
}

static GwStatus restore_snapshot(Run *run) {
  int64_t step = run->rank->snapshot;
  GwStatus status = gw_rank_snapshots_restore(&run->snapshots, world_of(run), step);
  if (status != GW_OK && run->rank->row) atomic_store(&run->rank->row->bad_copy, step);
  GW_TRY(status);
  run->step = step;
  gw_trainer_state_changed(run->trainer);
  return GW_OK;
}

static GwStatus restore_checkpoint(Run *run) {
  if (writes(run)) GW_TRY(load(run));
  if (run->rank) GW_TRY(gw_world_barrier(world_of(run)));
  if (!writes(run) && run->place->node_rank == 0) GW_TRY(load(run));
  return run->rank ? agree_on_step(run) : GW_OK;
}

static GwStatus restore(Run *run) {
  run->saved = run->gathered = -1;
  bool memory = run->rank && run->rank->snapshot >= 0 && run->snapshots.trainer;
  GW_TRY(memory ? restore_snapshot(run) : restore_checkpoint(run));
  if (!writes(run)) return GW_OK;
  if (run->step > 0) gw_ledger_reach(run->folder.ledger, run->step);
  return gw_jsonl_cut(&run->folder.metrics, "step", run->step);
}

static GwStatus read_ahead(Run *run) {
  GwPrefetchRange range = {.first = run->step,
                           .last = run->last,
                           .lane_first = run->deal[run->place->rank],
                           .lane_end = run->deal[run->place->rank + 1],
                           .depth = gw_training_read_ahead(gw_pool_threads(run->pool))};
  return gw_prefetch_create(&run->sampler, &range, &run->prefetch);
}

static GwStatus set_up(Run *run) {
  GW_TRY(open_corpus(run));
  run->last = run->options->steps >= 0 ? run->options->steps : run->recipe.train.steps;
  GW_TRY(create_compute(run));
  GW_TRY(open_folder(run));
  GW_TRY(create_snapshots(run));
  GW_TRY(restore(run));
  GW_TRY(read_ahead(run));
  gw_run_folder_journal(&run->folder, run->step > 0 ? "resume" : "start", run->step,
                        json_pack("{s:s, s:i, s:i, s:b, s:I, s:I}", "backend", run->backend->name,
                                  "ranks", (int)run->place->ranks, "threads",
                                  gw_pool_threads(run->pool), "abft", run->options->abft, "until",
                                  (json_int_t)run->last, "parameters",
                                  (json_int_t)gw_trainer_param_count(run->trainer)));
  if (run->rank && run->rank->board) {
    GwBoard *board = run->rank->board;
    if (writes(run)) gw_board_tell(board, &board->restored, run->step);
    atomic_store(&run->rank->row->state, GW_RANK_READY);
  }
  return GW_OK;
}

static void tear_down(Run *run) {
  gw_saver_destroy(run->saver);
  gw_relief_destroy(&run->relief);
  gw_rank_snapshots_destroy(&run->snapshots);
  gw_prefetch_destroy(run->prefetch);
  gw_run_folder_close(&run->folder);
  gw_evaluator_destroy(run->evaluator);
  gw_trainer_destroy(run->trainer);
  gw_pool_destroy(run->pool);
  gw_corpus_close(run->corpus);
  gw_arena_deinit(&run->arena);
}

/* ---- one step ---- */

static GwStatus take_batch(void *context, int64_t step, int32_t lane, GwLaneInputs in) {
  const Run *run = context;
  return gw_prefetch_take(run->prefetch, step, lane, in.tokens, in.targets, in.positions);
}

/* Says once how the threads are used, where there was a choice. */
static void tell_way(Run *run) {
  const GwWayChoice *way = gw_trainer_way(run->trainer);
  if (run->way_told || way->chosen == GW_WAY_UNDECIDED) return;
  run->way_told = true;
  if (way->steps == 0) return;
  bool lanes = way->chosen == GW_WAY_LANES;
  double lanes_ms = (double)way->lanes_ns * 1e-6, inside_ms = (double)way->inside_ns * 1e-6;
  gw_log(GW_LOG_INFO, "threads: %s (%.1f ms of a step; %.1f ms the other way)",
         lanes ? "a lane on each" : "all on one lane after the other", lanes ? lanes_ms : inside_ms,
         lanes ? inside_ms : lanes_ms);
  gw_run_folder_journal(&run->folder, "threads", run->step,
                        json_pack("{s:s, s:f, s:f}", "way", lanes ? "lanes" : "inside", "lanes_ms",
                                  lanes_ms, "inside_ms", inside_ms));
}

static bool wants_to_stop(const Run *run) {
  if (run->options->stop && *run->options->stop) return true;
  return run->rank && run->rank->board && atomic_load(&run->rank->board->end_asked);
}

static GwStatus moment(Run *run, GwMoment which, int64_t step) {
  const GwMomentHook *hook = run->rank ? run->rank->hook : NULL;
  return hook ? hook->at(hook->self, which, step, run->trainer) : GW_OK;
}

/* What grew since it was last asked. */
static uint64_t grown(uint64_t *before, uint64_t now) {
  uint64_t by = now - *before;
  *before = now;
  return by;
}

/* What this rank has spent: on its lanes now, on the rest since the step before. */
static GwRankTimes spent(Run *run, uint64_t lanes_ns) {
  int32_t rank = run->place->rank;
  GwRankTimes times = {.lanes = run->deal[rank + 1] - run->deal[rank]};
  uint64_t input = grown(&run->input_ns, gw_prefetch_waited_ns(run->prefetch));
  times.ns[GW_TIME_INPUT] = input;
  times.ns[GW_TIME_COMPUTE] = lanes_ns > input ? lanes_ns - input : 0;
  times.ns[GW_TIME_NETWORK] = grown(&run->transfer_ns, gw_trainer_transfer_ns(run->trainer));
  times.ns[GW_TIME_DISK] = grown(&run->disk_ns, run->saving_ns);
  return times;
}

/* Slow ranks get fewer lanes, and those that are well again get theirs back. */
static GwStatus relieve(Run *run) {
  for (int32_t r = 0; r < run->place->ranks; r++) run->times[r] = run->notes[r].times;
  if (!gw_relief_step(&run->relief, run->times, run->deal)) return GW_OK;
  for (int32_t i = 0; i < run->relief.report_count; i++) {
    const GwStragglerReport *report = &run->relief.reports[i];
    int32_t lanes = run->deal[report->rank + 1] - run->deal[report->rank];
    gw_run_folder_journal(&run->folder, report->slow ? "slow" : "well_again", run->step,
                          json_pack("{s:i, s:s, s:f, s:i}", "rank", (int)report->rank, "cause",
                                    gw_time_class_name(report->class), "ratio", report->ratio,
                                    "lanes", (int)lanes));
    if (writes(run) && report->slow)
      gw_log(GW_LOG_WARNING,
             "rank %d takes %.2f times as long as the others (%s): it gets %d lanes", report->rank,
             report->ratio, gw_time_class_name(report->class), lanes);
  }
  gw_trainer_deal(run->trainer, run->deal[run->place->rank], run->deal[run->place->rank + 1]);
  gw_prefetch_destroy(run->prefetch);
  run->prefetch = NULL;
  run->input_ns = 0;
  return read_ahead(run);
}

static GwStatus make_step(Run *run, GwStepReport *out) {
  GwTrainer *trainer = run->trainer;
  Note note;
  GwNotes notes = {&note, run->notes, sizeof note};
  if (run->rank && run->rank->row) {
    atomic_store(&run->rank->row->step, run->step + 1);
    atomic_store(&run->rank->row->op, -1);
  }
  GW_TRY(moment(run, GW_MOMENT_BEGIN, run->step + 1));
  gw_trainer_begin(trainer);
  uint64_t start = gw_clock_ns();
  GW_TRY(gw_trainer_lanes(trainer, run->step, take_batch, run, run->signatures));
  note.times = spent(run, gw_clock_ns() - start);
  note.stop = wants_to_stop(run);
  GW_TRY(gw_trainer_end(trainer, run->step, &notes, out));
  if (!run->rank) run->notes[0].stop = wants_to_stop(run);
  for (int32_t r = 0; r < run->place->ranks; r++) run->stop |= run->notes[r].stop != 0;
  run->step++;
  tell_way(run);
  return run->rank ? relieve(run) : GW_OK;
}

static GwStatus record(Run *run, const GwStepReport *step, double seconds) {
  GwLedgerEntry entry = {.step = run->step,
                         .loss_sum = step->loss_sum,
                         .tokens = step->tokens,
                         .total_signature = step->signature,
                         .state_hash = step->state_hash};
  run->report.state_hash = entry.state_hash;
  run->report.has_loss = true;
  run->report.loss = step->loss;
  if (!writes(run)) return GW_OK;
  gw_jsonl_add(&run->folder.metrics,
               json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:f}", "step", (json_int_t)run->step,
                         "loss", step->loss, "lr", step->lr, "gradient_norm", step->gradient_norm,
                         "tokens", (json_int_t)step->tokens, "seconds", seconds,
                         "tokens_per_second", (double)step->tokens / seconds));
  GW_TRY(gw_ledger_put(run->folder.ledger, &entry, run->signatures));
  if (run->rank && run->rank->board)
    gw_board_tell(run->rank->board, &run->rank->board->committed, run->step);
  return GW_OK;
}

static void show(Run *run, const GwStepReport *step) {
  double rate = (double)run->trained_tokens / ((double)run->training_ns * 1e-9);
  int64_t every = run->recipe.train.log_every;
  if (!writes(run)) return;
  if (run->progress.terminal)
    gw_progress_update(&run->progress, (double)run->step / (double)run->last,
                       "step %lld/%lld  loss %.4f  %.0f tokens/s", (long long)run->step,
                       (long long)run->last, step->loss, rate);
  else if (every > 0 && (run->step % every == 0 || run->step == run->last))
    gw_log(GW_LOG_INFO, "step %lld/%lld  loss %.4f  norm %.3f  lr %.3g  %.0f tokens/s",
           (long long)run->step, (long long)run->last, step->loss, step->gradient_norm, step->lr,
           rate);
}

/* ---- now and then ---- */

static GwStatus validate(Run *run, int64_t max_tokens) {
  if (!run->evaluator) return GW_OK;
  GwEvaluation evaluation;
  GW_TRY(gw_evaluator_corpus(run->evaluator, run->corpus, GW_SPLIT_VAL, max_tokens,
                             run->recipe.model.context, NULL, &evaluation));
  run->report.has_validation = true;
  run->report.validation_loss = evaluation.nats_per_token;
  run->report.bits_per_byte = evaluation.bits_per_byte;
  if (!writes(run)) return GW_OK;
  gw_log(GW_LOG_INFO, "step %lld: validation loss %.4f nats per token, %.4f bits per byte",
         (long long)run->step, evaluation.nats_per_token, evaluation.bits_per_byte);
  gw_run_folder_journal(&run->folder, "validation", run->step,
                        json_pack("{s:f, s:f, s:I}", "loss", evaluation.nats_per_token,
                                  "bits_per_byte", evaluation.bits_per_byte, "tokens",
                                  (json_int_t)evaluation.tokens));
  return GW_OK;
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

/* A checkpoint that cannot be written for lack of space is reported and the run goes on with the
 * older one. */
static GwStatus tell_saved(Run *run, const GwCheckpointInfo *info, GwStatus status) {
  if (status == GW_OK) {
    run->saved = info->step;
    gw_run_folder_journal(&run->folder, "checkpoint", info->step,
                          json_pack("{s:o}", "state_hash", gw_json_from_hash(info->state_hash)));
    if (run->rank && run->rank->board)
      gw_board_tell(run->rank->board, &run->rank->board->checkpoint, info->step);
    GW_TRY(moment(run, GW_MOMENT_SAVED, info->step));
  } else if (status == GW_NO_SPACE || status == GW_IO) {
    gw_log(GW_LOG_WARNING, "no checkpoint at step %lld, the older one is kept: %s",
           (long long)info->step, gw_error_message());
    gw_run_folder_journal(&run->folder, "checkpoint_failed", info->step,
                          json_pack("{s:s}", "why", gw_error_message()));
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

/* Waits for the checkpoint under way: that is progress, as the disk may be slow. */
static GwStatus await_saver(Run *run) {
  GwStatus status = GW_OK;
  uint64_t start = gw_clock_ns();
  while (look_at_saver(run, &status) == GW_SAVER_BUSY) {
    gw_clock_sleep(1000000);
    if (run->rank->row) atomic_fetch_add(&run->rank->row->progress, 1);
  }
  run->saving_ns += gw_clock_ns() - start;
  return status;
}

static GwStatus save_behind(Run *run, const GwCheckpointInfo *info) {
  if (!run->saver)
    GW_TRY(gw_saver_create(run->folder.fs, run->folder.checkpoints,
                           run->recipe.train.keep_checkpoints, gw_trainer_state(run->trainer),
                           GW_STATE_GROUPS, &run->saver));
  GW_TRY(await_saver(run));
  return gw_saver_begin(run->saver, info, run->pool);
}

/* Ranks go on while rank 0 saves behind them. */
static GwStatus save(Run *run) {
  if (run->gathered != run->step) GW_TRY(gw_trainer_gather(run->trainer));
  run->gathered = run->step;
  if (!writes(run)) return GW_OK;
  if (run->rank) GW_TRY(await_saver(run));
  if (run->saved == run->step) return GW_OK;
  GwCheckpointInfo info = {.step = run->step,
                           .recipe_identity = gw_recipe_identity(&run->recipe),
                           .state_hash = run->report.state_hash};
  gw_run_folder_sync(&run->folder);
  GW_TRY(moment(run, GW_MOMENT_SAVE, run->step));
  if (run->rank) return save_behind(run, &info);
  return tell_saved(run, &info,
                    gw_checkpoint_save(run->folder.fs, run->folder.checkpoints, &info,
                                       gw_trainer_state(run->trainer), GW_STATE_GROUPS,
                                       run->recipe.train.keep_checkpoints));
}

/* A rank's share of the state, kept in memory; and what became of the checkpoint under way. */
static GwStatus keep(Run *run) {
  GwStatus status = GW_OK;
  if (run->snapshots.trainer && due(run->step, run->recipe.train.snapshot_every)) {
    gw_rank_snapshots_take(&run->snapshots, run->step, run->report.state_hash);
    if (run->rank->row) atomic_store(&run->rank->row->snapshot, run->step);
  }
  (void)look_at_saver(run, &status);
  return status;
}

/* The run goes on without a checkpoint that found no room. */
static GwStatus forgiven(GwStatus status) {
  return status == GW_NO_SPACE || status == GW_IO ? GW_OK : status;
}

static GwStatus train_to_the_end(Run *run) {
  gw_progress_begin(&run->progress, "train");
  while (run->step < run->last && !run->stop) {
    GwStepReport step;
    uint64_t start = gw_clock_ns();
    GW_TRY(make_step(run, &step));
    uint64_t spent = gw_clock_ns() - start;
    run->training_ns += spent;
    run->trained_tokens += step.tokens;
    GW_TRY(record(run, &step, (double)spent * 1e-9));
    GW_TRY(forgiven(keep(run)));
    GW_TRY(moment(run, GW_MOMENT_MADE, run->step));
    show(run, &step);
    if (run->step == run->last) break;
    if (due(run->step, run->recipe.train.validate_every))
      GW_TRY(validate(run, run->recipe.train.validate_tokens));
    if (due(run->step, run->recipe.train.checkpoint_every)) GW_TRY(forgiven(save(run)));
  }
  if (run->progress.terminal && writes(run))
    gw_progress_end(&run->progress, "step %lld  loss %.4f", (long long)run->step, run->report.loss);
  return GW_OK;
}

static GwStatus finish(Run *run) {
  run->report.interrupted = run->step < run->last;
  GW_TRY(save(run));
  if (run->rank && writes(run)) GW_TRY(await_saver(run));
  if (!run->report.interrupted) GW_TRY(validate(run, 0));
  gw_run_folder_journal(&run->folder, run->report.interrupted ? "stop" : "end", run->step, NULL);
  return GW_OK;
}

static GwStatus run_whole(Run *run) {
  GW_TRY(set_up(run));
  run->report.was_finished = run->options->resume && run->step > 0 && run->step >= run->last;
  run->report.state_hash = gw_trainer_hash(run->trainer, run->step);
  run->stop = !run->rank && wants_to_stop(run);
  GwStatus status = train_to_the_end(run);
  if (status == GW_OK) status = finish(run);
  if (status == GW_NUMERIC)
    gw_run_folder_journal(&run->folder, "incident", run->step,
                          json_pack("{s:s}", "what", gw_error_message()));
  if (status != GW_OK && run->rank && run->rank->row) {
    gw_board_say(run->rank->row, gw_error_message()); /* it goes with the accusation */
    atomic_store(&run->rank->row->accused, gw_trainer_accused(run->trainer));
  }
  return status;
}

GwStatus gw_train_rank(const GwTrainOptions *options, const GwRank *rank, GwTrainReport *out) {
  static const GwPlace alone = {.ranks = 1, .nodes = 1, .node_ranks = 1};
  Run run = {.options = options,
             .rank = rank,
             .place = rank ? gw_world_place(rank->world) : &alone,
             .recipe = *options->recipe,
             .folder = {.lock = {-1}}};
  gw_arena_init(&run.arena);
  GwStatus status = run_whole(&run);
  run.report.step = run.step;
  if (run.training_ns > 0)
    run.report.tokens_per_second = (double)run.trained_tokens / ((double)run.training_ns * 1e-9);
  tear_down(&run);
  if (status == GW_OK) *out = run.report;
  return status;
}

GwStatus gw_train(const GwTrainOptions *options, GwTrainReport *out) {
  return gw_train_rank(options, NULL, out);
}
