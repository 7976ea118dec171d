/* What the attention kernels share: packed keys, and the one tile of products that scores,
 * weighted sums and gradients are all made of.
 *
 * Every element of every product is one chain of fused multiply-adds in the order of its
 * reference; the tile runs GW_ROWS x 2 vectors of such chains side by side. */
#ifndef GW_ATTENTION_TILE_H
#define GW_ATTENTION_TILE_H

#include "kernel/cpu/kernel.h"
#include "op/attention_scratch.h"

enum {
#if defined(GW_ISA_AVX512)
  GW_ROWS = 8, /* rows of a tile: 16 of 32 registers hold sums */
#else
  GW_ROWS = 4,
#endif
  GW_PANEL = 2 * GW_VL, /* keys of a panel, columns of a tile */
};

#define GW_INLINE static inline __attribute__((always_inline))

typedef struct {
  int64_t heads, kv_heads, head, window;
  int64_t padded; /* head, up to whole vectors */
  int64_t width, kv_width;
  float scale;
} GwHeads;

GW_INLINE GwHeads gw_heads_of(const GwShapes *shapes, double window) {
  GwHeads a = {.heads = (int64_t)shapes->attr[0], .kv_heads = (int64_t)shapes->attr[1]};
  a.width = gw_columns(&shapes->in[0]);
  a.kv_width = gw_columns(&shapes->in[1]);
  a.head = a.width / a.heads;
  a.padded = gw_ceil_div(a.head, GW_VL) * GW_VL;
  a.window = window > 0 ? (int64_t)window : INT64_MAX;
  a.scale = 1 / gw_sqrt((float)a.head);
  return a;
}

/* bf16 operands, for now, by the reference itself. */
static inline void gw_by_reference(const GwCall *call, void *context, int64_t first, int64_t last,
                                   int thread) {
  (void)thread;
  gw_op_def(*(const GwOpcode *)context)->reference(call, first, last);
}

GW_INLINE bool gw_reference_only(const GwCall *call, GwOpcode code, double operands) {
  if (operands == GW_OPERANDS_F32) return false;
  GW_KERNEL(split)(call, gw_op_def(code)->units(&call->shapes), 1, gw_by_reference, &code);
  return true;
}

/* The weight of row r and term s is weight[r * row + s * term]. */
typedef struct {
  const float *weight;
  int64_t row, term;
} GwWeights;

/* out[r, c] (+)= Σ_s weight(r, s) x[s, c], in order of s < terms, for GW_ROWS rows and `vectors`
 * (1 or 2) vectors of columns; `fresh`: from 0 instead of from out. Strides in elements. */
GW_INLINE void gw_tile(int vectors, bool fresh, float *out, int64_t out_stride, GwWeights w,
                       const float *x, int64_t x_stride, int64_t terms) {
  gw_vf sum[GW_ROWS][2];
  for (int r = 0; r < GW_ROWS; r++)
    for (int j = 0; j < vectors; j++)
      sum[r][j] = fresh ? gw_v_zero() : gw_v_load(out + r * out_stride + j * GW_VL);
  for (int64_t s = 0; s < terms; s++) {
    gw_vf term[2];
    for (int j = 0; j < vectors; j++) term[j] = gw_v_load(x + s * x_stride + j * GW_VL);
    for (int r = 0; r < GW_ROWS; r++) {
      gw_vf weight = gw_v_set(w.weight[r * w.row + s * w.term]);
      for (int j = 0; j < vectors; j++) sum[r][j] = gw_v_fma(weight, term[j], sum[r][j]);
    }
  }
  for (int r = 0; r < GW_ROWS; r++)
    for (int j = 0; j < vectors; j++) gw_v_store(out + r * out_stride + j * GW_VL, sum[r][j]);
}

/* The same for all `columns` (whole vectors). */
GW_INLINE void gw_tiles(bool fresh, float *out, int64_t out_stride, GwWeights w, const float *x,
                        int64_t x_stride, int64_t terms, int64_t columns) {
  int64_t c = 0;
  for (; c + GW_PANEL <= columns; c += GW_PANEL)
    gw_tile(2, fresh, out + c, out_stride, w, x + c, x_stride, terms);
  if (c < columns) gw_tile(1, fresh, out + c, out_stride, w, x + c, x_stride, terms);
}

/* Products of GW_ROWS queries (packed in a group) with a packed panel of keys, of which `keys` are
 * needed, to rows GW_ATTENTION_KEYS apart. */
GW_INLINE void gw_scores(const GwHeads *a, const float *queries, const float *panel, int64_t keys,
                         float *out) {
  GwWeights w = {queries, 1, GW_ROWS};
  if (keys > GW_VL)
    gw_tile(2, true, out, GW_ATTENTION_KEYS, w, panel, GW_PANEL, a->head);
  else
    gw_tile(1, true, out, GW_ATTENTION_KEYS, w, panel, GW_PANEL, a->head);
}

/* Four floats in any register set. */
typedef float gw_v4f __attribute__((vector_size(16)));

/* to[c * to_stride + r] = from[r * from_stride + c] for r, c < 4 */
GW_INLINE void gw_transpose4(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
  gw_v4f a, b, c, d;
  memcpy(&a, from, sizeof a);
  memcpy(&b, from + from_stride, sizeof b);
  memcpy(&c, from + 2 * from_stride, sizeof c);
  memcpy(&d, from + 3 * from_stride, sizeof d);
  gw_v4f ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  gw_v4f ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  gw_v4f cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  gw_v4f cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  memcpy(to, &a, sizeof a);
  memcpy(to + to_stride, &b, sizeof b);
  memcpy(to + 2 * to_stride, &c, sizeof c);
  memcpy(to + 3 * to_stride, &d, sizeof d);
}

/* Packs n rows [., head], `stride` apart, as groups [., head, size]; 0 at the end of the last. */
GW_INLINE void gw_pack_groups(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                              int64_t size, float *to) {
  int64_t fours = a->head / 4 * 4;
  for (int64_t first = 0; first < n; first += size, to += a->head * size) {
    int64_t rows = gw_min_i64(n - first, size), r = 0;
    if (rows < size) memset(to, 0, (size_t)(a->head * size) * sizeof *to);
    for (; r + 4 <= rows; r += 4) {
      const float *from = x + (first + r) * stride;
      for (int64_t d = 0; d < fours; d += 4)
        gw_transpose4(from + d, stride, to + d * size + r, size);
      for (int64_t d = fours; d < a->head; d++)
        for (int64_t i = 0; i < 4; i++) to[d * size + r + i] = from[i * stride + d];
    }
    for (; r < rows; r++)
      for (int64_t d = 0; d < a->head; d++) to[d * size + r] = x[(first + r) * stride + d];
  }
}

/* Copies n rows [., head], `stride` apart, to rows [., padded] with 0 at their ends. */
static inline void gw_pack_rows(const GwHeads *a, const float *x, int64_t stride, int64_t n,
                                float *to) {
  size_t bytes = (size_t)a->head * sizeof *x, rest = (size_t)(a->padded - a->head) * sizeof *x;
  for (int64_t i = 0; i < n; i++) {
    memcpy(to + i * a->padded, x + i * stride, bytes);
    memset(to + i * a->padded + a->head, 0, rest);
  }
}

/* Keys first..last of one query, counted from the start of its sequence; none when last < first. */
typedef struct {
  int64_t first, last;
} GwSpan;

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
