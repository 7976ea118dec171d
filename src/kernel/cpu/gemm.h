/* The matrix product that every dense kernel is made of: C = A B, packed and blocked.
 *
 * Each element of C is one chain of fused multiply-adds in the order of k, whatever the blocking,
 * the threads or the instruction set: between blocks of k the chain's value rests in C, as f32,
 * which changes no bit. */
#ifndef GW_GEMM_H
#define GW_GEMM_H

#include "kernel/cpu/kernel.h"
#include "op/scratch.h"

/* The register tile: a C of whole tiles wastes no work. */
#if defined(GW_ISA_AVX512)
enum { GW_TILE_ROWS = 14, GW_TILE_VECTORS = 2 };
#elif defined(GW_ISA_AVX2)
enum { GW_TILE_ROWS = 6, GW_TILE_VECTORS = 2 };
#else
enum { GW_TILE_ROWS = 4, GW_TILE_VECTORS = 1 };
#endif

/* Element (i,j) is at[i*row + j*column]; at least one of the strides is 1. */
typedef struct {
  const float *at;
  int64_t row, column;
} GwMatrix;

typedef struct {
  int64_t rows, columns, depth; /* A [rows,depth], B [depth,columns] */
  GwMatrix a, b;
  float *c; /* [rows,columns], element (i,j) at c[i*c_row + j] */
  int64_t c_row;
  bool accumulate;   /* the chains continue from what is in C; otherwise they start at 0 */
  const float *bias; /* [columns], added to each finished chain; NULL for none */
} GwGemm;

/* Runs it on all threads of the pool. `scratch` is 64-byte aligned, GW_GEMM_SCRATCH bytes for each
 * of them. C must not overlap A or B. depth >= 1. */
void GW_KERNEL(gemm)(GwPool *pool, const GwGemm *gemm, char *scratch);

#endif
