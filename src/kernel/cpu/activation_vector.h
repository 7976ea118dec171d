/* Activations of one argument on vectors: gw_activate and gw_activate_grad (op/epilogue.h), lane by
 * lane. */
#ifndef GW_ACTIVATION_VECTOR_H
#define GW_ACTIVATION_VECTOR_H

#include "kernel/cpu/simd.h"

static inline gw_vf gw_v_gelu_tanh(gw_vf x) {
  gw_vf one = gw_v_set(1.0f), cube = gw_v_mul(gw_v_set(GW_GELU_CUBE), x);
  gw_vf u = gw_v_mul(gw_v_set(GW_GELU_SCALE), gw_v_fma(cube, gw_v_mul(x, x), x));
  gw_vf e = gw_v_add(one, gw_v_exp(gw_v_add(u, u)));
  return gw_v_sub(one, gw_v_div(gw_v_set(2.0f), e));
}

static inline gw_vf gw_v_gelu(gw_vf x) {
  gw_vf half = gw_v_mul(x, gw_v_set(0.5f));
  return gw_v_mul(half, gw_v_add(gw_v_set(1.0f), gw_v_gelu_tanh(x)));
}

static inline gw_vf gw_v_gelu_grad(gw_vf dy, gw_vf x) {
  gw_vf one = gw_v_set(1.0f), half = gw_v_set(0.5f), t = gw_v_gelu_tanh(x);
  gw_vf slope = gw_v_fma(gw_v_set(3 * GW_GELU_CUBE), gw_v_mul(x, x), one);
  slope = gw_v_mul(gw_v_set(GW_GELU_SCALE), slope);
  gw_vf bend = gw_v_mul(gw_v_fma(gw_v_neg(t), t, one), slope);
  gw_vf d = gw_v_fma(gw_v_mul(x, half), bend, gw_v_mul(half, gw_v_add(one, t)));
  return gw_v_mul(dy, d);
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
