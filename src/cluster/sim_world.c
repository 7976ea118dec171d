/* The world's own account of what is where is kept apart from the supervisor's: it is the judge. */
#include "cluster/sim_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "base/rng.h"
#include "cluster/event_queue.h"

typedef enum {
  COMES_COMMIT,     /* of `epoch` */
  COMES_FAULT,      /* the next, of any class */
  COMES_REPAIR,     /* of `host` */
  COMES_EVENT,      /* `event` reaches the supervisor, if it is still that one (`life`) */
  COMES_CHECKPOINT, /* `step` is on disk */
  COMES_SUPERVISOR, /* a new one */
  COMES_ZOMBIE,     /* a rank of an ended epoch tries to commit */
} Coming;

typedef struct {
  bool lost;
  int32_t lives;
  bool damaged; /* what it holds of the newest snapshot */
  bool told;    /* the supervisor knows that it is lost */
} Host;

typedef struct {
  int32_t host[2], lives[2];
} Share;

/* Ranks keep the last two: the supervisor may not have heard of the newest. */
typedef struct {
  int64_t step;   /* -1: none */
  uint64_t epoch; /* whose shares lie as they lay at its launch */
  int32_t share_count;
  Share *shares;
} Snapshot;

typedef struct {
  const GwSimOptions *options;
  GwSimReport *report;
  GwStatus status;
  GwRng rng;
  GwEventQueue queue;
  uint64_t now;
  Host *hosts;
  int32_t damaged_count;
  /* the ranks that run */
  uint64_t epoch; /* 0: none do */
  bool started, frozen;
  int64_t step;
  int32_t rank_count, *host_of, *partner_of;
  int32_t hung, dead;  /* ranks, -1: none */
  uint64_t left_until; /* processes of ended epochs are there until then */
  uint64_t frozen_at;
  bool lies, launch_fails, zombie;
  int copies_untold; /* bad ones that the supervisor has not heard of yet */
  int32_t liar;
  /* what is kept */
  uint64_t fence;
  int64_t checkpoint, acknowledged_checkpoint;
  Snapshot newest, older;
  int64_t acknowledged_snapshot; /* -1: none */
  bool unheard; /* a snapshot took the place of an older one, and nobody was told */
  /* the supervisor */
  GwSupervisor *supervisor;
  int32_t supervisor_life;
  uint64_t tick_at; /* the next TICK that is on its way; UINT64_MAX: none is */
  int actions_left; /* until it dies in the middle of them; -1: it does not */
  bool finished;
  /* the account */
  int64_t best;                   /* the highest step ever committed */
  uint64_t step_took, steps_took; /* the step under way; all that were committed */
  int64_t committed;              /* how many */
  uint64_t best_at;
  int faults_since_best, fault_count;
  struct {
    uint64_t at;
    bool open, seen;
  } open[GW_SIM_FAULTS];
} World;

const char *gw_sim_fault_text(GwSimFault fault) {
  static const char *const texts[GW_SIM_FAULTS] = {
      [GW_SIM_DEATH] = "a rank dies",
      [GW_SIM_HOST] = "a host is lost",
      [GW_SIM_HANG] = "a rank hangs",
      [GW_SIM_LIE] = "a rank computes wrongly",
      [GW_SIM_STUCK] = "all ranks wait",
      [GW_SIM_COPY] = "a snapshot is damaged",
      [GW_SIM_LAUNCH] = "a launch fails",
      [GW_SIM_SUPERVISOR] = "the supervisor dies",
      [GW_SIM_ZOMBIE] = "a stopped rank returns",
  };
  return texts[fault];
}

/* ---- small things ---- */

static void broken(World *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(World *w, const char *format, ...) {
  if (w->report->broken[0]) return;
  va_list arguments;
  va_start(arguments, format);
  int n =
      snprintf(w->report->broken, sizeof w->report->broken, "at %.6f s: ", (double)w->now * 1e-9);
  vsnprintf(w->report->broken + n, sizeof w->report->broken - (size_t)n, format, arguments);
  va_end(arguments);
}

static uint64_t up_to(World *w, uint64_t ns) { return gw_rng_below(&w->rng, ns + 1); }
static int32_t any(World *w, int32_t count) {
  return (int32_t)gw_rng_below(&w->rng, (uint64_t)count);
}

static void note(World *w, uint64_t a, uint64_t b) {
  w->report->trace = gw_mix64(w->report->trace ^ gw_mix64(a ^ gw_mix64(b ^ w->now)));
}

static void come(World *w, uint64_t in, GwComing coming) {
  coming.time = w->now + in;
  if (w->status == GW_OK) w->status = gw_event_queue_add(&w->queue, coming);
}

static void tell(World *w, uint64_t in, GwEvent event) {
  come(w, in, (GwComing){.what = COMES_EVENT, .life = w->supervisor_life, .event = event});
}

/* ---- what is kept ---- */

static bool share_lives(const World *w, const Share *share) {
  for (int i = 0; i < 2; i++) {
    const Host *host = &w->hosts[share->host[i]];
    if (!host->lost && host->lives == share->lives[i]) return true;
  }
  return false;
}

static bool snapshot_lives(const World *w, const Snapshot *snapshot) {
  for (int32_t r = 0; snapshot->step >= 0 && r < snapshot->share_count; r++)
    if (!share_lives(w, &snapshot->shares[r])) return false;
  return snapshot->step >= 0;
}

static void take_snapshot(World *w) {
  Snapshot spare = w->older;
  w->older = w->newest;
  w->newest = spare;
  w->unheard = true;
  bool placed = w->newest.step >= 0 && w->newest.epoch == w->epoch;
  w->newest.step = w->step;
  for (int32_t h = 0; w->damaged_count > 0 && h < w->options->supervisor.hosts; h++) {
    w->report->class[GW_SIM_COPY].overtaken += w->hosts[h].damaged;
    w->damaged_count -= w->hosts[h].damaged;
    w->hosts[h].damaged = false;
  }
  w->newest.epoch = w->epoch;
  w->newest.share_count = w->rank_count;
  for (int32_t r = 0; !placed && r < w->rank_count; r++) {
    int32_t hosts[2] = {w->host_of[r], w->host_of[w->partner_of[r]]};
    for (int i = 0; i < 2; i++) {
      w->newest.shares[r].host[i] = hosts[i];
      w->newest.shares[r].lives[i] = w->hosts[hosts[i]].lives;
    }
  }
  tell(w, up_to(w, w->options->step_ns / 4),
       (GwEvent){.kind = GW_EVENT_SNAPSHOT, .epoch = w->epoch, .step = w->step});
}

/* ---- faults and what becomes of them ---- */

static void opened(World *w, GwSimFault fault) {
  w->report->class[fault].injected++;
  w->fault_count++;
  w->faults_since_best++;
  if (w->open[fault].open) return;
  w->open[fault].at = w->now;
  w->open[fault].open = true;
  w->open[fault].seen = false;
}

static void seen(World *w, GwSimFault fault) {
  GwSimClass *class = &w->report->class[fault];
  if (!w->open[fault].open || w->open[fault].seen) return;
  w->open[fault].seen = true;
  uint64_t ns = w->now - w->open[fault].at;
  class->detected++;
  class->detection_ns_sum += (double)ns;
  if (ns > class->detection_ns_worst) class->detection_ns_worst = ns;
}

/* Steps are made again: whatever was seen is over. */
static void recovered(World *w) {
  for (int fault = 0; fault < GW_SIM_FAULTS; fault++) {
    GwSimClass *class = &w->report->class[fault];
    if (!w->open[fault].open || !w->open[fault].seen) continue;
    w->open[fault].open = false;
    uint64_t ns = w->now - w->open[fault].at;
    class->recovered++;
    class->recovery_ns_sum += (double)ns;
    if (ns > class->recovery_ns_worst) class->recovery_ns_worst = ns;
  }
}

static void freeze(World *w) {
  if (!w->frozen) w->frozen_at = w->now;
  w->frozen = true;
}

static void lose_host(World *w, int32_t h) {
  Host *host = &w->hosts[h];
  host->lost = true;
  host->told = false;
  host->lives++;
  for (int32_t r = 0; w->epoch > 0 && r < w->rank_count; r++)
    if (w->host_of[r] == h) freeze(w);
  tell(w, up_to(w, w->options->host_seen_ns), (GwEvent){.kind = GW_EVENT_HOST_LOST, .host = h});
  come(w, 1 + w->options->host_seen_ns + up_to(w, 2 * w->options->repair_ns),
       (GwComing){.what = COMES_REPAIR, .host = h});
}

static void kill_supervisor(World *w) {
  gw_supervisor_destroy(w->supervisor);
  w->supervisor = NULL;
  w->supervisor_life++;
  opened(w, GW_SIM_SUPERVISOR);
  come(w, w->options->replace_ns, (GwComing){.what = COMES_SUPERVISOR});
}

static GwSimFault draw_fault(World *w) {
  double total = 0, sum = 0;
  for (int i = 0; i < GW_SIM_FAULTS; i++) total += w->options->weight[i];
  double at = gw_rng_uniform(&w->rng) * total;
  for (int i = 0; i < GW_SIM_FAULTS; i++)
    if ((sum += w->options->weight[i]) > at) return (GwSimFault)i;
  return GW_SIM_DEATH;
}

/* A fault of a rank that runs; false when none does, or it is frozen already. */
static bool strike_rank(World *w, GwSimFault fault) {
  if (w->epoch == 0 || w->frozen || !w->started) return false;
  int32_t rank = any(w, w->rank_count);
  switch (fault) {
  case GW_SIM_DEATH:
    freeze(w);
    w->dead = rank;
    tell(w, up_to(w, w->options->death_seen_ns),
         (GwEvent){.kind = GW_EVENT_EXITED, .epoch = w->epoch, .rank = rank, .code = 137});
    return true;
  case GW_SIM_ZOMBIE:
    w->zombie = true; /* and hangs till then */
    __attribute__((fallthrough));
  case GW_SIM_HANG:
    w->hung = rank;
    freeze(w);
    return true;
  case GW_SIM_STUCK: freeze(w); return true;
  default:
    w->lies = true; /* noticed when the step's signatures meet */
    w->liar = rank;
    return true;
  }
}

static void make_fault(World *w) {
  GwSimFault fault = draw_fault(w);
  bool made = true;
  int32_t host = any(w, w->options->supervisor.hosts);
  switch (fault) {
  case GW_SIM_HOST:
    made = !w->hosts[host].lost;
    if (made) lose_host(w, host);
    break;
  case GW_SIM_COPY:
    made = w->newest.step >= 0 && !w->hosts[host].damaged;
    if (made) w->hosts[host].damaged = true;
    w->damaged_count += made;
    break;
  case GW_SIM_LAUNCH:
    made = !w->launch_fails;
    w->launch_fails = true;
    break;
  case GW_SIM_SUPERVISOR:
    made = w->supervisor && w->actions_left < 0;
    if (made) w->actions_left = any(w, 3); /* at once, or at its next or second next action */
    break;
  default: made = strike_rank(w, fault);
  }
  note(w, (uint64_t)fault, made);
  if (made && fault != GW_SIM_SUPERVISOR) opened(w, fault); /* that one, when it dies */
  if (w->actions_left == 0 && w->supervisor) kill_supervisor(w);
}

static void next_fault(World *w) {
  int most = w->options->fault_count_max;
  if (w->options->fault_ns == 0 || (most > 0 && w->fault_count >= most)) return;
  double wait = -gw_log_f64(1 - gw_rng_uniform(&w->rng)) * (double)w->options->fault_ns;
  come(w, (uint64_t)wait, (GwComing){.what = COMES_FAULT});
}

/* ---- the driver's side: actions ---- */

/* A host whose part of the snapshot does not verify; -1: there is none. */
static int32_t damaged_host(const World *w) {
  for (int32_t r = 0; w->newest.step >= 0 && r < w->newest.share_count; r++)
    for (int i = 0; i < 2; i++) {
      const Share *share = &w->newest.shares[r];
      const Host *host = &w->hosts[share->host[i]];
      if (!host->lost && host->lives == share->lives[i] && host->damaged) return share->host[i];
    }
  return -1;
}

/* A lost host that the supervisor does not know of yet. */
static bool untold(const World *w) {
  for (int32_t h = 0; h < w->options->supervisor.hosts; h++)
    if (w->hosts[h].lost && !w->hosts[h].told) return true;
  return false;
}

/* False where the state is gone and the supervisor cannot know: with a host whose loss will be
 * told, or replaced by a snapshot of which it was not told. The launch then fails. */
static bool check_restore(World *w, const GwAction *action) {
  int64_t step = action->step, least = w->acknowledged_checkpoint;
  const Snapshot *snapshot = step == w->newest.step ? &w->newest : &w->older;
  if (action->epoch != w->fence || action->epoch <= w->epoch)
    broken(w, "epoch %llu was launched behind the fence of %llu", (unsigned long long)action->epoch,
           (unsigned long long)w->fence);
  if (w->epoch > 0 || w->now < w->left_until)
    broken(w, "an epoch was launched while the ranks of another run");
  bool there = action->from == GW_FROM_SNAPSHOT
                   ? step == snapshot->step && snapshot_lives(w, snapshot)
               : action->from == GW_FROM_CHECKPOINT ? step >= 0 && step <= w->checkpoint
                                                    : step == 0;
  if (!there && !untold(w) && w->copies_untold == 0 && !w->unheard)
    broken(w, "step %lld was to be restored, and is not there", (long long)step);
  for (int i = 0; i < 2; i++) {
    const Snapshot *kept = i ? &w->older : &w->newest;
    bool counts = kept->step <= w->acknowledged_snapshot && (i || damaged_host(w) < 0);
    if (counts && snapshot_lives(w, kept)) least = gw_max_i64(least, kept->step);
  }
  if (step < least)
    broken(w, "step %lld was acknowledged, and step %lld restored", (long long)least,
           (long long)step);
  return there;
}

static void drop_copies(World *w, int32_t host) {
  for (int32_t r = 0; r < w->newest.share_count; r++)
    for (int i = 0; i < 2; i++)
      if (w->newest.shares[r].host[i] == host) w->newest.shares[r].lives[i] = -1;
  w->damaged_count -= w->hosts[host].damaged;
  w->hosts[host].damaged = false;
}

static void tell_bad_copy(World *w, uint64_t in, const GwAction *action, int32_t host) {
  GwEvent event = {.kind = GW_EVENT_BAD_COPY, .epoch = action->epoch, .step = action->step};
  event.host = host;
  w->copies_untold++;
  tell(w, in, event);
}

/* Ranks that go on from `step` let go of what is beyond it. */
static void forget_beyond(World *w, int64_t step) {
  if (w->older.step > step) w->older.step = -1;
  if (w->newest.step <= step) return;
  w->newest.step = -1;
  Snapshot older = w->older;
  w->older = w->newest;
  w->newest = older;
}

/* All steps are done. */
static void leave(World *w, uint64_t in) {
  for (int32_t r = 0; r < w->rank_count; r++)
    tell(w, in, (GwEvent){.kind = GW_EVENT_EXITED, .epoch = w->epoch, .rank = r});
  freeze(w);
}

static void begin_step(World *w, uint64_t in) {
  w->step_took = w->options->step_ns + up_to(w, w->options->step_ns / 10);
  come(w, in + w->step_took, (GwComing){.what = COMES_COMMIT, .epoch = w->epoch});
}

static void launch(World *w, const GwAction *action) {
  bool there = check_restore(w, action);
  const GwPlacement *placement = gw_supervisor_placement(w->supervisor);
  const GwSimOptions *o = w->options;
  w->epoch = action->epoch;
  w->report->epochs++;
  w->report->steps_redone += w->step - gw_min_i64(action->step, w->step);
  w->step = action->step;
  w->acknowledged_snapshot = gw_min_i64(w->acknowledged_snapshot, w->step);
  w->rank_count = placement->rank_count;
  memcpy(w->host_of, placement->host_of, (size_t)w->rank_count * sizeof *w->host_of);
  for (int32_t r = 0; r < w->rank_count; r++) w->partner_of[r] = gw_placement_partner(placement, r);
  w->started = w->frozen = w->lies = false;
  w->hung = w->dead = -1;
  uint64_t taken = o->start_taken_ns / 2 + up_to(w, o->start_taken_ns / 2);
  if (!there) {
    freeze(w);
    tell_bad_copy(w, taken, action, -1);
  }
  for (int32_t r = 0; r < w->rank_count; r++)
    if (w->hosts[w->host_of[r]].lost) freeze(w);
  bool newest = action->from == GW_FROM_SNAPSHOT && action->step == w->newest.step;
  int32_t damaged = newest ? damaged_host(w) : -1;
  if (damaged >= 0) {
    freeze(w);
    seen(w, GW_SIM_COPY);
    drop_copies(w, damaged);
    tell_bad_copy(w, taken, action, damaged);
  } else if (w->launch_fails) {
    w->launch_fails = false;
    freeze(w);
    tell(w, up_to(w, o->start_taken_ns),
         (GwEvent){.kind = GW_EVENT_LAUNCH_FAILED, .epoch = w->epoch});
  }
  if (w->frozen) return;
  forget_beyond(w, w->step);
  tell(w, taken, (GwEvent){.kind = GW_EVENT_READY, .epoch = w->epoch, .rank = -1});
  if (w->step >= o->supervisor.last_step)
    leave(w, taken + 1);
  else
    begin_step(w, taken);
}

static void stop_ranks(World *w, const GwAction *action) {
  if (w->zombie) /* it does not hear, and comes back when its epoch is over */
    come(w, 2 * w->options->stop_taken_ns + w->options->start_taken_ns,
         (GwComing){.what = COMES_ZOMBIE, .epoch = w->epoch});
  w->zombie = false;
  w->epoch = 0;
  for (int fault = 0; fault < GW_SIM_FAULTS; fault++) {
    bool of_rank = fault == GW_SIM_DEATH || fault == GW_SIM_HANG || fault == GW_SIM_LIE ||
                   fault == GW_SIM_STUCK;
    if (!of_rank || !w->open[fault].open || w->open[fault].seen) continue;
    w->open[fault].open = false;
    w->report->class[fault].overtaken++;
  }
  if (w->now >= w->left_until) { /* now and then a process does not hear the first time */
    bool deaf = any(w, 8) == 0;
    uint64_t taken = up_to(w, w->options->stop_taken_ns);
    w->left_until = w->now + (deaf ? w->options->supervisor.stop_ns : 0) + taken;
  }
  tell(w, w->left_until - w->now, (GwEvent){.kind = GW_EVENT_STOPPED, .epoch = action->epoch});
}

/* A rank that works makes progress every now and then, not every moment. */
static void inspect(World *w, const GwAction *action) {
  for (int32_t r = 0; r < w->rank_count; r++) {
    GwEvent event = {.kind = GW_EVENT_OBSERVED, .epoch = action->epoch, .rank = r};
    event.waiting = w->frozen && r != w->hung;
    event.at = w->now - gw_rng_below(&w->rng, w->options->step_ns / 3 + 1);
    if (r == w->hung) event.at = w->frozen_at;
    tell(w, 0, event);
  }
  tell(w, 0, (GwEvent){.kind = GW_EVENT_INSPECTED, .epoch = action->epoch});
}

static void check_report(World *w, const GwAction *action) {
  static const GwSimFault of[GW_FAULT_COUNT] = {
      [GW_FAULT_DEATH] = GW_SIM_DEATH, [GW_FAULT_HANG] = GW_SIM_HANG,
      [GW_FAULT_STUCK] = GW_SIM_STUCK, [GW_FAULT_LIE] = GW_SIM_LIE,
      [GW_FAULT_HOST] = GW_SIM_HOST,   [GW_FAULT_LAUNCH] = GW_SIM_LAUNCH,
      [GW_FAULT_COPY] = GW_SIM_COPY,   [GW_FAULT_TAKEN_OVER] = GW_SIM_SUPERVISOR};
  bool current = action->epoch == w->epoch;
  if (action->fault == GW_FAULT_HANG && (!current || !w->frozen || action->rank != w->hung))
    broken(w, "rank %d was called hung and is not", action->rank);
  if (action->fault == GW_FAULT_STUCK && !(current && w->frozen))
    broken(w, "the ranks were called stuck and are not");
  if (action->fault == GW_FAULT_DEATH && (!current || action->rank != w->dead))
    broken(w, "rank %d was called dead and is not", action->rank);
  if (action->fault == GW_FAULT_LIE && action->rank != w->liar)
    broken(w, "rank %d was called a liar, and rank %d is", action->rank, w->liar);
  if (action->fault == GW_FAULT_GROW || action->fault == GW_FAULT_SLOW_START) return;
  seen(w, of[action->fault]);
  if (action->fault == GW_FAULT_HANG) seen(w, GW_SIM_ZOMBIE);
}

static void carry_out(World *w, const GwAction *action) {
  note(w, 100 + (uint64_t)action->kind, action->epoch ^ (uint64_t)action->step << 20);
  switch (action->kind) {
  case GW_ACTION_FENCE:
    if (action->epoch <= w->fence) broken(w, "the fence went back");
    w->fence = action->epoch;
    break;
  case GW_ACTION_LAUNCH: launch(w, action); break;
  case GW_ACTION_KILL: stop_ranks(w, action); break;
  case GW_ACTION_INSPECT: inspect(w, action); break;
  case GW_ACTION_REPORT: check_report(w, action); break;
  case GW_ACTION_FINISH:
    w->finished = true;
    w->report->outcome = action->outcome;
    break;
  case GW_ACTION_ASK_END:
  case GW_ACTION_WAIT: break;
  }
}

/* Gives the supervisor an event; it may die between two of the actions that follow. */
static void supervise(World *w, const GwEvent *event) {
  GwActions actions;
  gw_supervisor_event(w->supervisor, w->now, event, &actions);
  for (int i = 0; i < actions.count && !w->report->broken[0]; i++) {
    if (w->actions_left == 0) break;
    if (w->actions_left > 0) w->actions_left--;
    carry_out(w, &actions.action[i]);
  }
  if (w->actions_left == 0) {
    kill_supervisor(w);
    return;
  }
  uint64_t due = gw_supervisor_due(w->supervisor);
  if (due >= w->tick_at) return; /* there is one before, and then it is seen again */
  w->tick_at = due;
  tell(w, due > w->now ? due - w->now : 0, (GwEvent){.kind = GW_EVENT_TICK});
}

/* ---- the world's side ---- */

static void on_commit(World *w, const GwComing *coming) {
  if (coming->epoch != w->epoch || w->frozen) return; /* its ranks are gone, or stand still */
  if (coming->epoch != w->fence) {                    /* nobody takes its commit any more */
    freeze(w);
    return;
  }
  const GwSimOptions *o = w->options;
  w->started = true;
  if (w->lies) {
    freeze(w);
    w->lies = false;
    tell(w, 0, (GwEvent){.kind = GW_EVENT_LIED, .epoch = w->epoch, .rank = w->liar});
    return;
  }
  w->step++;
  w->committed++;
  w->steps_took += w->step_took;
  recovered(w);
  GwEvent committed = {.kind = GW_EVENT_COMMITTED, .epoch = w->epoch, .step = w->step};
  tell(w, 0, committed);
  if (any(w, 16) == 0) tell(w, up_to(w, 2 * o->step_ns), committed); /* said twice */
  if (w->step > w->best) {
    w->best = w->step;
    w->best_at = w->now;
    w->faults_since_best = 0;
  }
  if (w->step % o->snapshot_every == 0) take_snapshot(w);
  if (w->step % o->checkpoint_every == 0)
    come(w, o->checkpoint_ns, (GwComing){.what = COMES_CHECKPOINT, .step = w->step});
  if (w->step >= o->supervisor.last_step) {
    leave(w, 1);
    return;
  }
  begin_step(w, 0);
}

static void tell_what_hosts_hold(World *w, const Snapshot *snapshot) {
  for (int32_t r = 0; snapshot->step >= 0 && r < snapshot->share_count; r++)
    for (int i = 0; i < 2; i++) {
      const Share *share = &snapshot->shares[r];
      const Host *host = &w->hosts[share->host[i]];
      if (host->lost || host->lives != share->lives[i]) continue;
      GwEvent event = {.kind = GW_EVENT_FOUND, .step = snapshot->step, .share = r};
      event.shares = snapshot->share_count;
      event.host = share->host[i];
      supervise(w, &event);
    }
}

/* A new supervisor learns what the run's folder says and what the hosts hold. */
static void start_supervisor(World *w) {
  GwSupervisorPast past = {w->fence, w->checkpoint, w->best > 0 ? w->options->step_ns : 0};
  if (w->status != GW_OK) return;
  w->status = gw_supervisor_create(&w->options->supervisor, past, &w->supervisor);
  if (w->status != GW_OK) return;
  w->actions_left = -1;
  w->copies_untold = 0;
  w->tick_at = UINT64_MAX;
  for (int32_t h = 0; h < w->options->supervisor.hosts; h++) {
    w->hosts[h].told = w->hosts[h].lost;
    if (w->hosts[h].lost) supervise(w, &(GwEvent){.kind = GW_EVENT_HOST_LOST, .host = h});
  }
  tell_what_hosts_hold(w, &w->newest);
  tell_what_hosts_hold(w, &w->older);
  w->acknowledged_checkpoint = w->checkpoint;
  w->acknowledged_snapshot = w->newest.step;
  supervise(w, &(GwEvent){.kind = GW_EVENT_BEGIN});
}

static void deliver(World *w, const GwComing *coming) {
  const GwEvent *event = &coming->event;
  if (coming->life != w->supervisor_life || !w->supervisor) return; /* it was for another */
  if (event->kind == GW_EVENT_SNAPSHOT && event->epoch == gw_supervisor_epoch(w->supervisor) &&
      event->epoch == w->epoch) {
    w->acknowledged_snapshot = event->step;
    w->unheard = false;
  }
  if (event->kind == GW_EVENT_TICK) w->tick_at = UINT64_MAX;
  if (event->kind == GW_EVENT_BAD_COPY) w->copies_untold--;
  if (event->kind == GW_EVENT_CHECKPOINT) w->acknowledged_checkpoint = event->step;
  if (event->kind == GW_EVENT_HOST_LOST) {
    w->hosts[event->host].told = true;
    seen(w, GW_SIM_HOST);
  }
  supervise(w, event);
}

static void on_zombie(World *w, const GwComing *coming) {
  seen(w, GW_SIM_ZOMBIE);
  if (coming->epoch >= w->fence)
    broken(w, "a rank that came back from epoch %llu could commit",
           (unsigned long long)coming->epoch);
}

static void happen(World *w, const GwComing *coming) {
  note(w, (uint64_t)coming->what, (uint64_t)coming->event.kind);
  switch ((Coming)coming->what) {
  case COMES_COMMIT: on_commit(w, coming); break;
  case COMES_FAULT:
    make_fault(w);
    next_fault(w);
    break;
  case COMES_REPAIR:
    w->hosts[coming->host].lost = false;
    tell(w, 0, (GwEvent){.kind = GW_EVENT_HOST_BACK, .host = coming->host});
    break;
  case COMES_EVENT: deliver(w, coming); break;
  case COMES_CHECKPOINT:
    if (coming->step <= w->checkpoint) break;
    w->checkpoint = coming->step;
    tell(w, 0, (GwEvent){.kind = GW_EVENT_CHECKPOINT, .step = coming->step});
    break;
  case COMES_SUPERVISOR: start_supervisor(w); break;
  case COMES_ZOMBIE: on_zombie(w, coming); break;
  }
  if (w->faults_since_best <= 2 && w->now - w->best_at > w->options->patience_ns && !w->finished)
    broken(w, "no new step since step %lld, with %d faults since then", (long long)w->best,
           w->faults_since_best);
}

static GwStatus create(World *w) {
  const GwSupervisorOptions *o = &w->options->supervisor;
  w->hosts = calloc((size_t)o->hosts, sizeof *w->hosts);
  w->host_of = calloc((size_t)o->ranks, sizeof *w->host_of);
  w->partner_of = calloc((size_t)o->ranks, sizeof *w->partner_of);
  w->newest.shares = calloc((size_t)o->ranks, sizeof *w->newest.shares);
  w->older.shares = calloc((size_t)o->ranks, sizeof *w->older.shares);
  if (!w->hosts || !w->host_of || !w->partner_of || !w->newest.shares || !w->older.shares)
    return gw_fail(GW_MEMORY, "no memory to simulate %d ranks", o->ranks);
  w->checkpoint = w->acknowledged_checkpoint = w->acknowledged_snapshot = -1;
  w->newest.step = w->older.step = -1;
  w->hung = w->dead = w->liar = w->actions_left = -1;
  return GW_OK;
}

GwStatus gw_sim_run(const GwSimOptions *options, GwSimReport *out) {
  *out = (GwSimReport){0};
  World w = {.options = options, .report = out, .rng = gw_rng(options->seed, 0)};
  w.status = create(&w);
  if (w.status == GW_OK) {
    start_supervisor(&w);
    next_fault(&w);
  }
  GwComing coming;
  while (w.status == GW_OK && !w.finished && !out->broken[0] &&
         gw_event_queue_take(&w.queue, &coming) && coming.time <= options->horizon_ns) {
    w.now = coming.time;
    out->events++;
    happen(&w, &coming);
  }
  if (!w.finished && !out->broken[0] && w.now < options->horizon_ns) w.now = options->horizon_ns;
  out->steps = w.step;
  out->elapsed_ns = w.now;
  if (w.committed > 0)
    out->useful_ns = (uint64_t)((double)w.steps_took / (double)w.committed * (double)w.step);
  gw_supervisor_destroy(w.supervisor);
  gw_event_queue_deinit(&w.queue);
  free(w.hosts);
  free(w.host_of);
  free(w.partner_of);
  free(w.newest.shares);
  free(w.older.shares);
  return w.status;
}
