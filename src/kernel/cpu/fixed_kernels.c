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
    int64_t at = ids[n] * width + first;
    gw_fixed_add(&tally, dy + n * width + first, last - first, number + at, sum + at);
  }
  gw_fixed_end(&tally, call->in[3], call->in[4]);
}

void GW_KERNEL(embedding_sum)(const GwCall *call) {
  const GwType *dy = &call->shapes.in[0];
  int64_t grain = gw_max_i64(gw_ceil_div(BLOCK, gw_rows(dy)), 32);
  GW_KERNEL(split)(call, gw_columns(dy), grain, embedding_sum_columns, NULL);
}

/* One number per token: the reference is the kernel. */
static void tally_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                         int thread) {
  (void)context;
  (void)thread;
  gw_op_def(GW_OP_TALLY)->reference(call, first, last);
}

void GW_KERNEL(tally)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_op_def(GW_OP_TALLY)->units(&call->shapes), 1, tally_blocks, NULL);
}
