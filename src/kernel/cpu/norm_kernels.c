/* rms_norm and layer_norm with their gradients. Rows are split over threads; the weight gradients
 * are sums over rows in order, so they are split over columns, a strip of columns in registers. */
#include "kernel/cpu/kernel.h"

enum {
  GRAIN = 4096,         /* elements worth a task */
  STRIP = 4,            /* vectors in a strip of columns */
  COLUMNS = STRIP * 16, /* at least these many columns per task */
};

#define INLINE static inline __attribute__((always_inline))

/* One row and what is known about it. */
typedef struct {
  const float *x, *dy, *w, *b;
  float mean, rstd;
} Row;

/* Adds the terms of elements c to c + n to `sum`. */
typedef gw_vf Term(const Row *row, int64_t c, int64_t n, gw_vf sum);
/* The result for elements c to c + n. */
typedef gw_vf Map(const Row *row, int64_t c, int64_t n);

INLINE float sum_row(Term *term, const Row *row, int64_t width) {
  GwVSum16 sum = gw_v_sum16();
  int64_t c = 0;
  for (; c + 16 <= width; c += 16)
    for (int j = 0; j < GW_SUM_VECTORS; j++)
      sum.part[j] = term(row, c + j * GW_VL, GW_VL, sum.part[j]);
  for (int j = 0; c < width; c += GW_VL, j++) {
    int64_t n = gw_min_i64(width - c, GW_VL);
    sum.part[j] = gw_v_first_n(term(row, c, n, sum.part[j]), sum.part[j], n);
  }
  return gw_v_sum16_total(&sum);
}

INLINE void map_row(Map *map, const Row *row, int64_t width, float *out) {
  int64_t c = 0;
  for (; c + GW_VL <= width; c += GW_VL) gw_v_store(out + c, map(row, c, GW_VL));
  if (c < width) gw_v_store_n(out + c, map(row, c, width - c), width - c);
}

/* ---- rms_norm ---- */

INLINE gw_vf rms_scaled(const Row *row, int64_t c, int64_t n) {
  return gw_v_mul(gw_v_mul(gw_v_get(row->x + c, n), gw_v_set(row->rstd)), gw_v_get(row->w + c, n));
}

static void rms_norm_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                          int thread) {
  (void)context;
  (void)thread;
  float *y = call->out[0], *rstd = call->out[1], epsilon = (float)call->shapes.attr[0];
  int64_t width = call->shapes.in[1].dim[0];
  for (int64_t n = first; n < last; n++) {
    Row row = {.x = (const float *)call->in[0] + n * width, .w = call->in[1]};
    float mean = gw_v_row_dot(row.x, row.x, width) / (float)width;
    rstd[n] = row.rstd = 1 / gw_sqrt(mean + epsilon);
    map_row(rms_scaled, &row, width, y + n * width);
  }
}

void GW_KERNEL(rms_norm)(const GwCall *call) {
  int64_t width = call->shapes.in[1].dim[0], groups = gw_type_count(&call->shapes.out[1]);
  GW_KERNEL(split)(call, groups, gw_ceil_div(GRAIN, width), rms_norm_rows, NULL);
}

/* g = dy w */
INLINE gw_vf weighted(const Row *row, int64_t c, int64_t n) {
  return gw_v_mul(gw_v_get(row->dy + c, n), gw_v_get(row->w + c, n));
}

INLINE gw_vf add_weighted_x(const Row *row, int64_t c, int64_t n, gw_vf sum) {
  return gw_v_fma(weighted(row, c, n), gw_v_get(row->x + c, n), sum);
}

/* row->mean: the factor of x */
INLINE gw_vf rms_back(const Row *row, int64_t c, int64_t n) {
  gw_vf d = gw_v_fma(gw_v_set(row->mean), gw_v_get(row->x + c, n), weighted(row, c, n));
  return gw_v_mul(d, gw_v_set(row->rstd));
}

static void rms_norm_dx_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                             int thread) {
  (void)context;
  (void)thread;
  const float *rstd = call->in[3];
  float *dx = call->out[0];
  int64_t width = call->shapes.in[2].dim[0];
  for (int64_t n = first; n < last; n++) {
    Row row = {.dy = (const float *)call->in[0] + n * width,
               .x = (const float *)call->in[1] + n * width,
               .w = call->in[2],
               .rstd = rstd[n]};
    float mean = sum_row(add_weighted_x, &row, width) / (float)width;
    row.mean = -(mean * (row.rstd * row.rstd));
    map_row(rms_back, &row, width, dx + n * width);
  }
}

void GW_KERNEL(rms_norm_dx)(const GwCall *call) {
  int64_t width = call->shapes.in[2].dim[0], groups = gw_type_count(&call->shapes.in[3]);
  GW_KERNEL(split)(call, groups, gw_ceil_div(GRAIN, width), rms_norm_dx_rows, NULL);
}

/* ---- layer_norm ---- */

INLINE gw_vf add_x(const Row *row, int64_t c, int64_t n, gw_vf sum) {
  return gw_v_add(sum, gw_v_get(row->x + c, n));
}

INLINE gw_vf centred(const Row *row, int64_t c, int64_t n) {
  return gw_v_sub(gw_v_get(row->x + c, n), gw_v_set(row->mean));
}

INLINE gw_vf add_square(const Row *row, int64_t c, int64_t n, gw_vf sum) {
  gw_vf x = centred(row, c, n);
  return gw_v_fma(x, x, sum);
}

INLINE gw_vf layer_normed(const Row *row, int64_t c, int64_t n) {
  return gw_v_mul(centred(row, c, n), gw_v_set(row->rstd));
}

INLINE gw_vf layer_scaled(const Row *row, int64_t c, int64_t n) {
  return gw_v_fma(layer_normed(row, c, n), gw_v_get(row->w + c, n), gw_v_get(row->b + c, n));
}

static void layer_norm_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                            int thread) {
  (void)context;
  (void)thread;
  float *y = call->out[0], *stats = call->out[1], epsilon = (float)call->shapes.attr[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t n = first; n < last; n++) {
    Row row = {.x = (const float *)call->in[0] + n * width, .w = call->in[1], .b = call->in[2]};
    stats[2 * n] = row.mean = sum_row(add_x, &row, width) / (float)width;
    float variance = sum_row(add_square, &row, width) / (float)width;
    stats[2 * n + 1] = row.rstd = 1 / gw_sqrt(variance + epsilon);
    map_row(layer_scaled, &row, width, y + n * width);
  }
}

void GW_KERNEL(layer_norm)(const GwCall *call) {
  const GwType *x = &call->shapes.in[0];
  GW_KERNEL(split)(call, gw_rows(x), gw_ceil_div(GRAIN, gw_columns(x)), layer_norm_rows, NULL);
}

INLINE gw_vf add_weighted(const Row *row, int64_t c, int64_t n, gw_vf sum) {
  return gw_v_add(sum, weighted(row, c, n));
}

INLINE gw_vf add_weighted_normed(const Row *row, int64_t c, int64_t n, gw_vf sum) {
  return gw_v_fma(weighted(row, c, n), layer_normed(row, c, n), sum);
}

typedef struct {
  float g, gh;
} Means;

INLINE void layer_back(const Row *row, Means mean, int64_t c, int64_t n, float *dx) {
  gw_vf centre = gw_v_sub(weighted(row, c, n), gw_v_set(mean.g));
  gw_vf d = gw_v_fma(gw_v_neg(layer_normed(row, c, n)), gw_v_set(mean.gh), centre);
  gw_v_put(dx + c, gw_v_mul(d, gw_v_set(row->rstd)), n);
}

static void layer_norm_dx_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                               int thread) {
  (void)context;
  (void)thread;
  const float *stats = call->in[3];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t n = first; n < last; n++) {
    Row row = {.dy = (const float *)call->in[0] + n * width,
               .x = (const float *)call->in[1] + n * width,
               .w = call->in[2],
               .mean = stats[2 * n],
               .rstd = stats[2 * n + 1]};
    Means mean = {.g = sum_row(add_weighted, &row, width) / (float)width,
                  .gh = sum_row(add_weighted_normed, &row, width) / (float)width};
    float *dx = (float *)call->out[0] + n * width;
    int64_t c = 0;
    for (; c + GW_VL <= width; c += GW_VL) layer_back(&row, mean, c, GW_VL, dx);
    if (c < width) layer_back(&row, mean, c, width - c, dx);
  }
}

void GW_KERNEL(layer_norm_dx)(const GwCall *call) {
  const GwType *x = &call->shapes.in[0];
  GW_KERNEL(split)(call, gw_rows(x), gw_ceil_div(GRAIN, gw_columns(x)), layer_norm_dx_rows, NULL);
}

/* ---- weight gradients ---- */

/* dw of columns c to c + (vectors - 1) GW_VL + n; n < GW_VL only with one vector */
INLINE void rms_strip(const GwCall *call, int vectors, int64_t c, int64_t n) {
  const float *dy = call->in[0], *x = call->in[1], *rstd = call->in[2];
  float *dw = call->out[0];
  int64_t width = (int64_t)call->shapes.attr[0], groups = gw_type_count(&call->shapes.in[2]);
  gw_vf sum[STRIP];
  for (int j = 0; j < vectors; j++) sum[j] = gw_v_zero();
  for (int64_t group = 0; group < groups; group++)
    for (int j = 0; j < vectors; j++) {
      int64_t at = group * width + c + j * GW_VL;
      gw_vf h = gw_v_mul(gw_v_get(x + at, n), gw_v_set(rstd[group]));
      sum[j] = gw_v_fma(gw_v_get(dy + at, n), h, sum[j]);
    }
  for (int j = 0; j < vectors; j++) gw_v_put(dw + c + j * GW_VL, sum[j], n);
}

static void rms_norm_dw_columns(const GwCall *call, void *context, int64_t first, int64_t last,
                                int thread) {
  (void)context;
  (void)thread;
  int64_t c = first;
  for (; c + STRIP * GW_VL <= last; c += STRIP * GW_VL) rms_strip(call, STRIP, c, GW_VL);
  for (; c + GW_VL <= last; c += GW_VL) rms_strip(call, 1, c, GW_VL);
  if (c < last) rms_strip(call, 1, c, last - c);
}

void GW_KERNEL(rms_norm_dw)(const GwCall *call) {
  GW_KERNEL(split)(call, (int64_t)call->shapes.attr[0], COLUMNS, rms_norm_dw_columns, NULL);
}

INLINE void layer_strip(const GwCall *call, int vectors, int64_t c, int64_t n) {
  const float *dy = call->in[0], *x = call->in[1], *stats = call->in[2];
  float *dw = call->out[0], *db = call->out[1];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  gw_vf sum_w[STRIP], sum_b[STRIP];
  for (int j = 0; j < vectors; j++) sum_w[j] = sum_b[j] = gw_v_zero();
  for (int64_t row = 0; row < rows; row++) {
    gw_vf mean = gw_v_set(stats[2 * row]), rstd = gw_v_set(stats[2 * row + 1]);
    for (int j = 0; j < vectors; j++) {
      int64_t at = row * width + c + j * GW_VL;
      gw_vf d = gw_v_get(dy + at, n);
      gw_vf h = gw_v_mul(gw_v_sub(gw_v_get(x + at, n), mean), rstd);
      sum_w[j] = gw_v_fma(d, h, sum_w[j]);
      sum_b[j] = gw_v_add(sum_b[j], d);
    }
  }
  for (int j = 0; j < vectors; j++) {
    gw_v_put(dw + c + j * GW_VL, sum_w[j], n);
    gw_v_put(db + c + j * GW_VL, sum_b[j], n);
  }
}

static void layer_norm_dw_columns(const GwCall *call, void *context, int64_t first, int64_t last,
                                  int thread) {
  (void)context;
  (void)thread;
  int64_t c = first;
  for (; c + STRIP * GW_VL <= last; c += STRIP * GW_VL) layer_strip(call, STRIP, c, GW_VL);
  for (; c + GW_VL <= last; c += GW_VL) layer_strip(call, 1, c, GW_VL);
  if (c < last) layer_strip(call, 1, c, last - c);
}

void GW_KERNEL(layer_norm_dw)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_columns(&call->shapes.in[0]), COLUMNS, layer_norm_dw_columns, NULL);
}
