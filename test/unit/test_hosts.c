/* Lists of hosts, and the conversation with agents: here scripts play them, well and badly. What
 * agents do is in e2e/hosts.sh. */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/driver.h"
#include "cluster/job.h"
#include "os/clock.h"

static GwHostList list_of(const char *text, int32_t ranks) {
  GwHostList list;
  assert_ok(gw_host_list_parse(text, ranks, &list));
  return list;
}

static void lists(void **state) {
  (void)state;
  GwHostList list = list_of("a:4,user@b.example-1:4", 8);
  assert_int_equal(list.count, 2);
  assert_int_equal(list.slots, 4);
  assert_string_equal(list.names[1], "user@b.example-1");
  gw_host_list_deinit(&list);
  list = list_of("a,b,c", 7);
  assert_int_equal(list.slots, 3);
  gw_host_list_deinit(&list);
  static const char *const bad[] = {"",    ",",     "a:",     "a:0",     "a:-1",  "a:2x",
                                    "a b", "-oops", "a;rm x", "a:2,b:3", "a:2,b", "a,a"};
  for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
    if (gw_host_list_parse(bad[i], 2, &list) != GW_USAGE) fail_msg("'%s' was taken", bad[i]);
    assert_non_null(strstr(gw_error_message(), "--hosts"));
  }
  assert_int_equal(gw_host_list_parse("a:1,b:1", 3, &list), GW_USAGE);
}

/* ---- agents ---- */

static char script[512];
static uint64_t build;

/* An agent that does as `text` says; $1 is the host's name. */
static void write_script(const char *text) {
  FILE *file = fopen(script, "w");
  assert_non_null(file);
  fprintf(
      file,
      "build=%016" PRIx64 "\n"
      "[ $1 = one ] && ranks='0 1' || ranks='1 2'\n"
      "await() { while read order; do [ \"$order\" = \"epoch 4 2 $ranks\" ] && return; done; }\n"
      "%s\n",
      build, text);
  assert_int_equal(fclose(file), 0);
}

static GwStatus open_hosts(const GwHostList *list, GwHosts **out) {
  static char shell[600];
  snprintf(shell, sizeof shell, "bash %s {host}", script);
  GwHostsOptions options = {.list = list, .shell = shell, .job = "godwit-test", .snapshots = 7};
  return gw_hosts_open(&options, out);
}

static void refuses(const char *text, GwStatus expected, const char *message) {
  GwHostList list = list_of("one,two", 2);
  GwHosts *hosts;
  write_script(text);
  assert_int_equal(open_hosts(&list, &hosts), expected);
  if (!strstr(gw_error_message(), message)) fail_msg("%s", gw_error_message());
  gw_host_list_deinit(&list);
}

static void hosts_that_cannot_be_used(void **state) {
  (void)state;
  refuses("exit 255", GW_IO, "host one: the connection ended");
  refuses("[ $1 = two ] && exit; echo godwit-agent $build; echo ready; cat >/dev/null", GW_IO,
          "host two");
  refuses("echo godwit-agent $build; echo found 3 0 1; exit", GW_IO, "host one: the connection");
  refuses("echo godwit-agent $build; echo failed to look; cat >/dev/null", GW_IO, "to look");
  refuses("echo godwit-agent 0123; cat >/dev/null", GW_IO, "another build");
  refuses("echo failed no room; cat >/dev/null", GW_IO, "no room");
  refuses("head -c 200000 /dev/zero | tr '\\0' x; cat >/dev/null", GW_IO, "line of more than");
}

typedef struct {
  GwHostList list;
  GwHosts *hosts;
  GwPlacement placement;
  GwShared shared;
  GwBoard *board;
  GwProcess processes[2];
} Stage;

/* Two hosts, one rank each. */
static void stage_open(Stage *stage, const char *text) {
  *stage = (Stage){.list = list_of("one:1,two:1", 2)};
  write_script(text);
  assert_ok(open_hosts(&stage->list, &stage->hosts));
  assert_ok(gw_placement_create(2, 1, 2, &stage->placement));
  gw_placement_fill(&stage->placement, 2);
  assert_ok(gw_board_create_private(4, 2, &stage->shared, &stage->board));
}

static GwStatus stage_begin(Stage *stage) {
  return gw_hosts_begin(stage->hosts, 4, &stage->placement, stage->board, stage->processes);
}

static void stage_close(Stage *stage) {
  gw_hosts_close(stage->hosts);
  gw_placement_destroy(&stage->placement);
  gw_shared_close(&stage->shared);
  gw_host_list_deinit(&stage->list);
}

/* Listens for a while, or until an event comes. */
static bool listen(Stage *stage, GwEvent *event) {
  for (int i = 0; i < 100; i++) {
    (void)gw_process_wait(NULL, 0, gw_hosts_descriptor(stage->hosts), 10000000);
    gw_hosts_listen(stage->hosts);
    if (event && gw_hosts_event(stage->hosts, event)) return true;
    if (!event && stage->board->committed == 12 && stage->processes[1].ended) return true;
  }
  return false;
}

static void an_epoch_is_told(void **state) {
  (void)state;
  Stage stage;
  GwEvent event;
  stage_open(&stage,
             "echo Welcome to $1.; echo godwit-agent $build\n"
             "[ $1 = two ] && sleep 0.3 && echo found 10 1 2\n"
             "echo ready; await; echo board 4\n"
             "if [ $1 = one ]; then echo row 0 55 1 1 3 4 12 99 10 -1 1; echo head 10 12 -1\n"
             "else echo row 1 66 1 0 4 4 12 88 10 -1 -1; echo said 1 because of rain\n"
             "echo exit 1 -1; fi\n"
             "while read order; do [ \"$order\" = fence ] && echo stopped 4; done");
  assert_true(gw_hosts_event(stage.hosts, &event)); /* a supervisor begins with what there is */
  assert_true(event.kind == GW_EVENT_FOUND && event.step == 10 && event.share == 1);
  assert_true(event.shares == 2 && event.host == 1);
  assert_ok(stage_begin(&stage));
  assert_true(gw_hosts_run(stage.hosts));
  assert_true(listen(&stage, NULL));
  assert_null(gw_hosts_complaint(stage.hosts));
  const GwBoardRow *row = stage.board->row;
  assert_true(row[0].pid == 55 && row[0].waiting && row[0].op == 3 && row[0].accused == 1);
  assert_true(row[1].progress == 88 && row[1].snapshot == 10 && row[1].accused == -1);
  assert_true(stage.board->restored == 10 && stage.board->checkpoint == -1);
  assert_true(stage.processes[0].pid == 55 && !stage.processes[0].ended);
  char said[GW_BOARD_TEXT];
  gw_board_hear(&row[1], said);
  assert_string_equal(said, "because of rain");
  gw_hosts_fence(stage.hosts);
  for (int i = 0; i < 200 && gw_hosts_run(stage.hosts); i++) (void)listen(&stage, NULL);
  assert_false(gw_hosts_run(stage.hosts));
  stage_close(&stage);
}

static void what_makes_no_sense_is_ignored(void **state) {
  (void)state;
  Stage stage;
  stage_open(&stage,
             "echo godwit-agent $build; echo ready; await; echo board 4\n"
             "echo row 7 1 1 1 1 4 1 1 1 1 1; echo row -1 1 1 1 1 4 1 1 1 1 1; echo row 0 1 2\n"
             "echo said 9 x; echo said; echo exit 5 0; echo exit; echo report 00; echo head 1\n"
             "echo godwit-agent 77; head -c 3000 /dev/urandom; echo\n"
             "if [ $1 = one ]; then echo head 1 12 1; else echo exit 1 0; fi\n"
             "cat >/dev/null");
  assert_ok(stage_begin(&stage));
  (void)listen(&stage, NULL);
  assert_int_equal(stage.board->committed, 12);
  assert_int_equal(stage.board->row[0].pid, 0);
  stage_close(&stage);
}

static void a_rank_in_the_wrong_place(void **state) {
  (void)state;
  Stage stage;
  stage_open(&stage, "echo godwit-agent $build; echo ready; await; echo board 4\n"
                     "[ $1 = two ] && echo row 0 55 1 1 3 4 12 99 10 -1 1; cat >/dev/null");
  (void)stage_begin(&stage);
  for (int i = 0; i < 20 && !gw_hosts_complaint(stage.hosts); i++) (void)listen(&stage, NULL);
  assert_non_null(strstr(gw_hosts_complaint(stage.hosts), "has put rank 0 there, and not on one"));
  stage_close(&stage);
}

static void a_host_without_room(void **state) {
  (void)state;
  Stage stage;
  stage_open(&stage, "echo godwit-agent $build; echo ready\n"
                     "[ $1 = one ] && echo board 4 || { await; echo failed no memory; }\n"
                     "cat >/dev/null");
  assert_int_equal(stage_begin(&stage), GW_IO);
  assert_non_null(strstr(gw_error_message(), "host two: no memory"));
  stage_close(&stage);
}

static void a_host_is_lost_and_comes_back(void **state) {
  (void)state;
  Stage stage;
  GwEvent event;
  char mark[600], text[2400];
  snprintf(mark, sizeof mark, "%s.mark", script);
  unlink(mark);
  snprintf(text, sizeof text,
           "echo godwit-agent $build\n"
           "[ $1 = two ] && [ -e %s ] && echo found 3 0 1 && sleep 0.3\n"
           "echo ready; echo board 4; [ $1 = one ] || [ -e %s ] && exec cat >/dev/null\n"
           "touch %s; echo row 1 66 1 0 4 4 12 88 10 -1 -1; read x; read x",
           mark, mark, mark);
  stage_open(&stage, text);
  assert_ok(stage_begin(&stage));
  uint64_t begun = gw_clock_ns();
  do gw_hosts_ask_end(stage.hosts); /* a second line to read */
  while (!listen(&stage, &event) && gw_clock_ns() < begun + UINT64_C(20000000000));
  assert_true(event.kind == GW_EVENT_HOST_LOST && event.host == 1);
  assert_true(stage.processes[1].ended);
  while (!listen(&stage, &event) && gw_clock_ns() < begun + UINT64_C(30000000000)) continue;
  assert_true(event.kind == GW_EVENT_FOUND && event.step == 3);
  if (!gw_hosts_event(stage.hosts, &event)) assert_true(listen(&stage, &event));
  assert_true(event.kind == GW_EVENT_HOST_BACK && event.host == 1);
  stage_close(&stage);
}

/* ---- what a driver makes of it ---- */

static struct {
  GwHosts *hosts;
  char shell[800];
  int faults;
  GwFault fault;
  int64_t step; /* after which it came */
} driven;

static GwStatus past(void *self, GwSupervisorPast *out) {
  (void)self;
  *out = (GwSupervisorPast){0, -1, 0};
  return GW_OK;
}

static GwStatus fence(void *self, uint64_t epoch) {
  (void)self, (void)epoch;
  return GW_OK;
}

/* A launcher that ends with the ranks: the script of host one makes the mark. */
static GwStatus launcher(void *self, const GwLaunch *launch, int32_t rank, GwArgv *out) {
  (void)self, (void)launch, (void)rank;
  static const char *const words[] = {"bash", "-c", driven.shell};
  for (size_t i = 0; i < GW_COUNT_OF(words); i++) GW_TRY(gw_argv_add(out, "%s", words[i]));
  return GW_OK;
}

static void count_faults(void *self, const GwAction *action, const char *text) {
  (void)self;
  if (action->kind != GW_ACTION_REPORT) return;
  if (action->fault != GW_FAULT_STUCK) print_message("%s\n", text);
  driven.faults++;
  driven.fault = action->fault;
  driven.step = action->step;
}

static bool next_event(void *self, GwEvent *out) {
  (void)self;
  return gw_hosts_event(driven.hosts, out);
}

/* Five steps of one rank on each of two hosts; then both wait for each other for 2 s, in which the
 * agents do as `meanwhile` says, and end with the run. No fault is tried again. */
static GwStatus drive(const char *meanwhile, GwDriverResult *result) {
  GwHostList list = list_of("one:1,two:1", 2);
  char mark[600], text[2400], prefix[64];
  snprintf(mark, sizeof mark, "%s.done", script);
  unlink(mark);
  snprintf(driven.shell, sizeof driven.shell, "while [ ! -e %s ]; do sleep 0.05; done", mark);
  snprintf(prefix, sizeof prefix, "gwtest-hosts-%d-", (int)getpid());
  snprintf(text, sizeof text,
           "[ $1 = one ] && rank=0 || rank=1\n"
           "echo godwit-agent $build; echo ready\n"
           "while read order; do [[ $order = epoch* ]] && break; done; echo board 1\n"
           "for step in 1 2 3 4 5; do\n"
           "  echo row $rank 55 1 1 -1 4 $((step + 1)) $((10 * step)) -1 -1 -1\n"
           "  [ $1 = one ] && echo head 0 $step -1; sleep 0.05; done\n"
           "%s\n"
           "echo row $rank 55 2 0 -1 4 7 60 -1 -1 -1; [ $1 = one ] && echo head 0 6 6\n"
           "echo exit $rank 0; touch %s\n"
           "while read order; do [ \"$order\" = fence ] && echo stopped 1; done",
           meanwhile, mark);
  write_script(text);
  assert_ok(open_hosts(&list, &driven.hosts));
  driven.faults = 0;
  GwDriverOptions options = {.supervisor = gw_supervisor_defaults(),
                             .kind = GW_LAUNCH_LAUNCHER,
                             .prefix = prefix,
                             .hosts = driven.hosts};
  options.supervisor.ranks = options.supervisor.hosts = 2;
  options.supervisor.last_step = 6;
  options.supervisor.tries = 0;
  GwDriverHooks hooks = {.past = past,
                         .fence = fence,
                         .command = launcher,
                         .report = count_faults,
                         .outside = next_event};
  uint64_t begun = gw_clock_ns();
  GwStatus status = gw_driver_run(&options, &hooks, result);
  assert_true(gw_clock_ns() < begun + UINT64_C(9000000000)); /* less than anybody is waited for */
  gw_hosts_close(driven.hosts);
  gw_host_list_deinit(&list);
  return status;
}

static void silent_hosts_are_not_stuck(void **state) {
  (void)state;
  GwDriverResult result;
  assert_ok(drive("sleep 2", &result));
  assert_int_equal(driven.faults, 0);
  assert_int_equal(result.outcome, GW_OUTCOME_DONE);
  assert_int_equal(result.step, 6);
}

/* The same from hosts that are heard is what it looks like. */
static void hosts_that_are_heard_may_be_stuck(void **state) {
  (void)state;
  GwDriverResult result;
  GwStatus status = drive("for i in {1..40}; do echo still here; sleep 0.05; done", &result);
  assert_int_equal(status, GW_IO);
  assert_int_equal(driven.faults, 1);
  assert_int_equal(driven.fault, GW_FAULT_STUCK);
  assert_int_equal(driven.step, 5);
}

int main(void) {
  snprintf(script, sizeof script, "%s/agent", gw_test_folder("hosts"));
  GW_ASSERT(gw_job_build(&build) == GW_OK);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lists),
      cmocka_unit_test(hosts_that_cannot_be_used),
      cmocka_unit_test(an_epoch_is_told),
      cmocka_unit_test(what_makes_no_sense_is_ignored),
      cmocka_unit_test(a_rank_in_the_wrong_place),
      cmocka_unit_test(a_host_without_room),
      cmocka_unit_test(a_host_is_lost_and_comes_back),
      cmocka_unit_test(silent_hosts_are_not_stuck),
      cmocka_unit_test(hosts_that_are_heard_may_be_stuck),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
