/* gelu, swiglu and relu2 with their gradients: element by element, each body once for a whole
 * vector and once for the last elements of a range. */
#include "kernel/cpu/activation_vector.h"
#include "kernel/cpu/kernel.h"

enum { GRAIN = 4096 /* elements worth a task */ };

#define INLINE static inline __attribute__((always_inline))

/* Elements i to i + n, n <= GW_VL. */
typedef void Some(const GwCall *call, int64_t i, int64_t n);

INLINE void each(const GwCall *call, Some *some, int64_t first, int64_t last) {
  int64_t i = first;
  for (; i + GW_VL <= last; i += GW_VL) some(call, i, GW_VL);
  if (i < last) some(call, i, last - i);
}

/* The same of `count` vectors that begin at i; n < GW_VL: of one. */
typedef void Several(const GwCall *call, int64_t i, int64_t n, int count);

INLINE void each_several(const GwCall *call, Several *some, int64_t first, int64_t last) {
  int64_t i = first;
  for (; i + GW_EXPS * GW_VL <= last; i += GW_EXPS * GW_VL) some(call, i, GW_VL, GW_EXPS);
  for (; i + GW_VL <= last; i += GW_VL) some(call, i, GW_VL, 1);
  if (i < last) some(call, i, last - i, 1);
}

INLINE gw_vf get(const GwCall *call, int in, int64_t i, int64_t n) {
  const float *from = (const float *)call->in[in] + i;
  gw_prefetch(from + GW_AHEAD_FLOATS);
  return gw_v_get(from, n);
}

INLINE void put(const GwCall *call, int out, int64_t i, int64_t n, gw_vf v) {
  float *to = (float *)call->out[out] + i;
  gw_prefetch(to + GW_AHEAD_FLOATS);
  gw_v_put(to, v, n);
}

/* The kernel `name`: `range` does elements [first, last) of `call`. */
#define ELEMENTWISE(name, range)                                                                   \
  static void name##_range(const GwCall *call, void *context, int64_t first, int64_t last,         \
                           int thread) {                                                           \
    (void)context;                                                                                 \
    (void)thread;                                                                                  \
    range;                                                                                         \
  }                                                                                                \
  void GW_KERNEL(name)(const GwCall *call) {                                                       \
    GW_KERNEL(split)(call, gw_type_count(&call->shapes.in[0]), GRAIN, name##_range, NULL);         \
  }

INLINE void gelu_at(const GwCall *call, int64_t i, int64_t n, int count) {
  gw_vf x[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) x[k] = get(call, 0, i + k * GW_VL, n);
  gw_v_gelu_all(x, count);
  GW_UNROLL for (int k = 0; k < count; k++) put(call, 0, i + k * GW_VL, n, x[k]);
}
INLINE void gelu_grad_at(const GwCall *call, int64_t i, int64_t n, int count) {
  gw_vf dy[GW_EXPS], x[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) {
    dy[k] = get(call, 0, i + k * GW_VL, n);
    x[k] = get(call, 1, i + k * GW_VL, n);
  }
  gw_v_gelu_grad_all(dy, x, count);
  GW_UNROLL for (int k = 0; k < count; k++) put(call, 0, i + k * GW_VL, n, dy[k]);
}

ELEMENTWISE(gelu, each_several(call, gelu_at, first, last))
ELEMENTWISE(gelu_grad, each_several(call, gelu_grad_at, first, last))

INLINE void some_swiglu(const GwCall *call, int64_t i, int64_t n) {
  gw_vf gate = get(call, 0, i, n), up = get(call, 1, i, n);
  put(call, 0, i, n, gw_v_mul(gw_v_mul(gate, gw_v_sigmoid(gate)), up));
}
ELEMENTWISE(swiglu, each(call, some_swiglu, first, last))

INLINE void some_swiglu_grad(const GwCall *call, int64_t i, int64_t n) {
  gw_vf dy = get(call, 0, i, n), gate = get(call, 1, i, n), up = get(call, 2, i, n);
  gw_vf sigmoid = gw_v_sigmoid(gate), silu = gw_v_mul(gate, sigmoid);
  gw_vf slope = gw_v_fma(silu, gw_v_sub(gw_v_set(1.0f), sigmoid), sigmoid);
  put(call, 0, i, n, gw_v_mul(gw_v_mul(dy, up), slope));
  put(call, 1, i, n, gw_v_mul(dy, silu));
}
ELEMENTWISE(swiglu_grad, each(call, some_swiglu_grad, first, last))

INLINE void some_relu2(const GwCall *call, int64_t i, int64_t n) {
  put(call, 0, i, n, gw_v_relu2(get(call, 0, i, n)));
}
ELEMENTWISE(relu2, each(call, some_relu2, first, last))

INLINE void some_relu2_grad(const GwCall *call, int64_t i, int64_t n) {
  put(call, 0, i, n, gw_v_relu2_grad(get(call, 0, i, n), get(call, 1, i, n)));
}
ELEMENTWISE(relu2_grad, each(call, some_relu2_grad, first, last))
