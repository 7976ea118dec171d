/* godwit hash: the hash of a run's full training state, once every byte of it was verified. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/inspect.h"
#include "godwit/log.h"

static int print_json(const GwRunHash *found) {
  char hash[24];
  snprintf(hash, sizeof hash, "0x%016" PRIx64, found->state_hash);
  return gw_cli_print_json(json_pack("{s:s, s:I, s:s}", "checkpoint", found->path, "step",
                                     (json_int_t)found->step, "state_hash", hash));
}

int gw_command_hash(int argc, char **argv) {
  bool json = false;
  const GwOption options[] = {gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "hash",
      .usage = "RUN|CHECKPOINT [--json]",
      .summary = "Prints the 64-bit hash of the full training state (parameters, moments, step)\n"
                 "alone on the last line of output. Two runs with equal hashes are in the same\n"
                 "state, bit for bit. The whole checkpoint is verified; of a run, the newest one\n"
                 "that verifies is taken. Nothing is changed.",
      .example = "godwit hash runs/demo\ngodwit hash runs/demo/checkpoints/step-00000500",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  static GwRunHash found;
  GwStatus status = gw_run_hash(arguments.positionals[0], &found);
  if (status != GW_OK) return gw_cli_failed(status);
  if (json) return print_json(&found);
  gw_log(GW_LOG_INFO, "%s, step %" PRId64, found.path, found.step);
  printf("0x%016" PRIx64 "\n", found.state_hash);
  return 0;
}
