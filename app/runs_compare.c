/* The comparison of two runs as text: recipes key by key, a plot of both losses, a table. */
#include "runs_compare.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "godwit/runs.h"

enum { PLOT_ROWS = 20, PLOT_COLUMNS = 72, TABLE_ROWS = 12, PATH_BYTES = 4096 };

typedef struct {
  const char *path;
  GwRecipe recipe;
  GwCurve training, validation;
} Side;

static GwStatus open_side(const char *path, Side *side) {
  char recipe[PATH_BYTES];
  side->path = path;
  if (snprintf(recipe, sizeof recipe, "%s/recipe.yaml", path) >= (int)sizeof recipe)
    return gw_fail(GW_INVALID, "%.60s...: the path is too long", path);
  GW_TRY(gw_recipe_load(recipe, NULL, 0, &side->recipe));
  return gw_run_curves(path, &side->training, &side->validation);
}

static void close_side(Side *side) {
  gw_curve_deinit(&side->training);
  gw_curve_deinit(&side->validation);
}

/* ---- recipes ---- */

static void print_difference(void *context, const char *key, const char *a, const char *b) {
  int *count = context;
  if ((*count)++ == 0) printf("\n%-34s %-26s %s\n", "recipe", "a", "b");
  printf("%-34s %-26s %s\n", key, a, b);
}

static void print_differences(const Side *a, const Side *b) {
  int count = 0;
  gw_recipe_compare(&a->recipe, &b->recipe, print_difference, &count);
  if (count == 0) printf("\nthe recipes are the same\n");
}

/* ---- plot ---- */

typedef struct {
  int64_t last;     /* step at the right edge */
  double low, high; /* losses at the lower and upper edges */
  char cells[PLOT_ROWS][PLOT_COLUMNS];
} Plot;

/* The mean loss of each column's steps; what has none is below 0. */
static void average(const GwCurve *curve, int64_t last, double out[PLOT_COLUMNS]) {
  double sums[PLOT_COLUMNS] = {0};
  int64_t counts[PLOT_COLUMNS] = {0};
  for (size_t i = 0; i < curve->count; i++) {
    double place = (double)(curve->points[i].step - 1) / (double)last;
    if (place < 0 || place >= 1) continue;
    int column = (int)(place * PLOT_COLUMNS);
    sums[column] += curve->points[i].loss;
    counts[column]++;
  }
  for (int c = 0; c < PLOT_COLUMNS; c++)
    out[c] = counts[c] && sums[c] <= DBL_MAX ? sums[c] / (double)counts[c] : -1;
}

static void widen(Plot *plot, const double means[PLOT_COLUMNS]) {
  for (int c = 0; c < PLOT_COLUMNS; c++) {
    if (means[c] < 0) continue;
    if (means[c] < plot->low) plot->low = means[c];
    if (means[c] > plot->high) plot->high = means[c];
  }
}

static void draw(Plot *plot, const double means[PLOT_COLUMNS], char mark) {
  double range = plot->high > plot->low ? plot->high - plot->low : 1;
  for (int c = 0; c < PLOT_COLUMNS; c++) {
    if (means[c] < 0) continue;
    int row = (int)((plot->high - means[c]) / range * (PLOT_ROWS - 1) + 0.5);
    char *cell = &plot->cells[row][c];
    *cell = *cell == ' ' ? mark : '*';
  }
}

static int64_t last_step(const GwCurve *curve) {
  return curve->count > 0 ? curve->points[curve->count - 1].step : 0;
}

static void print_plot(const Side *a, const Side *b) {
  Plot plot = {.low = DBL_MAX, .high = 0};
  double means_a[PLOT_COLUMNS], means_b[PLOT_COLUMNS];
  plot.last = last_step(&a->training) > last_step(&b->training) ? last_step(&a->training)
                                                                : last_step(&b->training);
  if (plot.last < 1) return;
  average(&a->training, plot.last, means_a);
  average(&b->training, plot.last, means_b);
  widen(&plot, means_a);
  widen(&plot, means_b);
  if (plot.low > plot.high) return;
  memset(plot.cells, ' ', sizeof plot.cells);
  draw(&plot, means_a, 'a');
  draw(&plot, means_b, 'b');
  printf("\ntraining loss, nats per token (a, b; *: both)\n");
  for (int r = 0; r < PLOT_ROWS; r++) {
    int width = PLOT_COLUMNS;
    while (width > 0 && plot.cells[r][width - 1] == ' ') width--;
    double value = plot.high - (plot.high - plot.low) * r / (PLOT_ROWS - 1);
    printf("%9.4f |%.*s\n", value, width, plot.cells[r]);
  }
  printf("%9s +", "");
  for (int c = 0; c < PLOT_COLUMNS; c++) putchar('-');
  printf("\n%9s  step 1%*" PRId64 "\n", "", PLOT_COLUMNS - (int)strlen("step 1"), plot.last);
}

/* ---- tables ---- */

/* How many steps both curves have. */
static int64_t count_common(const GwCurve *a, const GwCurve *b) {
  int64_t count = 0;
  for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
    int64_t step_a = a->points[i].step, step_b = b->points[k].step;
    count += step_a == step_b;
    i += step_a <= step_b;
    k += step_b <= step_a;
  }
  return count;
}

/* TABLE_ROWS of those steps at most, evenly spread, with the last. */
static void print_table(const char *what, const GwCurve *a, const GwCurve *b) {
  int64_t count = count_common(a, b), rows = count < TABLE_ROWS ? count : TABLE_ROWS, at = 0;
  int64_t row = 0;
  if (count == 0) return;
  printf("\n%-16s %10s %10s %10s\n", what, "a", "b", "b - a");
  for (size_t i = 0, k = 0; i < a->count && k < b->count && row < rows;) {
    const GwCurvePoint *p = &a->points[i], *q = &b->points[k];
    if (p->step == q->step && ++at * rows >= (row + 1) * count) {
      printf("step %-11" PRId64 " %10.4f %10.4f %+10.4f\n", p->step, p->loss, q->loss,
             q->loss - p->loss);
      row++;
    }
    int64_t step = p->step;
    i += step <= q->step;
    k += q->step <= step;
  }
}

int gw_runs_compare(const char *path_a, const char *path_b) {
  static Side a, b;
  GwStatus status = open_side(path_a, &a);
  if (status == GW_OK) status = open_side(path_b, &b);
  if (status == GW_OK) {
    printf("a  %s, %" PRId64 " steps\nb  %s, %" PRId64 " steps\n", a.path, last_step(&a.training),
           b.path, last_step(&b.training));
    print_differences(&a, &b);
    print_plot(&a, &b);
    print_table("training", &a.training, &b.training);
    print_table("validation", &a.validation, &b.validation);
  }
  close_side(&a);
  close_side(&b);
  return status == GW_OK ? 0 : gw_cli_failed(status);
}
