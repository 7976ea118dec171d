/* A round: sleep until a process ends or 20 ms are over, look at the board, tell the supervisor
 * what is new, carry out what it answers. The board is read after the processes were looked at and
 * told before their ends: what a rank wrote before it died comes first. */
#include "cluster/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/agent_lines.h"
#include "cluster/driver_parts.h"
#include "os/clock.h"

enum {
  ROUND_NS = 20000000,
  LOOK_NS = 100000000,
  FROZEN_LOOKS = 4,
  LAST_WORD_NS = 1000000000,
  STALE_NS = GW_AGENT_BEAT_NS / 2 * 3, /* an agent is silent for a beat at most */
  CAUSE_TEXT = 400
};

typedef struct {
  const GwDriverOptions *options;
  const GwDriverHooks *hooks;
  GwDriverResult *result;
  GwSupervisor *supervisor;
  GwStatus status;               /* not GW_OK: the driver itself has failed */
  uint64_t now, before, told_at; /* of this round, the one before, the last event */
  GwEpoch epoch;
  int64_t snapshot, checkpoint; /* that the supervisor was told of */
  int64_t missing;              /* the snapshot of this step was to be restored; -1: none */
  bool stopping, inspecting;    /* an answer is due */
  bool launch_failed, end_told, finished;
  char cause[CAUSE_TEXT]; /* of a failed launch */
  int64_t fault_step;
  int fault_times;    /* in a row at that step */
  uint64_t looked_at; /* for ranks that are stopped */
} Driver;

/* ---- actions ---- */

/* The line for the journal; faults that repeat say so. */
static void report(Driver *d, const GwAction *action) {
  char text[GW_DRIVER_TEXT + 64];
  int32_t ranks = gw_supervisor_placement(d->supervisor)->rank_count;
  gw__driver_text(action, &d->epoch, ranks, d->now, d->cause, text);
  size_t length = strlen(text);
  bool fault = action->kind == GW_ACTION_REPORT && action->fault != GW_FAULT_GROW &&
               action->fault != GW_FAULT_TAKEN_OVER;
  if (fault) {
    d->fault_times = action->step == d->fault_step ? d->fault_times + 1 : 1;
    d->fault_step = action->step;
    if (d->fault_times > 1)
      snprintf(text + length, sizeof text - length, " (fault %d in a row after step %lld)",
               d->fault_times, (long long)action->step);
    d->result->faults++;
    memcpy(d->result->last, text, sizeof d->result->last - 1);
  } else if (action->outcome == GW_OUTCOME_GIVEN_UP && action->kind == GW_ACTION_FINISH) {
    snprintf(text + length, sizeof text - length, ": %s", d->result->last);
  }
  d->hooks->report(d->hooks->self, action, text);
}

static void fail_launch(Driver *d, const char *cause) {
  d->launch_failed = true;
  snprintf(d->cause, sizeof d->cause, "%s", cause);
}

static void launch(Driver *d, const GwAction *action) {
  GwLaunch launch = {.epoch = action->epoch, .step = action->step, .from = action->from};
  launch.placement = gw_supervisor_placement(d->supervisor);
  d->snapshot = d->checkpoint = -1;
  d->launch_failed = false;
  if (action->from == GW_FROM_SNAPSHOT && d->hooks->held &&
      !d->hooks->held(d->hooks->self, action->step))
    d->missing = action->step;
  else if (gw__epoch_start(&d->epoch, d->options, d->hooks, &launch) != GW_OK)
    fail_launch(d, gw_error_message());
}

static void carry_out(Driver *d, const GwAction *action) {
  switch (action->kind) {
  case GW_ACTION_FENCE: d->status = d->hooks->fence(d->hooks->self, action->epoch); break;
  case GW_ACTION_LAUNCH:
    report(d, action);
    launch(d, action);
    break;
  case GW_ACTION_KILL:
    gw__epoch_kill(&d->epoch);
    d->stopping = true;
    break;
  case GW_ACTION_ASK_END: gw__epoch_ask_end(&d->epoch); break;
  case GW_ACTION_INSPECT: d->inspecting = true; break;
  case GW_ACTION_FINISH:
    d->finished = true;
    d->result->outcome = action->outcome;
    __attribute__((fallthrough));
  case GW_ACTION_REPORT:
  case GW_ACTION_WAIT: report(d, action); break;
  }
}

/* ---- events ---- */

static void tell_at(Driver *d, uint64_t at, GwEvent event) {
  GwActions actions;
  if (d->finished || d->status != GW_OK) return;
  event.epoch = gw_supervisor_epoch(d->supervisor); /* no process of an older one is left */
  d->told_at = at;
  gw_supervisor_event(d->supervisor, at, &event, &actions);
  for (int i = 0; i < actions.count && d->status == GW_OK; i++) carry_out(d, &actions.action[i]);
}

static void tell(Driver *d, GwEvent event) { tell_at(d, d->now, event); }

static void tell_rank(Driver *d, GwEventKind kind, int32_t rank) {
  tell(d, (GwEvent){.kind = kind, .rank = rank});
}

/* When what is new in this round may have happened, at the earliest. */
static uint64_t earliest(const Driver *d) {
  return d->told_at > d->before ? d->told_at : d->before;
}

/* Several steps may have been committed since the last round: they get equal times, as the
 * supervisor learns from them how long a step takes. */
static void tell_commits(Driver *d, int64_t committed) {
  uint64_t from = earliest(d);
  int64_t before = gw_supervisor_step(d->supervisor), count = committed - before;
  for (int64_t i = 1; i <= count; i++) {
    uint64_t at = from + (d->now - from) * (uint64_t)i / (uint64_t)count;
    tell_at(d, at, (GwEvent){.kind = GW_EVENT_COMMITTED, .step = before + i});
    if (gw_supervisor_step(d->supervisor) != before + i) return; /* it does not listen now */
  }
}

static void tell_recovered(Driver *d, int64_t before) {
  GwEpoch *epoch = &d->epoch;
  if (epoch->recovered_told || gw_supervisor_step(d->supervisor) == before) return;
  epoch->recovered_told = true;
  if (epoch->epoch > 1 && d->hooks->recovered)
    d->hooks->recovered(d->hooks->self, epoch->epoch, before + 1);
}

static void look_at_progress(Driver *d, int32_t rank) {
  const GwBoardRow *row = &d->epoch.board->row[rank];
  GwSeen *seen = &d->epoch.seen[rank];
  int64_t progress = row->progress;
  if (progress != seen->progress) {
    seen->progress = progress;
    seen->progress_at = d->now;
  }
  if (row->state >= GW_RANK_READY && !seen->ready) {
    seen->ready = true; /* told as early as can be: steps may have followed */
    tell_at(d, earliest(d), (GwEvent){.kind = GW_EVENT_READY, .rank = rank});
  }
}

/* What a rank has found that ends the epoch. */
static void look_at_findings(Driver *d, int32_t rank) {
  const GwBoardRow *row = &d->epoch.board->row[rank];
  GwSeen *seen = &d->epoch.seen[rank];
  int64_t bad_copy = row->bad_copy;
  int32_t accused = row->accused;
  if (accused >= 0 && accused < d->epoch.ranks && !seen->accused) {
    seen->accused = true;
    tell_rank(d, GW_EVENT_LIED, accused);
  }
  if (bad_copy >= 0 && !seen->bad_copy) {
    seen->bad_copy = true;
    tell(d, (GwEvent){.kind = GW_EVENT_BAD_COPY, .step = bad_copy, .host = -1});
  }
}

static bool tell_new(Driver *d, GwEventKind kind, int64_t step, int64_t *told) {
  if (step <= *told) return false;
  *told = step;
  tell(d, (GwEvent){.kind = kind, .step = step});
  return true;
}

/* The newest step of which every rank keeps its share. */
static int64_t whole_snapshot(const GwEpoch *epoch) {
  int64_t newest = INT64_MAX;
  for (int32_t r = 0; r < epoch->ranks; r++)
    newest = gw_min_i64(newest, epoch->board->row[r].snapshot);
  return newest;
}

static void look_at_board(Driver *d) {
  GwEpoch *epoch = &d->epoch;
  if (epoch->ranks == 0) return;
  gw__epoch_adopt(epoch);
  bool all = true, found = false;
  if (epoch->board->restored >= 0 && !epoch->restored_told) {
    epoch->restored_told = true;
    tell_at(d, earliest(d), /* before the steps that may have followed, as ready below */
            (GwEvent){.kind = GW_EVENT_RESTORED, .step = epoch->board->restored});
  }
  for (int32_t r = 0; r < epoch->ranks; r++) {
    look_at_progress(d, r);
    all = all && epoch->seen[r].ready;
    found = found || epoch->board->row[r].accused >= 0 || epoch->board->row[r].bad_copy >= 0;
  }
  epoch->all_ready = all;
  /* Read after what was found in a later step, and told first: it is where to go back to. A
   * snapshot is of a step that is committed, and so read before those. */
  int64_t snapshot = whole_snapshot(epoch), checkpoint = epoch->board->checkpoint;
  int64_t committed = epoch->board->committed;
  int64_t before = gw_supervisor_step(d->supervisor);
  tell_commits(d, committed);
  tell_recovered(d, before);
  d->result->step = gw_max_i64(d->result->step, committed);
  if (snapshot <= gw_supervisor_step(d->supervisor)) /* hosts speak one after the other */
    if (tell_new(d, GW_EVENT_SNAPSHOT, snapshot, &d->snapshot)) gw__epoch_know(epoch, snapshot);
  (void)tell_new(d, GW_EVENT_CHECKPOINT, checkpoint, &d->checkpoint);
  for (int32_t r = 0; r < epoch->ranks && found; r++) look_at_findings(d, r);
}

/* A rank that a signal has stopped makes no progress until another one lets it go on: no need to
 * wait as long as for one that may only be slow. Looks are counted, not time, since the supervisor
 * may have been stopped along with its ranks. */
static void look_for_frozen(Driver *d) {
  GwEpoch *epoch = &d->epoch;
  if (epoch->hosts || d->stopping || d->now < d->looked_at + LOOK_NS) return;
  d->looked_at = d->now;
  for (int32_t r = 0; r < epoch->ranks; r++) {
    const GwProcess *process = &epoch->processes[r];
    char state = 0;
    uint64_t born;
    bool runs = process->pid > 0 && !process->ended;
    bool frozen = runs && gw_process_look(process->pid, &state, &born) == GW_OK && state == 'T';
    epoch->seen[r].frozen = frozen ? epoch->seen[r].frozen + 1 : 0;
    if (epoch->seen[r].frozen == FROZEN_LOOKS) tell_rank(d, GW_EVENT_FROZEN, r);
  }
}

/* ---- processes that ended ---- */

/* Several may have ended since the last round, as launchers end the others when one dies: the
 * cause is told first, the one that said why, then those that were not waiting for others. */
static int order_of_blame(const GwBoardRow *row) { return row->said ? 0 : row->waiting ? 2 : 1; }

/* What nobody knows, of another's child, the rank has said. */
static int exit_code(const Driver *d, int32_t rank) {
  int code = d->epoch.processes[rank].code;
  return code >= 0 ? code : d->epoch.board->row[rank].state == GW_RANK_ENDED ? 0 : 1;
}

/* How long to wait for what may be under way: a machine may be slow to be heard. */
static uint64_t last_word_ns(const Driver *d) {
  const GwPlacement *placement = gw_supervisor_placement(d->supervisor);
  uint64_t longest = 0;
  for (int32_t r = 0; r < placement->rank_count; r++) {
    uint64_t silence = gw__epoch_silence(&d->epoch, placement->host_of[r]);
    if (silence > longest) longest = silence;
  }
  return LAST_WORD_NS + longest;
}

/* A rank may be gone before rank 0 has told that the last step is committed. */
static bool is_early(Driver *d, int32_t rank) {
  GwSeen *seen = &d->epoch.seen[rank];
  if (seen->ended_at == 0) seen->ended_at = d->now;
  return exit_code(d, rank) == 0 && !d->epoch.board->end_asked &&
         gw_supervisor_step(d->supervisor) < d->options->supervisor.last_step &&
         d->now < seen->ended_at + last_word_ns(d);
}

static void tell_exit(Driver *d, int32_t rank) {
  if (is_early(d, rank)) return;
  d->epoch.seen[rank].exited = true;
  tell(d, (GwEvent){.kind = GW_EVENT_EXITED, .rank = rank, .code = exit_code(d, rank)});
}

/* A rank that came and has not ended, as far as is known. */
static bool some_rank_is_there(const GwEpoch *epoch) {
  for (int32_t r = 0; r < epoch->ranks; r++)
    if (epoch->processes[r].pid != 0 && !epoch->processes[r].ended) return true;
  return false;
}

/* A launcher has no business to end before its ranks have; but that they have ended may be heard of
 * later, from other hosts. */
static void look_at_launcher(Driver *d) {
  const GwProcess *launcher = gw__epoch_launcher(&d->epoch);
  uint64_t *ended_at = &d->epoch.launcher_ended_at;
  char how[GW_PROCESS_TEXT], text[CAUSE_TEXT], said[GW_BOARD_TEXT] = "";
  int32_t rank = 0;
  if (!launcher->ended || d->launch_failed || d->stopping) return;
  while (rank < d->epoch.ranks && d->epoch.processes[rank].ended) rank++;
  if (rank == d->epoch.ranks) return;
  if (*ended_at == 0) *ended_at = d->now;
  if (some_rank_is_there(&d->epoch) && d->now < *ended_at + last_word_ns(d)) return;
  gw_process_text(launcher, how);
  for (int32_t r = 0; r < d->epoch.ranks && !said[0]; r++)
    gw_board_hear(&d->epoch.board->row[r], said);
  snprintf(text, sizeof text, "the launcher %s before rank %d had %s%s%s", how, rank,
           d->epoch.all_ready ? "ended" : "started", said[0] ? "; a rank said: " : "", said);
  fail_launch(d, text);
}

static void look_at_processes(Driver *d) {
  GwEpoch *epoch = &d->epoch;
  if (epoch->ranks == 0) return;
  for (int blame = 0; blame < 3; blame++)
    for (int32_t r = 0; r < epoch->ranks; r++)
      if (epoch->processes[r].ended && !epoch->seen[r].exited &&
          blame == order_of_blame(&epoch->board->row[r]))
        tell_exit(d, r);
  look_at_launcher(d);
  const char *complaint = epoch->hosts ? gw_hosts_complaint(epoch->hosts) : NULL;
  if (complaint && !d->launch_failed && !d->stopping) fail_launch(d, complaint);
}

/* ---- answers ---- */

/* What is not heard counts against nobody: neither as time without progress, nor that a rank waits
 * which did when its machine fell silent. */
static GwEvent observe(const Driver *d, int32_t rank) {
  const int32_t *host_of = gw_supervisor_placement(d->supervisor)->host_of;
  uint64_t silence = gw__epoch_silence(&d->epoch, host_of[rank]);
  bool waited = gw__epoch_waits(&d->epoch, rank), known = silence < STALE_NS;
  return (GwEvent){.kind = GW_EVENT_OBSERVED,
                   .rank = rank,
                   .waiting = waited && known,
                   .at = waited && !known ? d->now : d->epoch.seen[rank].progress_at + silence};
}

static void answer_inspection(Driver *d) {
  d->inspecting = false;
  for (int32_t r = 0; r < d->epoch.ranks; r++) tell(d, observe(d, r));
  tell_rank(d, GW_EVENT_INSPECTED, -1);
}

/* Ranks that start only to find nothing take their time. */
static void answer_missing(Driver *d) {
  int64_t step = d->missing;
  d->missing = -1;
  if (step >= 0) tell(d, (GwEvent){.kind = GW_EVENT_BAD_COPY, .step = step, .host = -1});
}

static void answer_once(Driver *d) {
  answer_missing(d);
  if (d->stopping && !gw__epoch_runs(&d->epoch)) {
    gw__epoch_end(&d->epoch);
    d->stopping = d->launch_failed = false;
    tell_rank(d, GW_EVENT_STOPPED, -1);
  } else if (d->launch_failed && !d->stopping) {
    tell_rank(d, GW_EVENT_LAUNCH_FAILED, -1);
  }
}

static void answer(Driver *d) {
  if (d->inspecting) answer_inspection(d);
  do answer_once(d);
  while (d->missing >= 0);
}

/* ---- the loop ---- */

static void look_outside(Driver *d) {
  GwEvent event;
  int asked = d->options->stop ? *d->options->stop : 0;
  if (asked > 0 && !d->end_told) {
    d->end_told = true;
    tell_rank(d, GW_EVENT_END, -1);
  }
  if (asked > 1 && !d->finished && d->status == GW_OK)
    d->status = gw_fail(GW_INTERRUPTED, "ended at once, as was asked: what was done since the last "
                                        "checkpoint is lost");
  while (d->hooks->outside && !d->finished && d->status == GW_OK &&
         d->hooks->outside(d->hooks->self, &event))
    tell(d, event);
}

static void run_round(Driver *d) {
  uint64_t due = gw_supervisor_due(d->supervisor), now = gw_clock_ns();
  uint64_t most = due > now ? due - now : 0;
  GwStatus status = gw__epoch_wait(&d->epoch, most < ROUND_NS ? most : ROUND_NS);
  if (status != GW_OK) d->status = status;
  d->before = d->now;
  d->now = gw_clock_ns();
  look_at_board(d);
  look_outside(d); /* a lost host before its ranks */
  look_at_processes(d);
  look_for_frozen(d);
  if (d->now >= gw_supervisor_due(d->supervisor)) tell_rank(d, GW_EVENT_TICK, -1);
  answer(d);
}

static void await_end(Driver *d, bool (*runs)(const GwEpoch *epoch)) {
  uint64_t now = gw_clock_ns(), until = now + d->options->supervisor.stop_ns;
  for (; runs(&d->epoch) && now < until; now = gw_clock_ns())
    if (gw__epoch_wait(&d->epoch, until - now) != GW_OK) return;
}

/* A launcher has a moment to tidy up when its ranks are done; else, and after that, nothing of the
 * epoch stays. */
static void stop_all(Driver *d) {
  GwOutcome outcome = d->result->outcome;
  if (outcome == GW_OUTCOME_DONE || outcome == GW_OUTCOME_ENDED) await_end(d, gw__epoch_is_busy);
  gw__epoch_kill(&d->epoch);
  await_end(d, gw__epoch_runs);
  gw__epoch_end(&d->epoch);
}

static void found(void *driver, const GwEvent *event) { tell(driver, *event); }

static GwStatus run(Driver *d) {
  const GwDriverOptions *o = d->options;
  GwSupervisorPast past = {0, -1, 0};
  GW_TRY(gw__epochs_clear(o->prefix, o->supervisor.stop_ns));
  GW_TRY(d->hooks->past(d->hooks->self, &past));
  GW_TRY(gw_supervisor_create(&o->supervisor, past, &d->supervisor));
  d->now = gw_clock_ns();
  if (d->hooks->holds) GW_TRY(d->hooks->holds(d->hooks->self, found, d));
  tell_rank(d, GW_EVENT_BEGIN, -1);
  answer(d);
  while (!d->finished && d->status == GW_OK) run_round(d);
  d->result->epoch = gw_supervisor_epoch(d->supervisor);
  d->result->step = gw_max_i64(d->result->step, gw_supervisor_step(d->supervisor));
  if (d->status == GW_OK && d->result->outcome == GW_OUTCOME_GIVEN_UP)
    d->status = gw_fail(GW_IO, "given up: %s", d->result->last);
  return d->status;
}

GwStatus gw_driver_run(const GwDriverOptions *options, const GwDriverHooks *hooks,
                       GwDriverResult *out) {
  size_t ranks = (size_t)options->supervisor.ranks;
  Driver d = {.options = options, .hooks = hooks, .result = out, .fault_step = -1, .missing = -1};
  *out = (GwDriverResult){0};
  d.epoch.hosts = options->hosts;
  d.epoch.seen = calloc(ranks, sizeof *d.epoch.seen);
  d.epoch.processes = calloc(ranks + 1, sizeof *d.epoch.processes);
  GwStatus status = d.epoch.seen && d.epoch.processes
                        ? run(&d)
                        : gw_fail(GW_MEMORY, "no memory for %zu ranks", ranks);
  stop_all(&d);
  gw_supervisor_destroy(d.supervisor);
  free(d.epoch.processes);
  free(d.epoch.seen);
  return status;
}
