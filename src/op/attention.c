/* Causal attention that never holds the T×T scores  (Vaswani et al. 2017; Dao et al. 2022)
 *
 * For query row i and head h (kv head h Hkv/H), over the keys j from j0 to i of the same sequence,
 *   j0 = i - min(positions[i], window - 1):
 *     s_j = scale q_i·k_j (in order of d),  scale = 1/sqrt(D)
 *     m = max s_j;  p_j = e^(s_j - m);  l = Σ p_j (16 partial sums by j mod 16, fixed tree)
 *     y_i = (Σ_j p_j v_j, in order of j) (1/l) + 0;  lse = m + ln l
 *   (+ 0 turns a -0 into +0, so that skipping a masked key or adding its zero is the same.)
 *
 * attention         q [N,H·D], k and v [N,Hkv·D], N = B·T; y [N,H·D], lse [N,H]
 * attention_cached  N/S queries of each of S sequences; keys and values in caches [slots·Hkv·T,D],
 *                   where a sequence has a slot of T rows for each kv head: a head is read from one
 *                   piece of memory. Query i of sequence s is token base[s] % T + i of slot
 *                   base[s] / T. Row for row the same arithmetic, hence the same bits.
 * cache_append      token base[s] + i of the cache = x[s N/S + i,:], a row for each kv head
 * attention_grad    p_j = e^(s_j - lse), delta = Σ_d dy y (16 partial sums), dp_j = dy·v_j,
 *                   ds_j = p_j (dp_j - delta) scale;  dq_i = Σ_j ds_j k_j + 0;
 *                   dk_j = Σ_h Σ_i ds q_i + 0, dv_j = Σ_h Σ_i p dy_i + 0 over the heads of the
 *                   group, then queries, in order
 *
 * With bf16 operands both factors of every product above are rounded to bf16 (q, k, v, dy and, as
 * factors, p and ds), and each sum of products takes its terms in pairs, the odd one first: pairs
 * of d, of keys or of queries by their number in the sequence. m, l, lse and delta stay f32, l sums
 * p as it is before rounding. A masked partner adds a zero, which is to say nothing. */
#include "op/attention_scratch.h"
#include "op/shape.h"

typedef struct {
  int64_t heads, kv_heads, head, window;
  gw_real scale;
  bool bf16;
} Layout;

static Layout layout_of(const GwShapes *s, double window, double operands) {
  Layout a = {.heads = (int64_t)s->attr[0], .kv_heads = (int64_t)s->attr[1]};
  a.bf16 = operands == GW_OPERANDS_BF16;
  a.head = gw_columns(&s->in[0]) / a.heads;
  a.window = window > 0 ? (int64_t)window : INT64_MAX;
  a.scale = 1 / gw_sqrt((gw_real)a.head);
  return a;
}

/* `by_head`: k and v have a row for each kv head. */
static GwStatus check_heads(const char *op, const GwShapes *s, bool by_head, double operands) {
  GW_REQUIRE(gw_attr_whole(s->attr[0], 1) && gw_attr_whole(s->attr[1], 1), op,
             "heads and kv_heads must be whole numbers");
  int64_t heads = (int64_t)s->attr[0], kv_heads = (int64_t)s->attr[1];
  GW_REQUIRE(heads % kv_heads == 0, op, "kv_heads must divide heads");
  GW_REQUIRE(s->in[0].rank == 2 && gw_columns(&s->in[0]) % heads == 0, op, "q must be [N,H D]");
  int64_t kv_width = gw_columns(&s->in[0]) / heads * (by_head ? 1 : kv_heads);
  GW_REQUIRE(s->in[1].rank == 2 && gw_columns(&s->in[1]) == kv_width &&
                 gw_type_equal(&s->in[1], &s->in[2]),
             op, by_head ? "k and v must be [rows,D]" : "k and v must be [rows,Hkv D]");
  GW_REQUIRE(gw_is_vector(&s->in[3], gw_rows(&s->in[0])), op, "positions must be [N]");
  GW_REQUIRE(gw_countable(gw_rows(&s->in[0]), gw_rows(&s->in[1]), gw_columns(&s->in[0])), op,
             "too large");
  GW_REQUIRE(operands == GW_OPERANDS_F32 || operands == GW_OPERANDS_BF16, op,
             "operands must be 0 (f32) or 1 (bf16)");
  return GW_OK;
}

/* The first key that query `row` may see, when `back` keys before it are of its document. */
static int64_t first_key(const Layout *a, int64_t row, int64_t back) {
  return row - gw_min_i64(back, a->window - 1);
}

/* The t-th of items first..last (t from first on) as a sum takes them; pairs count from `phase`. */
static int64_t in_order(const Layout *a, int64_t t, int64_t first, int64_t last, int64_t phase) {
  int64_t partner = phase + ((t - phase) ^ 1);
  return a->bf16 && partner >= first && partner <= last ? partner : t;
}

/* One element of a product of q or dy with k or v. */
static gw_real dot(const Layout *a, const gw_real *x, const gw_real *y) {
  return a->bf16 ? gw_dot_bf16(x, 1, y, 1, a->head) : gw_dot(x, 1, y, 1, a->head);
}

/* sum[d] += weight x[d] */
static void add_product(const Layout *a, gw_real weight, const gw_real *x, gw_real *sum) {
  for (int64_t d = 0; d < a->head; d++)
    sum[d] = a->bf16 ? gw_fma_bf16(gw_bf16_round(weight), gw_bf16_round(x[d]), sum[d])
                     : gw_fma(weight, x[d], sum[d]);
}

/* One query of one head against keys [from, to]; strides in elements. Scores are computed twice
 * rather than kept. y gets D elements; returns the log-sum-exp. */
static gw_real attend(const Layout *a, const gw_real *q, const gw_real *k, const gw_real *v,
                      int64_t kv_stride, int64_t from, int64_t to, int64_t phase, gw_real *y) {
  gw_real m = a->scale * dot(a, q, k + from * kv_stride);
  for (int64_t j = from + 1; j <= to; j++) m = gw_max(a->scale * dot(a, q, k + j * kv_stride), m);
  GwSum16 sum = {{0}};
  for (int64_t d = 0; d < a->head; d++) y[d] = 0;
  for (int64_t t = from; t <= to; t++) {
    int64_t j = in_order(a, t, from, to, phase);
    gw_real p = gw_exp(a->scale * dot(a, q, k + j * kv_stride) - m);
    sum.part[(j - phase) & 15] += p;
    add_product(a, p, v + j * kv_stride, y);
    GW_WORK(-2 * a->head); /* the second computation of the score is the reference's own affair */
    GW_WORK(2 * a->head + 5);
  }
  gw_real l = gw_sum16_total(&sum), inverse = 1 / l;
  for (int64_t d = 0; d < a->head; d++) y[d] = y[d] * inverse + 0;
  GW_WORK(a->head);
  return m + gw_log(l);
}

/* Keys that `queries` queries see, the first of them at row `first` of its sequence, without
 * document bounds: the most there can be. */
static int64_t pairs_seen(int64_t first, int64_t queries, int64_t window) {
  int64_t growing = window > 0 ? gw_min_i64(gw_max_i64(window - first, 0), queries) : queries;
  return growing * first + growing * (growing + 1) / 2 + (queries - growing) * window;
}

static int64_t causal_pairs(int64_t rows, int64_t context, int64_t window) {
  return pairs_seen(0, context, window) * (rows / context);
}

/* ---- attention ---- */

static GwStatus attention_shape(GwShapes *s) {
  GW_TRY(check_heads("attention", s, false, s->attr[4]));
  GW_REQUIRE(gw_attr_whole(s->attr[2], 1) && gw_rows(&s->in[0]) % (int64_t)s->attr[2] == 0,
             "attention", "context T must divide N");
  GW_REQUIRE(gw_rows(&s->in[1]) == gw_rows(&s->in[0]), "attention", "k and v must have N rows");
  GW_REQUIRE(gw_attr_whole(s->attr[3], 0), "attention", "window must be a whole number");
  s->out[0] = s->in[0];
  s->out[1] = gw_type_2d(GW_F32, gw_rows(&s->in[0]), (int64_t)s->attr[0]);
  return GW_OK;
}

static void attention_gradient(GwGradient *g, const GwOp *op) {
  GwValueId d = gw_emit(gw_gradient_program(g), GW_OP_ATTENTION_GRAD,
                        GW_IN(op->in[0], op->in[1], op->in[2], op->in[3], op->out[0], op->out[1],
                              gw_gradient_out(g, op, 0)),
                        op->attr);
  for (int i = 0; i < 3; i++) gw_gradient_add(g, op->in[i], d + i);
}

/* per pair: q·k, scale, subtract, exp, max, add, p v; per element of y: scale */
static int64_t attention_flops(const GwShapes *s) {
  int64_t pairs = causal_pairs(gw_rows(&s->in[0]), (int64_t)s->attr[2], (int64_t)s->attr[3]);
  int64_t heads = (int64_t)s->attr[0], head = gw_columns(&s->in[0]) / heads;
  return pairs * heads * (4 * head + 5) + gw_type_count(&s->in[0]);
}

static int64_t attention_scratch(const GwShapes *s) {
  int64_t context = (int64_t)s->attr[2], shared = (int64_t)(s->attr[0] / s->attr[1]);
  return gw_attention_scratch(context, shared, context,
                              gw_columns(&s->in[0]) / (int64_t)s->attr[0]);
}

static int64_t attention_units(const GwShapes *s) { return gw_rows(&s->in[0]); }

static void attention_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *q = call->in[0], *k = call->in[1], *v = call->in[2];
  const int32_t *positions = call->in[3];
  gw_real *y = call->out[0], *lse = call->out[1];
  Layout a = layout_of(&call->shapes, call->shapes.attr[3], call->shapes.attr[4]);
  int64_t context = (int64_t)call->shapes.attr[2];
  int64_t width = a.heads * a.head, kv_width = a.kv_heads * a.head;
  for (int64_t n = first; n < last; n++) {
    int64_t from = first_key(&a, n, positions[n]), start = n / context * context;
    for (int64_t h = 0; h < a.heads; h++) {
      int64_t column = h / (a.heads / a.kv_heads) * a.head;
      lse[n * a.heads + h] = attend(&a, q + n * width + h * a.head, k + column, v + column,
                                    kv_width, from, n, start, y + n * width + h * a.head);
    }
  }
}

static void attention_example_of(GwExample *e, GwType *q, GwType *kv, int64_t *context) {
  static const int64_t head_sizes[] = {2, 4, 6, 16, 32, 34, 64};
  int64_t head = head_sizes[gw_rng_below(&e->rng, GW_COUNT_OF(head_sizes))];
  int64_t kv_heads = 1 + (int64_t)gw_rng_below(&e->rng, 2);
  int64_t heads = kv_heads * (1 + (int64_t)gw_rng_below(&e->rng, 3));
  *context = gw_example_size(e, 65);
  int64_t rows = *context * (1 + (int64_t)gw_rng_below(&e->rng, 2));
  *q = gw_type_2d(GW_F32, rows, heads * head);
  *kv = gw_type_2d(GW_F32, rows, kv_heads * head);
  e->shapes.attr[0] = (double)heads;
  e->shapes.attr[1] = (double)kv_heads;
}

static void attention_example(GwExample *e) {
  GwType q, kv;
  int64_t context;
  attention_example_of(e, &q, &kv, &context);
  e->shapes.attr[3] = gw_rng_below(&e->rng, 2) ? 0 : 1 + (double)gw_rng_below(&e->rng, 20);
  if (e->long_size == 1) { /* a long sequence, of which each query sees little */
    context = GW_EXAMPLE_LONG;
    q = kv = gw_type_2d(GW_F32, context, 2);
    e->shapes.attr[0] = e->shapes.attr[1] = 1;
    e->shapes.attr[3] = 1 + (double)gw_rng_below(&e->rng, 20);
  }
  gw_example_f32(e, 0, q, 1);
  gw_example_f32(e, 1, kv, 1);
  gw_example_f32(e, 2, kv, 1);
  gw_example_ids(e, 3, q.dim[0], 0, context);
  e->in[3].fill = GW_FILL_POSITIONS;
  e->shapes.attr[2] = (double)context;
  e->shapes.attr[4] = (double)gw_rng_below(&e->rng, 2);
}

const GwOpDef GW_OP_DEF(attention) = {
    .name = "attention",
    .formula = "y = softmax(q k^T / sqrt(D)) v over the keys a query may see",
    .in = {{"q", GW_F32, 0}, {"k", GW_F32, 0}, {"v", GW_F32, 0}, {"positions", GW_I32, 0}},
    .out = {{"y", GW_F32, 0}, {"lse", GW_F32, 0}},
    .attr = {"heads", "kv_heads", "context", "window", "operands"},
    .shape = attention_shape,
    .gradient = attention_gradient,
    .flops = attention_flops,
    .scratch = attention_scratch,
    .units = attention_units,
    .reference = attention_reference,
    .example = attention_example,
    .bound = 1e-5,
};

/* ---- attention_cached ---- */

/* base must be [S]; how many of the op's rows are of one sequence. */
static int64_t rows_per_sequence(const GwShapes *s, int base) {
  return gw_rows(&s->in[0]) / s->in[base].dim[0];
}

static bool deals_rows(const GwShapes *s, int base) {
  const GwType *type = &s->in[base];
  return type->rank == 1 && type->dim[0] > 0 && gw_rows(&s->in[0]) % type->dim[0] == 0;
}

/* Whether a cache has whole slots of kv_heads times context rows. */
static bool is_of_slots(const GwType *cache, double kv_heads, double context) {
  int64_t rows = gw_rows(cache), by_head = rows / (int64_t)kv_heads;
  return rows % (int64_t)kv_heads == 0 && by_head % (int64_t)context == 0;
}

static GwStatus attention_cached_shape(GwShapes *s) {
  GW_TRY(check_heads("attention_cached", s, true, s->attr[4]));
  GW_REQUIRE(deals_rows(s, 4), "attention_cached", "base must be [S], where S divides N");
  GW_REQUIRE(gw_attr_whole(s->attr[2], 1) && is_of_slots(&s->in[1], s->attr[1], s->attr[2]),
             "attention_cached", "context times kv_heads must divide the rows of the caches");
  GW_REQUIRE((int64_t)s->attr[2] >= rows_per_sequence(s, 4), "attention_cached",
             "a slot must hold at least N/S rows");
  GW_REQUIRE(gw_attr_whole(s->attr[3], 0), "attention_cached", "window must be a whole number");
  s->out[0] = s->in[0];
  return GW_OK;
}

/* Where the queries stand is data; counted as if they were the last rows of their slots. */
static int64_t attention_cached_flops(const GwShapes *s) {
  int64_t rows = rows_per_sequence(s, 4), context = (int64_t)s->attr[2];
  int64_t pairs = s->in[4].dim[0] * pairs_seen(context - rows, rows, (int64_t)s->attr[3]);
  int64_t heads = (int64_t)s->attr[0], head = gw_columns(&s->in[0]) / heads;
  return pairs * heads * (4 * head + 5) + gw_type_count(&s->in[0]);
}

static int64_t attention_cached_scratch(const GwShapes *s) {
  return gw_attention_scratch(rows_per_sequence(s, 4), (int64_t)(s->attr[0] / s->attr[1]),
                              (int64_t)s->attr[2], gw_columns(&s->in[0]) / (int64_t)s->attr[0]);
}

static void attention_cached_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *q = call->in[0], *k = call->in[1], *v = call->in[2];
  const int32_t *positions = call->in[3], *base = call->in[4];
  gw_real *y = call->out[0];
  Layout a = layout_of(&call->shapes, call->shapes.attr[3], call->shapes.attr[4]);
  int64_t rows = rows_per_sequence(&call->shapes, 4), context = (int64_t)call->shapes.attr[2];
  int64_t width = a.heads * a.head;
  for (int64_t n = first; n < last; n++) {
    int64_t slot = base[n / rows] / context, row = base[n / rows] % context + n % rows;
    int64_t from = first_key(&a, row, positions[n]);
    for (int64_t h = 0; h < a.heads; h++) {
      int64_t kv_head = slot * a.kv_heads + h / (a.heads / a.kv_heads);
      int64_t at = kv_head * context * a.head;
      attend(&a, q + n * width + h * a.head, k + at, v + at, a.head, from, row, 0,
             y + n * width + h * a.head);
    }
  }
}

/* The queries of a sequence are the last rows of its slot, as attention_cached_flops counts. */
static void attention_cached_example(GwExample *e) {
  GwType q, kv;
  int64_t context;
  attention_example_of(e, &q, &kv, &context);
  int64_t sequences = 1 + (int64_t)gw_rng_below(&e->rng, 3);
  int64_t slots = sequences + (int64_t)gw_rng_below(&e->rng, 2);
  int64_t rows = 1 + (int64_t)gw_rng_below(&e->rng, 3), keys = rows + gw_example_size(e, 127);
  gw_example_f32(e, 0, gw_type_2d(GW_F32, sequences * rows, q.dim[1]), 1);
  int64_t kv_heads = (int64_t)e->shapes.attr[1];
  GwType cache = gw_type_2d(GW_F32, slots * kv_heads * keys, kv.dim[1] / kv_heads);
  gw_example_f32(e, 1, cache, 1);
  gw_example_f32(e, 2, cache, 1);
  gw_example_ids(e, 3, sequences * rows, keys - rows, rows);
  e->in[3].fill = GW_FILL_POSITIONS;
  gw_example_ids(e, 4, sequences, keys - rows, keys);
  e->in[4].fill = GW_FILL_SLOTS;
  e->shapes.attr[2] = (double)keys;
  e->shapes.attr[3] = gw_rng_below(&e->rng, 2) ? 0 : 1 + (double)gw_rng_below(&e->rng, 20);
  e->shapes.attr[4] = (double)gw_rng_below(&e->rng, 2);
}

const GwOpDef GW_OP_DEF(attention_cached) = {
    .name = "attention_cached",
    .formula = "attention of rows base[s].. of each sequence against cached keys and values",
    .in = {{"q", GW_F32, 0},
           {"k_cache", GW_F32, 0},
           {"v_cache", GW_F32, 0},
           {"positions", GW_I32, 0},
           {"base", GW_I32, 0}},
    .out = {{"y", GW_F32, 0}},
    .attr = {"heads", "kv_heads", "context", "window", "operands"},
    .shape = attention_cached_shape,
    .flops = attention_cached_flops,
    .scratch = attention_cached_scratch,
    .units = attention_units,
    .reference = attention_cached_reference,
    .example = attention_cached_example,
    .bound = 1e-5,
};

/* ---- cache_append ---- */

static GwStatus cache_append_shape(GwShapes *s) {
  GW_REQUIRE(gw_attr_whole(s->attr[0], 1), "cache_append", "context must be a whole number");
  GW_REQUIRE(s->in[0].rank == 2 && s->in[1].rank == 2 &&
                 gw_columns(&s->in[0]) % gw_columns(&s->in[1]) == 0,
             "cache_append", "x must be [N,Hkv D] where the cache has rows [D]");
  double kv_heads = (double)(gw_columns(&s->in[0]) / gw_columns(&s->in[1]));
  GW_REQUIRE(is_of_slots(&s->in[1], kv_heads, s->attr[0]), "cache_append",
             "context times kv_heads must divide the rows of the cache");
  GW_REQUIRE(gw_type_count(&s->in[0]) <= gw_type_count(&s->in[1]), "cache_append",
             "x must fit into the cache");
  GW_REQUIRE(deals_rows(s, 2), "cache_append", "base must be [S], where S divides N");
  return GW_OK;
}

static int64_t cache_append_flops(const GwShapes *s) {
  (void)s;
  return 0;
}

/* Of the cache only the rows written. */
static int64_t cache_append_bytes(const GwShapes *s) {
  return (int64_t)(2 * gw_type_size(&s->in[0]) + gw_type_size(&s->in[2]));
}

static void cache_append_reference(const GwCall *call, int64_t first, int64_t last) {
  const gw_real *x = call->in[0];
  gw_real *cache = call->in[1];
  const int32_t *base = call->in[2];
  int64_t rows = rows_per_sequence(&call->shapes, 2), context = (int64_t)call->shapes.attr[0];
  int64_t width = gw_columns(&call->shapes.in[0]), head = gw_columns(&call->shapes.in[1]);
  for (int64_t n = first; n < last; n++) {
    int64_t slot = base[n / rows] / context, row = base[n / rows] % context + n % rows;
    for (int64_t c = 0; c < width; c++) {
      int64_t kv_head = slot * (width / head) + c / head;
      cache[(kv_head * context + row) * head + c % head] = x[n * width + c];
    }
  }
}

static void cache_append_example(GwExample *e) {
  int64_t rows = gw_example_size(e, 17), more = gw_example_size(e, 17);
  int64_t head = gw_example_size(e, 33), kv_heads = 1 + (int64_t)gw_rng_below(&e->rng, 3);
  int64_t sequences = 1 + (int64_t)gw_rng_below(&e->rng, 3), context = rows + more;
  gw_example_f32(e, 0, gw_type_2d(GW_F32, sequences * rows, kv_heads * head), 1);
  gw_example_f32(e, 1, gw_type_2d(GW_F32, sequences * kv_heads * context, head), 1);
  gw_example_ids(e, 2, sequences, (int64_t)gw_rng_below(&e->rng, (uint64_t)more + 1), context);
  e->in[2].fill = GW_FILL_SLOTS;
  e->shapes.attr[0] = (double)context;
}

const GwOpDef GW_OP_DEF(cache_append) = {
    .name = "cache_append",
    .formula = "cache[base[s]+i,:] = x[s N/S + i,:], a row for each kv head",
    .in = {{"x", GW_F32, 0}, {"cache", GW_F32, GW_ARG_INOUT}, {"base", GW_I32, 0}},
    .attr = {"context"},
    .shape = cache_append_shape,
    .flops = cache_append_flops,
    .bytes = cache_append_bytes,
    .units = attention_units,
    .reference = cache_append_reference,
    .example = cache_append_example,
};

/* ---- attention_grad ---- */

static GwStatus attention_grad_shape(GwShapes *s) {
  GW_TRY(check_heads("attention_grad", s, false, s->attr[4]));
  GW_REQUIRE(gw_attr_whole(s->attr[2], 1) && gw_rows(&s->in[0]) % (int64_t)s->attr[2] == 0,
             "attention_grad", "context T must divide N");
  GW_REQUIRE(gw_rows(&s->in[1]) == gw_rows(&s->in[0]), "attention_grad",
             "k and v must have N rows");
  GW_REQUIRE(gw_type_equal(&s->in[4], &s->in[0]) && gw_type_equal(&s->in[6], &s->in[0]),
             "attention_grad", "y and dy must have q's shape");
  GW_REQUIRE(gw_is_matrix(&s->in[5], gw_rows(&s->in[0]), (int64_t)s->attr[0]), "attention_grad",
             "lse must be [N,H]");
  GW_REQUIRE(gw_attr_whole(s->attr[3], 0), "attention_grad", "window must be a whole number");
  s->out[0] = s->in[0];
  s->out[1] = s->out[2] = s->in[1];
  return GW_OK;
}

/* per pair: q·k, dy·v, dq, dk, dv and 5 more; per query and head: delta */
static int64_t attention_grad_flops(const GwShapes *s) {
  int64_t pairs = causal_pairs(gw_rows(&s->in[0]), (int64_t)s->attr[2], (int64_t)s->attr[3]);
  int64_t heads = (int64_t)s->attr[0], head = gw_columns(&s->in[0]) / heads;
  return pairs * heads * (10 * head + 5) + 2 * gw_type_count(&s->in[0]);
}

static int64_t attention_grad_scratch(const GwShapes *s) {
  return gw_attention_grad_scratch((int64_t)s->attr[2],
                                   gw_columns(&s->in[0]) / (int64_t)s->attr[0]);
}

/* One unit per sequence and kv head. */
static int64_t attention_grad_units(const GwShapes *s) {
  return gw_rows(&s->in[0]) / (int64_t)s->attr[2] * (int64_t)s->attr[1];
}

typedef struct {
  Layout a;
  const gw_real *q, *k, *v, *y, *lse, *dy;
  const int32_t *positions;
  gw_real *dq, *dk, *dv;
} Backward;

/* Query n, head h of the sequence from `start`: adds to dq_n and to dk, dv of the keys it saw. */
static void back_query(const Backward *b, int64_t start, int64_t n, int64_t h) {
  const Layout *a = &b->a;
  int64_t at = n * a->heads * a->head + h * a->head, stride = a->kv_heads * a->head;
  int64_t column = h / (a->heads / a->kv_heads) * a->head;
  const gw_real *q = b->q + at, *dy = b->dy + at;
  gw_real delta = gw_row_dot(dy, b->y + at, a->head), lse = b->lse[n * a->heads + h];
  int64_t first = first_key(a, n, b->positions[n]);
  for (int64_t t = first; t <= n; t++) {
    int64_t key = in_order(a, t, first, n, start) * stride + column;
    gw_real p = gw_exp(a->scale * dot(a, q, b->k + key) - lse);
    gw_real ds = p * (dot(a, dy, b->v + key) - delta) * a->scale;
    add_product(a, ds, b->k + key, b->dq + at);
    add_product(a, ds, q, b->dk + key);
    add_product(a, p, dy, b->dv + key);
    GW_WORK(6 * a->head + 5);
  }
}

/* Sets or finishes (adds +0) the group's columns of one sequence. */
static void group_columns(const Backward *b, int64_t start, int64_t context, int64_t group,
                          bool clear) {
  const Layout *a = &b->a;
  int64_t shared = a->heads / a->kv_heads;
  for (int64_t n = start; n < start + context; n++) {
    gw_real *dq = b->dq + (n * a->heads + group * shared) * a->head;
    gw_real *dk = b->dk + (n * a->kv_heads + group) * a->head;
    gw_real *dv = b->dv + (n * a->kv_heads + group) * a->head;
    for (int64_t d = 0; d < shared * a->head; d++) dq[d] = clear ? 0 : dq[d] + 0;
    for (int64_t d = 0; d < a->head; d++) {
      dk[d] = clear ? 0 : dk[d] + 0;
      dv[d] = clear ? 0 : dv[d] + 0;
    }
  }
}

static void attention_grad_reference(const GwCall *call, int64_t first, int64_t last) {
  Backward b = {.a = layout_of(&call->shapes, call->shapes.attr[3], call->shapes.attr[4]),
                .q = call->in[0],
                .k = call->in[1],
                .v = call->in[2],
                .positions = call->in[3],
                .y = call->in[4],
                .lse = call->in[5],
                .dy = call->in[6],
                .dq = call->out[0],
                .dk = call->out[1],
                .dv = call->out[2]};
  int64_t context = (int64_t)call->shapes.attr[2], shared = b.a.heads / b.a.kv_heads;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t start = unit / b.a.kv_heads * context, group = unit % b.a.kv_heads;
    group_columns(&b, start, context, group, true);
    for (int64_t h = group * shared; h < (group + 1) * shared; h++)
      for (int64_t t = start; t < start + context; t++)
        back_query(&b, start, in_order(&b.a, t, start, start + context - 1, start), h);
    group_columns(&b, start, context, group, false);
  }
}

static void attention_grad_example(GwExample *e) {
  attention_example(e);
  GwType q = e->shapes.in[0];
  gw_example_f32(e, 4, q, 1);
  gw_example_f32(e, 5, gw_type_2d(GW_F32, q.dim[0], (int64_t)e->shapes.attr[0]), 1);
  gw_example_f32(e, 6, q, 1);
}

const GwOpDef GW_OP_DEF(attention_grad) = {
    .name = "attention_grad",
    .formula = "p = e^(s - lse), ds = p (dy v - dy y) scale; dq = ds k, dk = ds^T q, dv = p^T dy",
    .in = {{"q", GW_F32, 0},
           {"k", GW_F32, 0},
           {"v", GW_F32, 0},
           {"positions", GW_I32, 0},
           {"y", GW_F32, 0},
           {"lse", GW_F32, 0},
           {"dy", GW_F32, 0}},
    .out = {{"dq", GW_F32, 0}, {"dk", GW_F32, 0}, {"dv", GW_F32, 0}},
    .attr = {"heads", "kv_heads", "context", "window", "operands"},
    .shape = attention_grad_shape,
    .flops = attention_grad_flops,
    .scratch = attention_grad_scratch,
    .units = attention_grad_units,
    .reference = attention_grad_reference,
    .example = attention_grad_example,
    .bound = 1e-5,
};
