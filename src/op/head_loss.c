/* head_loss       the vocabulary product and the cross-entropy in one: logits are made for some
 *                 rows at a time and never kept.  x [N,C], W [V,C], targets [N] (-1: not counted)
 *                 z_v = x·W_v (in order);  m = max z;  l = Σ e^(z - m) (16 partial sums, v mod 16);
 *                 lse = m + ln l;  loss = lse - z_target + z_loss lse²
 *                 (z-loss: Chowdhery et al. 2022)
 * head_loss_grad  d_v = (e^(z_v - lse) (1 + 2 z_loss lse) - [v = target])/N;
 *                 dx = Σ_v d_v W_v, dW_v = Σ_n d x_n, both in order. N is the lane's capacity, not
 *                 the number of counted targets: that division comes after the exact sum. */
#include "op/scratch.h"
#include "op/shape.h"

static GwStatus check(const char *op, const GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2 &&
                 gw_columns(&s->in[0]) == gw_columns(&s->in[1]),
             op, "x [N,C] and weight [V,C] must agree in C");
  GW_REQUIRE(gw_is_vector(&s->in[2], gw_rows(&s->in[0])), op, "targets must be [N]");
  GW_REQUIRE(gw_countable(gw_rows(&s->in[0]), gw_rows(&s->in[1]), gw_columns(&s->in[0])), op,
             "too large");
  GW_REQUIRE(s->attr[0] >= 0, op, "z_loss must not be negative");
  return GW_OK;
}

static GwStatus head_loss_shape(GwShapes *s) {
  GW_TRY(check("head_loss", s));
  s->out[0] = s->out[1] = gw_type_1d(GW_F32, gw_rows(&s->in[0]));
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

/* Packed operands, and the thread's share of the logits that exist at a time: up to 252 rows (whole
 * register tiles of every instruction set) in 32 MiB. */
static int64_t head_loss_scratch(const GwShapes *s) {
  int64_t row = gw_logits_row(gw_rows(&s->in[1]));
  int64_t rows = gw_max_i64(gw_min_i64((8 << 20) / row, 252), 1);
  return GW_GEMM_SCRATCH + gw_min_i64(rows, gw_rows(&s->in[0])) * row * 4;
}

static int64_t head_loss_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void head_loss_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0], *w = call->in[1];
  const int32_t *targets = call->in[2];
  gw_real *losses = call->out[0], *lses = call->out[1], z_loss = (gw_real)call->shapes.attr[0];
  int64_t width = gw_columns(&call->shapes.in[0]), vocab = gw_rows(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++) {
    const gw_real *row = x + n * width;
    gw_real m = gw_dot(row, 1, w, 1, width), target = 0;
    for (int64_t v = 1; v < vocab; v++) m = gw_max(gw_dot(row, 1, w + v * width, 1, width), m);
    GwSum16 sum = {{0}};
    for (int64_t v = 0; v < vocab; v++) {
      gw_real z = gw_dot(row, 1, w + v * width, 1, width);
      if (v == targets[n]) target = z;
      sum.part[v & 15] += gw_exp(z - m);
      GW_WORK(4 - 2 * width); /* the product is counted once */
    }
    gw_real lse = m + gw_log(gw_sum16_total(&sum));
    lses[n] = lse;
    losses[n] = targets[n] < 0 ? 0 : gw_fma(z_loss * lse, lse, lse - target);
    GW_WORK(6);
  }
}

static void head_loss_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 65), width = gw_example_size(e, 65);
  int64_t vocab = gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, rows, width), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, vocab, width), 0.5);
  gw_example_ids(e, 2, rows, -1, vocab);
  e->shapes.attr[0] = gw_rng_below(&e->rng, 2) ? 0 : 0.01;
}

const GwOpDef GW_OP_DEF(head_loss) = {
    .name = "head_loss",
    .formula = "z = x weight^T; lse = ln sum e^z; losses = lse - z[target] + z_loss lse^2",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"targets", GW_I32, 0}},
    .out = {{"losses", GW_F32, 0}, {"lse", GW_F32, 0}},
    .attr = {"z_loss"},
    .is_loss = true,
    .shape = head_loss_shape,
    .gradient = head_loss_gradient,
    .flops = head_loss_flops,
    .scratch = head_loss_scratch,
    .units = head_loss_units,
    .reference = head_loss_reference,
    .example = head_loss_example,
    .bound = 1e-5,
};

static GwStatus head_loss_grad_shape(GwShapes *s) {
  GW_TRY(check("head_loss_grad", s));
  GW_REQUIRE(gw_is_vector(&s->in[3], gw_rows(&s->in[0])), "head_loss_grad", "lse must be [N]");
  s->out[0] = s->in[0];
  s->out[1] = s->in[1];
  return GW_OK;
}

static int64_t head_loss_grad_flops(const GwShapes *s) {
  int64_t logits = gw_rows(&s->in[0]) * gw_rows(&s->in[1]);
  return logits * (6 * gw_columns(&s->in[0]) + 5);
}

/* Units are the rows of dx, then the rows of dW. */
static int64_t head_loss_grad_units(const GwShapes *s) {
  return gw_rows(&s->in[0]) + gw_rows(&s->in[1]);
}

typedef struct {
  const gw_real *x, *w, *lse;
  const int32_t *targets;
  int64_t rows, width, vocab;
  gw_real z_loss, scale;
} Head;

/* dL/dz of row n, vocabulary entry v */
static gw_real logit_gradient(const Head *head, int64_t n, int64_t v) {
  if (head->targets[n] < 0) return 0;
  gw_real z = gw_dot(head->x + n * head->width, 1, head->w + v * head->width, 1, head->width);
  GW_WORK(-2 * head->width); /* counted below: a kernel makes each logit once */
  gw_real lse = head->lse[n], factor = 1 + (head->z_loss + head->z_loss) * lse;
  return (gw_exp(z - lse) * factor - (gw_real)(v == head->targets[n])) * head->scale;
}

static void head_loss_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  Head head = {call->in[0], call->in[1], call->in[3], call->in[2], 0, 0, 0, 0, 0};
  head.rows = gw_rows(&call->shapes.in[0]);
  head.width = gw_columns(&call->shapes.in[0]);
  head.vocab = gw_rows(&call->shapes.in[1]);
  head.z_loss = (gw_real)call->shapes.attr[0];
  head.scale = 1 / (gw_real)head.rows;
  for (int64_t unit = first; unit < last; unit++) {
    bool row = unit < head.rows; /* a row of dx, or else of dW */
    int64_t at = row ? unit : unit - head.rows, count = row ? head.vocab : head.rows;
    gw_real *out = (gw_real *)call->out[row ? 0 : 1] + at * head.width;
    const gw_real *from = row ? head.w : head.x;
    for (int64_t c = 0; c < head.width; c++) out[c] = 0;
    for (int64_t i = 0; i < count; i++) {
      gw_real d = row ? logit_gradient(&head, at, i) : logit_gradient(&head, i, at);
      for (int64_t c = 0; c < head.width; c++) out[c] = gw_fma(d, from[i * head.width + c], out[c]);
      GW_WORK(row ? 4 * head.width + 5 : 2 * head.width);
    }
  }
}

static void head_loss_grad_example(GwExample *e) {
  head_loss_example(e);
  gw_example_f32(e, 3, gw_type_1d(GW_F32, e->shapes.in[0].dim[0]), 3);
}

const GwOpDef GW_OP_DEF(head_loss_grad) = {
    .name = "head_loss_grad",
    .formula = "d = (e^(z - lse)(1 + 2 z_loss lse) - [target])/N; dx = d weight, dw = d^T x",
    .in = {{"x", GW_F32, 0}, {"weight", GW_F32, 0}, {"targets", GW_I32, 0}, {"lse", GW_F32, 0}},
    .out = {{"dx", GW_F32, 0}, {"dw", GW_F32, 0}},
    .attr = {"z_loss"},
    .shape = head_loss_grad_shape,
    .flops = head_loss_grad_flops,
    .scratch = head_loss_scratch,
    .units = head_loss_grad_units,
    .reference = head_loss_grad_reference,
    .example = head_loss_grad_example,
    .bound = 1e-5,
};
