/* godwit program: prints the program that a recipe stands for, and what it costs. */
#include <stdio.h>

#include "cli.h"
#include "godwit/inspect.h"

int gw_command_program(int argc, char **argv) {
  GwProgramOptions program = {.program = "lane"};
  const GwOption options[] = {{"program", "lane|loss|decode",
                               "a lane's training step, the forward pass, or one new token",
                               GW_OPTION_CHOICE, &program.program, 0, 0},
                              {"data", "DIR", "the corpus that sets a vocabulary size of 0",
                               GW_OPTION_TEXT, &program.data_dir, 0, 0},
                              {"threads", "N", "of the run whose memory is worked out; 0: all",
                               GW_OPTION_I32, &program.threads, 0, 1024}};
  const GwCommand command = {
      .name = "program",
      .usage = "RECIPE [key=value ...] [options]",
      .summary =
          "Prints the program that a recipe stands for: every value and op with shapes,\n"
          "FLOPs, bytes and memory offset, then totals: parameters, FLOPs per token, and\n"
          "the peak memory of a training run by class. Nothing is computed. The text parses\n"
          "back to the same program; what stands behind ';' is for people.",
      .example = "godwit program recipes/gpt2-124m.yaml | tail -n 30\n"
                 "godwit program recipes/demo.yaml model.width=256 --program decode",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
      .takes_overrides = true,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  program.recipe = arguments.positionals[0];
  program.overrides = arguments.overrides;
  program.override_count = arguments.override_count;
  GwStatus status = gw_program_show(&program, stdout);
  if (status != GW_OK) return gw_cli_failed(status);
  if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
  return gw_cli_failed(gw_fail(GW_IO, "cannot write to standard output"));
}
