/* accumulate, embedding_sum, sign and tally: rounding to fixed point and exact sums. A stretch of
 * gradients is first turned into integers on the stack; the integer loops over them are plain C,
 * which the compiler vectorises, and no order of theirs can matter. */
#include "kernel/cpu/kernel.h"

enum {
  GRAIN = 4096,  /* elements worth a task */
  STRETCH = 256, /* elements quantised at a time */
};

typedef struct {
  double limit;
  uint64_t signature;
  int64_t bad;
} Tally;

/* q[0..8) = nearest(g 2^44), or 0 and one more `bad` where g is not in [-limit, limit]. As
 * gw_nearest: from 2^51 on a float times 2^44 is an integer already. */
static inline void quantise8(const float *g, Tally *tally, int64_t *q) {
  gw_v8f narrow;
  memcpy(&narrow, g, sizeof narrow);
  gw_v8d value = __builtin_convertvector(narrow, gw_v8d);
  gw_v8d limit = (gw_v8d){0} + tally->limit, magic = (gw_v8d){0} + 0x1.8p52;
  gw_v8i fits = (gw_v8i)((value <= limit) & (value >= -limit)); /* -1: yes */
  value = (gw_v8d)((gw_v8i)value & fits) * GW_FIXED_SCALE;
  gw_v8i small = (gw_v8i)((value < 0x1p51) & (value > -0x1p51));
  gw_v8d rounded = (value + magic) - magic;
  value = (gw_v8d)(((gw_v8i)rounded & small) | ((gw_v8i)value & ~small));
  gw_v8i fixed = __builtin_convertvector(value, gw_v8i);
  memcpy(q, &fixed, sizeof fixed);
  for (int i = 0; i < 8; i++) tally->bad += 1 + fits[i];
}

static void quantise(const float *g, int64_t n, Tally *tally, int64_t *q) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) quantise8(g + i, tally, q + i);
  if (i == n) return;
  float rest[8] = {0};
  int64_t q_rest[8];
  memcpy(rest, g + i, (size_t)(n - i) * sizeof *g);
  quantise8(rest, tally, q_rest);
  memcpy(q + i, q_rest, (size_t)(n - i) * sizeof *q);
}

/* Σ weight(number + i) q_i */
static uint64_t sign_of(const int64_t *q, int64_t n, int64_t number) {
  uint64_t signature = 0;
  for (int64_t i = 0; i < n; i++) signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)q[i];
  return signature;
}

/* Adds n gradients to `sum`, whose first element is `number`. */
static void add_fixed(const float *g, int64_t n, int64_t number, Tally *tally, int64_t *sum) {
  for (int64_t first = 0; first < n; first += STRETCH) {
    int64_t q[STRETCH], count = gw_min_i64(n - first, STRETCH);
    quantise(g + first, count, tally, q);
    for (int64_t i = 0; i < count; i++) sum[first + i] += q[i];
    tally->signature += sign_of(q, count, number + first);
  }
}

static void accumulate_range(const GwCall *call, void *context, int64_t first, int64_t last,
                             int thread) {
  (void)context;
  (void)thread;
  Tally tally = {.limit = call->shapes.attr[1]};
  add_fixed((const float *)call->in[0] + first, last - first, (int64_t)call->shapes.attr[0] + first,
            &tally, (int64_t *)call->in[1] + first);
  gw_atomic_add_u64(call->in[2], tally.signature);
  gw_atomic_add_i64(call->in[3], tally.bad);
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
  Tally tally = {.limit = call->shapes.attr[1] / (double)rows};
  for (int64_t n = 0; n < rows; n++) {
    int64_t at = ids[n] * width + first;
    add_fixed(dy + n * width + first, last - first, number + at, &tally, sum + at);
  }
  gw_atomic_add_u64(call->in[3], tally.signature);
  gw_atomic_add_i64(call->in[4], tally.bad);
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
