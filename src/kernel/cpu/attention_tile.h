/* What the attention kernels share: how operands are packed, the one tile of products that scores,
 * weighted sums and gradients are all made of, and the span of keys that a query sees.
 *
 * A matrix [n, C] is packed in panels of GW_PANEL columns, [C/GW_PANEL, n, GW_PANEL], zeros filling
 * the last; so a row of a panel is GW_PANEL from the next in every operand and result, and each
 * packed matrix can be a factor on either side of a product. Keys (and, for dy v, values) are also
 * packed in columns: panels of GW_PANEL keys, [keys/GW_PANEL, terms, GW_PANEL].
 *
 * Where the processor multiplies bf16 in pairs, an element is a pair of terms: a matrix whose
 * columns are the terms has half as many columns, one whose rows are the terms half as many rows.
 *
 * Every element of every product is one chain of fused multiply-adds in the order of its
 * reference; the tile runs GW_ROWS x 2 vectors of such chains side by side. Sums have an even
 * number of terms here: a product of zeros ends an odd one, which at most turns a -0 into +0, and
 * that is lost in the + 0 of the results and in the exponential of the scores. */
#ifndef GW_ATTENTION_TILE_H
#define GW_ATTENTION_TILE_H

#include "kernel/cpu/gemm_kind.h"
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
  int64_t terms;           /* head, made even */
  int64_t padded;          /* head, up to whole panels */
  int64_t width, kv_width; /* of a row of q, and of one of k and v */
  float scale;
  GwTileKind kind; /* of products */
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
  a.kind = operands == GW_OPERANDS_BF16 ? GW_KERNEL(gemm_bf16_kind)() : GW_TILE_F32;
  return a;
}

#if defined(GW_ISA_AVX512)
GW_INLINE bool gw_is_pairs(GwTileKind kind) { return kind == GW_TILE_PAIRS; }
#else /* never: what follows from it is not compiled to anything */
GW_INLINE bool gw_is_pairs(GwTileKind kind) { return (void)kind, false; }
GW_INLINE gw_vf gw_v_pairs_along(gw_vf first, gw_vf second) { return (void)second, first; }
GW_INLINE gw_vf gw_v_pairs_across(gw_vf even, gw_vf odd) { return (void)odd, even; }
#endif

/* How many elements stand for `terms` terms; an even number of them. */
GW_INLINE int64_t gw_steps(GwTileKind kind, int64_t terms) {
  return gw_is_pairs(kind) ? terms / 2 : terms;
}

/* Products of bf16 operands belong between these two (see gw_v_flush_begin). */
GW_INLINE unsigned gw_products_begin(GwTileKind kind) {
  return kind == GW_TILE_BF16 ? gw_v_flush_begin() : 0;
}
GW_INLINE void gw_products_end(GwTileKind kind, unsigned before) {
  if (kind == GW_TILE_BF16) gw_v_flush_end(before);
}

/* A value as an operand that is no pair. */
GW_INLINE gw_vf gw_operand(GwTileKind kind, gw_vf x) {
  return kind == GW_TILE_BF16 ? gw_v_bf16_round(x) : x;
}

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

GW_INLINE gw_vf gw_product(GwTileKind kind, gw_vf a, gw_vf b, gw_vf sum) {
#if defined(GW_ISA_AVX512)
  if (kind == GW_TILE_PAIRS) return gw_v_fma_pairs(a, b, sum);
#endif
  return kind == GW_TILE_F32 ? gw_v_fma(a, b, sum) : gw_v_fma_bf16(a, b, sum);
}

/* What the compiler knows of a tile. */
typedef struct {
  int rows, vectors;
  GwTileKind kind;
  bool by_columns;
} GwTileShape;

/* sum[r] += weight(r) x for one step */
GW_INLINE void gw_tile_step(GwTileShape shape, gw_vf sum[][2], const float *weight,
                            const float *x) {
  const int64_t row = shape.by_columns ? 1 : GW_PANEL;
  gw_vf term[2];
  GW_UNROLL for (int j = 0; j < shape.vectors; j++) { term[j] = gw_v_load(x + j * GW_VL); }
  GW_UNROLL for (int r = 0; r < shape.rows; r++) {
    gw_vf weights = gw_v_set(weight[r * row]);
    GW_UNROLL for (int j = 0; j < shape.vectors; j++) {
      sum[r][j] = gw_product(shape.kind, weights, term[j], sum[r][j]);
    }
  }
}

/* sum += weights x for up to a panel of steps, an even number unless they are pairs. */
GW_INLINE void gw_tile_panel(GwTileShape shape, gw_vf sum[][2], const float *weight, const float *x,
                             int64_t steps) {
  const int64_t next = shape.by_columns ? GW_PANEL : 1;
  if (gw_is_pairs(shape.kind)) {
    for (; steps > 0; steps--, weight += next, x += GW_PANEL) gw_tile_step(shape, sum, weight, x);
    return;
  }
  const int64_t first = shape.kind == GW_TILE_BF16 ? 1 : 0, second = 1 - first;
  for (; steps > 0; steps -= 2, weight += 2 * next, x += 2 * GW_PANEL) {
    gw_tile_step(shape, sum, weight + first * next, x + first * GW_PANEL);
    gw_tile_step(shape, sum, weight + second * next, x + second * GW_PANEL);
  }
}

/* out[r, c] (+)= Σ_s weight(r, s) x[s, c] for the rows (up to GW_ROWS) and vectors of columns (1 or
 * 2) of the shape, s < steps in order, with BF16 each odd s before its even partner. `fresh`: from
 * 0 instead of from out. Rows of x and out stand GW_PANEL apart. All that the inner loop depends on
 * is known to the compiler. */
GW_INLINE void gw_tile_of(GwTileShape shape, bool fresh, float *out, const float *weights,
                          int64_t panel, const float *x, int64_t steps) {
  gw_vf sum[GW_ROWS][2];
  GW_UNROLL for (int r = 0; r < shape.rows; r++) {
    GW_UNROLL for (int j = 0; j < shape.vectors; j++) { sum[r][j] = gw_v_zero(); }
  }
  if (!fresh) {
    GW_UNROLL for (int r = 0; r < shape.rows; r++) {
      GW_UNROLL for (int j = 0; j < shape.vectors; j++) {
        sum[r][j] = gw_v_load(out + r * GW_PANEL + j * GW_VL);
      }
    }
  }
  for (; steps > 0; steps -= GW_PANEL, weights += panel, x += GW_PANEL * GW_PANEL)
    gw_tile_panel(shape, sum, weights, x, gw_min_i64(steps, GW_PANEL));
  GW_UNROLL for (int r = 0; r < shape.rows; r++) {
    GW_UNROLL for (int j = 0; j < shape.vectors; j++) {
      gw_v_store(out + r * GW_PANEL + j * GW_VL, sum[r][j]);
    }
  }
}

/* One function per shape of the inner loop, so that each has the registers to itself. */
#define GW_TILE(name, ...)                                                                         \
  __attribute__((noinline, unused)) static void name(bool fresh, float *out, const float *weights, \
                                                     int64_t panel, const float *x,                \
                                                     int64_t steps) {                              \
    gw_tile_of((GwTileShape){__VA_ARGS__}, fresh, out, weights, panel, x, steps);                  \
  }
#define GW_TILES_OF(kind)                                                                          \
  GW_TILE(gw_tile_rows_1_##kind, GW_ROWS, 1, GW_TILE_##kind, false)                                \
  GW_TILE(gw_tile_rows_2_##kind, GW_ROWS, 2, GW_TILE_##kind, false)                                \
  GW_TILE(gw_tile_columns_1_##kind, GW_ROWS, 1, GW_TILE_##kind, true)                              \
  GW_TILE(gw_tile_columns_2_##kind, GW_ROWS, 2, GW_TILE_##kind, true)                              \
  GW_TILE(gw_tile_row_1_##kind, 1, 1, GW_TILE_##kind, false)                                       \
  GW_TILE(gw_tile_row_2_##kind, 1, 2, GW_TILE_##kind, false)
#define GW_TILE_NAMES(kind)                                                                        \
  {                                                                                                \
    {gw_tile_rows_1_##kind, gw_tile_rows_2_##kind},                                                \
        {gw_tile_columns_1_##kind, gw_tile_columns_2_##kind}, {                                    \
      gw_tile_row_1_##kind, gw_tile_row_2_##kind                                                   \
    }                                                                                              \
  }
GW_TILES_OF(F32)
GW_TILES_OF(BF16)
#if defined(GW_ISA_AVX512)
GW_TILES_OF(PAIRS)
#endif
#undef GW_TILES_OF
#undef GW_TILE

typedef void GwTile(bool fresh, float *out, const float *weights, int64_t panel, const float *x,
                    int64_t steps);

/* The same for the first `columns` columns of a panel of x and out, in whole vectors, and an even
 * number of terms; `rows` is 1 or GW_ROWS (1 only by rows). */
GW_INLINE void gw_tile(int64_t rows, int64_t columns, bool fresh, GwTileKind kind, float *out,
                       GwWeights w, const float *x, int64_t terms) {
  static GwTile *const tiles[GW_TILE_KIND_COUNT][3][2] = {
    GW_TILE_NAMES(F32),
    GW_TILE_NAMES(BF16),
#if defined(GW_ISA_AVX512)
    GW_TILE_NAMES(PAIRS),
#endif
  };
  int side = rows == 1 ? 2 : w.by_columns ? 1 : 0;
  tiles[kind][side][columns > GW_VL](fresh, out, w.at, w.panel, x, gw_steps(kind, terms));
}
#undef GW_TILE_NAMES

/* out (+)= weights x for all columns of a head; x has room for x_rows terms, out for out_rows rows.
 */
GW_INLINE void gw_tile_add(const GwHeads *a, int64_t rows, bool fresh, float *out, int64_t out_rows,
                           GwWeights w, const float *x, int64_t x_rows, int64_t terms) {
  for (int64_t c = 0; c < a->head; c += GW_PANEL)
    gw_tile(rows, a->head - c, fresh, a->kind, out + c * out_rows, w,
            x + c * gw_steps(a->kind, x_rows), terms);
}

/* ---- packing ---- */

/* Floats from one panel of keys packed in columns to the next. */
GW_INLINE int64_t gw_columns_panel(const GwHeads *a) {
  return gw_steps(a->kind, a->terms) * GW_PANEL;
}

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

/* Puts x [head] (NULL: zeros), as operands of the kind, into one row of a matrix of `rows` rows in
 * panels. */
GW_INLINE void gw_pack_row(const GwHeads *a, GwTileKind kind, const float *x, int64_t rows,
                           float *to) {
  for (int64_t c = 0; c < a->head; c += GW_PANEL, to += rows * GW_PANEL) {
    int64_t left = x ? a->head - c : 0;
    const float *from = x ? x + c : to; /* where nothing is read */
    gw_v_store(to, gw_operand(kind, gw_load_some(from, left)));
    gw_v_store(to + GW_VL, gw_operand(kind, gw_load_some(from + GW_VL, left - GW_VL)));
  }
}

/* 2 GW_VL columns of a row from x on, `left` of them there, as pairs. */
GW_INLINE gw_vf gw_load_pairs(const float *x, int64_t left) {
  return gw_v_pairs_along(gw_load_some(x, left), gw_load_some(x + GW_VL, left - GW_VL));
}

/* The same for a row whose columns are terms of a product. */
GW_INLINE void gw_pack_terms(const GwHeads *a, const float *x, int64_t rows, float *to) {
  if (!gw_is_pairs(a->kind)) {
    gw_pack_row(a, a->kind, x, rows, to);
    return;
  }
  for (int64_t c = 0; c < a->head; c += 2 * GW_PANEL, to += rows * GW_PANEL) {
    int64_t left = x ? a->head - c : 0;
    gw_v_store(to, gw_load_pairs(x + c, left));
    gw_v_store(to + GW_VL, gw_load_pairs(x + c + GW_PANEL, left - GW_PANEL));
  }
}

/* Rows `even` and `odd` (each NULL: zeros), which are terms, into one row of `rows` of pairs. */
GW_INLINE void gw_pack_pair(const GwHeads *a, const float *even, const float *odd, int64_t rows,
                            float *to) {
  for (int64_t c = 0; c < a->head; c += GW_PANEL, to += rows * GW_PANEL)
    for (int64_t d = c; d < c + GW_PANEL; d += GW_VL)
      gw_v_store(to + (d - c), gw_v_pairs_across(gw_load_some(even + d, even ? a->head - d : 0),
                                                 gw_load_some(odd + d, odd ? a->head - d : 0)));
}

/* Packs n rows [., head], `stride` apart, which are terms, in panels with room for `rows` (an even
 * number) of them; the others become 0. */
static inline void gw_pack_rows(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                                int64_t rows, float *to) {
  for (int64_t i = 0; i < rows; i++) {
    const float *row = i < n ? x + i * stride : NULL;
    if (i + GW_AHEAD < n) gw_expect_row(a, x + (i + GW_AHEAD) * stride, GW_EXPECT_NOW);
    if (!gw_is_pairs(a->kind))
      gw_pack_row(a, a->kind, row, rows, to + i * GW_PANEL);
    else if (i % 2 == 0)
      gw_pack_pair(a, row, i + 1 < n ? row + stride : NULL, rows / 2, to + i / 2 * GW_PANEL);
  }
}

/* Columns d.. of up to GW_VL of n rows become rows of one half of a panel: GW_VL steps. */
GW_INLINE void gw_pack_square(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                              int64_t d, float *to) {
  gw_vf square[GW_VL];
  const bool pairs = gw_is_pairs(a->kind);
  int64_t left = a->head - d, rows = gw_min_i64(gw_steps(a->kind, a->terms - d), GW_VL);
  if (n >= GW_VL && left >= 2 * GW_VL && pairs) {
    GW_UNROLL for (int i = 0; i < GW_VL; i++) {
      square[i] = gw_load_pairs(x + i * stride + d, 2 * GW_VL);
    }
  } else if (n >= GW_VL && left >= GW_VL && !pairs) {
    GW_UNROLL for (int i = 0; i < GW_VL; i++) { square[i] = gw_v_load(x + i * stride + d); }
  } else {
    for (int i = 0; i < GW_VL; i++) {
      square[i] = gw_v_zero();
      if (i >= n) continue;
      const float *from = x + i * stride + d;
      square[i] = pairs ? gw_load_pairs(from, left) : gw_load_some(from, left);
    }
  }
  for (int64_t i = GW_VL; i < gw_min_i64(n, 2 * GW_VL); i++)
    __builtin_prefetch(x + i * stride + d, 0, 3);
  gw_v_transpose(square);
  to += gw_steps(a->kind, d) * GW_PANEL;
  for (int64_t i = 0; i < rows; i++) gw_v_store(to + i * GW_PANEL, gw_operand(a->kind, square[i]));
}

/* Packs n rows [., head], `stride` apart, in columns; 0 where the last panel has no row. */
static inline void gw_pack_columns(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                                   float *to) {
  const int64_t square = gw_is_pairs(a->kind) ? 2 * GW_VL : GW_VL;
  for (int64_t first = 0; first < n; first += GW_PANEL, to += gw_columns_panel(a))
    for (int64_t half = 0; half < GW_PANEL; half += GW_VL)
      for (int64_t d = 0; d < a->head; d += square)
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
