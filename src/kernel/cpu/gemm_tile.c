/* The register tile: all the arithmetic of a matrix product. The sums live in vector registers over
 * the whole block of k; each step loads one row of the B panel and multiplies it by one element of
 * each row of A. Every height from GW_TILE_ROWS down to half of it is a function of its own. */
#include "kernel/cpu/gemm_parts.h"

#define INLINE static inline __attribute__((always_inline))

#if defined(GW_ISA_AVX512)
enum { LEAST_ROWS = 7 };
#define FOR_HEIGHTS(X, k, l)                                                                       \
  X(k, l, 7) X(k, l, 8) X(k, l, 9) X(k, l, 10) X(k, l, 11) X(k, l, 12) X(k, l, 13) X(k, l, 14)
#elif defined(GW_ISA_AVX2)
enum { LEAST_ROWS = 3 };
#define FOR_HEIGHTS(X, k, l) X(k, l, 3) X(k, l, 4) X(k, l, 5) X(k, l, 6)
#else
enum { LEAST_ROWS = 2 };
#define FOR_HEIGHTS(X, k, l) X(k, l, 2) X(k, l, 3) X(k, l, 4)
#endif

typedef struct {
  gw_vf at[GW_TILE_ROWS][GW_TILE_VECTORS];
} Sums;

typedef struct {
  int rows;
  bool by_rows;
  GwTileKind kind;
} Shape;

/* How many of vector j's lanes are columns of C. */
INLINE int64_t lanes(int64_t columns, int j) {
  return gw_min_i64(gw_max_i64(columns - j * GW_VL, 0), GW_VL);
}

/* Only the lowest tile may have fewer rows of C than of sums. */
INLINE bool has_row(const GwTile *tile, Shape shape, int i) {
  return shape.rows > LEAST_ROWS || i < tile->rows;
}

INLINE void clear(Sums *sums, Shape shape) {
  GW_UNROLL for (int i = 0; i < shape.rows; i++) {
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) sums->at[i][j] = gw_v_zero();
  }
}

INLINE void load(Sums *sums, const GwTile *tile, Shape shape, bool whole) {
  GW_UNROLL for (int i = 0; i < shape.rows; i++) {
    const float *c = tile->c + i * tile->c_row;
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      int64_t n = whole ? GW_VL : lanes(tile->columns, j);
      sums->at[i][j] = has_row(tile, shape, i) ? gw_v_get(c + j * GW_VL, n) : gw_v_zero();
    }
  }
}

INLINE void store(const Sums *sums, const GwTile *tile, Shape shape, bool whole) {
  GW_UNROLL for (int i = 0; i < shape.rows; i++) {
    float *c = tile->c + i * tile->c_row;
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      int64_t n = whole ? GW_VL : lanes(tile->columns, j);
      if (has_row(tile, shape, i)) gw_v_put(c + j * GW_VL, sums->at[i][j], n);
    }
  }
}

INLINE void add_bias(Sums *sums, const GwTile *tile, Shape shape) {
  GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
    gw_vf bias = gw_v_load_n(tile->bias + j * GW_VL, lanes(tile->columns, j));
    GW_UNROLL for (int i = 0; i < shape.rows; i++) {
      sums->at[i][j] = gw_v_add(sums->at[i][j], bias);
    }
  }
}

INLINE gw_vf product(gw_vf a, gw_vf b, gw_vf sum, GwTileKind kind) {
  if (kind == GW_TILE_F32) return gw_v_fma(a, b, sum);
  if (kind == GW_TILE_BF16) return gw_v_fma_bf16(a, b, sum);
#if defined(GW_ISA_AVX512)
  sum = gw_v_fma_pairs(a, b, sum);
#endif
  return sum;
}

INLINE void step(Sums *sums, const float *a, const float *b, Shape shape) {
  int64_t a_row = shape.by_rows ? GW_A_ROW : 1;
  gw_vf right[GW_TILE_VECTORS];
  GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) right[j] = gw_v_load(b + j * GW_VL);
  GW_UNROLL for (int i = 0; i < shape.rows; i++) {
    gw_vf left = gw_v_set(a[i * a_row]);
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) {
      sums->at[i][j] = product(left, right[j], sums->at[i][j], shape.kind);
    }
  }
}

enum {
  SLOT_STEPS = 4,
  LINE_FLOATS = 16,
  C_LINES = (GW_TILE_COLUMNS + LINE_FLOATS - 1) / LINE_FLOATS
};

/* SLOT_STEPS steps, and a line of what will be packed comes nearer. */
INLINE void steps(Sums *sums, const GwTile *tile, int64_t k, Shape shape) {
  const int64_t a_step = shape.by_rows ? 1 : GW_A_DEPTH;
  const int64_t swap = shape.kind == GW_TILE_BF16; /* the second of a pair comes first */
  const float *a = tile->a + k * a_step, *b = tile->b + k * tile->b_step;
  int64_t column = k % GW_AHEAD_STEPS * (GW_AHEAD_BYTES / GW_AHEAD_STEPS);
  __builtin_prefetch(tile->ahead + k / GW_AHEAD_STEPS * tile->ahead_row + column, 0, 2);
  GW_UNROLL for (int64_t i = 0; i < SLOT_STEPS; i++)
      step(sums, a + (i ^ swap) * a_step, b + (i ^ swap) * tile->b_step, shape);
}

INLINE void multiply(Sums *sums, const GwTile *tile, Shape shape) {
  const int64_t a_step = shape.by_rows ? 1 : GW_A_DEPTH;
  const int64_t swap = shape.kind == GW_TILE_BF16;
  int64_t k = 0, whole = tile->steps / SLOT_STEPS * SLOT_STEPS;
  const float *c = tile->prefetch_c;
  for (; k < gw_min_i64(whole, shape.rows * C_LINES * SLOT_STEPS); k += SLOT_STEPS) {
    __builtin_prefetch(c + k / SLOT_STEPS % C_LINES * LINE_FLOATS, 1);
    if (k / SLOT_STEPS % C_LINES == C_LINES - 1) c += tile->c_row;
    steps(sums, tile, k, shape);
  }
  for (; k < whole; k += SLOT_STEPS) steps(sums, tile, k, shape);
  for (int64_t i = k; i < tile->steps; i++) {
    int64_t at = (i ^ swap) < tile->steps ? i ^ swap : i;
    step(sums, tile->a + at * a_step, tile->b + at * tile->b_step, shape);
  }
}

INLINE void hold(Sums *sums, Shape shape) {
  GW_UNROLL for (int i = 0; i < shape.rows; i++) {
    GW_UNROLL for (int j = 0; j < GW_TILE_VECTORS; j++) gw__hold(&sums->at[i][j]);
  }
}

INLINE void multiply_flushing(Sums *sums, const GwTile *tile, Shape shape) {
  unsigned before = gw_v_flush_begin();
  hold(sums, shape);
  multiply(sums, tile, shape);
  hold(sums, shape);
  gw_v_flush_end(before);
  hold(sums, shape);
}

INLINE void run_tile(const GwTile *tile, Shape shape) {
  bool whole = tile->columns == GW_TILE_COLUMNS;
  Sums sums;
  if (!tile->accumulate)
    clear(&sums, shape);
  else if (whole)
    load(&sums, tile, shape, true);
  else
    load(&sums, tile, shape, false);
  if (shape.kind == GW_TILE_BF16)
    multiply_flushing(&sums, tile, shape);
  else
    multiply(&sums, tile, shape);
  if (tile->bias) add_bias(&sums, tile, shape);
  if (whole)
    store(&sums, tile, shape, true);
  else
    store(&sums, tile, shape, false);
}

#define DEFINE(kind, by_rows, rows)                                                                \
  static void tile_##kind##_##by_rows##_##rows(const GwTile *tile) {                               \
    run_tile(tile, (Shape){rows, by_rows, GW_TILE_##kind});                                        \
  }
#define NAME(kind, by_rows, rows) tile_##kind##_##by_rows##_##rows,
#define LIST(kind)                                                                                 \
  {                                                                                                \
    {FOR_HEIGHTS(NAME, kind, 0)}, { FOR_HEIGHTS(NAME, kind, 1) }                                   \
  }

FOR_HEIGHTS(DEFINE, F32, 0)
FOR_HEIGHTS(DEFINE, F32, 1)
FOR_HEIGHTS(DEFINE, BF16, 0)
FOR_HEIGHTS(DEFINE, BF16, 1)
#if defined(GW_ISA_AVX512)
FOR_HEIGHTS(DEFINE, PAIRS, 0)
FOR_HEIGHTS(DEFINE, PAIRS, 1)
#endif

typedef void Tile(const GwTile *tile);
static Tile *const tiles[GW_TILE_KIND_COUNT][2][GW_TILE_ROWS - LEAST_ROWS + 1] = {
    LIST(F32),
    LIST(BF16),
#if defined(GW_ISA_AVX512)
    LIST(PAIRS),
#endif
};

void GW_KERNEL(gemm_tile)(GwTileKind kind, const GwTile *tile) {
  tiles[kind][tile->by_rows][gw_max_i64(tile->rows, LEAST_ROWS) - LEAST_ROWS](tile);
}
