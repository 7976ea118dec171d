/* How a product takes its operands: as they are, or as bf16 in one of two ways of equal bits. */
#ifndef GW_GEMM_KIND_H
#define GW_GEMM_KIND_H

#include "kernel/cpu/kernel.h"

/* What the elements of packed operands are and how they are multiplied. */
typedef enum {
  GW_TILE_F32,   /* f32 */
  GW_TILE_BF16,  /* f32 rounded to bf16, by gw_v_fma_bf16, the second of each pair first */
  GW_TILE_PAIRS, /* two bf16, the earlier k in the lower half, by vdpbf16ps: the same bits */
  GW_TILE_KIND_COUNT
} GwTileKind;

/* BF16 or PAIRS: the faster on this processor. */
GwTileKind GW_KERNEL(gemm_bf16_kind)(void);

#endif
