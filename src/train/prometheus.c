/* Prometheus's text format, a family of samples at a time: what it is, its type, its one sample. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/runs.h"
#include "os/fs.h"

/* In the value of a label backslashes, quotes and line ends are escaped. */
static void print_label(FILE *out, const char *text) {
  fputs("run=\"", out);
  for (; *text; text++) {
    if (*text == '\n')
      fputs("\\n", out);
    else if (*text == '\\' || *text == '"')
      fprintf(out, "\\%c", *text);
    else
      fputc(*text, out);
  }
  fputc('"', out);
}

static void print_head(FILE *out, const char *name, const char *type, const char *help) {
  fprintf(out, "# HELP godwit_%s %s\n# TYPE godwit_%s %s\n", name, help, name, type);
}

static void print_gauge(FILE *out, const GwRunStatus *status, const char *name, const char *help,
                        double value) {
  print_head(out, name, "gauge", help);
  fprintf(out, "godwit_%s{", name);
  print_label(out, status->name);
  fprintf(out, "} %.17g\n", value);
}

static void print_counter(FILE *out, const GwRunStatus *status, const char *name, const char *help,
                          int64_t value) {
  print_head(out, name, "counter", help);
  fprintf(out, "godwit_%s{", name);
  print_label(out, status->name);
  fprintf(out, "} %" PRId64 "\n", value);
}

static void print_states(FILE *out, const GwRunStatus *status) {
  print_head(out, "state", "gauge", "1 for the state that the run is in, 0 for the others.");
  for (int i = 0; i < GW_RUN_STATES; i++) {
    fprintf(out, "godwit_state{");
    print_label(out, status->name);
    fprintf(out, ",state=\"%s\"} %d\n", gw_run_state_name((GwRunState)i),
            status->state == (GwRunState)i);
  }
}

static void print_all(FILE *out, const GwRunStatus *s) {
  print_gauge(out, s, "step", "Steps made.", (double)s->step);
  print_gauge(out, s, "steps", "Steps wanted.", (double)s->until);
  if (s->has_step) {
    print_gauge(out, s, "loss", "Training loss of the last step, nats per token.", s->loss);
    print_gauge(out, s, "learning_rate", "Learning rate of the last step.", s->lr);
    print_gauge(out, s, "gradient_norm", "Gradient norm of the last step, before clipping.",
                s->gradient_norm);
    print_gauge(out, s, "tokens_per_second", "Speed of the last step.", s->tokens_per_second);
    print_gauge(out, s, "step_seconds", "Mean time of the last steps.", s->step_seconds);
  }
  if (s->has_validation) {
    print_gauge(out, s, "validation_loss", "Loss of the newest validation, nats per token.",
                s->validation_loss);
    if (s->bits_per_byte > 0)
      print_gauge(out, s, "validation_bits_per_byte", "The same in bits per byte of text.",
                  s->bits_per_byte);
  }
  print_counter(out, s, "faults_total", "Faults that the run has met.", s->faults);
  print_counter(out, s, "restarts_total", "Times that the run was gone on with.", s->restarts);
  print_gauge(out, s, "last_update_timestamp_seconds",
              "When the run has last written something, seconds since 1970.", s->updated);
  print_states(out, s);
}

GwStatus gw_run_prometheus(const GwRunStatus *status, char **out) {
  char *text = NULL;
  size_t size = 0;
  FILE *file = open_memstream(&text, &size);
  if (file) print_all(file, status);
  bool bad = !file || ferror(file) != 0;
  if (file && fclose(file) == 0 && !bad) {
    *out = text;
    return GW_OK;
  }
  free(text);
  return gw_fail(GW_MEMORY, "no memory for the metrics of %s", status->name);
}

GwStatus gw_run_prometheus_save(const GwRunStatus *status, const char *path) {
  char *text = NULL;
  GW_TRY(gw_run_prometheus(status, &text));
  GwStatus result = gw_fs_write_atomic(gw_fs_disk(), path, text, strlen(text));
  free(text);
  return result;
}
