/* rms_norm     y = x r w, r = 1/sqrt(mean(x²) + epsilon)   (Zhang and Sennrich 2019)
 *              x [N,C], w [D], D divides C: every group of D columns is normalised by itself, which
 *              makes it the QK-norm as well; y [N,C], rstd [N,C/D]
 * rms_norm_dx  g = dy w;  dx = r (g - x r² mean(g x))
 * rms_norm_dw  dw[d] = Σ over groups of dy x r, in order */
#include "op/shape.h"

static GwStatus check(const char *op, const GwType *x, const GwType *w) {
  GW_REQUIRE(x->rank == 2 && w->rank == 1, op, "x must be [N,C] and weight [D]");
  GW_REQUIRE(w->dim[0] > 0 && gw_columns(x) % w->dim[0] == 0, op, "D must divide C");
  return GW_OK;
}

static GwStatus rms_norm_shape(GwShapes *s) {
  GW_TRY(check("rms_norm", &s->in[0], &s->in[1]));
  GW_REQUIRE(s->attr[0] > 0, "rms_norm", "epsilon must be positive");
  s->out[0] = s->in[0];
  s->out[1] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), gw_columns(&s->in[0]) / s->in[1].dim[0]);
  return GW_OK;
}

static void rms_norm_gradient(GwGradient *g, const GwOp *op) {
  GwProgram *p = gw_gradient_program(g);
  GwValueId dy = gw_gradient_out(g, op, 0), x = op->in[0], w = op->in[1], rstd = op->out[1];
  if (gw_gradient_wanted(g, w))
    gw_gradient_add(g, w,
                    gw_emit(p, GW_OP_RMS_NORM_DW, GW_IN(dy, x, rstd),
                            GW_ATTR((double)(p->status == GW_OK ? p->values[w].type.dim[0] : 1))));
  if (gw_gradient_wanted(g, x))
    gw_gradient_add(g, x, gw_emit(p, GW_OP_RMS_NORM_DX, GW_IN(dy, x, w, rstd), GW_ATTR(0)));
}

/* square and add, scale by rstd and weight; per group: mean, epsilon, root, reciprocal */
static int64_t rms_norm_flops(const GwShapes *s) {
  return 4 * gw_type_count(&s->in[0]) + 4 * gw_type_count(&s->out[1]);
}

static int64_t rms_norm_units(const GwShapes *s) {
  return gw_type_count(&s->in[0]) / s->in[1].dim[0];
}

static void rms_norm_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0], *w = call->in[1];
  gw_real *y = call->out[0], *rstd = call->out[1];
  int64_t width = call->shapes.in[1].dim[0];
  gw_real epsilon = (gw_real)call->shapes.attr[0];
  for (int64_t n = first; n < last; n++) {
    const gw_real *row = x + n * width;
    gw_real mean = gw_row_dot(row, row, width) / (gw_real)width;
    rstd[n] = 1 / gw_sqrt(mean + epsilon);
    for (int64_t c = 0; c < width; c++) y[n * width + c] = row[c] * rstd[n] * w[c];
    GW_WORK(2 * width + 4);
  }
}

static void rms_norm_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127), groups = 1 + (int64_t)gw_rng_below(&e->rng, 3);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, gw_example_size(e, 65), width * groups), 1);
  gw_example_f32(e, 1, gw_type_1d(GW_F32, width), 1);
  e->shapes.attr[0] = 1e-5;
}

const GwOpDef GW_OP_DEF(rms_norm) = {
    .name = "rms_norm",
    .formula = "y = x rstd weight, rstd = 1/sqrt(mean(x^2) + epsilon)",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}, {"rstd", GW_F32, 0}},
    .attr = {"epsilon"},
    .shape = rms_norm_shape,
    .gradient = rms_norm_gradient,
    .flops = rms_norm_flops,
    .units = rms_norm_units,
    .reference = rms_norm_reference,
    .example = rms_norm_example,
    .bound = 1e-6,
};

static GwStatus rms_norm_dx_shape(GwShapes *s) {
  GW_TRY(check("rms_norm_dx", &s->in[1], &s->in[2]));
  GW_REQUIRE(gw_type_equal(&s->in[0], &s->in[1]), "rms_norm_dx", "dy and x must agree");
  GW_REQUIRE(gw_is_matrix(&s->in[3], gw_rows(&s->in[1]), gw_columns(&s->in[1]) / s->in[2].dim[0]),
             "rms_norm_dx", "rstd must be [N,C/D]");
  s->out[0] = s->in[1];
  return GW_OK;
}

/* g twice (once for the mean, once for dx), dot, subtract, scale; per group: r², mean */
static int64_t rms_norm_dx_flops(const GwShapes *s) {
  return 7 * gw_type_count(&s->in[0]) + 3 * gw_type_count(&s->in[3]);
}

static int64_t rms_norm_dx_units(const GwShapes *s) { return gw_type_count(&s->in[3]); }

static void rms_norm_dx_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1], *w = call->in[2], *rstd = call->in[3];
  gw_real *dx = call->out[0];
  int64_t width = call->shapes.in[2].dim[0];
  for (int64_t n = first; n < last; n++) {
    const gw_real *dy_row = dy + n * width, *row = x + n * width;
    GwSum16 sum = {{0}};
    for (int64_t c = 0; c < width; c++)
      sum.part[c & 15] = gw_fma(dy_row[c] * w[c], row[c], sum.part[c & 15]);
    gw_real mean = gw_sum16_total(&sum) / (gw_real)width;
    gw_real back = -(mean * (rstd[n] * rstd[n]));
    for (int64_t c = 0; c < width; c++)
      dx[n * width + c] = gw_fma(back, row[c], dy_row[c] * w[c]) * rstd[n];
    GW_WORK(7 * width + 3);
  }
}

static void rms_norm_dx_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127), groups = 1 + (int64_t)gw_rng_below(&e->rng, 3);
  int64_t rows = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width * groups), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, width * groups), 1);
  gw_example_f32(e, 2, gw_type_1d(GW_F32, width), 1);
  gw_example_f32(e, 3, gw_type_2d(GW_F32, rows, groups), 1);
  e->in[3].fill = GW_FILL_POSITIVE;
}

const GwOpDef GW_OP_DEF(rms_norm_dx) = {
    .name = "rms_norm_dx",
    .formula = "g = dy weight; dx = rstd (g - x rstd^2 mean(g x))",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"rstd", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}},
    .shape = rms_norm_dx_shape,
    .flops = rms_norm_dx_flops,
    .units = rms_norm_dx_units,
    .reference = rms_norm_dx_reference,
    .example = rms_norm_dx_example,
    .bound = 1e-6,
};

static GwStatus rms_norm_dw_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && gw_type_equal(&s->in[0], &s->in[1]), "rms_norm_dw",
             "dy and x must be [N,C]");
  GW_REQUIRE(gw_attr_whole(s->attr[0], 1), "rms_norm_dw", "width must be a whole number");
  int64_t width = (int64_t)s->attr[0];
  GW_REQUIRE(gw_columns(&s->in[0]) % width == 0, "rms_norm_dw", "width must divide C");
  GW_REQUIRE(gw_is_matrix(&s->in[2], gw_rows(&s->in[0]), gw_columns(&s->in[0]) / width),
             "rms_norm_dw", "rstd must be [N,C/width]");
  s->out[0] = gw_type_1d(GW_F32, width);
  return GW_OK;
}

static int64_t rms_norm_dw_flops(const GwShapes *s) { return 3 * gw_type_count(&s->in[0]); }

static int64_t rms_norm_dw_units(const GwShapes *s) { return (int64_t)s->attr[0]; }

static void rms_norm_dw_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1], *rstd = call->in[2];
  gw_real *dw = call->out[0];
  int64_t width = (int64_t)call->shapes.attr[0];
  int64_t groups = gw_type_count(&call->shapes.in[2]);
  for (int64_t c = first; c < last; c++) {
    gw_real sum = 0;
    for (int64_t n = 0; n < groups; n++)
      sum = gw_fma(dy[n * width + c], x[n * width + c] * rstd[n], sum);
    GW_WORK(3 * groups);
    dw[c] = sum;
  }
}

static void rms_norm_dw_example(GwExample *e) {
  int64_t width = gw_example_size(e, 127), groups = 1 + (int64_t)gw_rng_below(&e->rng, 3);
  int64_t rows = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width * groups), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, width * groups), 1);
  gw_example_f32(e, 2, gw_type_2d(GW_F32, rows, groups), 1);
  e->shapes.attr[0] = (double)width;
}

const GwOpDef GW_OP_DEF(rms_norm_dw) = {
    .name = "rms_norm_dw",
    .formula = "dw[d] = sum over groups of dy x rstd",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}, {"rstd", GW_F32, 0}},
    .out = {{"dw", GW_F32, 0}},
    .attr = {"width"},
    .shape = rms_norm_dw_shape,
    .flops = rms_norm_dw_flops,
    .units = rms_norm_dw_units,
    .reference = rms_norm_dw_reference,
    .example = rms_norm_dw_example,
    .bound = 1e-5,
};
