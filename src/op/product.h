/* Matrix products in reference kernels, and the attribute `operands` that says how their factors
 * are taken (constants.h). */
#ifndef GW_PRODUCT_H
#define GW_PRODUCT_H

#include "op/shape.h"

static inline bool gw_is_operands(double value) {
  return value == GW_OPERANDS_F32 || value == GW_OPERANDS_BF16;
}

/* Σ a_i b_i, one element of a matrix product. */
static inline gw_real gw_product(GwOperands operands, const gw_real *a, int64_t a_stride,
                                 const gw_real *b, int64_t b_stride, int64_t n) {
  if (operands == GW_OPERANDS_BF16) return gw_dot_bf16(a, a_stride, b, b_stride, n);
  return gw_dot(a, a_stride, b, b_stride, n);
}

/* The same for a chain that a kernel makes term by term: which of the n terms comes i-th, and sum
 * with one term added. */
static inline int64_t gw_product_term(GwOperands operands, int64_t i, int64_t n) {
  return operands == GW_OPERANDS_BF16 && (i ^ 1) < n ? i ^ 1 : i;
}

static inline gw_real gw_product_add(GwOperands operands, gw_real a, gw_real b, gw_real sum) {
  if (operands == GW_OPERANDS_BF16) return gw_fma_bf16(gw_bf16_round(a), gw_bf16_round(b), sum);
  return gw_fma(a, b, sum);
}

static inline double gw_example_operands(GwExample *example) {
  return (double)gw_rng_below(&example->rng, 2);
}

#endif
