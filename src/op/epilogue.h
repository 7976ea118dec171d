/* Activations of one argument as functions of an element: what gelu and relu2 compute and what the
 * matrix products can apply to their results. */
#ifndef GW_EPILOGUE_H
#define GW_EPILOGUE_H

#include "op/shape.h"

/* The attribute `activation`. */
typedef enum { GW_EPILOGUE_NONE, GW_EPILOGUE_GELU, GW_EPILOGUE_RELU2 } GwEpilogue;

static inline bool gw_is_activation(double value) {
  return value == GW_EPILOGUE_GELU || value == GW_EPILOGUE_RELU2;
}

/* tanh(sqrt(2/pi) (x + 0.044715 x³)) = 1 - 2/(1 + e^(2u)) */
static inline gw_real gw_gelu_tanh(gw_real x) {
  gw_real u = GW_GELU_SCALE * gw_fma(GW_GELU_CUBE * x, x * x, x);
  return 1 - 2 / (1 + gw_exp(u + u));
}

static inline gw_real gw_activate(GwEpilogue activation, gw_real x) {
  if (activation == GW_EPILOGUE_RELU2) {
    gw_real positive = gw_max(x, 0);
    GW_WORK(2);
    return positive * positive;
  }
  GW_WORK(13);
  return x * (gw_real)0.5 * (1 + gw_gelu_tanh(x));
}

/* dy times the activation's slope at x; for gelu
 * h + x/2 (1 - t²) u', h = (1 + t)/2, u' = sqrt(2/pi)(1 + 3·0.044715 x²) */
static inline gw_real gw_activate_grad(GwEpilogue activation, gw_real dy, gw_real x) {
  if (activation == GW_EPILOGUE_RELU2) {
    gw_real positive = gw_max(x, 0);
    GW_WORK(3);
    return dy * (positive + positive);
  }
  gw_real t = gw_gelu_tanh(x);
  gw_real slope = GW_GELU_SCALE * gw_fma(3 * GW_GELU_CUBE, x * x, 1);
  gw_real half = (gw_real)0.5 * (1 + t);
  GW_WORK(23);
  return dy * gw_fma(x * (gw_real)0.5, gw_fma(-t, t, 1) * slope, half);
}

/* Operations per element of the two functions. */
static inline int64_t gw_activate_flops(GwEpilogue activation) {
  return activation == GW_EPILOGUE_NONE ? 0 : activation == GW_EPILOGUE_GELU ? 13 : 2;
}
static inline int64_t gw_activate_grad_flops(GwEpilogue activation) {
  return activation == GW_EPILOGUE_NONE ? 0 : activation == GW_EPILOGUE_GELU ? 23 : 3;
}

#endif
