/* The parts of the matrix product: block sizes, packed layouts, packing and the register tile.
 *
 * A tile is GW_TILE_ROWS x GW_TILE_COLUMNS elements of C held in registers. Its operands are
 * panels, padded with zeros to whole tiles:
 *   B panel             element (k,j) at k*GW_TILE_COLUMNS + j
 *   A panel, by rows    (A's columns are contiguous) element (i,k) at i*GW_A_ROW + k
 *            by depth   (A's rows are contiguous)    element (i,k) at k*GW_A_DEPTH + i
 * so that packing A only copies. Nothing is padded along k: an added fma(0, 0, -0) is not exact. */
#ifndef GW_GEMM_PARTS_H
#define GW_GEMM_PARTS_H

#include "kernel/cpu/gemm.h"

enum {
  GW_TILE_COLUMNS = GW_TILE_VECTORS * GW_VL,
  GW_DEPTH_BLOCK = 384,  /* k per block: a panel of A stays in L1 */
  GW_COLUMN_BLOCK = 512, /* columns per block: the panels of B stay in L2 */

  GW_A_ROW = GW_DEPTH_BLOCK + 16, /* not a multiple of 1 KiB: rows fall in different cache sets */
  GW_A_DEPTH = (GW_TILE_ROWS + GW_VL - 1) / GW_VL * GW_VL,
  GW_A_PANEL = GW_A_ROW * GW_A_DEPTH, /* floats; holds either layout */
};

/* Packs rows x depth elements at `a` into panels, GW_A_PANEL floats each. */
void GW_KERNEL(gemm_pack_a)(GwMatrix a, int64_t rows, int64_t depth, float *panels);
/* Packs depth x columns elements at `b` into panels, depth*GW_TILE_COLUMNS floats each. */
void GW_KERNEL(gemm_pack_b)(GwMatrix b, int64_t depth, int64_t columns, float *panels);

typedef struct {
  const float *a, *b; /* one panel each */
  int64_t depth;
  float *c;
  const float *prefetch_c; /* the tile to prefetch: this one, or the next if it will be read */
  int64_t c_row;
  int64_t rows, columns; /* of C that exist */
  bool accumulate;       /* start from C, not from 0 */
  const float *bias;     /* added at the end; NULL for none */
} GwTile;

/* The A panel is laid out by rows, or by depth. */
void GW_KERNEL(gemm_tile_by_rows)(const GwTile *tile);
void GW_KERNEL(gemm_tile_by_depth)(const GwTile *tile);

#endif
