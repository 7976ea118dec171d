/* One phase at a time; each event is a function of (phase, event). Every way out of a fault is the
 * same: report, kill, wait until nothing is left, choose where to go on from, launch. */
#include "cluster/supervisor.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/step_times.h"

typedef enum {
  PHASE_DOWN,     /* nothing runs; the next launch is due at `due`, or needs hosts */
  PHASE_STARTING, /* launched; not every rank is ready */
  PHASE_RUNNING,
  PHASE_ENDING,   /* the ranks are done, or were asked to end: they exit one by one */
  PHASE_STOPPING, /* what is left of a broken epoch is being killed */
  PHASE_FINISHED,
} Phase;

typedef struct {
  bool ready, exited, waiting;
  uint64_t progress_at;
} Rank;

struct GwSupervisor {
  GwSupervisorOptions options;
  GwPlacement placement;
  GwSnapshots snapshots;
  Rank *ranks;
  Phase phase;
  GwOutcome outcome; /* that ENDING or FINISHED leads to */
  bool end_asked, inspecting;
  bool suspecting; /* the last look found `suspect` hanging, -1: all stuck */
  int32_t suspect;
  bool grow;             /* more ranks would fit: a new epoch after the next snapshot */
  uint64_t epoch, fence; /* the fence is the epoch's number, or that of the next */
  int64_t step, checkpoint;
  int64_t start; /* the step that the epoch went on from */
  int32_t ready_count, exited_count;
  uint64_t due; /* of the phase's next TICK */
  uint64_t committed_at;
  GwStepTimes times;
  int64_t fault_step; /* where the last fault was */
  int32_t tries;      /* faults in a row there, */
  int32_t chances;    /* and those before them that may be chance */
};

enum { SECOND = 1000000000 };

GwSupervisorOptions gw_supervisor_defaults(void) {
  return (GwSupervisorOptions){.ranks_min = 1,
                               .slots = 1,
                               .hang_ns = SECOND,
                               .hang_steps = 4,
                               .look_ns = SECOND / 10,
                               .start_ns = UINT64_C(300) * SECOND,
                               .stop_ns = UINT64_C(10) * SECOND,
                               .backoff_ns = SECOND,
                               .backoff_most_ns = UINT64_C(300) * SECOND,
                               .tries = 8,
                               .chances = 2,
                               .strikes = 2};
}

GwStatus gw_supervisor_create(const GwSupervisorOptions *options, GwSupervisorPast past,
                              GwSupervisor **out) {
  GW_ASSERT(options->ranks >= 1 && options->ranks_min >= 1 && options->hosts >= 1);
  GW_ASSERT(options->ranks_min <= options->ranks && options->slots >= 1);
  GwSupervisor *s = calloc(1, sizeof *s);
  if (!s) return gw_fail(GW_MEMORY, "no memory for a supervisor");
  s->options = *options;
  s->epoch = s->fence = past.epoch;
  s->checkpoint = past.checkpoint;
  s->step = gw_max_i64(past.checkpoint, 0);
  if (past.step_ns > 0) gw_step_times_add(&s->times, past.step_ns);
  s->fault_step = -1;
  s->due = UINT64_MAX;
  s->ranks = calloc((size_t)options->ranks, sizeof *s->ranks);
  GwStatus status = s->ranks ? GW_OK : gw_fail(GW_MEMORY, "no memory for %d ranks", options->ranks);
  if (status == GW_OK)
    status = gw_placement_create(options->hosts, options->slots, options->ranks, &s->placement);
  if (status == GW_OK) status = gw_snapshots_create(options->ranks, &s->snapshots);
  if (status == GW_OK)
    *out = s;
  else
    gw_supervisor_destroy(s);
  return status;
}

void gw_supervisor_destroy(GwSupervisor *s) {
  if (!s) return;
  gw_snapshots_destroy(&s->snapshots);
  gw_placement_destroy(&s->placement);
  free(s->ranks);
  free(s);
}

uint64_t gw_supervisor_due(const GwSupervisor *s) { return s->due; }
uint64_t gw_supervisor_epoch(const GwSupervisor *s) { return s->epoch; }
int64_t gw_supervisor_step(const GwSupervisor *s) { return s->step; }
const GwPlacement *gw_supervisor_placement(const GwSupervisor *s) { return &s->placement; }

const char *gw_fault_word(GwFault fault) {
  static const char *const words[GW_FAULT_COUNT] = {
#define X(name, word, text) word,
      GW_FAULT_LIST(X)
#undef X
  };
  return words[fault];
}

/* ---- actions ---- */

static GwAction *act(GwActions *out, GwActionKind kind, const GwSupervisor *s) {
  GW_ASSERT(out->count < GW_ACTIONS_MOST);
  GwAction *action = &out->action[out->count++];
  *action = (GwAction){.kind = kind, .epoch = s->epoch, .step = s->step, .rank = -1, .host = -1};
  return action;
}

static void finish(GwSupervisor *s, GwOutcome outcome, GwActions *out) {
  s->phase = PHASE_FINISHED;
  s->due = UINT64_MAX;
  s->outcome = outcome;
  act(out, GW_ACTION_FINISH, s)->outcome = outcome;
}

/* ---- launching ---- */

static uint64_t backoff(const GwSupervisor *s) {
  uint64_t wait = s->options.backoff_ns;
  if (s->tries < 2) return 0;
  for (int32_t i = 2; i < s->tries && wait < s->options.backoff_most_ns; i++) wait *= 2;
  return wait < s->options.backoff_most_ns ? wait : s->options.backoff_most_ns;
}

static GwRestoreFrom restore_point(const GwSupervisor *s, int64_t *step) {
  int64_t newest = gw_snapshots_newest(&s->snapshots, &s->placement);
  if (newest >= 0 && newest >= s->checkpoint) {
    *step = newest;
    return GW_FROM_SNAPSHOT;
  }
  *step = gw_max_i64(s->checkpoint, 0);
  return s->checkpoint >= 0 ? GW_FROM_CHECKPOINT : GW_FROM_START;
}

/* From now on nothing of the epoch counts. */
static void raise_fence(GwSupervisor *s, GwActions *out) {
  if (s->fence > s->epoch) return;
  s->fence = s->epoch + 1;
  act(out, GW_ACTION_FENCE, s)->epoch = s->fence;
}

static void launch(GwSupervisor *s, uint64_t now, GwActions *out) {
  int64_t room = gw_placement_room(&s->placement);
  s->due = UINT64_MAX;
  if (room < s->options.ranks_min) {
    act(out, GW_ACTION_WAIT, s); /* until a host is back */
    return;
  }
  int32_t ranks = (int32_t)gw_min_i64(room, s->options.ranks);
  gw_placement_fill(&s->placement, ranks);
  memset(s->ranks, 0, (size_t)ranks * sizeof *s->ranks);
  s->ready_count = s->exited_count = 0;
  raise_fence(s, out);
  s->epoch = s->fence;
  GwRestoreFrom from = restore_point(s, &s->step);
  s->start = s->step;
  gw_snapshots_cut(&s->snapshots, s->step);
  s->grow = false;
  act(out, GW_ACTION_LAUNCH, s)->from = from;
  s->phase = PHASE_STARTING;
  s->due = now + s->options.start_ns;
}

/* Nothing runs any more. */
static void go_down(GwSupervisor *s, uint64_t now, GwActions *out) {
  s->phase = PHASE_DOWN;
  if (s->end_asked) {
    finish(s, GW_OUTCOME_ENDED, out);
    return;
  }
  if (s->tries > s->options.tries) {
    finish(s, GW_OUTCOME_GIVEN_UP, out);
    return;
  }
  s->due = now + backoff(s);
  if (s->due <= now) launch(s, now, out);
}

/* ---- faults ---- */

static void kill_all(GwSupervisor *s, uint64_t now, GwActions *out) {
  raise_fence(s, out);
  act(out, GW_ACTION_KILL, s);
  s->phase = PHASE_STOPPING;
  s->due = now + s->options.stop_ns;
}

static void report(const GwSupervisor *s, GwFault what, int32_t rank, int32_t host,
                   GwActions *out) {
  GwAction *action = act(out, GW_ACTION_REPORT, s);
  action->fault = what;
  action->rank = rank;
  action->host = rank >= 0 ? s->placement.host_of[rank] : host;
}

/* That an epoch made steps and then broke where the one before did may be chance: faults that come
 * often meet at one step now and then, and rarely three times in a row. */
static void count_fault(GwSupervisor *s) {
  if (s->step != s->fault_step) {
    s->tries = 1;
    s->chances = 0;
  } else if (s->step > s->start && s->chances < s->options.chances)
    s->chances++;
  else
    s->tries++;
  s->fault_step = s->step;
}

static void fault(GwSupervisor *s, uint64_t now, GwFault what, int32_t rank, int32_t host,
                  GwActions *out) {
  report(s, what, rank, host, out);
  count_fault(s);
  kill_all(s, now, out);
}

static bool is_up(const GwSupervisor *s) {
  return s->phase == PHASE_STARTING || s->phase == PHASE_RUNNING || s->phase == PHASE_ENDING;
}

/* A host that computed wrongly too often is used no more, if the run can do without it. */
static void strike(GwSupervisor *s, int32_t host) {
  GwHost *h = &s->placement.hosts[host];
  h->strikes++;
  bool enough = gw_placement_room(&s->placement) - s->placement.slots >= s->options.ranks_min;
  if (h->strikes >= s->options.strikes && enough) h->banned = true;
}

/* ---- progress ---- */

static uint64_t hang_limit(const GwSupervisor *s) {
  uint64_t median = gw_step_times_median(&s->times);
  if (median == 0) return s->options.start_ns; /* nobody knows yet how long a step is */
  uint64_t steps = s->options.hang_steps * median;
  return steps > s->options.hang_ns ? steps : s->options.hang_ns;
}

static void watch(GwSupervisor *s, uint64_t since) {
  s->inspecting = s->suspecting = false;
  s->due = since + hang_limit(s);
}

/* From now on ranks may exit. */
static void end(GwSupervisor *s, GwOutcome outcome) {
  s->phase = PHASE_ENDING;
  s->outcome = outcome;
}

static void on_ready(GwSupervisor *s, uint64_t now, int32_t rank) {
  if (s->phase != PHASE_STARTING) return;
  if (rank < 0)
    s->ready_count = s->placement.rank_count;
  else if (!s->ranks[rank].ready)
    s->ready_count++;
  if (rank >= 0) s->ranks[rank].ready = true;
  if (s->ready_count < s->placement.rank_count) return;
  s->phase = PHASE_RUNNING;
  s->committed_at = now;
  watch(s, now);
  if (s->step >= s->options.last_step) end(s, GW_OUTCOME_DONE);
}

/* From an older state than was thought: what is newer did not verify. */
static void on_restored(GwSupervisor *s, int64_t step) {
  if (s->phase != PHASE_STARTING || step >= s->step) return;
  s->step = s->start = step;
  s->checkpoint = step > 0 ? step : -1;
  gw_snapshots_cut(&s->snapshots, step);
}

static void on_committed(GwSupervisor *s, uint64_t now, int64_t step) {
  if (s->phase != PHASE_RUNNING || step != s->step + 1) return;
  gw_step_times_add(&s->times, now - s->committed_at);
  s->step = step;
  s->committed_at = now;
  watch(s, now);
  if (step >= s->options.last_step) end(s, GW_OUTCOME_DONE);
}

static void on_snapshot(GwSupervisor *s, uint64_t now, int64_t step, GwActions *out) {
  if (!is_up(s) || step > s->step || step <= s->snapshots.map[0].step) return;
  gw_snapshots_taken(&s->snapshots, &s->placement, s->epoch, step);
  if (!s->grow || s->phase != PHASE_RUNNING) return;
  report(s, GW_FAULT_GROW, -1, -1, out);
  kill_all(s, now, out);
}

static void on_exited(GwSupervisor *s, uint64_t now, const GwEvent *event, GwActions *out) {
  Rank *rank = &s->ranks[event->rank];
  if (!is_up(s) || rank->exited) return;
  if (event->code != 0 || s->phase != PHASE_ENDING) {
    fault(s, now, GW_FAULT_DEATH, event->rank, -1, out);
    if (event->code == GW_EXIT_HOPELESS) s->tries = s->options.tries + 1;
    return;
  }
  rank->exited = true;
  if (++s->exited_count == s->placement.rank_count) finish(s, s->outcome, out);
}

/* One look is not believed: if the whole machine stood still, or the supervisor alone, the ranks
 * have had no chance to show their progress. The next one comes when they have. */
static void suspect(GwSupervisor *s, uint64_t now, GwFault kind, int32_t rank, GwActions *out) {
  if (s->suspecting && s->suspect == rank) {
    fault(s, now, kind, rank, -1, out);
    return;
  }
  s->inspecting = false;
  s->suspecting = true;
  s->suspect = rank;
  s->due = now + s->options.look_ns;
}

/* The rank that keeps the others waiting: of those that are not waiting, the one whose last
 * progress is the oldest. */
static void on_inspected(GwSupervisor *s, uint64_t now, GwActions *out) {
  if (!s->inspecting || !is_up(s)) return;
  uint64_t limit = hang_limit(s), oldest = UINT64_MAX;
  int32_t found = -1;
  for (int32_t r = 0; r < s->placement.rank_count; r++) {
    const Rank *rank = &s->ranks[r];
    if (rank->exited || rank->waiting || rank->progress_at >= oldest) continue;
    oldest = rank->progress_at;
    found = r;
  }
  if (found < 0) /* nobody is to blame: the network, or a bug of ours */
    suspect(s, now, GW_FAULT_STUCK, -1, out);
  else if (oldest + limit <= now)
    suspect(s, now, GW_FAULT_HANG, found, out);
  else
    watch(s, oldest);
}

static void on_tick(GwSupervisor *s, uint64_t now, GwActions *out) {
  if (now < s->due) return;
  switch (s->phase) {
  case PHASE_DOWN: launch(s, now, out); break;
  case PHASE_STARTING: fault(s, now, GW_FAULT_SLOW_START, -1, -1, out); break;
  case PHASE_STOPPING: kill_all(s, now, out); break;
  case PHASE_RUNNING:
  case PHASE_ENDING:
    s->inspecting = true;
    s->due = now + s->options.hang_ns; /* asked again if there is no answer */
    act(out, GW_ACTION_INSPECT, s);
    break;
  case PHASE_FINISHED: break;
  }
}

/* ---- hosts and the outside ---- */

static bool is_used(const GwSupervisor *s, int32_t host) {
  for (int32_t r = 0; r < s->placement.rank_count; r++)
    if (s->placement.host_of[r] == host) return true;
  return false;
}

static void on_host_lost(GwSupervisor *s, uint64_t now, int32_t host, GwActions *out) {
  GwHost *h = &s->placement.hosts[host];
  if (h->lost) return;
  h->lost = true;
  h->lives++;
  if (is_up(s) && is_used(s, host)) fault(s, now, GW_FAULT_HOST, -1, host, out);
}

static void on_host_back(GwSupervisor *s, uint64_t now, int32_t host, GwActions *out) {
  s->placement.hosts[host].lost = false;
  if (s->phase == PHASE_DOWN && s->due == UINT64_MAX) launch(s, now, out);
  int64_t ranks = gw_min_i64(gw_placement_room(&s->placement), s->options.ranks);
  if (is_up(s) && ranks > s->placement.rank_count) s->grow = true;
}

/* Whether processes of the past are left is not known: they are stopped, whatever they are. */
static void on_begin(GwSupervisor *s, uint64_t now, GwActions *out) {
  if (s->epoch == 0) {
    launch(s, now, out);
    return;
  }
  report(s, GW_FAULT_TAKEN_OVER, -1, -1, out);
  kill_all(s, now, out);
}

static void on_end(GwSupervisor *s, uint64_t now, GwActions *out) {
  s->end_asked = true;
  if (s->phase == PHASE_RUNNING) {
    end(s, GW_OUTCOME_ENDED);
    act(out, GW_ACTION_ASK_END, s);
    watch(s, now);
  } else if (s->phase == PHASE_STARTING) {
    kill_all(s, now, out);
  } else if (s->phase == PHASE_DOWN) {
    finish(s, GW_OUTCOME_ENDED, out);
  }
}

/* ---- events ---- */

static void on_trouble(GwSupervisor *s, uint64_t now, const GwEvent *event, GwActions *out) {
  if (!is_up(s)) return;
  if (event->kind == GW_EVENT_LAUNCH_FAILED) {
    fault(s, now, GW_FAULT_LAUNCH, -1, -1, out);
  } else if (event->kind == GW_EVENT_LIED) {
    strike(s, s->placement.host_of[event->rank]);
    fault(s, now, GW_FAULT_LIE, event->rank, -1, out);
  }
}

/* True of whichever epoch found it out. The next launch does not try the same again: it has fewer
 * copies to choose from, and is neither counted nor put off. */
static void on_bad_copy(GwSupervisor *s, uint64_t now, const GwEvent *event, GwActions *out) {
  bool fewer = gw_snapshots_bad(&s->snapshots, event->step, event->host);
  if (!is_up(s) || event->epoch != s->epoch) return;
  int32_t tries = s->tries;
  fault(s, now, GW_FAULT_COPY, -1, event->host, out);
  if (fewer) s->tries = tries;
}

/* Events of the processes of the epoch that runs. */
static void on_process_event(GwSupervisor *s, uint64_t now, const GwEvent *event, GwActions *out) {
  switch (event->kind) {
  case GW_EVENT_READY: on_ready(s, now, event->rank); break;
  case GW_EVENT_RESTORED: on_restored(s, event->step); break;
  case GW_EVENT_COMMITTED: on_committed(s, now, event->step); break;
  case GW_EVENT_SNAPSHOT: on_snapshot(s, now, event->step, out); break;
  case GW_EVENT_EXITED: on_exited(s, now, event, out); break;
  case GW_EVENT_OBSERVED:
    s->ranks[event->rank].waiting = event->waiting;
    s->ranks[event->rank].progress_at = event->at;
    break;
  case GW_EVENT_FROZEN:
    if (is_up(s)) fault(s, now, GW_FAULT_HANG, event->rank, -1, out);
    break;
  case GW_EVENT_INSPECTED: on_inspected(s, now, out); break;
  case GW_EVENT_STOPPED:
    if (s->phase == PHASE_STOPPING) go_down(s, now, out);
    break;
  default: on_trouble(s, now, event, out);
  }
}

void gw_supervisor_event(GwSupervisor *s, uint64_t now, const GwEvent *event, GwActions *out) {
  out->count = 0;
  if (s->phase == PHASE_FINISHED) return;
  switch (event->kind) {
  case GW_EVENT_BEGIN: on_begin(s, now, out); return;
  case GW_EVENT_FOUND:
    gw_snapshots_found(&s->snapshots, &s->placement, event->step, event->share, event->shares,
                       event->host);
    return;
  case GW_EVENT_CHECKPOINT: s->checkpoint = gw_max_i64(s->checkpoint, event->step); return;
  case GW_EVENT_HOST_LOST: on_host_lost(s, now, event->host, out); return;
  case GW_EVENT_HOST_BACK: on_host_back(s, now, event->host, out); return;
  case GW_EVENT_BAD_COPY: on_bad_copy(s, now, event, out); return;
  case GW_EVENT_END: on_end(s, now, out); return;
  case GW_EVENT_TICK: on_tick(s, now, out); return;
  default: break;
  }
  if (event->epoch == s->epoch) on_process_event(s, now, event, out);
}
