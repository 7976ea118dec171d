/* All three sums are the same walk: a matrix times a vector of weights, and its magnitudes times
 * another one, in double. The walk goes along the rows or across them, as they lie in memory. */
#include "kernel/cpu/gemm_check.h"

#include "base/mathd.h"
#include "op/product.h"

#define INLINE static inline __attribute__((always_inline))

enum {
  BLOCK = 64,                  /* rows of a task */
  ALONG = 4,                   /* rows at a time: they share the weights */
  STRIP = GW_VL == 16 ? 4 : 2, /* vectors of rows at a time, across */
  AHEAD = 16,                  /* columns; what is asked for in time, across */
  SERIAL_ELEMENTS = 1 << 15,   /* that are not worth waking the threads */
  RECOMPUTED_MOST = 2,         /* rows of a product */
  RECOMPUTED_COLUMNS = 16      /* at a time: a cache line of B */
};
_Static_assert(BLOCK % (STRIP * GW_VL) == 0, "a block is whole strips");

static const double unit = 0x1p-24; /* u */

typedef struct {
  GwMatrix m; /* [rows,columns] */
  int64_t rows, columns;
  GwOperands operands;
  const double *weights, *magnitude_weights; /* [columns]; NULL: all 1 */
} Weighing;

/* Of rows [first, first + count), BLOCK at most. */
typedef struct {
  int64_t first, count;
  double sum[BLOCK], magnitude[BLOCK];
} Weights;

/* ---- the walk ---- */

INLINE double taken(float x, GwOperands operands) {
  return (double)(operands == GW_OPERANDS_BF16 ? gw_bf16_round(x) : x);
}

/* GW_VL elements at p, the first n of them there, the others 0. */
INLINE void take(const float *p, int64_t n, GwOperands operands, gw_vd out[2]) {
  gw_vh halves[2];
  if (operands == GW_OPERANDS_BF16 || n < GW_VL) {
    gw_vf v = gw_v_get(p, n);
    if (operands == GW_OPERANDS_BF16) v = gw_v_bf16_round(v);
    memcpy(halves, &v, sizeof halves);
  } else {
    memcpy(halves, p, sizeof halves);
  }
  for (int h = 0; h < 2; h++) out[h] = gw_vd_from_float(halves[h]);
}

INLINE double lanes_total(gw_vd v) {
  double total = 0;
  for (int i = 0; i < GW_VD; i++) total += v[i];
  return total;
}

/* ALONG rows whose elements are side by side, the first `rows` of them there. */
INLINE void weigh_along(const Weighing *w, const float *from, int64_t rows, GwOperands operands,
                        bool weighted, double *sums, double *magnitudes) {
  gw_vd sum[ALONG] = {{0}}, magnitude[ALONG] = {{0}}, x[2];
  const float *row[ALONG];
  for (int64_t i = 0; i < ALONG; i++) row[i] = from + gw_min_i64(i, rows - 1) * w->m.row;
  int64_t k = 0;
  for (; k + GW_VL <= w->columns; k += GW_VL) {
    GW_UNROLL for (int i = 0; i < ALONG; i++) {
      take(row[i] + k, GW_VL, operands, x);
      GW_UNROLL for (int h = 0; h < 2; h++) {
        gw_vd size = gw_vd_magnitude(x[h]);
        int64_t at = k + h * GW_VD;
        sum[i] = weighted ? gw_vd_multiply_add(x[h], gw_vd_load(w->weights + at), sum[i])
                          : sum[i] + x[h];
        magnitude[i] =
            weighted ? gw_vd_multiply_add(size, gw_vd_load(w->magnitude_weights + at), magnitude[i])
                     : magnitude[i] + size;
      }
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    sums[i] = lanes_total(sum[i]);
    magnitudes[i] = lanes_total(magnitude[i]);
    for (int64_t last = k; last < w->columns; last++) {
      double element = taken(row[i][last], operands);
      sums[i] += weighted ? element * w->weights[last] : element;
      magnitudes[i] += __builtin_fabs(element) * (weighted ? w->magnitude_weights[last] : 1);
    }
  }
}

/* STRIP vectors of rows that lie side by side, n rows there. */
INLINE void weigh_across(const Weighing *w, const float *from, int64_t n, GwOperands operands,
                         bool weighted, bool whole, double *sums, double *magnitudes) {
  gw_vd sum[2 * STRIP] = {{0}}, magnitude[2 * STRIP] = {{0}}, x[2];
  for (int64_t k = 0; k < w->columns; k++, from += w->m.column) {
    GW_UNROLL for (int s = 0; s < STRIP; s++) {
      int64_t there = whole ? GW_VL : gw_min_i64(gw_max_i64(n - s * GW_VL, 0), GW_VL);
      __builtin_prefetch(from + AHEAD * w->m.column + s * GW_VL);
      take(from + s * GW_VL, there, operands, x);
      GW_UNROLL for (int h = 0; h < 2; h++) {
        gw_vd size = gw_vd_magnitude(x[h]);
        gw_vd *to = &sum[2 * s + h], *size_to = &magnitude[2 * s + h];
        *to = weighted ? gw_vd_multiply_add(x[h], gw_vd_set(w->weights[k]), *to) : *to + x[h];
        *size_to = weighted ? gw_vd_multiply_add(size, gw_vd_set(w->magnitude_weights[k]), *size_to)
                            : *size_to + size;
      }
    }
  }
  memcpy(sums, sum, sizeof sum);
  memcpy(magnitudes, magnitude, sizeof magnitude);
}

INLINE void weigh_rows(const Weighing *w, GwOperands operands, bool weighted, Weights *out) {
  const float *at = w->m.at + out->first * w->m.row;
  const int64_t count = out->count;
  if (w->m.column == 1) {
    for (int64_t i = 0; i < count; i += ALONG)
      weigh_along(w, at + i * w->m.row, gw_min_i64(count - i, ALONG), operands, weighted,
                  out->sum + i, out->magnitude + i);
    return;
  }
  for (int64_t i = 0; i < count; i += STRIP * GW_VL) {
    int64_t n = gw_min_i64(count - i, STRIP * GW_VL);
    if (n == STRIP * GW_VL)
      weigh_across(w, at + i, n, operands, weighted, true, out->sum + i, out->magnitude + i);
    else
      weigh_across(w, at + i, n, operands, weighted, false, out->sum + i, out->magnitude + i);
  }
}

/* The rows of a block. */
static void weigh(const Weighing *w, int64_t block, Weights *out) {
  bool bf16 = w->operands == GW_OPERANDS_BF16;
  out->first = block * BLOCK;
  out->count = gw_min_i64(w->rows - out->first, BLOCK);
  if (w->weights && bf16)
    weigh_rows(w, GW_OPERANDS_BF16, true, out);
  else if (w->weights)
    weigh_rows(w, GW_OPERANDS_F32, true, out);
  else if (bf16)
    weigh_rows(w, GW_OPERANDS_BF16, false, out);
  else
    weigh_rows(w, GW_OPERANDS_F32, false, out);
}

/* ---- before the product ---- */

/* What the room holds. */
typedef struct {
  double *b_sums, *b_magnitudes; /* [depth], of B's rows */
  double *found, *old;           /* [rows]: sum of C less that of the old C; the old magnitude */
} Room;

static Room room_of(const GwGemm *gemm) {
  double *at = gemm->abft->room;
  GW_ASSERT(2 * (gemm->depth + gemm->rows) <= gemm->abft->room_count);
  return (Room){at, at + gemm->depth, at + 2 * gemm->depth, at + 2 * gemm->depth + gemm->rows};
}

typedef struct {
  const GwGemm *gemm;
  Weighing weighing;
  double *sums, *magnitudes; /* NULL: the rows are judged */
} Pass;

static void run_pass(Pass *pass, GwPool *pool, GwPoolTask *task) {
  bool serial = pass->weighing.rows * pass->weighing.columns < SERIAL_ELEMENTS;
  gw_pool_run(serial ? NULL : pool, gw_ceil_div(pass->weighing.rows, BLOCK), task, pass);
}

static void keep_block(void *context, int64_t block, int thread) {
  (void)thread;
  const Pass *pass = context;
  Weights w;
  weigh(&pass->weighing, block, &w);
  memcpy(pass->sums + w.first, w.sum, (size_t)w.count * sizeof *w.sum);
  memcpy(pass->magnitudes + w.first, w.magnitude, (size_t)w.count * sizeof *w.magnitude);
}

void GW_KERNEL(gemm_check_begin)(const GwGemm *gemm, GwPool *pool) {
  GwAbft *abft = gemm->abft;
  Room room = room_of(gemm);
  Pass pass = {gemm,
               {gemm->b, gemm->depth, gemm->columns, gemm->operands, NULL, NULL},
               room.b_sums,
               room.b_magnitudes};
  run_pass(&pass, pool, keep_block);
  memset(room.found, 0, (size_t)gemm->rows * sizeof *room.found);
  memset(room.old, 0, (size_t)gemm->rows * sizeof *room.old);
  if (gemm->accumulate) {
    GwMatrix c = {gemm->c, gemm->c_row, 1};
    pass = (Pass){
        gemm, {c, gemm->rows, gemm->columns, GW_OPERANDS_F32, NULL, NULL}, room.found, room.old};
    run_pass(&pass, pool, keep_block);
    for (int64_t i = 0; i < gemm->rows; i++) room.found[i] = -room.found[i];
  }
  abft->recomputed = 0;
  abft->bias_sum = abft->bias_magnitude = 0;
  if (!gemm->bias) return;
  Weighing bias = {{gemm->bias, gemm->columns, 1}, 1, gemm->columns, GW_OPERANDS_F32, NULL, NULL};
  Weights weights;
  weigh(&bias, 0, &weights);
  abft->bias_sum = weights.sum[0];
  abft->bias_magnitude = weights.magnitude[0];
}

/* ---- while it runs ---- */

static double sum_of_row(const float *row, int64_t n) {
  gw_vd sum[4] = {{0}}, x[2];
  int64_t j = 0;
  for (; j + 2 * GW_VL <= n; j += 2 * GW_VL) {
    GW_UNROLL for (int v = 0; v < 2; v++) {
      take(row + j + v * GW_VL, GW_VL, GW_OPERANDS_F32, x);
      sum[2 * v] += x[0];
      sum[2 * v + 1] += x[1];
    }
  }
  double total = lanes_total((sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (; j < n; j++) total += (double)row[j];
  return total;
}

void GW_KERNEL(gemm_check_block)(const GwGemm *gemm, const float *c, int64_t c_row, int64_t row,
                                 int64_t rows, int64_t columns) {
  double *found = room_of(gemm).found + row;
  for (int64_t i = 0; i < rows; i++, c += c_row)
    gw_atomic_add_f64(&found[i], sum_of_row(c, columns));
}

/* ---- after it ---- */

/* The row's sum, from the chains of the reference. */
static double recompute_row(const GwGemm *gemm, int64_t row) {
  GwMatrix b = gemm->b;
  const float *a = gemm->a.at + row * gemm->a.row;
  double total = 0;
  for (int64_t first = 0; first < gemm->columns; first += RECOMPUTED_COLUMNS) {
    int64_t count = gw_min_i64(gemm->columns - first, RECOMPUTED_COLUMNS);
    float chain[RECOMPUTED_COLUMNS] = {0};
    for (int64_t i = 0; i < gemm->depth; i++) {
      int64_t k = gw_product_term(gemm->operands, i, gemm->depth);
      const float *from = b.at + k * b.row + first * b.column;
      for (int64_t j = 0; j < count; j++)
        chain[j] =
            gw_product_add(gemm->operands, a[k * gemm->a.column], from[j * b.column], chain[j]);
    }
    for (int64_t j = 0; j < count; j++)
      total += (double)(gemm->bias ? chain[j] + gemm->bias[first + j] : chain[j]);
  }
  return total;
}

static void report(GwAbft *abft, int64_t row, double expected, double found, double allowed) {
  if (gw_atomic_next_i64(&abft->faults) > 0) return;
  abft->row = row;
  abft->expected = expected;
  abft->found = found;
  abft->allowed = allowed;
}

/* `sum` and `magnitude`: the weighed row of A. */
static void judge(const GwGemm *gemm, int64_t row, double sum, double magnitude) {
  GwAbft *abft = gemm->abft;
  Room room = room_of(gemm);
  double columns = (double)gemm->columns, chain = (double)gemm->depth + 2;
  double found = room.found[row], expected = sum + abft->bias_sum;
  magnitude += abft->bias_magnitude + room.old[row];
  bool may_overflow = magnitude >= 0x1p127 && !gw_is_finite(found);
  if (!gw_is_finite(magnitude) || may_overflow || chain * unit >= 1) return;
  double least = gemm->operands == GW_OPERANDS_BF16 ? 0x1p-125 : 0x1p-149;
  double in_double = (chain + columns + 8) * 0x1p-52 * magnitude;
  double outside_rounding = in_double + columns * chain * least; /* subnormals */
  double bound = chain * unit / (1 - chain * unit) * magnitude + outside_rounding;
  double doubt = 2 * (double)gw_sqrt((float)(chain / columns)) * unit * magnitude;
  double difference = __builtin_fabs(found - expected);
  if (difference <= doubt + outside_rounding) return;
  if (difference <= bound) {
    if (gemm->accumulate || gw_atomic_next_i64(&abft->recomputed) >= RECOMPUTED_MOST) return;
    expected = recompute_row(gemm, row);
    bound = in_double;
    if (__builtin_fabs(found - expected) <= bound) return;
  }
  report(abft, row, expected, found, bound);
}

static void judge_block(void *context, int64_t block, int thread) {
  (void)thread;
  const Pass *pass = context;
  Weights w;
  weigh(&pass->weighing, block, &w);
  for (int64_t i = 0; i < w.count; i++) judge(pass->gemm, w.first + i, w.sum[i], w.magnitude[i]);
}

void GW_KERNEL(gemm_check_end)(const GwGemm *gemm, GwPool *pool) {
  Room room = room_of(gemm);
  Pass pass = {gemm,
               {gemm->a, gemm->rows, gemm->depth, gemm->operands, room.b_sums, room.b_magnitudes},
               NULL,
               NULL};
  run_pass(&pass, pool, judge_block);
}
