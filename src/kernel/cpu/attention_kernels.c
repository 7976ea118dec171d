/* attention and attention_cached, a block of queries of one head at a time: their scores against
 * all keys they see stay in scratch, in stretches [ROWS, KEYS]; the row maxima are exact whatever
 * the order, the sums keep their 16 partial sums, and the values are added in order of the keys.
 * Tiles of GW_ROWS queries take turns on each stretch, so that its keys and values come from the
 * first-level cache.
 *
 * A thread packs the keys and values of a kv head once and keeps them for as long as its queries
 * need the same ones: k in groups of GW_PANEL, v in rows [., padded]. */
#include "kernel/cpu/attention_tile.h"

enum { ROWS = GW_ATTENTION_ROWS, KEYS = GW_ATTENTION_KEYS, TILES = ROWS / GW_ROWS };

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
} Scratch;

static Scratch scratch_of(const GwCall *call, int thread, const Forward *f) {
  int64_t keys = gw_ceil_div(f->keys, KEYS) * KEYS;
  Scratch s = {.held = -1, .panels = gw_scratch(call, thread)};
  s.values = s.panels + keys * f->a.padded;
  s.scores = s.values + keys * f->a.padded;
  s.q = s.scores + ROWS * keys;
  s.y = s.q + ROWS * f->a.padded;
  GW_ASSERT((char *)(s.y + ROWS * f->a.padded) <= (char *)s.panels + call->scratch_bytes);
  return s;
}

/* The score of row r and a key that begins a vector. */
GW_INLINE float *score_at(const Scratch *s, int64_t r, int64_t key) {
  size_t stretch = (size_t)key / KEYS, column = (size_t)key % KEYS;
  return s->scores + stretch * (ROWS * KEYS) + (size_t)r * KEYS + column;
}

/* The largest product of row r. */
static float largest(const Scratch *s, int64_t r, GwSpan span) {
  gw_vf low = gw_v_set(-__builtin_inff()), top = low;
  for (int64_t key = span.first / GW_VL * GW_VL; key <= span.last; key += GW_VL)
    top = gw_v_max(gw_masked(gw_v_load(score_at(s, r, key)), low, key, span), top);
  return gw_v_largest(top);
}

static void clear_keys(const Scratch *s, int64_t r, int64_t first, int64_t end) {
  for (int64_t key = first; key < end; key += GW_VL) gw_v_store(score_at(s, r, key), gw_v_zero());
}

/* Turns the products of row r into weights e^(scale s - m), 0 at keys of the tile outside the span.
 * Sets m; returns the sum. */
static float weigh(const Scratch *s, int64_t r, GwSpan span, GwSpan tile, float scale, float *m) {
  *m = scale * largest(s, r, span); /* scale > 0: rounding keeps the order */
  gw_vf scales = gw_v_set(scale), top = gw_v_set(*m);
  int64_t first = span.first / 16 * 16, end = span.last / 16 * 16 + 16;
  clear_keys(s, r, tile.first / 16 * 16, first);
  clear_keys(s, r, end, tile.last + 1);
  GwVSum16 sum = gw_v_sum16();
  for (int64_t c = first; c < end; c += 16)
    for (int j = 0; j < GW_SUM_VECTORS; j++) {
      float *at = score_at(s, r, c + j * GW_VL);
      gw_vf p = gw_v_exp(gw_v_sub(gw_v_mul(scales, gw_v_load(at)), top));
      p = gw_masked(p, gw_v_zero(), c + j * GW_VL, span);
      gw_v_store(at, p);
      sum.part[j] = gw_v_add(sum.part[j], p);
    }
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

/* A block of queries of one head. */
typedef struct {
  int64_t rows;
  GwSpan span[ROWS], tile[TILES], all; /* keys of each query; the hulls of tiles and of the block */
  float m[ROWS], sum[ROWS];
} Block;

/* Queries first.. of a sequence; `positions` begins with the first one's. */
static Block block_of(const Forward *f, int64_t first, const int32_t *positions) {
  Block b = {.rows = gw_min_i64(f->queries - first, ROWS), .all = {INT64_MAX, -1}};
  for (int64_t t = 0; t < TILES; t++) b.tile[t] = b.all;
  for (int64_t r = 0; r < b.rows; r++) {
    b.span[r] = gw_span_of(&f->a, f->base + first + r, positions[r]);
    gw_span_widen(&b.tile[r / GW_ROWS], b.span[r]);
    gw_span_widen(&b.all, b.span[r]);
  }
  return b;
}

static void score_block(const Forward *f, const Scratch *s, const Block *b) {
  const GwHeads *a = &f->a;
  for (int64_t key = b->all.first / GW_PANEL * GW_PANEL; key <= b->all.last; key += GW_PANEL)
    for (int64_t t = 0; t < TILES; t++)
      if (key + GW_PANEL > b->tile[t].first && key <= b->tile[t].last)
        gw_scores(a, s->q + t * GW_ROWS * a->head, s->panels + key * a->head,
                  b->tile[t].last + 1 - key, score_at(s, t * GW_ROWS, key));
}

static void add_values(const Forward *f, const Scratch *s, const Block *b) {
  int64_t padded = f->a.padded;
  memset(s->y, 0, (size_t)(ROWS * padded) * sizeof *s->y);
  for (int64_t key = b->all.first / KEYS * KEYS; key <= b->all.last; key += KEYS)
    for (int64_t t = 0; t < TILES; t++) {
      int64_t from = gw_max_i64(key, b->tile[t].first);
      int64_t last = gw_min_i64(key + KEYS - 1, b->tile[t].last);
      if (from > last) continue;
      GwWeights w = {score_at(s, t * GW_ROWS, from), KEYS, 1};
      gw_tiles(false, s->y + t * GW_ROWS * padded, padded, w, s->values + from * padded, padded,
               last + 1 - from, padded);
    }
}

/* Queries first.. of one sequence and head, keys and values packed. */
static void attend(const Forward *f, Scratch *s, int64_t sequence, int64_t h, int64_t first) {
  const GwHeads *a = &f->a;
  int64_t n = sequence * f->queries + first;
  Block b = block_of(f, first, f->positions + n);
  gw_pack_groups(a, f->q + n * a->width + h * a->head, a->width, b.rows, GW_ROWS, s->q);
  score_block(f, s, &b);
  for (int64_t r = 0; r < b.rows; r++)
    b.sum[r] = weigh(s, r, b.span[r], b.tile[r / GW_ROWS], a->scale, &b.m[r]);
  add_values(f, s, &b);
  for (int64_t r = 0; r < b.rows; r++) {
    float *y = f->y + (n + r) * a->width + h * a->head;
    finish_row(s->y + r * a->padded, 1 / b.sum[r], a->head, y);
    if (f->lse) f->lse[(n + r) * a->heads + h] = b.m[r] + gw_log(b.sum[r]);
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
      gw_pack_groups(a, f->k + at, a->kv_width, f->keys, GW_PANEL, s.panels);
      gw_pack_rows(a, f->v + at, a->kv_width, f->keys, s.values);
    }
    attend(f, &s, sequence, h, block * ROWS);
  }
}

static void forward(const GwCall *call, Forward *f, int64_t sequences) {
  f->q = call->in[0];
  f->k = call->in[1];
  f->v = call->in[2];
  f->positions = call->in[3];
  f->y = call->out[0];
  f->blocks = gw_ceil_div(f->queries, ROWS);
  int64_t grain = gw_min_i64(f->blocks, 64 / ROWS); /* enough to be worth the packing */
  GW_KERNEL(split)(call, sequences * f->a.heads * f->blocks, grain, forward_blocks, f);
}

void GW_KERNEL(attention)(const GwCall *call) {
  if (gw_reference_only(call, GW_OP_ATTENTION, call->shapes.attr[4])) return;
  int64_t context = (int64_t)call->shapes.attr[2];
  Forward f = {.a = gw_heads_of(&call->shapes, call->shapes.attr[3]),
               .lse = call->out[1],
               .queries = context,
               .keys = context,
               .key_rows = context};
  forward(call, &f, gw_rows(&call->shapes.in[0]) / context);
}

void GW_KERNEL(attention_cached)(const GwCall *call) {
  if (gw_reference_only(call, GW_OP_ATTENTION_CACHED, call->shapes.attr[3])) return;
  int64_t queries = gw_rows(&call->shapes.in[0]), base = *(const int32_t *)call->in[4];
  Forward f = {.a = gw_heads_of(&call->shapes, call->shapes.attr[2]),
               .queries = queries,
               .base = base,
               .keys = base + queries};
  forward(call, &f, 1);
}
