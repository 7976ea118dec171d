/* godwit help: the list of commands; and, for the build, manual pages and shell completion. These
 * come from the very tables that commands are parsed by: each command is called once, only to say
 * what it declares. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "command_table.h"
#include "manual.h"

enum { PATH_BYTES = 4096 };

/* Has `describe` see every command that people use. */
static void go_through(GwCliDescribe *describe, void *context,
                       void (*before)(void *context, const GwCommandRow *row)) {
  gw_cli_describe(describe, context);
  for (int i = 0; i < gw_command_count; i++) {
    char name[64], *argv[] = {name, NULL};
    if (!gw_command_rows[i].summary[0]) continue;
    snprintf(name, sizeof name, "%s", gw_command_rows[i].name);
    if (before) before(context, &gw_command_rows[i]);
    gw_command_rows[i].run(1, argv);
  }
  gw_cli_describe(NULL, NULL);
}

/* ---- manual pages ---- */

typedef struct {
  const char *dir;
  const GwCommandRow *row;
  GwStatus status; /* of the first page that could not be written */
} Manual;

static void set_row(void *context, const GwCommandRow *row) { ((Manual *)context)->row = row; }

/* `command` NULL: the overview. */
static GwStatus write_page(const Manual *manual, const GwCommand *command) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/godwit%s%s.1", manual->dir, command ? "-" : "",
                        command ? command->name : "");
  if (length >= (int)sizeof path)
    return gw_fail(GW_INVALID, "%.60s...: the path is too long", manual->dir);
  FILE *file = fopen(path, "w");
  if (!file) return gw_fail(GW_IO, "%s: cannot write: %s", path, strerror(errno));
  if (command)
    gw_manual_page(file, command, manual->row->summary);
  else
    gw_manual_overview(file);
  bool bad = ferror(file) != 0;
  if (fclose(file) == 0 && !bad) return GW_OK;
  return gw_fail(GW_IO, "%s: cannot write: %s", path, strerror(errno));
}

static void page_of(void *context, const GwCommand *command) {
  Manual *manual = context;
  if (manual->status == GW_OK) manual->status = write_page(manual, command);
}

static GwStatus write_manual(const char *dir) {
  Manual manual = {.dir = dir};
  GW_TRY(write_page(&manual, NULL));
  go_through(page_of, &manual, set_row);
  return manual.status;
}

/* ---- completion ---- */

static void complete(void *context, const GwCommand *command) {
  ((const GwShell *)context)->command(stdout, command);
}

static GwStatus print_completion(const char *name) {
  GwShell shell = strcmp(name, "bash") == 0 ? gw_shell_bash : gw_shell_zsh;
  shell.begin(stdout);
  go_through(complete, &shell, NULL);
  shell.end(stdout);
  if (fflush(stdout) == 0) return GW_OK;
  return gw_fail(GW_IO, "cannot write to standard output: %s", strerror(errno));
}

int gw_command_help(int argc, char **argv) {
  const char *dir = NULL, *shell = NULL;
  const GwOption options[] = {
      {"man", "DIR", "write manual pages there", GW_OPTION_TEXT, &dir, 0, 0},
      {"completion", "bash|zsh", "print a completion script", GW_OPTION_CHOICE, &shell, 0, 0},
  };
  const GwCommand command = {
      .name = "help",
      .usage = "[options]",
      .summary = "Lists the commands; with an option, what an installation needs.",
      .example =
          "godwit help --completion bash > ~/.local/share/bash-completion/completions/godwit",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!dir && !shell) gw_command_table_help(stdout);
  GwStatus status = dir ? write_manual(dir) : GW_OK;
  if (status == GW_OK && shell) status = print_completion(shell);
  return status == GW_OK ? 0 : gw_cli_failed(status);
}
