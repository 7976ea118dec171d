/* The training loop: dull and short. Everything that decides a number is in the trainer; this
 * drives it over the folder of a run: sample, step, record, validate, checkpoint. Where there are
 * several ranks each runs this loop, and rank 0 alone has files to write to. */
#include <stdio.h>

#include "os/clock.h"
#include "train/run_parts.h"

/* ---- one step ---- */

static GwStatus take_batch(void *context, int64_t step, int32_t lane, GwLaneInputs in) {
  Run *run = context;
  uint64_t start = gw_clock_ns();
  GW_TRY(gw__run_moment(run, GW_MOMENT_INPUT, step + 1));
  GW_TRY(gw_prefetch_take(run->prefetch, step, lane, in.tokens, in.targets, in.positions));
  atomic_fetch_add(&run->reading_ns, gw_clock_ns() - start);
  return GW_OK;
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
  uint64_t input = grown(&run->input_ns, run->reading_ns);
  times.ns[GW_TIME_INPUT] = input;
  times.ns[GW_TIME_COMPUTE] = lanes_ns > input ? lanes_ns - input : 0;
  times.ns[GW_TIME_NETWORK] = grown(&run->transfer_ns, gw_trainer_transfer_ns(run->trainer));
  times.ns[GW_TIME_DISK] = grown(&run->disk_ns, run->writing_ns);
  return times;
}

/* Slow ranks get fewer lanes, and those that are well again, or may be, get theirs back. */
static GwStatus relieve(Run *run) {
  for (int32_t r = 0; r < run->place->ranks; r++) run->times[r] = run->notes[r].times;
  if (!gw_relief_step(&run->relief, run->times, run->deal)) return GW_OK;
  for (int32_t i = 0; i < run->relief.report_count; i++) {
    const GwStragglerReport *report = &run->relief.reports[i];
    int32_t lanes = run->deal[report->rank + 1] - run->deal[report->rank];
    const char *event = report->slow ? "slow" : report->trial ? "trial" : "well_again";
    gw_run_folder_journal(&run->folder, event, run->step,
                          json_pack("{s:i, s:s, s:f, s:i}", "rank", (int)report->rank, "cause",
                                    gw_time_class_name(report->class), "ratio", report->ratio,
                                    "lanes", (int)lanes));
    if (gw__run_writes(run) && report->slow)
      gw_log(GW_LOG_WARNING,
             "rank %d takes %.2f times as long as the others (%s): it gets %d lanes", report->rank,
             report->ratio, gw_time_class_name(report->class), lanes);
  }
  gw_trainer_deal(run->trainer, run->deal[run->place->rank], run->deal[run->place->rank + 1]);
  gw_prefetch_destroy(run->prefetch);
  run->prefetch = NULL;
  return gw__run_read_ahead(run);
}

static GwStatus make_step(Run *run, GwStepReport *out) {
  GwTrainer *trainer = run->trainer;
  Note note;
  GwNotes notes = {&note, run->notes, sizeof note};
  if (run->rank && run->rank->row) {
    atomic_store(&run->rank->row->step, run->step + 1);
    atomic_store(&run->rank->row->op, -1);
  }
  GW_TRY(gw__run_moment(run, GW_MOMENT_BEGIN, run->step + 1));
  gw_trainer_begin(trainer);
  uint64_t start = gw_clock_ns();
  GW_TRY(gw_trainer_lanes(trainer, run->step, take_batch, run, run->signatures));
  note.times = spent(run, gw_clock_ns() - start);
  note.stop = wants_to_stop(run);
  note.known = run->rank && run->rank->board ? run->rank->board->known : INT64_MAX;
  if (run->saver) gw_saver_await_copy(run->saver); /* the others wait for this rank's counts */
  GW_TRY(gw_trainer_end(trainer, run->step, &notes, out));
  if (!run->rank) run->notes[0] = note; /* nobody has passed it on */
  run->known = INT64_MAX;
  for (int32_t r = 0; r < run->place->ranks; r++) {
    run->stop |= run->notes[r].stop != 0;
    run->known = gw_min_i64(run->known, run->notes[r].known);
  }
  run->step++;
  tell_way(run);
  return run->rank ? relieve(run) : GW_OK;
}

/* `between`: since the step before, for what comes after a step. */
static GwStatus record(Run *run, const GwStepReport *step, double seconds, double between) {
  GwLedgerEntry entry = {.step = run->step,
                         .loss_sum = step->loss_sum,
                         .tokens = step->tokens,
                         .total_signature = step->signature,
                         .state_hash = step->state_hash};
  run->report.state_hash = entry.state_hash;
  run->report.has_loss = true;
  run->report.loss = step->loss;
  if (!gw__run_writes(run)) return GW_OK;
  uint64_t start = gw_clock_ns();
  GW_TRY(gw__run_moment(run, GW_MOMENT_RECORD, run->step));
  gw_jsonl_add(&run->folder.metrics,
               json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f}", "step", (json_int_t)run->step,
                         "loss", step->loss, "lr", step->lr, "gradient_norm", step->gradient_norm,
                         "tokens", (json_int_t)step->tokens, "seconds", seconds, "between_seconds",
                         between, "tokens_per_second", (double)step->tokens / seconds));
  const GwScalar scalars[] = {{"train/loss", step->loss},
                              {"train/lr", step->lr},
                              {"train/gradient_norm", step->gradient_norm},
                              {"train/tokens", (double)step->tokens},
                              {"train/seconds", seconds},
                              {"train/between_seconds", between},
                              {"train/tokens_per_second", (double)step->tokens / seconds}};
  gw_event_file_add(&run->events, run->step, scalars, GW_COUNT_OF(scalars));
  GW_TRY(gw_ledger_put(run->folder.ledger, &entry, run->signatures));
  if (run->rank && run->rank->board)
    gw_board_tell(run->rank->board, &run->rank->board->committed, run->step);
  run->writing_ns += gw_clock_ns() - start;
  return GW_OK;
}

static void show(Run *run, const GwStepReport *step) {
  double rate = (double)run->trained_tokens / ((double)run->training_ns * 1e-9);
  int64_t every = run->recipe.train.log_every;
  if (!gw__run_writes(run)) return;
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
  if (!gw__run_writes(run)) return GW_OK;
  bool has_bits = evaluation.bytes > 0;
  char bits[48] = "";
  if (has_bits) snprintf(bits, sizeof bits, ", %.4f bits per byte", evaluation.bits_per_byte);
  gw_log(GW_LOG_INFO, "step %lld: validation loss %.4f nats per token%s", (long long)run->step,
         evaluation.nats_per_token, bits);
  gw_run_folder_journal(&run->folder, "validation", run->step,
                        json_pack("{s:f, s:o, s:I}", "loss", evaluation.nats_per_token,
                                  "bits_per_byte",
                                  has_bits ? json_real(evaluation.bits_per_byte) : json_null(),
                                  "tokens", (json_int_t)evaluation.tokens));
  const GwScalar scalars[] = {{"validation/loss", evaluation.nats_per_token},
                              {"validation/bits_per_byte", evaluation.bits_per_byte}};
  gw_event_file_add(&run->events, run->step, scalars, has_bits ? 2 : 1);
  return GW_OK;
}

static GwStatus train_to_the_end(Run *run) {
  gw_progress_begin(&run->progress, "train");
  uint64_t before = gw_clock_ns();
  while (run->step < run->last && !run->stop) {
    GwStepReport step;
    uint64_t start = gw_clock_ns();
    GW_TRY(make_step(run, &step));
    uint64_t end = gw_clock_ns(), between = start - before;
    before = end;
    run->training_ns += end - start;
    run->trained_tokens += step.tokens;
    GW_TRY(record(run, &step, (double)(end - start) * 1e-9, (double)between * 1e-9));
    GW_TRY(gw__run_forgiven(gw__run_keep(run)));
    GW_TRY(gw__run_moment(run, GW_MOMENT_MADE, run->step));
    show(run, &step);
    if (run->step == run->last) break;
    if (gw__run_due(run->step, run->recipe.train.validate_every))
      GW_TRY(validate(run, run->recipe.train.validate_tokens));
    if (gw__run_due(run->step, run->recipe.train.checkpoint_every))
      GW_TRY(gw__run_forgiven(gw__run_save(run, false)));
  }
  if (run->progress.terminal && gw__run_writes(run))
    gw_progress_end(&run->progress, "step %lld  loss %.4f", (long long)run->step, run->report.loss);
  return GW_OK;
}

static GwStatus finish(Run *run) {
  run->report.interrupted = run->step < run->last;
  GW_TRY(gw__run_save(run, true));
  if (run->rank && gw__run_writes(run)) GW_TRY(gw__run_await_saver(run));
  if (!run->report.interrupted) GW_TRY(validate(run, 0));
  gw_run_folder_journal(&run->folder, run->report.interrupted ? "stop" : "end", run->step, NULL);
  return GW_OK;
}

static GwStatus run_whole(Run *run) {
  GW_TRY(gw__run_set_up(run));
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
  gw__run_tear_down(&run);
  if (status == GW_OK) *out = run.report;
  return status;
}

GwStatus gw_train(const GwTrainOptions *options, GwTrainReport *out) {
  return gw_train_rank(options, NULL, out);
}
