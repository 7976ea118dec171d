/* Activations, element by element, and their gradients:
 *   gelu    y = x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x³)    (Hendrycks and Gimpel 2016)
 *   swiglu  y = silu(gate) up, silu(g) = g sigmoid(g)                  (Shazeer 2020)
 *   relu2   y = max(x, 0)²                                             (So et al. 2021)
 * Units are rows. */
#include "op/epilogue.h"

static GwStatus same_shapes(GwShapes *s, const char *op, int count) {
  GW_REQUIRE(s->in[0].rank == 2, op, "arguments must be [N,F]");
  for (int i = 1; i < count; i++)
    GW_REQUIRE(gw_type_equal(&s->in[0], &s->in[i]), op, "arguments must have one shape");
  s->out[0] = s->in[0];
  return GW_OK;
}

static int64_t rows(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void examples(GwExample *e, int count) {
  GwType type = gw_type_2d(GW_F32, gw_example_size(e, 65), gw_example_size(e, 127));
  if (e->long_size == GW_EXAMPLE_LARGE)
    type = gw_type_2d(GW_F32, 2049, 2049); /* beyond most caches */
  for (int i = 0; i < count; i++) gw_example_f32(e, i, type, 2);
}

/* ---- gelu ---- */

static GwStatus gelu_shape(GwShapes *s) { return same_shapes(s, "gelu", 1); }

static void gelu_gradient(GwGradient *g, const GwOp *op) {
  gw_gradient_add(g, op->in[0],
                  gw_emit(gw_gradient_program(g), GW_OP_GELU_GRAD,
                          GW_IN(gw_gradient_out(g, op, 0), op->in[0]), GW_ATTR(0)));
}

static int64_t gelu_flops(const GwShapes *s) { return 13 * gw_type_count(&s->in[0]); }

static void gelu_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0];
  gw_real *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++) y[i] = gw_activate(GW_EPILOGUE_GELU, x[i]);
}

static void gelu_example(GwExample *e) { examples(e, 1); }

const GwOpDef GW_OP_DEF(gelu) = {
    .name = "gelu",
    .formula = "y = x/2 (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3)))",
    .in = {{"x", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}},
    .shape = gelu_shape,
    .gradient = gelu_gradient,
    .flops = gelu_flops,
    .units = rows,
    .reference = gelu_reference,
    .example = gelu_example,
    .bound = 1e-6,
};

static GwStatus gelu_grad_shape(GwShapes *s) { return same_shapes(s, "gelu_grad", 2); }

static int64_t gelu_grad_flops(const GwShapes *s) { return 23 * gw_type_count(&s->in[0]); }

static void gelu_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1];
  gw_real *dx = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++)
    dx[i] = gw_activate_grad(GW_EPILOGUE_GELU, dy[i], x[i]);
}

static void gelu_grad_example(GwExample *e) { examples(e, 2); }

const GwOpDef GW_OP_DEF(gelu_grad) = {
    .name = "gelu_grad",
    .formula = "dx = dy gelu'(x)",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}},
    .shape = gelu_grad_shape,
    .flops = gelu_grad_flops,
    .units = rows,
    .reference = gelu_grad_reference,
    .example = gelu_grad_example,
    .bound = 1e-6,
};

/* ---- swiglu ---- */

static GwStatus swiglu_shape(GwShapes *s) { return same_shapes(s, "swiglu", 2); }

static void swiglu_gradient(GwGradient *g, const GwOp *op) {
  GwValueId d = gw_emit(gw_gradient_program(g), GW_OP_SWIGLU_GRAD,
                        GW_IN(gw_gradient_out(g, op, 0), op->in[0], op->in[1]), GW_ATTR(0));
  gw_gradient_add(g, op->in[0], d);
  gw_gradient_add(g, op->in[1], d + 1);
}

static int64_t swiglu_flops(const GwShapes *s) { return 6 * gw_type_count(&s->in[0]); }

static void swiglu_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *gate = call->in[0], *up = call->in[1];
  gw_real *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++) {
    y[i] = gate[i] * gw_sigmoid(gate[i]) * up[i];
    GW_WORK(6);
  }
}

static void swiglu_example(GwExample *e) { examples(e, 2); }

const GwOpDef GW_OP_DEF(swiglu) = {
    .name = "swiglu",
    .formula = "y = gate sigmoid(gate) up",
    .in = {{"gate", GW_F32, 0}, {"up", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}},
    .shape = swiglu_shape,
    .gradient = swiglu_gradient,
    .flops = swiglu_flops,
    .units = rows,
    .reference = swiglu_reference,
    .example = swiglu_example,
    .bound = 1e-6,
};

static GwStatus swiglu_grad_shape(GwShapes *s) {
  GW_TRY(same_shapes(s, "swiglu_grad", 3));
  s->out[1] = s->out[0];
  return GW_OK;
}

static int64_t swiglu_grad_flops(const GwShapes *s) { return 12 * gw_type_count(&s->in[0]); }

/* d gate = dy up (σ + silu (1 - σ)), d up = dy silu */
static void swiglu_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *gate = call->in[1], *up = call->in[2];
  gw_real *d_gate = call->out[0], *d_up = call->out[1];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++) {
    gw_real sigmoid = gw_sigmoid(gate[i]), silu = gate[i] * sigmoid;
    d_gate[i] = dy[i] * up[i] * gw_fma(silu, 1 - sigmoid, sigmoid);
    d_up[i] = dy[i] * silu;
    GW_WORK(12);
  }
}

static void swiglu_grad_example(GwExample *e) { examples(e, 3); }

const GwOpDef GW_OP_DEF(swiglu_grad) = {
    .name = "swiglu_grad",
    .formula = "d_gate = dy up (s + silu (1 - s)), d_up = dy silu, s = sigmoid(gate)",
    .in = {{"dy", GW_F32, 0}, {"gate", GW_F32, 0}, {"up", GW_F32, 0}},
    .out = {{"d_gate", GW_F32, 0}, {"d_up", GW_F32, 0}},
    .shape = swiglu_grad_shape,
    .flops = swiglu_grad_flops,
    .units = rows,
    .reference = swiglu_grad_reference,
    .example = swiglu_grad_example,
    .bound = 1e-6,
};

/* ---- relu2 ---- */

static GwStatus relu2_shape(GwShapes *s) { return same_shapes(s, "relu2", 1); }

static void relu2_gradient(GwGradient *g, const GwOp *op) {
  gw_gradient_add(g, op->in[0],
                  gw_emit(gw_gradient_program(g), GW_OP_RELU2_GRAD,
                          GW_IN(gw_gradient_out(g, op, 0), op->in[0]), GW_ATTR(0)));
}

static int64_t relu2_flops(const GwShapes *s) { return 2 * gw_type_count(&s->in[0]); }

static void relu2_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0];
  gw_real *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++)
    y[i] = gw_activate(GW_EPILOGUE_RELU2, x[i]);
}

static void relu2_example(GwExample *e) { examples(e, 1); }

const GwOpDef GW_OP_DEF(relu2) = {
    .name = "relu2",
    .formula = "y = max(x, 0)^2",
    .in = {{"x", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}},
    .shape = relu2_shape,
    .gradient = relu2_gradient,
    .flops = relu2_flops,
    .units = rows,
    .reference = relu2_reference,
    .example = relu2_example,
    .bound = 1e-6,
};

static GwStatus relu2_grad_shape(GwShapes *s) { return same_shapes(s, "relu2_grad", 2); }

static int64_t relu2_grad_flops(const GwShapes *s) { return 3 * gw_type_count(&s->in[0]); }

static void relu2_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0], *x = call->in[1];
  gw_real *dx = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++)
    dx[i] = gw_activate_grad(GW_EPILOGUE_RELU2, dy[i], x[i]);
}

static void relu2_grad_example(GwExample *e) { examples(e, 2); }

const GwOpDef GW_OP_DEF(relu2_grad) = {
    .name = "relu2_grad",
    .formula = "dx = dy 2 max(x, 0)",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}},
    .shape = relu2_grad_shape,
    .flops = relu2_grad_flops,
    .units = rows,
    .reference = relu2_grad_reference,
    .example = relu2_grad_example,
    .bound = 1e-6,
};
