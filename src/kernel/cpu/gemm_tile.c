/* The register tile: all the arithmetic of a matrix product. The sums live in vector registers over
 * the whole block of k; each step loads one row of the B panel and multiplies it by one element of
 * each row of A. */
#include "kernel/cpu/gemm_parts.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
  gw_vf at[GW_TILE_ROWS][GW_TILE_VECTORS];
} Sums;

/* How many of vector j's lanes are columns of C. */
INLINE int64_t lanes(int64_t columns, int j) {
  return gw_min_i64(gw_max_i64(columns - j * GW_VL, 0), GW_VL);
}

INLINE void clear(Sums *sums) {
  GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) sums->at[i][j] = gw_v_zero();
  }
}

INLINE void load(Sums *sums, const GwTile *tile, bool whole) {
  GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
    const float *c = tile->c + i * tile->c_row;
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      if (whole)
        sums->at[i][j] = gw_v_load(c + j * GW_VL);
      else
        sums->at[i][j] = gw_v_load_n(c + j * GW_VL, i < tile->rows ? lanes(tile->columns, j) : 0);
    }
  }
}

INLINE void store(const Sums *sums, const GwTile *tile, bool whole) {
  GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
    float *c = tile->c + i * tile->c_row;
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      if (whole)
        gw_v_store(c + j * GW_VL, sums->at[i][j]);
      else if (i < tile->rows)
        gw_v_store_n(c + j * GW_VL, sums->at[i][j], lanes(tile->columns, j));
    }
  }
}

INLINE void add_bias(Sums *sums, const GwTile *tile) {
  GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
    gw_vf bias = gw_v_load_n(tile->bias + j * GW_VL, lanes(tile->columns, j));
    GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
      sums->at[i][j] = gw_v_add(sums->at[i][j], bias);
    }
  }
}

/* Lines of C come nearer while the products are made. */
INLINE void prefetch(const GwTile *tile) {
  GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      __builtin_prefetch(tile->prefetch_c + i * tile->c_row + j * GW_VL, 1);
    }
  }
}

INLINE void multiply(Sums *sums, const GwTile *tile, int64_t a_row, int64_t a_depth) {
  const float *a = tile->a, *b = tile->b;
  for (int64_t k = 0; k < tile->depth; k++, a += a_depth, b += GW_TILE_COLUMNS) {
    gw_vf right[GW_TILE_VECTORS];
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) right[j] = gw_v_load(b + j * GW_VL);
    GW_UNROLL for (int i = 0; i < GW_TILE_ROWS; i++) {
      gw_vf left = gw_v_set(a[i * a_row]);
      GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
        sums->at[i][j] = gw_v_fma(left, right[j], sums->at[i][j]);
      }
    }
  }
}

INLINE void run_tile(const GwTile *tile, int64_t a_row, int64_t a_depth) {
  bool whole = tile->rows == GW_TILE_ROWS && tile->columns == GW_TILE_COLUMNS;
  Sums sums;
  prefetch(tile);
  if (!tile->accumulate)
    clear(&sums);
  else if (whole)
    load(&sums, tile, true);
  else
    load(&sums, tile, false);
  multiply(&sums, tile, a_row, a_depth);
  if (tile->bias) add_bias(&sums, tile);
  if (whole)
    store(&sums, tile, true);
  else
    store(&sums, tile, false);
}

void GW_KERNEL(gemm_tile_by_rows)(const GwTile *tile) { run_tile(tile, GW_A_ROW, 1); }
void GW_KERNEL(gemm_tile_by_depth)(const GwTile *tile) { run_tile(tile, 1, GW_A_DEPTH); }
