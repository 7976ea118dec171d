/* The command line, declared instead of coded: a command states its options as a table, and the
 * parser gives it values, help and errors from that table.
 *
 *   --name value, --name=value, flags, key=value overrides (commands with a recipe only),
 *   positionals in between, and "--" after which everything is positional.
 *
 * A command is one file app/NAME.c with `int gw_command_NAME(int argc, char **argv)` (argv[0] is
 * the command's name) and one row in app/commands.def. It returns the exit code: 0 done, 1 failed,
 * 2 misuse. Results go to stdout; everything else to stderr.
 *
 *   static const GwOption options[] = {
 *       {"out", "DIR", "where the tokens go", GW_OPTION_TEXT, &out_dir, 0, 0}, ...};
 *   static const GwCommand command = {.name = "prepare", .usage = "--out DIR INPUT...", ...};
 *   GwArguments arguments;
 *   int code = 0;
 *   if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
 *   GwStatus status = gw_prepare(...);
 *   if (status != GW_OK) return gw_cli_failed(status);
 */
#ifndef GW_CLI_H
#define GW_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "godwit/recipe.h"
#include "godwit/status.h"

typedef enum {
  GW_OPTION_FLAG,   /* bool *: set to true */
  GW_OPTION_TEXT,   /* const char **: borrowed from argv */
  GW_OPTION_LIST,   /* GwOptionList *: as TEXT, may be given several times */
  GW_OPTION_CHOICE, /* const char **: one of the words in `argument`, "cpu|reference" */
  GW_OPTION_I32,    /* int32_t * */
  GW_OPTION_I64,    /* int64_t * */
  GW_OPTION_U64,    /* uint64_t *: no range */
  GW_OPTION_F64     /* double *: finite */
} GwOptionType;

enum { GW_OPTION_LIST_MAX = 1024 };
typedef struct {
  const char *items[GW_OPTION_LIST_MAX];
  int32_t count;
} GwOptionList;

typedef struct {
  const char *name;     /* without dashes */
  const char *argument; /* its name in the help, "DIR"; NULL for a flag */
  const char *help;     /* one line; the default is added by the help */
  GwOptionType type;
  void *value;     /* holds the default before, the given value after; see the type */
  double min, max; /* allowed range of I32, I64 and F64, inclusive; both 0: any */
} GwOption;

typedef struct {
  const char *name;
  const char *usage;   /* what follows the name: "RECIPE [key=value ...] [options]" */
  const char *summary; /* one or two sentences */
  const char *example; /* whole command lines, separated by newlines */
  const GwOption *options;
  int option_count;
  int positional_min, positional_max; /* max -1: any number */
  bool takes_overrides;               /* key=value arguments are collected, not positional */
} GwCommand;

/* What is left after the options; both lists lie in argv, which is reordered. */
typedef struct {
  const char *const *positionals;
  int positional_count;
  const char *const *overrides;
  int override_count;
} GwArguments;

/* Options that several commands have; none changes what is computed. */
GwOption gw_cli_option_json(bool *json);
GwOption gw_cli_option_threads(int32_t *threads);
GwOption gw_cli_option_isa(const char **isa);
GwOption gw_cli_option_backend(const char **backend);
GwOption gw_cli_option_hang(double *seconds);

/* true: go on. false: --help was printed or the command line was wrong (one "error:" line was
 * printed); return *exit_code. */
bool gw_cli_parse(const GwCommand *command, int argc, char **argv, GwArguments *out,
                  int *exit_code);

/* The same for a command whose word is a recipe's path: loads it, changed as the arguments say. */
bool gw_cli_parse_recipe(const GwCommand *command, int argc, char **argv, GwRecipe *out,
                         int *exit_code);

/* For manual pages and completion: from now on commands are not run, but `describe` gets what they
 * declare, from gw_cli_parse, which then ends them with 0. */
typedef void GwCliDescribe(void *context, const GwCommand *command);
void gw_cli_describe(GwCliDescribe *describe, void *context);

/* The line of help of an option, with its default. */
void gw_cli_print_option_help(FILE *out, const GwOption *option);

/* For what the supervisor starts. Whoever wants a job to end signals all its processes; the others
 * do as the supervisor says. If they died of the signal, no checkpoint could be made. */
void gw_cli_leave_signals(void);

/* Prints "error: " and the message of the latest gw_fail on stderr; returns the exit code. */
int gw_cli_failed(GwStatus status);

/* Prints "error: <message>; see `godwit NAME --help`" on stderr; returns 2. */
int gw_cli_misuse(const char *command_name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints `object` as one line on stdout and releases it; NULL means that it could not be built.
 * Returns the exit code. Made for json_pack("{s:I, s:f}", ...). */
int gw_cli_print_json(json_t *object);

/* "45 s", "12 min", "3.4 h", "2.1 d" into `out`, which is returned. */
enum { GW_CLI_DURATION = 32 };
const char *gw_cli_duration(double seconds, char out[GW_CLI_DURATION]);

/* Whether stderr may be coloured: it is a terminal and NO_COLOR (no-color.org) is unset or empty.
 */
bool gw_cli_color(void);

#endif
