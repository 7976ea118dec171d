/* The product of few rows with a matrix of contiguous columns, y = x Wᵀ for a few tokens: reading W
 * once is all the time it takes. So W is not packed: squares of it are transposed in registers and
 * multiplied at once. Meanwhile the next strip of columns, which lies in one piece, is brought into
 * L2 line by line, in the order in which memory likes to be read.
 *
 * Where k ends within a square, +0 in A and -0 in B give products of -0, which leave every sum as
 * it is. */
#include "kernel/cpu/gemm_rows.h"

#include <stdatomic.h>

#include "kernel/cpu/gemm_check.h"
#include "kernel/cpu/gemm_parts.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  PART_FLOATS = 1 << 15, /* of W that are worth waking a thread */
  PARTS_MOST = 64,
};

/* Strips that a thread goes through, in the order of memory, from the front; a thread that is done
 * with its own takes others' from the back. The first one left and the one after the last, in the
 * two halves of a word. */
typedef struct {
  _Alignas(64) _Atomic uint64_t left;
} Part;

typedef struct {
  const GwGemm *gemm;
  GwTileKind kind;
  char *scratch;
  int64_t parts;
  Part part[PARTS_MOST];
} Stream;

INLINE gw_vf rounded(gw_vf v, GwTileKind kind) {
  return kind == GW_TILE_F32 ? v : gw_v_bf16_round(v);
}

/* GW_VL columns at k, n values of each, as a square of GW_VL rows. */
INLINE void load_square(gw_vf square[GW_VL], const GwStrip *strip, int64_t k, GwTileKind kind) {
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

INLINE void multiply(gw_vf *sums, const GwStrip *strip, int rows, GwTileKind kind) {
  const int swap = kind == GW_TILE_BF16; /* the second of a pair comes first */
  for (int64_t k = 0; k < strip->depth; k += GW_VL) {
    float left[GW_STRIP_ROWS][GW_VL];
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

INLINE void run_strip(const GwStrip *strip, int rows, GwTileKind kind) {
  gw_vf sums[GW_STRIP_ROWS];
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

typedef void RunStrip(const GwStrip *strip);

#if defined(GW_ISA_AVX512)
#define FOR_ROWS(X, k) X(k, 1) X(k, 2) X(k, 3) X(k, 4) X(k, 5) X(k, 6) X(k, 7) X(k, 8)
#elif defined(GW_ISA_AVX2)
#define FOR_ROWS(X, k) X(k, 1) X(k, 2) X(k, 3) X(k, 4)
#else
#define FOR_ROWS(X, k) X(k, 1) X(k, 2)
#endif
#define DEFINE(kind, rows)                                                                         \
  static void strip_##kind##_##rows(const GwStrip *strip) {                                        \
    run_strip(strip, rows, GW_TILE_##kind);                                                        \
  }
#define NAME(kind, rows) strip_##kind##_##rows,
FOR_ROWS(DEFINE, F32)
FOR_ROWS(DEFINE, BF16)
static RunStrip *const strips[2][GW_STRIP_ROWS] = {{FOR_ROWS(NAME, F32)}, {FOR_ROWS(NAME, BF16)}};

void GW_KERNEL(gemm_strip)(GwTileKind kind, int64_t rows, const GwStrip *strip) {
  strips[kind != GW_TILE_F32][rows - 1](strip);
}

static void run_columns(const Stream *stream, int64_t first, int thread) {
  const GwGemm *gemm = stream->gemm;
  float *block = (float *)(void *)(stream->scratch + (size_t)thread * GW_GEMM_SCRATCH);
  GwStrip strip = {.a = gemm->a.at,
                   .a_row = gemm->a.row,
                   .b = gemm->b.at + first * gemm->b.column,
                   .b_column = gemm->b.column,
                   .columns = gw_min_i64(gemm->columns - first, GW_VL),
                   .depth = gemm->depth,
                   .c = gemm->c ? gemm->c + first : block,
                   .c_row = gemm->c ? gemm->c_row : GW_VL,
                   .accumulate = gemm->accumulate,
                   .bias = gemm->bias ? gemm->bias + first : NULL};
  GW_KERNEL(gemm_strip)(stream->kind, gemm->rows, &strip);
  if (gemm->abft)
    GW_KERNEL(gemm_check_block)(gemm, strip.c, strip.c_row, 0, gemm->rows, strip.columns);
  if (gemm->finish)
    gemm->finish(gemm->context, strip.c, strip.c_row, 0, gemm->rows, first, strip.columns, thread);
}

static int64_t take(Part *part, bool from_front) {
  uint64_t left = atomic_load_explicit(&part->left, memory_order_relaxed), first, end;
  do {
    first = left & UINT32_MAX;
    end = left >> 32;
    if (first == end) return -1;
  } while (!atomic_compare_exchange_weak_explicit(
      &part->left, &left, from_front ? left + 1 : left - (UINT64_C(1) << 32), memory_order_relaxed,
      memory_order_relaxed));
  return (int64_t)(from_front ? first : end - 1);
}

static void run_part(void *context, int64_t own, int thread) {
  Stream *stream = context;
  for (int64_t i = 0; i < stream->parts; i++) {
    Part *part = &stream->part[(own + i) % stream->parts];
    for (int64_t strip; (strip = take(part, i == 0)) >= 0;)
      run_columns(stream, strip * GW_VL, thread);
  }
}

bool GW_KERNEL(gemm_is_few_rows)(const GwGemm *gemm) {
  return gemm->rows <= GW_STRIP_ROWS && gemm->a.column == 1 && gemm->b.row == 1;
}

void GW_KERNEL(gemm_few_rows)(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch) {
  Stream stream = {.gemm = gemm, .kind = kind, .scratch = scratch};
  int64_t strip_count = gw_ceil_div(gemm->columns, GW_VL);
  int64_t worth = gw_ceil_div(gemm->columns * gemm->depth, PART_FLOATS);
  stream.parts =
      gw_min_i64(gw_min_i64(gw_pool_threads(pool), PARTS_MOST), gw_min_i64(worth, strip_count));
  for (int64_t i = 0; i < stream.parts; i++) {
    uint64_t first = (uint64_t)(i * strip_count / stream.parts);
    uint64_t end = (uint64_t)((i + 1) * strip_count / stream.parts);
    stream.part[i].left = end << 32 | first;
  }
  gw_pool_run(pool, stream.parts, run_part, &stream);
}
