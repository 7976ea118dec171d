/* How the CPU kernels of attention cut their work, as far as the size of their scratch goes. */
#ifndef GW_ATTENTION_SCRATCH_H
#define GW_ATTENTION_SCRATCH_H

#include "base/base.h"

enum {
  GW_ATTENTION_ROWS = 16,  /* queries at a time (forward) */
  GW_ATTENTION_BLOCK = 32, /* queries at a time (backward) */
  GW_ATTENTION_KEYS = 32,  /* keys at a time */
  GW_ATTENTION_VECTOR = 16 /* head sizes are rounded up to this, at most */
};

/* Bytes for keys and values of one kv head, the scores of a few rows, those rows' q and y. */
static inline int64_t gw_attention_scratch(int64_t keys, int64_t head) {
  keys = (int64_t)gw_align_up((size_t)keys, GW_ATTENTION_KEYS);
  head = (int64_t)gw_align_up((size_t)head, GW_ATTENTION_VECTOR);
  return 4 * (2 * keys * head + GW_ATTENTION_ROWS * (keys + 2 * head));
}

/* Bytes for k and v in panels, k, dk and dv in rows; a block's q and dy (twice), dq, p and ds. */
static inline int64_t gw_attention_grad_scratch(int64_t keys, int64_t head) {
  keys = (int64_t)gw_align_up((size_t)keys, GW_ATTENTION_KEYS);
  head = (int64_t)gw_align_up((size_t)head, GW_ATTENTION_VECTOR);
  return 4 * (5 * keys * head + GW_ATTENTION_BLOCK * (5 * head + 2 * GW_ATTENTION_KEYS));
}

#endif
