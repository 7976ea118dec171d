/* attention and attention_cached, a block of queries at a time: the products of its rows with all
 * keys they see stay in scratch; the row maxima are exact whatever the order. Then, a stretch of
 * keys at a time, products become weights and the values are added, in order of the keys; the sums
 * of the weights keep their 16 partial sums. Tiles of GW_ROWS rows take turns on each panel of keys
 * and each stretch of values, so that these come from the first-level cache; tiles that see none
 * of them are left out.
 *
 * A thread packs the keys and values of a kv head once and keeps them for as long as its queries
 * need the same ones. Where the queries of all heads that share keys fit into one block, as when a
 * prompt is read in pieces, each panel and stretch is packed when its turn comes, and used at once.
 * Where they are very few, as in generation, nothing is packed. */
#include "kernel/cpu/attention_tile.h"
#include "kernel/cpu/gemm_rows.h"

enum {
  STRETCH = GW_ATTENTION_STRETCH,
  PANELS_AHEAD = 2,         /* of keys */
  VALUES_AHEAD = 64 * 1024, /* floats */
  FEW = GW_STRIP_ROWS < 4 ? GW_STRIP_ROWS : 4,
  STEP = GW_PANEL > 16 ? GW_PANEL : 16 /* stretches begin at whole panels and partial sums */
};

typedef struct {
  GwHeads a;
  const float *q, *k, *v;
  const int32_t *positions;
  float *y, *lse;                    /* lse NULL: not wanted */
  int64_t queries, key_rows, blocks; /* per sequence: queries, keys; blocks of one head */
  int64_t kv_head;                   /* floats from one kv head to the next */
  const int32_t *base; /* slot and key at which the sequences' queries begin; NULL: with the keys */
  bool once;           /* one block has the queries of all heads that share keys, ... */
  bool few;            /* ... so few that packing would take longer than it saves */
} Forward;

typedef struct {
  int64_t held;  /* which kv head of which sequence is packed */
  int64_t room;  /* keys, up to whole panels */
  float *keys;   /* in columns, all or one panel */
  float *values; /* in panels of value_rows rows: all, or a stretch */
  int64_t value_rows;
  float *q, *y;  /* [GW_BLOCK, head] in panels */
  float *scores; /* of each tile [GW_ROWS, room] in panels */
} Scratch;

static Scratch scratch_of(const GwCall *call, int thread, const Forward *f) {
  Scratch s = {.held = -1, .room = gw_attention_padded(f->key_rows)};
  s.keys = gw_scratch(call, thread);
  s.value_rows = f->once ? STRETCH : s.room;
  s.values = s.keys + s.value_rows * f->a.padded;
  s.q = s.values + s.value_rows * f->a.padded;
  s.y = s.q + GW_BLOCK * f->a.padded;
  s.scores = s.y + GW_BLOCK * f->a.padded;
  GW_ASSERT((char *)(s.scores + GW_BLOCK * s.room) <= (char *)s.keys + call->scratch_bytes);
  return s;
}

/* The products, then weights, of tile t; a key's are GW_ROWS x key further. */
GW_INLINE float *tile_scores(const Scratch *s, int64_t t) {
  return s->scores + t * GW_ROWS * s->room;
}

/* Those of row r from `key` on, which begins a panel; vector i is vector_at(i) further. */
GW_INLINE float *row_scores(const Scratch *s, int64_t r, int64_t key) {
  return tile_scores(s, r / GW_ROWS) + key * GW_ROWS + r % GW_ROWS * GW_PANEL;
}
GW_INLINE int64_t vector_at(int i) { return i / 2 * (GW_ROWS * GW_PANEL) + i % 2 * GW_VL; }

/* A block of queries: of one head, or of all heads that share keys. */
typedef struct {
  int64_t keys;         /* of its sequence, in use */
  int64_t rows, left;   /* its own; those and the rest of the sequence */
  int64_t at[GW_BLOCK]; /* query and head: n heads + h */
  GwSpan span[GW_BLOCK], tile[GW_TILES],
      all; /* keys of each row; hulls of tiles and of the block */
  float m[GW_BLOCK];
  GwVSum16 sum[GW_BLOCK];
} Block;

/* The key of its slot at which a sequence's queries begin. */
static int64_t base_of(const Forward *f, int64_t sequence) {
  return f->base ? f->base[sequence] % f->key_rows : 0;
}

/* Queries first.. of head h, or all queries of head h and those after it. */
static void block_init(const Forward *f, Block *b, int64_t sequence, int64_t h, int64_t first) {
  const GwHeads *a = &f->a;
  int64_t last = gw_min_i64(f->queries, first + GW_BLOCK) - 1, query = first;
  int64_t base = base_of(f, sequence);
  b->keys = base + f->queries;
  b->rows = (last + 1 - first) * (f->once ? a->shared : 1);
  b->left = f->once ? b->rows : f->queries - first;
  b->all = GW_NO_KEYS;
  for (int64_t t = 0; t < GW_TILES; t++) b->tile[t] = GW_NO_KEYS;
  for (int64_t r = 0; r < b->rows; r++, query++) {
    if (query > last) {
      query = first;
      h++;
    }
    int64_t n = sequence * f->queries + query;
    b->at[r] = n * a->heads + h;
    b->span[r] = gw_span_of(a, base + query, f->positions[n]);
    b->sum[r] = gw_v_sum16();
    gw_span_widen(&b->tile[r / GW_ROWS], b->span[r]);
    gw_span_widen(&b->all, b->span[r]);
  }
}

static void load_queries(const Forward *f, const Scratch *s, const Block *b) {
  const GwHeads *a = &f->a;
  for (int64_t r = 0; r < gw_round_up(b->rows, GW_ROWS); r++)
    gw_pack_terms(a, r < b->rows ? f->q + b->at[r] * a->head : NULL, GW_BLOCK, s->q + r * GW_PANEL);
}

/* Asks the caches for what row r of the block will need after its products: its y, q of the next
 * block, and the row's share of the next head's keys and values. */
GW_INLINE void expect_next(const Forward *f, const Block *b, int64_t r) {
  const GwHeads *a = &f->a;
  if (r >= b->rows || f->once) return;
  gw_expect_row(a, f->y + b->at[r] * a->head, GW_EXPECT_WRITE);
  if (r + GW_BLOCK < b->left)
    gw_expect_row(a, f->q + (b->at[r] + GW_BLOCK * a->heads) * a->head, GW_EXPECT_SOON);
}

/* Where a block passes once, its keys and values come from memory: rows first.. of x, a kv head's,
 * are asked for before they are packed. */
static void expect_rows(const Forward *f, const Block *b, const float *x, int64_t first,
                        int64_t count) {
  for (int64_t i = first; i < gw_min_i64(first + count, b->keys); i++)
    gw_expect_row(&f->a, x + i * f->a.kv_width, GW_EXPECT_SOON);
}

/* How many rows of values are asked for along with the keys: what stays in L2 until its turn. */
static int64_t values_ahead(const GwHeads *a) {
  return gw_max_i64(VALUES_AHEAD / a->head / STRETCH, 1) * STRETCH;
}

/* The products of the block with a packed panel of keys. */
static void score_panel(const Forward *f, const Scratch *s, const Block *b, int64_t key,
                        const float *panel) {
  const GwHeads *a = &f->a;
  for (int64_t t = 0; t < GW_TILES; t++) {
    if (key + GW_PANEL <= b->tile[t].first || key > b->tile[t].last) continue;
    float *scores = tile_scores(s, t) + key * GW_ROWS;
    GwWeights q = gw_by_rows(s->q + t * GW_ROWS * GW_PANEL, GW_BLOCK);
    int64_t columns = b->tile[t].last + 1 - key;
    gw_tile(b->rows == 1 ? 1 : GW_ROWS, columns, true, a->kind, scores, q, panel, a->terms);
    expect_next(f, b, (key - b->all.first) / GW_PANEL * GW_TILES + t);
  }
}

static void score_block(const Forward *f, const Scratch *s, const Block *b, const float *k,
                        const float *v) {
  const GwHeads *a = &f->a;
  const int64_t first = b->all.first / GW_PANEL * GW_PANEL, ahead = PANELS_AHEAD * GW_PANEL;
  unsigned mode = gw_products_begin(a->kind);
  if (f->once) expect_rows(f, b, k, first, ahead);
  for (int64_t key = first; key <= b->all.last; key += GW_PANEL) {
    if (f->once) {
      expect_rows(f, b, k, key + ahead, GW_PANEL);
      if (key < first + values_ahead(a)) expect_rows(f, b, v, key, GW_PANEL);
      gw_pack_columns(a, k + key * a->kv_width, a->kv_width, gw_min_i64(b->keys - key, GW_PANEL),
                      s->keys);
    }
    score_panel(f, s, b, key, f->once ? s->keys : s->keys + key / GW_PANEL * gw_columns_panel(a));
  }
  gw_products_end(a->kind, mode);
}

/* The same where queries are few: keys are transposed in registers, as in gemm_rows.c. */
static void score_few(const Forward *f, const Scratch *s, const Block *b, const float *k,
                      const float *v) {
  const GwHeads *a = &f->a;
  const int64_t first = b->all.first / GW_PANEL * GW_PANEL;
  GwStrip strip = {.a = f->q + b->at[0] * a->head,
                   .a_row = a->head,
                   .b_column = a->kv_width,
                   .depth = a->head,
                   .c_row = GW_PANEL};
  for (int64_t key = first; key <= b->all.last; key += GW_VL) {
    if (key < first + values_ahead(a)) expect_rows(f, b, v, key, GW_VL);
    strip.b = k + key * a->kv_width;
    strip.c = row_scores(s, 0, key / GW_PANEL * GW_PANEL) + key % GW_PANEL;
    strip.columns = gw_min_i64(b->keys - key, GW_VL);
    GW_KERNEL(gemm_strip)(GW_TILE_F32, b->rows, &strip);
  }
}

/* The largest product of row r. */
static float largest(const Scratch *s, int64_t r, GwSpan span) {
  gw_vf low = gw_v_set(-__builtin_inff()), top[2] = {low, low};
  for (int64_t key = span.first / GW_PANEL * GW_PANEL; key <= span.last; key += GW_PANEL)
    for (int i = 0; i < 2; i++) {
      gw_vf products = gw_v_load(row_scores(s, r, key) + vector_at(i));
      top[i] = gw_v_max(gw_masked(products, low, key + i * GW_VL, span), top[i]);
    }
  return gw_v_largest(gw_v_max(top[0], top[1]));
}

/* Where the weights of row r for the keys from `key` on go, when those of its tile begin with key
 * `first`, which begins a panel: in place of the products; pairs close up. */
GW_INLINE float *row_weights(const Scratch *s, int64_t r, int64_t first, int64_t key,
                             GwTileKind kind) {
  int64_t at = gw_steps(kind, key - first);
  return row_scores(s, r, first + at / GW_PANEL * GW_PANEL) + at % GW_PANEL;
}

/* Turns `vectors` vectors of products of row r, with the keys from `key` on, into weights
 * e^(scale s - m), 0 outside its span, as operands in `to`; adds them to its sum as they are. */
GW_INLINE void weigh_vectors(int vectors, const Scratch *s, const Block *b, int64_t r, int64_t key,
                             float scale, GwTileKind kind, float *to, GwVSum16 *sum) {
  GwSpan span = b->span[r];
  bool whole = key >= span.first && key + vectors * GW_VL <= span.last + 1;
  const float *at = row_scores(s, r, key);
  gw_vf scales = gw_v_set(scale), top = gw_v_set(b->m[r]), p[GW_EXPS];
  GW_UNROLL for (int i = 0; i < vectors; i++) {
    p[i] = gw_v_sub(gw_v_mul(scales, gw_v_load(at + vector_at(i))), top);
  }
  gw_v_exp_all(p, vectors);
  GW_UNROLL for (int i = 0; i < vectors; i++) {
    if (!whole) p[i] = gw_masked(p[i], gw_v_zero(), key + i * GW_VL, span);
    sum->part[i % GW_SUM_VECTORS] = gw_v_add(sum->part[i % GW_SUM_VECTORS], p[i]);
    if (!gw_is_pairs(kind)) gw_v_store(to + vector_at(i), gw_operand(kind, p[i]));
  }
  if (!gw_is_pairs(kind)) return;
  GW_UNROLL for (int i = 0; i + 1 < vectors; i += 2) {
    gw_v_store(to + i / 2 * GW_VL, gw_v_pairs_along(p[i], p[i + 1]));
  }
}

/* The weights of row r for the keys from..end. */
GW_INLINE void weigh(const Scratch *s, Block *b, int64_t r, int64_t from, int64_t end, float scale,
                     GwTileKind kind) {
  GwVSum16 sum = b->sum[r];
  int64_t key = from;
  for (; key + GW_EXPS * GW_VL <= end; key += GW_EXPS * GW_VL)
    weigh_vectors(GW_EXPS, s, b, r, key, scale, kind, row_weights(s, r, from, key, kind), &sum);
  for (; key < end; key += STEP)
    weigh_vectors(STEP / GW_VL, s, b, r, key, scale, kind, row_weights(s, r, from, key, kind),
                  &sum);
  b->sum[r] = sum;
}

/* The keys of a stretch that a tile sees any of; empty when first > last. */
GW_INLINE GwSpan seen(const Block *b, int64_t t, int64_t key) {
  return (GwSpan){gw_max_i64(key, b->tile[t].first / STEP * STEP),
                  gw_min_i64(key + STRETCH - 1, b->tile[t].last)};
}

static void weigh_stretch(const Forward *f, const Scratch *s, Block *b, int64_t key) {
  for (int64_t r = 0; r < b->rows; r++) {
    GwSpan keys = seen(b, r / GW_ROWS, key);
    if (gw_is_pairs(f->a.kind))
      weigh(s, b, r, keys.first, keys.last + 1, f->a.scale, GW_TILE_PAIRS);
    else if (f->a.kind == GW_TILE_BF16)
      weigh(s, b, r, keys.first, keys.last + 1, f->a.scale, GW_TILE_BF16);
    else
      weigh(s, b, r, keys.first, keys.last + 1, f->a.scale, GW_TILE_F32);
  }
}

/* y += weights values, for the keys of a stretch */
static void add_stretch(const Forward *f, const Scratch *s, const Block *b, int64_t key) {
  const GwHeads *a = &f->a;
  int64_t held = f->once ? key : 0; /* where the packed values begin */
  unsigned mode = gw_products_begin(a->kind);
  for (int64_t t = 0; t < GW_TILES; t++) {
    GwSpan keys = seen(b, t, key);
    if (keys.first > keys.last) continue;
    GwWeights w = gw_by_rows(tile_scores(s, t) + keys.first * GW_ROWS, GW_ROWS);
    int64_t terms = gw_round_up(keys.last + 1 - keys.first, 2);
    float *y = s->y + t * GW_ROWS * GW_PANEL;
    const float *x = s->values + gw_steps(a->kind, keys.first - held) * GW_PANEL;
    bool fresh = keys.first == b->tile[t].first / STEP * STEP;
    gw_tile_add(a, b->rows == 1 ? 1 : GW_ROWS, fresh, y, GW_BLOCK, w, x, s->value_rows, terms);
  }
  gw_products_end(a->kind, mode);
}

/* Column d of row r of y. */
GW_INLINE float *row_y(const Scratch *s, int64_t r, int64_t d) {
  return s->y + d / GW_PANEL * GW_BLOCK * GW_PANEL + r * GW_PANEL + d % GW_PANEL;
}

/* y += weights values for `vectors` vectors of columns from d on, and one row; v is where the keys
 * begin. */
GW_INLINE void add_columns(int vectors, const Forward *f, const Scratch *s, int64_t r, GwSpan keys,
                           bool fresh, const float *v, int64_t d) {
  gw_vf sum[4];
  GW_UNROLL for (int i = 0; i < vectors; i++) {
    sum[i] = fresh ? gw_v_zero() : gw_v_load(row_y(s, r, d + i * GW_VL));
  }
  for (int64_t panel = keys.first; panel <= keys.last; panel += GW_PANEL) {
    const float *weights = row_scores(s, r, panel);
    int64_t n = gw_min_i64(keys.last + 1 - panel, GW_PANEL);
    for (int64_t i = 0; i < n; i++) {
      gw_vf weight = gw_v_set(weights[i]);
      const float *x = v + (panel + i) * f->a.kv_width + d;
      GW_UNROLL for (int j = 0; j < vectors; j++) {
        sum[j] = gw_v_fma(weight, gw_v_load(x + j * GW_VL), sum[j]);
      }
    }
  }
  GW_UNROLL for (int i = 0; i < vectors; i++) { gw_v_store(row_y(s, r, d + i * GW_VL), sum[i]); }
}

/* The same where queries are few: one row after the other, with the values as they lie. */
static void add_few(const Forward *f, const Scratch *s, const Block *b, int64_t key,
                    const float *v) {
  GwSpan keys = seen(b, 0, key);
  bool fresh = keys.first == b->tile[0].first / STEP * STEP;
  for (int64_t r = 0; r < b->rows; r++) {
    int64_t d = 0;
    for (; d + 4 * GW_VL <= f->a.head; d += 4 * GW_VL) add_columns(4, f, s, r, keys, fresh, v, d);
    for (; d < f->a.head; d += GW_VL) add_columns(1, f, s, r, keys, fresh, v, d);
  }
}

/* y / l + 0 and m + ln l of all rows. */
static void finish(const Forward *f, const Scratch *s, const Block *b) {
  const GwHeads *a = &f->a;
  float sum[GW_BLOCK] = {0}, lse[GW_BLOCK];
  for (int64_t r = 0; r < b->rows; r++) {
    sum[r] = gw_v_sum16_total(&b->sum[r]);
    gw_unpack_row(a, s->y + r * GW_PANEL, GW_BLOCK, 1 / sum[r], f->y + b->at[r] * a->head);
  }
  if (!f->lse) return;
  for (int64_t r = 0; r < b->rows; r += GW_VL)
    gw_v_store(lse + r, gw_v_add(gw_v_load(b->m + r), gw_v_log(gw_v_load(sum + r))));
  for (int64_t r = 0; r < b->rows; r++) f->lse[b->at[r]] = lse[r];
}

/* A block, whose kv head's keys and values begin at k and v. */
static void attend(const Forward *f, const Scratch *s, Block *b, const float *k, const float *v) {
  const GwHeads *a = &f->a;
  if (f->few) {
    score_few(f, s, b, k, v);
  } else {
    load_queries(f, s, b);
    score_block(f, s, b, k, v);
  }
  for (int64_t r = 0; r < b->rows; r++)
    b->m[r] = a->scale * largest(s, r, b->span[r]); /* scale > 0: rounding keeps the order */
  for (int64_t key = b->all.first / STEP * STEP; key <= b->all.last; key += STRETCH) {
    if (f->once) expect_rows(f, b, v, key + values_ahead(a), STRETCH);
    if (f->once && !f->few)
      gw_pack_rows(a, v + key * a->kv_width, a->kv_width, gw_min_i64(b->keys - key, STRETCH),
                   STRETCH, s->values);
    weigh_stretch(f, s, b, key);
    if (f->few)
      add_few(f, s, b, key, v);
    else
      add_stretch(f, s, b, key);
  }
  finish(f, s, b);
}

/* Unit: sequence, head, block of queries; or sequence and kv head. */
static void forward_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  const Forward *f = context;
  const GwHeads *a = &f->a;
  Scratch s = scratch_of(call, thread, f);
  Block b;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t head = unit / f->blocks * (f->once ? a->shared : 1); /* over all sequences */
    int64_t kv_head = head / a->shared, sequence = head / a->heads;
    int64_t slot = f->base ? f->base[sequence] / f->key_rows : sequence;
    int64_t at = slot * f->key_rows * a->kv_heads * a->head + kv_head % a->kv_heads * f->kv_head;
    block_init(f, &b, sequence, head % a->heads, unit % f->blocks * GW_BLOCK);
    if (!f->once && s.held != kv_head) {
      s.held = kv_head;
      gw_pack_columns(a, f->k + at, a->kv_width, b.keys, s.keys);
      gw_pack_rows(a, f->v + at, a->kv_width, b.keys, s.value_rows, s.values);
    }
    attend(f, &s, &b, f->k + at, f->v + at);
  }
}

static void forward(const GwCall *call, Forward *f, int64_t sequences) {
  const GwHeads *a = &f->a;
  f->q = call->in[0];
  f->k = call->in[1];
  f->v = call->in[2];
  f->positions = call->in[3];
  f->y = call->out[0];
  f->once = gw_attention_passes_once(f->queries, a->shared);
  f->few = f->queries == 1 && a->shared <= FEW && a->kind == GW_TILE_F32 && a->head % GW_VL == 0;
  f->blocks = f->once ? 1 : gw_ceil_div(f->queries, GW_BLOCK);
  int64_t units = sequences * f->blocks * (f->once ? a->kv_heads : a->heads);
  int64_t grain = gw_min_i64(f->blocks, 2); /* enough to be worth the packing */
  GW_KERNEL(split)(call, units, grain, forward_blocks, f);
}

void GW_KERNEL(attention)(const GwCall *call) {
  const double *attr = call->shapes.attr;
  int64_t context = (int64_t)attr[2];
  Forward f = {.a = gw_heads_of(&call->shapes, attr[3], attr[4]),
               .lse = call->out[1],
               .queries = context,
               .key_rows = context};
  f.kv_head = f.a.head;
  forward(call, &f, gw_rows(&call->shapes.in[0]) / context);
}

void GW_KERNEL(attention_cached)(const GwCall *call) {
  const double *attr = call->shapes.attr;
  int64_t sequences = call->shapes.in[4].dim[0];
  Forward f = {.a = gw_heads_of(&call->shapes, attr[3], attr[4]),
               .base = call->in[4],
               .queries = gw_rows(&call->shapes.in[0]) / sequences,
               .key_rows = (int64_t)attr[2]};
  f.kv_head = f.key_rows * f.a.head;
  forward(call, &f, sequences);
}
