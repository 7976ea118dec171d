/* Training under the supervisor: makes the run's folder, has the driver start the ranks and look
 * after them, and hands on what rank 0 reports. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cluster/driver.h"
#include "cluster/job.h"
#include "cluster/slurm.h"
#include "comm/world.h"
#include "data/sampler.h"
#include "godwit/cluster.h"
#include "godwit/log.h"
#include "guard/injection.h"
#include "os/probe.h"
#include "state/snapshot.h"
#include "train/run_data.h"
#include "train/run_folder.h"

typedef struct {
  const GwClusterOptions *options;
  GwRecipe recipe;
  GwCorpus *corpus;
  GwRunFolder folder;
  char run_dir[sizeof(((GwTrainReport *)NULL)->run_dir)];
  char job[GW_SHARED_NAME_MAX], report_name[GW_SHARED_NAME_MAX];
  uint64_t run;    /* of snapshots */
  GwShared report; /* a GwTrainReport, rank 0's */
  GwHostList list;
  GwHosts *hosts; /* NULL: this machine */
} Cluster;

/* On several machines something has to start the ranks. */
static const char *launcher_of(const GwClusterOptions *options) {
  const char *library = gw_world_mpi_library();
  if (options->launcher || !options->hosts) return options->launcher;
  if (library && strncmp(library, "MPICH", 5) == 0)
    return "mpiexec.mpich -n {ranks} -hosts {hosts}";
  return "mpirun.openmpi -n {ranks} --host {hosts}";
}

static bool is_local(const GwClusterOptions *options) {
  const char *launcher = launcher_of(options);
  return !launcher || strcmp(launcher, "local") == 0;
}

/* ---- what the driver asks ---- */

/* The epoch that was fenced last, in RUN/epoch. */
static GwStatus read_epoch(const Cluster *c, uint64_t *epoch) {
  char path[GW_PATH_MAX], *text;
  size_t size;
  GW_TRY(gw_fs_path(path, "%s/epoch", c->run_dir));
  *epoch = 0;
  if (!c->folder.fs->exists(c->folder.fs, path)) return GW_OK;
  GW_TRY(gw_fs_read_all(c->folder.fs, path, 64, &text, &size));
  *epoch = strtoull(text, NULL, 10);
  free(text);
  return GW_OK;
}

/* How long the run's last step took, as its metrics say; 0: not known. */
static uint64_t last_step_ns(const Cluster *c) {
  char path[GW_PATH_MAX];
  if (gw_fs_path(path, "%s/metrics.jsonl", c->run_dir) != GW_OK) return 0;
  json_t *line = gw_jsonl_last(c->folder.fs, path);
  double seconds = json_number_value(json_object_get(line, "seconds"));
  json_decref(line);
  return seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

static GwStatus past(void *self, GwSupervisorPast *out) {
  const Cluster *c = self;
  *out = (GwSupervisorPast){.step_ns = last_step_ns(c)};
  GW_TRY(read_epoch(c, &out->epoch));
  out->checkpoint = gw_checkpoint_newest_step(c->folder.fs, c->folder.checkpoints);
  return GW_OK;
}

static GwStatus fence(void *self, uint64_t epoch) {
  const Cluster *c = self;
  char path[GW_PATH_MAX], text[32];
  GW_TRY(gw_fs_path(path, "%s/epoch", c->run_dir));
  int length = snprintf(text, sizeof text, "%" PRIu64 "\n", epoch);
  return gw_fs_write_atomic(c->folder.fs, path, text, (size_t)length);
}

/* "a:2,b:1": the hosts that have ranks, and how many; `numbers` false: "a,b". *out is malloc'd. */
static GwStatus write_hosts(const Cluster *c, const GwPlacement *placement, bool numbers,
                            char **out) {
  size_t size;
  FILE *file = open_memstream(out, &size);
  if (!file) return gw_fail(GW_MEMORY, "no memory for the hosts");
  for (int32_t first = 0, end; first < placement->rank_count; first = end) {
    int32_t host = placement->host_of[first];
    for (end = first; end < placement->rank_count && placement->host_of[end] == host;) end++;
    fprintf(file, "%s%s", first > 0 ? "," : "", c->list.names[host]);
    if (numbers) fprintf(file, ":%d", end - first);
  }
  bool bad = ferror(file) != 0;
  return fclose(file) != 0 || bad ? gw_fail(GW_MEMORY, "no memory for the hosts") : GW_OK;
}

static GwStatus add_launcher(const Cluster *c, const GwPlacement *placement, GwArgv *out) {
  char ranks[16], slots[16], *hosts = NULL, *names = NULL;
  GwStatus status = GW_OK;
  snprintf(ranks, sizeof ranks, "%d", placement->rank_count);
  snprintf(slots, sizeof slots, "%d", placement->slots);
  if (c->hosts) status = write_hosts(c, placement, true, &hosts);
  if (c->hosts && status == GW_OK) status = write_hosts(c, placement, false, &names);
  const GwArgvKey keys[] = {
      {"{ranks}", ranks}, {"{slots}", slots}, {"{hosts}", hosts}, {"{names}", names}};
  if (status == GW_OK)
    status = gw_argv_add_words(out, launcher_of(c->options), keys, c->hosts ? 4 : 2);
  free(hosts);
  free(names);
  return status;
}

static GwStatus add_options(const GwTrainOptions *train, GwArgv *out) {
  if (train->threads > 0) GW_TRY(gw_argv_add(out, "--threads=%d", train->threads));
  if (train->isa) GW_TRY(gw_argv_add(out, "--isa=%s", train->isa));
  if (train->backend) GW_TRY(gw_argv_add(out, "--backend=%s", train->backend));
  if (train->abft) GW_TRY(gw_argv_add(out, "--abft"));
  if (train->tensorboard) GW_TRY(gw_argv_add(out, "--tensorboard=%s", train->tensorboard));
  if (train->steps >= 0) GW_TRY(gw_argv_add(out, "--steps=%" PRId64, train->steps));
  return GW_OK;
}

static GwStatus add_faults(const GwClusterOptions *options, GwArgv *out) {
  for (int32_t i = 0; i < options->inject_count; i++)
    GW_TRY(gw_argv_add(out, "--inject=%s", options->inject[i]));
  return GW_OK;
}

static GwStatus command(void *self, const GwLaunch *launch, int32_t rank, GwArgv *out) {
  const Cluster *c = self;
  int32_t ranks = launch->placement->rank_count;
  char program[GW_PATH_MAX];
  GW_TRY(gw_process_program(program, sizeof program));
  if (!is_local(c->options)) GW_TRY(add_launcher(c, launch->placement, out));
  GW_TRY(gw_argv_add(out, "%s", program));
  GW_TRY(gw_argv_add(out, "rank"));
  GW_TRY(gw_argv_add(out, "--run=%s", c->run_dir));
  GW_TRY(gw_argv_add(out, "--data=%s", c->recipe.data.dir));
  GW_TRY(gw_argv_add(out, "--job=%s", c->job));
  GW_TRY(gw_argv_add(out, "--epoch=%" PRIu64, launch->epoch));
  GW_TRY(gw_argv_add(out, "--ranks=%d", ranks));
  if (rank >= 0) GW_TRY(gw_argv_add(out, "--rank=%d", rank));
  if (launch->from == GW_FROM_SNAPSHOT)
    GW_TRY(gw_argv_add(out, "--snapshot=%" PRId64, launch->step));
  if (c->options->ranks_per_node > 0)
    GW_TRY(gw_argv_add(out, "--ranks-per-node=%d", c->options->ranks_per_node));
  GW_TRY(add_faults(c->options, out));
  return add_options(&c->options->train, out);
}

typedef struct {
  void (*found)(void *driver, const GwEvent *event);
  void *driver;
} Finding;

static GwStatus tell_found(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  (void)bytes;
  const Finding *finding = context;
  finding->found(finding->driver, &(GwEvent){.kind = GW_EVENT_FOUND,
                                             .step = info->step,
                                             .share = info->share,
                                             .shares = info->shares});
  return GW_OK;
}

/* What an earlier supervisor's ranks have left in memory; a new run begins with nothing. */
static GwStatus holds(void *self, void (*found)(void *driver, const GwEvent *event), void *driver) {
  const Cluster *c = self;
  Finding finding = {found, driver};
  uint64_t epoch;
  if (c->hosts) { /* each has told what it holds when it came */
    for (GwEvent event; gw_hosts_event(c->hosts, &event);) found(driver, &event);
    return GW_OK;
  }
  GW_TRY(read_epoch(c, &epoch));
  if (epoch == 0) return gw_snapshot_remove_all(c->run);
  return gw_snapshot_find(c->run, tell_found, &finding);
}

/* Of other machines the ranks find out. */
static bool held(void *self, int64_t step) {
  const Cluster *c = self;
  return c->hosts || gw_snapshot_held(c->run, step);
}

/* Hosts that are lost and come back. */
static bool outside(void *self, GwEvent *out) {
  const Cluster *c = self;
  return c->hosts && gw_hosts_event(c->hosts, out);
}

static void report(void *self, const GwAction *action, const char *text) {
  Cluster *c = self;
  bool fault = action->kind == GW_ACTION_REPORT;
  if (action->kind != GW_ACTION_FINISH) gw_log(fault ? GW_LOG_WARNING : GW_LOG_INFO, "%s", text);
  gw_run_folder_journal(&c->folder, fault ? "fault" : "supervisor", action->step,
                        json_pack("{s:I, s:i, s:s, s:s*}", "epoch", (json_int_t)action->epoch,
                                  "rank", (int)action->rank, "what", text, "kind",
                                  fault ? gw_fault_word(action->fault) : NULL));
}

static void recovered(void *self, uint64_t epoch, int64_t step) {
  Cluster *c = self;
  gw_run_folder_journal(&c->folder, "recovered", step,
                        json_pack("{s:I}", "epoch", (json_int_t)epoch));
}

/* ---- a run ---- */

/* The ranks parse them again, for themselves. */
static GwStatus check_faults(const GwClusterOptions *options) {
  GwInjection *faults;
  GW_TRY(gw_injections_parse(options->inject, options->inject_count, options->ranks, &faults));
  free(faults);
  return GW_OK;
}

/* A launcher that is not there would only be tried again and again. */
static GwStatus check_program(const char *option, const char *line) {
  char program[GW_PATH_MAX], path[GW_PATH_MAX];
  line += strspn(line, " ");
  int length = (int)strcspn(line, " ");
  snprintf(program, sizeof program, "%.*s", length, line);
  bool there = strchr(program, '/') ? access(program, X_OK) == 0
                                    : gw_probe_program(program, path, sizeof path);
  return there ? GW_OK
               : gw_fail(GW_NOT_FOUND,
                         "--%s: there is no program '%s'; install it, or say what else to use "
                         "(`godwit doctor` lists what there is)",
                         option, program);
}

static GwStatus check_programs(const GwClusterOptions *options) {
  if (!is_local(options)) GW_TRY(check_program("launcher", launcher_of(options)));
  return options->hosts && options->shell ? check_program("shell", options->shell) : GW_OK;
}

static GwStatus open_run(Cluster *c) {
  const GwTrainOptions *train = &c->options->train;
  GW_TRY(check_programs(c->options));
  GW_TRY(gw_run_data_open(train, &c->recipe, &c->corpus));
  gw_corpus_describe(c->corpus);
  GW_TRY(gw_run_data_folder(train, &c->recipe, c->run_dir));
  if (c->options->ranks > c->recipe.train.lanes)
    return gw_fail(GW_USAGE,
                   "--ranks %d is more than the recipe's %d lanes: train.lanes says into how many "
                   "parts a step can be cut",
                   c->options->ranks, c->recipe.train.lanes);
  GW_TRY(check_faults(c->options));
  if (c->options->hosts) GW_TRY(gw_host_list_parse(c->options->hosts, c->options->ranks, &c->list));
  GwSampler sampler; /* what it would say at each rank */
  GW_TRY(gw_sampler_init(c->corpus, c->recipe.data.seed, c->recipe.train.lanes,
                         c->recipe.train.lane_batch, c->recipe.model.context, &sampler));
  GW_TRY(gw_run_folder_open(gw_fs_disk(), c->run_dir, &c->recipe, c->corpus, train, &c->folder));
  GW_TRY(gw_job_name(c->run_dir, c->job));
  gw_job_clear(c->job);
  c->run = gw_job_run(c->job, gw_recipe_identity(&c->recipe));
  if (c->list.count > 0) /* rank 0's agent will send it */
    return gw_shared_private(sizeof(GwTrainReport), &c->report);
  gw_job_report(c->job, c->report_name);
  return gw_shared_create(c->report_name, sizeof(GwTrainReport), &c->report);
}

static void close_run(Cluster *c) {
  gw_shared_close(&c->report);
  if (c->report_name[0]) gw_shared_remove(c->report_name);
  if (c->job[0]) gw_job_clear(c->job);
  if (c->run != 0 && c->list.count == 0) (void)gw_snapshot_remove_empty(c->run);
  gw_host_list_deinit(&c->list);
  gw_run_folder_close(&c->folder);
  gw_corpus_close(c->corpus);
}

static GwStatus open_hosts(Cluster *c) {
  uint64_t epoch;
  if (c->list.count == 0) return GW_OK;
  GW_TRY(read_epoch(c, &epoch));
  GwHostsOptions options = {.list = &c->list,
                            .shell = c->options->shell ? c->options->shell : "ssh {host}",
                            .job = c->job,
                            .snapshots = c->run,
                            .fresh = epoch == 0};
  return gw_hosts_open(&options, &c->hosts);
}

/* Fewer ranks than asked for will do where hosts may be lost. */
static GwDriverOptions driver_options(const Cluster *c, const char *boards) {
  const GwTrainOptions *train = &c->options->train;
  GwDriverOptions options = {.supervisor = gw_supervisor_defaults(),
                             .kind = is_local(c->options) ? GW_LAUNCH_LOCAL : GW_LAUNCH_LAUNCHER,
                             .prefix = boards,
                             .hosts = c->hosts,
                             .stop = train->stop};
  options.supervisor.ranks = c->options->ranks;
  options.supervisor.ranks_min = c->hosts ? 1 : c->options->ranks;
  options.supervisor.hosts = c->hosts ? c->list.count : 1;
  options.supervisor.slots = c->hosts ? c->list.slots : c->options->ranks;
  options.supervisor.last_step = train->steps >= 0 ? train->steps : c->recipe.train.steps;
  options.supervisor.tries = 3;
  if (c->options->hang_seconds > 0) {
    options.supervisor.hang_ns = (uint64_t)(c->options->hang_seconds * 1e9);
    options.supervisor.hang_steps = 0;
  }
  return options;
}

static GwStatus supervise(Cluster *c, GwTrainReport *out) {
  char boards[GW_SHARED_NAME_MAX];
  gw_job_boards(c->job, boards);
  GwDriverOptions options = driver_options(c, boards);
  GwDriverHooks hooks = {.self = c,
                         .past = past,
                         .fence = fence,
                         .command = command,
                         .report = report,
                         .recovered = recovered,
                         .holds = holds,
                         .held = held,
                         .outside = outside};
  GwDriverResult result;
  GW_TRY(gw_driver_run(&options, &hooks, &result));
  if (c->hosts)
    gw_hosts_forget(c->hosts);
  else
    (void)gw_snapshot_remove_all(c->run); /* all is in the last checkpoint */
  if (!c->hosts || !gw_hosts_report(c->hosts, out)) memcpy(out, c->report.data, sizeof *out);
  if (out->run_dir[0]) return GW_OK;
  return gw_fail(GW_IO, "%s: the ranks have ended without a report", c->run_dir);
}

/* What the user has not said, of a job of several nodes Slurm says. */
static GwStatus look_around(GwClusterOptions *options, GwSlurmNodes *nodes) {
  if (options->hosts || options->launcher || options->ranks_per_node > 0) return GW_OK;
  GW_TRY(gw_slurm_nodes(options, nodes));
  if (!nodes->hosts) return GW_OK;
  options->hosts = nodes->hosts;
  options->launcher = nodes->launcher;
  options->shell = nodes->shell;
  gw_log(GW_LOG_INFO, "the nodes of this Slurm job: %s", nodes->hosts);
  return GW_OK;
}

GwStatus gw_cluster_train(const GwClusterOptions *options, GwTrainReport *out) {
  GwClusterOptions own = *options;
  GwSlurmNodes nodes = {0};
  Cluster c = {.options = &own, .recipe = *options->train.recipe, .folder = {.lock = {-1}}};
  GwStatus status = look_around(&own, &nodes);
  if (status == GW_OK) status = open_run(&c);
  if (status == GW_OK) status = open_hosts(&c);
  if (status == GW_OK) status = supervise(&c, out);
  gw_hosts_close(c.hosts);
  close_run(&c);
  gw_slurm_nodes_deinit(&nodes);
  return status;
}
