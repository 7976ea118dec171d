/* What a fault hits (which element, which bit, which byte) follows from its number, so that a run
 * with the same faults is the same run. */
#include "guard/inject.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng.h"
#include "guard/damage.h"
#include "os/clock.h"
#include "state/snapshot.h"
#include "train/straggler.h"

struct GwInjector {
  GwInjectorOptions options;
  GwInjection *faults; /* [count] */
  _Atomic bool *done;  /* [count]: it has struck, in this process or an earlier one */
  char record[GW_PATH_MAX];
  GwMomentHook hook;
  _Atomic int64_t begun;    /* the newest step */
  _Atomic int64_t lanes_of; /* the step whose lanes are being computed; 0: none */
  int64_t slow_until;       /* the last step of a slow time */
  double slow_factor;
  GwTimeClass slow_in;         /* where it is spent */
  uint64_t begun_ns, lanes_ns; /* when the step's lanes began; how long they take when not slow */
  _Atomic int64_t input_of;    /* the step whose first batch has been asked for */
  int64_t *kept;               /* this rank's part of its slice, for REDUCE */
  GwFs fs;                     /* the disk's, but for: */
  _Atomic int32_t full;        /* 1 + the fault by which the next write to a new file fails */
  int64_t full_step;           /* the checkpoint's */
  GwFile *_Atomic created;
};

/* ---- what has struck ---- */

static void mark_line(GwInjector *x, const char *line, size_t length) {
  json_error_t error;
  json_t *object = json_loadb(line, length, 0, &error); /* NULL: torn when the machine failed */
  json_t *number = json_object_get(object, "fault");
  const char *class = json_string_value(json_object_get(object, "class"));
  json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
  if (class && i >= 0 && i < x->options.count &&
      strcmp(class, gw_inject_info(x->faults[i].class)->name) == 0)
    atomic_store(&x->done[i], true);
  json_decref(object);
}

static GwStatus read_record(GwInjector *x) {
  enum { RECORD_MOST = 1 << 24 };
  char *text;
  size_t size;
  GwFs *fs = gw_fs_disk();
  if (!fs->exists(fs, x->record)) return GW_OK;
  GW_TRY(gw_fs_read_all(fs, x->record, RECORD_MOST, &text, &size));
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
    mark_line(x, line, (size_t)(end - line));
  free(text);
  return GW_OK;
}

/* What was torn before stays a line of its own. */
static GwStatus end_line(GwFs *fs, GwFile *file) {
  char last = '\n';
  uint64_t size;
  size_t got;
  GW_TRY(fs->size(fs, file, &size));
  if (size > 0) GW_TRY(fs->read_at(fs, file, size - 1, &last, 1, &got));
  return last == '\n' ? GW_OK : fs->write(fs, file, "\n", 1);
}

static GwStatus append(const char *path, char *line) {
  GwFs *fs = gw_fs_disk();
  GwFile *file;
  size_t length = strlen(line);
  line[length] = '\n'; /* in place of the closing 0 */
  GW_TRY(fs->open(fs, path, GW_FILE_APPEND, &file));
  GwStatus status = end_line(fs, file);
  if (status == GW_OK) status = fs->write(fs, file, line, length + 1);
  if (status == GW_OK) status = fs->sync_file(fs, file);
  fs->close(fs, file);
  return status;
}

/* What hits every rank is written down by the first. */
static GwStatus write_down(GwInjector *x, int32_t i, int64_t step) {
  const GwInjection *fault = &x->faults[i];
  char time[24];
  if (fault->rank < 0 && x->options.place->rank > 0) return GW_OK;
  gw_clock_utc(time);
  json_t *object = json_pack("{s:i, s:s, s:i, s:I, s:I, s:I, s:s}", "fault", (int)i, "class",
                             gw_inject_info(fault->class)->name, "rank", (int)fault->rank, "step",
                             (json_int_t)step, "epoch", (json_int_t)x->options.epoch, "ns",
                             (json_int_t)gw_clock_ns(), "time", time);
  char *line = object ? gw_json_line(object) : NULL;
  json_decref(object);
  if (!line) return gw_fail(GW_MEMORY, "no memory for a line of %s", x->record);
  GwStatus status = append(x->record, line);
  free(line);
  return status;
}

/* ---- processes ---- */

static void sleep_ns(uint64_t ns) {
  struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

/* What this node's ranks have left in its memory, then the ranks, this one last: the supervisor
 * stops it as soon as it has seen another's end. */
static void kill_node(const GwInjector *x) {
  const GwPlace *place = x->options.place;
  int32_t first = place->rank - place->node_rank;
  if (x->options.snapshots != 0) (void)gw_snapshot_remove_all(x->options.snapshots);
  for (int32_t r = first; r < first + place->node_ranks; r++) {
    int32_t pid = x->options.board->row[r].pid;
    if (pid > 0 && pid != getpid()) kill(pid, SIGKILL);
  }
  kill(getpid(), SIGKILL);
}

/* The run's lock says who the supervisor is. */
static GwStatus kill_supervisor(const GwInjector *x) {
  char path[GW_PATH_MAX], *text;
  size_t size;
  GW_TRY(gw_fs_path(path, "%s/lock", x->options.run_dir));
  GW_TRY(gw_fs_read_all(gw_fs_disk(), path, 64, &text, &size));
  long pid = strtol(text, NULL, 10);
  free(text);
  if (pid <= 1) return gw_fail(GW_NOT_FOUND, "%s does not say whose it is", path);
  kill((pid_t)pid, SIGKILL);
  return GW_OK;
}

/* ---- striking ---- */

static uint64_t chance(int32_t i, int32_t which) {
  return gw_mix64((uint64_t)i * 16 + (uint64_t)which);
}

static GwStatus strike_process(const GwInjector *x, const GwInjection *fault) {
  static volatile bool never;
  switch (fault->class) {
  case GW_INJECT_KILL: kill(getpid(), SIGKILL); break;
  case GW_INJECT_EXIT: return gw_fail(GW_IO, "an injected fault ends this rank");
  case GW_INJECT_STOP: kill(getpid(), SIGSTOP); break;
  case GW_INJECT_SPIN:
    while (!never) continue;
    break;
  case GW_INJECT_LOCK:
    for (;;) sleep_ns(UINT64_C(1000000000));
  case GW_INJECT_SUPERVISOR: return kill_supervisor(x);
  default: kill_node(x); break;
  }
  return GW_OK;
}

/* The first rank of the next node; -1: there is one node only. */
static int32_t rank_elsewhere(const GwPlace *place) {
  int32_t next = place->rank - place->node_rank + place->node_ranks;
  return place->nodes == 1 ? -1 : next % place->ranks;
}

static GwStatus strike_numbers(GwInjector *x, int32_t i, GwTrainer *trainer) {
  const GwInjection *fault = &x->faults[i];
  GwDamage damage = {.trainer = trainer,
                     .rank = x->options.place->rank,
                     .element = chance(i, 0),
                     .bit = fault->bit >= 0 ? (uint64_t)fault->bit : chance(i, 1)};
  switch (fault->class) {
  case GW_INJECT_FLIP: gw_damage_state(&damage, fault->tensor, (GwFlip)fault->how); break;
  case GW_INJECT_GRADIENT: gw_damage_sums(&damage); break;
  case GW_INJECT_PAYLOAD: gw_damage_payload(&damage, (GwPayload)fault->how); break;
  case GW_INJECT_NAN: gw_damage_weight(&damage, fault->how == 1); break;
  case GW_INJECT_COPY:
    damage.rank = rank_elsewhere(x->options.place);
    if (damage.rank >= 0) gw_damage_state(&damage, 0, GW_FLIP_ONE);
    break;
  default: gw_damage_total(&damage, x->kept, (GwWrongTotal)fault->how); break;
  }
  return GW_OK;
}

static GwStatus strike(GwInjector *x, int32_t i, int64_t step, GwTrainer *trainer) {
  const GwInjection *fault = &x->faults[i];
  if (fault->class == GW_INJECT_FULL) { /* it strikes with the write */
    x->full_step = step;
    atomic_store(&x->full, 1 + i);
    return GW_OK;
  }
  if (atomic_exchange(&x->done[i], true)) return GW_OK;
  GW_TRY(write_down(x, i, step));
  switch (fault->class) {
  case GW_INJECT_SLOW:
    x->slow_until = step + fault->steps - 1;
    x->slow_factor = fault->factor;
    x->slow_in = (GwTimeClass)fault->how;
    return GW_OK;
  case GW_INJECT_TORN:
  case GW_INJECT_BYTE:
    GW_TRY(gw_damage_checkpoint(x->options.run_dir, step, fault->class == GW_INJECT_TORN,
                                chance(i, 0)));
    kill_node(x);
    return GW_OK;
  case GW_INJECT_FLIP:
  case GW_INJECT_GRADIENT:
  case GW_INJECT_PAYLOAD:
  case GW_INJECT_REDUCE:
  case GW_INJECT_REDUCE_ALL:
  case GW_INJECT_COPY:
  case GW_INJECT_NAN: return strike_numbers(x, i, trainer);
  default: return strike_process(x, fault);
  }
}

/* ---- when ---- */

/* Memory is hit before lanes read it or after, as chance has it. */
static GwMoment moment_of(const GwInjection *fault, int32_t i) {
  switch (fault->class) {
  case GW_INJECT_FLIP: return chance(i, 2) & 1 ? GW_MOMENT_BEGIN : GW_MOMENT_LANES;
  case GW_INJECT_GRADIENT: return GW_MOMENT_LANES;
  case GW_INJECT_PAYLOAD:
  case GW_INJECT_REDUCE:
  case GW_INJECT_REDUCE_ALL: return GW_MOMENT_TOTAL;
  case GW_INJECT_TORN:
  case GW_INJECT_BYTE: return GW_MOMENT_SAVED;
  case GW_INJECT_FULL: return GW_MOMENT_SAVE;
  default: return GW_MOMENT_BEGIN;
  }
}

static bool is_ours(const GwInjector *x, const GwInjection *fault) {
  int32_t rank = x->options.place->rank;
  if (fault->class == GW_INJECT_REDUCE_ALL) return true;
  return rank == (fault->rank >= 0 ? fault->rank : 0);
}

/* Whether no fault, of any rank, is for a step that is under way or comes next: one that ends the
 * epoch would hide what happens to a checkpoint, or be hidden by it. */
static bool is_quiet(const GwInjector *x) {
  enum { STEPS = 2 };
  int64_t begun = atomic_load(&x->begun);
  for (int32_t i = 0; i < x->options.count; i++) {
    int64_t ahead = x->faults[i].step - begun;
    if (ahead >= 0 && ahead <= STEPS && moment_of(&x->faults[i], i) < GW_MOMENT_SAVE) return false;
  }
  return true;
}

static bool is_due(const GwInjector *x, int32_t i, int64_t step) {
  const GwInjection *fault = &x->faults[i];
  if (atomic_load(&x->done[i]) || !is_ours(x, fault)) return false;
  if (moment_of(fault, i) == GW_MOMENT_SAVED) return step >= fault->step && is_quiet(x);
  return step == fault->step || (moment_of(fault, i) == GW_MOMENT_SAVE && step > fault->step);
}

/* What a later moment of the step needs. */
static GwStatus prepare(GwInjector *x, int32_t i, GwMoment moment, GwTrainer *trainer) {
  GwInjectClass class = x->faults[i].class;
  bool reduces = class == GW_INJECT_REDUCE || class == GW_INJECT_REDUCE_ALL;
  if (moment != GW_MOMENT_LANES || !reduces) return GW_OK;
  free(x->kept);
  x->kept = gw_damage_keep(trainer);
  return x->kept ? GW_OK : gw_fail(GW_MEMORY, "no memory for an injected fault");
}

/* What is not spent in ops is spent at once, as long as the lanes take without it. */
static void dawdle(const GwInjector *x, GwTimeClass in, int64_t step) {
  if (step <= x->slow_until && x->slow_in == in)
    sleep_ns((uint64_t)((double)x->lanes_ns * (x->slow_factor - 1)));
}

static void dawdle_at(GwInjector *x, GwMoment moment, int64_t step) {
  bool measures = step > x->slow_until || x->lanes_ns == 0;
  if (moment == GW_MOMENT_BEGIN) x->begun_ns = gw_clock_ns();
  if (moment == GW_MOMENT_LANES && measures) x->lanes_ns = gw_clock_ns() - x->begun_ns;
  if (moment == GW_MOMENT_TOTAL) dawdle(x, GW_TIME_NETWORK, step);
  if (moment == GW_MOMENT_RECORD) dawdle(x, GW_TIME_DISK, step);
}

static GwStatus at_moment(void *self, GwMoment moment, int64_t step, GwTrainer *trainer) {
  GwInjector *x = self;
  if (moment == GW_MOMENT_INPUT) {
    if (atomic_exchange(&x->input_of, step) != step) dawdle(x, GW_TIME_INPUT, step);
    return GW_OK;
  }
  dawdle_at(x, moment, step);
  if (moment == GW_MOMENT_BEGIN) atomic_store(&x->begun, step);
  atomic_store(&x->lanes_of, moment == GW_MOMENT_BEGIN ? step : 0);
  for (int32_t i = 0; i < x->options.count; i++) {
    if (!is_due(x, i, step)) continue;
    GW_TRY(prepare(x, i, moment, trainer));
    if (moment == moment_of(&x->faults[i], i) && x->faults[i].op < 0)
      GW_TRY(strike(x, i, step, trainer));
  }
  return GW_OK;
}

/* Whatever a thread did since its last op takes that much longer. Short sleeps take longer than
 * they should: what they are over is left out of later ones. */
static void linger(const GwInjector *x, int64_t step) {
  enum { SHORTEST_NS = 200000 };
  static _Thread_local uint64_t since;
  static _Thread_local int64_t in, owed_ns;
  uint64_t now = gw_clock_ns();
  owed_ns = in == step ? owed_ns + (int64_t)((double)(now - since) * (x->slow_factor - 1)) : 0;
  in = step;
  since = now;
  if (owed_ns < SHORTEST_NS) return;
  sleep_ns((uint64_t)owed_ns);
  since = gw_clock_ns();
  owed_ns -= (int64_t)(since - now);
}

static GwStatus at_op(void *self, int32_t op) {
  GwInjector *x = self;
  int64_t step = atomic_load(&x->lanes_of);
  if (step == 0) return GW_OK; /* of an evaluation */
  if (step <= x->slow_until && x->slow_in == GW_TIME_COMPUTE) linger(x, step);
  for (int32_t i = 0; i < x->options.count; i++)
    if (x->faults[i].op == op && is_due(x, i, step)) GW_TRY(strike(x, i, step, NULL));
  return GW_OK;
}

/* ---- the disk ---- */

static GwStatus open_file(GwFs *fs, const char *path, GwFileMode mode, GwFile **out) {
  GwInjector *x = fs->self;
  GW_TRY(gw_fs_disk()->open(fs, path, mode, out));
  if (gw_file_is_new(mode)) x->created = *out;
  return GW_OK;
}

static GwStatus write_file(GwFs *fs, GwFile *file, const void *data, size_t size) {
  static const char *const says[] = {"no space left on the disk", "the device reports an error",
                                     "the file system is read-only"};
  GwInjector *x = fs->self;
  bool fails = file == atomic_load(&x->created) && is_quiet(x);
  int32_t i = fails ? atomic_exchange(&x->full, 0) - 1 : -1;
  if (i < 0) return gw_fs_disk()->write(fs, file, data, size);
  atomic_store(&x->done[i], true);
  GW_TRY(write_down(x, i, x->full_step));
  int32_t how = x->faults[i].how;
  return gw_fail(how == 0 ? GW_NO_SPACE : GW_IO, "%s, as an injected fault has it", says[how]);
}

/* ---- life ---- */

static GwStatus set_up(GwInjector *x) {
  const GwInjectorOptions *o = &x->options;
  GW_TRY(gw_injections_parse(o->specs, o->count, o->place->ranks, &x->faults));
  x->done = calloc((size_t)o->count + 1, sizeof *x->done);
  if (!x->done) return gw_fail(GW_MEMORY, "no memory for %d faults", o->count);
  GW_TRY(gw_fs_path(x->record, "%s/injected.jsonl", o->run_dir));
  x->hook = (GwMomentHook){x, at_moment, at_op};
  x->fs = *gw_fs_disk();
  x->fs.self = x;
  x->fs.open = open_file;
  x->fs.write = write_file;
  return read_record(x);
}

GwStatus gw_injector_create(const GwInjectorOptions *options, GwInjector **out) {
  GwInjector *x = calloc(1, sizeof *x);
  if (!x) return gw_fail(GW_MEMORY, "no memory for injected faults");
  x->options = *options;
  GwStatus status = set_up(x);
  if (status == GW_OK)
    *out = x;
  else
    gw_injector_destroy(x);
  return status;
}

void gw_injector_destroy(GwInjector *x) {
  if (!x) return;
  free(x->kept);
  free(x->done);
  free(x->faults);
  free(x);
}

const GwMomentHook *gw_injector_hook(const GwInjector *x) { return &x->hook; }
GwFs *gw_injector_fs(GwInjector *x) { return &x->fs; }
