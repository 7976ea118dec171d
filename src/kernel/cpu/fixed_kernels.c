/* accumulate, embedding_sum, sign and tally: rounding to fixed point and exact sums. Integer sums
 * are taken in any order, mod 2^64. */
#include "kernel/cpu/fixed_add.h"
#include "kernel/cpu/kernel.h"

enum { GRAIN = 4096 /* elements worth a task */ };

/* Σ weight(number + i) q_i */
static uint64_t sign_of(const int64_t *q, int64_t n, int64_t number) {
  gw_vu weight = gw__first_weights(number), signature = {0};
  int64_t i = 0;
  for (; i + GW_VD <= n; i += GW_VD) {
    gw_vu next;
    memcpy(&next, q + i, sizeof next);
    signature += weight * next;
    weight += GW_WEIGHT_STEP;
  }
  uint64_t sum = gw__lanes_sum(signature);
  for (; i < n; i++) sum += GW_SIGN_WEIGHT(number + i) * (uint64_t)q[i];
  return sum;
}

static void accumulate_range(const GwCall *call, void *context, int64_t first, int64_t last,
                             int thread) {
  (void)context;
  (void)thread;
  GwFixedTally tally = {.limit = call->shapes.attr[1]};
  gw_fixed_add((const float *)call->in[0] + first, last - first,
               (int64_t)call->shapes.attr[0] + first, &tally, (int64_t *)call->in[1] + first);
  gw_atomic_add_u64(call->in[2], tally.signature);
  gw_atomic_add_u64(call->in[3], tally.bad);
}

void GW_KERNEL(accumulate)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_type_count(&call->shapes.in[0]), GRAIN, accumulate_range, NULL);
}

/* Columns [first, last) of every token: no two threads meet, however often an id occurs. */
static void embedding_sum_columns(const GwCall *call, void *context, int64_t first, int64_t last,
                                  int thread) {
  (void)context;
  (void)thread;
  const float *dy = call->in[0];
  const int32_t *ids = call->in[1];
  int64_t *sum = call->in[2], number = (int64_t)call->shapes.attr[0];
  int64_t rows = gw_rows(&call->shapes.in[0]), width = gw_columns(&call->shapes.in[0]);
  GwFixedTally tally = {.limit = call->shapes.attr[1] / (double)rows};
  for (int64_t n = 0; n < rows; n++) {
    int64_t at = ids[n] * width + first;
    gw_fixed_add(dy + n * width + first, last - first, number + at, &tally, sum + at);
  }
  gw_atomic_add_u64(call->in[3], tally.signature);
  gw_atomic_add_u64(call->in[4], tally.bad);
}

void GW_KERNEL(embedding_sum)(const GwCall *call) {
  const GwType *dy = &call->shapes.in[0];
  int64_t grain = gw_max_i64(gw_ceil_div(GRAIN, gw_rows(dy)), 32);
  GW_KERNEL(split)(call, gw_columns(dy), grain, embedding_sum_columns, NULL);
}

static void sign_range(const GwCall *call, void *context, int64_t first, int64_t last, int thread) {
  (void)context;
  (void)thread;
  const int64_t *sum = call->in[0];
  int64_t number = (int64_t)call->shapes.attr[0];
  gw_atomic_add_u64(call->in[1], sign_of(sum + first, last - first, number + first));
}

void GW_KERNEL(sign)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_type_count(&call->shapes.in[0]), GRAIN, sign_range, NULL);
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
