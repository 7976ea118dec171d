/* attention and attention_cached, GW_ROWS queries of one head at a time: their scores against all
 * keys they see stay in scratch, [GW_ROWS, keys]; the row maxima are exact whatever the order, the
 * sums keep their 16 partial sums, and the values are added in order of the keys.
 *
 * A thread packs the keys and values of a kv head once and keeps them for as long as its queries
 * need the same ones: k in panels [., head, GW_PANEL], v in rows [., padded]. */
#include "kernel/cpu/attention_tile.h"
#include "op/attention_scratch.h"

typedef struct {
  GwHeads a;
  const float *q, *k, *v;
  const int32_t *positions;
  float *y, *lse;                 /* lse NULL: not wanted */
  int64_t queries, base;          /* of one sequence; query i stands at row base + i */
  int64_t keys, key_rows, blocks; /* per sequence: keys in use, rows of k, blocks of queries */
} Forward;

typedef struct {
  int64_t held; /* which kv head of which sequence is packed */
  float *panels, *values, *scores, *q, *y;
  int64_t stride; /* of scores */
} Scratch;

static Scratch scratch_of(const GwCall *call, int thread, const Forward *f) {
  int64_t keys = gw_ceil_div(f->keys, GW_ATTENTION_KEYS) * GW_ATTENTION_KEYS;
  Scratch s = {.held = -1, .stride = keys + 16};
  s.panels = gw_scratch(call, thread);
  s.values = s.panels + keys * f->a.padded;
  s.scores = s.values + keys * f->a.padded;
  s.q = s.scores + GW_ROWS * s.stride;
  s.y = s.q + GW_ROWS * f->a.padded;
  GW_ASSERT((char *)(s.y + GW_ROWS * f->a.padded) <=
            (char *)gw_scratch(call, thread) + call->scratch_bytes);
  return s;
}

/* The largest of s[first..last]. */
static float largest(const float *s, GwSpan span) {
  int64_t i = span.first, end = span.last + 1;
  gw_vf top = gw_v_set(s[i]);
  for (; i + GW_VL <= end; i += GW_VL) top = gw_v_max(gw_v_load(s + i), top);
  top = gw_v_max(gw_v_first_n(gw_v_load_n(s + i, end - i), top, end - i), top);
  return gw_v_largest(top);
}

/* Turns the products s of one row into weights e^(scale s - m), 0 outside the span; `all` are the
 * keys of the whole block. Sets m; returns the sum. */
static float weigh(float *s, GwSpan span, GwSpan all, float scale, float *m) {
  *m = scale * largest(s, span); /* scale > 0: rounding keeps the order */
  gw_vf scales = gw_v_set(scale), top = gw_v_set(*m);
  int64_t first = span.first / 16 * 16;
  for (int64_t c = all.first / 16 * 16; c < first; c += GW_VL) gw_v_store(s + c, gw_v_zero());
  GwVSum16 sum = gw_v_sum16();
  int64_t c = first;
  for (; c <= span.last; c += 16)
    for (int j = 0; j < GW_SUM_VECTORS; j++) {
      int64_t key = c + j * GW_VL;
      gw_vf p = gw_v_exp(gw_v_sub(gw_v_mul(scales, gw_v_load(s + key)), top));
      p = gw_masked(p, key, span);
      gw_v_store(s + key, p);
      sum.part[j] = gw_v_add(sum.part[j], p);
    }
  for (; c <= all.last; c += GW_VL) gw_v_store(s + c, gw_v_zero());
  return gw_v_sum16_total(&sum);
}

/* y = sums inverse + 0 */
static void finish_row(const float *sums, float inverse, int64_t head, float *y) {
  gw_vf scale = gw_v_set(inverse);
  int64_t d = 0;
  for (; d + GW_VL <= head; d += GW_VL)
    gw_v_store(y + d, gw_v_add(gw_v_mul(gw_v_load(sums + d), scale), gw_v_zero()));
  if (d < head)
    gw_v_store_n(y + d, gw_v_add(gw_v_mul(gw_v_load(sums + d), scale), gw_v_zero()), head - d);
}

/* Queries first.. (at most GW_ROWS) of one sequence and head, keys and values packed. */
static void attend_block(const Forward *f, Scratch *s, int64_t sequence, int64_t h, int64_t first) {
  const GwHeads *a = &f->a;
  int64_t rows = gw_min_i64(f->queries - first, GW_ROWS), n = sequence * f->queries + first;
  GwSpan span[GW_ROWS], all = {INT64_MAX, f->base + first + rows - 1};
  for (int64_t r = 0; r < rows; r++) {
    span[r] = gw_span_of(a, f->base + first + r, f->positions[n + r]);
    all.first = gw_min_i64(all.first, span[r].first);
  }
  gw_pack_rows(a, f->q + n * a->width + h * a->head, a->width, rows, s->q);
  memset(s->q + rows * a->padded, 0, (size_t)((GW_ROWS - rows) * a->padded) * sizeof *s->q);
  for (int64_t key = all.first / GW_PANEL * GW_PANEL; key <= all.last; key += GW_PANEL)
    gw_scores(a, s->q, s->panels + key * a->head, all.last + 1 - key, s->scores + key, s->stride);
  float m[GW_ROWS], sum[GW_ROWS];
  for (int64_t r = 0; r < rows; r++)
    sum[r] = weigh(s->scores + r * s->stride, span[r], all, a->scale, &m[r]);
  GwWeights w = {s->scores + all.first, s->stride, 1};
  gw_tiles(true, s->y, a->padded, w, s->values + all.first * a->padded, a->padded,
           all.last + 1 - all.first, a->padded);
  for (int64_t r = 0; r < rows; r++) {
    float *y = f->y + (n + r) * a->width + h * a->head;
    finish_row(s->y + r * a->padded, 1 / sum[r], a->head, y);
    if (f->lse) f->lse[(n + r) * a->heads + h] = m[r] + gw_log(sum[r]);
  }
}

/* Unit: sequence, head, block of queries. */
static void forward_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  const Forward *f = context;
  const GwHeads *a = &f->a;
  Scratch s = scratch_of(call, thread, f);
  for (int64_t unit = first; unit < last; unit++) {
    int64_t block = unit % f->blocks, h = unit / f->blocks % a->heads;
    int64_t sequence = unit / f->blocks / a->heads, group = h / (a->heads / a->kv_heads);
    if (s.held != sequence * a->kv_heads + group) {
      s.held = sequence * a->kv_heads + group;
      int64_t at = sequence * f->key_rows * a->kv_width + group * a->head;
      gw_pack_panels(a, f->k + at, f->keys, s.panels);
      gw_pack_rows(a, f->v + at, a->kv_width, f->keys, s.values);
    }
    attend_block(f, &s, sequence, h, block * GW_ROWS);
  }
}

static void forward(const GwCall *call, Forward *f, int64_t sequences) {
  f->q = call->in[0];
  f->k = call->in[1];
  f->v = call->in[2];
  f->positions = call->in[3];
  f->y = call->out[0];
  f->blocks = gw_ceil_div(f->queries, GW_ROWS);
  int64_t grain = gw_min_i64(f->blocks, 64 / GW_ROWS); /* enough to be worth the packing */
  GW_KERNEL(split)(call, sequences * f->a.heads * f->blocks, grain, forward_blocks, f);
}

void GW_KERNEL(attention)(const GwCall *call) {
  int64_t context = (int64_t)call->shapes.attr[2];
  Forward f = {.a = gw_heads_of(&call->shapes, call->shapes.attr[3]),
               .lse = call->out[1],
               .queries = context,
               .keys = context,
               .key_rows = context};
  forward(call, &f, gw_rows(&call->shapes.in[0]) / context);
}

void GW_KERNEL(attention_cached)(const GwCall *call) {
  int64_t queries = gw_rows(&call->shapes.in[0]), base = *(const int32_t *)call->in[4];
  Forward f = {.a = gw_heads_of(&call->shapes, call->shapes.attr[2]),
               .queries = queries,
               .base = base,
               .keys = base + queries};
  forward(call, &f, 1);
}
