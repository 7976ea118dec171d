/* The supervisor on simulated clusters: thousands of random schedules of faults, each event judged
 * by the rules of sim_world.h; the same seed gives the same schedule; a supervisor that forgets one
 * of its duties is found out.
 *
 *   test_simulate SEED        that schedule alone
 *   test_simulate 1 COUNT     so many schedules */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cluster/sim_world.h"
#include "godwit/simulate.h"

enum { SCHEDULES = 3000 };
static const uint64_t ms = 1000000;
static uint64_t seed, schedules = SCHEDULES;

/* Clusters of up to 12 ranks in which a fault is never far. */
static GwSimOptions random_cluster(uint64_t number) {
  GwRng rng = gw_rng(number, 7);
  GwSimOptions o = {.supervisor = gw_supervisor_defaults(), .seed = number};
  GwSupervisorOptions *s = &o.supervisor;
  s->ranks = 1 + (int32_t)gw_rng_below(&rng, 12);
  s->slots = 1 + (int32_t)gw_rng_below(&rng, 3);
  s->hosts = (s->ranks + s->slots - 1) / s->slots + (int32_t)gw_rng_below(&rng, 3);
  s->ranks_min = 1 + (int32_t)gw_rng_below(&rng, (uint64_t)s->ranks);
  s->last_step = 50 + (int64_t)gw_rng_below(&rng, 200);
  s->tries = 30;
  o.horizon_ns = 40000 * 1000 * ms;
  o.step_ns = (20 + gw_rng_below(&rng, 500)) * ms;
  o.snapshot_every = 1 + (int64_t)gw_rng_below(&rng, 5);
  o.checkpoint_every = 5 + (int64_t)gw_rng_below(&rng, 30);
  o.checkpoint_ns = gw_rng_below(&rng, 3000) * ms;
  o.fault_ns = (500 + gw_rng_below(&rng, 20000)) * ms;
  for (int i = 0; i < GW_SIM_FAULTS; i++) o.weight[i] = gw_rng_uniform(&rng);
  o.repair_ns = gw_rng_below(&rng, 20000) * ms;
  o.death_seen_ns = 100 * ms;
  o.host_seen_ns = 5000 * ms;
  o.stop_taken_ns = 300 * ms;
  o.start_taken_ns = 1500 * ms;
  o.replace_ns = gw_rng_below(&rng, 3000) * ms;
  o.patience_ns = 400000 * ms;
  o.fault_count_max = 1 + (int)gw_rng_below(&rng, 40);
  return o;
}

static void every_schedule_ends_with_the_last_step(void **state) {
  (void)state;
  int64_t injected[GW_SIM_FAULTS] = {0}, detected[GW_SIM_FAULTS] = {0};
  uint64_t first = seed > 1 ? seed : 0, count = seed > 1 ? 1 : schedules;
  for (uint64_t i = first; i < first + count; i++) {
    GwSimOptions options = random_cluster(i);
    GwSimReport report;
    assert_ok(gw_sim_run(&options, &report));
    if (report.broken[0] || report.outcome != GW_OUTCOME_DONE)
      fail_msg("seed %llu: outcome %d at step %lld of %lld: %s", (unsigned long long)i,
               report.outcome, (long long)report.steps, (long long)options.supervisor.last_step,
               report.broken);
    for (int k = 0; k < GW_SIM_FAULTS; k++) {
      injected[k] += report.class[k].injected;
      detected[k] += report.class[k].detected;
    }
  }
  for (int k = 0; k < GW_SIM_FAULTS && count > 1; k++) {
    print_message("%-24s %lld, seen %lld\n", gw_sim_fault_text((GwSimFault)k),
                  (long long)injected[k], (long long)detected[k]);
    assert_true(injected[k] > 500 && detected[k] > 100);
  }
}

static void a_seed_is_one_schedule(void **state) {
  (void)state;
  uint64_t traces[20];
  for (uint64_t i = 0; i < GW_COUNT_OF(traces); i++) {
    GwSimOptions options = random_cluster(i);
    GwSimReport report, again;
    assert_ok(gw_sim_run(&options, &report));
    assert_ok(gw_sim_run(&options, &again));
    assert_memory_equal(&report, &again, sizeof report);
    traces[i] = report.trace;
    for (uint64_t k = 0; k < i; k++) assert_true(traces[k] != traces[i]);
  }
}

static void without_faults_no_time_is_lost(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 50; i++) {
    GwSimOptions options = random_cluster(i);
    GwSimReport report;
    options.fault_ns = 0;
    assert_ok(gw_sim_run(&options, &report));
    assert_string_equal(report.broken, "");
    assert_int_equal(report.outcome, GW_OUTCOME_DONE);
    assert_int_equal(report.epochs, 1);
    assert_int_equal(report.steps_redone, 0);
    uint64_t lost = report.elapsed_ns - report.useful_ns; /* before the first step */
    assert_true(report.useful_ns <= report.elapsed_ns && lost <= options.start_taken_ns + ms);
    uint64_t most =
        (uint64_t)options.supervisor.last_step * (options.step_ns + options.step_ns / 10);
    assert_true(report.elapsed_ns <= most + options.start_taken_ns + options.step_ns);
  }
}

/* How many of some schedules break a rule. */
static int broken_of(void (*change)(GwSimOptions *)) {
  int broken = 0;
  for (uint64_t i = 0; i < 300; i++) {
    GwSimOptions options = random_cluster(i);
    GwSimReport report;
    change(&options);
    assert_ok(gw_sim_run(&options, &report));
    broken += report.broken[0] || report.outcome != GW_OUTCOME_DONE;
  }
  return broken;
}

/* It calls ranks hung that only take their time. */
static void no_patience(GwSimOptions *options) {
  options->supervisor.hang_ns = options->step_ns / 4;
  options->supervisor.hang_steps = 0;
}
static void too_short_a_start(GwSimOptions *options) {
  options->supervisor.start_ns = options->start_taken_ns / 3;
}
static void never_calls_a_hang(GwSimOptions *options) {
  options->supervisor.hang_ns = options->horizon_ns;
}
static void nothing(GwSimOptions *options) { (void)options; }

static void wrong_settings_are_found_out(void **state) {
  (void)state;
  assert_int_equal(broken_of(nothing), 0);
  assert_true(broken_of(no_patience) > 0);
  assert_true(broken_of(too_short_a_start) > 200);
  assert_true(broken_of(never_calls_a_hang) > 20);
}

static void large_clusters_are_simulated_fast(void **state) {
  (void)state;
  GwSimulateOptions options = gw_simulate_defaults();
  GwSimulateReport report;
  options.days = 0.5;
  assert_ok(gw_simulate(&options, &report));
  assert_true(report.steps > 3000 && report.epochs > 5);
  assert_true(report.useful_days > 0.8 * report.days && report.useful_days <= report.days);
  options.days = -1;
  assert_fails(GW_INVALID, "days", gw_simulate(&options, &report));
  options = gw_simulate_defaults();
  options.days = 0.5;
  options.mtbf_node_days = 0.01; /* faults come faster than ranks can be started */
  assert_ok(gw_simulate(&options, &report));
  assert_true(report.useful_days < 0.01 * report.days);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  if (argc > 2) schedules = strtoull(argv[2], NULL, 10);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_schedule_ends_with_the_last_step),
      cmocka_unit_test(a_seed_is_one_schedule),
      cmocka_unit_test(without_faults_no_time_is_lost),
      cmocka_unit_test(wrong_settings_are_found_out),
      cmocka_unit_test(large_clusters_are_simulated_fast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
