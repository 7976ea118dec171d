/* godwit chaos RECIPE: a run under random faults, compared with one that nobody disturbs. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/chaos.h"

/* Whether all that was put in was seen and got over, and left no trace. */
static bool passed(const GwChaosOptions *o, const GwChaosReport *r) {
  return r->hash == r->undisturbed_hash && r->all.injected == o->faults &&
         r->all.detected == o->faults && r->all.recovered == o->faults;
}

static void print_class(const char *name, const GwChaosClass *class) {
  if (class->injected == 0) return;
  printf("%-12s %8d %8d %9d %9.3f / %6.3f %9.3f / %6.3f %10" PRId64 "\n", name, class->injected,
         class->detected, class->recovered, class->detection_median, class->detection_worst,
         class->recovery_median, class->recovery_worst, class->steps_lost);
}

static void print_text(const GwChaosOptions *o, const GwChaosReport *r) {
  bool same = r->hash == r->undisturbed_hash;
  printf("%s: %" PRId64 " steps by %d ranks, seed %" PRIu64 ", %.1f s\n\n", r->run_dir, r->steps,
         o->ranks, o->seed, r->seconds);
  printf("%-12s %8s %8s %9s %18s %18s %10s\n", "class", "injected", "detected", "recovered",
         "detection, s", "recovery, s", "steps lost");
  for (int i = 0; i < GW_INJECT_CLASSES; i++) print_class(gw_chaos_class(i), &r->classes[i]);
  print_class("all", &r->all);
  printf("\n(detection: from the fault; recovery: from there to the next new step; median / "
         "worst)\n");
  if (r->unexplained > 0) printf("faults that nobody injected: %d\n", r->unexplained);
  printf("useful time  %.1f %%\n", 100 * r->useful_time);
  printf("state        0x%016" PRIx64 "\nundisturbed  0x%016" PRIx64 "  %s\n", r->hash,
         r->undisturbed_hash, same ? "the same" : "ANOTHER ONE");
}

static json_t *class_json(const GwChaosClass *class) {
  return json_pack("{s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:I}", "injected", (int)class->injected,
                   "detected", (int)class->detected, "recovered", (int)class->recovered,
                   "detection_seconds_median", class->detection_median, "detection_seconds_worst",
                   class->detection_worst, "recovery_seconds_median", class->recovery_median,
                   "recovery_seconds_worst", class->recovery_worst, "steps_lost",
                   (json_int_t) class->steps_lost);
}

static int print_json(const GwChaosOptions *o, const GwChaosReport *r) {
  char hash[24], undisturbed[24];
  snprintf(hash, sizeof hash, "0x%016" PRIx64, r->hash);
  snprintf(undisturbed, sizeof undisturbed, "0x%016" PRIx64, r->undisturbed_hash);
  json_t *classes = json_object();
  for (int i = 0; i < GW_INJECT_CLASSES; i++)
    if (r->classes[i].injected > 0)
      json_object_set_new(classes, gw_chaos_class(i), class_json(&r->classes[i]));
  return gw_cli_print_json(json_pack(
      "{s:s, s:i, s:I, s:I, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:f, s:f, s:o}", "run", r->run_dir,
      "ranks", (int)o->ranks, "seed", (json_int_t)o->seed, "steps", (json_int_t)r->steps, "hash",
      hash, "undisturbed_hash", undisturbed, "injected", (int)r->all.injected, "detected",
      (int)r->all.detected, "recovered", (int)r->all.recovered, "unexplained", (int)r->unexplained,
      "steps_lost", (json_int_t)r->all.steps_lost, "seconds", r->seconds, "useful_time",
      r->useful_time, "classes", classes));
}

static const char *const summary =
    "Trains RECIPE twice: undisturbed in RUN-undisturbed, then in RUN with several ranks and\n"
    "random faults, and compares the two states. Fails unless they are equal and every fault was\n"
    "seen as what it was and got over. A single fault is asked for by\n"
    "`godwit train --ranks N --inject CLASS:key=value,...`. The classes, their keys, what they "
    "do:\n" GW_INJECT_HELP
    "step and rank must be given; op is a number of the step's program (without it, as the step\n"
    "begins), tensor is weights, m or v.";

int gw_command_chaos(int argc, char **argv) {
  GwChaosOptions o = {.train = {.steps = -1}, .ranks = 4, .seed = 1, .faults = 20};
  bool json = false;
  int32_t threads = 0;
  const GwOption options[] = {
      {"data", "DIR", "prepared data or token files, instead of the recipe's", GW_OPTION_TEXT,
       &o.train.data_dir, 0, 0},
      {"run", "DIR", "the disturbed run's folder (default runs/NAME-chaos)", GW_OPTION_TEXT,
       &o.train.run_dir, 0, 0},
      {"ranks", "N", "of the disturbed run", GW_OPTION_I32, &o.ranks, 1, 1e6},
      {"seed", "S", "of the faults", GW_OPTION_U64, &o.seed, 0, 0},
      {"faults", "N", "how many, spread over the steps", GW_OPTION_I32, &o.faults, 1,
       GW_OPTION_LIST_MAX},
      gw_cli_option_hang(&o.hang_seconds),
      gw_cli_option_threads(&threads),
      gw_cli_option_isa(&o.train.isa),
      gw_cli_option_backend(&o.train.backend),
      gw_cli_option_json(&json),
  };
  const GwCommand command = {
      .name = "chaos",
      .usage = "RECIPE [key=value ...] [options]",
      .summary = summary,
      .example = "godwit chaos recipes/shakespeare-cpu.yaml --data data/shakespeare "
                 "train.steps=200\n"
                 "    train.checkpoint_every=10 --ranks 4 --faults 20 --seed 7",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
      .positional_min = 1,
      .positional_max = 1,
      .takes_overrides = true,
  };
  GwRecipe recipe;
  int code = 0;
  if (!gw_cli_parse_recipe(&command, argc, argv, &recipe, &code)) return code;
  o.train.recipe = &recipe;
  o.train.threads = threads;
  static GwChaosReport report;
  GwStatus status = gw_chaos(&o, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  if (json)
    code = print_json(&o, &report);
  else
    print_text(&o, &report);
  return code != 0 ? code : !passed(&o, &report);
}
