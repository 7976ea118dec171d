/* Products of few rows, without packing. */
#ifndef GW_GEMM_ROWS_H
#define GW_GEMM_ROWS_H

#include "kernel/cpu/gemm.h"
#include "kernel/cpu/gemm_kind.h"

enum { GW_STRIP_ROWS = GW_VL / 2 }; /* their sums and a square of B fit the registers */

/* Up to GW_STRIP_ROWS rows of A, whose columns are contiguous, times up to GW_VL columns of B,
 * whose rows are contiguous; without packing. What lies behind the strip, as much as it has itself,
 * is brought into L2. c[i*c_row + j] as for GwGemm. */
typedef struct {
  const float *a, *b;
  int64_t a_row, b_column, columns, depth;
  float *c;
  int64_t c_row;
  bool accumulate;
  const float *bias;
} GwStrip;

void GW_KERNEL(gemm_strip)(GwTileKind kind, int64_t rows, const GwStrip *strip);

/* A product made of such strips; for what gemm_is_few_rows says. */
bool GW_KERNEL(gemm_is_few_rows)(const GwGemm *gemm);
void GW_KERNEL(gemm_few_rows)(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch);

#endif
