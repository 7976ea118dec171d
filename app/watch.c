/* godwit watch RUN: a run's progress as it grows, and its numbers for Prometheus. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "godwit/runs.h"

static bool is_alive(const GwRunStatus *status) {
  return status->state == GW_RUN_RUNNING || status->state == GW_RUN_STALLED;
}

static void print_line(const GwRunStatus *s) {
  printf("%-11s  step %" PRId64 "/%" PRId64, gw_run_state_name(s->state), s->step, s->until);
  if (s->has_step) printf("  loss %.4f  %.0f tokens/s", s->loss, s->tokens_per_second);
  if (s->has_validation)
    printf("  validation %.4f (step %" PRId64 ")", s->validation_loss, s->validation_step);
  char text[GW_CLI_DURATION];
  if (is_alive(s) && s->has_step) printf("  %s left", gw_cli_duration(s->seconds_left, text));
  if (s->state != GW_RUN_RUNNING) printf("  last written %s ago", gw_cli_duration(s->age, text));
  printf("\n");
}

static GwStatus print_metrics(const GwRunStatus *status) {
  char *text = NULL;
  GW_TRY(gw_run_prometheus(status, &text));
  fputs(text, stdout);
  free(text);
  return GW_OK;
}

/* `prometheus`: a file, "-" for standard output, or NULL. */
static GwStatus tell(const GwRunStatus *status, const char *prometheus) {
  bool metrics_only = prometheus && strcmp(prometheus, "-") == 0;
  if (prometheus && !metrics_only) GW_TRY(gw_run_prometheus_save(status, prometheus));
  if (metrics_only)
    GW_TRY(print_metrics(status));
  else
    print_line(status);
  if (fflush(stdout) == 0) return GW_OK;
  return gw_fail(GW_IO, "cannot write to standard output: %s", strerror(errno));
}

static GwStatus watch(const char *run, const char *prometheus, bool once, int32_t interval) {
  for (;;) {
    GwRunStatus status;
    GW_TRY(gw_run_status(run, &status));
    GW_TRY(tell(&status, prometheus));
    if (once || !is_alive(&status)) return GW_OK;
    nanosleep(&(struct timespec){.tv_sec = interval}, NULL);
  }
}

int gw_command_watch(int argc, char **argv) {
  const char *prometheus = NULL;
  int32_t interval = 10;
  bool once = false;
  const GwOption options[] = {
      {"once", NULL, "tell once and end", GW_OPTION_FLAG, &once, 0, 0},
      {"interval", "SECONDS", "between two lines", GW_OPTION_I32, &interval, 1, 86400},
      {"prometheus", "FILE", "also write the numbers for Prometheus; -: print them instead",
       GW_OPTION_TEXT, &prometheus, 0, 0},
  };
  const GwCommand command = {
      .name = "watch",
      .usage = "RUN [options]",
      .summary =
          "Tells how far a run is, a line now and then, until nobody trains it any more:\n"
          "running, stalled (has written nothing for a while), finished, interrupted (can be\n"
          "gone on with), crashed or untrained. The run is not disturbed. The file for\n"
          "Prometheus is whole at every moment, for node_exporter's textfile collector.",
      .example = "godwit watch runs/demo\n"
                 "godwit watch runs/demo --once --prometheus -",
      .options = options,
      .option_count = (int)(sizeof options / sizeof options[0]),
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  GwStatus status = watch(arguments.positionals[0], prometheus, once, interval);
  return status == GW_OK ? 0 : gw_cli_failed(status);
}
