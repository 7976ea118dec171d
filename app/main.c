/* godwit <command> ...: looks the command up in commands.def and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "command_table.h"
#include "godwit/log.h"
#include "godwit/suggest.h"

enum { COMMANDS_MAX = 64 };

static int unknown_command(const char *word) {
  const char *names[COMMANDS_MAX];
  int count = gw_command_count < COMMANDS_MAX ? gw_command_count : COMMANDS_MAX;
  for (int i = 0; i < count; i++) names[i] = gw_command_rows[i].name;
  const char *similar = gw_similar(word, names, count);
  if (similar)
    return gw_cli_failed(
        gw_fail(GW_USAGE, "unknown command '%s'; did you mean '%s'?", word, similar));
  return gw_cli_failed(
      gw_fail(GW_USAGE, "unknown command '%s'; `godwit --help` lists the commands", word));
}

int main(int argc, char **argv) {
  gw_log_configure(GW_LOG_INFO, gw_cli_color());
  if (argc < 2) {
    gw_command_table_help(stderr);
    return gw_status_exit_code(GW_USAGE);
  }
  const char *word = argv[1];
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
    gw_command_table_help(stdout);
    return 0;
  }
  if (strcmp(word, "--version") == 0) {
    printf("godwit %s\n", GODWIT_VERSION);
    return 0;
  }
  for (int i = 0; i < gw_command_count; i++)
    if (strcmp(word, gw_command_rows[i].name) == 0)
      return gw_command_rows[i].run(argc - 1, argv + 1);
  return unknown_command(word);
}
