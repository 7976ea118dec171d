/* Packing operands of a matrix product into panels (their layouts: gemm_parts.h). */
#include "kernel/cpu/gemm_parts.h"

/* Copies n <= width floats, fills the rest with zeros; width is a multiple of GW_VL. */
static inline __attribute__((always_inline)) void copy_padded(float *to, const float *from,
                                                              int64_t n, int64_t width) {
  int64_t i = 0;
  for (; i + GW_VL <= n; i += GW_VL) gw_v_store(to + i, gw_v_load(from + i));
  for (; i < width; i += GW_VL) gw_v_store(to + i, gw_v_load_n(from + i, gw_max_i64(n - i, 0)));
}

static void pack_a_by_rows(GwMatrix a, int64_t rows, int64_t depth, float *panel) {
  int64_t width = gw_ceil_div(depth, GW_VL) * GW_VL;
  for (int64_t i = 0; i < GW_TILE_ROWS; i++)
    copy_padded(panel + i * GW_A_ROW, a.at + (i < rows ? i * a.row : 0), i < rows ? depth : 0,
                width);
}

/* All panels together, one k after the other: A is read along its rows. */
static void pack_a_by_depth(GwMatrix a, int64_t rows, int64_t depth, float *panels) {
  int64_t whole = rows / GW_TILE_ROWS, rest = rows % GW_TILE_ROWS;
  for (int64_t k = 0; k < depth; k++) {
    const float *from = a.at + k * a.column;
    float *to = panels + k * GW_A_DEPTH;
    for (int64_t panel = 0; panel < whole; panel++, from += GW_TILE_ROWS, to += GW_A_PANEL)
      copy_padded(to, from, GW_TILE_ROWS, GW_A_DEPTH);
    if (rest) copy_padded(to, from, rest, GW_A_DEPTH);
  }
}

void GW_KERNEL(gemm_pack_a)(GwMatrix a, int64_t rows, int64_t depth, float *panels) {
  if (a.column != 1) {
    pack_a_by_depth(a, rows, depth, panels);
    return;
  }
  for (int64_t i = 0; i < rows; i += GW_TILE_ROWS) {
    GwMatrix from = {a.at + i * a.row, a.row, 1};
    pack_a_by_rows(from, gw_min_i64(rows - i, GW_TILE_ROWS), depth,
                   panels + i / GW_TILE_ROWS * GW_A_PANEL);
  }
}

static void pack_b_rows(GwMatrix b, int64_t depth, int64_t columns, float *panels) {
  int64_t whole = columns / GW_TILE_COLUMNS, rest = columns % GW_TILE_COLUMNS;
  for (int64_t k = 0; k < depth; k++) {
    const float *from = b.at + k * b.row;
    float *to = panels + k * GW_TILE_COLUMNS;
    for (int64_t panel = 0; panel < whole; panel++) {
      copy_padded(to, from, GW_TILE_COLUMNS, GW_TILE_COLUMNS);
      from += GW_TILE_COLUMNS;
      to += depth * GW_TILE_COLUMNS;
    }
    if (rest) copy_padded(to, from, rest, GW_TILE_COLUMNS);
  }
}

/* A square of GW_VL columns of B (each contiguous) and n <= GW_VL values of k. */
static void transpose_square(const float *from, int64_t column, int64_t columns, int64_t n,
                             float *to) {
  gw_vf square[GW_VL];
  if (columns == GW_VL && n == GW_VL) {
    GW_UNROLL for (int j = 0; j < GW_VL; j++) square[j] = gw_v_load(from + j * column);
  } else {
    for (int j = 0; j < GW_VL; j++)
      square[j] = j < columns ? gw_v_load_n(from + j * column, n) : gw_v_zero();
  }
  gw_v_transpose(square);
  if (n == GW_VL) {
    GW_UNROLL for (int k = 0; k < GW_VL; k++) gw_v_store(to + k * GW_TILE_COLUMNS, square[k]);
  } else {
    for (int k = 0; k < n; k++) gw_v_store(to + k * GW_TILE_COLUMNS, square[k]);
  }
}

static void pack_b_columns(GwMatrix b, int64_t depth, int64_t columns, float *panels) {
  for (int64_t j = 0; j < gw_ceil_div(columns, GW_TILE_COLUMNS) * GW_TILE_COLUMNS; j += GW_VL) {
    int64_t count = gw_min_i64(gw_max_i64(columns - j, 0), GW_VL);
    const float *from = b.at + (count > 0 ? j * b.column : 0);
    float *to = panels + j / GW_TILE_COLUMNS * GW_TILE_COLUMNS * depth + j % GW_TILE_COLUMNS;
    for (int64_t k = 0; k < depth; k += GW_VL)
      transpose_square(from + k, b.column, count, gw_min_i64(depth - k, GW_VL),
                       to + k * GW_TILE_COLUMNS);
  }
}

void GW_KERNEL(gemm_pack_b)(GwMatrix b, int64_t depth, int64_t columns, float *panels) {
  if (b.column == 1)
    pack_b_rows(b, depth, columns, panels);
  else
    pack_b_columns(b, depth, columns, panels);
}
