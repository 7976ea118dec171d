/* godwit agent: watches the ranks of one of several machines; the supervisor starts it. */
#include "cli.h"
#include "godwit/cluster.h"

int gw_command_agent(int argc, char **argv) {
  GwAgentOptions agent = {0};
  const GwOption options[] = {
      {"job", "NAME", "what the names of the run's shared memory begin with", GW_OPTION_TEXT,
       &agent.job, 0, 0},
      {"snapshots", "N", "the run whose snapshots are looked after", GW_OPTION_U64,
       &agent.snapshots, 0, 0},
      {"fresh", NULL, "throw away the snapshots that are there", GW_OPTION_FLAG, &agent.fresh, 0,
       0},
  };
  const GwCommand command = {
      .name = "agent",
      .usage = "--job NAME --snapshots N [options]",
      .summary = "Watches a machine's ranks. `godwit train --hosts` starts it over ssh.",
      .example = "godwit train recipes/shakespeare-cpu.yaml --ranks 4 --hosts one:2,two:2",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!agent.job) return gw_cli_misuse("agent", "--job is needed; the supervisor gives it");
  gw_cli_leave_signals();
  GwStatus status = gw_cluster_agent(&agent);
  return status == GW_OK ? 0 : gw_cli_failed(status);
}
