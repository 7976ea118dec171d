/* Schedules of faults, one seed after the other, on a cluster of the wanted size. */
#include "godwit/simulate.h"

#include <inttypes.h>

#include "cluster/sim_world.h"

_Static_assert((int)GW_SIMULATE_CLASSES == (int)GW_SIM_FAULTS, "one row for each class");

static const double second = 1e9, day = 86400e9;

/* Shares of the faults of a large cluster: mostly hardware, so that a host is lost, then software;
 * silent corruption about as often as in the report on Llama 3 405B (6 of 419). The rest is
 * assumed. */
static const double weights[GW_SIM_FAULTS] = {
    [GW_SIM_HOST] = 0.60,  [GW_SIM_DEATH] = 0.20,  [GW_SIM_HANG] = 0.10,
    [GW_SIM_STUCK] = 0.04, [GW_SIM_LIE] = 0.015,   [GW_SIM_LAUNCH] = 0.02,
    [GW_SIM_COPY] = 0.005, [GW_SIM_ZOMBIE] = 0.01, [GW_SIM_SUPERVISOR] = 0.01,
};

GwSimulateOptions gw_simulate_defaults(void) {
  return (GwSimulateOptions){.ranks = 100000,
                             .ranks_per_host = 8,
                             .spare_hosts = -1,
                             .days = 30,
                             .mtbf_node_days = 264,
                             .step = 10,
                             .detect = 5,
                             .stop = 10,
                             .start = 60,
                             .checkpoint_every = 1800,
                             .repair_hours = 24,
                             .seed = 1,
                             .seeds = 1};
}

static GwStatus check(const GwSimulateOptions *o) {
  if (o->ranks < 1 || o->ranks_per_host < 1 || o->seeds < 1)
    return gw_fail(GW_INVALID, "ranks, ranks per host and seeds must be at least 1");
  if (!(o->days > 0 && o->days <= 3650))
    return gw_fail(GW_INVALID, "days must be above 0 and at most 3650, not %g", o->days);
  if (!(o->step >= 0.001 && o->step <= 86400))
    return gw_fail(GW_INVALID, "a step must take 0.001 to 86400 s, not %g", o->step);
  bool sane = o->detect >= 0 && o->stop >= 0 && o->start >= 0 && o->checkpoint_every > 0 &&
              o->repair_hours >= 0 && o->mtbf_node_days >= 0;
  return sane ? GW_OK : gw_fail(GW_INVALID, "times must not be negative");
}

static GwSimOptions world_of(const GwSimulateOptions *o, int32_t hosts) {
  GwSimOptions world = {.supervisor = gw_supervisor_defaults()};
  world.supervisor.ranks = o->ranks;
  world.supervisor.slots = o->ranks_per_host;
  world.supervisor.hosts = hosts;
  world.supervisor.last_step = INT64_MAX;
  world.horizon_ns = (uint64_t)(o->days * day);
  world.step_ns = (uint64_t)(o->step * second);
  world.snapshot_every = 1;
  world.checkpoint_every = gw_max_i64((int64_t)(o->checkpoint_every / o->step), 1);
  world.checkpoint_ns = world.step_ns;
  if (o->mtbf_node_days > 0) world.fault_ns = (uint64_t)(o->mtbf_node_days * day / hosts);
  for (int i = 0; i < GW_SIM_FAULTS; i++) world.weight[i] = weights[i];
  world.repair_ns = (uint64_t)(o->repair_hours * 3600 * second);
  world.death_seen_ns = (uint64_t)(0.1 * second);
  world.host_seen_ns = (uint64_t)(o->detect * second);
  world.stop_taken_ns = (uint64_t)(o->stop * second);
  world.start_taken_ns = (uint64_t)(o->start * second);
  world.replace_ns = (uint64_t)(10 * second);
  world.supervisor.start_ns = 2 * world.start_taken_ns + world.supervisor.hang_ns;
  world.patience_ns = 20 * (world.start_taken_ns + world.stop_taken_ns + world.host_seen_ns +
                            world.supervisor.start_ns + 10 * world.step_ns) +
                      world.supervisor.backoff_most_ns;
  return world;
}

static void add(GwSimulateReport *out, const GwSimReport *report) {
  double share = (double)report->useful_ns / (double)report->elapsed_ns;
  if (out->schedules++ == 0 || share < out->useful_least) out->useful_least = share;
  out->steps += report->steps;
  out->steps_redone += report->steps_redone;
  out->epochs += report->epochs;
  out->events += report->events;
  out->days += (double)report->elapsed_ns / day;
  out->useful_days += (double)report->useful_ns / day;
  for (int i = 0; i < GW_SIM_FAULTS; i++) {
    const GwSimClass *from = &report->class[i];
    out->class[i].what = gw_sim_fault_text((GwSimFault)i);
    out->class[i].injected += from->injected;
    out->class[i].detected += from->detected;
    out->class[i].recovered += from->recovered;
    out->class[i].overtaken += from->overtaken;
    out->class[i].detection_mean += from->detection_ns_sum / second;
    out->class[i].recovery_mean += from->recovery_ns_sum / second;
    double detection = (double)from->detection_ns_worst / second;
    double recovery = (double)from->recovery_ns_worst / second;
    if (detection > out->class[i].detection_worst) out->class[i].detection_worst = detection;
    if (recovery > out->class[i].recovery_worst) out->class[i].recovery_worst = recovery;
  }
}

static GwStatus run_schedule(const GwSimOptions *world, GwSimulateReport *out) {
  GwSimReport report;
  GW_TRY(gw_sim_run(world, &report));
  if (report.broken[0])
    return gw_fail(GW_MISMATCH, "seed %" PRIu64 ": %s (the same options and seed show it again)",
                   world->seed, report.broken);
  if (report.outcome == GW_OUTCOME_GIVEN_UP)
    return gw_fail(GW_MISMATCH,
                   "seed %" PRIu64 ": the supervisor gave up at step %" PRId64
                   ": faults come faster than ranks can be started",
                   world->seed, report.steps);
  add(out, &report);
  return GW_OK;
}

GwStatus gw_simulate(const GwSimulateOptions *options, GwSimulateReport *out) {
  GW_TRY(check(options));
  int64_t needed = gw_ceil_div(options->ranks, options->ranks_per_host);
  int64_t spares = options->spare_hosts >= 0 ? options->spare_hosts : gw_ceil_div(needed, 50);
  GwSimOptions world = world_of(options, (int32_t)(needed + spares));
  GwSimulateReport report = {.hosts = needed + spares};
  report.fault_minutes = (double)world.fault_ns / (60 * second);
  for (int64_t i = 0; i < options->seeds; i++) {
    world.seed = options->seed + (uint64_t)i;
    GW_TRY(run_schedule(&world, &report));
  }
  for (int i = 0; i < GW_SIM_FAULTS; i++) {
    report.class[i].detection_mean /= (double)gw_max_i64(report.class[i].detected, 1);
    report.class[i].recovery_mean /= (double)gw_max_i64(report.class[i].recovered, 1);
  }
  *out = report;
  return GW_OK;
}
