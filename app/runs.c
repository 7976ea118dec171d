/* godwit runs [DIR...]: all runs of a folder at a glance, or two of them side by side. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "godwit/runs.h"
#include "runs_compare.h"

typedef struct {
  GwRunEntry *items;
  size_t count, capacity;
} Entries;

static GwStatus add_entry(void *context, const GwRunEntry *entry) {
  Entries *entries = context;
  if (entries->count == entries->capacity) {
    size_t capacity = entries->capacity ? 2 * entries->capacity : 16;
    GwRunEntry *items = realloc(entries->items, capacity * sizeof *items);
    if (!items) return gw_fail(GW_MEMORY, "no memory for %zu runs", capacity);
    entries->items = items;
    entries->capacity = capacity;
  }
  entries->items[entries->count++] = *entry;
  return GW_OK;
}

/* ---- order: by a number, ascending; runs without it come last; equal ones stay by name ---- */

static const char *sort_key;

static bool is_key(const char *word) { return strcmp(sort_key, word) == 0; }

static bool sort_value(const GwRunEntry *entry, double *out) {
  const GwRunStatus *s = &entry->status;
  if (entry->broken[0]) return false;
  *out = is_key("state")             ? (double)s->state
         : is_key("step")            ? (double)s->step
         : is_key("loss")            ? s->loss
         : is_key("validation_loss") ? s->validation_loss
         : is_key("bits_per_byte")   ? s->bits_per_byte
         : is_key("speed")           ? s->tokens_per_second
                                     : s->age;
  if (is_key("validation_loss")) return s->has_validation;
  if (is_key("bits_per_byte")) return s->bits_per_byte > 0;
  return s->has_step || !(is_key("loss") || is_key("speed"));
}

static int by_key(const void *a, const void *b) {
  double value_a = 0, value_b = 0;
  bool has_a = !is_key("name") && sort_value(a, &value_a);
  bool has_b = !is_key("name") && sort_value(b, &value_b);
  if (has_a != has_b) return has_a ? -1 : 1;
  if (has_a && value_a < value_b) return -1;
  if (has_a && value_a > value_b) return 1;
  return strcmp(((const GwRunEntry *)a)->path, ((const GwRunEntry *)b)->path);
}

/* ---- text ---- */

enum { NUMBER_BYTES = 32 };

/* "-" where there is no such number. */
static const char *number(bool there, const char *format, double value, char out[NUMBER_BYTES])
    __attribute__((format(printf, 2, 0)));
static const char *number(bool there, const char *format, double value, char out[NUMBER_BYTES]) {
  if (!there) return "-";
  snprintf(out, NUMBER_BYTES, format, value);
  return out;
}

static void print_row(const GwRunEntry *entry, int width) {
  const GwRunStatus *s = &entry->status;
  char step[48], loss[NUMBER_BYTES], validation[NUMBER_BYTES], bits[NUMBER_BYTES],
      speed[NUMBER_BYTES], age[GW_CLI_DURATION];
  if (entry->broken[0]) {
    printf("%-*s  broken       %s\n", width, entry->path, entry->broken);
    return;
  }
  snprintf(step, sizeof step, "%" PRId64 "/%" PRId64, s->step, s->steps);
  printf("%-*s  %-11s %15s %8s %10s %9s %10s %8s\n", width, entry->path,
         gw_run_state_name(s->state), step, number(s->has_step, "%.4f", s->loss, loss),
         number(s->has_validation, "%.4f", s->validation_loss, validation),
         number(s->bits_per_byte > 0, "%.4f", s->bits_per_byte, bits),
         number(s->has_step, "%.0f", s->tokens_per_second, speed), gw_cli_duration(s->age, age));
}

static int print_text(const Entries *entries) {
  int width = (int)strlen("run");
  for (size_t i = 0; i < entries->count; i++) {
    int length = (int)strlen(entries->items[i].path);
    if (length > width) width = length;
  }
  printf("%-*s  %-11s %15s %8s %10s %9s %10s %8s\n", width, "run", "state", "step", "loss",
         "validation", "bits/byte", "tokens/s", "age");
  for (size_t i = 0; i < entries->count; i++) print_row(&entries->items[i], width);
  return 0;
}

/* ---- JSON ---- */

static json_t *real_or_null(bool there, double value) {
  return there ? json_real(value) : json_null();
}

static json_t *entry_json(const GwRunEntry *entry) {
  const GwRunStatus *s = &entry->status;
  if (entry->broken[0])
    return json_pack("{s:s, s:s, s:s}", "run", entry->path, "state", "broken", "reason",
                     entry->broken);
  return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:f}", "run", entry->path,
                   "state", gw_run_state_name(s->state), "step", (json_int_t)s->step, "steps",
                   (json_int_t)s->steps, "loss", real_or_null(s->has_step, s->loss),
                   "validation_loss", real_or_null(s->has_validation, s->validation_loss),
                   "bits_per_byte", real_or_null(s->bits_per_byte > 0, s->bits_per_byte),
                   "tokens_per_second", real_or_null(s->has_step, s->tokens_per_second), "faults",
                   (json_int_t)s->faults, "restarts", (json_int_t)s->restarts, "age_seconds",
                   s->age);
}

static int print_json(const Entries *entries) {
  json_t *runs = json_array();
  for (size_t i = 0; i < entries->count; i++)
    json_array_append_new(runs, entry_json(&entries->items[i]));
  return gw_cli_print_json(json_pack("{s:o}", "runs", runs));
}

static int list(const char *const *dirs, int count, bool json) {
  static const char *const usual[] = {"runs"};
  Entries entries = {.items = NULL};
  GwStatus status = GW_OK;
  if (count == 0) {
    dirs = usual;
    count = 1;
  }
  for (int i = 0; i < count && status == GW_OK; i++)
    status = gw_runs_list(dirs[i], add_entry, &entries);
  int code = 0;
  if (status == GW_OK && entries.count > 0)
    qsort(entries.items, entries.count, sizeof *entries.items, by_key);
  if (status != GW_OK)
    code = gw_cli_failed(status);
  else
    code = json ? print_json(&entries) : print_text(&entries);
  free(entries.items);
  return code;
}

int gw_command_runs(int argc, char **argv) {
  bool json = false, compare = false;
  sort_key = "name";
  const GwOption options[] = {
      {"sort", "name|state|step|loss|validation_loss|bits_per_byte|speed|age",
       "the order of the list", GW_OPTION_CHOICE, &sort_key, 0, 0},
      {"compare", NULL, "two runs: what differs in their recipes, and both losses side by side",
       GW_OPTION_FLAG, &compare, 0, 0},
      gw_cli_option_json(&json),
  };
  const GwCommand command = {
      .name = "runs",
      .usage = "[DIR...] [options] | --compare RUN RUN",
      .summary = "Lists the runs in folders (default runs) with their state, steps, losses, speed\n"
                 "and how long ago they have written something. A folder that cannot be read as\n"
                 "a run is listed as broken, with the reason.",
      .example = "godwit runs --sort validation_loss\n"
                 "godwit runs --compare runs/demo runs/again",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
      .positional_max = -1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!compare) return list(arguments.positionals, arguments.positional_count, json);
  if (arguments.positional_count != 2 || json)
    return gw_cli_misuse(command.name, "--compare takes two runs, and prints text only");
  return gw_runs_compare(arguments.positionals[0], arguments.positionals[1]);
}
