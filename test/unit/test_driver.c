/* The supervisor with real processes: this program is also the ranks (--rank) and the launcher
 * (--launcher). They compute nothing, step together through the board, and die, hang and lie at the
 * step that the test has planned. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/driver.h"
#include "comm/board.h"
#include "os/clock.h"
#include "program/op.h"

static const uint64_t s = 1000000000, ms = 1000000;

/* ---- the ranks ---- */

typedef enum {
  KILL = 1,
  EXIT,
  HOPELESS,
  STOP,
  STOP_WAITING, /* stopped while it says that it waits */
  SPIN,
  SLEEP, /* it holds a lock that others need, say */
  LIE,
  BAD_COPY,
  UNREADY,
  NO_LAUNCH,
  LAUNCHER_LEAVES, /* without waiting for its ranks */
} Kind;

typedef struct {
  Kind kind;
  int32_t rank;
  int64_t step;
} Fault;

/* What ranks and test share beside the board. */
typedef struct {
  _Atomic uint64_t fault_at; /* when the planned fault happened */
  _Atomic uint64_t fence;
} Stamp;

typedef struct {
  const char *board, *stamp;
  uint64_t epoch;
  int32_t ranks;
  int64_t step, last;
  Fault fault;
} Work;

static char **work_argv(const char *self, const char *role, const Work *w, int32_t rank,
                        GwArgv *argv) {
  assert_ok(gw_argv_add(argv, "%s", self));
  assert_ok(gw_argv_add(argv, "%s", role));
  assert_ok(gw_argv_add(argv, "%s", w->board));
  assert_ok(gw_argv_add(argv, "%s", w->stamp));
  const int64_t numbers[] = {(int64_t)w->epoch, w->ranks,      w->step,       w->last,
                             w->fault.kind,     w->fault.rank, w->fault.step, rank};
  for (size_t i = 0; i < GW_COUNT_OF(numbers); i++)
    assert_ok(gw_argv_add(argv, "%lld", (long long)numbers[i]));
  return argv->items;
}

static Work work_parse(char **argv, int32_t *rank) {
  long long n[8];
  for (int i = 0; i < 8; i++) n[i] = strtoll(argv[4 + i], NULL, 10);
  *rank = (int32_t)n[7];
  return (Work){.board = argv[2],
                .stamp = argv[3],
                .epoch = (uint64_t)n[0],
                .ranks = (int32_t)n[1],
                .step = n[2],
                .last = n[3],
                .fault = {(Kind)n[4], (int32_t)n[5], n[6]}};
}

static void wait_ms(int count) { usleep((useconds_t)count * 1000); }

/* Returns the code to exit with, or -1 to go on. */
static int commit_fault(const Work *w, GwBoardRow *row, Stamp *stamp) {
  stamp->fault_at = gw_clock_ns();
  switch (w->fault.kind) {
  case KILL: raise(SIGKILL); return -1;
  case EXIT: gw_board_say(row, "the loss is not a number"); return 7;
  case HOPELESS: gw_board_say(row, "other data here"); return GW_EXIT_HOPELESS;
  case STOP_WAITING: row->waiting = 1; __attribute__((fallthrough));
  case STOP: raise(SIGSTOP); return -1;
  case SPIN:
    for (;;) row->op = 2;
  case SLEEP:
    for (;;) pause();
  case LIE: row->accused = (w->fault.rank + 1) % w->ranks; return 1;
  default: return -1;
  }
}

/* Until all are done with `step`; false when rank 0 has ended before that. */
static bool meet(GwBoard *board, GwBoardRow *row, int64_t step) {
  bool all = false;
  while (!all) {
    all = true;
    for (int32_t r = 0; r < board->ranks; r++) all = all && board->row[r].step > step;
    if (all) break;
    row->waiting = 1;
    usleep(300);
    if (board->row[0].state == GW_RANK_ENDED && board->row[0].step <= step) return false;
  }
  row->waiting = 0;
  return true;
}

static int run_steps(const Work *w, int32_t rank, GwBoard *board, Stamp *stamp) {
  GwBoardRow *row = &board->row[rank];
  for (int64_t step = w->step + 1; step <= w->last; step++) {
    for (int op = 0; op < 3; op++) {
      row->kind = op == 2 ? GW_OP_ATTENTION : GW_OP_LINEAR;
      row->op = op;
      if (op == 2 && rank == w->fault.rank && step == w->fault.step) {
        int code = commit_fault(w, row, stamp);
        if (code >= 0) return code;
      }
      usleep(500);
      row->progress++;
    }
    row->op = -1;
    row->step = step + 1;
    if (!meet(board, row, step)) break;
    row->progress++;
    if (rank == 0) gw_board_tell(board, &board->committed, step);
    if (step % 2 == 0) row->snapshot = step;
    if (rank > 0) continue;
    if (!board->end_asked) continue;
    gw_board_tell(board, &board->checkpoint, step);
    break;
  }
  row->state = GW_RANK_ENDED;
  return 0;
}

static int rank_main(const Work *w, int32_t rank) {
  GwShared shared, stamp;
  GwBoard *board;
  if (gw_board_open(w->board, w->epoch, rank, w->ranks, &shared, &board) != GW_OK ||
      gw_shared_open(w->stamp, &stamp) != GW_OK)
    return 9;
  bool faulty = rank == w->fault.rank;
  if (faulty && w->fault.kind == UNREADY) pause();
  if (faulty && w->fault.kind == BAD_COPY) {
    gw_board_say(&board->row[rank], "its hash is wrong");
    board->row[rank].bad_copy = w->step;
    return 1;
  }
  board->row[rank].step = w->step + 1;
  board->row[rank].state = GW_RANK_READY;
  return run_steps(w, rank, board, stamp.data);
}

/* Like mpirun: a process group per rank; when one fails the others are told to end. */
static int launcher_main(const Work *w) {
  int result, code = 0;
  pid_t pids[8];
  if (w->fault.kind == NO_LAUNCH) return 1;
  for (int32_t r = 0; r < w->ranks; r++) {
    pids[r] = fork();
    if (pids[r] > 0) continue;
    setpgid(0, 0);
    _exit(rank_main(w, r));
  }
  if (w->fault.kind == LAUNCHER_LEAVES) {
    GwShared shared;
    GwBoard *board;
    assert_ok(gw_board_look(w->board, &shared, &board));
    while (board->committed < w->fault.step) usleep(100);
    return 0;
  }
  while (wait(&result) > 0) {
    if (result == 0 || code != 0) continue;
    code = 1;
    for (int32_t r = 0; r < w->ranks; r++) kill(pids[r], SIGTERM);
  }
  return code;
}

/* ---- the test's side ---- */

enum { REPORTS = 64 };

static struct {
  char self[512], prefix[64], stamp_name[64];
  GwShared stamp;
  Stamp *shared;
  uint64_t seed;
  GwDriverOptions options;
  Fault (*plan)(const GwLaunch *launch, int count);
  bool (*outside)(GwEvent *out);
  bool (*held)(int64_t step);
  GwSupervisorPast past;
  int launches, rounds;
  int32_t ranks[REPORTS]; /* of each launch */
  GwRestoreFrom from[REPORTS];
  int64_t from_step[REPORTS];
  struct {
    GwFault fault;
    int32_t rank;
    int64_t step;
    uint64_t took; /* since the fault happened */
    char text[GW_DRIVER_TEXT];
  } report[REPORTS];
  int reports;
  char finish[GW_DRIVER_TEXT + 64];
  pid_t old[8]; /* ranks of a supervisor that was killed */
  GwDriverResult result;
} t;

static volatile sig_atomic_t stop;

static Fault no_fault(const GwLaunch *launch, int count) {
  (void)launch, (void)count;
  return (Fault){0};
}

static bool is_gone(pid_t pid) {
  char state;
  uint64_t born;
  return pid <= 0 || gw_process_look(pid, &state, &born) != GW_OK || state == 'Z';
}

static GwStatus past(void *self, GwSupervisorPast *out) {
  (void)self;
  for (size_t i = 0; i < GW_COUNT_OF(t.old); i++) assert_true(is_gone(t.old[i]));
  *out = t.past;
  return GW_OK;
}

static GwStatus fence(void *self, uint64_t epoch) {
  (void)self;
  assert_true(epoch > t.shared->fence);
  t.shared->fence = epoch;
  return GW_OK;
}

static GwStatus command(void *self, const GwLaunch *launch, int32_t rank, GwArgv *out) {
  (void)self;
  assert_true(launch->epoch == t.shared->fence);
  Work w = {.board = launch->board, .stamp = t.stamp_name, .epoch = launch->epoch};
  w.ranks = launch->placement->rank_count;
  w.step = launch->step;
  w.last = t.options.supervisor.last_step;
  if (rank <= 0) { /* once per launch */
    assert_true(t.launches < REPORTS);
    t.ranks[t.launches] = w.ranks;
    t.from[t.launches] = launch->from;
    t.from_step[t.launches++] = launch->step;
  }
  w.fault = t.plan(launch, t.launches);
  bool missing = w.fault.kind == NO_LAUNCH && rank == w.fault.rank;
  const char *role = rank < 0 ? "--launcher" : "--rank";
  work_argv(missing ? "/nowhere/ranks" : t.self, role, &w, rank, out);
  return GW_OK;
}

static void on_report(void *self, const GwAction *action, const char *text) {
  (void)self;
  if (action->kind == GW_ACTION_FINISH) snprintf(t.finish, sizeof t.finish, "%s", text);
  if (action->kind != GW_ACTION_REPORT) return;
  assert_true(t.reports < REPORTS);
  t.report[t.reports].fault = action->fault;
  t.report[t.reports].rank = action->rank;
  t.report[t.reports].step = action->step;
  t.report[t.reports].took = gw_clock_ns() - t.shared->fault_at;
  snprintf(t.report[t.reports++].text, GW_DRIVER_TEXT, "%s", text);
}

static bool outside(void *self, GwEvent *out) {
  (void)self;
  t.rounds++;
  return t.outside && t.outside(out);
}

static bool held(void *self, int64_t step) {
  (void)self;
  return !t.held || t.held(step);
}

static GwStatus drive(void) {
  GwDriverHooks hooks = {.past = past,
                         .fence = fence,
                         .command = command,
                         .report = on_report,
                         .held = held,
                         .outside = outside};
  return gw_driver_run(&t.options, &hooks, &t.result);
}

/* Counts processes with `prefix` on their command line. */
static int left_behind(void) {
  char path[300], line[4096];
  int count = 0;
  DIR *folder = opendir("/proc");
  for (struct dirent *entry; (entry = readdir(folder));) {
    int pid = atoi(entry->d_name);
    snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
    int file = pid > 0 && !is_gone(pid) ? open(path, O_RDONLY) : -1;
    if (file < 0) continue;
    ssize_t got = read(file, line, sizeof line);
    close(file);
    count += got > 0 && memmem(line, (size_t)got, t.prefix, strlen(t.prefix)) != NULL;
  }
  closedir(folder);
  return count;
}

static GwStatus count_area(void *context, const char *name) {
  (void)name;
  ++*(int *)context;
  return GW_OK;
}

static int set_up(void **state) {
  (void)state;
  t.plan = no_fault;
  t.outside = NULL;
  t.held = NULL;
  t.launches = t.reports = t.rounds = stop = 0;
  t.past = (GwSupervisorPast){0, -1, 0};
  memset(t.old, 0, sizeof t.old);
  t.finish[0] = 0;
  t.shared->fence = 0;
  t.options = (GwDriverOptions){.supervisor = gw_supervisor_defaults(), .prefix = t.prefix};
  t.options.stop = &stop;
  GwSupervisorOptions *o = &t.options.supervisor;
  o->ranks = o->slots = 4;
  o->hosts = 1;
  o->last_step = 30;
  o->hang_ns = 5 * s;
  o->start_ns = 20 * s;
  o->backoff_ns = 20 * ms;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  int areas = 0;
  for (int i = 0; i < 200 && left_behind() > 0; i++) wait_ms(10);
  assert_int_equal(left_behind(), 0);
  assert_ok(gw_shared_list(t.prefix, count_area, &areas));
  assert_int_equal(areas, 0);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, not even an ended one */
  return 0;
}

static void expect_done(int launches) {
  assert_ok(drive());
  assert_int_equal(t.result.outcome, GW_OUTCOME_DONE);
  assert_true(t.result.step == t.options.supervisor.last_step);
  for (int i = 0; t.launches != launches && i < t.reports; i++)
    print_message("%s\n", t.report[i].text);
  assert_int_equal(t.launches, launches);
  assert_true(t.finish[0] != 0);
}

static void expect_report(int i, GwFault fault, int32_t rank, const char *part) {
  assert_true(i < t.reports);
  if (t.report[i].fault != fault || t.report[i].rank != rank || !strstr(t.report[i].text, part))
    fail_msg("reported fault %d of rank %d: %s", (int)t.report[i].fault, t.report[i].rank,
             t.report[i].text);
}

/* ---- tests ---- */

static void without_faults_one_launch_does_it(void **state) {
  (void)state;
  expect_done(1);
  assert_int_equal(t.reports, 0);
  assert_true(t.result.epoch == 1);
  t.options.kind = GW_LAUNCH_LAUNCHER;
  t.shared->fence = 0;
  t.launches = 0;
  expect_done(1);
}

static int by_time(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* Prints what detection took; the limit is generous, as the machine may be loaded. */
static void expect_times(const char *what, uint64_t limit) {
  uint64_t took[REPORTS];
  for (int i = 0; i < t.reports; i++) took[i] = t.report[i].took;
  qsort(took, (size_t)t.reports, sizeof *took, by_time);
  print_message("%s: %d times, detected after %.1f ms (median), %.1f ms (most)\n", what, t.reports,
                (double)took[t.reports / 2] * 1e-6, (double)took[t.reports - 1] * 1e-6);
  assert_true(took[t.reports - 1] <= limit);
}

static Fault kills_until_late(const GwLaunch *launch, int count) {
  GwRng rng = gw_rng(t.seed, (uint64_t)count); /* the same for all ranks of a launch */
  int64_t step = launch->step + 1 + (int64_t)gw_rng_below(&rng, 4);
  return (Fault){step < 26 ? KILL : 0, (int32_t)gw_rng_below(&rng, 4), step};
}

static void dead_ranks(GwLaunchKind kind, const char *what) {
  t.options.kind = kind;
  t.options.supervisor.tries = 40;
  t.options.supervisor.backoff_most_ns = 20 * ms;
  t.plan = kills_until_late;
  assert_ok(drive());
  assert_int_equal(t.result.outcome, GW_OUTCOME_DONE);
  assert_in_range(t.reports, 5, REPORTS);
  for (int i = 0; i < t.reports; i++) {
    /* A launcher ends the others, and one of those may be seen first. */
    bool local = kind == GW_LAUNCH_LOCAL;
    expect_report(i, GW_FAULT_DEATH, t.report[i].rank, local ? "op 2 (attention)" : "in step");
    if (local) assert_non_null(strstr(t.report[i].text, "killed by SIGKILL"));
  }
  expect_times(what, s / 2);
}

static void a_killed_rank_is_seen_at_once(void **state) {
  (void)state;
  dead_ranks(GW_LAUNCH_LOCAL, "killed rank");
}

static void a_killed_rank_of_a_launcher_is_seen_at_once(void **state) {
  (void)state;
  dead_ranks(GW_LAUNCH_LAUNCHER, "killed rank of a launcher");
}

static Fault hang_each_way(const GwLaunch *launch, int count) {
  static const Kind kinds[] = {STOP, SPIN, SLEEP, STOP_WAITING};
  if (count > (int)GW_COUNT_OF(kinds)) return (Fault){0};
  return (Fault){kinds[count - 1], count - 1, launch->step + 6};
}

static void hanging_ranks(GwLaunchKind kind, const char *what) {
  t.options.kind = kind;
  t.options.supervisor.hang_ns = 500 * ms;
  t.plan = hang_each_way;
  expect_done(5);
  for (int i = 0; i < 4; i++) expect_report(i, GW_FAULT_HANG, i, "op 2 (attention)");
  assert_non_null(strstr(t.report[0].text, "stopped by a signal"));
  expect_times(what, s);
}

static void a_hanging_rank_is_named(void **state) {
  (void)state;
  hanging_ranks(GW_LAUNCH_LOCAL, "hang of 500 ms");
}

static void a_hanging_rank_of_a_launcher_is_named(void **state) {
  (void)state;
  hanging_ranks(GW_LAUNCH_LAUNCHER, "hang of 500 ms below a launcher");
}

static Fault exits_always(const GwLaunch *launch, int count) {
  (void)launch, (void)count;
  return (Fault){EXIT, 2, 5};
}

static void what_fails_always_is_given_up(void **state) {
  (void)state;
  t.options.supervisor.tries = 3;
  t.plan = exits_always;
  assert_fails(GW_IO, "exited with code 7 in step 5", drive());
  assert_non_null(strstr(gw_error_message(), "the loss is not a number"));
  assert_non_null(strstr(gw_error_message(), "fault 4 in a row after step 4"));
  assert_int_equal(t.result.outcome, GW_OUTCOME_GIVEN_UP);
  assert_int_equal(t.launches, 4);
  assert_non_null(strstr(t.finish, "given up after step 4"));
}

static Fault hopeless(const GwLaunch *launch, int count) {
  (void)launch, (void)count;
  return (Fault){HOPELESS, 1, 1};
}

static void what_is_hopeless_is_not_tried_again(void **state) {
  (void)state;
  t.plan = hopeless;
  assert_fails(GW_IO, "other data here", drive());
  assert_int_equal(t.launches, 1);
}

static Fault fails_at_first(const GwLaunch *launch, int count) {
  (void)launch;
  return (Fault){count == 1 ? NO_LAUNCH : 0, 3, 0};
}

static void a_launch_that_fails_is_tried_again(void **state) {
  (void)state;
  t.plan = fails_at_first;
  expect_done(2);
  expect_report(0, GW_FAULT_LAUNCH, -1, "/nowhere/ranks");
  t.options.kind = GW_LAUNCH_LAUNCHER;
  t.shared->fence = 0;
  t.launches = t.reports = 0;
  expect_done(2);
  expect_report(0, GW_FAULT_LAUNCH, -1,
                "the launcher exited with code 1 before rank 0 had started");
}

static Fault launcher_leaves(const GwLaunch *launch, int count) {
  (void)launch;
  (void)count;
  return (Fault){LAUNCHER_LEAVES, -1, t.options.supervisor.last_step - 5};
}

/* As srun does when the news of its ranks takes longer than that of its end. */
static void ranks_may_be_heard_of_after_their_launcher(void **state) {
  (void)state;
  t.options.kind = GW_LAUNCH_LAUNCHER;
  t.plan = launcher_leaves;
  expect_done(1);
  assert_int_equal(t.reports, 0);
}

static Fault unready_at_first(const GwLaunch *launch, int count) {
  (void)launch;
  return (Fault){count == 1 ? UNREADY : 0, 1, 0};
}

static void a_start_may_not_take_for_ever(void **state) {
  (void)state;
  t.options.supervisor.start_ns = 2 * s;
  t.plan = unready_at_first;
  expect_done(2);
  expect_report(0, GW_FAULT_SLOW_START, -1, "3 of 4 ranks were ready");
  assert_non_null(strstr(t.report[0].text, "rank 1 was not"));
}

static Fault lies_at_first(const GwLaunch *launch, int count) {
  (void)launch;
  return (Fault){count == 1 ? LIE : 0, 1, 4};
}

/* The rank that found it ends as well, and is not the one to blame. */
static void who_computes_wrongly_is_accused(void **state) {
  (void)state;
  t.plan = lies_at_first;
  expect_done(2);
  assert_int_equal(t.reports, 1);
  expect_report(0, GW_FAULT_LIE, 2, "as rank 1 found");
  assert_int_equal(t.from[1], GW_FROM_SNAPSHOT); /* heard of together with the lie */
  assert_int_equal(t.from_step[1], 2);
}

static Fault bad_copy_at_second(const GwLaunch *launch, int count) {
  (void)launch;
  return (Fault){count == 1 ? KILL : count == 2 ? BAD_COPY : 0, 1, 8};
}

static void a_bad_snapshot_is_passed_over(void **state) {
  (void)state;
  t.plan = bad_copy_at_second;
  expect_done(3);
  expect_report(1, GW_FAULT_COPY, -1, "as rank 1 found; it said: its hash is wrong");
  assert_int_equal(t.from[1], GW_FROM_SNAPSHOT);
  assert_true(t.from_step[2] < t.from_step[1]);
}

static bool holds_nothing(int64_t step) {
  (void)step;
  return false;
}

static Fault dies_at_first(const GwLaunch *launch, int count) {
  (void)launch;
  return (Fault){count == 1 ? KILL : 0, 1, 8};
}

static void nobody_is_started_for_a_snapshot_that_is_gone(void **state) {
  (void)state;
  t.plan = dies_at_first;
  t.held = holds_nothing;
  expect_done(2); /* not of the epochs between, which had nothing to begin with */
  assert_true(t.from[1] == GW_FROM_START && t.from_step[1] == 0);
  assert_true(t.reports >= 2 && t.result.epoch == (uint64_t)t.reports + 1);
  expect_report(0, GW_FAULT_DEATH, 1, "killed by SIGKILL");
  for (int i = 1; i < t.reports; i++)
    expect_report(i, GW_FAULT_COPY, -1, "nothing of it is in memory");
}

static bool hosts_go_and_come(GwEvent *out) {
  *out = (GwEvent){.host = 1};
  out->kind = t.rounds == 20 ? GW_EVENT_HOST_LOST : GW_EVENT_HOST_BACK;
  return t.rounds == 20 || t.rounds == 45;
}

static void without_a_host_the_run_is_smaller(void **state) {
  (void)state;
  GwSupervisorOptions *o = &t.options.supervisor;
  o->hosts = o->slots = 2;
  o->last_step = 700;
  t.outside = hosts_go_and_come;
  expect_done(3);
  assert_true(t.ranks[0] == 4 && t.ranks[1] == 2 && t.ranks[2] == 4);
  expect_report(0, GW_FAULT_HOST, -1, "host 1 was lost");
  expect_report(1, GW_FAULT_GROW, -1, "more ranks");
}

static bool asks_for_the_end(GwEvent *out) {
  (void)out;
  if (t.rounds == 20) stop = 1;
  return false;
}

static bool asks_twice(GwEvent *out) {
  if (t.rounds == 30) stop = 2;
  return asks_for_the_end(out);
}

static void the_end_can_be_asked_for(void **state) {
  (void)state;
  t.options.supervisor.last_step = 1000000;
  t.outside = asks_for_the_end;
  assert_ok(drive());
  assert_int_equal(t.result.outcome, GW_OUTCOME_ENDED);
  assert_in_range(t.result.step, 1, 100000);
  assert_int_equal(t.reports, 0);
}

static Fault spins_at_5(const GwLaunch *launch, int count) {
  (void)launch, (void)count;
  return (Fault){SPIN, 1, 5};
}

static void who_asks_twice_need_not_wait(void **state) {
  (void)state;
  t.options.supervisor.last_step = 1000000;
  t.options.supervisor.hang_ns = 60 * s;
  t.plan = spins_at_5;
  t.outside = asks_twice;
  uint64_t start = gw_clock_ns();
  assert_fails(GW_INTERRUPTED, "at once", drive());
  assert_true(gw_clock_ns() - start < 10 * s);
  assert_int_equal(t.result.outcome, GW_OUTCOME_NONE);
}

static GwStatus look_for_progress(void *context, const char *name) {
  GwShared shared;
  GwBoard *board;
  if (gw_board_look(name, &shared, &board) != GW_OK) return GW_OK;
  if (board->committed >= 3) {
    for (int32_t r = 0; r < board->ranks; r++) t.old[r] = board->row[r].pid;
    *(bool *)context = true;
  }
  gw_shared_close(&shared);
  return GW_OK;
}

static void taken_over(GwLaunchKind kind) {
  bool runs = false;
  t.options.kind = kind;
  t.options.supervisor.last_step = 1000000;
  pid_t supervisor = fork();
  if (supervisor == 0) _exit(drive() != GW_OK);
  for (int i = 0; i < 2000 && !runs; i++) {
    wait_ms(10);
    assert_ok(gw_shared_list(t.prefix, look_for_progress, &runs));
  }
  assert_true(runs);
  kill(t.old[1], SIGSTOP); /* one that would not hear */
  kill(supervisor, SIGKILL);
  assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
  t.past = (GwSupervisorPast){t.shared->fence, -1, 0};
  t.options.supervisor.last_step = 30;
  expect_done(1);
  assert_true(t.result.epoch == 2);
  expect_report(0, GW_FAULT_TAKEN_OVER, -1, "after epoch 1");
}

static void a_killed_supervisor_leaves_no_ranks(void **state) {
  (void)state;
  taken_over(GW_LAUNCH_LOCAL);
}

static void a_killed_supervisor_of_a_launcher_leaves_no_ranks(void **state) {
  (void)state;
  taken_over(GW_LAUNCH_LAUNCHER);
}

static GwStatus no_fence(void *self, uint64_t epoch) {
  (void)self, (void)epoch;
  return gw_fail(GW_NO_SPACE, "the disk is full");
}

static void without_a_fence_nothing_is_launched(void **state) {
  (void)state;
  GwDriverHooks hooks = {.past = past, .fence = no_fence, .command = command, .report = on_report};
  assert_fails(GW_NO_SPACE, "full", gw_driver_run(&t.options, &hooks, &t.result));
  assert_int_equal(t.launches, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv) {
  if (argc > 4 && strncmp(argv[1], "--", 2) == 0) {
    int32_t rank;
    Work work = work_parse(argv, &rank);
    alarm(100); /* should the test fail to stop it */
    return rank < 0 ? launcher_main(&work) : rank_main(&work, rank);
  }
  t.seed = gw_test_seed(argc, argv, 1);
  assert_true(readlink("/proc/self/exe", t.self, sizeof t.self - 1) > 0);
  snprintf(t.prefix, sizeof t.prefix, "gwtest-driver-%d-", (int)getpid());
  snprintf(t.stamp_name, sizeof t.stamp_name, "gwtest-stamp-%d", (int)getpid());
  assert_ok(gw_shared_create(t.stamp_name, sizeof(Stamp), &t.stamp));
  t.shared = t.stamp.data;
  const struct CMUnitTest tests[] = {
      TEST(without_faults_one_launch_does_it),
      TEST(a_killed_rank_is_seen_at_once),
      TEST(a_killed_rank_of_a_launcher_is_seen_at_once),
      TEST(a_hanging_rank_is_named),
      TEST(a_hanging_rank_of_a_launcher_is_named),
      TEST(what_fails_always_is_given_up),
      TEST(what_is_hopeless_is_not_tried_again),
      TEST(ranks_may_be_heard_of_after_their_launcher),
      TEST(a_launch_that_fails_is_tried_again),
      TEST(a_start_may_not_take_for_ever),
      TEST(who_computes_wrongly_is_accused),
      TEST(a_bad_snapshot_is_passed_over),
      TEST(nobody_is_started_for_a_snapshot_that_is_gone),
      TEST(without_a_host_the_run_is_smaller),
      TEST(the_end_can_be_asked_for),
      TEST(who_asks_twice_need_not_wait),
      TEST(a_killed_supervisor_leaves_no_ranks),
      TEST(a_killed_supervisor_of_a_launcher_leaves_no_ranks),
      TEST(without_a_fence_nothing_is_launched),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gw_shared_close(&t.stamp);
  gw_shared_remove(t.stamp_name);
  return failed;
}
