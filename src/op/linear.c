/* linear             y = x Wᵀ + b + residual   x [N,I], W [O,I], b [O] and residual [N,O] optional
 * linear_activation  pre = x Wᵀ + b, y = activation(pre); what fusion makes of linear and gelu or
 *                    relu2 once the gradients, which need both, stand in the program
 * linear_dx          dx = (dy W) activation'(pre) + residual   dy [N,O] → [N,I]; pre and residual
 *                    [N,I] optional
 * Each element of a product is a chain of fused multiply-adds in the order of the summed index,
 * starting at 0 (with bf16 operands: gw_dot_bf16); what follows is applied in the order written.
 * The weight's gradient: linear_weight.c. */
#include "op/epilogue.h"
#include "op/product.h"
#include "op/scratch.h"

static GwStatus product_shape(const char *op, GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, op, "x and weight must be matrices");
  GW_REQUIRE(gw_columns(&s->in[0]) == gw_columns(&s->in[1]), op,
             "x [N,I] and weight [O,I] must agree in I");
  GW_REQUIRE(!s->has[2] || gw_is_vector(&s->in[2], gw_rows(&s->in[1])), op, "bias must be [O]");
  GW_REQUIRE(gw_is_operands(s->attr[0]), op, "operands must be 0 (f32) or 1 (bf16)");
  s->out[0] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), gw_rows(&s->in[1]));
  return GW_OK;
}

static int64_t product_scratch(const GwShapes *s) {
  (void)s;
  return GW_GEMM_SCRATCH;
}

static int64_t rows(const GwShapes *s) { return gw_rows(&s->in[0]); }

/* ---- linear ---- */

static GwStatus linear_shape(GwShapes *s) {
  GW_TRY(product_shape("linear", s));
  GW_REQUIRE(!s->has[3] || gw_type_equal(&s->in[3], &s->out[0]), "linear",
             "residual must be [N,O]");
  return GW_OK;
}

static void weight_gradient(GwGradient *g, const GwOp *op, GwValueId dy) {
  GwProgram *p = gw_gradient_program(g);
  GwValueId x = op->in[0], w = op->in[1];
  double operands = op->attr[0];
  if (!gw_gradient_wanted(g, w)) return;
  if (p->values[w].class != GW_CLASS_PARAM) {
    gw_gradient_add(g, w, gw_emit(p, GW_OP_LINEAR_DW, GW_IN(dy, x), GW_ATTR(operands)));
    return;
  }
  GwAccumulator to = gw_gradient_accumulator(g, w);
  gw_emit(p, GW_OP_LINEAR_SUM, GW_IN(dy, x, to.sum, to.signature, to.guard, to.fresh),
          GW_ATTR(to.first, to.limit, operands));
}

static void linear_gradient(GwGradient *g, const GwOp *op) {
  GwProgram *p = gw_gradient_program(g);
  GwValueId dy = gw_gradient_out(g, op, 0), x = op->in[0], w = op->in[1], b = op->in[2];
  weight_gradient(g, op, dy);
  if (gw_gradient_wanted(g, b))
    gw_gradient_add(g, b, gw_emit(p, GW_OP_COLUMN_SUM, GW_IN(dy), GW_ATTR(0)));
  if (gw_gradient_wanted(g, x))
    gw_gradient_add(g, x, gw_emit(p, GW_OP_LINEAR_DX, GW_IN(dy, w), GW_ATTR(op->attr[0])));
  if (gw_gradient_wanted(g, op->in[3])) gw_gradient_add(g, op->in[3], dy);
}

static int64_t linear_flops(const GwShapes *s) {
  int64_t added = (s->has[2] ? 1 : 0) + (s->has[3] ? 1 : 0);
  return gw_rows(&s->in[0]) * gw_rows(&s->in[1]) * (2 * gw_columns(&s->in[0]) + added);
}

/* Element (n, o) of x Wᵀ + b. */
static gw_real product_at(const GwCall *call, int64_t n, int64_t o) {
  const gw_real *x = call->in[0], *w = call->in[1], *bias = call->in[2];
  int64_t in = gw_columns(&call->shapes.in[0]);
  GwOperands operands = (GwOperands)call->shapes.attr[0];
  gw_real sum = gw_product(operands, x + n * in, 1, w + o * in, 1, in);
  if (bias) GW_WORK(1);
  return bias ? sum + bias[o] : sum;
}

static void linear_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *residual = call->in[3];
  gw_real *y = call->out[0];
  int64_t out = gw_rows(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++)
    for (int64_t o = 0; o < out; o++) {
      gw_real sum = product_at(call, n, o);
      y[n * out + o] = residual ? sum + residual[n * out + o] : sum;
    }
  if (residual) GW_WORK((last - first) * out);
}

static void product_example(GwExample *e) {
  int64_t count = gw_example_size(e, 127), in = gw_example_size(e, 127);
  int64_t out = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, count, in), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, out, in), 1);
  if (gw_rng_below(&e->rng, 2)) gw_example_f32(e, 2, gw_type_1d(GW_F32, out), 1);
  e->shapes.attr[0] = gw_example_operands(e);
}

static void linear_example(GwExample *e) {
  product_example(e);
  e->in[1].param = gw_rng_below(&e->rng, 2);
  if (gw_rng_below(&e->rng, 2))
    gw_example_f32(e, 3, gw_type_2d(GW_F32, gw_rows(&e->shapes.in[0]), gw_rows(&e->shapes.in[1])),
                   1);
}

const GwOpDef GW_OP_DEF(linear) = {
    .name = "linear",
    .formula = "y = x weight^T + bias + residual",
    .in = {{"x", GW_F32, 0},
           {"weight", GW_F32, 0},
           {"bias", GW_F32, GW_ARG_OPTIONAL},
           {"residual", GW_F32, GW_ARG_OPTIONAL}},
    .out = {{"y", GW_F32, 0}},
    .attr = {"operands"},
    .shape = linear_shape,
    .gradient = linear_gradient,
    .flops = linear_flops,
    .scratch = product_scratch,
    .units = rows,
    .reference = linear_reference,
    .example = linear_example,
    .bound = 1e-5,
};

/* ---- linear_activation ---- */

static GwStatus linear_activation_shape(GwShapes *s) {
  GW_TRY(product_shape("linear_activation", s));
  GW_REQUIRE(gw_is_activation(s->attr[1]), "linear_activation",
             "activation must be 1 (gelu) or 2 (relu2)");
  s->out[1] = s->out[0];
  return GW_OK;
}

static int64_t linear_activation_flops(const GwShapes *s) {
  int64_t each = (s->has[2] ? 1 : 0) + gw_activate_flops((GwEpilogue)s->attr[1]);
  return gw_rows(&s->in[0]) * gw_rows(&s->in[1]) * (2 * gw_columns(&s->in[0]) + each);
}

static void linear_activation_reference(const GwCall *call, int64_t first, int64_t last) {
  gw_real *y = call->out[0], *pre = call->out[1];
  int64_t out = gw_rows(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++)
    for (int64_t o = 0; o < out; o++) {
      pre[n * out + o] = product_at(call, n, o);
      y[n * out + o] = gw_activate((GwEpilogue)call->shapes.attr[1], pre[n * out + o]);
    }
}

static void linear_activation_example(GwExample *e) {
  product_example(e);
  e->shapes.attr[1] = gw_rng_below(&e->rng, 2) ? GW_EPILOGUE_GELU : GW_EPILOGUE_RELU2;
}

const GwOpDef GW_OP_DEF(linear_activation) = {
    .name = "linear_activation",
    .formula = "pre = x weight^T + bias; y = activation(pre)",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"bias", GW_F32, GW_ARG_OPTIONAL}},
    .out = {{"y", GW_F32, 0}, {"pre", GW_F32, 0}},
    .attr = {"operands", "activation"},
    .shape = linear_activation_shape,
    .flops = linear_activation_flops,
    .scratch = product_scratch,
    .units = rows,
    .reference = linear_activation_reference,
    .example = linear_activation_example,
    .bound = 1e-5,
};

/* ---- linear_dx ---- */

static GwStatus linear_dx_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, "linear_dx", "dy, weight: matrices");
  GW_REQUIRE(gw_columns(&s->in[0]) == gw_rows(&s->in[1]), "linear_dx",
             "dy [N,O] and weight [O,I] must agree in O");
  GW_REQUIRE(gw_is_operands(s->attr[0]), "linear_dx", "operands must be 0 (f32) or 1 (bf16)");
  s->out[0] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), gw_columns(&s->in[1]));
  for (int i = 2; i < 4; i++)
    GW_REQUIRE(!s->has[i] || gw_type_equal(&s->in[i], &s->out[0]), "linear_dx",
               "pre and residual must be [N,I]");
  GW_REQUIRE(s->has[2] ? gw_is_activation(s->attr[1]) : s->attr[1] == GW_EPILOGUE_NONE, "linear_dx",
             "activation must be 1 (gelu) or 2 (relu2) with pre, 0 without");
  return GW_OK;
}

static int64_t linear_dx_flops(const GwShapes *s) {
  int64_t each = (s->has[3] ? 1 : 0) + gw_activate_grad_flops((GwEpilogue)s->attr[1]);
  return gw_rows(&s->in[0]) * gw_columns(&s->in[1]) * (2 * gw_columns(&s->in[0]) + each);
}

static void linear_dx_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *w = call->in[1], *pre = call->in[2], *residual = call->in[3];
  gw_real *dx = call->out[0];
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  GwOperands operands = (GwOperands)call->shapes.attr[0];
  for (int64_t n = first; n < last; n++)
    for (int64_t i = 0; i < in; i++) {
      gw_real d = gw_product(operands, dy + n * out, 1, w + i, in, out);
      if (pre) d = gw_activate_grad((GwEpilogue)call->shapes.attr[1], d, pre[n * in + i]);
      dx[n * in + i] = residual ? d + residual[n * in + i] : d;
    }
  if (residual) GW_WORK((last - first) * in);
}

static void linear_dx_example(GwExample *e) {
  int64_t count = gw_example_size(e, 127), out = gw_example_size(e, 127);
  int64_t in = gw_example_size(e, 127);
  GwType dx = gw_type_2d(GW_F32, count, in);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, count, out), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, out, in), 1);
  e->shapes.attr[0] = gw_example_operands(e);
  if (gw_rng_below(&e->rng, 2)) {
    gw_example_f32(e, 2, dx, 1);
    e->shapes.attr[1] = gw_rng_below(&e->rng, 2) ? GW_EPILOGUE_GELU : GW_EPILOGUE_RELU2;
  }
  if (gw_rng_below(&e->rng, 2)) gw_example_f32(e, 3, dx, 1);
}

const GwOpDef GW_OP_DEF(linear_dx) = {
    .name = "linear_dx",
    .formula = "dx = (dy weight) activation'(pre) + residual",
    .in = {{"dy", GW_F32, 0},
           {"weight", GW_F32, 0},
           {"pre", GW_F32, GW_ARG_OPTIONAL},
           {"residual", GW_F32, GW_ARG_OPTIONAL}},
    .out = {{"dx", GW_F32, 0}},
    .attr = {"operands", "activation"},
    .shape = linear_dx_shape,
    .flops = linear_dx_flops,
    .scratch = product_scratch,
    .units = rows,
    .reference = linear_dx_reference,
    .example = linear_dx_example,
    .bound = 1e-5,
};
