/* The training loop: dull and short. Everything that decides a number is in the trainer; this
 * drives it over the folder of a run: sample, step, record, validate, checkpoint. */
#include <string.h>

#include "base/arena.h"
#include "data/prefetch.h"
#include "exec/backend_cpu.h"
#include "godwit/log.h"
#include "godwit/train.h"
#include "infer/evaluate.h"
#include "os/clock.h"
#include "os/probe.h"
#include "train/run_folder.h"
#include "train/trainer.h"

typedef struct {
  const GwTrainOptions *options;
  GwRecipe recipe; /* vocab_size resolved */
  GwCorpus *corpus;
  GwRunFolder folder;
  const GwBackend *backend;
  GwPool *pool;
  GwTrainer *trainer;
  GwEvaluator *evaluator; /* NULL without validation data */
  GwSampler sampler;
  GwPrefetch *prefetch; /* of the steps to come */
  bool way_told;
  uint64_t *signatures; /* of the step's lanes */
  GwArena arena;
  int64_t step, last;   /* done; to be done */
  int64_t saved;        /* the newest checkpoint's step, -1: none */
  uint64_t training_ns; /* spent in steps */
  int64_t trained_tokens;
  GwProgress progress;
  GwTrainReport report;
} Run;

/* ---- setting up ---- */

static GwStatus open_corpus(Run *run) {
  const char *dir = run->options->data_dir ? run->options->data_dir : run->recipe.data.dir;
  if (!dir[0])
    return gw_fail(GW_USAGE, "no data: give --data DIR, a folder that `godwit prepare` wrote");
  GW_TRY(gw_corpus_open(dir, true, &run->corpus));
  /* The run's recipe names the data it really used. */
  if (strlen(dir) >= sizeof run->recipe.data.dir)
    return gw_fail(GW_INVALID, "%s: the path of the data is too long", dir);
  memmove(run->recipe.data.dir, dir, strlen(dir) + 1);
  int32_t vocab = gw_tokenizer_vocab_size(gw_corpus_tokenizer(run->corpus));
  if (run->recipe.model.vocab_size == 0) run->recipe.model.vocab_size = vocab;
  if (run->recipe.model.vocab_size < vocab)
    return gw_fail(
        GW_MISMATCH,
        "model.vocab_size is %d, but the tokenizer of %s has %d tokens; set it to 0 to take "
        "the data's",
        run->recipe.model.vocab_size, dir, vocab);
  return gw_sampler_init(run->corpus, run->recipe.data.seed, run->recipe.train.lanes,
                         run->recipe.train.lane_batch, run->recipe.model.context, &run->sampler);
}

/* A run that outgrows the machine would be killed in the middle, without a word. */
static GwStatus check_memory(const Run *run) {
  GwTrainingPlan plan;
  GW_TRY(gw_training_plan_create(&run->recipe, gw_pool_threads(run->pool), &plan));
  double needed = (double)(plan.memory.total - plan.lanes_bytes);
  double available = (double)gw_probe_memory_available_bytes();
  gw_training_plan_destroy(&plan);
  if (available == 0 || needed <= available) return GW_OK;
  return gw_fail(GW_MEMORY,
                 "recipe '%s' needs %.1f GB of memory, and %.1f GB are available; lower "
                 "train.lane_batch, model.context or the model's size, or set train.memory_limit "
                 "(`godwit program` says what takes how much)",
                 run->recipe.name, needed * 1e-9, available * 1e-9);
}

static GwStatus create_compute(Run *run) {
  const GwTrainOptions *options = run->options;
  GW_TRY(gw_backend_choose(options->backend, options->isa, &run->backend));
  if (options->abft && run->backend == gw_backend_reference())
    return gw_fail(GW_USAGE, "--abft checks the fast kernels: --backend reference runs none");
  GW_TRY(gw_pool_create(options->threads, &run->pool));
  GW_TRY(check_memory(run));
  GW_TRY(gw_trainer_create(&run->recipe, run->backend, run->pool, &run->trainer));
  if (options->abft) GW_TRY(gw_trainer_verify_products(run->trainer));
  run->signatures = GW_ARENA_ARRAY(&run->arena, uint64_t, run->recipe.train.lanes);
  if (!run->signatures)
    return gw_fail(GW_MEMORY, "no memory for %d lanes", run->recipe.train.lanes);
  if (gw_corpus_tokens(run->corpus, GW_SPLIT_VAL) < 2) return GW_OK;
  return gw_evaluator_create_in(gw_trainer_workspace(run->trainer),
                                gw_trainer_plan(run->trainer)->validation_batch, &run->recipe.model,
                                run->backend, run->pool, gw_trainer_params(run->trainer),
                                &run->evaluator);
}

static GwStatus open_folder(Run *run) {
  char path[sizeof run->report.run_dir];
  int length = run->options->run_dir ? snprintf(path, sizeof path, "%s", run->options->run_dir)
                                     : snprintf(path, sizeof path, "runs/%s", run->recipe.name);
  if (length < 0 || (size_t)length >= sizeof path)
    return gw_fail(GW_USAGE, "the run folder's path is too long");
  memcpy(run->report.run_dir, path, sizeof path);
  return gw_run_folder_open(gw_fs_disk(), path, &run->recipe, run->corpus, run->options->resume,
                            &run->folder);
}

/* Goes to the newest good checkpoint, or stays at the initial values when there is none. */
static GwStatus restore(Run *run) {
  GwCheckpointInfo info = {0};
  char path[GW_PATH_MAX];
  run->saved = -1;
  GwStatus status = gw_checkpoint_load_newest(run->folder.fs, run->folder.checkpoints,
                                              gw_trainer_state(run->trainer), GW_STATE_GROUPS,
                                              &info, path, sizeof path);
  if (status == GW_NOT_FOUND) return gw_jsonl_cut(&run->folder.metrics, "step", 0);
  GW_TRY(status);
  if (info.recipe_identity != gw_recipe_identity(&run->recipe))
    return gw_fail(GW_MISMATCH, "%s is of another recipe", path);
  run->step = run->saved = info.step;
  gw_log(GW_LOG_INFO, "resuming from %s", path);
  gw_ledger_reach(run->folder.ledger, info.step);
  return gw_jsonl_cut(&run->folder.metrics, "step", info.step);
}

static GwStatus set_up(Run *run) {
  GW_TRY(open_corpus(run));
  run->last = run->options->steps >= 0 ? run->options->steps : run->recipe.train.steps;
  GW_TRY(create_compute(run));
  GW_TRY(open_folder(run));
  GW_TRY(restore(run));
  GW_TRY(gw_prefetch_create(&run->sampler, run->step, run->last,
                            gw_training_read_ahead(gw_pool_threads(run->pool)), &run->prefetch));
  gw_run_folder_journal(&run->folder, run->step > 0 ? "resume" : "start", run->step,
                        json_pack("{s:s, s:i, s:b, s:I, s:I}", "backend", run->backend->name,
                                  "threads", gw_pool_threads(run->pool), "abft", run->options->abft,
                                  "until", (json_int_t)run->last, "parameters",
                                  (json_int_t)gw_trainer_param_count(run->trainer)));
  return GW_OK;
}

static void tear_down(Run *run) {
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

static GwStatus make_step(Run *run, GwStepReport *out) {
  GwTrainer *trainer = run->trainer;
  gw_trainer_begin(trainer);
  GW_TRY(gw_trainer_lanes(trainer, run->step, take_batch, run, run->signatures));
  GW_TRY(gw_trainer_end(trainer, run->step, out));
  run->step++;
  tell_way(run);
  return GW_OK;
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
  gw_jsonl_add(&run->folder.metrics,
               json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:f}", "step", (json_int_t)run->step,
                         "loss", step->loss, "lr", step->lr, "gradient_norm", step->gradient_norm,
                         "tokens", (json_int_t)step->tokens, "seconds", seconds,
                         "tokens_per_second", (double)step->tokens / seconds));
  return gw_ledger_put(run->folder.ledger, &entry, run->signatures);
}

static void show(Run *run, const GwStepReport *step) {
  double rate = (double)run->trained_tokens / ((double)run->training_ns * 1e-9);
  int64_t every = run->recipe.train.log_every;
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
  gw_log(GW_LOG_INFO, "step %lld: validation loss %.4f nats per token, %.4f bits per byte",
         (long long)run->step, evaluation.nats_per_token, evaluation.bits_per_byte);
  gw_run_folder_journal(&run->folder, "validation", run->step,
                        json_pack("{s:f, s:f, s:I}", "loss", evaluation.nats_per_token,
                                  "bits_per_byte", evaluation.bits_per_byte, "tokens",
                                  (json_int_t)evaluation.tokens));
  return GW_OK;
}

/* A checkpoint that cannot be written for lack of space is reported and the run goes on with the
 * older one. */
static GwStatus save(Run *run) {
  if (run->saved == run->step) return GW_OK;
  GwCheckpointInfo info = {.step = run->step,
                           .recipe_identity = gw_recipe_identity(&run->recipe),
                           .state_hash = gw_trainer_hash(run->trainer, run->step)};
  gw_run_folder_sync(&run->folder);
  GwStatus status = gw_checkpoint_save(run->folder.fs, run->folder.checkpoints, &info,
                                       gw_trainer_state(run->trainer), GW_STATE_GROUPS,
                                       run->recipe.train.keep_checkpoints);
  if (status == GW_OK) {
    run->saved = run->step;
    gw_run_folder_journal(&run->folder, "checkpoint", run->step,
                          json_pack("{s:o}", "state_hash", gw_json_from_hash(info.state_hash)));
  } else if (status == GW_NO_SPACE || status == GW_IO) {
    gw_log(GW_LOG_WARNING, "no checkpoint at step %lld, the older one is kept: %s",
           (long long)run->step, gw_error_message());
    gw_run_folder_journal(&run->folder, "checkpoint_failed", run->step,
                          json_pack("{s:s}", "why", gw_error_message()));
  }
  return status;
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

static bool wants_to_stop(const Run *run) { return run->options->stop && *run->options->stop; }

static GwStatus train_to_the_end(Run *run) {
  gw_progress_begin(&run->progress, "train");
  while (run->step < run->last && !wants_to_stop(run)) {
    GwStepReport step;
    uint64_t start = gw_clock_ns();
    GW_TRY(make_step(run, &step));
    uint64_t spent = gw_clock_ns() - start;
    run->training_ns += spent;
    run->trained_tokens += step.tokens;
    GW_TRY(record(run, &step, (double)spent * 1e-9));
    show(run, &step);
    if (run->step == run->last) break;
    if (due(run->step, run->recipe.train.validate_every))
      GW_TRY(validate(run, run->recipe.train.validate_tokens));
    if (due(run->step, run->recipe.train.checkpoint_every)) {
      GwStatus status = save(run);
      if (status != GW_OK && status != GW_NO_SPACE && status != GW_IO) return status;
    }
  }
  if (run->progress.terminal)
    gw_progress_end(&run->progress, "step %lld  loss %.4f", (long long)run->step, run->report.loss);
  return GW_OK;
}

static GwStatus finish(Run *run) {
  run->report.interrupted = run->step < run->last;
  GW_TRY(save(run));
  if (!run->report.interrupted) GW_TRY(validate(run, 0));
  gw_run_folder_journal(&run->folder, run->report.interrupted ? "stop" : "end", run->step, NULL);
  return GW_OK;
}

GwStatus gw_train(const GwTrainOptions *options, GwTrainReport *out) {
  Run run = {.options = options, .recipe = *options->recipe, .folder = {.lock = {-1}}};
  gw_arena_init(&run.arena);
  GwStatus status = set_up(&run);
  if (status == GW_OK) {
    run.report.was_finished = options->resume && run.step > 0 && run.step >= run.last;
    run.report.state_hash = gw_trainer_hash(run.trainer, run.step);
    status = train_to_the_end(&run);
    if (status == GW_OK) status = finish(&run);
    if (status == GW_NUMERIC)
      gw_run_folder_journal(&run.folder, "incident", run.step,
                            json_pack("{s:s}", "what", gw_error_message()));
  }
  run.report.step = run.step;
  if (run.training_ns > 0)
    run.report.tokens_per_second = (double)run.trained_tokens / ((double)run.training_ns * 1e-9);
  tear_down(&run);
  if (status == GW_OK) *out = run.report;
  return status;
}
