/* layer_norm     y = (x - m) r w + b, m = mean(x), r = 1/sqrt(mean((x-m)²) + epsilon)
 *                (Ba et al. 2016)  x [N,C], w and b [C]; y [N,C], stats [N,2] = m, r
 * layer_norm_dx  g = dy w, h = (x - m) r;  dx = r (g - mean(g) - h mean(g h))
 * layer_norm_dw  dw[c] = Σ_n dy h,  db[c] = Σ_n dy, in order of n */
#include "op/shape.h"

static GwStatus layer_norm_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2, "layer_norm", "x must be [N,C]");
  int64_t width = gw_columns(&s->in[0]);
  GW_REQUIRE(gw_is_vector(&s->in[1], width) && gw_is_vector(&s->in[2], width), "layer_norm",
             "weight and bias must be [C]");
  GW_REQUIRE(s->attr[0] > 0, "layer_norm", "epsilon must be positive");
  s->out[0] = s->in[0];
  s->out[1] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), 2);
  return GW_OK;
}

static void layer_norm_gradient(GwGradient *g, const GwOp *op) {
  GwProgram *p = gw_gradient_program(g);
  GwValueId dy = gw_gradient_out(g, op, 0), x = op->in[0], w = op->in[1], b = op->in[2];
  GwValueId stats = op->out[1];
  if (gw_gradient_wanted(g, w) || gw_gradient_wanted(g, b)) {
    GwValueId dw = gw_emit(p, GW_OP_LAYER_NORM_DW, GW_IN(dy, x, stats), GW_ATTR(0));
    gw_gradient_add(g, w, dw);
    gw_gradient_add(g, b, dw + 1);
  }
  if (gw_gradient_wanted(g, x))
    gw_gradient_add(g, x, gw_emit(p, GW_OP_LAYER_NORM_DX, GW_IN(dy, x, w, stats), GW_ATTR(0)));
}

/* sum; subtract, square and add; subtract, scale, multiply and add */
static int64_t layer_norm_flops(const GwShapes *s) {
  return 8 * gw_type_count(&s->in[0]) + 5 * gw_rows(&s->in[0]);
}

static int64_t layer_norm_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void layer_norm_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0], *w = call->in[1], *b = call->in[2];
  gw_real *y = call->out[0], *stats = call->out[1];
  int64_t width = gw_columns(&call->shapes.in[0]);
  gw_real epsilon = (gw_real)call->shapes.attr[0];
  for (int64_t n = first; n < last; n++) {
    const gw_real *row = x + n * width;
    gw_real mean = gw_row_sum(row, width) / (gw_real)width;
    GwSum16 sum = {{0}};
    for (int64_t c = 0; c < width; c++)
      sum.part[c & 15] = gw_fma(row[c] - mean, row[c] - mean, sum.part[c & 15]);
    gw_real rstd = 1 / gw_sqrt(gw_sum16_total(&sum) / (gw_real)width + epsilon);
    for (int64_t c = 0; c < width; c++)
      y[n * width + c] = gw_fma((row[c] - mean) * rstd, w[c], b[c]);
    stats[2 * n] = mean;
    stats[2 * n + 1] = rstd;
    GW_WORK(7 * width + 5);
  }
}

static void layer_norm_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, gw_example_size(e, 65), width), 1);
  gw_example_f32(e, 1, gw_type_1d(GW_F32, width), 1);
  gw_example_f32(e, 2, gw_type_1d(GW_F32, width), 1);
  e->shapes.attr[0] = 0.1; /* large, so that rows of one or two columns stay differentiable */
}

const GwOpDef GW_OP_DEF(layer_norm) = {
    .name = "layer_norm",
    .formula = "y = (x - mean) rstd weight + bias",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"bias", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}, {"stats", GW_F32, 0}},
    .attr = {"epsilon"},
    .shape = layer_norm_shape,
    .gradient = layer_norm_gradient,
    .flops = layer_norm_flops,
    .units = layer_norm_units,
    .reference = layer_norm_reference,
    .example = layer_norm_example,
    .bound = 1e-6,
};

static GwStatus layer_norm_dx_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && gw_type_equal(&s->in[0], &s->in[1]), "layer_norm_dx",
             "dy and x must be [N,C]");
  GW_REQUIRE(gw_is_vector(&s->in[2], gw_columns(&s->in[0])), "layer_norm_dx", "weight must be [C]");
  GW_REQUIRE(gw_is_matrix(&s->in[3], gw_rows(&s->in[0]), 2), "layer_norm_dx",
             "stats must be [N,2]");
  s->out[0] = s->in[0];
  return GW_OK;
}

static int64_t layer_norm_dx_flops(const GwShapes *s) {
  return 12 * gw_type_count(&s->in[0]) + 2 * gw_rows(&s->in[0]);
}

/* (g - mean(g)) - h mean(g h) is one subtraction and one fused multiply-add */
static void layer_norm_dx_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1], *w = call->in[2], *stats = call->in[3];
  gw_real *dx = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t n = first; n < last; n++) {
    const gw_real *dy_row = dy + n * width, *row = x + n * width;
    gw_real mean = stats[2 * n], rstd = stats[2 * n + 1];
    GwSum16 sum_g = {{0}}, sum_gh = {{0}};
    for (int64_t c = 0; c < width; c++) {
      gw_real g = dy_row[c] * w[c], h = (row[c] - mean) * rstd;
      sum_g.part[c & 15] += g;
      sum_gh.part[c & 15] = gw_fma(g, h, sum_gh.part[c & 15]);
    }
    gw_real mean_g = gw_sum16_total(&sum_g) / (gw_real)width;
    gw_real mean_gh = gw_sum16_total(&sum_gh) / (gw_real)width;
    for (int64_t c = 0; c < width; c++) {
      gw_real g = dy_row[c] * w[c], h = (row[c] - mean) * rstd;
      dx[n * width + c] = gw_fma(-h, mean_gh, g - mean_g) * rstd;
    }
    GW_WORK(12 * width + 2);
  }
}

static void layer_norm_dx_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127), rows = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 2, gw_type_1d(GW_F32, width), 1);
  gw_example_f32(e, 3, gw_type_2d(GW_F32, rows, 2), 1);
}

const GwOpDef GW_OP_DEF(layer_norm_dx) = {
    .name = "layer_norm_dx",
    .formula = "g = dy weight, h = (x - mean) rstd; dx = rstd (g - mean(g) - h mean(g h))",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"stats", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}},
    .shape = layer_norm_dx_shape,
    .flops = layer_norm_dx_flops,
    .units = layer_norm_units,
    .reference = layer_norm_dx_reference,
    .example = layer_norm_dx_example,
    .bound = 1e-6,
};

static GwStatus layer_norm_dw_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && gw_type_equal(&s->in[0], &s->in[1]), "layer_norm_dw",
             "dy and x must be [N,C]");
  GW_REQUIRE(gw_is_matrix(&s->in[2], gw_rows(&s->in[0]), 2), "layer_norm_dw",
             "stats must be [N,2]");
  s->out[0] = s->out[1] = gw_type_1d(GW_F32, gw_columns(&s->in[0]));
  return GW_OK;
}

static int64_t layer_norm_dw_flops(const GwShapes *s) { return 5 * gw_type_count(&s->in[0]); }

static int64_t layer_norm_dw_units(const GwShapes *s) { return gw_columns(&s->in[0]); }

static void layer_norm_dw_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1], *stats = call->in[2];
  gw_real *dw = call->out[0], *db = call->out[1];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  for (int64_t c = first; c < last; c++) {
    gw_real sum_w = 0, sum_b = 0;
    for (int64_t n = 0; n < rows; n++) {
      gw_real d = dy[n * width + c], h = (x[n * width + c] - stats[2 * n]) * stats[2 * n + 1];
      sum_w = gw_fma(d, h, sum_w);
      sum_b += d;
    }
    GW_WORK(5 * rows);
    dw[c] = sum_w;
    db[c] = sum_b;
  }
}

static void layer_norm_dw_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127), rows = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 2, gw_type_2d(GW_F32, rows, 2), 1);
}

const GwOpDef GW_OP_DEF(layer_norm_dw) = {
    .name = "layer_norm_dw",
    .formula = "dw[c] = sum of dy (x - mean) rstd, db[c] = sum of dy",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}, {"stats", GW_F32, 0}},
    .out = {{"dw", GW_F32, 0}, {"db", GW_F32, 0}},
    .shape = layer_norm_dw_shape,
    .flops = layer_norm_dw_flops,
    .units = layer_norm_dw_units,
    .reference = layer_norm_dw_reference,
    .example = layer_norm_dw_example,
    .bound = 1e-5,
};
