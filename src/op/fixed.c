/* Exact sums. A gradient is rounded once, to the nearest multiple of 2^-44, and added as an
 * integer, so that no order can matter; the signature Σ weight(i) q_i mod 2^64 is linear, so that
 * the signature of a total must equal the sum of its parts'.
 *
 * accumulate  q_i = nearest(g_i 2^44); sum_i += q_i; signature += weight(first + i) q_i;
 *             a value out of [-limit, limit] or NaN counts in `guard` and adds nothing.
 *             Where fresh is 1, what stands in sum counts as 0: the step's first lane needs no sums
 *             cleared before it. Every op that adds to a sum has these arguments
 * tally       tally[0] += nearest(loss_n 2^32), tally[1] += 1 for every target >= 0;
 *             tally[2] += 1 for a loss that is out of range or NaN */
#include "op/fixed_point.h"

enum { BLOCK = 4096 }; /* elements per unit */

static int64_t blocks(const GwShapes *s) { return gw_ceil_div(gw_type_count(&s->in[0]), BLOCK); }

static GwStatus accumulate_shape(GwShapes *s) {
  return gw_accumulator_check("accumulate", s, 1, 0, s->in[0]);
}

static int64_t accumulate_flops(const GwShapes *s) { return 5 * gw_type_count(&s->in[0]); }

static void accumulate_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *g = call->in[0];
  int64_t end = gw_min_i64(last * BLOCK, gw_type_count(&call->shapes.in[0]));
  GwFixedSum sum = gw_fixed_sum_begin(call, 1, 0);
  for (int64_t i = first * BLOCK; i < end; i++) gw_fixed_sum_add(&sum, i, g[i]);
  gw_fixed_sum_end(&sum, call, 1);
}

static void accumulate_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 127), width = gw_example_size(e, 127);
  if (gw_rng_below(&e->rng, 4) == 0) width = (1 << 19) / rows + 17; /* beyond any small cache */
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 0.01);
  gw_example_accumulator(e, 1, 0, rows, width, 0.02);
}

const GwOpDef GW_OP_DEF(accumulate) = {
    .name = "accumulate",
    .formula = "q = nearest(g 2^44); sum += q; signature += weight q",
    .in = {{"g", GW_F32, 0},
           {"sum", GW_I64, GW_ARG_INOUT},
           {"signature", GW_U64, GW_ARG_INOUT},
           {"guard", GW_I64, GW_ARG_INOUT},
           {"fresh", GW_I32, GW_ARG_OPTIONAL}},
    .attr = {"first", "limit"},
    .shape = accumulate_shape,
    .flops = accumulate_flops,
    .units = blocks,
    .reference = accumulate_reference,
    .example = accumulate_example,
};

static GwStatus tally_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 1 && gw_is_vector(&s->in[1], s->in[0].dim[0]), "tally",
             "losses and targets must be [N]");
  GW_REQUIRE(gw_is_counter(&s->in[2], GW_I64, 3), "tally", "tally must be [3]");
  return GW_OK;
}

static int64_t tally_flops(const GwShapes *s) { return 3 * gw_type_count(&s->in[0]); }

static void tally_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *losses = call->in[0];
  const int32_t *targets = call->in[1];
  int64_t *tally = call->in[2];
  int64_t end = gw_min_i64(last * BLOCK, gw_type_count(&call->shapes.in[0]));
  int64_t sum = 0, real = 0, bad = 0;
  for (int64_t n = first * BLOCK; n < end; n++) {
    double loss = (double)losses[n];
    bool fits = loss < 0x1p12 && loss > -0x1p12;
    sum += fits ? gw_nearest(loss * GW_LOSS_SCALE) : 0;
    real += targets[n] >= 0;
    bad += !fits;
    GW_WORK(3);
  }
  gw_atomic_add_i64(&tally[0], sum);
  gw_atomic_add_i64(&tally[1], real);
  gw_atomic_add_i64(&tally[2], bad);
}

static void tally_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_1d(GW_F32, rows), gw_rng_below(&e->rng, 2) ? 5 : 4000);
  gw_example_ids(e, 1, rows, -1, 5);
  gw_example_counter(e, 2, GW_I64, 3);
}

const GwOpDef GW_OP_DEF(tally) = {
    .name = "tally",
    .formula = "tally += nearest(losses 2^32), counted targets, bad losses",
    .in = {{"losses", GW_F32, 0}, {"targets", GW_I32, 0}, {"tally", GW_I64, GW_ARG_INOUT}},
    .shape = tally_shape,
    .flops = tally_flops,
    .units = blocks,
    .reference = tally_reference,
    .example = tally_example,
};
