/* Weights that stay packed from one run of a program to the next, until the parameters change:
 * the lanes of a step multiply by the same weights. */
#ifndef GW_KEPT_H
#define GW_KEPT_H

#include "op/shape.h"

/* The second operand of a product, in the layout of the kernel that packs it. */
struct GwKept {
  float *at;    /* 64-byte aligned; borrowed */
  bool current; /* it stands there; set by the product that packs it */
};

/* A weight W [out,in] is kept for the products x Wᵀ and dy W: GwCall.kept has one for each. */
enum { GW_KEPT_Y, GW_KEPT_DX, GW_KEPT_COUNT };

/* Which of the two products an op makes with its second input, bit GW_KEPT_Y and bit GW_KEPT_DX. */
static inline unsigned gw_kept_uses(GwOpcode code) {
  switch (code) {
  case GW_OP_LINEAR:
  case GW_OP_LINEAR_ACTIVATION: return 1u << GW_KEPT_Y;
  case GW_OP_LINEAR_DX: return 1u << GW_KEPT_DX;
  case GW_OP_HEAD_LOSS_SUM: return 1u << GW_KEPT_Y | 1u << GW_KEPT_DX;
  default: return 0;
  }
}

/* Floats enough for packing depth x columns in any instruction set's layout (gemm_parts.h). */
static inline int64_t gw_kept_room(int64_t depth, int64_t columns) {
  int64_t blocks = depth / 256 + 1; /* of k, each with a step more and perhaps an odd one */
  return (columns + 31) / 32 * 32 * (depth + 2 * blocks);
}

#endif
