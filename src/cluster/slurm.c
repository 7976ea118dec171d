/* Printing the script, and what a job finds around it. What Slurm does with signals, and so what
 * the script must bear:
 *
 *   --signal=B:USR1@120   to the shell alone, up to a minute earlier than that
 *   scancel, preemption,  SIGTERM to all processes of the job, SIGKILL after KillWait (30 s); the
 *   the end of the time   job is COMPLETING by then
 *   scontrol requeue      the same, so it comes last */
#include "cluster/slurm.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"
#include "comm/world.h"
#include "godwit/cluster.h"
#include "os/fs.h"
#include "os/lines.h"
#include "os/process.h"

static const uint64_t ask_ns = UINT64_C(1000000000);

static const char options[] =
    "#!/bin/bash\n"
    "# Trains a run under Slurm until it is finished, in as many turns as that takes. Written by\n"
    "# godwit train --print-slurm; submit it where that was: sbatch FILE\n"
    "#SBATCH --job-name=%s\n"
    "#SBATCH --ntasks=%d\n"
    "#SBATCH --cpus-per-task=%d\n"
    "#SBATCH --time=24:00:00\n"
    "#SBATCH --signal=B:USR1@120\n"
    "#SBATCH --requeue\n"
    "#SBATCH --open-mode=append\n"
    "#SBATCH --output=%s-%%j.log\n\n";

static const char work[] =
    "# USR1 is the warning that the time is nearly over; TERM comes when the nodes are taken "
    "back.\n"
    "# godwit answers with a checkpoint. Once is enough, and this shell has to outlive it.\n"
    "trap 'trap \"\" USR1 TERM; kill -USR1 $!' USR1 TERM\n"
    "\"${command[@]}\" &\n"
    "wait $! # a signal ends this one early; the second has godwit's own answer\n"
    "wait $!\n"
    "code=$?\n\n"
    "# 75: a checkpoint was made before the run was finished. A job that is no longer running was\n"
    "# cancelled, and stays so, or is already put back into the queue.\n"
    "if [ $code -eq 75 ] &&\n"
    "  [ \"$(squeue --noheader --format=%T --job=\"$SLURM_JOB_ID\")\" = RUNNING ]; then\n"
    "  scontrol requeue \"$SLURM_JOB_ID\"\n"
    "fi\n"
    "exit $code\n";

static void make_plain(const char *name, size_t room, char *out) {
  snprintf(out, room, "%s", name);
  for (char *c = out; *c; c++)
    if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) *c = '-';
}

static bool is_plain(const char *word) {
  for (const char *c = word; *c; c++)
    if (!isalnum((unsigned char)*c) && !strchr("._-/=,:+@", *c)) return false;
  return *word != '\0';
}

/* The word as bash reads it back. */
static void add_word(FILE *file, const char *word) {
  if (is_plain(word)) {
    fputs(word, file);
    return;
  }
  fputc('\'', file);
  for (const char *c = word; *c; c++)
    if (*c == '\'')
      fputs("'\\''", file);
    else
      fputc(*c, file);
  fputc('\'', file);
}

GwStatus gw_slurm_write(const GwSlurmJob *job, char **out) {
  char name[64], *text = NULL;
  size_t size = 0;
  make_plain(job->name, sizeof name, name);
  FILE *file = open_memstream(&text, &size);
  if (!file) return gw_fail(GW_MEMORY, "no memory for a batch script");
  fprintf(file, options, name, job->tasks, job->processors, name);
  fputs("command=(", file);
  add_word(file, job->program);
  fputs(" train --resume", file);
  for (size_t i = 0; i < job->argument_count; i++) {
    fputc(' ', file);
    add_word(file, job->arguments[i]);
  }
  fputs(")\n\n", file);
  fputs(work, file);
  bool failed = ferror(file) != 0;
  if (fclose(file) != 0 || failed) {
    free(text);
    return gw_fail(GW_MEMORY, "no memory for a batch script");
  }
  *out = text;
  return GW_OK;
}

GwStatus gw_slurm_script(const GwClusterOptions *options, const char *const *arguments,
                         size_t argument_count, char **out) {
  char program[GW_PATH_MAX];
  int32_t tasks = options->ranks > 0 ? options->ranks : 1, processors = options->train.threads;
  if (processors == 0) processors = (int32_t)gw_max_i64(1, gw_processor_count() / tasks);
  GW_TRY(gw_process_program(program, sizeof program));
  GwSlurmJob job = {.name = options->train.recipe->name,
                    .program = program,
                    .arguments = arguments,
                    .argument_count = argument_count,
                    .tasks = tasks,
                    .processors = processors};
  return gw_slurm_write(&job, out);
}

/* ---- inside a job ---- */

/* The names in what Slurm writes as "n[1-3,7]", each with its slots. */
static GwStatus add_hosts(const char *list, int64_t slots, FILE *hosts) {
  GwArgv argv = {0};
  GwProcess process;
  GwLines lines = {0};
  int count = 0;
  GwStatus status = gw_argv_add_words(&argv, "scontrol show hostnames", NULL, 0);
  if (status == GW_OK) status = gw_argv_add(&argv, "%s", list);
  if (status == GW_OK)
    status = gw_process_start_talking(argv.items, NULL, &process, &lines.descriptor);
  gw_argv_clear(&argv);
  GW_TRY(status);
  while (status == GW_OK && !(lines.ended && process.ended)) {
    status = gw_process_wait(&process, 1, lines.ended ? -1 : lines.descriptor, ask_ns);
    if (status == GW_OK) status = gw_lines_read(&lines);
    for (char *line; status == GW_OK && (line = gw_lines_next(&lines)); count++)
      fprintf(hosts, "%s%s:%" PRId64, count > 0 ? "," : "", line, slots);
  }
  gw_process_kill(&process);
  gw_lines_deinit(&lines);
  close(lines.descriptor);
  if (status == GW_OK && (process.code != 0 || count == 0))
    return gw_fail(GW_IO, "scontrol does not say which nodes this job has: %s", list);
  return status;
}

/* By the wire-up that the MPI library knows; Slurm's own default may be none. */
static const char *mpi_option(void) {
  const char *library = gw_world_mpi_library();
  if (library && strncmp(library, "Open MPI", 8) == 0) return "--mpi=pmix ";
  if (library && strncmp(library, "MPICH", 5) == 0) return "--mpi=pmi2 ";
  return "";
}

GwStatus gw_slurm_nodes(const GwClusterOptions *options, GwSlurmNodes *out) {
  const GwSlurmAllocation *job = &options->slurm;
  int32_t nodes = job->node_count, processors = options->train.threads;
  size_t size;
  *out = (GwSlurmNodes){.shell = "srun --overlap --nodes=1 --ntasks=1 --nodelist={host}"};
  if (nodes < 2 || !job->nodes) return GW_OK;
  int64_t slots = gw_ceil_div(job->tasks > 0 ? job->tasks : options->ranks, nodes);
  if (processors == 0) processors = job->processors;
  if (processors == 0) processors = (int32_t)gw_max_i64(1, gw_processor_count() / slots);
  snprintf(out->launcher, sizeof out->launcher,
           "srun %s--nodelist={names} --ntasks={ranks} --ntasks-per-node={slots} "
           "--cpus-per-task=%" PRId32,
           mpi_option(), processors);
  FILE *hosts = open_memstream(&out->hosts, &size);
  if (!hosts) return gw_fail(GW_MEMORY, "no memory for the names of %d nodes", nodes);
  GwStatus status = add_hosts(job->nodes, slots, hosts);
  bool failed = ferror(hosts) != 0;
  if ((fclose(hosts) != 0 || failed) && status == GW_OK)
    status = gw_fail(GW_MEMORY, "no memory for the names of %d nodes", nodes);
  if (status != GW_OK) gw_slurm_nodes_deinit(out);
  return status;
}

void gw_slurm_nodes_deinit(GwSlurmNodes *nodes) {
  free(nodes->hosts);
  nodes->hosts = NULL;
}
