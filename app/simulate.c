/* godwit simulate: a run's rehearsal on a simulated cluster, with the real supervisor. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/simulate.h"

static double useful(const GwSimulateReport *r) { return r->useful_days / r->days; }

/* Share of the time left where every interruption costs a stall of so many minutes. */
static double left_by_stalls(const GwSimulateReport *r, double minutes) {
  return r->fault_minutes > 0 ? 1 / (1 + minutes / r->fault_minutes) : 1;
}

static void print_classes(const GwSimulateReport *r) {
  printf("\n%-24s %9s %9s %9s %9s %19s %19s\n", "", "injected", "detected", "overtaken",
         "recovered", "detection mean/worst", "recovery mean/worst");
  for (int i = 0; i < GW_SIMULATE_CLASSES; i++)
    printf("%-24s %9" PRId64 " %9" PRId64 " %9" PRId64 " %9" PRId64
           " %8.2f / %8.2f s %8.1f / %8.1f s\n",
           r->class[i].what, r->class[i].injected, r->class[i].detected, r->class[i].overtaken,
           r->class[i].recovered, r->class[i].detection_mean, r->class[i].detection_worst,
           r->class[i].recovery_mean, r->class[i].recovery_worst);
}

static void print_text(const GwSimulateOptions *o, const GwSimulateReport *r) {
  printf("simulated: %d ranks on %" PRId64 " hosts (spares included), %" PRId64
         " x %.1f days, seeds %" PRIu64 " to %" PRIu64 "\n",
         o->ranks, r->hosts, r->schedules, o->days, o->seed,
         o->seed + (uint64_t)(r->schedules - 1));
  printf("assumed: a step %g s, to see a lost host %g s, to stop %g s, to start %g s\n", o->step,
         o->detect, o->stop, o->start);
  if (r->fault_minutes > 0)
    printf("a fault every %.1f minutes (a host's every %g days)\n", r->fault_minutes,
           o->mtbf_node_days);
  printf("%" PRId64 " steps kept, %" PRId64 " made again, %" PRId64 " launches, %" PRId64
         " events; every rule held after each\n",
         r->steps, r->steps_redone, r->epochs, r->events);
  print_classes(r);
  printf("\nuseful time                 %6.2f %%", 100 * useful(r));
  if (r->schedules > 1) printf("   (least: %.2f %%)", 100 * r->useful_least);
  printf(
      "\nwith stalls of 3 minutes    %6.2f %%   at this rate; published for 100,000 GPUs: 80 %%\n"
      "with stalls of 10 minutes   %6.2f %%   at this rate; published for 100,000 GPUs: 44 %%\n",
      100 * left_by_stalls(r, 3), 100 * left_by_stalls(r, 10));
}

static int print_json(const GwSimulateOptions *o, const GwSimulateReport *r) {
  json_t *classes = json_array();
  for (int i = 0; i < GW_SIMULATE_CLASSES; i++)
    json_array_append_new(
        classes,
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "class", r->class[i].what,
                  "injected", (json_int_t)r->class[i].injected, "detected",
                  (json_int_t)r->class[i].detected, "overtaken", (json_int_t)r->class[i].overtaken,
                  "recovered", (json_int_t)r->class[i].recovered, "detection_seconds_mean",
                  r->class[i].detection_mean, "detection_seconds_worst",
                  r->class[i].detection_worst, "recovery_seconds_mean", r->class[i].recovery_mean,
                  "recovery_seconds_worst", r->class[i].recovery_worst));
  return gw_cli_print_json(json_pack(
      "{s:i, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "ranks",
      o->ranks, "hosts", (json_int_t)r->hosts, "schedules", (json_int_t)r->schedules, "days",
      o->days, "fault_minutes", r->fault_minutes, "steps", (json_int_t)r->steps, "steps_redone",
      (json_int_t)r->steps_redone, "launches", (json_int_t)r->epochs, "events",
      (json_int_t)r->events, "useful_time", useful(r), "useful_time_least", r->useful_least,
      "useful_time_3_minute_stalls", left_by_stalls(r, 3), "useful_time_10_minute_stalls",
      left_by_stalls(r, 10), "published_3_minute_stalls", 0.80, "published_10_minute_stalls", 0.44,
      "classes", classes));
}

int gw_command_simulate(int argc, char **argv) {
  GwSimulateOptions o = gw_simulate_defaults();
  bool json = false;
  const GwOption options[] = {
      {"ranks", "N", "simulated ranks", GW_OPTION_I32, &o.ranks, 1, 10e6},
      {"ranks-per-host", "N", "ranks that a host takes", GW_OPTION_I32, &o.ranks_per_host, 1, 1024},
      {"spare-hosts", "N", "hosts in reserve; -1: 2 % of the others", GW_OPTION_I32, &o.spare_hosts,
       -1, 1e6},
      {"days", "D", "simulated days", GW_OPTION_F64, &o.days, 1e-3, 3650},
      {"mtbf-node-days", "X", "a host's mean time between faults; 0: no faults", GW_OPTION_F64,
       &o.mtbf_node_days, 0, 1e9},
      {"step", "SECONDS", "time of a step", GW_OPTION_F64, &o.step, 0.001, 86400},
      {"detect", "SECONDS", "until a lost host is seen, at most", GW_OPTION_F64, &o.detect, 0,
       86400},
      {"stop", "SECONDS", "to stop what is left, at most", GW_OPTION_F64, &o.stop, 0, 86400},
      {"start", "SECONDS", "to start and restore all ranks, at most", GW_OPTION_F64, &o.start, 0,
       86400},
      {"checkpoint-every", "SECONDS", "between checkpoints on disk", GW_OPTION_F64,
       &o.checkpoint_every, 0.001, 1e7},
      {"repair", "HOURS", "mean time until a lost host is back", GW_OPTION_F64, &o.repair_hours, 0,
       1e5},
      {"seed", "S", "of the first schedule of faults", GW_OPTION_U64, &o.seed, 0, 0},
      {"seeds", "N", "schedules, one seed after the other", GW_OPTION_I64, &o.seeds, 1, 1e9},
      gw_cli_option_json(&json),
  };
  const GwCommand command = {
      .name = "simulate",
      .usage = "[options]",
      .summary = "Rehearses a run on a simulated cluster: the supervisor is the real one, hosts,\n"
                 "ranks, faults and time are simulated. After every event the rules of recovery\n"
                 "are checked; a schedule that breaks one is named by its seed.",
      .example = "godwit simulate --ranks 100000 --days 30\n"
                 "godwit simulate --ranks 64 --days 0.1 --mtbf-node-days 0.05 --step 0.5 "
                 "--start 2 --seeds 100",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  GwSimulateReport report;
  GwStatus status = gw_simulate(&o, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  if (json) return print_json(&o, &report);
  print_text(&o, &report);
  return 0;
}
