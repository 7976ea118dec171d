/* head_loss, head_loss_grad and head_loss_sum. All threads work on one chunk of rows at a time: the
 * logits of the chunk are a matrix product into the workspace; then each row, while it is in cache,
 * is reduced to its loss and turned into its gradient in place; then two more products use the
 * gradients: the chunk's rows of dx, and dW, whose chains of additions continue from chunk to chunk
 * in the order of the rows. The last chunk's product hands dW on to its fixed-point sum; where it
 * is the only chunk, dW is never stored. */
#include "kernel/cpu/fixed_block.h"
#include "kernel/cpu/gemm.h"

typedef struct {
  const GwCall *call;
  const float *x, *w;
  const int32_t *targets;
  const float *given;             /* lse of each row: head_loss_grad */
  float *losses, *lses, *dx, *dw; /* NULL where not wanted */
  int64_t rows, width, vocab;
  float z_loss;
  GwOperands operands;
  float *logits; /* rows of plan.logits_row floats */
  GwHeadPlan plan;
  int64_t first, count; /* the chunk's rows */
} Head;

static Head head_of(const GwCall *call, bool sums, double operands) {
  Head head = {.call = call, .x = call->in[0], .w = call->in[1], .targets = call->in[2]};
  head.rows = gw_rows(&call->shapes.in[0]);
  head.width = gw_columns(&call->shapes.in[0]);
  head.vocab = gw_rows(&call->shapes.in[1]);
  head.z_loss = (float)call->shapes.attr[0];
  head.operands = (GwOperands)operands;
  head.logits = call->out[2];
  head.plan = gw_head_plan(head.rows, head.width, head.vocab, sums);
  return head;
}

/* The chunk that begins at row `first`; false behind the last. */
static bool take_chunk(Head *head, int64_t first) {
  head->first = first;
  head->count = gw_min_i64(head->plan.chunk, head->rows - first);
  return first < head->rows;
}

static void multiply(const Head *head, GwGemm gemm) {
  gemm.operands = head->operands;
  gemm.abft = head->call->abft;
  GW_KERNEL(gemm)(head->call->pool, &gemm, head->call->scratch);
}

static void make_logits(const Head *head) {
  GwGemm gemm = {.rows = head->count, .columns = head->vocab, .depth = head->width};
  gemm.a = (GwMatrix){head->x + head->first * head->width, head->width, 1};
  gemm.b = (GwMatrix){head->w, 1, head->width};
  gemm.c = head->logits;
  gemm.c_row = head->plan.logits_row;
  gemm.kept = head->call->kept ? &head->call->kept[GW_KEPT_Y] : NULL;
  multiply(head, gemm);
}

static void make_dx(const Head *head) {
  GwGemm gemm = {.rows = head->count, .columns = head->width, .depth = head->vocab};
  gemm.a = (GwMatrix){head->logits, head->plan.logits_row, 1};
  gemm.b = (GwMatrix){head->w, head->width, 1};
  gemm.c = head->dx + head->first * head->width;
  gemm.c_row = head->width;
  gemm.kept = head->call->kept ? &head->call->kept[GW_KEPT_DX] : NULL;
  multiply(head, gemm);
}

/* dW = dᵀ x, continued from the chunks before, into head->dw; with `sum`, the last chunk's goes on
 * to the fixed-point sum. */
static void add_to_dw(const Head *head, GwFixedBlock *sum) {
  bool last = head->first + head->count == head->rows;
  GwGemm gemm = {.rows = head->vocab, .columns = head->width, .depth = head->count};
  gemm.a = (GwMatrix){head->logits, 1, head->plan.logits_row};
  gemm.b = (GwMatrix){head->x + head->first * head->width, head->width, 1};
  gemm.c = head->dw;
  gemm.c_row = head->width;
  gemm.accumulate = head->first > 0;
  gemm.finish = sum && last ? gw_add_block : NULL;
  gemm.context = sum;
  if (gemm.finish) gemm.beside = gw_sum_beside(sum);
  multiply(head, gemm);
}

/* ---- the rows of logits ---- */

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

/* Row n's loss from its logits; its lse. */
static float lose_row(const Head *head, const float *z, int64_t n) {
  int64_t target = head->targets[n];
  float max = row_max(z, head->vocab);
  float lse = max + gw_log(sum_of_exponentials(z, head->vocab, max));
  head->losses[n] = target < 0 ? 0 : gw_fma(head->z_loss * lse, lse, lse - z[target]);
  if (head->lses) head->lses[n] = lse;
  return lse;
}

/* Logits become dL/dz in place; zeros where the row is not counted. */
static void differentiate_row(const Head *head, float *z, int64_t n, float lse) {
  int64_t target = head->targets[n];
  if (target < 0) {
    memset(z, 0, (size_t)head->vocab * sizeof *z);
    return;
  }
  float scale = 1 / (float)head->rows, factor = 1 + (head->z_loss + head->z_loss) * lse;
  float at_target = (gw_exp(z[target] - lse) * factor - 1) * scale;
  scale_exponentials(z, head->vocab, lse, factor, scale);
  z[target] = at_target;
}

static void take_rows(const GwCall *call, void *context, int64_t first, int64_t last, int thread) {
  (void)call, (void)thread;
  const Head *head = context;
  for (int64_t i = first; i < last; i++) {
    float *z = head->logits + i * head->plan.logits_row;
    int64_t n = head->first + i;
    GW_ASSERT(head->targets[n] < head->vocab);
    float lse = head->given ? head->given[n] : lose_row(head, z, n);
    if (head->dx) differentiate_row(head, z, n, lse);
  }
}

/* Losses, or gradients, or both, of the chunk's rows in parallel. */
static void for_rows(Head *head) {
  GW_KERNEL(split)(head->call, head->count, 4096 / head->vocab, take_rows, head);
}

/* ---- the ops ---- */

void GW_KERNEL(head_loss)(const GwCall *call) {
  Head head = head_of(call, false, call->shapes.attr[1]);
  head.losses = call->out[0];
  head.lses = call->out[1];
  for (int64_t first = 0; take_chunk(&head, first); first += head.plan.chunk) {
    make_logits(&head);
    for_rows(&head);
  }
}

static void run_gradient(Head *head, GwFixedBlock *sum) {
  for (int64_t first = 0; take_chunk(head, first); first += head->plan.chunk) {
    make_logits(head);
    for_rows(head);
    make_dx(head);
    add_to_dw(head, sum);
  }
}

void GW_KERNEL(head_loss_grad)(const GwCall *call) {
  Head head = head_of(call, false, call->shapes.attr[1]);
  head.given = call->in[3];
  head.dx = call->out[0];
  head.dw = call->out[1];
  run_gradient(&head, NULL);
}

void GW_KERNEL(head_loss_sum)(const GwCall *call) {
  Head head = head_of(call, true, call->shapes.attr[3]);
  head.losses = call->out[0];
  head.dx = call->out[1];
  if (head.plan.keeps_dw) head.dw = head.logits + head.plan.chunk * head.plan.logits_row;
  GwFixedBlock sum = {.sum = call->in[3],
                      .columns = head.width,
                      .number = (int64_t)call->shapes.attr[1],
                      .limit = call->shapes.attr[2],
                      .fresh = call->in[6],
                      .elements = gw_type_count(&call->shapes.in[3]),
                      .signature = call->in[4],
                      .guard = call->in[5]};
  run_gradient(&head, &sum);
}
