/* The batch script for Slurm: its options, its words, and what it does about signals and exit
 * codes. Bash runs it, with a godwit, a squeue and a scontrol that only say what they were told. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cluster/slurm.h"
#include "godwit/cluster.h"
#include "os/fs.h"

enum { PATH_SIZE = 600 };

static char folder[PATH_SIZE];

static void write_program(const char *name, const char *text) {
  char path[PATH_SIZE + 32];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(chmod(path, 0777), 0);
}

/* What a file of the folder holds; empty if it is not there. */
static char *content(const char *name, size_t *size) {
  char path[PATH_SIZE + 32], *text = NULL;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (gw_fs_read_all(gw_fs_disk(), path, 1 << 20, &text, size) == GW_OK) return text;
  *size = 0;
  return calloc(1, 1);
}

static int shell(const char *format, ...) {
  char command[4096];
  va_list list;
  va_start(list, format);
  int length = vsnprintf(command, sizeof command, format, list);
  va_end(list);
  assert_true(length > 0 && (size_t)length < sizeof command);
  int status = system(command);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

/* A fresh folder, with a program that does `before`, notes its words in a file and does `after`. */
static void begin(const char *before, const char *after) {
  char text[1024];
  snprintf(folder, sizeof folder, "%s", gw_test_folder("slurm"));
  snprintf(text, sizeof text, "#!/bin/bash\n%s\nprintf '%%s\\0' \"$@\" >words\n%s\n", before,
           after);
  write_program("god wit", text);
  write_program("squeue", "#!/bin/bash\ncat state\n");
  write_program("scontrol",
                "#!/bin/bash\n[ $1 = show ] && printf '%s\\n' $3 || echo \"$@\" >asked\n");
}

static const char forever[] = "while true; do sleep 0.01; done";

static void write_script(const char *const *arguments, size_t count) {
  char *text;
  GwSlurmJob job = {.name = "bird song/2%j",
                    .program = "./god wit",
                    .arguments = arguments,
                    .argument_count = count,
                    .tasks = 3,
                    .processors = 2};
  assert_ok(gw_slurm_write(&job, &text));
  write_program("script", text);
  free(text);
  assert_int_equal(shell("bash -n %s/script", folder), 0);
}

/* Runs the script; returns its exit code. */
static int submit(void) {
  return shell("cd %s && PATH=$PWD:$PATH SLURM_JOB_ID=7 bash script", folder);
}

static void assert_words(const char *const *words, size_t count) {
  size_t size, at = 0;
  char *heard = content("words", &size);
  for (size_t i = 0; i < count; i++) {
    assert_true(at < size);
    assert_string_equal(heard + at, words[i]);
    at += strlen(words[i]) + 1;
  }
  assert_int_equal(at, size);
  free(heard);
}

static void its_options_are_the_runs(void **unused) {
  (void)unused;
  size_t size;
  begin("", "");
  write_script(NULL, 0);
  char *text = content("script", &size);
  static const char *const lines[] = {
      "#SBATCH --job-name=bird-song-2-j\n", "#SBATCH --ntasks=3\n",
      "#SBATCH --cpus-per-task=2\n",        "#SBATCH --time=24:00:00\n",
      "#SBATCH --signal=B:USR1@120\n",      "#SBATCH --requeue\n",
      "#SBATCH --open-mode=append\n",       "#SBATCH --output=bird-song-2-j-%j.log\n"};
  assert_memory_equal(text, "#!/bin/bash\n", 12);
  for (size_t i = 0; i < GW_COUNT_OF(lines); i++) assert_non_null(strstr(text, lines[i]));
  free(text);
}

static void words_come_through_as_they_are(void **unused) {
  (void)unused;
  static const char *const words[] = {
      "train",   "--resume",  "a b.yaml", "name=it's \"new\"",       "",  "$HOME", "`false`", "*",
      "a\\nb\n", "{1,2} ~ #", "[0]=x",    "--run=\xc3\xa9\t;&|<>()", "'", "!!",    "--",      "-"};
  begin("", "");
  write_script(words + 2, GW_COUNT_OF(words) - 2);
  assert_int_equal(submit(), 0);
  assert_words(words, GW_COUNT_OF(words));
}

static void expect_nodes(const GwClusterOptions *options, const char *hosts, const char *launcher) {
  GwSlurmNodes nodes;
  assert_ok(gw_slurm_nodes(options, &nodes));
  if (hosts) {
    assert_string_equal(nodes.hosts, hosts);
    assert_string_equal(nodes.shell, "srun --overlap --nodes=1 --ntasks=1 --nodelist={host}");
    assert_int_equal(strncmp(nodes.launcher, "srun ", 5), 0);
    assert_non_null(strstr(nodes.launcher, launcher));
  } else {
    assert_null(nodes.hosts);
  }
  gw_slurm_nodes_deinit(&nodes);
}

static void a_job_of_several_nodes_says_which(void **unused) {
  (void)unused;
  char path[PATH_SIZE + 32], *before = strdup(getenv("PATH"));
  GwClusterOptions options = {.ranks = 3};
  GwSlurmNodes nodes;
  begin("", "");
  snprintf(path, sizeof path, "%s:/usr/bin:/bin", folder);
  assert_int_equal(setenv("PATH", path, 1), 0);
  expect_nodes(&options, NULL, NULL);
  options.slurm = (GwSlurmAllocation){.nodes = "n1 n2", .node_count = 1, .tasks = 3};
  expect_nodes(&options, NULL, NULL);
  options.slurm.node_count = options.slurm.processors = 2;
  expect_nodes(&options, "n1:2,n2:2",
               "--nodelist={names} --ntasks={ranks} --ntasks-per-node={slots} --cpus-per-task=2");
  options.train.threads = 5;
  expect_nodes(&options, "n1:2,n2:2", "--cpus-per-task=5");
  options = (GwClusterOptions){.ranks = 5, .slurm = {.nodes = "n1 n2", .node_count = 2}};
  expect_nodes(&options, "n1:3,n2:3", "--cpus-per-task=");
  write_program("scontrol", "#!/bin/bash\nexit 1\n");
  assert_fails(GW_IO, "n1 n2", gw_slurm_nodes(&options, &nodes));
  write_program("scontrol", "#!/bin/bash\nexit 0\n");
  assert_fails(GW_IO, "n1 n2", gw_slurm_nodes(&options, &nodes));
  assert_int_equal(setenv("PATH", before, 1), 0);
  free(before);
}

/* Runs the script; signals reach the shell once godwit has started. Checks what scontrol heard. */
static void assert_asked(const char *state, const char *signals, int code, const char *asked) {
  size_t size;
  write_program("state", state);
  assert_int_equal(shell("cd %s && rm -f words asked && export PATH=$PWD:$PATH SLURM_JOB_ID=7; "
                         "bash script & "
                         "until [ -s words ]; do sleep 0.01; done; "
                         "for name in %s; do kill -$name $!; sleep 0.05; done; wait $!",
                         folder, signals),
                   code);
  char *heard = content("asked", &size);
  assert_string_equal(heard, asked);
  free(heard);
}

static void a_run_that_is_stopped_is_requeued(void **unused) {
  (void)unused;
  begin("trap 'sleep 0.2; exit 75' USR1", forever);
  write_script(NULL, 0);
  assert_asked("RUNNING\n", "USR1", 75, "requeue 7\n");
  assert_asked("RUNNING\n", "TERM", 75, "requeue 7\n");
  assert_asked("RUNNING\n", "USR1 USR1 TERM", 75, "requeue 7\n");
}

static void one_that_was_cancelled_is_not(void **unused) {
  (void)unused;
  begin("trap 'exit 75' USR1", forever);
  write_script(NULL, 0);
  assert_asked("COMPLETING\n", "TERM", 75, "");
  assert_asked("", "TERM", 75, "");
}

static void one_that_has_ended_is_not(void **unused) {
  (void)unused;
  begin("trap 'exit 0' USR1", forever);
  write_script(NULL, 0);
  assert_asked("RUNNING\n", "USR1", 0, "");
  begin("", "exit 1");
  write_script(NULL, 0);
  assert_asked("RUNNING\n", "", 1, "");
  begin("", "kill -KILL $$");
  write_script(NULL, 0);
  assert_asked("RUNNING\n", "", 137, "");
}

static void a_run_says_how_many_processors(void **unused) {
  (void)unused;
  static const char *const arguments[] = {"r.yaml"};
  GwRecipe recipe = {.name = "r"};
  GwClusterOptions options = {.train = {.recipe = &recipe, .threads = 3}, .ranks = 4};
  char *text;
  assert_ok(gw_slurm_script(&options, arguments, 1, &text));
  assert_non_null(strstr(text, "--ntasks=4\n"));
  assert_non_null(strstr(text, "--cpus-per-task=3\n"));
  assert_non_null(strstr(text, "/test_slurm train --resume r.yaml)\n"));
  free(text);
  options = (GwClusterOptions){.train = {.recipe = &recipe}, .ranks = 1 << 20};
  assert_ok(gw_slurm_script(&options, arguments, 1, &text));
  assert_non_null(strstr(text, "--cpus-per-task=1\n"));
  free(text);
  options.ranks = 0;
  assert_ok(gw_slurm_script(&options, arguments, 1, &text));
  assert_non_null(strstr(text, "--ntasks=1\n"));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(its_options_are_the_runs),
      cmocka_unit_test(words_come_through_as_they_are),
      cmocka_unit_test(a_job_of_several_nodes_says_which),
      cmocka_unit_test(a_run_that_is_stopped_is_requeued),
      cmocka_unit_test(one_that_was_cancelled_is_not),
      cmocka_unit_test(one_that_has_ended_is_not),
      cmocka_unit_test(a_run_says_how_many_processors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
