/* Processes that are started, watched and stopped: nothing of them is left behind. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/lines.h"
#include "os/process.h"

static const uint64_t s = 1000000000;
static char output[512];

static GwProcess shell(const char *script) {
  char *argv[] = {"sh", "-c", (char *)script, NULL};
  GwProcess process;
  unlink(output);
  assert_ok(gw_process_start(argv, output, &process));
  return process;
}

static void await(GwProcess *process, uint64_t timeout_ns) {
  uint64_t now = gw_clock_ns(), until = now + timeout_ns;
  for (; !process->ended && now < until; now = gw_clock_ns())
    assert_ok(gw_process_wait(process, 1, -1, until - now));
  assert_true(process->ended);
}

/* The number that the process wrote. */
static int written(void) {
  int number = 0;
  for (int i = 0; i < 500 && number == 0; i++) {
    FILE *file = fopen(output, "r");
    if (!file || fscanf(file, "%d", &number) != 1) usleep(10000);
    if (file) fclose(file);
  }
  assert_true(number > 0);
  return number;
}

static bool gone(int pid) {
  char state;
  uint64_t born;
  for (int i = 0; i < 500; i++) {
    if (gw_process_look(pid, &state, &born) != GW_OK || state == 'Z') return true;
    usleep(10000);
  }
  return false;
}

static void ends_are_seen(void **state) {
  (void)state;
  char text[GW_PROCESS_TEXT];
  GwProcess processes[3] = {shell("exit 0"), shell("exit 3"), shell("kill -TERM $$")};
  for (int i = 0; i < 3; i++) await(&processes[i], 10 * s);
  assert_int_equal(processes[0].code, 0);
  gw_process_text(&processes[1], text);
  assert_string_equal(text, "exited with code 3");
  gw_process_text(&processes[2], text);
  assert_string_equal(text, "killed by SIGTERM");
  assert_int_equal(processes[2].code, 128 + SIGTERM);
}

static void what_cannot_start_is_named(void **state) {
  (void)state;
  GwProcess process;
  char *argv[] = {"/nowhere/program", NULL};
  assert_fails(GW_NOT_FOUND, "/nowhere/program", gw_process_start(argv, NULL, &process));
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and no child is left */
}

static void only_three_descriptors_are_passed_on(void **state) {
  (void)state;
  int extra = open("/dev/null", O_RDONLY);
  GwProcess process = shell("ls /proc/self/fd | wc -l; readlink /proc/self/fd/0");
  await(&process, 10 * s);
  close(extra);
  assert_int_equal(written(), 4); /* and the one with which ls reads the list */
}

static void groups_die_as_a_whole(void **state) {
  (void)state;
  GwProcess process = shell("sleep 1000 & echo $!; wait");
  int grandchild = written();
  gw_process_kill(&process);
  await(&process, 10 * s);
  assert_int_equal(process.signal, SIGKILL);
  assert_true(gone(grandchild));
  process = shell("sleep 1000 & echo $!"); /* its leader ends first */
  grandchild = written();
  await(&process, 10 * s);
  assert_true(gone(grandchild));
}

/* What `kill -9` of a supervisor leaves of its children. */
static void children_do_not_outlive_us(void **state) {
  (void)state;
  unlink(output);
  pid_t parent = fork();
  if (parent == 0) {
    shell("echo $$; exec sleep 1000");
    for (;;) pause();
  }
  int child = written();
  assert_int_equal(kill(child, 0), 0);
  kill(parent, SIGKILL);
  waitpid(parent, NULL, 0);
  assert_true(gone(child));
}

static void others_are_adopted(void **state) {
  (void)state;
  GwProcess parent = shell("setsid sleep 1000 & echo $!; wait"), process;
  int pid = written();
  char letter;
  uint64_t born;
  assert_ok(gw_process_look(pid, &letter, &born));
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  assert_in_range(up.tv_sec - (long)born / sysconf(_SC_CLK_TCK), 0, 20);
  assert_fails(GW_NOT_FOUND, "another", gw_process_adopt(pid, born + 1, &process));
  assert_ok(gw_process_adopt(pid, born, &process));
  assert_ok(gw_process_wait(&process, 1, -1, s / 100));
  assert_false(process.ended);
  gw_process_kill(&process);
  await(&process, 10 * s);
  assert_int_equal(process.code, -1);
  await(&parent, 10 * s);
  assert_fails(GW_NOT_FOUND, "gone", gw_process_adopt(pid, born, &process));
}

static void waiting_ends_in_time(void **state) {
  (void)state;
  GwProcess process = shell("exec sleep 1000");
  uint64_t start = gw_clock_ns();
  assert_ok(gw_process_wait(&process, 1, -1, s / 10));
  assert_in_range(gw_clock_ns() - start, s / 10, 5 * s);
  int bell = eventfd(1, EFD_CLOEXEC);
  start = gw_clock_ns();
  assert_ok(gw_process_wait(&process, 1, bell, 20 * s));
  assert_in_range(gw_clock_ns() - start, 0, 5 * s);
  close(bell);
  kill(process.pid, SIGSTOP); /* a stopped one dies as well */
  gw_process_kill(&process);
  await(&process, 10 * s);
}

static void command_lines(void **state) {
  (void)state;
  GwArgv argv = {0};
  for (int i = 0; i < 40; i++) assert_ok(gw_argv_add(&argv, "%d of %s", i, "many"));
  assert_int_equal(argv.count, 40);
  assert_string_equal(argv.items[39], "39 of many");
  assert_null(argv.items[40]);
  gw_argv_clear(&argv);
  assert_int_equal(argv.count, 0);
}

static void words_of_a_line(void **state) {
  (void)state;
  GwArgv argv = {0};
  const GwArgvKey keys[] = {{"{ranks}", "4"}, {"{hosts}", "a:2,b:2"}};
  assert_ok(gw_argv_add_words(&argv, "mpirun  -n {ranks} --host={hosts}/x {other}", keys, 2));
  const char *const expected[] = {"mpirun", "-n", "4", "--host=a:2,b:2/x", "{other}"};
  assert_int_equal(argv.count, 5);
  for (size_t i = 0; i < 5; i++) assert_string_equal(argv.items[i], expected[i]);
  gw_argv_clear(&argv);
}

static char *next_line(GwLines *lines) {
  char *line = NULL;
  for (int i = 0; i < 1000 && !line && !lines->ended; i++) {
    assert_ok(gw_process_wait(NULL, 0, lines->descriptor, s / 100));
    assert_ok(gw_lines_read(lines));
    line = gw_lines_next(lines);
  }
  return line;
}

static void a_process_that_is_talked_to(void **state) {
  (void)state;
  char *argv[] = {"sh", "-c", "while read x; do echo \"got $x\"; done; printf rest", NULL};
  char text[9000];
  GwProcess process;
  GwLines lines = {0};
  assert_ok(gw_process_start_talking(argv, NULL, &process, &lines.descriptor));
  assert_ok(gw_line_write(lines.descriptor, "%d words", 2));
  assert_string_equal(next_line(&lines), "got 2 words");
  assert_null(gw_lines_next(&lines));
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  assert_ok(gw_line_write(lines.descriptor, "%s", text));
  assert_ok(gw_line_write(lines.descriptor, "short"));
  assert_string_equal(next_line(&lines) + 4, text);
  assert_string_equal(next_line(&lines), "got short");
  shutdown(lines.descriptor, SHUT_WR);
  assert_null(next_line(&lines)); /* the rest is not a whole line */
  assert_true(lines.ended);
  await(&process, 10 * s);
  assert_int_equal(process.code, 0);
  assert_int_equal(gw_line_write(lines.descriptor, "nobody reads"), GW_IO);
  close(lines.descriptor);
  gw_lines_deinit(&lines);
}

static void a_line_without_end(void **state) {
  (void)state;
  char *argv[] = {"sh", "-c", "yes | tr -d '\\n' | head -c 300000", NULL};
  GwProcess process;
  GwLines lines = {0};
  GwStatus status = GW_OK;
  assert_ok(gw_process_start_talking(argv, NULL, &process, &lines.descriptor));
  while (status == GW_OK && !lines.ended) {
    assert_ok(gw_process_wait(NULL, 0, lines.descriptor, s / 100));
    status = gw_lines_read(&lines);
    assert_null(gw_lines_next(&lines));
  }
  assert_int_equal(status, GW_CORRUPT);
  assert_true(lines.ended && lines.capacity < 4 * GW_LINE_MAX);
  close(lines.descriptor);
  gw_lines_deinit(&lines);
  await(&process, 10 * s);
}

int main(void) {
  snprintf(output, sizeof output, "%s/output", gw_test_folder("process"));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ends_are_seen),
      cmocka_unit_test(what_cannot_start_is_named),
      cmocka_unit_test(only_three_descriptors_are_passed_on),
      cmocka_unit_test(groups_die_as_a_whole),
      cmocka_unit_test(children_do_not_outlive_us),
      cmocka_unit_test(others_are_adopted),
      cmocka_unit_test(waiting_ends_in_time),
      cmocka_unit_test(command_lines),
      cmocka_unit_test(words_of_a_line),
      cmocka_unit_test(a_process_that_is_talked_to),
      cmocka_unit_test(a_line_without_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
