/* add, dropout, embedding, cache_append, rotary and its table. */
#include "base/mathd.h"
#include "kernel/cpu/kernel.h"

enum { GRAIN = 4096 /* elements worth a task */ };

static int64_t rows_per_task(int64_t width) { return gw_ceil_div(GRAIN, width); }

/* ---- add ---- */

static void add_range(const GwCall *call, void *context, int64_t first, int64_t last, int thread) {
  (void)context;
  (void)thread;
  const float *a = call->in[0], *b = call->in[1];
  float *y = call->out[0];
  int64_t i = first, n = last - first;
  for (; n >= GW_VL; i += GW_VL, n -= GW_VL)
    gw_v_store(y + i, gw_v_add(gw_v_load(a + i), gw_v_load(b + i)));
  gw_v_store_n(y + i, gw_v_add(gw_v_load_n(a + i, n), gw_v_load_n(b + i, n)), n);
}

void GW_KERNEL(add)(const GwCall *call) {
  GW_KERNEL(split)(call, gw_type_count(&call->shapes.in[0]), GRAIN, add_range, NULL);
}

/* ---- dropout ---- */

enum {
  ROUNDS = 10,
  SETS = 4, /* vectors of counters at a time: one alone would wait for each product */
  COUNTERS = SETS * GW_VD,
  DRAWS = 4 * COUNTERS, /* words drawn at a time */
};

/* What all draws of a call have in common. */
typedef struct {
  uint64_t key[ROUNDS][2]; /* each in 32 bits */
  uint64_t step;
  uint32_t threshold;
  float scale;
} Dropout;

static Dropout dropout_of(const GwCall *call) {
  Dropout d = {.step = (uint64_t)call->key.step,
               .threshold = (uint32_t)(call->shapes.attr[0] * 0x1p32),
               .scale = (float)(1 / (1 - call->shapes.attr[0]))};
  uint64_t key = gw_dropout_key(&call->key, call->shapes.attr[1]);
  for (uint64_t round = 0; round < ROUNDS; round++) {
    d.key[round][0] = (key + round * UINT32_C(0x9E3779B9)) & UINT32_MAX;
    d.key[round][1] = ((key >> 32) + round * UINT32_C(0xBB67AE85)) & UINT32_MAX;
  }
  return d;
}

/* gw_philox of `block` and the counters after it, one per lane: their words in order, two to an
 * element. Only the lower halves of the lanes mean something until the end. */
static inline void draw(const Dropout *d, uint64_t block, gw_vu words[DRAWS / 2 / GW_VD]) {
  gw_vu zero = {0}, lane = {0}, c0[SETS], c1[SETS], c2[SETS], c3[SETS];
  for (uint64_t i = 0; i < GW_VD; i++) lane[i] = i;
  GW_UNROLL for (int s = 0; s < SETS; s++) {
    c0[s] = lane + block + (uint64_t)s * GW_VD;
    c1[s] = c0[s] >> 32;
    c2[s] = zero + d->step;
    c3[s] = c2[s] >> 32;
  }
  GW_UNROLL for (int round = 0; round < ROUNDS; round++) {
    gw_vu k0 = zero + d->key[round][0], k1 = zero + d->key[round][1];
    GW_UNROLL for (int s = 0; s < SETS; s++) {
      gw_vu a = gw_vu_mul32(c0[s], zero + UINT64_C(0xD2511F53));
      gw_vu b = gw_vu_mul32(c2[s], zero + UINT64_C(0xCD9E8D57));
      c0[s] = (b >> 32) ^ c1[s] ^ k0;
      c2[s] = (a >> 32) ^ c3[s] ^ k1;
      c1[s] = b;
      c3[s] = a;
    }
  }
  GW_UNROLL for (int s = 0; s < SETS; s++) {
    gw_vu low = (c0[s] & UINT32_MAX) | c1[s] << 32, high = (c2[s] & UINT32_MAX) | c3[s] << 32;
    gw_vu_zip(low, high, words + 2 * s);
  }
}

static inline void keep_some(const Dropout *d, const float *x, float *y, const gw_vu *drawn,
                             int64_t n) {
  uint32_t words[DRAWS];
  memcpy(words, drawn, sizeof words);
  for (int64_t j = 0; j < n; j++) {
    float kept = x[j] * d->scale;
    y[j] = words[j] >= d->threshold ? kept : 0;
  }
}

/* Blocks of the four elements that one counter decides. */
static void dropout_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  (void)thread;
  const Dropout *d = context;
  const float *x = call->in[0];
  float *y = call->out[0];
  gw_vu words[DRAWS / 2 / GW_VD];
  int64_t end = gw_min_i64(4 * last, gw_type_count(&call->shapes.in[0]));
  for (int64_t i = 4 * first; i < end; i += DRAWS) {
    for (int64_t j = 0; j < DRAWS; j += GW_LINE_FLOATS) {
      gw_prefetch(x + i + j + GW_AHEAD_FLOATS);
      gw_prefetch(y + i + j + GW_AHEAD_FLOATS);
    }
    draw(d, (uint64_t)i / 4, words);
    if (end - i >= DRAWS)
      keep_some(d, x + i, y + i, words, DRAWS);
    else
      keep_some(d, x + i, y + i, words, end - i);
  }
}

void GW_KERNEL(dropout)(const GwCall *call) {
  Dropout d = dropout_of(call);
  int64_t blocks = gw_ceil_div(gw_type_count(&call->shapes.in[0]), 4);
  GW_KERNEL(split)(call, blocks, GRAIN / 16, dropout_blocks, &d);
}

/* ---- embedding and cache_append: copies of rows ---- */

static void embedding_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                           int thread) {
  (void)context;
  (void)thread;
  const float *table = call->in[0];
  const int32_t *ids = call->in[1];
  float *y = call->out[0];
  int64_t width = gw_columns(&call->shapes.in[0]);
  size_t bytes = (size_t)width * sizeof *y;
  for (int64_t n = first; n < last; n++) memcpy(y + n * width, table + ids[n] * width, bytes);
}

void GW_KERNEL(embedding)(const GwCall *call) {
  int64_t grain = rows_per_task(gw_columns(&call->shapes.in[0]));
  GW_KERNEL(split)(call, gw_rows(&call->shapes.in[1]), grain, embedding_rows, NULL);
}

static void append_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                        int thread) {
  (void)context;
  (void)thread;
  const float *x = call->in[0];
  const int32_t *base = call->in[2];
  float *cache = call->in[1];
  int64_t keys = (int64_t)call->shapes.attr[0], head = gw_columns(&call->shapes.in[1]);
  int64_t kv_heads = gw_columns(&call->shapes.in[0]) / head;
  int64_t rows = gw_rows(&call->shapes.in[0]) / call->shapes.in[2].dim[0]; /* of a sequence */
  for (int64_t n = first; n < last; n++) {
    int64_t slot = base[n / rows] / keys, row = base[n / rows] % keys + n % rows;
    for (int64_t h = 0; h < kv_heads; h++)
      memcpy(cache + ((slot * kv_heads + h) * keys + row) * head, x + (n * kv_heads + h) * head,
             (size_t)head * sizeof *x);
  }
}

void GW_KERNEL(cache_append)(const GwCall *call) {
  const GwType *x = &call->shapes.in[0];
  GW_KERNEL(split)(call, gw_rows(x), rows_per_task(gw_columns(x)), append_rows, NULL);
}

/* ---- rotary ---- */

/* cos and sin of GW_VD angles >= 0, as base/mathd.h computes them: the quarter turns go, both
 * series are summed, and the quarter says which is which. */
static inline void turn(gw_vd angle, gw_vh *cosine, gw_vh *sine) {
  typedef int64_t Signed __attribute__((vector_size(GW_VD * 8)));
  gw_vhi whole = __builtin_convertvector(angle * 0x1.45f306dc9c883p-1 + 0.5, gw_vhi);
  gw_vd n = __builtin_convertvector(whole, gw_vd), r = angle - n * 0x1.921fb54400000p0;
  r -= n * 0x1.0b4611a600000p-34;
  r -= n * 0x1.3198a2e037073p-69;
  gw_vd square = r * r;
  gw_vd c = gw_vd_set(gw_cos_series[GW_SERIES - 1]), s = gw_vd_set(gw_sin_series[GW_SERIES - 1]);
  GW_UNROLL for (int j = GW_SERIES - 2; j >= 0; j--) {
    c = c * square + gw_cos_series[j];
    s = s * square + gw_sin_series[j];
  }
  s *= r;
  gw_vu quarter = (gw_vu) __builtin_convertvector(whole, Signed), odd = 0 - (quarter & 1);
  gw_vu other = ((gw_vu)c ^ (gw_vu)s) & odd;
  gw_vu c_sign = ((quarter + 1) & 2) << 62, s_sign = (quarter & 2) << 62;
  *cosine = __builtin_convertvector((gw_vd)((gw_vu)c ^ other ^ c_sign), gw_vh);
  *sine = __builtin_convertvector((gw_vd)((gw_vu)s ^ other ^ s_sign), gw_vh);
}

static inline void put_half(float *p, gw_vh x, int64_t n) {
  if (n == GW_VD)
    memcpy(p, &x, sizeof x);
  else
    memcpy(p, &x, (size_t)n * sizeof *p);
}

static void table_rows(const GwCall *call, void *context, int64_t first, int64_t last, int thread) {
  (void)context;
  (void)thread;
  int64_t half = (int64_t)call->shapes.attr[1] / 2;
  for (int64_t i = 0; i < half; i += GW_VD) {
    double frequency[GW_VD];
    int64_t n = gw_min_i64(half - i, GW_VD);
    for (int64_t j = 0; j < GW_VD; j++)
      frequency[j] =
          gw_pow_f64(call->shapes.attr[2], -(double)gw_min_i64(i + j, half - 1) / (double)half);
    gw_vd frequencies = gw_vd_load(frequency);
    float *row = (float *)call->out[0] + first * 2 * half + i;
    for (int64_t t = first; t < last; t++, row += 2 * half) {
      gw_vh cosine, sine;
      turn((double)t * frequencies, &cosine, &sine);
      put_half(row, cosine, n);
      put_half(row + half, sine, n);
    }
  }
}

void GW_KERNEL(rotary_table)(const GwCall *call) {
  const GwType *table = &call->shapes.out[0];
  int64_t grain = 8 * rows_per_task(gw_columns(table)); /* each task computes the frequencies */
  GW_KERNEL(split)(call, gw_rows(table), grain, table_rows, NULL);
}

/* One head: pairs (i, i + half), n of them from i on; `turn` is cosines then sines. */
static inline void turn_some(const float *x, float *y, const float *turn, int64_t half, float sign,
                             int64_t i, int64_t n) {
  gw_vf a = gw_v_get(x + i, n), b = gw_v_get(x + half + i, n), c = gw_v_get(turn + i, n);
  gw_vf s = gw_v_mul(gw_v_set(sign), gw_v_get(turn + half + i, n));
  gw_v_put(y + i, gw_v_fma(a, c, gw_v_neg(gw_v_mul(b, s))), n);
  gw_v_put(y + half + i, gw_v_fma(b, c, gw_v_mul(a, s)), n);
}

static void rotary_rows(const GwCall *call, void *context, int64_t first, int64_t last,
                        int thread) {
  (void)context;
  (void)thread;
  const float *x = call->in[0], *table = call->in[2];
  const int32_t *positions = call->in[1];
  float *y = call->out[0], sign = (float)call->shapes.attr[0];
  int64_t width = gw_columns(&call->shapes.in[0]), head = gw_columns(&call->shapes.in[2]);
  int64_t half = head / 2;
  for (int64_t n = first; n < last; n++) {
    const float *turn = table + positions[n] * head;
    for (int64_t at = n * width; at < (n + 1) * width; at += head) {
      int64_t i = 0;
      for (; i + GW_VL <= half; i += GW_VL) turn_some(x + at, y + at, turn, half, sign, i, GW_VL);
      if (i < half) turn_some(x + at, y + at, turn, half, sign, i, half - i);
    }
  }
}

void GW_KERNEL(rotary)(const GwCall *call) {
  const GwType *x = &call->shapes.in[0];
  GW_KERNEL(split)(call, gw_rows(x), rows_per_task(gw_columns(x)), rotary_rows, NULL);
}
