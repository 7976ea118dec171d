/* Packing operands of a matrix product into panels (their layouts: gemm_parts.h). Elements of a
 * panel are taken from memory in two ways: `along` k, where that is contiguous, and `across` it.
 * `pad` stands for what a half pair lacks. */
#include "kernel/cpu/gemm_parts.h"

#define INLINE static inline __attribute__((always_inline))

INLINE int64_t step_depth(GwTileKind kind) { return kind == GW_TILE_PAIRS ? 2 : 1; }

#if defined(GW_ISA_AVX512)
/* 2 GW_VL values of k at `from`, the first n of them there. */
INLINE gw_vf pairs_along(const float *from, int64_t n, float pad) {
  int64_t first = gw_min_i64(n, GW_VL), second = gw_min_i64(gw_max_i64(n - GW_VL, 0), GW_VL);
  gw_vf low = gw_v_get(from, first);
  gw_vf high = second ? gw_v_get(from + GW_VL, second) : gw_v_zero();
  if (n < 2 * GW_VL) {
    low = gw_v_first_n(low, gw_v_set(pad), first);
    high = gw_v_first_n(high, gw_v_set(pad), second);
  }
  return gw_v_pairs_along(low, high);
}
#endif

/* GW_VL steps of one row of A or column of B; n values of k are there. */
INLINE gw_vf along(GwTileKind kind, const float *from, int64_t n, float pad) {
#if defined(GW_ISA_AVX512)
  if (kind == GW_TILE_PAIRS) return pairs_along(from, n, pad);
#endif
  (void)pad;
  gw_vf v = gw_v_get(from, n);
  return kind == GW_TILE_F32 ? v : gw_v_bf16_round(v);
}

/* One step of GW_VL rows of A or columns of B, n of them there; the next k is at from + next, or
 * not there when next is 0. */
INLINE gw_vf across(GwTileKind kind, const float *from, int64_t next, int64_t n, float pad) {
  gw_vf v = gw_v_get(from, n);
#if defined(GW_ISA_AVX512)
  if (kind == GW_TILE_PAIRS)
    return gw_v_pairs_across(v, next ? gw_v_get(from + next, n) : gw_v_set(pad));
#endif
  (void)next, (void)pad;
  return kind == GW_TILE_F32 ? v : gw_v_bf16_round(v);
}

INLINE void across_width(GwTileKind kind, float *to, const float *from, int64_t next, int64_t n,
                         int64_t width, float pad) {
  for (int64_t i = 0; i < width; i += GW_VL) {
    if (i + GW_VL <= n)
      gw_v_store(to + i, across(kind, from + i, next, GW_VL, pad));
    else
      gw_v_store(to + i, across(kind, from + i, next, gw_max_i64(n - i, 0), pad));
  }
}

INLINE void pack_a_by_rows(GwTileKind kind, const float *from, int64_t row, int64_t rows,
                           int64_t depth, float *panel) {
  const int64_t unit = GW_VL * step_depth(kind);
  for (int64_t i = 0; i < rows; i++, from += row, panel += GW_A_ROW) {
    float *to = panel;
    int64_t k = 0;
    for (; k + unit <= depth; k += unit, to += GW_VL)
      gw_v_store(to, along(kind, from + k, unit, 0));
    if (k < depth) gw_v_store(to, along(kind, from + k, depth - k, 0));
  }
}

INLINE void pack_a_by_depth(GwTileKind kind, const float *from, int64_t column, int64_t rows,
                            int64_t depth, float *panel) {
  for (int64_t k = 0; k < depth; k += step_depth(kind), panel += GW_A_DEPTH) {
    gw_v_store(panel, across(kind, from, k + 1 < depth ? column : 0, rows, 0));
    from += step_depth(kind) * column;
  }
}

INLINE void pack_a(GwTileKind kind, GwMatrix a, GwPanels rows, int64_t first, int64_t last,
                   int64_t depth, float *panels) {
  for (int64_t p = first; p < last; p++, panels += GW_A_PANEL) {
    int64_t start = gw__panel_first(rows, p), end = gw__panel_first(rows, p + 1);
    if (a.column == 1)
      pack_a_by_rows(kind, a.at + start * a.row, a.row, end - start, depth, panels);
    else
      pack_a_by_depth(kind, a.at + start, a.column, end - start, depth, panels);
  }
}

INLINE void pack_b_rows(GwTileKind kind, GwMatrix b, int64_t depth, int64_t columns,
                        float *panels) {
  int64_t stride = gw__panel_b(gw_ceil_div(depth, step_depth(kind)));
  for (int64_t j = 0; j < columns; j += GW_TILE_COLUMNS, panels += stride) {
    int64_t width = gw_min_i64(columns - j, GW_TILE_COLUMNS);
    const float *from = b.at + j;
    float *to = panels;
    for (int64_t k = 0; k < depth; k += step_depth(kind), to += GW_TILE_COLUMNS) {
      across_width(kind, to, from, k + 1 < depth ? b.row : 0, width, GW_TILE_COLUMNS, -0.0f);
      from += step_depth(kind) * b.row;
    }
  }
}

/* A square of GW_VL columns of B (each contiguous) and GW_VL steps, n values of k. */
INLINE void transpose_square(GwTileKind kind, const float *from, int64_t column, int64_t columns,
                             int64_t n, float *to) {
  const int64_t unit = GW_VL * step_depth(kind);
  gw_vf square[GW_VL];
  if (columns == GW_VL && n == unit) {
    GW_UNROLL for (int j = 0; j < GW_VL; j++) square[j] =
        along(kind, from + j * column, unit, -0.0f);
  } else {
    for (int j = 0; j < GW_VL; j++)
      square[j] = j < columns ? along(kind, from + j * column, n, -0.0f) : gw_v_zero();
  }
  gw_v_transpose(square);
  if (n == unit) {
    GW_UNROLL for (int k = 0; k < GW_VL; k++) gw_v_store(to + k * GW_TILE_COLUMNS, square[k]);
  } else {
    for (int k = 0; k < gw_ceil_div(n, step_depth(kind)); k++)
      gw_v_store(to + k * GW_TILE_COLUMNS, square[k]);
  }
}

INLINE void pack_b_columns(GwTileKind kind, GwMatrix b, int64_t depth, int64_t columns,
                           float *panels) {
  const int64_t unit = GW_VL * step_depth(kind);
  int64_t panel = gw__panel_b(gw_ceil_div(depth, step_depth(kind)));
  for (int64_t j = 0; j < gw_ceil_div(columns, GW_TILE_COLUMNS) * GW_TILE_COLUMNS; j += GW_VL) {
    int64_t count = gw_min_i64(gw_max_i64(columns - j, 0), GW_VL);
    const float *from = b.at + (count > 0 ? j * b.column : 0);
    float *to = panels + j / GW_TILE_COLUMNS * panel + j % GW_TILE_COLUMNS;
    for (int64_t k = 0; k < depth; k += unit, to += GW_VL * GW_TILE_COLUMNS)
      transpose_square(kind, from + k, b.column, count, gw_min_i64(depth - k, unit), to);
  }
}

INLINE void pack_b(GwTileKind kind, GwMatrix b, int64_t depth, int64_t columns, float *panels) {
  if (b.column == 1)
    pack_b_rows(kind, b, depth, columns, panels);
  else
    pack_b_columns(kind, b, depth, columns, panels);
}

/* One function for each kind: what a kind does not need is not in it. */
#if defined(GW_ISA_AVX512)
#define FOR_KINDS(X) X(F32) X(BF16) X(PAIRS)
#else
#define FOR_KINDS(X) X(F32) X(BF16)
#endif

void GW_KERNEL(gemm_pack_a)(GwTileKind kind, GwMatrix a, GwPanels rows, int64_t first, int64_t last,
                            int64_t depth, float *panels) {
#define CASE(K)                                                                                    \
  if (kind == GW_TILE_##K) pack_a(GW_TILE_##K, a, rows, first, last, depth, panels);
  FOR_KINDS(CASE)
#undef CASE
}

void GW_KERNEL(gemm_pack_b)(GwTileKind kind, GwMatrix b, int64_t depth, int64_t columns,
                            float *panels) {
#define CASE(K)                                                                                    \
  if (kind == GW_TILE_##K) pack_b(GW_TILE_##K, b, depth, columns, panels);
  FOR_KINDS(CASE)
#undef CASE
}
