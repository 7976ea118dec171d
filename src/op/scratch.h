/* Scratch sizes that ops declare and the CPU kernels hold to. */
#ifndef GW_SCRATCH_H
#define GW_SCRATCH_H

#include "base/base.h"

/* Bytes per thread in which a matrix product packs its operands (kernel/cpu/gemm.h). */
enum { GW_GEMM_SCRATCH = 2 << 20 };

/* Floats from one row of logits to the next: whole vectors, and one more cache line so that the
 * rows of a power-of-two vocabulary fall in different cache sets. */
static inline int64_t gw_logits_row(int64_t vocab) { return (vocab + 15) / 16 * 16 + 16; }

/* How the head's ops take their rows: a chunk at a time, each chunk's logits in the workspace. */
typedef struct {
  int64_t chunk;      /* rows; even, unless it is all of them (bf16 products take rows in pairs) */
  int64_t logits_row; /* floats */
  bool keeps_dw;      /* several chunks add to dW: it stands behind the logits */
  int64_t floats;     /* of the workspace */
} GwHeadPlan;

/* Whole register tiles of every instruction set, and enough rows for each pass over the weights. */
enum { GW_HEAD_ROWS = 588 };

/* `sums`: the op adds dW to a fixed-point sum, which no chunk but the last can do. Then all rows
 * are one chunk where their logits take no more room than dW would, beside a chunk. */
static inline GwHeadPlan gw_head_plan(int64_t rows, int64_t width, int64_t vocab, bool sums) {
  GwHeadPlan plan = {.logits_row = gw_logits_row(vocab)};
  bool whole = rows <= GW_HEAD_ROWS + (sums ? width : 0);
  plan.chunk = whole ? rows : GW_HEAD_ROWS;
  plan.keeps_dw = sums && !whole;
  plan.floats =
      gw_max_i64(plan.chunk * plan.logits_row + (plan.keeps_dw ? vocab * width : 0), rows);
  return plan;
}

#endif
