/* A run's status from its files: recipe, the end of its metrics, its whole journal, its lock and
 * the times of the last writes. */
#include <stdlib.h>
#include <string.h>

#include "godwit/recipe.h"
#include "godwit/runs.h"
#include "os/clock.h"
#include "train/jsonl.h"

enum { LAST_STEPS = 32 }; /* whose mean is the speed */

static const double quiet_seconds = 60, quiet_steps = 10, quiet_start_seconds = 600;

const char *gw_run_state_name(GwRunState state) {
  static const char *const names[GW_RUN_STATES] = {
      [GW_RUN_UNTRAINED] = "untrained",     [GW_RUN_RUNNING] = "running",
      [GW_RUN_STALLED] = "stalled",         [GW_RUN_FINISHED] = "finished",
      [GW_RUN_INTERRUPTED] = "interrupted", [GW_RUN_CRASHED] = "crashed"};
  return names[state];
}

/* The last part of the path, links and dots resolved. */
static void set_name(const char *path, GwRunStatus *status) {
  char *whole = realpath(path, NULL);
  const char *text = whole ? whole : path, *slash = strrchr(text, '/');
  const char *name = slash ? slash + 1 : text;
  size_t length = strnlen(name, sizeof status->name - 1);
  memcpy(status->name, name, length);
  status->name[length] = 0;
  free(whole);
}

static GwStatus read_recipe(GwFs *fs, const char *run, GwRunStatus *status) {
  char path[GW_PATH_MAX];
  GwRecipe recipe;
  GW_TRY(gw_fs_path(path, "%s/recipe.yaml", run));
  if (!fs->exists(fs, path)) return gw_fail(GW_NOT_FOUND, "%s: no run: no recipe.yaml in it", run);
  GW_TRY(gw_recipe_load(path, NULL, 0, &recipe));
  status->steps = status->until = recipe.train.steps;
  return GW_OK;
}

/* ---- metrics ---- */

static double number(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static GwStatus take_metrics(const char *path, const json_t *lines, GwRunStatus *status) {
  size_t count = json_array_size(lines);
  if (count == 0) return GW_OK;
  const json_t *last = json_array_get(lines, count - 1);
  GW_TRY(gw_json_i64(last, path, "step", &status->step));
  if (!json_is_number(json_object_get(last, "loss")))
    return gw_fail(GW_CORRUPT, "%s: key 'loss' of the last line must be a number", path);
  status->has_step = true;
  status->loss = number(last, "loss");
  status->lr = number(last, "lr");
  status->gradient_norm = number(last, "gradient_norm");
  status->tokens_per_second = number(last, "tokens_per_second");
  for (size_t i = 0; i < count; i++) {
    const json_t *line = json_array_get(lines, i);
    status->step_seconds +=
        (number(line, "seconds") + number(line, "between_seconds")) / (double)count;
  }
  return GW_OK;
}

static GwStatus read_metrics(GwFs *fs, const char *run, GwRunStatus *status) {
  char path[GW_PATH_MAX];
  json_t *lines = NULL;
  GW_TRY(gw_fs_path(path, "%s/metrics.jsonl", run));
  if (!fs->exists(fs, path)) return GW_OK;
  GW_TRY(gw_jsonl_tail(fs, path, LAST_STEPS, &lines));
  GwStatus result = take_metrics(path, lines, status);
  json_decref(lines);
  return result;
}

/* ---- journal ---- */

/* How the latest process to train ended. */
typedef enum { END_NONE, END_OPEN, END_CLEAN, END_INCIDENT } End;

typedef struct {
  GwRunStatus *status;
  int64_t starts;
  End end;
} Journal;

static bool is(const char *event, const char *word) { return event && strcmp(event, word) == 0; }

static GwStatus take_event(void *context, const json_t *line) {
  Journal *journal = context;
  GwRunStatus *status = journal->status;
  const char *event = json_string_value(json_object_get(line, "event"));
  if (is(event, "start") || is(event, "resume")) {
    const json_t *until = json_object_get(line, "until");
    journal->starts++;
    journal->end = END_OPEN;
    if (json_is_integer(until)) status->until = json_integer_value(until);
  } else if (is(event, "stop") || is(event, "end")) {
    journal->end = END_CLEAN;
  } else if (is(event, "incident") || is(event, "fault")) {
    status->faults++;
    if (is(event, "incident")) journal->end = END_INCIDENT;
  } else if (is(event, "validation")) {
    status->has_validation = true;
    status->validation_step = json_integer_value(json_object_get(line, "step"));
    status->validation_loss = number(line, "loss");
    status->bits_per_byte = number(line, "bits_per_byte");
  }
  return GW_OK;
}

static GwStatus read_journal(GwFs *fs, const char *run, Journal *journal) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/journal.jsonl", run));
  if (!fs->exists(fs, path)) return GW_OK;
  return gw_jsonl_each(fs, path, take_event, journal);
}

/* ---- state ---- */

static GwStatus read_times(const char *run, GwRunStatus *status) {
  static const char *const files[] = {"recipe.yaml", "journal.jsonl", "metrics.jsonl"};
  int64_t newest = 0;
  for (size_t i = 0; i < GW_COUNT_OF(files); i++) {
    char path[GW_PATH_MAX];
    GW_TRY(gw_fs_path(path, "%s/%s", run, files[i]));
    newest = gw_max_i64(newest, gw_file_changed_ns(path));
  }
  status->updated = (double)newest * 1e-9;
  status->age = (double)gw_max_i64(0, gw_clock_wall_ns() - newest) * 1e-9;
  return GW_OK;
}

static GwRunState state_of(const Journal *journal, bool held) {
  const GwRunStatus *status = journal->status;
  double by_steps = quiet_steps * status->step_seconds;
  double limit = by_steps > quiet_seconds ? by_steps : quiet_seconds;
  if (!status->has_step) limit = quiet_start_seconds;
  if (held) return status->age > limit ? GW_RUN_STALLED : GW_RUN_RUNNING;
  switch (journal->end) {
  case END_NONE: return GW_RUN_UNTRAINED;
  case END_CLEAN: return status->step >= status->steps ? GW_RUN_FINISHED : GW_RUN_INTERRUPTED;
  case END_OPEN:
  case END_INCIDENT: break;
  }
  return GW_RUN_CRASHED;
}

GwStatus gw_run_status(const char *path, GwRunStatus *out) {
  GwFs *fs = gw_fs_disk();
  GwRunStatus status = {.age = 0};
  Journal journal = {.status = &status};
  char lock[GW_PATH_MAX];
  GW_TRY(read_recipe(fs, path, &status));
  GW_TRY(gw_fs_path(lock, "%s/lock", path));
  bool held = gw_lock_is_held(lock);
  GW_TRY(read_metrics(fs, path, &status));
  GW_TRY(read_journal(fs, path, &journal));
  GW_TRY(read_times(path, &status));
  held |= gw_lock_is_held(lock); /* it may have ended or begun while its files were read */
  set_name(path, &status);
  if (journal.starts > 0) status.restarts = journal.starts - 1;
  status.seconds_left = (double)gw_max_i64(0, status.until - status.step) * status.step_seconds;
  status.state = state_of(&journal, held);
  *out = status;
  return GW_OK;
}
