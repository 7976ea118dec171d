/* godwit rank: one rank of a run, as the supervisor starts it; nobody else needs it. */
#include "cli.h"
#include "godwit/cluster.h"

int gw_command_rank(int argc, char **argv) {
  GwRankOptions rank = {.train = {.steps = -1}, .rank = -1, .ranks = 1, .snapshot = -1};
  GwOptionList inject = {.count = 0};
  int32_t threads = 0;
  const GwOption options[] = {
      {"run", "DIR", "the run's folder", GW_OPTION_TEXT, &rank.train.run_dir, 0, 0},
      {"data", "DIR", "its data", GW_OPTION_TEXT, &rank.train.data_dir, 0, 0},
      {"job", "NAME", "what the names of its shared memory begin with", GW_OPTION_TEXT, &rank.job,
       0, 0},
      {"epoch", "N", "the launch that it belongs to", GW_OPTION_U64, &rank.epoch, 0, 0},
      {"snapshot", "N", "go on from the snapshot of step N", GW_OPTION_I64, &rank.snapshot, 0,
       1e15},
      {"ranks", "N", "how many there are", GW_OPTION_I32, &rank.ranks, 1, 1e6},
      {"rank", "R", "which one it is; without it MPI says so", GW_OPTION_I32, &rank.rank, 0, 1e6},
      {"ranks-per-node", "K", "so many ranks count as a node", GW_OPTION_I32, &rank.ranks_per_node,
       1, 1e6},
      {"steps", "N", "stop after step N", GW_OPTION_I64, &rank.train.steps, 0, 1e15},
      {"tensorboard", "DIR", "where event files go", GW_OPTION_TEXT, &rank.train.tensorboard, 0, 0},
      {"inject", "FAULT", "a fault that the run is to suffer", GW_OPTION_LIST, &inject, 0, 0},
      gw_cli_option_threads(&threads),
      gw_cli_option_isa(&rank.train.isa),
      gw_cli_option_backend(&rank.train.backend),
      {"abft", NULL, "verify matrix products", GW_OPTION_FLAG, &rank.train.abft, 0, 0},
  };
  const GwCommand command = {
      .name = "rank",
      .usage = "--run DIR --job NAME [options]",
      .summary = "One rank of a run. `godwit train --ranks N` starts it.",
      .example = "godwit train recipes/shakespeare-cpu.yaml --ranks 2",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!rank.train.run_dir || !rank.job)
    return gw_cli_misuse("rank", "--run and --job are needed; the supervisor gives them");
  rank.train.threads = threads;
  rank.inject = inject.items;
  rank.inject_count = inject.count;
  gw_cli_leave_signals();
  return gw_cluster_rank(&rank);
}
