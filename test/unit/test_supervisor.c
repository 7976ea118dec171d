/* The supervisor's answers, one duty at a time. (test_simulate.c has the schedules that nobody
 * thought of.) */
#include "support.h"

#include <string.h>

#include "cluster/supervisor.h"

static const uint64_t s = 1000000000;

static GwSupervisor *supervisor;
static GwActions actions;
static uint64_t now;

/* 4 ranks, 2 on each of 3 hosts. */
static GwSupervisorOptions options(void) {
  GwSupervisorOptions o = gw_supervisor_defaults();
  o.ranks = 4;
  o.slots = 2;
  o.hosts = 3;
  o.ranks_min = 2;
  o.last_step = 100;
  return o;
}

static void happens_with(GwEvent event) { gw_supervisor_event(supervisor, now, &event, &actions); }
static void happens(GwEventKind kind) {
  happens_with((GwEvent){.kind = kind, .epoch = gw_supervisor_epoch(supervisor), .rank = -1});
}
static void commits(int64_t step) {
  now += s;
  happens_with((GwEvent){
      .kind = GW_EVENT_COMMITTED, .epoch = gw_supervisor_epoch(supervisor), .step = step});
}
static void rank_event(GwEventKind kind, int32_t rank, int code) {
  GwEvent event = {.kind = kind, .epoch = gw_supervisor_epoch(supervisor), .rank = rank};
  event.code = code;
  happens_with(event);
}
static void host_event(GwEventKind kind, int32_t host) {
  happens_with((GwEvent){.kind = kind, .host = host});
}

/* The actions were exactly these. */
static void expect(int count, const GwActionKind *kinds) {
  assert_int_equal(actions.count, count);
  for (int i = 0; i < count; i++) assert_int_equal(actions.action[i].kind, kinds[i]);
}
#define EXPECT(...)                                                                                \
  expect(sizeof((GwActionKind[]){__VA_ARGS__}) / sizeof(GwActionKind),                             \
         (GwActionKind[]){__VA_ARGS__})
static void expect_nothing(void) { assert_int_equal(actions.count, 0); }
static void expect_fault(GwFault fault, int32_t rank, int32_t host) {
  EXPECT(GW_ACTION_REPORT, GW_ACTION_FENCE, GW_ACTION_KILL);
  assert_int_equal(actions.action[0].fault, fault);
  assert_int_equal(actions.action[0].rank, rank);
  assert_int_equal(actions.action[0].host, host);
}
static void expect_launch(int64_t step, GwRestoreFrom from) {
  const GwAction *action = &actions.action[actions.count - 1];
  assert_int_equal(action->kind, GW_ACTION_LAUNCH);
  assert_int_equal(action->step, step);
  assert_int_equal(action->from, from);
}

static void begin_with(GwSupervisorOptions o, GwSupervisorPast past) {
  gw_supervisor_destroy(supervisor);
  supervisor = NULL;
  now = 1000 * s;
  assert_ok(gw_supervisor_create(&o, past, &supervisor));
  happens(GW_EVENT_BEGIN);
}

/* Ranks run, three steps are committed, the second has a snapshot. */
static void run_to_step_3(void) {
  begin_with(options(), (GwSupervisorPast){0, -1, 0});
  EXPECT(GW_ACTION_FENCE, GW_ACTION_LAUNCH);
  expect_launch(0, GW_FROM_START);
  for (int32_t r = 0; r < 4; r++) rank_event(GW_EVENT_READY, r, 0);
  commits(1);
  commits(2);
  happens_with((GwEvent){.kind = GW_EVENT_SNAPSHOT, .epoch = 1, .step = 2});
  commits(3);
  expect_nothing();
}

static int tear_down(void **state) {
  (void)state;
  gw_supervisor_destroy(supervisor);
  supervisor = NULL;
  return 0;
}

static void a_death_leads_back_to_the_snapshot(void **state) {
  (void)state;
  run_to_step_3();
  rank_event(GW_EVENT_EXITED, 3, 137);
  expect_fault(GW_FAULT_DEATH, 3, 1);
  assert_int_equal(actions.action[1].epoch, 2);
  assert_int_equal(actions.action[2].epoch, 1);
  rank_event(GW_EVENT_EXITED, 2, 137); /* one fault is enough */
  expect_nothing();
  happens(GW_EVENT_STOPPED);
  EXPECT(GW_ACTION_LAUNCH); /* the fence is there already */
  expect_launch(2, GW_FROM_SNAPSHOT);
  assert_int_equal(gw_supervisor_epoch(supervisor), 2);
}

static void ended_epochs_are_not_heard(void **state) {
  (void)state;
  run_to_step_3();
  rank_event(GW_EVENT_EXITED, 0, 1);
  happens(GW_EVENT_STOPPED);
  const GwEventKind kinds[] = {GW_EVENT_READY,   GW_EVENT_EXITED,        GW_EVENT_LIED,
                               GW_EVENT_STOPPED, GW_EVENT_LAUNCH_FAILED, GW_EVENT_COMMITTED};
  for (size_t i = 0; i < GW_COUNT_OF(kinds); i++) {
    happens_with((GwEvent){.kind = kinds[i], .epoch = 1, .step = 3, .code = 1});
    expect_nothing();
  }
  assert_int_equal(gw_supervisor_step(supervisor), 2);
}

static void a_lost_host_takes_its_shares(void **state) {
  (void)state;
  run_to_step_3();
  host_event(GW_EVENT_HOST_LOST, 2); /* nobody is on it */
  expect_nothing();
  host_event(GW_EVENT_HOST_BACK, 2);
  host_event(GW_EVENT_HOST_LOST, 0);
  expect_fault(GW_FAULT_HOST, -1, 0);
  happens(GW_EVENT_STOPPED);
  expect_launch(2, GW_FROM_SNAPSHOT); /* the partners' copies */
  for (int32_t r = 0; r < 4; r++)
    assert_true(gw_supervisor_placement(supervisor)->host_of[r] == 1 + r / 2);
  host_event(GW_EVENT_HOST_LOST, 1); /* and now both copies of some are gone */
  happens(GW_EVENT_STOPPED);
  expect_launch(0, GW_FROM_START);
  assert_int_equal(gw_supervisor_placement(supervisor)->rank_count, 2);
}

static void a_host_that_is_back_is_used(void **state) {
  (void)state;
  a_lost_host_takes_its_shares(state);
  rank_event(GW_EVENT_READY, -1, 0);
  commits(1);
  host_event(GW_EVENT_HOST_BACK, 0);
  expect_nothing(); /* the next snapshot is waited for */
  happens_with((GwEvent){.kind = GW_EVENT_SNAPSHOT, .epoch = 3, .step = 1});
  expect_fault(GW_FAULT_GROW, -1, -1);
  happens(GW_EVENT_STOPPED);
  expect_launch(1, GW_FROM_SNAPSHOT);
  assert_int_equal(gw_supervisor_placement(supervisor)->rank_count, 4);
}

static void lose_all_hosts_after_step_3(void) {
  run_to_step_3();
  for (int32_t h = 0; h < 3; h++) host_event(GW_EVENT_HOST_LOST, h);
  happens(GW_EVENT_STOPPED);
  EXPECT(GW_ACTION_WAIT);
}

static void without_hosts_the_run_waits(void **state) {
  (void)state;
  lose_all_hosts_after_step_3();
  assert_true(gw_supervisor_due(supervisor) == UINT64_MAX);
  host_event(GW_EVENT_HOST_BACK, 1);
  expect_launch(0, GW_FROM_START);
}

/* Its connection broke, and its memory did not. */
static void a_host_that_is_back_holds_what_it_held(void **state) {
  (void)state;
  lose_all_hosts_after_step_3();
  for (int32_t share = 0; share < 4; share++)
    happens_with(
        (GwEvent){.kind = GW_EVENT_FOUND, .step = 2, .share = share, .shares = 4, .host = 1});
  host_event(GW_EVENT_HOST_BACK, 1);
  expect_launch(2, GW_FROM_SNAPSHOT);
}

static void observed(int32_t rank, bool waiting, uint64_t at) {
  happens_with((GwEvent){.kind = GW_EVENT_OBSERVED,
                         .epoch = gw_supervisor_epoch(supervisor),
                         .rank = rank,
                         .waiting = waiting,
                         .at = at});
}

/* All but `rank` wait; its last progress was at `at`. */
static void look(uint64_t when, int32_t rank, uint64_t at) {
  now = when;
  happens(GW_EVENT_TICK);
  EXPECT(GW_ACTION_INSPECT);
  for (int32_t r = 0; r < 4; r++) observed(r, r != rank, r == rank ? at : now);
  happens(GW_EVENT_INSPECTED);
}

static void who_keeps_the_others_waiting_hangs(void **state) {
  (void)state;
  run_to_step_3(); /* a step is a second: 4 of them are a hang */
  uint64_t start = now;
  assert_true(gw_supervisor_due(supervisor) == start + 4 * s);
  now = start + 4 * s - 1;
  happens(GW_EVENT_TICK);
  expect_nothing();
  look(start + 4 * s, 2, start + 2 * s);
  expect_nothing(); /* it made progress 2 s ago */
  assert_true(gw_supervisor_due(supervisor) == start + 6 * s);
  look(start + 6 * s, 2, start + 2 * s);
  expect_nothing(); /* not believed yet */
  assert_true(gw_supervisor_due(supervisor) == start + 6 * s + options().look_ns);
  look(start + 6 * s + options().look_ns, 2, start + 2 * s);
  expect_fault(GW_FAULT_HANG, 2, 1);
}

/* When a machine has stood still nobody has made progress for long, at the first look. */
static void who_goes_on_after_a_pause_does_not_hang(void **state) {
  (void)state;
  run_to_step_3();
  uint64_t pause = now + 60 * s, again = pause + options().look_ns;
  look(pause, 1, now - 60 * s);
  expect_nothing();
  look(again, 1, again - s / 100);
  expect_nothing();
  look(again + 4 * s, 1, again - s / 100);
  expect_nothing(); /* suspected anew */
  commits(4);
  look(now + 4 * s, 3, now - 4 * s);
  expect_nothing(); /* each step clears all */
  look(gw_supervisor_due(supervisor), 0, now - 8 * s);
  expect_nothing(); /* somebody else */
  look(gw_supervisor_due(supervisor), 0, now - 8 * s);
  expect_fault(GW_FAULT_HANG, 0, 0);
}

static void a_rank_that_is_stopped_is_not_waited_for(void **state) {
  (void)state;
  run_to_step_3();
  now++;
  rank_event(GW_EVENT_FROZEN, 1, 0);
  expect_fault(GW_FAULT_HANG, 1, 0);
  rank_event(GW_EVENT_FROZEN, 1, 0); /* of an epoch that is being ended */
  expect_nothing();
}

/* Steps that are told together took no time at all: that is not the same as not known. */
static void steps_told_at_once_are_known(void **state) {
  (void)state;
  begin_with(options(), (GwSupervisorPast){0, -1, 0});
  for (int32_t r = 0; r < 4; r++) rank_event(GW_EVENT_READY, r, 0);
  for (int64_t step = 1; step <= 3; step++)
    happens_with((GwEvent){.kind = GW_EVENT_COMMITTED, .epoch = 1, .step = step});
  assert_true(gw_supervisor_due(supervisor) == now + options().hang_ns);
}

static void when_all_wait_nobody_is_named(void **state) {
  (void)state;
  run_to_step_3();
  look(now + 4 * s, -1, 0);
  expect_nothing();
  look(gw_supervisor_due(supervisor), -1, 0);
  expect_fault(GW_FAULT_STUCK, -1, -1);
}

static void a_host_that_lies_twice_is_used_no_more(void **state) {
  (void)state;
  run_to_step_3();
  for (int i = 0; i < 2; i++) {
    rank_event(GW_EVENT_LIED, 1, 0);
    expect_fault(GW_FAULT_LIE, 1, 0);
    happens(GW_EVENT_STOPPED);
    expect_launch(2, GW_FROM_SNAPSHOT);
    assert_int_equal(gw_supervisor_placement(supervisor)->host_of[0], i);
  }
}

/* Faults after step 3 until the run is given up, with steps made again in between or without any;
 * how long each launch waited. */
static int fail_at_step_3(bool again, uint64_t waited[12]) {
  run_to_step_3();
  int64_t from = again ? 2 : 3;
  if (!again) happens_with((GwEvent){.kind = GW_EVENT_SNAPSHOT, .epoch = 1, .step = 3});
  for (int tries = 0;; tries++) {
    assert_in_range(tries, 0, 11);
    rank_event(GW_EVENT_EXITED, 0, 1);
    uint64_t stopped = now;
    happens(GW_EVENT_STOPPED);
    if (actions.count == 1 && actions.action[0].kind == GW_ACTION_FINISH) {
      assert_int_equal(actions.action[0].outcome, GW_OUTCOME_GIVEN_UP);
      return tries;
    }
    if (actions.count == 0) {
      now = gw_supervisor_due(supervisor);
      happens(GW_EVENT_TICK);
    }
    waited[tries] = now - stopped;
    expect_launch(from, GW_FROM_SNAPSHOT);
    rank_event(GW_EVENT_READY, -1, 0);
    if (again) commits(3);
  }
}

static void a_fault_that_comes_again_is_given_up(void **state) {
  (void)state;
  uint64_t waited[12];
  assert_int_equal(fail_at_step_3(false, waited), options().tries);
  assert_true(waited[0] == 0 && waited[1] == s && waited[2] == 2 * s && waited[7] == 64 * s);
}

static void the_same_step_twice_more_may_be_chance(void **state) {
  (void)state;
  uint64_t waited[12];
  assert_int_equal(fail_at_step_3(true, waited), options().tries + 2);
  assert_true(waited[1] == 0 && waited[2] == 0 && waited[3] == s && waited[9] == 64 * s);
}

static void bad_copy(int64_t step) {
  happens_with((GwEvent){.kind = GW_EVENT_BAD_COPY,
                         .epoch = gw_supervisor_epoch(supervisor),
                         .step = step,
                         .rank = -1,
                         .host = -1});
  expect_fault(GW_FAULT_COPY, -1, -1);
  happens(GW_EVENT_STOPPED);
}

/* As when the one node that there is has lost its memory. */
static void what_is_restored_instead_is_no_second_try(void **state) {
  (void)state;
  run_to_step_3();
  happens_with((GwEvent){.kind = GW_EVENT_SNAPSHOT, .epoch = 1, .step = 3});
  rank_event(GW_EVENT_EXITED, 3, 137);
  happens(GW_EVENT_STOPPED);
  expect_launch(3, GW_FROM_SNAPSHOT);
  bad_copy(3);
  expect_launch(2, GW_FROM_SNAPSHOT);
  bad_copy(2);
  expect_launch(0, GW_FROM_START);
  bad_copy(2); /* nobody had one any more: this could go on for ever */
  expect_launch(0, GW_FROM_START);
  bad_copy(2);
  expect_nothing();
  assert_true(gw_supervisor_due(supervisor) == now + gw_supervisor_defaults().backoff_ns);
}

static void what_is_hopeless_is_given_up_at_once(void **state) {
  (void)state;
  run_to_step_3();
  rank_event(GW_EVENT_EXITED, 1, GW_EXIT_HOPELESS);
  expect_fault(GW_FAULT_DEATH, 1, 0);
  happens(GW_EVENT_STOPPED);
  EXPECT(GW_ACTION_FINISH);
  assert_int_equal(actions.action[0].outcome, GW_OUTCOME_GIVEN_UP);
}

/* The ranks know better which checkpoint is good. */
static void an_older_checkpoint_may_be_the_newest_good_one(void **state) {
  (void)state;
  begin_with(options(), (GwSupervisorPast){0, 7, 0});
  expect_launch(7, GW_FROM_CHECKPOINT);
  happens_with((GwEvent){.kind = GW_EVENT_RESTORED, .epoch = 1, .step = 5});
  rank_event(GW_EVENT_READY, -1, 0);
  commits(6);
  assert_int_equal(gw_supervisor_step(supervisor), 6);
  rank_event(GW_EVENT_EXITED, 0, 1);
  happens(GW_EVENT_STOPPED);
  expect_launch(5, GW_FROM_CHECKPOINT);
}

static void progress_makes_good(void **state) {
  (void)state;
  run_to_step_3();
  for (int64_t step = 4; step < 40; step++) { /* a fault at every step, never twice at one */
    commits(step);
    happens_with((GwEvent){
        .kind = GW_EVENT_SNAPSHOT, .epoch = gw_supervisor_epoch(supervisor), .step = step});
    rank_event(GW_EVENT_EXITED, 0, 1);
    happens(GW_EVENT_STOPPED);
    expect_launch(step, GW_FROM_SNAPSHOT);
    rank_event(GW_EVENT_READY, -1, 0);
  }
}

static void slow_starts_and_deaf_ranks(void **state) {
  (void)state;
  begin_with(options(), (GwSupervisorPast){0, -1, 0});
  now = gw_supervisor_due(supervisor);
  assert_true(now == 1000 * s + options().start_ns);
  happens(GW_EVENT_TICK);
  expect_fault(GW_FAULT_SLOW_START, -1, -1);
  for (int i = 0; i < 3; i++) {
    now = gw_supervisor_due(supervisor);
    happens(GW_EVENT_TICK);
    EXPECT(GW_ACTION_KILL);
  }
  happens(GW_EVENT_STOPPED);
  expect_launch(0, GW_FROM_START);
}

static void a_new_supervisor_takes_over(void **state) {
  (void)state;
  begin_with(options(), (GwSupervisorPast){7, 40, s});
  expect_fault(GW_FAULT_TAKEN_OVER, -1, -1);
  assert_int_equal(actions.action[1].epoch, 8);
  happens(GW_EVENT_STOPPED);
  expect_launch(40, GW_FROM_CHECKPOINT);
  assert_int_equal(gw_supervisor_epoch(supervisor), 8);
  /* the same, but the hosts hold a newer state */
  gw_supervisor_destroy(supervisor);
  GwSupervisorOptions o = options();
  assert_ok(gw_supervisor_create(&o, (GwSupervisorPast){7, 40, s}, &supervisor));
  for (int32_t share = 0; share < 4; share++)
    happens_with((GwEvent){
        .kind = GW_EVENT_FOUND, .step = 44, .share = share, .shares = 4, .host = share / 2});
  happens(GW_EVENT_BEGIN);
  happens(GW_EVENT_STOPPED);
  expect_launch(44, GW_FROM_SNAPSHOT);
}

static void the_last_step_and_an_early_end(void **state) {
  (void)state;
  for (int early = 0; early < 2; early++) {
    run_to_step_3();
    for (int64_t step = 4; step <= 100 && !early; step++) commits(step);
    happens(early ? GW_EVENT_END : GW_EVENT_TICK);
    if (early) EXPECT(GW_ACTION_ASK_END);
    for (int32_t r = 0; r < 4; r++) rank_event(GW_EVENT_EXITED, r, 0);
    EXPECT(GW_ACTION_FINISH);
    assert_int_equal(actions.action[0].outcome, early ? GW_OUTCOME_ENDED : GW_OUTCOME_DONE);
    rank_event(GW_EVENT_EXITED, 0, 1);
    expect_nothing();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(a_death_leads_back_to_the_snapshot, tear_down),
      cmocka_unit_test_teardown(ended_epochs_are_not_heard, tear_down),
      cmocka_unit_test_teardown(a_lost_host_takes_its_shares, tear_down),
      cmocka_unit_test_teardown(a_host_that_is_back_is_used, tear_down),
      cmocka_unit_test_teardown(without_hosts_the_run_waits, tear_down),
      cmocka_unit_test_teardown(a_host_that_is_back_holds_what_it_held, tear_down),
      cmocka_unit_test_teardown(who_keeps_the_others_waiting_hangs, tear_down),
      cmocka_unit_test_teardown(who_goes_on_after_a_pause_does_not_hang, tear_down),
      cmocka_unit_test_teardown(a_rank_that_is_stopped_is_not_waited_for, tear_down),
      cmocka_unit_test_teardown(steps_told_at_once_are_known, tear_down),
      cmocka_unit_test_teardown(when_all_wait_nobody_is_named, tear_down),
      cmocka_unit_test_teardown(a_host_that_lies_twice_is_used_no_more, tear_down),
      cmocka_unit_test_teardown(a_fault_that_comes_again_is_given_up, tear_down),
      cmocka_unit_test_teardown(the_same_step_twice_more_may_be_chance, tear_down),
      cmocka_unit_test_teardown(progress_makes_good, tear_down),
      cmocka_unit_test_teardown(slow_starts_and_deaf_ranks, tear_down),
      cmocka_unit_test_teardown(a_new_supervisor_takes_over, tear_down),
      cmocka_unit_test_teardown(what_is_restored_instead_is_no_second_try, tear_down),
      cmocka_unit_test_teardown(what_is_hopeless_is_given_up_at_once, tear_down),
      cmocka_unit_test_teardown(an_older_checkpoint_may_be_the_newest_good_one, tear_down),
      cmocka_unit_test_teardown(the_last_step_and_an_early_end, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
