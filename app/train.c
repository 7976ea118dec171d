/* godwit train RECIPE: trains a run, or goes on with one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "godwit/cluster.h"
#include "godwit/log.h"

/* To the batch system that has sent SIGUSR1: start the run again. sysexits.h has the number for
 * failures that pass. */
enum { EXIT_UNFINISHED = 75 };

static volatile sig_atomic_t stop, warned;

/* The first signal asks for a clean end; a second one ends the process at once, but for SIGUSR1,
 * which may be repeated. */
static void on_signal(int number) {
  stop = 1;
  if (number == SIGUSR1)
    warned = 1;
  else
    signal(number, SIG_DFL);
}

static void catch_signals(void) {
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  signal(SIGUSR1, on_signal);
}

static void print_text(const GwTrainReport *report) {
  if (report->was_finished) {
    printf("%s is finished at step %lld: nothing to do (--steps N goes on)\n", report->run_dir,
           (long long)report->step);
    return;
  }
  printf("%s: %s at step %lld", report->run_dir, report->interrupted ? "stopped" : "done",
         (long long)report->step);
  if (report->has_loss) printf(", loss %.4f", report->loss);
  if (report->has_validation) printf(", validation loss %.4f", report->validation_loss);
  if (report->bits_per_byte > 0) printf(", %.4f bits per byte", report->bits_per_byte);
  printf(", %.0f tokens/s, state 0x%016llx\n", report->tokens_per_second,
         (unsigned long long)report->state_hash);
  if (report->interrupted) printf("go on with the same command and --resume\n");
}

static int print_json(const GwTrainReport *report) {
  char hash[19];
  snprintf(hash, sizeof hash, "0x%016llx", (unsigned long long)report->state_hash);
  json_t *loss = report->has_loss ? json_real(report->loss) : json_null();
  json_t *validation = report->has_validation ? json_real(report->validation_loss) : json_null();
  json_t *bits = report->bits_per_byte > 0 ? json_real(report->bits_per_byte) : json_null();
  return gw_cli_print_json(
      json_pack("{s:s, s:I, s:o, s:o, s:o, s:f, s:s, s:b, s:b}", "run", report->run_dir, "step",
                (json_int_t)report->step, "loss", loss, "validation_loss", validation,
                "bits_per_byte", bits, "tokens_per_second", report->tokens_per_second, "state_hash",
                hash, "interrupted", report->interrupted, "was_finished", report->was_finished));
}

static int train_and_print(const GwClusterOptions *options, bool json) {
  GwTrainReport report;
  GwStatus status =
      options->ranks > 0 ? gw_cluster_train(options, &report) : gw_train(&options->train, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  int code = 0;
  if (json)
    code = print_json(&report);
  else
    print_text(&report);
  return code == 0 && warned && report.interrupted ? EXIT_UNFINISHED : code;
}

/* A count that Slurm tells its jobs; 0 when it does not. */
static int32_t slurm_count(const char *name) {
  const char *text = getenv(name);
  long value = text ? strtol(text, NULL, 10) : 0;
  return value > 0 && value <= INT32_MAX ? (int32_t)value : 0;
}

static GwSlurmAllocation slurm_allocation(void) {
  return (GwSlurmAllocation){.nodes = getenv("SLURM_JOB_NODELIST"),
                             .node_count = slurm_count("SLURM_JOB_NUM_NODES"),
                             .tasks = slurm_count("SLURM_NTASKS"),
                             .processors = slurm_count("SLURM_CPUS_PER_TASK")};
}

/* The command line but for --print-slurm. */
typedef struct {
  const char **items;
  size_t count;
} Words;

static int print_slurm(const GwClusterOptions *options, const Words *words) {
  char *text;
  GwStatus status = gw_slurm_script(options, words->items, words->count, &text);
  if (status != GW_OK) return gw_cli_failed(status);
  fputs(text, stdout);
  free(text);
  return 0;
}

static bool needs_ranks(const GwClusterOptions *c, int32_t inject_count) {
  return c->launcher || c->hosts || c->ranks_per_node || c->hang_seconds > 0 || inject_count;
}

static int run_command(int argc, char **argv, const Words *words) {
  GwClusterOptions cluster = {.train = {.steps = -1, .stop = &stop}, .slurm = slurm_allocation()};
  GwTrainOptions *train = &cluster.train;
  GwOptionList inject = {.count = 0};
  int32_t threads = 0;
  bool json = false, slurm = false;
  const GwOption options[] = {
      {"data", "DIR", "prepared data or token files, instead of the recipe's", GW_OPTION_TEXT,
       &train->data_dir, 0, 0},
      {"run", "DIR", "the run's folder (default runs/NAME)", GW_OPTION_TEXT, &train->run_dir, 0, 0},
      {"resume", NULL, "go on from the last good checkpoint", GW_OPTION_FLAG, &train->resume, 0, 0},
      {"init-from", "RUN", "begin with the parameters of this run or checkpoint", GW_OPTION_TEXT,
       &train->init_from, 0, 0},
      {"steps", "N", "stop after step N, before or beyond the recipe's end", GW_OPTION_I64,
       &train->steps, 0, 1e15},
      {"tensorboard", "DIR", "a folder that gets event files for TensorBoard", GW_OPTION_TEXT,
       &train->tensorboard, 0, 0},
      {"ranks", "N", "train with N processes under a supervisor; the result is the same",
       GW_OPTION_I32, &cluster.ranks, 1, 1e6},
      {"launcher", "COMMAND", "what starts the ranks, {ranks} of them: \"mpirun -n {ranks}\"",
       GW_OPTION_TEXT, &cluster.launcher, 0, 0},
      {"hosts", "LIST", "the machines to train on, and how many ranks each takes: \"a:4,b:4\"",
       GW_OPTION_TEXT, &cluster.hosts, 0, 0},
      {"shell", "COMMAND", "how to run a command on {host} (default \"ssh {host}\")",
       GW_OPTION_TEXT, &cluster.shell, 0, 0},
      {"ranks-per-node", "K", "count every K ranks as a node of their own, to try it out",
       GW_OPTION_I32, &cluster.ranks_per_node, 1, 1e6},
      gw_cli_option_hang(&cluster.hang_seconds),
      {"inject", "FAULT", "break it on purpose, as \"kill:rank=2,step=40\"; see `godwit chaos`",
       GW_OPTION_LIST, &inject, 0, 0},
      gw_cli_option_threads(&threads),
      gw_cli_option_isa(&train->isa),
      gw_cli_option_backend(&train->backend),
      {"abft", NULL, "verify every matrix product against checksums (the bits are the same)",
       GW_OPTION_FLAG, &train->abft, 0, 0},
      {"print-slurm", NULL, "print a batch script for Slurm that does this; do nothing else",
       GW_OPTION_FLAG, &slurm, 0, 0},
      gw_cli_option_json(&json),
  };
  const GwCommand command = {
      .name = "train",
      .usage = "RECIPE [key=value ...] [options]",
      .summary =
          "Trains a model as RECIPE says and keeps everything in the run's folder. SIGINT and\n"
          "SIGTERM end it with a checkpoint and exit status 0, and so does SIGUSR1, but if\n"
          "that was before the last step the status is 75: to be gone on with (--resume).",
      .example = "godwit train recipes/shakespeare-cpu.yaml --data data/shakespeare "
                 "train.steps=500\n"
                 "godwit train runs/gpt2/recipe.yaml --init-from runs/gpt2 --run runs/tuned\n"
                 "godwit train recipes/shakespeare-cpu.yaml --ranks 2 --print-slurm > job.sh",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
      .positional_min = 1,
      .positional_max = 1,
      .takes_overrides = true,
  };
  GwRecipe recipe;
  int code = 0;
  catch_signals(); /* soon: until then they kill */
  if (!gw_cli_parse_recipe(&command, argc, argv, &recipe, &code)) return code;
  if (cluster.ranks == 0 && needs_ranks(&cluster, inject.count))
    return gw_cli_misuse("train", "--launcher, --hosts, --ranks-per-node, --hang-after and "
                                  "--inject go with --ranks N");
  if (cluster.shell && !cluster.hosts) return gw_cli_misuse("train", "--shell goes with --hosts");
  train->recipe = &recipe;
  cluster.inject = inject.items;
  cluster.inject_count = inject.count;
  train->threads = threads;
  return slurm ? print_slurm(&cluster, words) : train_and_print(&cluster, json);
}

/* Keeps the words as they are: parsing reorders them. */
int gw_command_train(int argc, char **argv) {
  Words words = {calloc((size_t)argc, sizeof *words.items), 0};
  if (!words.items) return gw_cli_failed(gw_fail(GW_MEMORY, "no memory for the arguments"));
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--print-slurm") != 0) words.items[words.count++] = argv[i];
  int code = run_command(argc, argv, &words);
  free(words.items);
  return code;
}
