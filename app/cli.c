/* The option parser of cli.h: one pass over argv, values through one function per type. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "godwit/suggest.h"

enum { OPTIONS_MAX = 64 };

bool gw_cli_color(void) {
  const char *no_color = getenv("NO_COLOR");
  return isatty(STDERR_FILENO) && (!no_color || !*no_color);
}

static void print_error_line(const char *text) {
  const char *paint = gw_cli_color() ? "\033[31m" : "", *plain = *paint ? "\033[0m" : "";
  fprintf(stderr, "%serror:%s %s\n", paint, plain, text);
}

bool gw_cli_parse_recipe(const GwCommand *command, int argc, char **argv, GwRecipe *out,
                         int *exit_code) {
  GwArguments arguments;
  if (!gw_cli_parse(command, argc, argv, &arguments, exit_code)) return false;
  GwStatus status =
      gw_recipe_load(arguments.positionals[0], arguments.overrides, arguments.override_count, out);
  if (status != GW_OK) *exit_code = gw_cli_failed(status);
  return status == GW_OK;
}

void gw_cli_leave_signals(void) {
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGUSR1, SIG_IGN);
}

int gw_cli_failed(GwStatus status) {
  const char *message = gw_error_message();
  print_error_line(*message ? message : gw_status_text(status));
  return gw_status_exit_code(status);
}

int gw_cli_misuse(const char *command_name, const char *format, ...) {
  char message[1024], text[1200];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  snprintf(text, sizeof text, "%s; see `godwit %s --help`", message, command_name);
  print_error_line(text);
  return gw_status_exit_code(GW_USAGE);
}

int gw_cli_print_json(json_t *object) {
  char *line = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
  json_decref(object);
  if (!line) return gw_cli_failed(gw_fail(GW_MEMORY, "no memory to print the result as JSON"));
  bool printed = puts(line) >= 0 && fflush(stdout) == 0;
  free(line);
  if (printed) return 0;
  return gw_cli_failed(gw_fail(GW_IO, "cannot write to standard output: %s", strerror(errno)));
}

const char *gw_cli_duration(double seconds, char out[GW_CLI_DURATION]) {
  if (seconds < 120)
    snprintf(out, GW_CLI_DURATION, "%.0f s", seconds);
  else if (seconds < 7200)
    snprintf(out, GW_CLI_DURATION, "%.0f min", seconds / 60);
  else if (seconds < 172800)
    snprintf(out, GW_CLI_DURATION, "%.1f h", seconds / 3600);
  else
    snprintf(out, GW_CLI_DURATION, "%.1f d", seconds / 86400);
  return out;
}

GwOption gw_cli_option_json(bool *json) {
  const char *help = "print one JSON object instead of text";
  return (GwOption){"json", NULL, help, GW_OPTION_FLAG, json, 0, 0};
}

GwOption gw_cli_option_threads(int32_t *threads) {
  return (GwOption){"threads", "N", "0: all", GW_OPTION_I32, threads, 0, 1024};
}

GwOption gw_cli_option_hang(double *seconds) {
  const char *help = "a rank without progress for so long hangs; without it 1, or 4 steps if more";
  return (GwOption){"hang-after", "SECONDS", help, GW_OPTION_F64, seconds, 0.1, 1e5};
}

GwOption gw_cli_option_isa(const char **isa) {
  const char *help = "generic, avx2 or avx512; without it the best";
  return (GwOption){"isa", "NAME", help, GW_OPTION_TEXT, isa, 0, 0};
}

GwOption gw_cli_option_backend(const char **backend) {
  const char *help = "the same result, much slower with reference";
  return (GwOption){"backend", "cpu|reference", help, GW_OPTION_CHOICE, backend, 0, 0};
}

/* " (default X)" for a value that is set before parsing; nothing for zeros and flags. */
static void print_default(FILE *out, const GwOption *option) {
  switch (option->type) {
  case GW_OPTION_FLAG:
  case GW_OPTION_LIST: break;
  case GW_OPTION_TEXT:
  case GW_OPTION_CHOICE: {
    const char *text = *(const char **)option->value;
    if (text) fprintf(out, " (default %s)", text);
    break;
  }
  case GW_OPTION_I32:
    if (*(int32_t *)option->value)
      fprintf(out, " (default %" PRId32 ")", *(int32_t *)option->value);
    break;
  case GW_OPTION_I64:
    if (*(int64_t *)option->value)
      fprintf(out, " (default %" PRId64 ")", *(int64_t *)option->value);
    break;
  case GW_OPTION_U64:
    if (*(uint64_t *)option->value)
      fprintf(out, " (default %" PRIu64 ")", *(uint64_t *)option->value);
    break;
  case GW_OPTION_F64:
    if (*(double *)option->value > 0) fprintf(out, " (default %g)", *(double *)option->value);
    break;
  }
}

void gw_cli_print_option_help(FILE *out, const GwOption *option) {
  fputs(option->help, out);
  print_default(out, option);
}

/* Each line of `text`, indented by two blanks. */
static void print_indented(const char *text) {
  while (*text) {
    int length = (int)strcspn(text, "\n");
    printf("  %.*s\n", length, text);
    text += length + (text[length] == '\n');
  }
}

static void print_help(const GwCommand *command) {
  printf("usage: godwit %s %s\n\n%s\n\noptions:\n", command->name, command->usage,
         command->summary);
  for (int i = 0; i < command->option_count; i++) {
    const GwOption *option = &command->options[i];
    char left[80];
    snprintf(left, sizeof left, "--%s %s", option->name, option->argument ? option->argument : "");
    printf("  %-24s ", left);
    gw_cli_print_option_help(stdout, option);
    printf("\n");
  }
  printf("  %-24s %s\n", "--help", "print this text");
  printf("\nexample:\n");
  print_indented(command->example);
}

static const GwOption *find_option(const GwCommand *command, const char *name, size_t length) {
  for (int i = 0; i < command->option_count; i++) {
    const char *known = command->options[i].name;
    if (strlen(known) == length && memcmp(known, name, length) == 0) return &command->options[i];
  }
  return NULL;
}

static int unknown_option(const GwCommand *command, const char *name, size_t length) {
  char word[64];
  snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60), name);
  const char *names[OPTIONS_MAX + 1] = {"help"};
  int count = 1;
  for (int i = 0; i < command->option_count && count <= OPTIONS_MAX; i++)
    names[count++] = command->options[i].name;
  const char *similar = gw_similar(word, names, count);
  if (similar)
    return gw_cli_misuse(command->name, "unknown option --%s; did you mean --%s?", word, similar);
  return gw_cli_misuse(command->name, "unknown option --%s", word);
}

static bool in_range(const GwOption *option, double value) {
  if (option->min == 0 && option->max == 0) return true;
  return value >= option->min && value <= option->max;
}

static bool read_integer(const GwOption *option, const char *text) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (isspace((unsigned char)*text) || !*text || *end || errno || !in_range(option, (double)value))
    return false;
  if (option->type == GW_OPTION_I64) {
    *(int64_t *)option->value = value;
    return true;
  }
  if (value < INT32_MIN || value > INT32_MAX) return false;
  *(int32_t *)option->value = (int32_t)value;
  return true;
}

static bool read_unsigned(const GwOption *option, const char *text) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (!isdigit((unsigned char)*text) || *end || errno) return false;
  *(uint64_t *)option->value = value;
  return true;
}

static bool read_real(const GwOption *option, const char *text) {
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  if (isspace((unsigned char)*text) || !*text || *end || errno) return false;
  bool finite = value >= -DBL_MAX && value <= DBL_MAX;
  if (!finite || !in_range(option, value)) return false;
  *(double *)option->value = value;
  return true;
}

static bool read_choice(const GwOption *option, const char *text) {
  size_t length = strlen(text);
  for (const char *word = option->argument; *word;) {
    size_t size = strcspn(word, "|");
    if (size == length && memcmp(word, text, size) == 0) {
      *(const char **)option->value = text;
      return true;
    }
    word += size + (word[size] == '|');
  }
  return false;
}

static bool read_item(GwOptionList *list, const char *text) {
  if (list->count == GW_OPTION_LIST_MAX) return false;
  list->items[list->count++] = text;
  return true;
}

static bool read_value(const GwOption *option, const char *text) {
  switch (option->type) {
  case GW_OPTION_FLAG: *(bool *)option->value = true; return true;
  case GW_OPTION_TEXT: *(const char **)option->value = text; return true;
  case GW_OPTION_LIST: return read_item(option->value, text);
  case GW_OPTION_CHOICE: return read_choice(option, text);
  case GW_OPTION_I32:
  case GW_OPTION_I64: return read_integer(option, text);
  case GW_OPTION_U64: return read_unsigned(option, text);
  case GW_OPTION_F64: return read_real(option, text);
  }
  return false;
}

static int bad_value(const GwCommand *command, const GwOption *option, const char *text) {
  if (option->type == GW_OPTION_CHOICE)
    return gw_cli_misuse(command->name, "--%s takes %s, not '%s'", option->name, option->argument,
                         text);
  if (option->type == GW_OPTION_LIST)
    return gw_cli_misuse(command->name, "--%s can be given %d times at most", option->name,
                         GW_OPTION_LIST_MAX);
  const char *kind = option->type == GW_OPTION_F64 ? "a number" : "a whole number";
  if (option->min == 0 && option->max == 0)
    return gw_cli_misuse(command->name, "--%s takes %s, not '%s'", option->name, kind, text);
  return gw_cli_misuse(command->name, "--%s takes %s from %.15g to %.15g, not '%s'", option->name,
                       kind, option->min, option->max, text);
}

/* Reads the option at argv[*index] (with its value, which may be the next argument). */
static int read_option(const GwCommand *command, int argc, char **argv, int *index) {
  const char *name = argv[*index] + 2;
  size_t length = strcspn(name, "=");
  const GwOption *option = find_option(command, name, length);
  if (!option) return unknown_option(command, name, length);
  const char *text = name[length] == '=' ? name + length + 1 : NULL;
  if (option->type == GW_OPTION_FLAG && text)
    return gw_cli_misuse(command->name, "--%s takes no value", option->name);
  if (option->type != GW_OPTION_FLAG && !text) {
    if (*index + 1 >= argc)
      return gw_cli_misuse(command->name, "--%s needs a value: --%s %s", option->name, option->name,
                           option->argument);
    text = argv[++*index];
  }
  return read_value(option, text) ? 0 : bad_value(command, option, text);
}

/* key=value, where the key looks like a recipe's: letters, digits, '_' and '.'. */
static bool is_override(const char *text) {
  size_t length = strcspn(text, "=");
  if (length == 0 || text[length] != '=') return false;
  for (size_t i = 0; i < length; i++)
    if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '.') return false;
  return true;
}

static int check_positionals(const GwCommand *command, int count, char **argv) {
  if (count < command->positional_min)
    return gw_cli_misuse(command->name, "an argument is missing: godwit %s %s", command->name,
                         command->usage);
  if (command->positional_max >= 0 && count > command->positional_max)
    return gw_cli_misuse(command->name, "unexpected argument '%s'", argv[command->positional_max]);
  return 0;
}

static GwCliDescribe *describe; /* NULL: commands are run */
static void *describe_context;

void gw_cli_describe(GwCliDescribe *how, void *context) {
  describe = how;
  describe_context = context;
}

/* Positionals are gathered at the front of argv and overrides right behind them; both together are
 * never longer than what was read, so the arguments still to come are not touched. */
bool gw_cli_parse(const GwCommand *command, int argc, char **argv, GwArguments *out,
                  int *exit_code) {
  int positionals = 0, overrides = 0;
  bool options_ended = false;
  if (describe) {
    describe(describe_context, command);
    *exit_code = 0;
    return false;
  }
  for (int i = 1; i < argc; i++) {
    char *text = argv[i];
    if (!options_ended && strcmp(text, "--") == 0) {
      options_ended = true;
    } else if (!options_ended && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
      print_help(command);
      *exit_code = 0;
      return false;
    } else if (!options_ended && strncmp(text, "--", 2) == 0) {
      *exit_code = read_option(command, argc, argv, &i);
      if (*exit_code != 0) return false;
    } else if (!options_ended && text[0] == '-' && text[1]) {
      *exit_code = gw_cli_misuse(command->name, "unknown option %s; options begin with --", text);
      return false;
    } else if (!options_ended && command->takes_overrides && is_override(text)) {
      argv[positionals + overrides++] = text;
    } else {
      memmove(argv + positionals + 1, argv + positionals, sizeof *argv * (size_t)overrides);
      argv[positionals++] = text;
    }
  }
  *exit_code = check_positionals(command, positionals, argv);
  if (*exit_code != 0) return false;
  *out = (GwArguments){(const char *const *)argv, positionals,
                       (const char *const *)argv + positionals, overrides};
  return true;
}
