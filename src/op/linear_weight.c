/* The gradients of a linear op's parameters, from dy [N,O] and x [N,I]:
 * linear_dw   dW = dyᵀ x        → [O,I]
 * linear_sum  the same straight into dW's fixed-point sum: never stored, added up as by accumulate
 * column_sum  db = Σ_n dy[n,:]  → [O]
 * Each element is a chain in the order of n, starting at 0 (with bf16 operands: gw_dot_bf16). */
#include "op/fixed_point.h"
#include "op/product.h"
#include "op/scratch.h"

static GwStatus check(const char *op, const GwShapes *s, double operands) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2, op, "dy and x must be matrices");
  GW_REQUIRE(gw_rows(&s->in[0]) == gw_rows(&s->in[1]), op, "dy [N,O] and x [N,I] must agree in N");
  GW_REQUIRE(gw_is_operands(operands), op, "operands must be 0 (f32) or 1 (bf16)");
  return GW_OK;
}

static int64_t product_scratch(const GwShapes *s) {
  (void)s;
  return GW_GEMM_SCRATCH;
}

static int64_t columns(const GwShapes *s) { return gw_columns(&s->in[0]); }

static int64_t linear_dw_flops(const GwShapes *s) {
  return 2 * gw_type_count(&s->in[0]) * gw_columns(&s->in[1]);
}

/* Element (o, i) of dyᵀ x. */
static gw_real product_at(const GwCall *call, GwOperands operands, int64_t o, int64_t i) {
  const gw_real *dy = call->in[0], *x = call->in[1];
  int64_t out = gw_columns(&call->shapes.in[0]), in = gw_columns(&call->shapes.in[1]);
  return gw_product(operands, dy + o, out, x + i, in, gw_rows(&call->shapes.in[0]));
}

static void example(GwExample *e, double scale) {
  int64_t rows = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, gw_example_size(e, 127)), scale);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, rows, gw_example_size(e, 127)), scale);
}

/* ---- linear_dw ---- */

static GwStatus linear_dw_shape(GwShapes *s) {
  GW_TRY(check("linear_dw", s, s->attr[0]));
  s->out[0] = gw_type_2d(GW_F32, gw_columns(&s->in[0]), gw_columns(&s->in[1]));
  return GW_OK;
}

static void linear_dw_reference(const GwCall *call, int64_t first, int64_t last) {
  gw_real *dw = call->out[0];
  int64_t in = gw_columns(&call->shapes.in[1]);
  for (int64_t o = first; o < last; o++)
    for (int64_t i = 0; i < in; i++)
      dw[o * in + i] = product_at(call, (GwOperands)call->shapes.attr[0], o, i);
}

static void linear_dw_example(GwExample *e) {
  example(e, 1);
  e->shapes.attr[0] = gw_example_operands(e);
}

const GwOpDef GW_OP_DEF(linear_dw) = {
    .name = "linear_dw",
    .formula = "dW = dy^T x",
    .in = {{"dy", GW_F32, 0}, {"x", GW_F32, 0}},
    .out = {{"dw", GW_F32, 0}},
    .attr = {"operands"},
    .shape = linear_dw_shape,
    .flops = linear_dw_flops,
    .scratch = product_scratch,
    .units = columns,
    .reference = linear_dw_reference,
    .example = linear_dw_example,
    .bound = 1e-5,
};

/* ---- linear_sum ---- */

static GwStatus linear_sum_shape(GwShapes *s) {
  GW_TRY(check("linear_sum", s, s->attr[2]));
  return gw_accumulator_check("linear_sum", s, 2, 0,
                              gw_type_2d(GW_F32, gw_columns(&s->in[0]), gw_columns(&s->in[1])));
}

static int64_t linear_sum_flops(const GwShapes *s) {
  return linear_dw_flops(s) + 5 * gw_columns(&s->in[0]) * gw_columns(&s->in[1]);
}

static void linear_sum_reference(const GwCall *call, int64_t first, int64_t last) {
  int64_t in = gw_columns(&call->shapes.in[1]);
  GwFixedSum sum = gw_fixed_sum_begin(call, 2, 0);
  for (int64_t o = first; o < last; o++)
    for (int64_t i = 0; i < in; i++)
      gw_fixed_sum_add(&sum, o * in + i, product_at(call, (GwOperands)call->shapes.attr[2], o, i));
  gw_fixed_sum_end(&sum, call, 2);
}

static void linear_sum_example(GwExample *e) {
  example(e, 0.1);
  gw_example_accumulator(e, 2, 0, gw_columns(&e->shapes.in[0]), gw_columns(&e->shapes.in[1]), 0.1);
  e->shapes.attr[2] = gw_example_operands(e);
}

const GwOpDef GW_OP_DEF(linear_sum) = {
    .name = "linear_sum",
    .formula = "q = nearest((dy^T x) 2^44); sum += q; signature += weight q",
    .in = {{"dy", GW_F32, 0},
           {"x", GW_F32, 0},
           {"sum", GW_I64, GW_ARG_INOUT},
           {"signature", GW_U64, GW_ARG_INOUT},
           {"guard", GW_I64, GW_ARG_INOUT},
           {"fresh", GW_I32, GW_ARG_OPTIONAL}},
    .attr = {"first", "limit", "operands"},
    .shape = linear_sum_shape,
    .flops = linear_sum_flops,
    .scratch = product_scratch,
    .units = columns,
    .reference = linear_sum_reference,
    .example = linear_sum_example,
};

/* ---- column_sum ---- */

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
    .units = columns,
    .reference = column_sum_reference,
    .example = column_sum_example,
    .bound = 1e-5,
};
