/* head_loss       the vocabulary product and the cross-entropy in one: logits are made for some
 *                 rows at a time, in a workspace.  x [N,C], W [V,C], targets [N] (-1: not counted)
 *                 z_v = x·W_v (in order);  m = max z;  l = Σ e^(z - m) (16 partial sums, v mod 16);
 *                 lse = m + ln l;  loss = lse - z_target + z_loss lse²
 *                 (z-loss: Chowdhery et al. 2022)
 * head_loss_grad  d_v = (e^(z_v - lse) (1 + 2 z_loss lse) - [v = target])/N;
 *                 dx = Σ_v d_v W_v, dW_v = Σ_n d x_n, both in order. N is the lane's capacity, not
 *                 the number of counted targets: that division comes after the exact sum.
 * head_loss_sum   both at once, the logits made once, and dW straight into its fixed-point sum;
 *                 what fusion makes of the two and accumulate
 * With bf16 operands the products take their terms as gw_dot_bf16 does. */
#include "op/fixed_point.h"
#include "op/product.h"
#include "op/scratch.h"

/* `operands`: number of that attribute; z_loss is always the first. */
static GwStatus check(const char *op, const GwShapes *s, int operands) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2 &&
                 gw_columns(&s->in[0]) == gw_columns(&s->in[1]),
             op, "x [N,C] and weight [V,C] must agree in C");
  GW_REQUIRE(gw_is_vector(&s->in[2], gw_rows(&s->in[0])), op, "targets must be [N]");
  GW_REQUIRE(gw_countable(gw_rows(&s->in[0]), gw_rows(&s->in[1]), gw_columns(&s->in[0])), op,
             "too large");
  GW_REQUIRE(s->attr[0] >= 0, op, "z_loss must not be negative");
  GW_REQUIRE(gw_is_operands(s->attr[operands]), op, "operands must be 0 (f32) or 1 (bf16)");
  return GW_OK;
}

static GwType workspace(const GwShapes *s, bool sums) {
  int64_t width = gw_columns(&s->in[0]);
  return gw_type_1d(GW_F32,
                    gw_head_plan(gw_rows(&s->in[0]), width, gw_rows(&s->in[1]), sums).floats);
}

static int64_t scratch(const GwShapes *s) {
  (void)s;
  return GW_GEMM_SCRATCH;
}

/* ---- the parts of the references ---- */

typedef struct {
  const gw_real *x, *w;
  const int32_t *targets;
  int64_t rows, width, vocab;
  gw_real z_loss, scale;
  GwOperands operands;
} Head;

static Head head_of(const GwCall *call, int operands) {
  Head head = {.x = call->in[0], .w = call->in[1], .targets = call->in[2]};
  head.rows = gw_rows(&call->shapes.in[0]);
  head.width = gw_columns(&call->shapes.in[0]);
  head.vocab = gw_rows(&call->shapes.in[1]);
  head.z_loss = (gw_real)call->shapes.attr[0];
  head.scale = 1 / (gw_real)head.rows;
  head.operands = (GwOperands)call->shapes.attr[operands];
  return head;
}

/* Not counted as work: a kernel makes each logit once, the references often. */
static gw_real logit(const Head *head, int64_t n, int64_t v) {
  GW_WORK(-2 * head->width);
  return gw_product(head->operands, head->x + n * head->width, 1, head->w + v * head->width, 1,
                    head->width);
}

/* ln Σ e^z of row n; 4 V + 2 operations, logits not counted. */
static gw_real row_lse(const Head *head, int64_t n) {
  gw_real m = logit(head, n, 0);
  for (int64_t v = 1; v < head->vocab; v++) m = gw_max(logit(head, n, v), m);
  GwSum16 sum = {{0}};
  for (int64_t v = 0; v < head->vocab; v++) sum.part[v & 15] += gw_exp(logit(head, n, v) - m);
  GW_WORK(4 * head->vocab + 2);
  return m + gw_log(gw_sum16_total(&sum));
}

static gw_real row_loss(const Head *head, int64_t n, gw_real lse) {
  GW_WORK(4);
  if (head->targets[n] < 0) return 0;
  return gw_fma(head->z_loss * lse, lse, lse - logit(head, n, head->targets[n]));
}

/* dL/dz of row n, vocabulary entry v; 5 operations */
static gw_real logit_gradient(const Head *head, int64_t n, int64_t v, gw_real lse) {
  if (head->targets[n] < 0) return 0;
  gw_real factor = 1 + (head->z_loss + head->z_loss) * lse;
  gw_real e = gw_exp(logit(head, n, v) - lse);
  return (e * factor - (gw_real)(v == head->targets[n])) * head->scale;
}

/* Row n of dx. */
static void dx_row(const Head *head, int64_t n, gw_real lse, gw_real *dx) {
  for (int64_t c = 0; c < head->width; c++) dx[c] = 0;
  for (int64_t i = 0; i < head->vocab; i++) {
    int64_t v = gw_product_term(head->operands, i, head->vocab);
    gw_real d = logit_gradient(head, n, v, lse);
    for (int64_t c = 0; c < head->width; c++)
      dx[c] = gw_product_add(head->operands, d, head->w[v * head->width + c], dx[c]);
  }
  GW_WORK(head->vocab * (2 * head->width + 5));
}

/* Columns [first, last) of row v of dW. */
static void dw_row(const Head *head, int64_t v, const gw_real *lses, int64_t first, int64_t last,
                   gw_real *dw) {
  for (int64_t c = first; c < last; c++) dw[c - first] = 0;
  for (int64_t i = 0; i < head->rows; i++) {
    int64_t n = gw_product_term(head->operands, i, head->rows);
    gw_real lse;
    __atomic_load(&lses[n], &lse, __ATOMIC_RELAXED);
    gw_real d = logit_gradient(head, n, v, lse);
    for (int64_t c = first; c < last; c++)
      dw[c - first] =
          gw_product_add(head->operands, d, head->x[n * head->width + c], dw[c - first]);
  }
  GW_WORK(head->rows * 2 * (last - first));
}

/* ---- head_loss ---- */

static GwStatus head_loss_shape(GwShapes *s) {
  GW_TRY(check("head_loss", s, 1));
  s->out[0] = s->out[1] = gw_type_1d(GW_F32, gw_rows(&s->in[0]));
  s->out[2] = workspace(s, false);
  return GW_OK;
}

static void head_loss_gradient(GwGradient *g, const GwOp *op) {
  GwValueId d = gw_emit(gw_gradient_program(g), GW_OP_HEAD_LOSS_GRAD,
                        GW_IN(op->in[0], op->in[1], op->in[2], op->out[1]), op->attr);
  gw_gradient_add(g, op->in[0], d);
  gw_gradient_add(g, op->in[1], d + 1);
}

/* per logit: product, max, subtract, exp, add; per row: log, add, and the loss */
static int64_t head_loss_flops(const GwShapes *s) {
  int64_t logits = gw_rows(&s->in[0]) * gw_rows(&s->in[1]);
  return logits * (2 * gw_columns(&s->in[0]) + 4) + 6 * gw_rows(&s->in[0]);
}

static int64_t head_loss_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void head_loss_reference(const GwCall *call, int64_t first, int64_t last) {
  Head head = head_of(call, 1);
  gw_real *losses = call->out[0], *lses = call->out[1];
  for (int64_t n = first; n < last; n++) {
    lses[n] = row_lse(&head, n);
    losses[n] = row_loss(&head, n, lses[n]);
    GW_WORK(2 * head.vocab * head.width);
  }
}

static void head_loss_example(GwExample *e) {
  bool chunks = gw_rng_below(&e->rng, 8) == 0; /* several of them, of small rows */
  int64_t rows = gw_example_size(e, 65) + (chunks ? 2 * GW_HEAD_ROWS : 0);
  int64_t width = gw_example_size(e, chunks ? 8 : 65),
          vocab = gw_example_size(e, chunks ? 17 : 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, vocab, width), 0.5);
  gw_example_ids(e, 2, rows, -1, vocab);
  e->shapes.attr[0] = gw_rng_below(&e->rng, 2) ? 0 : 0.01;
  e->shapes.attr[1] = gw_example_operands(e);
}

const GwOpDef GW_OP_DEF(head_loss) = {
    .name = "head_loss",
    .formula = "z = x weight^T; lse = ln sum e^z; losses = lse - z[target] + z_loss lse^2",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"targets", GW_I32, 0}},
    .out = {{"losses", GW_F32, 0}, {"lse", GW_F32, 0}, {"logits", GW_F32, GW_ARG_WORKSPACE}},
    .attr = {"z_loss", "operands"},
    .is_loss = true,
    .shape = head_loss_shape,
    .gradient = head_loss_gradient,
    .flops = head_loss_flops,
    .scratch = scratch,
    .units = head_loss_units,
    .reference = head_loss_reference,
    .example = head_loss_example,
    .bound = 1e-5,
};

/* ---- head_loss_grad ---- */

static GwStatus head_loss_grad_shape(GwShapes *s) {
  GW_TRY(check("head_loss_grad", s, 1));
  GW_REQUIRE(gw_is_vector(&s->in[3], gw_rows(&s->in[0])), "head_loss_grad", "lse must be [N]");
  s->out[0] = s->in[0];
  s->out[1] = s->in[1];
  s->out[2] = workspace(s, false);
  return GW_OK;
}

static int64_t head_loss_grad_flops(const GwShapes *s) {
  int64_t logits = gw_rows(&s->in[0]) * gw_rows(&s->in[1]);
  return logits * (6 * gw_columns(&s->in[0]) + 5);
}

/* Units are the rows of dx, then the rows of dW. */
static int64_t rows_and_vocab(const GwShapes *s) { return gw_rows(&s->in[0]) + gw_rows(&s->in[1]); }

static void head_loss_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  Head head = head_of(call, 1);
  const gw_real *lses = call->in[3];
  gw_real *dx = call->out[0], *dw = call->out[1];
  for (int64_t n = first; n < gw_min_i64(last, head.rows); n++) {
    dx_row(&head, n, lses[n], dx + n * head.width);
    GW_WORK(2 * head.vocab * head.width);
  }
  for (int64_t v = gw_max_i64(first - head.rows, 0); v < last - head.rows; v++)
    dw_row(&head, v, lses, 0, head.width, dw + v * head.width);
}

static void head_loss_grad_example(GwExample *e) {
  head_loss_example(e);
  gw_example_f32(e, 3, gw_type_1d(GW_F32, e->shapes.in[0].dim[0]), 3);
}

const GwOpDef GW_OP_DEF(head_loss_grad) = {
    .name = "head_loss_grad",
    .formula = "d = (e^(z - lse)(1 + 2 z_loss lse) - [target])/N; dx = d weight, dw = d^T x",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"targets", GW_I32, 0}, {"lse", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}, {"dw", GW_F32, 0}, {"logits", GW_F32, GW_ARG_WORKSPACE}},
    .attr = {"z_loss", "operands"},
    .shape = head_loss_grad_shape,
    .flops = head_loss_grad_flops,
    .scratch = scratch,
    .units = rows_and_vocab,
    .reference = head_loss_grad_reference,
    .example = head_loss_grad_example,
    .bound = 1e-5,
};

/* ---- head_loss_sum ---- */

static GwStatus head_loss_sum_shape(GwShapes *s) {
  GW_TRY(check("head_loss_sum", s, 3));
  GW_TRY(gw_accumulator_check("head_loss_sum", s, 3, 1, s->in[1]));
  s->out[0] = gw_type_1d(GW_F32, gw_rows(&s->in[0]));
  s->out[1] = s->in[0];
  s->out[2] = workspace(s, true);
  return GW_OK;
}

static int64_t head_loss_sum_flops(const GwShapes *s) {
  int64_t logits = gw_rows(&s->in[0]) * gw_rows(&s->in[1]);
  return head_loss_flops(s) + logits * (4 * gw_columns(&s->in[0]) + 5) +
         5 * gw_type_count(&s->in[1]);
}

/* The lses of all rows, to the workspace: every range of rows of dW needs them, and ranges that run
 * at the same time write the same values. Not counted as work: the rows of dx come with theirs. */
static void find_lses(const Head *head, gw_real *lses) {
  for (int64_t n = 0; n < head->rows; n++) {
    gw_real lse = row_lse(head, n);
    __atomic_store(&lses[n], &lse, __ATOMIC_RELAXED);
    GW_WORK(-4 * head->vocab - 2);
  }
}

static void head_loss_sum_reference(const GwCall *call, int64_t first, int64_t last) {
  enum { BLOCK = 256 }; /* columns of dW at a time */
  Head head = head_of(call, 3);
  gw_real *losses = call->out[0], *dx = call->out[1], *lses = call->out[2], dw[BLOCK];
  GwFixedSum sum = gw_fixed_sum_begin(call, 3, 1);
  for (int64_t n = first; n < gw_min_i64(last, head.rows); n++) {
    gw_real lse = row_lse(&head, n);
    losses[n] = row_loss(&head, n, lse);
    dx_row(&head, n, lse, dx + n * head.width);
    GW_WORK(2 * head.vocab * head.width);
  }
  if (last > head.rows) find_lses(&head, lses);
  for (int64_t v = gw_max_i64(first - head.rows, 0); v < last - head.rows; v++)
    for (int64_t c = 0; c < head.width; c += BLOCK) {
      int64_t end = gw_min_i64(c + BLOCK, head.width);
      dw_row(&head, v, lses, c, end, dw);
      for (int64_t i = c; i < end; i++) gw_fixed_sum_add(&sum, v * head.width + i, dw[i - c]);
    }
  gw_fixed_sum_end(&sum, call, 3);
}

static void head_loss_sum_example(GwExample *e) {
  head_loss_example(e);
  e->shapes.attr[3] = e->shapes.attr[1];
  gw_example_accumulator(e, 3, 1, gw_rows(&e->shapes.in[1]), gw_columns(&e->shapes.in[1]), 0.05);
}

const GwOpDef GW_OP_DEF(head_loss_sum) = {
    .name = "head_loss_sum",
    .formula = "losses, dx and dw of head_loss and head_loss_grad; dw to sum as by accumulate",
    .in = {{"x", GW_F32, 0},
           {"weight", GW_F32, 0},
           {"targets", GW_I32, 0},
           {"sum", GW_I64, GW_ARG_INOUT},
           {"signature", GW_U64, GW_ARG_INOUT},
           {"guard", GW_I64, GW_ARG_INOUT},
           {"fresh", GW_I32, GW_ARG_OPTIONAL}},
    .out = {{"losses", GW_F32, 0}, {"dx", GW_F32, 0}, {"logits", GW_F32, GW_ARG_WORKSPACE}},
    .attr = {"z_loss", "first", "limit", "operands"},
    .shape = head_loss_sum_shape,
    .flops = head_loss_sum_flops,
    .scratch = scratch,
    .units = rows_and_vocab,
    .reference = head_loss_sum_reference,
    .example = head_loss_sum_example,
    .bound = 1e-5,
};
