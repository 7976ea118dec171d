/* gelu, swiglu and relu2 with their gradients: element by element, each body once for a whole
 * vector and once for the last elements of a range. */
#include "kernel/cpu/activation_vector.h"
#include "kernel/cpu/kernel.h"

enum {
  GRAIN = 4096,               /* elements worth a task */
  STREAMED_ELEMENTS = 1 << 22 /* an array of which no cache holds much: 16 MiB */
};

#define INLINE static inline __attribute__((always_inline))

/* `count` vectors of elements that begin at i; n < GW_VL: the first n of one. */
typedef void Some(const GwCall *call, int64_t i, int64_t n, int count, bool streamed);

/* `width` vectors at a time as far as they go. */
INLINE void each(const GwCall *call, Some *some, int width, int64_t first, int64_t last,
                 bool streamed) {
  int64_t i = first;
  for (; i + width * GW_VL <= last; i += width * GW_VL) some(call, i, GW_VL, width, streamed);
  for (; i + GW_VL <= last; i += GW_VL) some(call, i, GW_VL, 1, streamed);
  if (i < last) some(call, i, last - i, 1, false);
}

/* For ops that wait for memory, not for their arithmetic: past the caches, when they could not hold
 * what is written until it is read. */
INLINE void each_streamed(const GwCall *call, Some *some, int width, int64_t first, int64_t last) {
  bool large = gw_type_count(&call->shapes.in[0]) >= STREAMED_ELEMENTS;
  if (large && (uintptr_t)((float *)call->out[0] + first) % sizeof(gw_vf) == 0) {
    each(call, some, width, first, last, true);
    gw_stream_end();
  } else {
    each(call, some, width, first, last, false);
  }
}

INLINE gw_vf get(const GwCall *call, int in, int64_t i, int64_t n) {
  const float *from = (const float *)call->in[in] + i;
  gw_prefetch(from + GW_AHEAD_FLOATS);
  return gw_v_get(from, n);
}

INLINE void put(const GwCall *call, int out, int64_t i, int64_t n, gw_vf v, bool streamed) {
  float *to = (float *)call->out[out] + i;
  if (streamed) {
    gw_v_stream(to, v);
    return;
  }
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

INLINE void gelu_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  gw_vf x[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) x[k] = get(call, 0, i + k * GW_VL, n);
  gw_v_gelu_all(x, count);
  GW_UNROLL for (int k = 0; k < count; k++) put(call, 0, i + k * GW_VL, n, x[k], streamed);
}
INLINE void gelu_grad_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  gw_vf dy[GW_EXPS], x[GW_EXPS];
  GW_UNROLL for (int k = 0; k < count; k++) {
    dy[k] = get(call, 0, i + k * GW_VL, n);
    x[k] = get(call, 1, i + k * GW_VL, n);
  }
  gw_v_gelu_grad_all(dy, x, count);
  GW_UNROLL for (int k = 0; k < count; k++) put(call, 0, i + k * GW_VL, n, dy[k], streamed);
}

ELEMENTWISE(gelu, each(call, gelu_at, GW_EXPS, first, last, false))
ELEMENTWISE(gelu_grad, each_streamed(call, gelu_grad_at, GW_EXPS, first, last))

INLINE void swiglu_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  for (int64_t end = i + count * GW_VL; i < end; i += GW_VL) {
    gw_vf gate = get(call, 0, i, n), up = get(call, 1, i, n);
    put(call, 0, i, n, gw_v_mul(gw_v_mul(gate, gw_v_sigmoid(gate)), up), streamed);
  }
}
ELEMENTWISE(swiglu, each(call, swiglu_at, 1, first, last, false))

INLINE void swiglu_grad_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  for (int64_t end = i + count * GW_VL; i < end; i += GW_VL) {
    gw_vf dy = get(call, 0, i, n), gate = get(call, 1, i, n), up = get(call, 2, i, n);
    gw_vf sigmoid = gw_v_sigmoid(gate), silu = gw_v_mul(gate, sigmoid);
    gw_vf slope = gw_v_fma(silu, gw_v_sub(gw_v_set(1.0f), sigmoid), sigmoid);
    put(call, 0, i, n, gw_v_mul(gw_v_mul(dy, up), slope), streamed);
    put(call, 1, i, n, gw_v_mul(dy, silu), streamed);
  }
}
ELEMENTWISE(swiglu_grad, each(call, swiglu_grad_at, 1, first, last, false))

INLINE void relu2_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  for (int64_t end = i + count * GW_VL; i < end; i += GW_VL)
    put(call, 0, i, n, gw_v_relu2(get(call, 0, i, n)), streamed);
}
ELEMENTWISE(relu2, each_streamed(call, relu2_at, 1, first, last))

INLINE void relu2_grad_at(const GwCall *call, int64_t i, int64_t n, int count, bool streamed) {
  for (int64_t end = i + count * GW_VL; i < end; i += GW_VL)
    put(call, 0, i, n, gw_v_relu2_grad(get(call, 0, i, n), get(call, 1, i, n)), streamed);
}
ELEMENTWISE(relu2_grad, each_streamed(call, relu2_grad_at, 1, first, last))
