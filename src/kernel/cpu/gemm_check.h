/* A matrix product's check of itself. For each row i, with every product and sum in double,
 *
 *   Σ_j C[i,j]  must equal  Σ_k a[i,k] (Σ_j b[k,j])
 *
 * with a and b as the product takes them (rounded to bf16 where it does), and C as its chains end:
 * it is summed a finished block at a time, in cache, before `finish` sees it. A bias, and what an
 * accumulating C held before, are part of what is expected. The two sides share neither packing nor
 * tiles nor the order of anything.
 *
 * With n = depth + 2, u = 2^-24 and M = Σ_k |a[i,k]| Σ_j |b[k,j]| + Σ_j (|bias| + |old C|):
 *
 * - Rounding cannot take the two sides further apart than n u / (1 - n u) M and what subnormals
 *   lose (Higham, Accuracy and Stability, 2002, section 3.1). A row beyond that bound is wrong.
 * - Rounding that goes up as often as down stays far below it, below 2 sqrt(n / columns) u M. A row
 *   beyond that is in doubt. It is computed once more, element by element as the reference does it,
 *   and is wrong if it does not add up to the same.
 *
 * So nothing that was computed correctly is called wrong, whatever the data, and a fault is seen
 * where it moves an element of C by more than about 2 sqrt(n columns) u times a typical element's
 * Σ_k |a b|. At most two rows of a product are recomputed, which limits the cost of data on which
 * rounding is not even; further rows, and those of a C that is continued, have the bound alone.
 *
 * Rows with operands that are infinite or NaN are not judged, nor are those whose chains may have
 * overflowed. */
#ifndef GW_GEMM_CHECK_H
#define GW_GEMM_CHECK_H

#include "kernel/cpu/gemm.h"
#include "op/abft.h"

/* In this order, by gemm itself where gemm->abft is set; `pool` as for gemm. */

/* Before the product: sums of B's rows, and of C's where it is continued. */
void GW_KERNEL(gemm_check_begin)(const GwGemm *gemm, GwPool *pool);
/* A finished block of `rows` x `columns`, from row `row` of C; every element of C once. Threads may
 * share a row. */
void GW_KERNEL(gemm_check_block)(const GwGemm *gemm, const float *c, int64_t c_row, int64_t row,
                                 int64_t rows, int64_t columns);
/* After it: faults go to gemm->abft. */
void GW_KERNEL(gemm_check_end)(const GwGemm *gemm, GwPool *pool);

#endif
