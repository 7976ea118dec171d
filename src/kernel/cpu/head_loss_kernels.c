/* head_loss and head_loss_grad. All threads work on one chunk of rows at a time: the logits of the
 * chunk are a matrix product into scratch, then each row is reduced (or turned into its gradient in
 * place), then two more products use the gradients: the chunk's rows of dx, and dW, whose chains of
 * additions continue from chunk to chunk in the order of the rows. */
#include "kernel/cpu/gemm.h"

typedef struct {
  const GwCall *call;
  const float *x, *w;
  const int32_t *targets;
  int64_t rows, width, vocab;
  float z_loss;
  char *packing; /* GW_GEMM_SCRATCH for each thread */
  float *logits; /* behind it: `chunk` rows of `logits_row` floats */
  int64_t logits_row, chunk;
  int64_t first; /* row of x that the logits begin with */
} Head;

static Head head_of(const GwCall *call) {
  Head head = {.call = call, .x = call->in[0], .w = call->in[1], .targets = call->in[2]};
  head.rows = gw_rows(&call->shapes.in[0]);
  head.width = gw_columns(&call->shapes.in[0]);
  head.vocab = gw_rows(&call->shapes.in[1]);
  head.z_loss = (float)call->shapes.attr[0];
  size_t threads = (size_t)gw_pool_threads(call->pool);
  head.packing = call->scratch;
  head.logits = (float *)(void *)(call->scratch + threads * GW_GEMM_SCRATCH);
  head.logits_row = gw_logits_row(head.vocab);
  size_t room = threads * (call->scratch_bytes - GW_GEMM_SCRATCH) / sizeof(float);
  head.chunk = (int64_t)room / head.logits_row;
  if (head.chunk > GW_TILE_ROWS) head.chunk -= head.chunk % GW_TILE_ROWS;
  GW_ASSERT(head.chunk >= 1);
  return head;
}

static void make_logits(const Head *head, int64_t count) {
  GwGemm gemm = {.rows = count, .columns = head->vocab, .depth = head->width};
  gemm.a = (GwMatrix){head->x + head->first * head->width, head->width, 1};
  gemm.b = (GwMatrix){head->w, 1, head->width};
  gemm.c = head->logits;
  gemm.c_row = head->logits_row;
  GW_KERNEL(gemm)(head->call->pool, &gemm, head->packing);
}

/* Calls work for ranges of the chunk's rows, in parallel. */
static void for_rows(const Head *head, int64_t count, GwRange *work) {
  Head copy = *head;
  GW_KERNEL(split)(head->call, count, 4096 / head->vocab, work, &copy);
}

/* The largest of z: with gw_max's rule for NaN, every lane starts from the first. */
static float row_max(const float *z, int64_t n) {
  gw_vf most[4] = {gw_v_set(z[0]), gw_v_set(z[0]), gw_v_set(z[0]), gw_v_set(z[0])};
  int64_t v = 0;
  for (; v + 4 * GW_VL <= n; v += 4 * GW_VL) {
    GW_UNROLL for (int j = 0; j < 4; j++) most[j] = gw_v_max(gw_v_load(z + v + j * GW_VL), most[j]);
  }
  float lanes[GW_VL], max = z[0];
  gw_v_store(lanes, gw_v_max(gw_v_max(most[0], most[1]), gw_v_max(most[2], most[3])));
  for (int i = 0; i < GW_VL; i++) max = gw_max(lanes[i], max);
  for (; v < n; v++) max = gw_max(z[v], max);
  return max;
}

/* Σ e^(z - max), in the order of GwSum16. */
static float sum_of_exponentials(const float *z, int64_t n, float max) {
  GwVSum16 sum = gw_v_sum16();
  gw_vf offset = gw_v_set(max);
  int64_t v = 0;
  for (; v + 16 <= n; v += 16) {
    GW_UNROLL for (int j = 0; j < GW_SUM_VECTORS; j++) {
      gw_vf e = gw_v_exp(gw_v_sub(gw_v_load(z + v + j * GW_VL), offset));
      sum.part[j] = gw_v_add(sum.part[j], e);
    }
  }
  GwSum16 parts;
  for (int j = 0; j < GW_SUM_VECTORS; j++) gw_v_store(parts.part + j * GW_VL, sum.part[j]);
  for (; v < n; v++) parts.part[v & 15] += gw_exp(z[v] - max);
  return gw_sum16_total(&parts);
}

static void lose_rows(const GwCall *call, void *context, int64_t first, int64_t last, int thread) {
  (void)thread;
  const Head *head = context;
  float *losses = call->out[0], *lses = call->out[1];
  for (int64_t i = first; i < last; i++) {
    const float *z = head->logits + i * head->logits_row;
    int64_t n = head->first + i, target = head->targets[n];
    GW_ASSERT(target < head->vocab);
    float max = row_max(z, head->vocab);
    float lse = max + gw_log(sum_of_exponentials(z, head->vocab, max));
    lses[n] = lse;
    losses[n] = target < 0 ? 0 : gw_fma(head->z_loss * lse, lse, lse - z[target]);
  }
}

void GW_KERNEL(head_loss)(const GwCall *call) {
  Head head = head_of(call);
  for (; head.first < head.rows; head.first += head.chunk) {
    int64_t count = gw_min_i64(head.chunk, head.rows - head.first);
    make_logits(&head, count);
    for_rows(&head, count, lose_rows);
  }
}

/* z = e^(z - lse) factor scale, in place. */
static void scale_exponentials(float *z, int64_t n, float lse, float factor, float scale) {
  gw_vf offset = gw_v_set(lse), factors = gw_v_set(factor), scales = gw_v_set(scale);
  int64_t v = 0;
  for (; v + GW_VL <= n; v += GW_VL) {
    gw_vf e = gw_v_exp(gw_v_sub(gw_v_load(z + v), offset));
    gw_v_store(z + v, gw_v_mul(gw_v_mul(e, factors), scales));
  }
  for (; v < n; v++) z[v] = gw_exp(z[v] - lse) * factor * scale;
}

/* Logits become dL/dz in place; zeros where the row is not counted. */
static void differentiate_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                               int thread) {
  (void)thread;
  const Head *head = context;
  float scale = 1 / (float)head->rows;
  for (int64_t i = first; i < last; i++) {
    float *z = head->logits + i * head->logits_row;
    int64_t n = head->first + i, target = head->targets[n];
    GW_ASSERT(target < head->vocab);
    if (target < 0) {
      memset(z, 0, (size_t)head->vocab * sizeof *z);
      continue;
    }
    float lse = ((const float *)call->in[3])[n], factor = 1 + (head->z_loss + head->z_loss) * lse;
    float at_target = (gw_exp(z[target] - lse) * factor - 1) * scale;
    scale_exponentials(z, head->vocab, lse, factor, scale);
    z[target] = at_target;
  }
}

static void make_dx(const Head *head, int64_t count) {
  GwGemm gemm = {.rows = count, .columns = head->width, .depth = head->vocab};
  gemm.a = (GwMatrix){head->logits, head->logits_row, 1};
  gemm.b = (GwMatrix){head->w, head->width, 1};
  gemm.c = (float *)head->call->out[0] + head->first * head->width;
  gemm.c_row = head->width;
  GW_KERNEL(gemm)(head->call->pool, &gemm, head->packing);
}

static void add_to_dw(const Head *head, int64_t count) {
  GwGemm gemm = {.rows = head->vocab, .columns = head->width, .depth = count};
  gemm.a = (GwMatrix){head->logits, 1, head->logits_row};
  gemm.b = (GwMatrix){head->x + head->first * head->width, head->width, 1};
  gemm.c = head->call->out[1];
  gemm.c_row = head->width;
  gemm.accumulate = head->first > 0;
  GW_KERNEL(gemm)(head->call->pool, &gemm, head->packing);
}

void GW_KERNEL(head_loss_grad)(const GwCall *call) {
  Head head = head_of(call);
  for (; head.first < head.rows; head.first += head.chunk) {
    int64_t count = gw_min_i64(head.chunk, head.rows - head.first);
    make_logits(&head, count);
    for_rows(&head, count, differentiate_rows);
    make_dx(&head, count);
    add_to_dw(&head, count);
  }
}
