/* attention_grad: one task per sequence and kv head. Scores are recomputed in blocks of
 * GW_ATTENTION_BLOCK queries x GW_ATTENTION_KEYS keys, which turn into weights p and ds; a block
 * is then added to dq of its queries and to dk and dv of its keys.
 *
 * Blocks are visited by head, then queries, then keys, all ascending: so dq grows in order of the
 * keys, and dk and dv in order of head and query, as in the reference. Keys that a query may not
 * see have p = ds = 0 and add 0; a result that is -0 because of an omitted +0 is mended by the
 * final + 0. */
#include "kernel/cpu/attention_tile.h"

enum { BLOCK = GW_ATTENTION_BLOCK, KEYS = GW_ATTENTION_KEYS };

typedef struct {
  GwHeads a;
  const float *q, *k, *v, *y, *lse, *dy;
  const int32_t *positions;
  float *dq, *dk, *dv;
  int64_t context;
} Backward;

/* The scratch of one thread. */
typedef struct {
  float *k_panels, *v_panels; /* groups of GW_PANEL */
  float *k, *dk, *dv;         /* [context, padded] */
  float *q, *dy, *dq;         /* [BLOCK, padded] */
  float *q_tiles, *dy_tiles;  /* groups of GW_ROWS */
  float *p, *ds;              /* [BLOCK, KEYS] */
  float lse[BLOCK], delta[BLOCK];
  GwSpan span[BLOCK];           /* keys of each query; empty beyond the last query */
  GwSpan tile[BLOCK / GW_ROWS]; /* their hulls by tile of rows */
  int64_t row, rows, first_key; /* queries of the block, and the first key that any of them sees */
} Block;

static void block_init(Block *b, const GwCall *call, int thread, const Backward *w) {
  int64_t keys = gw_ceil_div(w->context, KEYS) * KEYS, padded = w->a.padded;
  float *next = gw_scratch(call, thread);
  float **arrays[] = {&b->k_panels, &b->v_panels, &b->k, &b->dk, &b->dv};
  for (size_t i = 0; i < GW_COUNT_OF(arrays); i++, next += keys * padded) *arrays[i] = next;
  float **rows[] = {&b->q, &b->dy, &b->dq, &b->q_tiles, &b->dy_tiles};
  for (size_t i = 0; i < GW_COUNT_OF(rows); i++, next += BLOCK * padded) *rows[i] = next;
  b->p = next;
  b->ds = next + BLOCK * KEYS;
  GW_ASSERT((char *)(b->ds + BLOCK * KEYS) <=
            (char *)gw_scratch(call, thread) + call->scratch_bytes);
}

/* Queries row.. of head h of the sequence that starts at `start`. */
static void load_queries(const Backward *w, Block *b, int64_t start, int64_t h, int64_t row) {
  const GwHeads *a = &w->a;
  b->row = row;
  b->rows = gw_min_i64(w->context - row, BLOCK);
  int64_t n = start + row, at = n * a->width + h * a->head;
  memset(b->dq, 0, (size_t)(BLOCK * a->padded) * sizeof *b->dq);
  gw_pack_rows(a, w->q + at, a->width, b->rows, b->q);
  gw_pack_rows(a, w->dy + at, a->width, b->rows, b->dy);
  gw_pack_groups(a, w->q + at, a->width, b->rows, GW_ROWS, b->q_tiles);
  gw_pack_groups(a, w->dy + at, a->width, b->rows, GW_ROWS, b->dy_tiles);
  b->first_key = row;
  for (int64_t r = 0; r < BLOCK; r++) {
    GwSpan *tile = &b->tile[r / GW_ROWS];
    if (r % GW_ROWS == 0) *tile = (GwSpan){INT64_MAX, -1};
    b->span[r] = (GwSpan){INT64_MAX, -1};
    b->lse[r] = b->delta[r] = 0;
    if (r >= b->rows) continue;
    b->span[r] = gw_span_of(a, row + r, w->positions[n + r]);
    b->lse[r] = w->lse[(n + r) * a->heads + h];
    int64_t i = at + r * a->width;
    b->delta[r] = gw_v_row_dot(w->dy + i, w->y + i, a->head);
    gw_span_widen(tile, b->span[r]);
    b->first_key = gw_min_i64(b->first_key, b->span[r].first);
  }
}

/* Products in p and ds become p = e^(scale s - lse), 0 where masked, ds = p (dp - delta) scale. */
GW_INLINE void weigh(const Block *b, int64_t r, int64_t key, float scale, float *p, float *ds) {
  gw_vf scales = gw_v_set(scale), score = gw_v_mul(scales, gw_v_load(p));
  gw_vf weight = gw_v_exp(gw_v_sub(score, gw_v_set(b->lse[r])));
  weight = gw_masked(weight, gw_v_zero(), key, b->span[r]);
  gw_vf d = gw_v_mul(weight, gw_v_sub(gw_v_load(ds), gw_v_set(b->delta[r])));
  gw_v_store(p, weight);
  gw_v_store(ds, gw_v_mul(d, scales));
}

/* p and ds of tile t for one panel of keys. */
static void weigh_panel(const Backward *w, Block *b, int64_t t, int64_t key, int64_t column) {
  const GwHeads *a = &w->a;
  GwSpan span = b->tile[t];
  int64_t row = t * GW_ROWS, keys = span.last + 1 - key;
  float *p = b->p + row * KEYS + column, *ds = b->ds + row * KEYS + column;
  gw_scores(a, b->q_tiles + row * a->head, b->k_panels + key * a->head, keys, p);
  gw_scores(a, b->dy_tiles + row * a->head, b->v_panels + key * a->head, keys, ds);
  for (int64_t r = 0; r < GW_ROWS; r++)
    for (int64_t j = 0; j < GW_PANEL && j < keys; j += GW_VL)
      weigh(b, row + r, key + j, a->scale, p + r * KEYS + j, ds + r * KEYS + j);
}

static void clear_panel(Block *b, int64_t t, int64_t column) {
  for (int64_t r = t * GW_ROWS; r < (t + 1) * GW_ROWS; r++) {
    memset(b->p + r * KEYS + column, 0, GW_PANEL * sizeof *b->p);
    memset(b->ds + r * KEYS + column, 0, GW_PANEL * sizeof *b->ds);
  }
}

/* Weights of tile t for the keys from `first` on, as far as its last row, and their part of dq. */
static void queries_against(const Backward *w, Block *b, int64_t t, int64_t first) {
  const GwHeads *a = &w->a;
  GwSpan span = b->tile[t];
  int64_t last = gw_min_i64(span.last, first + KEYS - 1);
  for (int64_t key = first; key <= last; key += GW_PANEL) {
    if (key + GW_PANEL <= span.first)
      clear_panel(b, t, key - first);
    else
      weigh_panel(w, b, t, key, key - first);
  }
  int64_t from = gw_max_i64(first, span.first / GW_PANEL * GW_PANEL), row = t * GW_ROWS;
  if (from > last) return;
  GwWeights ds = {b->ds + row * KEYS + (from - first), KEYS, 1};
  gw_tiles(false, b->dq + row * a->padded, a->padded, ds, b->k + from * a->padded, a->padded,
           last + 1 - from, a->padded);
}

/* Adds the block to dk and dv of keys first.. ; a key's first query is its own row. */
static void keys_against(const Backward *w, Block *b, int64_t first) {
  const GwHeads *a = &w->a;
  int64_t last = gw_min_i64(b->row + b->rows - 1, first + KEYS - 1);
  for (int64_t key = first; key <= last; key += GW_ROWS) {
    int64_t r = gw_max_i64(key - b->row, 0), at = key * a->padded, weight = r * KEYS + key - first;
    GwWeights ds = {b->ds + weight, 1, KEYS}, p = {b->p + weight, 1, KEYS};
    gw_tiles(false, b->dk + at, a->padded, ds, b->q + r * a->padded, a->padded, b->rows - r,
             a->padded);
    gw_tiles(false, b->dv + at, a->padded, p, b->dy + r * a->padded, a->padded, b->rows - r,
             a->padded);
  }
}

/* n rows of sums [., padded] + 0 to rows `stride` apart */
static void store_rows(const GwHeads *a, const float *sums, int64_t n, float *to, int64_t stride) {
  for (int64_t i = 0; i < n; i++, sums += a->padded, to += stride) {
    int64_t d = 0;
    for (; d + GW_VL <= a->head; d += GW_VL)
      gw_v_store(to + d, gw_v_add(gw_v_load(sums + d), gw_v_zero()));
    if (d < a->head) gw_v_store_n(to + d, gw_v_add(gw_v_load(sums + d), gw_v_zero()), a->head - d);
  }
}

static void backward_unit(const Backward *w, Block *b, int64_t start, int64_t group) {
  const GwHeads *a = &w->a;
  int64_t kv_at = start * a->kv_width + group * a->head, shared = a->heads / a->kv_heads;
  size_t bytes = (size_t)(gw_ceil_div(w->context, KEYS) * KEYS * a->padded) * sizeof(float);
  gw_pack_groups(a, w->k + kv_at, a->kv_width, w->context, GW_PANEL, b->k_panels);
  gw_pack_groups(a, w->v + kv_at, a->kv_width, w->context, GW_PANEL, b->v_panels);
  gw_pack_rows(a, w->k + kv_at, a->kv_width, w->context, b->k);
  memset(b->dk, 0, bytes);
  memset(b->dv, 0, bytes);
  for (int64_t h = group * shared; h < (group + 1) * shared; h++)
    for (int64_t row = 0; row < w->context; row += BLOCK) {
      load_queries(w, b, start, h, row);
      for (int64_t key = b->first_key / KEYS * KEYS; key < row + b->rows; key += KEYS) {
        for (int64_t t = 0; t * GW_ROWS < b->rows; t++) queries_against(w, b, t, key);
        keys_against(w, b, key);
      }
      store_rows(a, b->dq, b->rows, w->dq + (start + row) * a->width + h * a->head, a->width);
    }
  store_rows(a, b->dk, w->context, w->dk + kv_at, a->kv_width);
  store_rows(a, b->dv, w->context, w->dv + kv_at, a->kv_width);
}

static void backward_units(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  const Backward *w = context;
  Block block;
  block_init(&block, call, thread, w);
  for (int64_t unit = first; unit < last; unit++)
    backward_unit(w, &block, unit / w->a.kv_heads * w->context, unit % w->a.kv_heads);
}

void GW_KERNEL(attention_grad)(const GwCall *call) {
  if (gw_reference_only(call, GW_OP_ATTENTION_GRAD, call->shapes.attr[4])) return;
  Backward w = {.a = gw_heads_of(&call->shapes, call->shapes.attr[3]),
                .q = call->in[0],
                .k = call->in[1],
                .v = call->in[2],
                .positions = call->in[3],
                .y = call->in[4],
                .lse = call->in[5],
                .dy = call->in[6],
                .dq = call->out[0],
                .dk = call->out[1],
                .dv = call->out[2],
                .context = (int64_t)call->shapes.attr[2]};
  int64_t sequences = gw_rows(&call->shapes.in[0]) / w.context;
  GW_KERNEL(split)(call, sequences * w.a.kv_heads, 1, backward_units, &w);
}
