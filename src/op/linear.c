/* linear      y = x Wᵀ + b      x [N,I], W [O,I], b [O] optional, y [N,O]
 * linear_dx   dx = dy W         dy [N,O] → [N,I]
 * linear_dw   dW = dyᵀ x        → [O,I]
 * column_sum  db = Σ_n dy[n,:]  → [O]
 * Each element is a chain of fused multiply-adds in the order of the summed index, starting at 0;
 * the bias is added at the end. */
#include "op/scratch.h"
#include "op/shape.h"

static GwStatus linear_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, "linear", "x and weight must be matrices");
  GW_REQUIRE(gw_columns(&s->in[0]) == gw_columns(&s->in[1]), "linear",
             "x [N,I] and weight [O,I] must agree in I");
  GW_REQUIRE(!s->has[2] || gw_is_vector(&s->in[2], gw_rows(&s->in[1])), "linear",
             "bias must be [O]");
  s->out[0] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), gw_rows(&s->in[1]));
  return GW_OK;
}

static void linear_gradient(GwGradient *g, const GwOp *op) {
  GwProgram *p = gw_gradient_program(g);
  GwValueId dy = gw_gradient_out(g, op, 0), x = op->in[0], w = op->in[1], b = op->in[2];
  if (gw_gradient_wanted(g, w))
    gw_gradient_add(g, w, gw_emit(p, GW_OP_LINEAR_DW, GW_IN(dy, x), GW_ATTR(0)));
  if (gw_gradient_wanted(g, b))
    gw_gradient_add(g, b, gw_emit(p, GW_OP_COLUMN_SUM, GW_IN(dy), GW_ATTR(0)));
  if (gw_gradient_wanted(g, x))
    gw_gradient_add(g, x, gw_emit(p, GW_OP_LINEAR_DX, GW_IN(dy, w), GW_ATTR(0)));
}

static int64_t linear_flops(const GwShapes *s) {
  int64_t elements = gw_rows(&s->in[0]) * gw_rows(&s->in[1]);
  return elements * (2 * gw_columns(&s->in[0]) + (s->has[2] ? 1 : 0));
}

static int64_t product_scratch(const GwShapes *s) {
  (void)s;
  return GW_GEMM_SCRATCH;
}

static int64_t linear_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void linear_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0], *w = call->in[1], *bias = call->in[2];
  gw_real *y = call->out[0];
  int64_t in = gw_columns(&call->shapes.in[0]), out = gw_rows(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++)
    for (int64_t o = 0; o < out; o++) {
      gw_real sum = gw_dot(x + n * in, 1, w + o * in, 1, in);
      y[n * out + o] = bias ? sum + bias[o] : sum;
      if (bias) GW_WORK(1);
    }
}

static void linear_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 127), in = gw_example_size(e, 127);
  int64_t out = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, in), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, out, in), 1);
  if (gw_rng_below(&e->rng, 2)) gw_example_f32(e, 2, gw_type_1d(GW_F32, out), 1);
}

const GwOpDef GW_OP_DEF(linear) = {
    .name = "linear",
    .formula = "y = x weight^T + bias",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"bias", GW_F32, GW_ARG_OPTIONAL}},
    .out = {{"y", GW_F32, 0}},
    .shape = linear_shape,
    .gradient = linear_gradient,
    .flops = linear_flops,
    .scratch = product_scratch,
    .units = linear_units,
    .reference = linear_reference,
    .example = linear_example,
    .bound = 1e-5,
};

static GwStatus linear_dx_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, "linear_dx", "dy, weight: matrices");
  GW_REQUIRE(gw_columns(&s->in[0]) == gw_rows(&s->in[1]), "linear_dx",
             "dy [N,O] and weight [O,I] must agree in O");
  s->out[0] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), gw_columns(&s->in[1]));
  return GW_OK;
}

static int64_t linear_dx_flops(const GwShapes *s) {
  return 2 * gw_type_count(&s->in[0]) * gw_columns(&s->in[1]);
}

static void linear_dx_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *w = call->in[1];
  gw_real *dx = call->out[0];
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++)
    for (int64_t i = 0; i < in; i++) dx[n * in + i] = gw_dot(dy + n * out, 1, w + i, in, out);
}

static void linear_dx_example(GwExample *e) {
  int64_t out = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, gw_example_size(e, 127), out), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, out, gw_example_size(e, 127)), 1);
}

const GwOpDef GW_OP_DEF(linear_dx) = {
    .name = "linear_dx",
    .formula = "dx = dy weight",
    .in = {{"dy", GW_F32, 0}, {"weight", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}},
    .shape = linear_dx_shape,
    .flops = linear_dx_flops,
    .scratch = product_scratch,
    .units = linear_units,
    .reference = linear_dx_reference,
    .example = linear_dx_example,
    .bound = 1e-5,
};

static GwStatus linear_dw_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, "linear_dw", "dy and x must be matrices");
  GW_REQUIRE(gw_rows(&s->in[0]) == gw_rows(&s->in[1]), "linear_dw",
             "dy [N,O] and x [N,I] must agree in N");
  s->out[0] = gw_type_2d(GW_F32, gw_columns(&s->in[0]), gw_columns(&s->in[1]));
  return GW_OK;
}

static int64_t linear_dw_flops(const GwShapes *s) {
  return 2 * gw_type_count(&s->in[0]) * gw_columns(&s->in[1]);
}

static int64_t linear_dw_units(const GwShapes *s) { return gw_columns(&s->in[0]); }

static void linear_dw_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1];
  gw_real *dw = call->out[0];
  int64_t rows = gw_rows(&call->shapes.in[0]);
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  for (int64_t o = first; o < last; o++)
    for (int64_t i = 0; i < in; i++) dw[o * in + i] = gw_dot(dy + o, out, x + i, in, rows);
}

static void linear_dw_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, gw_example_size(e, 127)), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, gw_example_size(e, 127)), 1);
}

const GwOpDef GW_OP_DEF(linear_dw) = {
    .name = "linear_dw",
    .formula = "dW = dy^T x",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}},
    .out = {{"dw", GW_F32, 0}},
    .shape = linear_dw_shape,
    .flops = linear_dw_flops,
    .scratch = product_scratch,
    .units = linear_dw_units,
    .reference = linear_dw_reference,
    .example = linear_dw_example,
    .bound = 1e-5,
};

static GwStatus column_sum_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2, "column_sum", "dy must be a matrix");
  s->out[0] = gw_type_1d(GW_F32, gw_columns(&s->in[0]));
  return GW_OK;
}

static int64_t column_sum_flops(const GwShapes *s) { return gw_type_count(&s->in[0]); }

static void column_sum_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0];
  gw_real *sums = call->out[0];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  for (int64_t c = first; c < last; c++) {
    gw_real sum = 0;
    for (int64_t n = 0; n < rows; n++) sum += dy[n * width + c];
    GW_WORK(rows);
    sums[c] = sum;
  }
}

static void column_sum_example(GwExample *e) {
  gw_example_f32(e, 0, gw_type_2d(GW_F32, gw_example_size(e, 127), gw_example_size(e, 127)), 1);
}

const GwOpDef GW_OP_DEF(column_sum) = {
    .name = "column_sum",
    .formula = "sums[c] = sum over n of dy[n,c]",
    .in = {{"dy", GW_F32, 0}},
    .out = {{"sums", GW_F32, 0}},
    .shape = column_sum_shape,
    .flops = column_sum_flops,
    .units = linear_dw_units,
    .reference = column_sum_reference,
    .example = column_sum_example,
    .bound = 1e-5,
};
