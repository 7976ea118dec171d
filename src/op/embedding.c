/* embedding      y[n,:] = table[ids[n],:]
 * embedding_sum  its gradient: sum[ids[n],:] += fixed(dy[n,:]), straight into the fixed-point sum,
 *                so that no dense [V,C] gradient exists and the order of ids cannot matter. */
#include "op/fixed_point.h"

static GwStatus embedding_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2, "embedding", "table must be [V,C]");
  GW_REQUIRE(s->in[1].rank == 1, "embedding", "ids must be [N]");
  s->out[0] = gw_type_2d(GW_F32, gw_rows(&s->in[1]), gw_columns(&s->in[0]));
  return GW_OK;
}

static void embedding_gradient(GwGradient *g, const GwOp *op) {
  if (!gw_gradient_wanted(g, op->in[0])) return;
  GwProgram *p = gw_gradient_program(g);
  GwAccumulator to = gw_gradient_accumulator(g, op->in[0]);
  gw_emit(p, GW_OP_EMBEDDING_SUM,
          GW_IN(gw_gradient_out(g, op, 0), op->in[1], to.sum, to.signature, to.guard, to.fresh),
          GW_ATTR(to.first, to.limit));
}

static int64_t embedding_flops(const GwShapes *s) {
  (void)s;
  return 0;
}

/* The rows that are looked up, not the table. */
static int64_t embedding_bytes(const GwShapes *s) {
  return (int64_t)(2 * gw_type_size(&s->out[0]) + gw_type_size(&s->in[1]));
}

static int64_t embedding_units(const GwShapes *s) { return gw_rows(&s->in[1]); }

static void embedding_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *table = call->in[0];
  const int32_t *ids = call->in[1];
  gw_real *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  for (int64_t n = first; n < last; n++)
    for (int64_t c = 0; c < width; c++) y[n * width + c] = table[ids[n] * width + c];
}

static void embedding_example(GwExample *e) {
  int64_t vocab = gw_example_size(e, 65), width = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, vocab, width), 1);
  e->in[0].param = true;
  gw_example_ids(e, 1, gw_example_size(e, 65), 0, vocab);
}

const GwOpDef GW_OP_DEF(embedding) = {
    .name = "embedding",
    .formula = "y[n,:] = table[ids[n],:]",
    .in = {{"table", GW_F32, 0}, {"ids", GW_I32, 0}},
    .out = {{"y", GW_F32, 0}},
    .shape = embedding_shape,
    .gradient = embedding_gradient,
    .flops = embedding_flops,
    .bytes = embedding_bytes,
    .units = embedding_units,
    .reference = embedding_reference,
    .example = embedding_example,
};

static GwStatus embedding_sum_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2, "embedding_sum", "dy must be [N,C]");
  GW_REQUIRE(gw_is_vector(&s->in[1], gw_rows(&s->in[0])), "embedding_sum", "ids must be [N]");
  GW_REQUIRE(s->in[2].rank == 2 && gw_columns(&s->in[2]) == gw_columns(&s->in[0]), "embedding_sum",
             "sum must be [V,C]");
  GW_REQUIRE(!s->has[5] || gw_is_counter(&s->in[5], GW_I32, 1), "embedding_sum",
             "fresh must be [1]");
  GW_REQUIRE(gw_attr_whole(s->attr[0], 0), "embedding_sum", "first must be an element number");
  return GW_OK;
}

/* scale, round, weigh, add to the signature, add to the sum */
static int64_t embedding_sum_flops(const GwShapes *s) { return 5 * gw_type_count(&s->in[0]); }

/* Every id another one: its row of the sum is read and written. */
static int64_t embedding_sum_bytes(const GwShapes *s) {
  int64_t sums = gw_type_count(&s->in[0]) * (int64_t)sizeof(int64_t);
  return (int64_t)(gw_type_size(&s->in[0]) + gw_type_size(&s->in[1])) + 2 * sums;
}

static int64_t embedding_sum_units(const GwShapes *s) { return gw_rows(&s->in[2]); }

/* Unit v: all tokens with id v. One contribution may be limit/N, so that N of them stay in range.
 */
static void embedding_sum_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *dy = call->in[0];
  const int32_t *ids = call->in[1];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  GwFixedSum sum = gw_fixed_sum_begin(call, 2, 0);
  sum.limit /= (double)rows;
  for (int64_t i = first * width; sum.fresh && i < last * width; i++) sum.sum[i] = 0;
  sum.fresh = false; /* an id may come again */
  for (int64_t n = 0; n < rows; n++) {
    if (ids[n] < first || ids[n] >= last) continue;
    for (int64_t c = 0; c < width; c++)
      gw_fixed_sum_add(&sum, ids[n] * width + c, dy[n * width + c]);
  }
  gw_fixed_sum_end(&sum, call, 2);
}

static void embedding_sum_example(GwExample *e) {
  int64_t vocab = gw_example_size(e, 65), width = gw_example_size(e, 65);
  int64_t rows = gw_example_size(e, 65);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 1e-3);
  gw_example_ids(e, 1, rows, 0, vocab);
  e->shapes.in[2] = gw_type_2d(GW_I64, vocab, width);
  e->shapes.in[3] = gw_type_1d(GW_U64, 1);
  e->shapes.in[4] = gw_type_1d(GW_I64, 1);
  e->shapes.has[2] = e->shapes.has[3] = e->shapes.has[4] = true;
  if (gw_rng_below(&e->rng, 3) > 0) gw_example_ids(e, 5, 1, 0, 2);
  e->shapes.attr[0] = 48;
  e->shapes.attr[1] = 0.002 * (double)rows; /* some contributions are out of range */
}

const GwOpDef GW_OP_DEF(embedding_sum) = {
    .name = "embedding_sum",
    .formula = "sum[ids[n],:] += nearest(dy[n,:] 2^44); signature += weight * the same",
    .in = {{"dy", GW_F32, 0},
           {"ids", GW_I32, 0},
           {"sum", GW_I64, GW_ARG_INOUT},
           {"signature", GW_U64, GW_ARG_INOUT},
           {"guard", GW_I64, GW_ARG_INOUT},
           {"fresh", GW_I32, GW_ARG_OPTIONAL}},
    .attr = {"first", "limit"},
    .shape = embedding_sum_shape,
    .flops = embedding_sum_flops,
    .bytes = embedding_sum_bytes,
    .units = embedding_sum_units,
    .reference = embedding_sum_reference,
    .example = embedding_sum_example,
};
