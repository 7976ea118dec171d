/* attention_grad. Scores are recomputed in blocks of GW_BLOCK queries x KEYS keys, which turn into
 * weights p and ds; a block is then added to dq of its queries and to dk and dv of its keys.
 *
 * Blocks are visited by head, then queries, then keys, all ascending: so dq grows in order of the
 * keys, and dk and dv in order of head and query, as in the reference. Keys that a query may not
 * see have p = ds = 0 and add 0, and blocks wholly outside the spans of their queries are left out;
 * a result that is -0 because of an omitted +0 is mended by the final + 0. The keys of a long
 * sequence are taken GW_ATTENTION_HELD at a time, between which dq waits in its place.
 *
 * Usually a task is one sequence and kv head. Where these are too few to keep all threads busy,
 * some tasks compute dk and dv of a piece of the keys, then others dq of a piece of the queries:
 * 7 products per block instead of 5, but as many tasks as there are pieces. */
#include "kernel/cpu/attention_tile.h"

#if defined(GW_ISA_AVX512)
_Static_assert((int)GW_ATTENTION_PANEL == (int)GW_PANEL, "pairs: a block has one panel of keys");
#endif

enum {
  KEYS = GW_ATTENTION_PANEL,
  HELD = GW_ATTENTION_HELD,
  PIECE = 128, /* keys or queries of a task where sequences are split; enough to pack keys for */
  TILE = GW_ROWS * GW_PANEL, /* weights */
};

typedef struct {
  GwHeads a;
  const float *q, *k, *v, *y, *lse, *dy;
  const int32_t *positions;
  float *dq, *dk, *dv;
  int64_t context, pieces;  /* of a sequence */
  bool to_queries, to_keys; /* whether dq, and dk and dv, are computed */
} Backward;

/* One sequence and kv head; where they begin in positions, in k and v, and the first head of q. */
typedef struct {
  int64_t start, kv_at, head;
} Unit;

/* The scratch of one thread. */
typedef struct {
  int64_t room; /* keys held, up to whole panels */
  float *k_columns, *v_columns;
  float *k, *dk, *dv;      /* [room, head] in panels */
  float *q, *dy, *dq;      /* [GW_BLOCK, head] in panels; rows of q and dy are terms here, */
  float *q_rows, *dy_rows; /* and columns here: other memory only where terms are paired */
  float *p, *ds;           /* [GW_BLOCK, KEYS] in panels, rows are terms; */
  float *ds_rows;          /* columns are terms: as above */
  GwSpan held;             /* keys held */
  float lse[GW_BLOCK], delta[GW_BLOCK];
  GwSpan span[GW_BLOCK];      /* keys of each query; empty beyond the last query */
  GwSpan tile[GW_TILES], all; /* their hulls, by tile of rows and altogether */
  GwSpan common[GW_TILES];    /* what all rows of a tile see */
  int64_t row, rows;          /* queries of the block */
  int64_t at, from;           /* where they begin in q; the first key they are multiplied with */
} Block;

static void block_init(Block *b, const GwCall *call, int thread, const Backward *w) {
  b->room = gw_attention_padded(gw_min_i64(w->context, HELD));
  float *next = gw_scratch(call, thread);
  float **held[] = {&b->k_columns, &b->v_columns, &b->k, &b->dk, &b->dv};
  for (size_t i = 0; i < GW_COUNT_OF(held); i++, next += b->room * w->a.padded) *held[i] = next;
  float **rows[] = {&b->q, &b->dy, &b->dq, &b->q_rows, &b->dy_rows};
  for (size_t i = 0; i < GW_COUNT_OF(rows); i++, next += GW_BLOCK * w->a.padded) *rows[i] = next;
  b->p = next;
  b->ds = b->ds_rows = next + GW_BLOCK * KEYS;
  if (gw_is_pairs(w->a.kind)) {
    b->ds = next + GW_BLOCK * KEYS / 2;
  } else {
    b->q_rows = b->q;
    b->dy_rows = b->dy;
  }
  GW_ASSERT((char *)(b->ds_rows + GW_BLOCK * KEYS) <=
            (char *)gw_scratch(call, thread) + call->scratch_bytes);
}

/* Takes the keys first..last of a unit. */
static void hold_keys(const Backward *w, Block *b, const Unit *unit, int64_t first, int64_t last) {
  const GwHeads *a = &w->a;
  int64_t at = unit->kv_at + first * a->kv_width, n = last + 1 - first;
  b->held = (GwSpan){first, last};
  gw_pack_columns(a, w->k + at, a->kv_width, n, b->k_columns);
  gw_pack_columns(a, w->v + at, a->kv_width, n, b->v_columns);
  if (w->to_queries) gw_pack_rows(a, w->k + at, a->kv_width, n, b->room, b->k);
  if (!w->to_keys) return;
  memset(b->dk, 0, (size_t)(b->room * a->padded) * sizeof *b->dk);
  memset(b->dv, 0, (size_t)(b->room * a->padded) * sizeof *b->dv);
}

/* Finds which keys the queries row.. of a unit see; returns whether any of them is held. */
static bool find_keys(const Backward *w, Block *b, const Unit *unit, int64_t row) {
  b->row = row;
  b->rows = gw_min_i64(w->context - row, GW_BLOCK);
  b->all = GW_NO_KEYS;
  for (int64_t r = 0; r < GW_BLOCK; r++) {
    GwSpan *tile = &b->tile[r / GW_ROWS], *common = &b->common[r / GW_ROWS];
    if (r % GW_ROWS == 0) {
      *tile = GW_NO_KEYS;
      *common = (GwSpan){0, INT64_MAX};
    }
    b->span[r] = GW_NO_KEYS;
    if (r < b->rows) b->span[r] = gw_span_of(&w->a, row + r, w->positions[unit->start + row + r]);
    gw_span_widen(tile, b->span[r]);
    common->first = gw_max_i64(common->first, b->span[r].first);
    common->last = gw_min_i64(common->last, b->span[r].last);
    gw_span_widen(&b->all, b->span[r]);
  }
  return b->all.first <= b->held.last && b->all.last >= b->held.first;
}

/* The block's rows of head h; dq as far as it has come. */
static void load_queries(const Backward *w, Block *b, const Unit *unit, int64_t h) {
  const GwHeads *a = &w->a;
  bool begun = b->all.first < b->held.first;
  b->at = ((unit->start + b->row) * a->heads + h) * a->head;
  for (int64_t r = 0; r < GW_BLOCK; r++) {
    int64_t at = b->at + r * a->width, row = r * GW_PANEL;
    bool real = r < b->rows;
    gw_pack_terms(a, real ? w->q + at : NULL, GW_BLOCK, b->q_rows + row);
    gw_pack_terms(a, real ? w->dy + at : NULL, GW_BLOCK, b->dy_rows + row);
    gw_pack_row(a, GW_TILE_F32, real && begun ? w->dq + at : NULL, GW_BLOCK, b->dq + row);
    b->lse[r] = real ? w->lse[at / a->head] : 0;
    b->delta[r] = real ? gw_v_row_dot(w->dy + at, w->y + at, a->head) : 0;
  }
  if (!gw_is_pairs(a->kind)) return;
  gw_pack_rows(a, w->q + b->at, a->width, b->rows, GW_BLOCK, b->q);
  gw_pack_rows(a, w->dy + b->at, a->width, b->rows, GW_BLOCK, b->dy);
}

/* A batch of products in p and ds, with the keys from `key` on and the rows from r on, becomes
 * p = e^(scale s - lse), 0 where masked (nowhere when `whole`), ds = p (dp - delta) scale. */
GW_INLINE void weigh(int vectors, const Block *b, int64_t r, int64_t key, float scale, bool whole,
                     GwTileKind kind, float *p, float *ds) {
  const int rows = GW_EXPS / vectors;
  gw_vf scales = gw_v_set(scale), weight[GW_EXPS];
  GW_UNROLL for (int i = 0; i < rows; i++) {
    GW_UNROLL for (int j = 0; j < vectors; j++) {
      gw_vf score = gw_v_mul(scales, gw_v_load(p + i * GW_PANEL + j * GW_VL));
      weight[i * vectors + j] = gw_v_sub(score, gw_v_set(b->lse[r + i]));
    }
  }
  gw_v_exp_all(weight, GW_EXPS);
  GW_UNROLL for (int i = 0; i < rows; i++) {
    GW_UNROLL for (int j = 0; j < vectors; j++) {
      gw_vf v = weight[i * vectors + j];
      if (!whole) v = gw_masked(v, gw_v_zero(), key + j * GW_VL, b->span[r + i]);
      float *d = ds + i * GW_PANEL + j * GW_VL;
      gw_vf change = gw_v_mul(v, gw_v_sub(gw_v_load(d), gw_v_set(b->delta[r + i])));
      gw_v_store(p + i * GW_PANEL + j * GW_VL, gw_operand(kind, v));
      gw_v_store(d, gw_operand(kind, gw_v_mul(change, scales)));
    }
  }
}

/* The same for tile t and a panel of keys, as far as the tile sees them. */
GW_INLINE void weigh_tile(const Block *b, int64_t t, int64_t key, float scale, GwTileKind kind,
                          float *p, float *ds) {
  int64_t columns = b->tile[t].last + 1 - key;
  bool whole = key >= b->common[t].first && key + GW_PANEL <= b->common[t].last + 1;
  if (columns > GW_VL)
    for (int64_t r = 0; r < GW_ROWS; r += GW_EXPS / 2)
      weigh(2, b, t * GW_ROWS + r, key, scale, whole, kind, p + r * GW_PANEL, ds + r * GW_PANEL);
  else
    for (int64_t r = 0; r < GW_ROWS; r += GW_EXPS)
      weigh(1, b, t * GW_ROWS + r, key, scale, whole, kind, p + r * GW_PANEL, ds + r * GW_PANEL);
}

/* Where the weights of tile t and a panel's first key are, when the block of keys begins at first.
 */
GW_INLINE int64_t weights_at(int64_t t, int64_t key, int64_t first) {
  return (key - first) * GW_BLOCK + t * GW_ROWS * GW_PANEL;
}

GW_INLINE bool sees(const Block *b, int64_t t, int64_t key) {
  return key + GW_PANEL > b->tile[t].first && key <= b->tile[t].last;
}

/* Asks the caches for what row r of the block needs after its products: its dq, and the inputs of
 * the next block. */
GW_INLINE void expect_next(const Backward *w, const Block *b, int64_t r) {
  const GwHeads *a = &w->a;
  if (r >= b->rows) return;
  int64_t at = b->at + r * a->width, next = at + GW_BLOCK * a->width;
  if (w->to_queries) gw_expect_row(a, w->dq + at, GW_EXPECT_WRITE);
  if (b->row + r + GW_BLOCK >= w->context) return;
  gw_expect_row(a, w->q + next, GW_EXPECT_SOON);
  gw_expect_row(a, w->dy + next, GW_EXPECT_SOON);
  gw_expect_row(a, w->y + next, GW_EXPECT_SOON);
}

/* The products of tile t's queries with a panel of keys, and of dy with values. */
GW_INLINE void multiply_tile(const Backward *w, const Block *b, int64_t t, int64_t key, float *p,
                             float *ds) {
  const GwHeads *a = &w->a;
  int64_t columns = b->tile[t].last + 1 - key, row = t * GW_ROWS * GW_PANEL;
  int64_t panel = (key - b->held.first) / GW_PANEL * gw_columns_panel(a);
  gw_tile(GW_ROWS, columns, true, a->kind, p, gw_by_rows(b->q_rows + row, GW_BLOCK),
          b->k_columns + panel, a->terms);
  gw_tile(GW_ROWS, columns, true, a->kind, ds, gw_by_rows(b->dy_rows + row, GW_BLOCK),
          b->v_columns + panel, a->terms);
  expect_next(w, b, (key - b->from) / GW_PANEL * GW_TILES + t);
}

/* All of a block's; 0 where a tile sees none of a panel. */
static void multiply(const Backward *w, const Block *b, int64_t first) {
  for (int64_t key = first; key < first + KEYS; key += GW_PANEL)
    for (int64_t t = 0; t < GW_TILES; t++) {
      float *p = b->p + weights_at(t, key, first), *ds = b->ds + weights_at(t, key, first);
      if (sees(b, t, key)) {
        multiply_tile(w, b, t, key, p, ds);
        continue;
      }
      memset(p, 0, TILE * sizeof *p);
      memset(ds, 0, TILE * sizeof *ds);
    }
}

static void weigh_block(const Backward *w, const Block *b, int64_t first) {
  for (int64_t key = first; key < first + KEYS; key += GW_PANEL)
    for (int64_t t = 0; t < GW_TILES; t++) {
      if (!sees(b, t, key)) continue;
      float *p = b->p + weights_at(t, key, first), *ds = b->ds + weights_at(t, key, first);
      if (w->a.kind == GW_TILE_BF16)
        weigh_tile(b, t, key, w->a.scale, GW_TILE_BF16, p, ds);
      else
        weigh_tile(b, t, key, w->a.scale, GW_TILE_F32, p, ds);
    }
}

/* A tile's weights as pairs: of rows in p and ds, of columns in ds_rows; a panel of keys is the
 * block's only one. Of columns that the tile does not see nobody reads the pairs. */
static void pair_weights(const Block *b, int64_t t, const float *p, const float *ds) {
  for (int64_t r = 0; r < GW_ROWS; r++) {
    const float *even_p = p + r * GW_PANEL, *even = ds + r * GW_PANEL;
    int64_t row = t * GW_ROWS + r;
    gw_v_store(b->ds_rows + row * GW_PANEL,
               gw_v_pairs_along(gw_v_load(even), gw_v_load(even + GW_VL)));
    for (int64_t j = 0; r % 2 == 0 && j < GW_PANEL; j += GW_VL) {
      int64_t at = row / 2 * GW_PANEL + j, odd = j + GW_PANEL;
      gw_v_store(b->p + at, gw_v_pairs_across(gw_v_load(even_p + j), gw_v_load(even_p + odd)));
      gw_v_store(b->ds + at, gw_v_pairs_across(gw_v_load(even + j), gw_v_load(even + odd)));
    }
  }
}

/* multiply and weigh_block where terms are paired. */
static void weigh_pairs(const Backward *w, const Block *b, int64_t key) {
  float p[TILE], ds[TILE];
  for (int64_t t = 0; t < GW_TILES; t++) {
    if (sees(b, t, key)) {
      multiply_tile(w, b, t, key, p, ds);
      weigh_tile(b, t, key, w->a.scale, GW_TILE_F32, p, ds);
    } else {
      memset(p, 0, sizeof p);
      memset(ds, 0, sizeof ds);
    }
    pair_weights(b, t, p, ds);
  }
}

/* dq += ds k */
static void add_to_queries(const Backward *w, const Block *b, int64_t first) {
  for (int64_t t = 0; t < GW_TILES; t++) {
    int64_t from = gw_max_i64(first, b->tile[t].first / GW_PANEL * GW_PANEL);
    int64_t last = gw_min_i64(first + KEYS - 1, b->tile[t].last);
    if (from > last) continue;
    gw_tile_add(&w->a, GW_ROWS, false, b->dq + t * GW_ROWS * GW_PANEL, GW_BLOCK,
                gw_by_rows(b->ds_rows + weights_at(t, from, first), GW_BLOCK),
                b->k + gw_steps(w->a.kind, from - b->held.first) * GW_PANEL, b->room,
                gw_round_up(last + 1 - from, 2));
  }
}

/* dk += dsᵀ q and dv += pᵀ dy; a key's first query is its own row. */
static void add_to_keys(const Backward *w, const Block *b, int64_t first) {
  int64_t last = gw_min_i64(b->all.last, first + KEYS - 1);
  for (int64_t key = first; key <= last; key += GW_ROWS) {
    int64_t r = gw_max_i64(key - b->row, 0), terms = gw_round_up(b->rows - r, 2);
    int64_t at = (key - b->held.first) * GW_PANEL, column = (key - first) % GW_PANEL;
    int64_t row = gw_steps(w->a.kind, r) * GW_PANEL;
    int64_t weight = gw_steps(w->a.kind, key - first - column) * GW_BLOCK + row + column;
    gw_tile_add(&w->a, GW_ROWS, false, b->dk + at, b->room, gw_by_columns(b->ds + weight),
                b->q + row, GW_BLOCK, terms);
    gw_tile_add(&w->a, GW_ROWS, false, b->dv + at, b->room, gw_by_columns(b->p + weight),
                b->dy + row, GW_BLOCK, terms);
  }
}

/* A block of queries with the keys first.. */
static void multiply_block(const Backward *w, const Block *b, int64_t first) {
  GwTileKind kind = w->a.kind;
  unsigned mode;
  if (gw_is_pairs(kind)) {
    weigh_pairs(w, b, first);
  } else {
    mode = gw_products_begin(kind);
    multiply(w, b, first);
    gw_products_end(kind, mode);
    weigh_block(w, b, first);
  }
  mode = gw_products_begin(kind);
  if (w->to_queries) add_to_queries(w, b, first);
  if (w->to_keys) add_to_keys(w, b, first);
  gw_products_end(kind, mode);
}

/* The block's queries of head h with the keys held. */
static void backward_block(const Backward *w, Block *b, const Unit *unit, int64_t h) {
  const GwHeads *a = &w->a;
  load_queries(w, b, unit, h);
  b->from = gw_max_i64(b->held.first, b->all.first / KEYS * KEYS);
  int64_t last = gw_min_i64(b->held.last, b->all.last);
  for (int64_t key = b->from; key <= last; key += KEYS) multiply_block(w, b, key);
  for (int64_t r = 0; w->to_queries && r < b->rows; r++)
    gw_unpack_row(a, b->dq + r * GW_PANEL, GW_BLOCK, 1, w->dq + b->at + r * a->width);
}

/* The given keys of a unit with the given queries. */
static void backward_unit(const Backward *w, Block *b, const Unit *unit, GwSpan keys,
                          GwSpan queries) {
  const GwHeads *a = &w->a;
  for (int64_t first = keys.first; first <= keys.last; first += HELD) {
    int64_t last = gw_min_i64(first + HELD - 1, keys.last);
    hold_keys(w, b, unit, first, last);
    for (int64_t h = unit->head; h < unit->head + a->shared; h++)
      for (int64_t row = gw_max_i64(queries.first, first / GW_BLOCK * GW_BLOCK);
           row <= queries.last; row += GW_BLOCK)
        if (find_keys(w, b, unit, row)) backward_block(w, b, unit, h);
    for (int64_t key = first; w->to_keys && key <= last; key++) {
      int64_t at = unit->kv_at + key * a->kv_width, row = (key - first) * GW_PANEL;
      if (key + GW_AHEAD <= last) {
        gw_expect_row(a, w->dk + at + GW_AHEAD * a->kv_width, GW_EXPECT_WRITE);
        gw_expect_row(a, w->dv + at + GW_AHEAD * a->kv_width, GW_EXPECT_WRITE);
      }
      gw_unpack_row(a, b->dk + row, b->room, 1, w->dk + at);
      gw_unpack_row(a, b->dv + row, b->room, 1, w->dv + at);
    }
  }
}

/* Tasks: unit, and piece of its keys or queries (or all of both). */
static void backward_tasks(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  const Backward *w = context;
  Block b;
  block_init(&b, call, thread, w);
  for (int64_t task = first; task < last; task++) {
    int64_t index = task / w->pieces, group = index % w->a.kv_heads;
    int64_t start = index / w->a.kv_heads * w->context;
    Unit unit = {start, start * w->a.kv_width + group * w->a.head, group * w->a.shared};
    GwSpan all = {0, w->context - 1}, piece = {task % w->pieces * PIECE, w->context - 1};
    if (w->pieces > 1) piece.last = gw_min_i64(piece.first + PIECE - 1, piece.last);
    GwSpan seen = {0, piece.last}; /* by the queries of a piece, at most */
    backward_unit(w, &b, &unit, w->to_keys ? piece : seen, w->to_queries ? piece : all);
  }
}

/* Whether 5 products per block, a unit to a thread, take longer than 7 spread evenly. */
static bool worth_splitting(const Backward *w, int64_t units, int64_t threads) {
  return w->context >= 2 * PIECE && 5 * gw_ceil_div(units, threads) * threads > 7 * units;
}

void GW_KERNEL(attention_grad)(const GwCall *call) {
  Backward w = {.a = gw_heads_of(&call->shapes, call->shapes.attr[3], call->shapes.attr[4]),
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
                .context = (int64_t)call->shapes.attr[2],
                .pieces = 1,
                .to_queries = true,
                .to_keys = true};
  int64_t units = gw_rows(&call->shapes.in[0]) / w.context * w.a.kv_heads;
  if (!worth_splitting(&w, units, gw_pool_threads(call->pool))) {
    GW_KERNEL(split)(call, units, 1, backward_tasks, &w);
    return;
  }
  w.pieces = gw_ceil_div(w.context, PIECE);
  w.to_queries = false;
  GW_KERNEL(split)(call, units * w.pieces, 1, backward_tasks, &w);
  w.to_queries = true;
  w.to_keys = false;
  GW_KERNEL(split)(call, units * w.pieces, 1, backward_tasks, &w);
}
