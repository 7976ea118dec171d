/* Draws the faults, runs the run twice, compares. */
#include "godwit/chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cluster/chaos_report.h"
#include "godwit/inspect.h"
#include "godwit/log.h"
#include "guard/injection.h"
#include "os/clock.h"
#include "os/fs.h"
#include "os/process.h"
#include "train/run_data.h"

/* A step must have been timed before a hang is one; and faults stay a few steps apart, so that each
 * has its own consequences. */
enum { FIRST_STEP = 3, STEPS_APART = 4, SPEC_BYTES = 64, OPS = 16 };

typedef struct {
  const GwChaosOptions *options;
  GwRecipe recipe; /* data.dir and vocab_size resolved */
  int64_t steps;
  char run_dir[sizeof(((GwTrainReport *)NULL)->run_dir)];
  char undisturbed[sizeof(((GwTrainReport *)NULL)->run_dir)];
  char (*specs)[SPEC_BYTES]; /* [faults] */
} Chaos;

const char *gw_chaos_class(int class) { return gw_inject_info((GwInjectClass) class)->name; }

/* ---- which faults ---- */

/* The step for which a fault is asked, and the last one at which it may strike. */
typedef struct {
  int64_t step, last;
} When;

/* Damage to a checkpoint needs one to come soon, and an older one to go back to. */
static bool fits(const Chaos *c, GwInjectClass class, When when) {
  int64_t every = c->recipe.train.checkpoint_every;
  bool damages = class == GW_INJECT_TORN || class == GW_INJECT_BYTE || class == GW_INJECT_FULL;
  if (!damages) return true;
  return every > 0 && when.step > every && gw_ceil_div(when.step, every) * every <= when.last &&
         c->recipe.train.keep_checkpoints > 1;
}

static int weight(const Chaos *c, int i, When when) {
  GwInjectClass class = (GwInjectClass)i;
  return fits(c, class, when) ? gw_inject_info(class)->weight : 0;
}

static GwInjectClass draw_class(const Chaos *c, GwRng *rng, When when) {
  int total = 0, i = 0;
  for (int k = 0; k < GW_INJECT_CLASSES; k++) total += weight(c, k, when);
  int left = (int)gw_rng_below(rng, (uint64_t)total) - weight(c, i, when);
  while (left >= 0) left -= weight(c, ++i, when);
  return (GwInjectClass)i;
}

/* Ranks die and hang between steps or in the middle of one; anything of the state may change. */
static void draw(const Chaos *c, GwRng *rng, When when, char out[SPEC_BYTES]) {
  GwInjectClass class = draw_class(c, rng, when);
  int length =
      snprintf(out, SPEC_BYTES, "%s:step=%lld", gw_inject_info(class)->name, (long long)when.step);
  char *end = out + length;
  size_t room = (size_t)(SPEC_BYTES - length);
  int rank = (int)gw_rng_below(rng, (uint64_t)c->options->ranks);
  int chance = (int)gw_rng_below(rng, 2 * OPS);
  const char *tensor = "";
  size_t letters = gw_inject_word(class, "tensor", chance, &tensor);
  if (gw_inject_has_key(class, "op") && chance < OPS)
    snprintf(end, room, ",rank=%d,op=%d", rank, chance);
  else if (letters > 0)
    snprintf(end, room, ",rank=%d,tensor=%.*s", rank, (int)letters, tensor);
  else if (gw_inject_has_key(class, "rank"))
    snprintf(end, room, ",rank=%d", rank);
}

static GwStatus draw_all(Chaos *c) {
  int32_t faults = c->options->faults;
  int64_t apart = (c->steps - FIRST_STEP) / gw_max_i64(faults, 1);
  if (apart < STEPS_APART)
    return gw_fail(GW_USAGE,
                   "%d faults are too many for %lld steps: there may be one in every %d; lower "
                   "--faults or raise train.steps",
                   faults, (long long)c->steps, STEPS_APART);
  c->specs = calloc((size_t)faults + 1, sizeof *c->specs);
  if (!c->specs) return gw_fail(GW_MEMORY, "no memory for %d faults", faults);
  GwRng rng = gw_rng(c->options->seed, 0);
  for (int32_t i = 0; i < faults; i++) {
    int64_t first = FIRST_STEP + i * apart, late = apart - STEPS_APART;
    When when = {first + (int64_t)gw_rng_below(&rng, (uint64_t)late + 1), first + late};
    draw(c, &rng, when, c->specs[i]);
  }
  return GW_OK;
}

/* ---- the two runs ---- */

static GwStatus set_up(Chaos *c) {
  const GwTrainOptions *train = &c->options->train;
  GwCorpus *corpus;
  GW_TRY(gw_run_data_open(train, &c->recipe, &corpus));
  gw_corpus_close(corpus);
  c->steps = train->steps >= 0 ? train->steps : c->recipe.train.steps;
  GW_TRY(gw_run_data_folder(train, &c->recipe, c->run_dir));
  if (strlen(c->run_dir) + sizeof "-chaos-undisturbed" > sizeof c->run_dir)
    return gw_fail(GW_INVALID, "the run folder's path is too long");
  if (!train->run_dir) strcat(c->run_dir, "-chaos");
  strcpy(c->undisturbed, c->run_dir);
  strcat(c->undisturbed, "-undisturbed");
  if (gw_fs_disk()->exists(gw_fs_disk(), c->run_dir)) /* said now, not after the undisturbed run */
    return gw_fail(GW_EXISTS, "%s is there already; remove it, or give another --run", c->run_dir);
  return draw_all(c);
}

static GwStatus run_undisturbed(const Chaos *c, uint64_t *hash) {
  GwTrainOptions train = c->options->train;
  GwTrainReport report;
  train.recipe = &c->recipe;
  train.run_dir = c->undisturbed;
  train.resume = true;
  GW_TRY(gw_train(&train, &report));
  if (report.interrupted) return gw_fail(GW_INTERRUPTED, "stopped before the disturbed run");
  *hash = report.state_hash;
  return GW_OK;
}

/* The recipe for the disturbed run, complete and without overrides, beside its folder. That of an
 * undisturbed run that was there may ask for other checkpoints or the like. */
static GwStatus recipe_path(const Chaos *c, char out[GW_PATH_MAX]) {
  return gw_fs_path(out, "%s.yaml", c->run_dir);
}

static GwStatus write_recipe(const Chaos *c) {
  char path[GW_PATH_MAX], *text;
  GW_TRY(recipe_path(c, path));
  GW_TRY(gw_recipe_write(&c->recipe, &text));
  GwStatus status = gw_fs_write_atomic(gw_fs_disk(), path, text, strlen(text));
  free(text);
  return status;
}

static GwStatus command(const Chaos *c, bool resume, GwArgv *out) {
  const GwTrainOptions *train = &c->options->train;
  char program[GW_PATH_MAX], recipe[GW_PATH_MAX];
  GW_TRY(gw_process_program(program, sizeof program));
  GW_TRY(recipe_path(c, recipe));
  GW_TRY(gw_argv_add(out, "%s", program));
  GW_TRY(gw_argv_add(out, "train"));
  GW_TRY(gw_argv_add(out, "%s", recipe));
  GW_TRY(gw_argv_add(out, "--data=%s", c->recipe.data.dir));
  GW_TRY(gw_argv_add(out, "--run=%s", c->run_dir));
  GW_TRY(gw_argv_add(out, "--ranks=%d", c->options->ranks));
  GW_TRY(gw_argv_add(out, "--steps=%lld", (long long)c->steps));
  if (train->threads > 0) GW_TRY(gw_argv_add(out, "--threads=%d", train->threads));
  if (train->isa) GW_TRY(gw_argv_add(out, "--isa=%s", train->isa));
  if (train->backend) GW_TRY(gw_argv_add(out, "--backend=%s", train->backend));
  if (train->abft) GW_TRY(gw_argv_add(out, "--abft"));
  if (c->options->hang_seconds > 0)
    GW_TRY(gw_argv_add(out, "--hang-after=%.9g", c->options->hang_seconds));
  for (int32_t i = 0; i < c->options->faults; i++)
    GW_TRY(gw_argv_add(out, "--inject=%s", c->specs[i]));
  return resume ? gw_argv_add(out, "--resume") : GW_OK;
}

static GwStatus run_once(const Chaos *c, bool resume, const char *log, GwProcess *out) {
  GwArgv argv = {0};
  GwStatus status = command(c, resume, &argv);
  if (status == GW_OK) status = gw_process_start(argv.items, log, out);
  gw_argv_clear(&argv);
  while (status == GW_OK && gw_process_runs(out))
    status = gw_process_wait(out, 1, -1, UINT64_C(1000000000));
  return status;
}

static bool was_killed(const GwProcess *process) {
  enum { SIGNAL_KILL = 9 };
  return process->signal == SIGNAL_KILL;
}

static GwStatus run_disturbed(const Chaos *c, double *seconds) {
  char log[GW_PATH_MAX], how[GW_PROCESS_TEXT];
  GwProcess process = {0};
  uint64_t start = gw_clock_ns();
  GW_TRY(gw_fs_path(log, "%s.log", c->run_dir));
  gw_log(GW_LOG_INFO, "%d faults, %d ranks: see %s", c->options->faults, c->options->ranks, log);
  for (int32_t i = 0; i == 0 || (was_killed(&process) && i <= c->options->faults); i++)
    GW_TRY(run_once(c, i > 0, log, &process));
  gw_process_text(&process, how);
  if (process.code != 0 || process.signal != 0)
    return gw_fail(GW_IO, "%s: the disturbed run %s; see %s", c->run_dir, how, log);
  *seconds = (double)(gw_clock_ns() - start) * 1e-9;
  return GW_OK;
}

static GwStatus run_both(Chaos *c, GwChaosReport *out) {
  GwRunHash found;
  GW_TRY(set_up(c));
  GW_TRY(run_undisturbed(c, &out->undisturbed_hash));
  GW_TRY(write_recipe(c));
  GW_TRY(run_disturbed(c, &out->seconds));
  GW_TRY(gw_run_hash(c->run_dir, &found));
  out->hash = found.state_hash;
  out->steps = c->steps;
  memcpy(out->run_dir, c->run_dir, sizeof out->run_dir);
  return gw__chaos_report(out);
}

GwStatus gw_chaos(const GwChaosOptions *options, GwChaosReport *out) {
  Chaos c = {.options = options, .recipe = *options->train.recipe};
  GwChaosReport report = {0};
  GwStatus status = run_both(&c, &report);
  free(c.specs);
  if (status == GW_OK) *out = report;
  return status;
}
