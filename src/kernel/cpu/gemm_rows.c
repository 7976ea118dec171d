/* The product of few rows with a matrix of contiguous columns, y = x Wᵀ for a few tokens: reading W
 * once is all the time it takes. So W is not packed: squares of it are transposed in registers and
 * multiplied at once. Meanwhile the next strip of columns, which lies in one piece, is brought into
 * L2 line by line, in the order in which memory likes to be read.
 *
 * Where k ends within a square, +0 in A and -0 in B give products of -0, which leave every sum as
 * it is. */
#include "kernel/cpu/gemm_check.h"
#include "kernel/cpu/gemm_parts.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  ROWS_MOST = GW_VL / 2, /* rows at a time: their sums and a square fit the registers */
  TASK_FLOATS = 1 << 15, /* of W that are worth waking a thread */
  TASKS_PER_THREAD = 4,
};

typedef struct {
  const GwGemm *gemm;
  GwTileKind kind;
  char *scratch;
  int64_t columns; /* of a task */
} Stream;

/* All rows and up to GW_VL columns. */
typedef struct {
  const float *a, *b;
  int64_t a_row, b_column, columns, depth;
  float *c;
  int64_t c_row;
  bool accumulate;
  const float *bias;
} Strip;

INLINE gw_vf rounded(gw_vf v, GwTileKind kind) {
  return kind == GW_TILE_F32 ? v : gw_v_bf16_round(v);
}

/* GW_VL columns at k, n values of each, as a square of GW_VL rows. */
INLINE void load_square(gw_vf square[GW_VL], const Strip *strip, int64_t k, GwTileKind kind) {
  const float *from = strip->b + k;
  const float *next = strip->b + GW_VL * (strip->b_column + k); /* as far into the next strip */
  int64_t n = gw_min_i64(strip->depth - k, GW_VL);
  if (n == GW_VL && strip->columns == GW_VL) {
    GW_UNROLL for (int j = 0; j < GW_VL; j++) {
      if (j * GW_VL % (int)GW_LINE_FLOATS == 0) gw_prefetch(next + j * GW_VL);
      square[j] = rounded(gw_v_load(from + j * strip->b_column), kind);
    }
  } else {
    gw_vf pad = gw_v_set(-0.0f);
    for (int j = 0; j < GW_VL; j++) {
      square[j] = pad;
      if (j >= strip->columns) continue;
      gw_vf column = gw_v_load_n(from + j * strip->b_column, n);
      square[j] = gw_v_first_n(rounded(column, kind), pad, n);
    }
  }
  gw_v_transpose(square);
}

INLINE void multiply(gw_vf *sums, const Strip *strip, int rows, GwTileKind kind) {
  const int swap = kind == GW_TILE_BF16; /* the second of a pair comes first */
  for (int64_t k = 0; k < strip->depth; k += GW_VL) {
    float left[ROWS_MOST][GW_VL];
    gw_vf square[GW_VL];
    int64_t n = gw_min_i64(strip->depth - k, GW_VL);
    GW_UNROLL for (int i = 0; i < rows; i++)
        gw_v_store(left[i], rounded(gw_v_get(strip->a + i * strip->a_row + k, n), kind));
    load_square(square, strip, k, kind);
    GW_UNROLL for (int j = 0; j < GW_VL; j++) {
      GW_UNROLL for (int i = 0; i < rows; i++) {
        gw_vf a = gw_v_set(left[i][j ^ swap]);
        sums[i] = kind == GW_TILE_F32 ? gw_v_fma(a, square[j ^ swap], sums[i])
                                      : gw_v_fma_bf16(a, square[j ^ swap], sums[i]);
      }
    }
  }
}

INLINE void hold(gw_vf *sums, int rows) {
  GW_UNROLL for (int i = 0; i < rows; i++) gw__hold(&sums[i]);
}

INLINE void run_strip(const Strip *strip, int rows, GwTileKind kind) {
  gw_vf sums[ROWS_MOST];
  GW_UNROLL for (int i = 0; i < rows; i++) sums[i] =
      strip->accumulate ? gw_v_load_n(strip->c + i * strip->c_row, strip->columns) : gw_v_zero();
  if (kind == GW_TILE_BF16) {
    unsigned before = gw_v_flush_begin();
    hold(sums, rows);
    multiply(sums, strip, rows, kind);
    hold(sums, rows);
    gw_v_flush_end(before);
    hold(sums, rows);
  } else {
    multiply(sums, strip, rows, kind);
  }
  gw_vf bias = strip->bias ? gw_v_load_n(strip->bias, strip->columns) : gw_v_zero();
  GW_UNROLL for (int i = 0; i < rows; i++) {
    gw_vf value = strip->bias ? gw_v_add(sums[i], bias) : sums[i];
    gw_v_store_n(strip->c + i * strip->c_row, value, strip->columns);
  }
}

typedef void RunStrip(const Strip *strip);

#if defined(GW_ISA_AVX512)
#define FOR_ROWS(X, k) X(k, 1) X(k, 2) X(k, 3) X(k, 4) X(k, 5) X(k, 6) X(k, 7) X(k, 8)
#elif defined(GW_ISA_AVX2)
#define FOR_ROWS(X, k) X(k, 1) X(k, 2) X(k, 3) X(k, 4)
#else
#define FOR_ROWS(X, k) X(k, 1) X(k, 2)
#endif
#define DEFINE(kind, rows)                                                                         \
  static void strip_##kind##_##rows(const Strip *strip) { run_strip(strip, rows, GW_TILE_##kind); }
#define NAME(kind, rows) strip_##kind##_##rows,
FOR_ROWS(DEFINE, F32)
FOR_ROWS(DEFINE, BF16)
static RunStrip *const strips[2][ROWS_MOST] = {{FOR_ROWS(NAME, F32)}, {FOR_ROWS(NAME, BF16)}};

static void run_columns(void *context, int64_t task, int thread) {
  const Stream *stream = context;
  const GwGemm *gemm = stream->gemm;
  int64_t first = task * stream->columns;
  int64_t last = gw_min_i64(first + stream->columns, gemm->columns);
  float *block = (float *)(void *)(stream->scratch + (size_t)thread * GW_GEMM_SCRATCH);
  Strip strip = {
      .a = gemm->a.at, .a_row = gemm->a.row, .b_column = gemm->b.column, .depth = gemm->depth};
  strip.accumulate = gemm->accumulate;
  strip.c_row = gemm->c ? gemm->c_row : stream->columns;
  float *c = gemm->c ? gemm->c + first : block;
  for (int64_t j = first; j < last; j += GW_VL) {
    strip.columns = gw_min_i64(last - j, GW_VL);
    strip.b = gemm->b.at + j * gemm->b.column;
    strip.bias = gemm->bias ? gemm->bias + j : NULL;
    strip.c = c + j - first;
    strips[stream->kind == GW_TILE_BF16][gemm->rows - 1](&strip);
  }
  if (gemm->abft) GW_KERNEL(gemm_check_block)(gemm, c, strip.c_row, 0, gemm->rows, last - first);
  if (gemm->finish)
    gemm->finish(gemm->context, c, strip.c_row, 0, gemm->rows, first, last - first, thread);
}

bool GW_KERNEL(gemm_is_few_rows)(const GwGemm *gemm) {
  return gemm->rows <= ROWS_MOST && gemm->a.column == 1 && gemm->b.row == 1;
}

void GW_KERNEL(gemm_few_rows)(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch) {
  Stream stream = {.gemm = gemm, .scratch = scratch};
  stream.kind = kind == GW_TILE_F32 ? GW_TILE_F32 : GW_TILE_BF16;
  int64_t parts = TASKS_PER_THREAD * gw_pool_threads(pool);
  int64_t columns = gw_max_i64(gw_ceil_div(gemm->columns, parts), TASK_FLOATS / gemm->depth);
  int64_t most = GW_GEMM_SCRATCH / (int64_t)sizeof(float) / ROWS_MOST; /* of C in scratch */
  columns = gw_min_i64(gw_ceil_div(columns, GW_VL) * GW_VL, most);
  stream.columns = gw_max_i64(columns, GW_VL);
  gw_pool_run(pool, gw_ceil_div(gemm->columns, stream.columns), run_columns, &stream);
}
