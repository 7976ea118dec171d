/* Activations of one argument on vectors: gw_activate and gw_activate_grad (op/epilogue.h), lane by
 * lane. */
#ifndef GW_ACTIVATION_VECTOR_H
#define GW_ACTIVATION_VECTOR_H

#include "kernel/cpu/simd.h"

/* What is made of `count` <= GW_EXPS vectors, in place: as gw_v_exp_all, they go side by side. */
static inline __attribute__((always_inline)) void gw_v_gelu_tanh_all(gw_vf *x, int count) {
  gw_vf one = gw_v_set(1.0f);
  GW_UNROLL for (int k = 0; k < count; k++) {
    gw_vf cube = gw_v_mul(gw_v_set(GW_GELU_CUBE), x[k]);
    gw_vf u = gw_v_mul(gw_v_set(GW_GELU_SCALE), gw_v_fma(cube, gw_v_mul(x[k], x[k]), x[k]));
    x[k] = gw_v_add(u, u);
  }
  gw_v_exp_all(x, count);
  GW_UNROLL for (int k = 0; k < count; k++) x[k] =
      gw_v_sub(one, gw_v_div(gw_v_set(2.0f), gw_v_add(one, x[k])));
}

static inline __attribute__((always_inline)) void gw_v_gelu_all(gw_vf *x, int count) {
  gw_vf t[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) t[k] = x[k];
  gw_v_gelu_tanh_all(t, count);
  GW_UNROLL for (int k = 0; k < count; k++) {
    gw_vf half = gw_v_mul(x[k], gw_v_set(0.5f));
    x[k] = gw_v_mul(half, gw_v_add(gw_v_set(1.0f), t[k]));
  }
}

/* dy becomes the gradient */
static inline __attribute__((always_inline)) void gw_v_gelu_grad_all(gw_vf *dy, const gw_vf *x,
                                                                     int count) {
  gw_vf one = gw_v_set(1.0f), half = gw_v_set(0.5f), t[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) t[k] = x[k];
  gw_v_gelu_tanh_all(t, count);
  GW_UNROLL for (int k = 0; k < count; k++) {
    gw_vf slope = gw_v_fma(gw_v_set(3 * GW_GELU_CUBE), gw_v_mul(x[k], x[k]), one);
    slope = gw_v_mul(gw_v_set(GW_GELU_SCALE), slope);
    gw_vf bend = gw_v_mul(gw_v_fma(gw_v_neg(t[k]), t[k], one), slope);
    gw_vf d = gw_v_fma(gw_v_mul(x[k], half), bend, gw_v_mul(half, gw_v_add(one, t[k])));
    dy[k] = gw_v_mul(dy[k], d);
  }
}

static inline gw_vf gw_v_relu2(gw_vf x) {
  gw_vf positive = gw_v_max(x, gw_v_zero());
  return gw_v_mul(positive, positive);
}

static inline gw_vf gw_v_relu2_grad(gw_vf dy, gw_vf x) {
  gw_vf positive = gw_v_max(x, gw_v_zero());
  return gw_v_mul(dy, gw_v_add(positive, positive));
}

#endif
