/* godwit <command> ...: looks the command up in commands.def and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "godwit/log.h"
#include "godwit/suggest.h"

#define X(name, summary) int gw_command_##name(int argc, char **argv);
#include "commands.def"
#undef X

static const struct {
  const char *name, *summary;
  int (*run)(int argc, char **argv);
} commands[] = {
#define X(name, summary) {#name, summary, gw_command_##name},
#include "commands.def"
#undef X
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file) {
  fprintf(file, "godwit pre-trains GPT language models.\n\n"
                "usage: godwit <command> [options] [key=value ...]\n\ncommands:\n");
  for (int i = 0; i < COMMAND_COUNT; i++)
    if (commands[i].summary[0])
      fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
  fprintf(file, "\n`godwit <command> --help` explains a command; `godwit --version` prints the "
                "version.\nexit status: 0 done, 1 failed, 2 misuse\n\nexample:\n"
                "  godwit doctor\n");
}

static int unknown_command(const char *word) {
  const char *names[COMMAND_COUNT];
  for (int i = 0; i < COMMAND_COUNT; i++) names[i] = commands[i].name;
  const char *similar = gw_similar(word, names, COMMAND_COUNT);
  if (similar)
    return gw_cli_failed(
        gw_fail(GW_USAGE, "unknown command '%s'; did you mean '%s'?", word, similar));
  return gw_cli_failed(
      gw_fail(GW_USAGE, "unknown command '%s'; `godwit --help` lists the commands", word));
}

int main(int argc, char **argv) {
  gw_log_configure(GW_LOG_INFO, gw_cli_color());
  if (argc < 2) {
    print_help(stderr);
    return gw_status_exit_code(GW_USAGE);
  }
  const char *word = argv[1];
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
    print_help(stdout);
    return 0;
  }
  if (strcmp(word, "--version") == 0) {
    printf("godwit %s\n", GODWIT_VERSION);
    return 0;
  }
  for (int i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(word, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  return unknown_command(word);
}
