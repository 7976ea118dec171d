/* How the CPU kernels of attention cut their work, as far as the size of their scratch goes. Sizes
 * are bounds over all instruction sets. */
#ifndef GW_ATTENTION_SCRATCH_H
#define GW_ATTENTION_SCRATCH_H

#include "base/base.h"

enum {
  GW_ATTENTION_ROWS = 32,     /* queries at a time */
  GW_ATTENTION_PANEL = 32,    /* keys or columns that are packed side by side, at most */
  GW_ATTENTION_STRETCH = 128, /* keys whose weights are made before their values are added */
  GW_ATTENTION_HELD = 512     /* keys whose gradients are summed at a time */
};

static inline int64_t gw_attention_padded(int64_t n) {
  return (n + GW_ATTENTION_PANEL - 1) / GW_ATTENTION_PANEL * GW_ATTENTION_PANEL;
}

/* Whether the queries of all `shared` heads of a kv head are one block, for which keys and values
 * are packed a stretch at a time as it goes along them. */
static inline bool gw_attention_passes_once(int64_t queries, int64_t shared) {
  return queries * shared <= GW_ATTENTION_ROWS;
}

/* Bytes for keys and values of one kv head, all or a stretch of them, for a block's scores, and for
 * its q and y. */
static inline int64_t gw_attention_scratch(int64_t queries, int64_t shared, int64_t keys,
                                           int64_t head) {
  int64_t scores = GW_ATTENTION_ROWS * gw_attention_padded(keys);
  int64_t held = gw_attention_passes_once(queries, shared) ? GW_ATTENTION_STRETCH : keys;
  int64_t rows = gw_attention_padded(held) + GW_ATTENTION_ROWS;
  return 4 * (2 * rows * gw_attention_padded(head) + scores);
}

/* Bytes for k and v in columns, k, dk and dv in rows of the keys held; a block's q and dy (twice),
 * dq, p and ds. */
static inline int64_t gw_attention_grad_scratch(int64_t keys, int64_t head) {
  int64_t held = gw_attention_padded(keys < GW_ATTENTION_HELD ? keys : GW_ATTENTION_HELD);
  int64_t rows = 5 * held + 5 * GW_ATTENTION_ROWS;
  return 4 * (rows * gw_attention_padded(head) + 2 * GW_ATTENTION_ROWS * GW_ATTENTION_PANEL);
}

#endif
