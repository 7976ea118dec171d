/* Each fault has the time from its line in injected.jsonl to the next one's for itself: what the
 * journal says in between is its doing. The lines of both have the time of one clock. */
#include "cluster/chaos_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "guard/injection.h"
#include "os/fs.h"

/* Files of JSON lines, as arrays; and what was found. */
typedef struct {
  json_t *injected, *journal, *metrics;
  double *detection[GW_INJECT_CLASSES + 1], *recovery[GW_INJECT_CLASSES + 1]; /* last: of all */
  double *times; /* what these are parts of */
} Records;

/* ---- reading ---- */

static GwStatus add_line(json_t *lines, const char *path, const char *text, size_t size) {
  json_t *object;
  GW_TRY(gw_json_parse(path, text, size, &object));
  return json_array_append_new(lines, object) == 0 ? GW_OK : gw_fail(GW_MEMORY, "no memory");
}

static GwStatus read_lines(const char *dir, const char *name, json_t **out) {
  char path[GW_PATH_MAX], *text;
  size_t size;
  GwFs *fs = gw_fs_disk();
  json_t *lines = json_array();
  GW_TRY(gw_fs_path(path, "%s/%s", dir, name));
  *out = lines;
  if (!lines) return gw_fail(GW_MEMORY, "no memory for the lines of %s", path);
  if (!fs->exists(fs, path)) return GW_OK; /* nothing was written */
  GW_TRY(gw_fs_read_all(fs, path, (size_t)1 << 32, &text, &size));
  GwStatus status = GW_OK;
  for (char *line = text, *end; status == GW_OK && (end = strchr(line, '\n')); line = end + 1)
    status = add_line(lines, path, line, (size_t)(end - line));
  free(text);
  return status;
}

static GwStatus make_lists(Records *r) {
  size_t each = json_array_size(r->injected) + 1;
  r->times = calloc(2 * (GW_INJECT_CLASSES + 1) * each, sizeof *r->times);
  if (!r->times) return gw_fail(GW_MEMORY, "no memory for the times of %zu faults", each);
  for (size_t i = 0; i <= GW_INJECT_CLASSES; i++) {
    r->detection[i] = r->times + 2 * i * each;
    r->recovery[i] = r->detection[i] + each;
  }
  return GW_OK;
}

static int64_t number_of(const json_t *line, const char *key) {
  return json_integer_value(json_object_get(line, key));
}

static bool is(const json_t *line, const char *key, const char *word) {
  const char *text = json_string_value(json_object_get(line, key));
  return text && strcmp(text, word) == 0;
}

/* ---- one fault ---- */

typedef struct {
  const json_t *line;
  GwInjectClass class;
  int64_t from, until; /* nanoseconds */
} Injected;

static bool find_class(const json_t *line, GwInjectClass *out) {
  for (int i = 0; i < GW_INJECT_CLASSES; i++) {
    *out = (GwInjectClass)i;
    if (is(line, "class", gw_inject_info(*out)->name)) return true;
  }
  return false;
}

static bool damages_checkpoint(const Injected *fault) {
  return strcmp(gw_inject_info(fault->class)->event, "older") == 0;
}

/* Whether this line of the journal shows the fault for what it is. */
static bool shows(const json_t *line, const Injected *fault) {
  const GwInjectInfo *info = gw_inject_info(fault->class);
  if (damages_checkpoint(fault))
    return is(line, "event", "resume") && number_of(line, "step") < number_of(fault->line, "step");
  if (strcmp(info->event, "unsaved") == 0) return is(line, "event", "checkpoint_failed");
  return is(line, "event", "fault") && is(line, "kind", info->event) &&
         (!info->blames || number_of(line, "rank") == number_of(fault->line, "rank"));
}

static bool ends(const json_t *line, const Injected *fault) {
  bool unsaved = strcmp(gw_inject_info(fault->class)->event, "unsaved") == 0;
  return is(line, "event", unsaved ? "checkpoint" : "recovered");
}

static void lose_steps(const json_t *line, const Injected *fault, int64_t *lost) {
  int64_t made = number_of(fault->line, "step") - (damages_checkpoint(fault) ? 0 : 1);
  if (*lost < 0 && is(line, "event", "resume")) *lost = made - number_of(line, "step");
}

/* Of the faults that the supervisor saw, one is this one's; and where a node has lost its memory,
 * that snapshots cannot be restored are too. */
static void explain(const json_t *line, const Injected *fault, bool *done, int32_t *unexplained) {
  bool forgets = fault->class == GW_INJECT_NODE || damages_checkpoint(fault);
  if (!is(line, "event", "fault")) return;
  if (forgets && is(line, "kind", "copy")) (*unexplained)--;
  if (*done) return;
  *done = shows(line, fault) || damages_checkpoint(fault);
  *unexplained -= *done;
}

/* Reads on in the journal until the fault is over. */
static void follow(Records *r, const Injected *fault, GwChaosReport *out) {
  int64_t seen = -1, over = -1, lost = -1;
  bool explained = false;
  size_t i;
  json_t *line;
  json_array_foreach(r->journal, i, line) {
    int64_t ns = number_of(line, "ns");
    if (ns < fault->from || (seen < 0 && ns >= fault->until)) continue;
    if (ns < fault->until) {
      explain(line, fault, &explained, &out->unexplained);
      lose_steps(line, fault, &lost);
    }
    if (seen < 0 && shows(line, fault))
      seen = ns;
    else if (seen >= 0 && over < 0 && ends(line, fault))
      over = ns;
  }
  int32_t which[] = {(int32_t)fault->class, GW_INJECT_CLASSES};
  for (int k = 0; k < 2; k++) {
    GwChaosClass *class = k == 0 ? &out->classes[fault->class] : &out->all;
    class->injected++;
    class->steps_lost += gw_max_i64(lost, 0);
    if (seen >= 0) r->detection[which[k]][class->detected++] = (double)(seen - fault->from) * 1e-9;
    if (over >= 0) r->recovery[which[k]][class->recovered++] = (double)(over - seen) * 1e-9;
  }
}

/* ---- all of them ---- */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* 0 where there are none. */
static void summarise(double *times, int32_t count, double *median, double *worst) {
  *median = *worst = 0;
  if (count == 0) return;
  qsort(times, (size_t)count, sizeof *times, ascending);
  *median = times[count / 2];
  *worst = times[count - 1];
}

static GwStatus count_useful(const Records *r, GwChaosReport *out) {
  size_t count = json_array_size(r->metrics), i;
  double *times = calloc(count + 1, sizeof *times), median, worst;
  json_t *line;
  if (!times) return gw_fail(GW_MEMORY, "no memory for the times of %zu steps", count);
  json_array_foreach(r->metrics, i, line) times[i] =
      json_number_value(json_object_get(line, "seconds"));
  summarise(times, (int32_t)count, &median, &worst);
  free(times);
  out->useful_time = (double)out->steps * median / out->seconds;
  return GW_OK;
}

static GwStatus judge(Records *r, GwChaosReport *out) {
  size_t i, count = json_array_size(r->injected);
  json_t *line;
  json_array_foreach(r->journal, i, line) out->unexplained += is(line, "event", "fault");
  json_array_foreach(r->injected, i, line) {
    const json_t *next = json_array_get(r->injected, i + 1);
    Injected fault = {.line = line, .from = number_of(line, "ns")};
    fault.until = i + 1 < count ? number_of(next, "ns") : INT64_MAX;
    if (!find_class(line, &fault.class))
      return gw_fail(GW_CORRUPT, "%s/injected.jsonl: line %zu has no known class", out->run_dir,
                     i + 1);
    follow(r, &fault, out);
  }
  for (i = 0; i <= GW_INJECT_CLASSES; i++) {
    GwChaosClass *class = i < GW_INJECT_CLASSES ? &out->classes[i] : &out->all;
    summarise(r->detection[i], class->detected, &class->detection_median, &class->detection_worst);
    summarise(r->recovery[i], class->recovered, &class->recovery_median, &class->recovery_worst);
  }
  return count_useful(r, out);
}

GwStatus gw__chaos_report(GwChaosReport *out) {
  Records r = {0};
  GwStatus status = read_lines(out->run_dir, "injected.jsonl", &r.injected);
  if (status == GW_OK) status = read_lines(out->run_dir, "journal.jsonl", &r.journal);
  if (status == GW_OK) status = read_lines(out->run_dir, "metrics.jsonl", &r.metrics);
  if (status == GW_OK) status = make_lists(&r);
  if (status == GW_OK) status = judge(&r, out);
  free(r.times);
  json_decref(r.metrics);
  json_decref(r.journal);
  json_decref(r.injected);
  return status;
}
