/* Matrix products by oneDNN 2, where the build found it: the peer of bench_gemm. */
#ifndef ONEDNN_PEER_H
#define ONEDNN_PEER_H

#include <stdbool.h>
#include <stdint.h>

/* C = A B with A [rows,depth], B [depth,columns] and C [rows,columns] row-major, f32. Element (i,j)
 * of an operand is at[i*row + j*column]; one of the strides is 1. Operands are f32, or bf16. */
typedef struct {
  int64_t rows, columns, depth;
  const void *a, *b;
  int64_t a_row, a_column, b_row, b_column;
  float *c;
  bool bf16;
} OnednnProduct;

/* The number of threads that all later calls use. */
void onednn_threads(int threads);

/* dnnl_sgemm; f32 only. false when oneDNN refuses. */
bool onednn_sgemm(const OnednnProduct *product);

/* The matmul primitive on operands as they lie, prepared once. NULL when oneDNN refuses. */
typedef struct OnednnMatmul OnednnMatmul;
OnednnMatmul *onednn_matmul_create(const OnednnProduct *product);
void onednn_matmul_destroy(OnednnMatmul *matmul);
bool onednn_matmul_run(OnednnMatmul *matmul);

#endif
