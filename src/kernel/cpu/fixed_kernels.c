/* accumulate, embedding_sum and tally: rounding to fixed point and exact sums. Integer sums
 * are taken in any order, mod 2^64. */
#include "kernel/cpu/fixed_add.h"
#include "kernel/cpu/kernel.h"

enum { BLOCK = 4096 /* elements worth a task */ };

static void accumulate_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                              int thread) {
  (void)context;
  (void)thread;
  int64_t count = gw_type_count(&call->shapes.in[0]), begin = first * BLOCK;
  GwFixedTally tally = gw_fixed_begin(call->shapes.attr[1], call->in[4], count);
  gw_fixed_add(&tally, (const float *)call->in[0] + begin, gw_min_i64(last * BLOCK, count) - begin,
               (int64_t)call->shapes.attr[0] + begin, (int64_t *)call->in[1] + begin);
  gw_fixed_end(&tally, call->in[2], call->in[3]);
}

void GW_KERNEL(accumulate)(const GwCall *call) {
  int64_t blocks = gw_ceil_div(gw_type_count(&call->shapes.in[0]), BLOCK);
  GW_KERNEL(split)(call, blocks, 1, accumulate_blocks, NULL);
}

static void clear_columns(int64_t *sum, const GwType *type, int64_t first, int64_t last) {
  for (int64_t row = 0; row < gw_rows(type); row++)
    memset(sum + row * gw_columns(type) + first, 0, (size_t)(last - first) * sizeof *sum);
}

enum { ROWS_AHEAD = 4 };

/* Rows of sums lie anywhere: the processor cannot guess the next one. */
static void ask_for(const int64_t *sum, const float *dy, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) gw_prefetch(sum + i);
  for (int64_t i = 0; i < n; i += GW_LINE_FLOATS) gw_prefetch(dy + i);
}

/* Columns [first, last) of every token: no two threads meet, however often an id occurs. */
static void embedding_sum_columns(const GwCall *call, void *context, int64_t first, int64_t last,
                                  int thread) {
  (void)context;
  (void)thread;
  const float *dy = call->in[0];
  const int32_t *ids = call->in[1], *fresh = call->in[5];
  int64_t *sum = call->in[2], number = (int64_t)call->shapes.attr[0];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  if (fresh && *fresh) clear_columns(sum, &call->shapes.in[2], first, last);
  GwFixedTally tally = gw_fixed_begin(call->shapes.attr[1] / (double)rows, NULL, rows * width);
  for (int64_t n = 0; n < rows; n++) {
    int64_t at = ids[n] * width + first, ahead = gw_min_i64(n + ROWS_AHEAD, rows - 1);
    ask_for(sum + ids[ahead] * width + first, dy + ahead * width + first, last - first);
    gw_fixed_add(&tally, dy + n * width + first, last - first, number + at, sum + at);
  }
  gw_fixed_end(&tally, call->in[3], call->in[4]);
}

void GW_KERNEL(embedding_sum)(const GwCall *call) {
  const GwType *dy = &call->shapes.in[0];
  int64_t grain = gw_max_i64(gw_ceil_div(BLOCK, gw_rows(dy)), 32);
  GW_KERNEL(split)(call, gw_columns(dy), grain, embedding_sum_columns, NULL);
}

static void tally_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                         int thread) {
  (void)context;
  (void)thread;
  const float *losses = call->in[0];
  const int32_t *targets = call->in[1];
  int64_t *tally = call->in[2], sum = 0, real = 0, good = 0, begin = first * BLOCK, i = begin;
  int64_t end = gw_min_i64(last * BLOCK, gw_type_count(&call->shapes.in[0]));
  gw_vu sums = {0};
  gw_vhi reals = {0}, goods = {0};
  for (; i + GW_VD <= end; i += GW_VD) {
    gw_vh loss;
    gw_vhi target;
    memcpy(&loss, losses + i, sizeof loss);
    memcpy(&target, targets + i, sizeof target);
    gw_vhi fits = (gw_vhi)(loss < 0x1p12f) & (gw_vhi)(loss > -0x1p12f); /* all ones: yes */
    sums += gw_vu_from_float((gw_vh)((gw_vhi)loss & fits) * (float)GW_LOSS_SCALE);
    reals -= (gw_vhi)(target >= 0);
    goods -= fits;
  }
  for (; i < end; i++) {
    bool fits = losses[i] < 0x1p12f && losses[i] > -0x1p12f;
    sum += fits ? gw_nearest((double)losses[i] * GW_LOSS_SCALE) : 0;
    real += targets[i] >= 0;
    good += fits;
  }
  for (int lane = 0; lane < GW_VD; lane++) {
    real += reals[lane];
    good += goods[lane];
  }
  gw_atomic_add_i64(&tally[0], sum + (int64_t)gw_lanes_sum(sums));
  gw_atomic_add_i64(&tally[1], real);
  gw_atomic_add_i64(&tally[2], end - begin - good);
}

void GW_KERNEL(tally)(const GwCall *call) {
  int64_t blocks = gw_ceil_div(gw_type_count(&call->shapes.in[0]), BLOCK);
  GW_KERNEL(split)(call, blocks, 1, tally_blocks, NULL);
}
