/* sign_squares, clip and adamw: one pass over parameters, moments and totals, as fast as memory. */
/* The library's hash, compiled for this file's instruction set: several times as fast as the
 * library as it is installed. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash64.h"
#include "kernel/cpu/fixed_add.h"
#include "kernel/cpu/kernel.h"

enum {
  UNIT = 6, /* in hyper */
  CLIP = 7,
  STRETCH = 256, /* elements of adamw at a time: hashed while they are in L1 */
  HASHED = GW_HASH_BLOCK / sizeof(float), /* elements of a hash block */
  AHEAD_BYTES = 4096,                     /* what the processor's own prefetching does not reach */
};

/* The 8 partial sums, `n` more terms of the first of them, the tree. */
static double add_up(const gw_vd *part, const double *rest, int64_t n) {
  double sum[8];
  memcpy(sum, part, sizeof sum);
  for (int j = 0; j < n; j++) sum[j] += rest[j];
  for (int width = 4; width >= 1; width /= 2)
    for (int j = 0; j < width; j++) sum[j] += sum[j + width];
  return sum[0];
}

/* One block's sum of squares; its totals are signed on the way. */
static double block_squares(const int64_t *total, int64_t n, double unit, GwSigner *signer) {
  gw_vd part[8 / GW_VD] = {{0}};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    gw_prefetch((const char *)(total + i) + AHEAD_BYTES);
    for (int j = 0; j < 8 / GW_VD; j++) {
      gw_vu whole;
      memcpy(&whole, total + i + j * GW_VD, sizeof whole);
      gw_vd g = gw_vd_from_int(whole) * unit;
      part[j] += g * g;
      gw_signer_add(signer, whole);
    }
  }
  double rest[8];
  for (int j = 0; i + j < n; j++) {
    double last = (double)total[i + j] * unit;
    rest[j] = last * last;
  }
  return add_up(part, rest, n - i);
}

static void sign_squares_blocks(const GwCall *call, void *context, int64_t first, int64_t last,
                                int thread) {
  (void)context;
  (void)thread;
  const int64_t *total = call->in[0];
  double unit = ((const double *)call->in[1])[UNIT];
  double *squares = (double *)call->in[3] + (int64_t)call->shapes.attr[1];
  int64_t begin = first * GW_SQUARE_BLOCK, number = (int64_t)call->shapes.attr[0];
  int64_t end = gw_min_i64(last * GW_SQUARE_BLOCK, gw_type_count(&call->shapes.in[0]));
  GwSigner signer = {{0}, {0}};
  for (int64_t block = first; block < last; block++) {
    int64_t from = block * GW_SQUARE_BLOCK, n = gw_min_i64(end - from, GW_SQUARE_BLOCK);
    squares[block] = block_squares(total + from, n, unit, &signer);
  }
  int64_t vectors = (end - begin) / 8 * (8 / GW_VD); /* only the last block may end in a part */
  uint64_t signature = gw_lanes_sum(gw_signer_end(&signer, number + begin, vectors));
  for (int64_t i = begin + vectors * GW_VD; i < end; i++)
    signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)total[i];
  gw_atomic_add_u64(call->in[2], signature);
}

void GW_KERNEL(sign_squares)(const GwCall *call) {
  int64_t blocks = gw_ceil_div(gw_type_count(&call->shapes.in[0]), GW_SQUARE_BLOCK);
  GW_KERNEL(split)(call, blocks, 1, sign_squares_blocks, NULL);
}

void GW_KERNEL(clip)(const GwCall *call) {
  const double *squares = call->in[0], *hyper = call->in[1];
  double *out = call->out[0];
  gw_vd part[8 / GW_VD] = {{0}};
  int64_t count = gw_type_count(&call->shapes.in[0]), i = 0;
  for (; i + 8 <= count; i += 8)
    for (int j = 0; j < 8 / GW_VD; j++) part[j] += gw_vd_load(squares + i + j * GW_VD);
  double norm = __builtin_sqrt(add_up(part, squares + i, count - i));
  bool clipped = hyper[CLIP] > 0 && norm > hyper[CLIP];
  out[0] = norm;
  out[1] = clipped ? hyper[UNIT] * (hyper[CLIP] / norm) : hyper[UNIT];
}

/* ---- adamw ---- */

typedef struct {
  gw_vf minus_lr, beta1, beta2, rest1, rest2, fix1, fix2, epsilon, decay;
} Step;

/* (float)(total scale) for n totals, n <= GW_VL */
static inline gw_vf narrowed(const int64_t *total, double scale, int64_t n) {
  if (n < GW_VL) {
    float g[GW_VL] = {0};
    for (int64_t i = 0; i < n; i++) g[i] = (float)((double)total[i] * scale);
    return gw_v_load(g);
  }
  gw_vu whole[2];
  memcpy(whole, total, sizeof whole);
  return gw_v_join(__builtin_convertvector(gw_vd_from_int(whole[0]) * scale, gw_vh),
                   __builtin_convertvector(gw_vd_from_int(whole[1]) * scale, gw_vh));
}

static inline void update_some(const Step *s, float *p, float *m, float *v, gw_vf g, int64_t n) {
  gw_prefetch((const char *)p + AHEAD_BYTES);
  gw_prefetch((const char *)m + AHEAD_BYTES);
  gw_prefetch((const char *)v + AHEAD_BYTES);
  gw_vf old = gw_v_get(p, n);
  gw_vf m_new = gw_v_fma(s->beta1, gw_v_get(m, n), gw_v_mul(s->rest1, g));
  gw_vf v_new = gw_v_fma(s->beta2, gw_v_get(v, n), gw_v_mul(s->rest2, gw_v_mul(g, g)));
  gw_vf root = gw_v_add(gw_v_sqrt(gw_v_mul(v_new, s->fix2)), s->epsilon);
  gw_vf update = gw_v_div(gw_v_mul(m_new, s->fix1), root);
  gw_v_put(m, m_new, n);
  gw_v_put(v, v_new, n);
  gw_v_put(p, gw_v_fma(s->minus_lr, gw_v_fma(s->decay, old, update), old), n);
}

/* value: p, m and v */
static void update_stretch(const Step *s, float *const value[3], const int64_t *total, double scale,
                           int64_t n) {
  float *p = value[0], *m = value[1], *v = value[2];
  int64_t i = 0;
  for (; i + GW_VL <= n; i += GW_VL) {
    const char *ahead = (const char *)(total + i) + 2 * AHEAD_BYTES;
    gw_prefetch(ahead);
    gw_prefetch(ahead + GW_VL * sizeof *total / 2);
    update_some(s, p + i, m + i, v + i, narrowed(total + i, scale, GW_VL), GW_VL);
  }
  if (i < n) update_some(s, p + i, m + i, v + i, narrowed(total + i, scale, n - i), n - i);
}

/* The hash of a unit of p, m and v while it is made. */
typedef struct {
  XXH3_state_t of[3];
} Hasher;

static void hash_begin(Hasher *hasher, const GwCall *call, int64_t unit) {
  const uint64_t *seeds = (const uint64_t *)call->in[6] + 3 * (int64_t)call->shapes.attr[1];
  uint64_t block = (uint64_t)call->shapes.attr[2] + (uint64_t)unit;
  for (int k = 0; k < 3; k++) {
    XXH3_INITSTATE(&hasher->of[k]);
    XXH3_64bits_reset_withSeed(&hasher->of[k], gw_hash_block_seed(seeds[k], block));
  }
}

static void hash_some(Hasher *hasher, float *const value[3], int64_t n) {
  for (int k = 0; k < 3; k++)
    XXH3_64bits_update(&hasher->of[k], value[k], (size_t)n * sizeof(float));
}

static void hash_end(const Hasher *hasher, uint64_t *sum) {
  for (int k = 0; k < 3; k++) sum[k > 0] += XXH3_64bits_digest(&hasher->of[k]);
}

/* One unit of call's p, m and v: updated a stretch at a time, each hashed while it is in the first
 * cache. `sum`: of the hashes, as the op's. */
static void update_unit(const GwCall *call, const Step *step, int64_t unit, uint64_t sum[4]) {
  double scale = ((const double *)call->in[5])[1];
  int64_t last = gw_min_i64((unit + 1) * HASHED, gw_type_count(&call->shapes.in[0]));
  bool verify = call->shapes.attr[3] != 0;
  Hasher now, before;
  hash_begin(&now, call, unit);
  if (verify) hash_begin(&before, call, unit);
  for (int64_t first = unit * HASHED; first < last; first += STRETCH) {
    float *value[3];
    int64_t n = gw_min_i64(last - first, STRETCH);
    for (int k = 0; k < 3; k++) value[k] = (float *)call->in[k] + first;
    if (verify) hash_some(&before, value, n);
    update_stretch(step, value, (const int64_t *)call->in[3] + first, scale, n);
    hash_some(&now, value, n);
  }
  hash_end(&now, sum);
  if (verify) hash_end(&before, sum + 2);
}

static void adamw_units(const GwCall *call, void *context, int64_t first, int64_t last,
                        int thread) {
  (void)thread;
  const Step step = *(const Step *)context;
  uint64_t sum[4] = {0}, *hash = call->in[7];
  for (int64_t unit = first; unit < last; unit++) update_unit(call, &step, unit, sum);
  for (int i = 0; i < 4; i++) gw_atomic_add_u64(&hash[i], sum[i]);
}

void GW_KERNEL(adamw)(const GwCall *call) {
  const double *hyper = call->in[4];
  Step step = {.minus_lr = gw_v_set(-(float)hyper[0]),
               .beta1 = gw_v_set((float)hyper[1]),
               .beta2 = gw_v_set((float)hyper[2]),
               .rest1 = gw_v_set((float)(1 - hyper[1])),
               .rest2 = gw_v_set((float)(1 - hyper[2])),
               .epsilon = gw_v_set((float)hyper[3]),
               .fix1 = gw_v_set((float)hyper[4]),
               .fix2 = gw_v_set((float)hyper[5]),
               .decay = gw_v_set((float)call->shapes.attr[0])};
  int64_t units = gw_ceil_div(gw_type_count(&call->shapes.in[0]), HASHED);
  GW_KERNEL(split)(call, units, 1, adamw_units, &step);
}
