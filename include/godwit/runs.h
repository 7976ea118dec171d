/* Runs seen from outside: how far they are, as `godwit watch` and `godwit runs` tell. All is read
 * from the files of the run's folder; nothing is changed, and a run at work is not disturbed. */
#ifndef GODWIT_RUNS_H
#define GODWIT_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/status.h"

typedef enum {
  GW_RUN_UNTRAINED, /* a recipe without a beginning, such as an import */
  GW_RUN_RUNNING,   /* a process has it, and writes */
  GW_RUN_STALLED,   /* a process has it, but has written nothing for ten steps' time, 60 s at least
                       * (600 s before the first step) */
  GW_RUN_FINISHED,  /* all steps of the recipe are made */
  GW_RUN_INTERRUPTED, /* ended before, with a checkpoint */
  GW_RUN_CRASHED,     /* nobody has it, and it did not end by itself; or by a numeric fault */
  GW_RUN_STATES
} GwRunState;

/* "running" */
const char *gw_run_state_name(GwRunState state);

typedef struct {
  char name[256]; /* of its folder */
  GwRunState state;
  int64_t step, steps; /* made; of the recipe */
  int64_t until;       /* the last step wanted by whoever trains it, or did */
  bool has_step;       /* at least one is made; the next six are of the last one */
  double loss;         /* nats per token */
  double lr, gradient_norm, tokens_per_second;
  double step_seconds; /* mean of the last steps, with what comes between them */
  double seconds_left; /* up to `until`, at that speed */
  bool has_validation; /* of the newest: */
  int64_t validation_step;
  double validation_loss, bits_per_byte; /* the latter 0 where there is no tokenizer */
  int64_t faults;                        /* that the supervisor met, and numeric faults */
  int64_t restarts;                      /* times that it was gone on with */
  double updated;                        /* when something was written last, seconds since 1970 */
  double age;                            /* seconds since then */
} GwRunStatus;

/* GW_NOT_FOUND where `path` holds no recipe.yaml; GW_CORRUPT names the file and line that cannot be
 * read. */
GwStatus gw_run_status(const char *path, GwRunStatus *out);

/* The status as Prometheus's text format, version 0.0.4 (its documentation, "Exposition formats"),
 * every sample with the label run="NAME". *out is malloc'd. */
GwStatus gw_run_prometheus(const GwRunStatus *status, char **out);
/* Writes that text to `path`, which is whole at every moment, as node_exporter's textfile collector
 * wants it. */
GwStatus gw_run_prometheus_save(const GwRunStatus *status, const char *path);

typedef struct {
  char path[4096];
  char broken[512]; /* why it cannot be read; empty: it can */
  GwRunStatus status;
} GwRunEntry;

/* Visits every folder of `dir` in the order of names, or `dir` itself where that is a run. A run
 * that cannot be read is visited as broken. GW_NOT_FOUND where there is no such folder. */
GwStatus gw_runs_list(const char *dir, GwStatus (*visit)(void *context, const GwRunEntry *entry),
                      void *context);

typedef struct {
  int64_t step;
  double loss; /* nats per token */
} GwCurvePoint;

/* In ascending order of steps, each at most once. */
typedef struct {
  GwCurvePoint *points;
  size_t count, capacity;
} GwCurve;

/* The losses of all steps made, and of all validations. Freed by gw_curve_deinit. */
GwStatus gw_run_curves(const char *path, GwCurve *training, GwCurve *validation);
void gw_curve_deinit(GwCurve *curve);

#endif
