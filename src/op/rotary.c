/* rotary_table  angle(t,i) = t theta^(-2i/D), i < D/2;
 *               table[t] = cos(t,0..D/2), sin(t,0..D/2)   [T,D]
 * rotary        each head's pair (i, i + D/2) is turned by its angle  (Su et al. 2021, in the
 *               rotate-half layout of Hugging Face's llama):
 *               y[i] = x[i] c - x[i+D/2] s,  y[i+D/2] = x[i+D/2] c + x[i] s
 *               x [N,H·D], positions [N]; attribute sign -1 turns back, which is the gradient.
 * The table is computed in double with base/mathd.h: setup work, the same bits everywhere. */
#include "base/mathd.h"
#include "op/shape.h"

static GwStatus rotary_table_shape(GwShapes *s) {
  GW_REQUIRE(gw_attr_whole(s->attr[0], 1), "rotary_table", "context must be a whole number");
  GW_REQUIRE(gw_attr_whole(s->attr[1], 2) && (int64_t)s->attr[1] % 2 == 0, "rotary_table",
             "the head size must be even");
  GW_REQUIRE(s->attr[2] > 1, "rotary_table", "theta must be above 1");
  s->out[0] = gw_type_2d(GW_F32, (int64_t)s->attr[0], (int64_t)s->attr[1]);
  return GW_OK;
}

/* Of a pair: the angle, 9 that bring it near 0, 37 of the two series; the powers, one of a pair and
 * call, are not counted. */
enum { TURN_FLOPS = 47 };

static int64_t rotary_table_flops(const GwShapes *s) {
  return TURN_FLOPS * (gw_type_count(&s->out[0]) / 2);
}

static int64_t rotary_table_units(const GwShapes *s) { return gw_rows(&s->out[0]); }

static void rotary_table_reference(const GwCall *call, int64_t first, int64_t last) {
  gw_real *table = call->out[0];
  int64_t half = (int64_t)call->shapes.attr[1] / 2;
  for (int64_t i = 0; i < half; i++) {
    double frequency = gw_pow_f64(call->shapes.attr[2], -(double)i / (double)half);
    for (int64_t t = first; t < last; t++) {
      table[t * 2 * half + i] = (gw_real)gw_cos_f64((double)t * frequency);
      table[t * 2 * half + half + i] = (gw_real)gw_sin_f64((double)t * frequency);
      GW_WORK(TURN_FLOPS);
    }
  }
}

static void rotary_table_example(GwExample *e) {
  e->shapes.attr[0] = (double)gw_example_size(e, 127);
  e->shapes.attr[1] = 2 * (double)gw_example_size(e, 33);
  e->shapes.attr[2] = 10000;
}

const GwOpDef GW_OP_DEF(rotary_table) = {
    .name = "rotary_table",
    .formula = "table[t] = cos, sin of t theta^(-2i/D)",
    .out = {{"table", GW_F32, 0}},
    .attr = {"context", "head", "theta"},
    .shape = rotary_table_shape,
    .flops = rotary_table_flops,
    .units = rotary_table_units,
    .reference = rotary_table_reference,
    .example = rotary_table_example,
    .bound = 1e-6,
};

static GwStatus rotary_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[2].rank == 2, "rotary", "x and table must be matrices");
  GW_REQUIRE(gw_is_vector(&s->in[1], gw_rows(&s->in[0])), "rotary", "positions must be [N]");
  GW_REQUIRE(gw_columns(&s->in[2]) % 2 == 0 && gw_columns(&s->in[2]) > 0 &&
                 gw_columns(&s->in[0]) % gw_columns(&s->in[2]) == 0,
             "rotary", "the head size D of the table must be even and divide x's columns");
  GW_REQUIRE(s->attr[0] == 1 || s->attr[0] == -1, "rotary", "sign must be 1 or -1");
  s->out[0] = s->in[0];
  return GW_OK;
}

static void rotary_gradient(GwGradient *g, const GwOp *op) {
  GwValueId dy = gw_gradient_out(g, op, 0);
  gw_gradient_add(g, op->in[0],
                  gw_emit(gw_gradient_program(g), GW_OP_ROTARY, GW_IN(dy, op->in[1], op->in[2]),
                          GW_ATTR(-op->attr[0])));
}

static int64_t rotary_flops(const GwShapes *s) { return 3 * gw_type_count(&s->in[0]); }

static int64_t rotary_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void rotary_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0], *table = call->in[2];
  const int32_t *positions = call->in[1];
  gw_real *y = call->out[0], sign = (gw_real)call->shapes.attr[0];
  int64_t width = gw_columns(&call->shapes.in[0]), head = gw_columns(&call->shapes.in[2]);
  int64_t half = head / 2;
  for (int64_t n = first; n < last; n++) {
    const gw_real *cosine = table + positions[n] * head, *sine = cosine + half;
    for (int64_t at = n * width; at < (n + 1) * width; at += head)
      for (int64_t i = 0; i < half; i++) {
        gw_real a = x[at + i], b = x[at + half + i], s = sign * sine[i];
        y[at + i] = gw_fma(a, cosine[i], -(b * s));
        y[at + half + i] = gw_fma(b, cosine[i], a * s);
      }
    GW_WORK(3 * width);
  }
}

static void rotary_example(GwExample *e) {
  int64_t head = 2 * gw_example_size(e, 33), rows = gw_example_size(e, 65);
  int64_t context = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, head * (1 + (int64_t)gw_rng_below(&e->rng, 3))), 1);
  gw_example_ids(e, 1, rows, 0, context);
  gw_example_f32(e, 2, gw_type_2d(GW_F32, context, head), 1);
  e->shapes.attr[0] = gw_rng_below(&e->rng, 2) ? 1 : -1;
}

const GwOpDef GW_OP_DEF(rotary) = {
    .name = "rotary",
    .formula = "pairs (i, i+D/2) of each head turned by sign * angle(position, i)",
    .in = {{"x", GW_F32, 0}, {"positions", GW_I32, 0}, {"table", GW_F32, GW_ARG_CONSTANT}},
    .out = {{"y", GW_F32, 0}},
    .attr = {"sign"},
    .shape = rotary_shape,
    .gradient = rotary_gradient,
    .flops = rotary_flops,
    .units = rotary_units,
    .reference = rotary_reference,
    .example = rotary_example,
    .bound = 1e-6,
};
