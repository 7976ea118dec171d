/* A matrix product's way into a fixed-point sum: each finished block is rounded and added while it
 * is in cache, and need never be stored. */
#ifndef GW_FIXED_BLOCK_H
#define GW_FIXED_BLOCK_H

#include "kernel/cpu/fixed_add.h"
#include "kernel/cpu/gemm.h"

/* The context of gw_add_block. */
typedef struct {
  int64_t *sum; /* a matrix of `columns` columns, its first element the parameters' `number` */
  int64_t columns, number;
  double limit;
  const int32_t *fresh; /* NULL for 0 */
  int64_t elements;     /* of the sum */
  uint64_t *signature;
  int64_t *guard;
} GwFixedBlock;

/* A GwGemmFinish. */
static inline void gw_add_block(void *context, float *c, int64_t c_row, int64_t row, int64_t rows,
                                int64_t column, int64_t columns, int thread) {
  (void)thread;
  const GwFixedBlock *to = context;
  GwFixedTally tally = gw_fixed_begin(to->limit, to->fresh, to->elements);
  for (int64_t i = 0; i < rows; i++) {
    int64_t at = (row + i) * to->columns + column;
    gw_fixed_add(&tally, c + i * c_row, columns, to->number + at, to->sum + at);
  }
  gw_fixed_end(&tally, to->signature, to->guard);
}

/* What gw_add_block reads, so that it comes nearer before: nothing where the sum is streamed. */
static inline GwBeside gw_sum_beside(const GwFixedBlock *to) {
  if (gw_fixed_begin(to->limit, to->fresh, to->elements).streamed) return (GwBeside){0};
  return (GwBeside){to->sum, to->columns * 8, 8};
}

#endif
