/* Helpers for shape rules and examples. */
#ifndef GW_SHAPE_H
#define GW_SHAPE_H

#include "op/real.h"

/* One line per rule: `what` says what must hold. */
#define GW_REQUIRE(condition, op, what)                                                            \
  do {                                                                                             \
    if (!(condition)) return gw_fail(GW_INVALID, "%s: %s", (op), (what));                          \
  } while (0)

static inline int64_t gw_rows(const GwType *type) { return type->dim[0]; }
static inline int64_t gw_columns(const GwType *type) { return type->dim[1]; }
static inline bool gw_is_matrix(const GwType *type, int64_t rows, int64_t columns) {
  return type->rank == 2 && type->dim[0] == rows && type->dim[1] == columns;
}
static inline bool gw_is_vector(const GwType *type, int64_t n) {
  return type->rank == 1 && type->dim[0] == n;
}

/* A whole-number attribute in [low, 2^40]. */
static inline bool gw_attr_whole(double value, double low) {
  return value >= low && value <= 0x1p40 && (double)(int64_t)value == value;
}

/* Whether a·b·c operations, a few dozen times over, can be counted in 64 bits. */
static inline bool gw_countable(int64_t a, int64_t b, int64_t c) {
  return gw_mul_i64(a, b, &a) && gw_mul_i64(a, c, &a) && a <= INT64_MAX >> 5;
}

/* Random sizes for examples: odd ones, powers of two, 1. Where one is asked to be very long it is
 * 4097, if it may be 127, and the others are small. */
static inline int64_t gw_example_size(GwExample *example, int64_t largest) {
  static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 48, 64, 65, 127};
  if (++example->sizes == example->long_size && largest >= 127) return GW_EXAMPLE_LONG;
  if (example->long_size > 0) largest = gw_min_i64(largest, 17);
  int64_t size;
  do {
    size = sizes[gw_rng_below(&example->rng, GW_COUNT_OF(sizes))];
  } while (size > largest);
  return size;
}

static inline void gw_example_f32(GwExample *example, int i, GwType type, double scale) {
  example->shapes.in[i] = type;
  example->shapes.has[i] = true;
  example->in[i].fill = GW_FILL_NORMAL;
  example->in[i].scale = scale;
}

static inline void gw_example_ids(GwExample *example, int i, int64_t n, int64_t low, int64_t high) {
  example->shapes.in[i] = gw_type_1d(GW_I32, n);
  example->shapes.has[i] = true;
  example->in[i].fill = GW_FILL_BELOW;
  example->in[i].low = low;
  example->in[i].high = high;
}

#endif
