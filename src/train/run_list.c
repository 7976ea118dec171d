/* Many runs at once: the folders of a folder, and the curves of two runs to be compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "godwit/runs.h"
#include "train/jsonl.h"

_Static_assert(sizeof(((GwRunEntry *)0)->path) == GW_PATH_MAX, "a path must fit");

typedef struct {
  GwFs *fs;
  char dir[GW_PATH_MAX];
  GwStatus (*visit)(void *context, const GwRunEntry *entry);
  void *context;
} Listing;

static GwStatus is_run(GwFs *fs, const char *path, bool *out) {
  char recipe[GW_PATH_MAX];
  GW_TRY(gw_fs_path(recipe, "%s/recipe.yaml", path));
  *out = fs->exists(fs, recipe);
  return GW_OK;
}

static GwStatus visit_run(const Listing *listing, const char *path) {
  GwRunEntry entry = {.broken = ""};
  GW_TRY(gw_fs_path(entry.path, "%s", path));
  if (gw_run_status(path, &entry.status) != GW_OK)
    snprintf(entry.broken, sizeof entry.broken, "%s", gw_error_message());
  return listing->visit(listing->context, &entry);
}

/* A link to a run counts; hidden folders do not. */
static GwStatus visit_name(void *context, const char *name, bool is_dir) {
  const Listing *listing = context;
  char path[GW_PATH_MAX];
  bool run = false;
  if (name[0] == '.') return GW_OK;
  GW_TRY(gw_fs_path(path, "%s/%s", listing->dir, name));
  if (!is_dir) GW_TRY(is_run(listing->fs, path, &run));
  return is_dir || run ? visit_run(listing, path) : GW_OK;
}

GwStatus gw_runs_list(const char *dir, GwStatus (*visit)(void *context, const GwRunEntry *entry),
                      void *context) {
  Listing listing = {.fs = gw_fs_disk(), .visit = visit, .context = context};
  bool run = false;
  size_t length = strlen(dir);
  while (length > 1 && dir[length - 1] == '/') length--;
  GW_TRY(gw_fs_path(listing.dir, "%.*s", (int)length, dir));
  GW_TRY(is_run(listing.fs, listing.dir, &run));
  if (run) return visit_run(&listing, listing.dir);
  return listing.fs->list(listing.fs, listing.dir, visit_name, &listing);
}

/* ---- curves ---- */

typedef struct {
  char path[GW_PATH_MAX];
  GwCurve curve;
} Reading;

/* What a resumed run makes again takes the place of what it had. */
static GwStatus take_step(void *context, const json_t *line) {
  Reading *reading = context;
  GwCurve *curve = &reading->curve;
  GwCurvePoint point;
  const json_t *loss = json_object_get(line, "loss");
  GW_TRY(gw_json_i64(line, reading->path, "step", &point.step));
  if (!json_is_number(loss))
    return gw_fail(GW_CORRUPT, "%s: key 'loss' of step %lld must be a number", reading->path,
                   (long long)point.step);
  point.loss = json_number_value(loss);
  while (curve->count > 0 && curve->points[curve->count - 1].step >= point.step) curve->count--;
  if (!GW_GROW(curve->points, curve->capacity, curve->count + 1))
    return gw_fail(GW_MEMORY, "no memory for %zu steps", curve->count);
  curve->points[curve->count++] = point;
  return GW_OK;
}

static GwStatus take_event(void *context, const json_t *line) {
  const char *event = json_string_value(json_object_get(line, "event"));
  return event && strcmp(event, "validation") == 0 ? take_step(context, line) : GW_OK;
}

static GwStatus read_curve(const char *run, const char *file,
                           GwStatus (*visit)(void *context, const json_t *line), GwCurve *out) {
  GwFs *fs = gw_fs_disk();
  Reading reading = {.curve = {.count = 0}};
  GW_TRY(gw_fs_path(reading.path, "%s/%s", run, file));
  if (!fs->exists(fs, reading.path)) return GW_OK;
  GwStatus status = gw_jsonl_each(fs, reading.path, visit, &reading);
  if (status == GW_OK)
    *out = reading.curve;
  else
    gw_curve_deinit(&reading.curve);
  return status;
}

GwStatus gw_run_curves(const char *path, GwCurve *training, GwCurve *validation) {
  GwCurve made[2] = {{.count = 0}, {.count = 0}};
  GwStatus status = read_curve(path, "metrics.jsonl", take_step, &made[0]);
  if (status == GW_OK) status = read_curve(path, "journal.jsonl", take_event, &made[1]);
  if (status != GW_OK) {
    gw_curve_deinit(&made[0]);
    gw_curve_deinit(&made[1]);
    return status;
  }
  *training = made[0];
  *validation = made[1];
  return GW_OK;
}

void gw_curve_deinit(GwCurve *curve) {
  free(curve->points);
  *curve = (GwCurve){.count = 0};
}
