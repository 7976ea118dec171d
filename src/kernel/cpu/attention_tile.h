/* What the attention kernels share: how operands are packed, the one tile of products that scores,
 * weighted sums and gradients are all made of, and the span of keys that a query sees.
 *
 * A matrix [n, C] is packed in panels of GW_PANEL columns, [C/GW_PANEL, n, GW_PANEL], zeros filling
 * the last; so a row of a panel is GW_PANEL from the next in every operand and result, and each
 * packed matrix can be a factor on either side of a product. Keys (and, for dy v, values) are also
 * packed in columns: panels of GW_PANEL keys, [keys/GW_PANEL, terms, GW_PANEL].
 *
 * Every element of every product is one chain of fused multiply-adds in the order of its
 * reference; the tile runs GW_ROWS x 2 vectors of such chains side by side. Sums have an even
 * number of terms here: a product of zeros ends an odd one, which at most turns a -0 into +0, and
 * that is lost in the + 0 of the results and in the exponential of the scores. */
#ifndef GW_ATTENTION_TILE_H
#define GW_ATTENTION_TILE_H

#include "kernel/cpu/kernel.h"
#include "op/attention_scratch.h"

enum {
#if defined(GW_ISA_AVX512)
  GW_ROWS = 8, /* rows of a tile: 16 of 32 registers hold sums, enough to hide the latency */
#else
  GW_ROWS = 4,
#endif
  GW_PANEL = 2 * GW_VL, /* columns of a tile */
  GW_BLOCK = GW_ATTENTION_ROWS,
  GW_TILES = GW_BLOCK / GW_ROWS, /* of a block of queries */
};

#define GW_INLINE static inline __attribute__((always_inline))

static inline int64_t gw_round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

typedef struct {
  int64_t heads, kv_heads, shared; /* heads of q, of k and v, of q for each of k and v */
  int64_t head, window;
  int64_t terms;  /* head, made even */
  int64_t padded; /* head, up to whole panels */
  int64_t width, kv_width;
  float scale;
  bool bf16;
} GwHeads;

GW_INLINE GwHeads gw_heads_of(const GwShapes *shapes, double window, double operands) {
  GwHeads a = {.heads = (int64_t)shapes->attr[0], .kv_heads = (int64_t)shapes->attr[1]};
  a.shared = a.heads / a.kv_heads;
  a.width = gw_columns(&shapes->in[0]);
  a.kv_width = gw_columns(&shapes->in[1]);
  a.head = a.width / a.heads;
  a.terms = gw_round_up(a.head, 2);
  a.padded = gw_round_up(a.head, GW_PANEL);
  a.window = window > 0 ? (int64_t)window : INT64_MAX;
  a.scale = 1 / gw_sqrt((float)a.head);
  a.bf16 = operands == GW_OPERANDS_BF16;
  return a;
}

/* Products of bf16 operands belong between these two (see gw_v_flush_begin). */
GW_INLINE unsigned gw_products_begin(bool bf16) { return bf16 ? gw_v_flush_begin() : 0; }
GW_INLINE void gw_products_end(bool bf16, unsigned before) {
  if (bf16) gw_v_flush_end(before);
}

/* A weight as an operand. */
GW_INLINE gw_vf gw_operand(bool bf16, gw_vf x) { return bf16 ? gw_v_bf16_round(x) : x; }

/* ---- products ---- */

/* The weights of a tile: rows of a matrix packed in panels, whose columns are the terms; or its
 * columns, whose rows are the terms. */
typedef struct {
  const float *at;
  int64_t panel; /* by rows: from one panel to the next */
  bool by_columns;
} GwWeights;

GW_INLINE GwWeights gw_by_rows(const float *x, int64_t n) {
  return (GwWeights){x, n * GW_PANEL, false};
}
GW_INLINE GwWeights gw_by_columns(const float *x) {
  return (GwWeights){x, GW_PANEL * GW_PANEL, true};
}

GW_INLINE gw_vf gw_product(bool bf16, gw_vf a, gw_vf b, gw_vf sum) {
#if defined(GW_ISA_GENERIC)
  if (bf16) return gw_v_fma_bf16(a, b, sum);
#endif
  (void)bf16;
  return gw_v_fma(a, b, sum);
}

/* sum[r] += weight(r) x for one term */
GW_INLINE void gw_tile_term(int rows, int vectors, bool bf16, gw_vf sum[][2], const float *weight,
                            int64_t row, const float *x) {
  gw_vf term[2];
  GW_UNROLL for (int j = 0; j < vectors; j++) { term[j] = gw_v_load(x + j * GW_VL); }
  GW_UNROLL for (int r = 0; r < rows; r++) {
    gw_vf weights = gw_v_set(weight[r * row]);
    GW_UNROLL for (int j = 0; j < vectors; j++) {
      sum[r][j] = gw_product(bf16, weights, term[j], sum[r][j]);
    }
  }
}

/* out[r, c] (+)= Σ_s weight(r, s) x[s, c] for `rows` (up to GW_ROWS) rows and `vectors` (1 or 2)
 * vectors of columns, s < terms in order, with bf16 each odd s before its even partner. `fresh`:
 * from 0 instead of from out. Rows of x and out stand GW_PANEL apart; `terms` is even. All that the
 * inner loop depends on is known to the compiler. */
GW_INLINE void gw_tile_of(int rows, int vectors, bool bf16, bool by_columns, bool fresh, float *out,
                          const float *weights, int64_t panel, const float *x, int64_t terms) {
  const int64_t row = by_columns ? 1 : GW_PANEL, next = by_columns ? GW_PANEL : 1;
  const int64_t first = bf16 ? 1 : 0, second = 1 - first;
  gw_vf sum[GW_ROWS][2];
  GW_UNROLL for (int r = 0; r < rows; r++) {
    GW_UNROLL for (int j = 0; j < vectors; j++) { sum[r][j] = gw_v_zero(); }
  }
  if (!fresh) {
    GW_UNROLL for (int r = 0; r < rows; r++) {
      GW_UNROLL for (int j = 0; j < vectors; j++) {
        sum[r][j] = gw_v_load(out + r * GW_PANEL + j * GW_VL);
      }
    }
  }
  for (; terms > 0; terms -= GW_PANEL, weights += panel) {
    const float *weight = weights;
    for (int64_t s = gw_min_i64(terms, GW_PANEL); s > 0; s -= 2) {
      gw_tile_term(rows, vectors, bf16, sum, weight + first * next, row, x + first * GW_PANEL);
      gw_tile_term(rows, vectors, bf16, sum, weight + second * next, row, x + second * GW_PANEL);
      weight += 2 * next;
      x += 2 * GW_PANEL;
    }
  }
  GW_UNROLL for (int r = 0; r < rows; r++) {
    GW_UNROLL for (int j = 0; j < vectors; j++) {
      gw_v_store(out + r * GW_PANEL + j * GW_VL, sum[r][j]);
    }
  }
}

/* One function per shape of the inner loop, so that each has the registers to itself. */
#define GW_TILE(name, rows, vectors, bf16, by_columns)                                             \
  __attribute__((noinline, unused)) static void name(bool fresh, float *out, const float *weights, \
                                                     int64_t panel, const float *x,                \
                                                     int64_t terms) {                              \
    gw_tile_of(rows, vectors, bf16, by_columns, fresh, out, weights, panel, x, terms);             \
  }
GW_TILE(gw_tile_rows_1, GW_ROWS, 1, false, false)
GW_TILE(gw_tile_rows_2, GW_ROWS, 2, false, false)
GW_TILE(gw_tile_rows_1_bf16, GW_ROWS, 1, true, false)
GW_TILE(gw_tile_rows_2_bf16, GW_ROWS, 2, true, false)
GW_TILE(gw_tile_columns_1, GW_ROWS, 1, false, true)
GW_TILE(gw_tile_columns_2, GW_ROWS, 2, false, true)
GW_TILE(gw_tile_columns_1_bf16, GW_ROWS, 1, true, true)
GW_TILE(gw_tile_columns_2_bf16, GW_ROWS, 2, true, true)
GW_TILE(gw_tile_row_1, 1, 1, false, false)
GW_TILE(gw_tile_row_2, 1, 2, false, false)
GW_TILE(gw_tile_row_1_bf16, 1, 1, true, false)
GW_TILE(gw_tile_row_2_bf16, 1, 2, true, false)
#undef GW_TILE

typedef void GwTile(bool fresh, float *out, const float *weights, int64_t panel, const float *x,
                    int64_t terms);

/* The same for the first `columns` columns of a panel of x and out, in whole vectors; `rows` is 1
 * or GW_ROWS (1 only by rows). */
GW_INLINE void gw_tile(int64_t rows, int64_t columns, bool fresh, bool bf16, float *out,
                       GwWeights w, const float *x, int64_t terms) {
  static GwTile *const tiles[3][2][2] = {
      {{gw_tile_rows_1, gw_tile_rows_2}, {gw_tile_rows_1_bf16, gw_tile_rows_2_bf16}},
      {{gw_tile_columns_1, gw_tile_columns_2}, {gw_tile_columns_1_bf16, gw_tile_columns_2_bf16}},
      {{gw_tile_row_1, gw_tile_row_2}, {gw_tile_row_1_bf16, gw_tile_row_2_bf16}}};
  int kind = rows == 1 ? 2 : w.by_columns ? 1 : 0;
  tiles[kind][bf16][columns > GW_VL](fresh, out, w.at, w.panel, x, terms);
}

/* out (+)= weights x for all columns of a head; x and out have x_rows and out_rows rows. */
GW_INLINE void gw_tile_add(const GwHeads *a, int64_t rows, bool fresh, float *out, int64_t out_rows,
                           GwWeights w, const float *x, int64_t x_rows, int64_t terms) {
  for (int64_t c = 0; c < a->head; c += GW_PANEL)
    gw_tile(rows, a->head - c, fresh, a->bf16, out + c * out_rows, w, x + c * x_rows, terms);
}

/* ---- packing ---- */

/* Asks the caches for a row x [head]: to be read at once, to be read after other work, or to be
 * written. Never fails, whatever the address. */
enum { GW_AHEAD = 16 }; /* rows to ask ahead for in a loop over rows */
typedef enum { GW_EXPECT_NOW, GW_EXPECT_SOON, GW_EXPECT_WRITE } GwExpect;
GW_INLINE void gw_expect_row(const GwHeads *a, const float *x, GwExpect expect) {
  for (int64_t d = 0; d < a->head; d += 16) {
    if (expect == GW_EXPECT_NOW) __builtin_prefetch(x + d, 0, 3);
    if (expect == GW_EXPECT_SOON) __builtin_prefetch(x + d, 0, 2);
    if (expect == GW_EXPECT_WRITE) __builtin_prefetch(x + d, 1, 3);
  }
}

/* n of the lanes from x on that are needed, 0 in the others. */
GW_INLINE gw_vf gw_load_some(const float *x, int64_t n) {
  if (n >= GW_VL) return gw_v_load(x);
  return n > 0 ? gw_v_load_n(x, n) : gw_v_zero();
}

/* Puts x [head] (NULL: zeros), as operands with `bf16`, into one row of a matrix of `rows` rows in
 * panels. */
GW_INLINE void gw_pack_row(const GwHeads *a, bool bf16, const float *x, int64_t rows, float *to) {
  for (int64_t c = 0; c < a->head; c += GW_PANEL, to += rows * GW_PANEL) {
    int64_t left = x ? a->head - c : 0;
    gw_v_store(to, gw_operand(bf16, gw_load_some(x + c, left)));
    gw_v_store(to + GW_VL, gw_operand(bf16, gw_load_some(x + c + GW_VL, left - GW_VL)));
  }
}

/* Packs n rows [., head], `stride` apart, in panels of `rows` rows; the others become 0. */
static inline void gw_pack_rows(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                                int64_t rows, float *to) {
  for (int64_t i = 0; i < rows; i++) {
    if (i + GW_AHEAD < n) gw_expect_row(a, x + (i + GW_AHEAD) * stride, GW_EXPECT_NOW);
    gw_pack_row(a, a->bf16, i < n ? x + i * stride : NULL, rows, to + i * GW_PANEL);
  }
}

/* Columns d.. of up to GW_VL of n rows become rows d.. of one half of a panel. */
GW_INLINE void gw_pack_square(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                              int64_t d, float *to) {
  gw_vf square[GW_VL];
  int64_t left = a->head - d, rows = gw_min_i64(a->terms - d, GW_VL);
  if (n >= GW_VL && left >= GW_VL) {
    GW_UNROLL for (int i = 0; i < GW_VL; i++) { square[i] = gw_v_load(x + i * stride + d); }
  } else {
    for (int i = 0; i < GW_VL; i++)
      square[i] = i < n ? gw_load_some(x + i * stride + d, left) : gw_v_zero();
  }
  for (int64_t i = GW_VL; i < gw_min_i64(n, 2 * GW_VL); i++)
    __builtin_prefetch(x + i * stride + d, 0, 3);
  gw_v_transpose(square);
  for (int64_t i = 0; i < rows; i++)
    gw_v_store(to + (d + i) * GW_PANEL, gw_operand(a->bf16, square[i]));
}

/* Packs n rows [., head], `stride` apart, in columns; 0 where the last panel has no row. */
static inline void gw_pack_columns(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                                   float *to) {
  for (int64_t first = 0; first < n; first += GW_PANEL, to += a->terms * GW_PANEL)
    for (int64_t half = 0; half < GW_PANEL; half += GW_VL)
      for (int64_t d = 0; d < a->head; d += GW_VL)
        gw_pack_square(a, x + (first + half) * stride, stride, n - first - half, d, to + half);
}

/* to [head] = scale x + 0 for one row x of a matrix of `rows` rows in panels */
GW_INLINE void gw_unpack_row(const GwHeads *a, const float *from, int64_t rows, float scale,
                             float *to) {
  gw_vf scales = gw_v_set(scale);
  for (int64_t c = 0; c < a->head; c += GW_PANEL, from += rows * GW_PANEL)
    for (int64_t d = c; d < gw_min_i64(c + GW_PANEL, a->head); d += GW_VL) {
      gw_vf row = gw_v_add(gw_v_mul(gw_v_load(from + (d - c)), scales), gw_v_zero());
      gw_v_put(to + d, row, gw_min_i64(a->head - d, GW_VL));
    }
}

/* ---- spans ---- */

/* Keys first..last of one query, counted from the start of its sequence; none when last < first. */
typedef struct {
  int64_t first, last;
} GwSpan;

#define GW_NO_KEYS ((GwSpan){INT64_MAX, -1})

GW_INLINE GwSpan gw_span_of(const GwHeads *a, int64_t row, int32_t back) {
  return (GwSpan){row - gw_min_i64(back, a->window - 1), row};
}

/* Takes `other` into `hull`. */
GW_INLINE void gw_span_widen(GwSpan *hull, GwSpan other) {
  hull->first = gw_min_i64(hull->first, other.first);
  hull->last = gw_max_i64(hull->last, other.last);
}

/* v with `other` at the keys outside the span, where its lanes are keys `key` onwards. */
GW_INLINE gw_vf gw_masked(gw_vf v, gw_vf other, int64_t key, GwSpan span) {
  if (key >= span.first && key + GW_VL <= span.last + 1) return v;
  int64_t low = gw_min_i64(gw_max_i64(span.first - key, 0), GW_VL);
  int64_t high = gw_min_i64(gw_max_i64(span.last + 1 - key, 0), GW_VL);
  return gw_v_first_n(other, gw_v_first_n(v, other, high), low);
}

#endif
