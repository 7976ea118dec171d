/* add      y = a + b
 * dropout  y = x/(1-rate) where bits(seed, step, lane, site, element) >= rate 2^32, else 0.
 *          Element e takes word e mod 4 of Philox block e/4, so the mask needs no state and no
 *          order; the gradient is the same op with the same site. */
#include "op/shape.h"

static int64_t rows(const GwShapes *s) { return gw_rows(&s->in[0]); }

static GwStatus add_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && gw_type_equal(&s->in[0], &s->in[1]), "add",
             "a and b must be matrices of one shape");
  s->out[0] = s->in[0];
  return GW_OK;
}

static void add_gradient(GwGradient *g, const GwOp *op) {
  gw_gradient_add(g, op->in[0], gw_gradient_out(g, op, 0));
  gw_gradient_add(g, op->in[1], gw_gradient_out(g, op, 0));
}

static int64_t add_flops(const GwShapes *s) { return gw_type_count(&s->in[0]); }

static void add_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *a = call->in[0], *b = call->in[1];
  gw_real *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t i = first * width; i < last * width; i++) y[i] = a[i] + b[i];
  GW_WORK((last - first) * width);
}

static void add_example(GwExample *e) {
  GwType type = gw_type_2d(GW_F32, gw_example_size(e, 127), gw_example_size(e, 127));
  gw_example_f32(e, 0, type, 1);
  gw_example_f32(e, 1, type, 1);
}

const GwOpDef GW_OP_DEF(add) = {
    .name = "add",
    .formula = "y = a + b",
    .in = {{"a", GW_F32, 0}, {"b", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}},
    .shape = add_shape,
    .gradient = add_gradient,
    .flops = add_flops,
    .units = rows,
    .reference = add_reference,
    .example = add_example,
    .bound = 1e-7,
};

static GwStatus dropout_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2, "dropout", "x must be a matrix");
  GW_REQUIRE(s->attr[0] >= 0 && s->attr[0] < 1, "dropout", "rate must be in [0, 1)");
  GW_REQUIRE(gw_attr_whole(s->attr[1], 0), "dropout", "site must be a whole number");
  s->out[0] = s->in[0];
  return GW_OK;
}

static void dropout_gradient(GwGradient *g, const GwOp *op) {
  gw_gradient_add(
      g, op->in[0],
      gw_emit(gw_gradient_program(g), GW_OP_DROPOUT, GW_IN(gw_gradient_out(g, op, 0)), op->attr));
}

static int64_t dropout_flops(const GwShapes *s) { return gw_type_count(&s->in[0]); }

static void dropout_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0];
  gw_real *y = call->out[0], scale = (gw_real)(1 / (1 - call->shapes.attr[0]));
  int64_t width = gw_columns(&call->shapes.in[0]);
  uint32_t threshold = (uint32_t)(call->shapes.attr[0] * 0x1p32);
  uint64_t key = gw_dropout_key(&call->key, call->shapes.attr[1]);
  for (int64_t i = first * width; i < last * width; i++) {
    GwPhilox bits = gw_philox(key, (uint64_t)call->key.step, (uint64_t)i >> 2);
    y[i] = bits.word[i & 3] >= threshold ? x[i] * scale : 0;
  }
  GW_WORK((last - first) * width);
}

static void dropout_example(GwExample *e) {
  gw_example_f32(e, 0, gw_type_2d(GW_F32, gw_example_size(e, 127), gw_example_size(e, 127)), 1);
  e->shapes.attr[0] = gw_rng_uniform(&e->rng) * 0.9;
  e->shapes.attr[1] = (double)gw_rng_below(&e->rng, 100);
}

const GwOpDef GW_OP_DEF(dropout) = {
    .name = "dropout",
    .formula = "y = x/(1-rate) where random bits say so, else 0",
    .in = {{"x", GW_F32, 0}},
    .out = {{"y", GW_F32, 0}},
    .attr = {"rate", "site"},
    .shape = dropout_shape,
    .gradient = dropout_gradient,
    .flops = dropout_flops,
    .units = rows,
    .reference = dropout_reference,
    .example = dropout_example,
    .bound = 1e-7,
};
