/* From options to a run that can make its next step: data, folder, memory, trainer, evaluator. */
#include "exec/backend_cpu.h"
#include "os/probe.h"
#include "train/deal.h"
#include "train/run_data.h"
#include "train/run_parts.h"

static GwStatus open_corpus(Run *run) {
  GW_TRY(gw_run_data_open(run->options, &run->recipe, &run->corpus));
  if (!run->rank) gw_corpus_describe(run->corpus);
  return gw_sampler_init(run->corpus, run->recipe.data.seed, run->recipe.train.lanes,
                         run->recipe.train.lane_batch, run->recipe.model.context, &run->sampler);
}

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
  (void)call;
  Run *run = self;
  const GwRank *rank = run->rank;
  atomic_store_explicit(&rank->row->kind, (int32_t)gw_op_code(def), memory_order_relaxed);
  atomic_store_explicit(&rank->row->op, op, memory_order_relaxed);
  atomic_fetch_add_explicit(&rank->row->progress, 1, memory_order_relaxed);
  GW_TRY(gw_trainer_between(run->trainer, op));
  return rank->hook && rank->hook->op ? rank->hook->op(rank->hook->self, op) : GW_OK;
}

static GwStatus create_evaluator(Run *run) {
  if (gw_corpus_tokens(run->corpus, GW_SPLIT_VAL) < 2) return GW_OK;
  GW_TRY(gw_evaluator_create_in(gw_trainer_workspace(run->trainer),
                                gw_trainer_plan(run->trainer)->validation_batch, &run->recipe.model,
                                run->backend, run->pool, gw_trainer_params(run->trainer),
                                &run->evaluator));
  if (run->rank)
    gw_evaluator_share(run->evaluator, gw__run_world(run), run->watch.self ? &run->watch : NULL);
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
  GW_TRY(gw_trainer_create_in(gw__run_world(run), &run->recipe, run->backend, run->pool,
                              run->rank != NULL, &run->trainer));
  if (options->abft) GW_TRY(gw_trainer_verify_products(run->trainer));
  GW_TRY(make_lists(run));
  gw_trainer_deal(run->trainer, run->deal[run->place->rank], run->deal[run->place->rank + 1]);
  run->watch = (GwObserver){.before = before_op};
  if (run->rank && run->rank->row) run->watch.self = run;
  if (run->rank) gw_trainer_hook(run->trainer, run->rank->hook);
  if (run->watch.self) gw_trainer_observe(run->trainer, &run->watch);
  return create_evaluator(run);
}

static GwStatus open_folder(Run *run) {
  const char *path = run->report.run_dir;
  GW_TRY(gw_run_data_folder(run->options, &run->recipe, run->report.run_dir));
  GwFs *fs = run->rank && run->rank->fs ? run->rank->fs : gw_fs_disk();
  if (run->rank)
    return gw_run_folder_join(fs, path, &run->recipe, run->corpus, gw__run_writes(run),
                              &run->folder);
  return gw_run_folder_open(fs, path, &run->recipe, run->corpus, run->options, &run->folder);
}

GwStatus gw__run_read_ahead(Run *run) {
  GwPrefetchRange range = {.first = run->step,
                           .last = run->last,
                           .lane_first = run->deal[run->place->rank],
                           .lane_end = run->deal[run->place->rank + 1],
                           .depth = gw_training_read_ahead(gw_pool_threads(run->pool))};
  return gw_prefetch_create(&run->sampler, &range, &run->prefetch);
}

GwStatus gw__run_set_up(Run *run) {
  GW_TRY(open_corpus(run));
  run->last = run->options->steps >= 0 ? run->options->steps : run->recipe.train.steps;
  GW_TRY(create_compute(run));
  GW_TRY(open_folder(run));
  GW_TRY(gw__run_create_snapshots(run));
  GW_TRY(gw__run_restore(run));
  GW_TRY(gw__run_read_ahead(run));
  if (run->options->tensorboard && gw__run_writes(run))
    gw_event_file_open(run->folder.fs, run->options->tensorboard, run->step + 1, &run->events);
  gw_run_folder_journal(&run->folder, run->step > 0 ? "resume" : "start", run->step,
                        json_pack("{s:s, s:i, s:i, s:b, s:I, s:I}", "backend", run->backend->name,
                                  "ranks", (int)run->place->ranks, "threads",
                                  gw_pool_threads(run->pool), "abft", run->options->abft, "until",
                                  (json_int_t)run->last, "parameters",
                                  (json_int_t)gw_trainer_param_count(run->trainer)));
  if (run->rank && run->rank->board) {
    GwBoard *board = run->rank->board;
    if (gw__run_writes(run)) gw_board_tell(board, &board->restored, run->step);
    atomic_store(&run->rank->row->state, GW_RANK_READY);
  }
  return GW_OK;
}

void gw__run_tear_down(Run *run) {
  gw_saver_destroy(run->saver);
  gw_relief_destroy(&run->relief);
  gw_rank_snapshots_destroy(&run->snapshots);
  gw_prefetch_destroy(run->prefetch);
  gw_event_file_close(&run->events);
  gw_run_folder_close(&run->folder);
  gw_evaluator_destroy(run->evaluator);
  gw_trainer_destroy(run->trainer);
  gw_pool_destroy(run->pool);
  gw_corpus_close(run->corpus);
  gw_arena_deinit(&run->arena);
}
