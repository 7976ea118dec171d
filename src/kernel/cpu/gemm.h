/* The matrix product that every dense kernel is made of: C = A B, packed and blocked.
 *
 * Each element of C is one chain of fused multiply-adds in the order of k, whatever the blocking,
 * the threads or the instruction set: between blocks of k the chain's value rests in C, as f32,
 * which changes no bit. */
#ifndef GW_GEMM_H
#define GW_GEMM_H

#include "kernel/cpu/kernel.h"
#include "op/kept.h"
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

/* A finished block of C (all of k done, the bias added) while it is in cache: rows `row` to
 * row + rows, columns `column` to column + columns, element (i,j) of the block at c[i*c_row + j].
 * It may change the block in place, or use it up. Called from the pool's threads; `thread` is in
 * [0, threads). */
typedef void GwGemmFinish(void *context, float *c, int64_t c_row, int64_t row, int64_t rows,
                          int64_t column, int64_t columns, int thread);

/* A matrix of C's shape, row-major, that `finish` reads. */
typedef struct {
  const void *at; /* NULL for none */
  int64_t row_bytes, element_bytes;
} GwBeside;

typedef struct {
  int64_t rows, columns, depth; /* A [rows,depth], B [depth,columns] */
  GwMatrix a, b;
  GwOperands operands; /* how the elements of A and B are taken */
  /* [rows,columns], element (i,j) at c[i*c_row + j]. NULL: C is held in scratch, a block at a time,
   * and only `finish` sees it; not with `accumulate`. */
  float *c;
  int64_t c_row;
  bool accumulate;      /* the chains continue from what is in C; otherwise they start at 0 */
  const float *bias;    /* [columns], added to each finished chain; NULL for none */
  GwGemmFinish *finish; /* called for disjoint blocks that cover C; NULL for none */
  void *context;        /* of finish */
  GwBeside beside;      /* brought nearer in time for finish */
  GwKept *kept;         /* B's panels, used or made; NULL: packed block by block in scratch */
  GwAbft *abft;         /* the product verifies itself (gemm_check.h); NULL: it does not */
} GwGemm;

/* Runs it on all threads of the pool. `scratch` is 64-byte aligned, GW_GEMM_SCRATCH bytes for each
 * of them. C must not overlap A or B. depth >= 1. */
void GW_KERNEL(gemm)(GwPool *pool, const GwGemm *gemm, char *scratch);

#endif
