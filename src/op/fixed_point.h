/* Gradients into exact sums: the rounding, the signature and the guard that every accumulating op
 * shares, for their shape rules, references and examples (what they mean: fixed.c). */
#ifndef GW_FIXED_POINT_H
#define GW_FIXED_POINT_H

#include "op/shape.h"

static inline bool gw_is_counter(const GwType *type, GwDtype dtype, int64_t n) {
  return type->dtype == dtype && gw_is_vector(type, n);
}

/* Checks the arguments sum, signature, guard and fresh (optional), the first at `in`, and the attributes first and
 * limit, the first at `attr`; `gradient` is the type of what is added up. */
static inline GwStatus gw_accumulator_check(const char *op, const GwShapes *s, int in, int attr,
                                            GwType gradient) {
  gradient.dtype = GW_I64;
  GW_REQUIRE(gw_type_equal(&gradient, &s->in[in]), op, "sum must have the gradient's shape");
  GW_REQUIRE(gw_is_counter(&s->in[in + 1], GW_U64, 1) && gw_is_counter(&s->in[in + 2], GW_I64, 1),
             op, "signature and guard must be [1]");
  GW_REQUIRE(!s->has[in + 3] || gw_is_counter(&s->in[in + 3], GW_I32, 1), op, "fresh must be [1]");
  GW_REQUIRE(gw_attr_whole(s->attr[attr], 0), op, "first must be an element number");
  GW_REQUIRE(s->attr[attr + 1] > 0 && s->attr[attr + 1] <= 0x1p18, op,
             "limit must be in (0, 2^18]");
  return GW_OK;
}

/* One reference call's part of a sum. */
typedef struct {
  int64_t *sum;
  int64_t number; /* of the sum's first element, for the signature's weights */
  double limit;
  bool fresh; /* its old elements count as 0 */
  uint64_t signature;
  int64_t bad;
} GwFixedSum;

/* Adds g to element i of the sum. */
static inline void gw_fixed_sum_add(GwFixedSum *to, int64_t i, gw_real g) {
  double value = (double)g;
  bool fits = value <= to->limit && value >= -to->limit; /* false for NaN */
  int64_t fixed = fits ? gw_nearest(value * GW_FIXED_SCALE) : 0;
  to->sum[i] = (to->fresh ? 0 : to->sum[i]) + fixed;
  to->signature += GW_SIGN_WEIGHT(to->number + i) * (uint64_t)fixed;
  to->bad += !fits;
  GW_WORK(5);
}

/* The arguments at `in` and attributes at `attr`, as for gw_accumulator_check. */
static inline GwFixedSum gw_fixed_sum_begin(const GwCall *call, int in, int attr) {
  const int32_t *fresh = call->in[in + 3];
  return (GwFixedSum){.sum = call->in[in],
                      .number = (int64_t)call->shapes.attr[attr],
                      .limit = call->shapes.attr[attr + 1],
                      .fresh = fresh && *fresh};
}

static inline void gw_fixed_sum_end(const GwFixedSum *from, const GwCall *call, int in) {
  gw_atomic_add_u64(call->in[in + 1], from->signature);
  gw_atomic_add_i64(call->in[in + 2], from->bad);
}

static inline void gw_example_counter(GwExample *e, int i, GwDtype dtype, int64_t n) {
  e->shapes.in[i] = gw_type_1d(dtype, n);
  e->shapes.has[i] = true;
}

/* sum, signature, guard and at times fresh for a [rows,columns] gradient; `tight` is a limit that some of the
 * gradient's elements exceed. */
static inline void gw_example_accumulator(GwExample *e, int in, int attr, int64_t rows,
                                          int64_t columns, double tight) {
  e->shapes.in[in] = gw_type_2d(GW_I64, rows, columns);
  e->shapes.has[in] = true;
  gw_example_counter(e, in + 1, GW_U64, 1);
  gw_example_counter(e, in + 2, GW_I64, 1);
  if (gw_rng_below(&e->rng, 3) > 0) gw_example_ids(e, in + 3, 1, 0, 2);
  e->shapes.attr[attr] = (double)gw_rng_below(&e->rng, 1u << 30);
  e->shapes.attr[attr + 1] = gw_rng_below(&e->rng, 2) ? tight : 0x1p18;
}

#endif
