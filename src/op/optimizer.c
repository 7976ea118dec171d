/* The step, on the exact totals. `hyper` f64 [8] holds what changes from step to step:
 *   0 lr  1 beta1  2 beta2  3 epsilon  4 1/(1-beta1^t)  5 1/(1-beta2^t)  6 gradient unit
 *   7 clip norm
 * where the gradient unit turns a total into a mean gradient (2^-44 capacity / counted targets).
 *
 * sign_squares  signature += Σ weight(first + i) total_i (op/fixed.c), and
 *               squares[first_block + b] = Σ (unit total_i)² over block b of 4096 elements, in
 *               double, 8 partial sums by i mod 8 and a tree: blocks can be summed anywhere
 * clip          norm = sqrt(Σ squares), 8 partial sums and a tree again;
 *               scale = unit min(1, clip/norm)
 * adamw         g = scale total;  m = beta1 m + (1-beta1) g, v likewise with g²;
 *               p -= lr (m^/(sqrt(v^) + epsilon) + decay p)   (Loshchilov and Hutter 2019);
 *               hash[0] += gw_hash_blocks of the new p and hash[1] += those of the new m and v,
 *               whose seeds are seeds[3 tensor]...: the state's hash (state/checkpoint.h) while the
 *               values are still in the cache. Where `verify` is 1, hash[2] and hash[3] likewise of
 *               the old values, so that what changed since they were written is seen. p may be part
 *               of a tensor: from its hash block `first_block` on */
#include "base/hash64.h"
#include "op/shape.h"

enum {
  UNIT = 6,
  CLIP = 7,                              /* in hyper */
  HASHED = GW_HASH_BLOCK / sizeof(float) /* elements of a hash block */
};

static bool is_hyper(const GwType *type) { return gw_is_vector(type, 8); }

static void example_f64(GwExample *e, int i, int64_t n) {
  e->shapes.in[i] = gw_type_1d(GW_F64, n);
  e->shapes.has[i] = true;
  e->in[i].fill = GW_FILL_POSITIVE;
  e->in[i].scale = 1;
}

/* Now and then of several hash blocks. */
static GwType example_type(GwExample *e, GwDtype dtype) {
  int64_t rows = gw_example_size(e, 127), width = gw_example_size(e, 127);
  if (gw_rng_below(&e->rng, 3) == 0) width = 3 * HASHED / rows + 5;
  return gw_type_2d(dtype, rows, width);
}

static int64_t square_blocks(const GwShapes *s) {
  return gw_ceil_div(gw_type_count(&s->in[0]), GW_SQUARE_BLOCK);
}

static GwStatus sign_squares_shape(GwShapes *s) {
  GW_REQUIRE(is_hyper(&s->in[1]), "sign_squares", "hyper must be [8]");
  GW_REQUIRE(gw_is_vector(&s->in[2], 1), "sign_squares", "signature must be [1]");
  GW_REQUIRE(gw_attr_whole(s->attr[0], 0), "sign_squares", "first must be an element number");
  GW_REQUIRE(s->in[3].rank == 1 && gw_attr_whole(s->attr[1], 0) &&
                 (int64_t)s->attr[1] + square_blocks(s) <= s->in[3].dim[0],
             "sign_squares", "squares must hold one entry per block from first_block on");
  return GW_OK;
}

static int64_t sign_squares_flops(const GwShapes *s) { return 5 * gw_type_count(&s->in[0]); }

static double tree(double part[8]) {
  for (int width = 4; width >= 1; width /= 2)
    for (int i = 0; i < width; i++) part[i] += part[i + width];
  return part[0];
}

static void sign_squares_reference(const GwCall *call, int64_t first, int64_t last) {
  const int64_t *total = call->in[0];
  double unit = ((const double *)call->in[1])[UNIT];
  double *squares = (double *)call->in[3] + (int64_t)call->shapes.attr[1];
  int64_t count = gw_type_count(&call->shapes.in[0]), number = (int64_t)call->shapes.attr[0];
  uint64_t signature = 0;
  for (int64_t block = first; block < last; block++) {
    double part[8] = {0};
    int64_t end = gw_min_i64((block + 1) * GW_SQUARE_BLOCK, count);
    for (int64_t i = block * GW_SQUARE_BLOCK; i < end; i++) {
      double g = (double)total[i] * unit;
      part[i & 7] += g * g;
      signature += GW_SIGN_WEIGHT(number + i) * (uint64_t)total[i];
      GW_WORK(5);
    }
    squares[block] = tree(part);
  }
  gw_atomic_add_u64(call->in[2], signature);
}

static void sign_squares_example(GwExample *e) {
  e->shapes.in[0] = example_type(e, GW_I64);
  e->shapes.has[0] = true;
  example_f64(e, 1, 8);
  e->shapes.in[2] = gw_type_1d(GW_U64, 1);
  e->shapes.has[2] = true;
  example_f64(e, 3, 3 + square_blocks(&e->shapes));
  e->shapes.attr[0] = (double)gw_rng_below(&e->rng, 1u << 30);
  e->shapes.attr[1] = 2;
}

const GwOpDef GW_OP_DEF(sign_squares) = {
    .name = "sign_squares",
    .formula = "signature += sum of weight total mod 2^64; squares[b] = sum of (unit total)^2",
    .in = {{"total", GW_I64, 0},
           {"hyper", GW_F64, 0},
           {"signature", GW_U64, GW_ARG_INOUT},
           {"squares", GW_F64, GW_ARG_INOUT}},
    .attr = {"first", "first_block"},
    .shape = sign_squares_shape,
    .flops = sign_squares_flops,
    .units = square_blocks,
    .reference = sign_squares_reference,
    .example = sign_squares_example,
};

static GwStatus clip_shape(GwShapes *s) {
  GW_REQUIRE(s->in[0].rank == 1, "clip", "squares must be a vector");
  GW_REQUIRE(is_hyper(&s->in[1]), "clip", "hyper must be [8]");
  s->out[0] = gw_type_1d(GW_F64, 2);
  return GW_OK;
}

static int64_t clip_flops(const GwShapes *s) { return gw_type_count(&s->in[0]) + 3; }

static int64_t clip_units(const GwShapes *s) {
  (void)s;
  return 1;
}

static void clip_reference(const GwCall *call, int64_t first, int64_t last) {
  if (first >= last) return;
  const double *squares = call->in[0], *hyper = call->in[1];
  double *out = call->out[0], part[8] = {0};
  int64_t count = gw_type_count(&call->shapes.in[0]);
  for (int64_t i = 0; i < count; i++) part[i & 7] += squares[i];
  double norm = __builtin_sqrt(tree(part));
  bool clipped = hyper[CLIP] > 0 && norm > hyper[CLIP];
  out[0] = norm;
  out[1] = clipped ? hyper[UNIT] * (hyper[CLIP] / norm) : hyper[UNIT];
  GW_WORK(count + 3);
}

static void clip_example(GwExample *e) {
  example_f64(e, 0, gw_example_size(e, 127));
  example_f64(e, 1, 8);
}

const GwOpDef GW_OP_DEF(clip) = {
    .name = "clip",
    .formula = "norm = sqrt(sum of squares); scale = unit min(1, clip/norm)",
    .in = {{"squares", GW_F64, 0}, {"hyper", GW_F64, 0}},
    .out = {{"norm_and_scale", GW_F64, 0}},
    .shape = clip_shape,
    .flops = clip_flops,
    .units = clip_units,
    .reference = clip_reference,
    .example = clip_example,
};

static GwStatus adamw_shape(GwShapes *s) {
  GwType total = s->in[0];
  total.dtype = GW_I64;
  GW_REQUIRE(gw_type_equal(&s->in[0], &s->in[1]) && gw_type_equal(&s->in[0], &s->in[2]) &&
                 gw_type_equal(&total, &s->in[3]),
             "adamw", "p, m, v and total must have one shape");
  GW_REQUIRE(is_hyper(&s->in[4]), "adamw", "hyper must be [8]");
  GW_REQUIRE(gw_is_vector(&s->in[5], 2), "adamw", "norm_and_scale must be [2]");
  GW_REQUIRE(s->attr[0] >= 0, "adamw", "decay must not be negative");
  GW_REQUIRE(s->in[6].rank == 1 && gw_attr_whole(s->attr[1], 0) &&
                 3 * (int64_t)s->attr[1] + 3 <= s->in[6].dim[0],
             "adamw", "seeds must hold three entries per tensor");
  GW_REQUIRE(gw_attr_whole(s->attr[2], 0), "adamw", "first_block must be a block's number");
  GW_REQUIRE(s->attr[3] == 0 || s->attr[3] == 1, "adamw", "verify must be 0 or 1");
  GW_REQUIRE(gw_is_vector(&s->in[7], 4), "adamw", "hash must be [4]");
  return GW_OK;
}

static int64_t adamw_flops(const GwShapes *s) { return 17 * gw_type_count(&s->in[0]); }

static int64_t adamw_units(const GwShapes *s) {
  return gw_ceil_div(gw_type_count(&s->in[0]), HASHED);
}

/* Adds the hash of p's units [first, last) to hash[0], that of m's and v's to hash[1]. */
static void hash_units(const GwCall *call, int64_t first, int64_t last, uint64_t *hash) {
  const uint64_t *seeds = (const uint64_t *)call->in[6] + 3 * (int64_t)call->shapes.attr[1];
  uint64_t first_block = (uint64_t)call->shapes.attr[2];
  int64_t count = gw_type_count(&call->shapes.in[0]);
  for (int64_t unit = first; unit < last; unit++)
    for (int k = 0; k < 3; k++) {
      const gw_real *values = (const gw_real *)call->in[k] + unit * HASHED;
      size_t bytes = (size_t)gw_min_i64(count - unit * HASHED, HASHED) * sizeof *values;
      uint64_t seed = gw_hash_block_seed(seeds[k], first_block + (uint64_t)unit);
      gw_atomic_add_u64(&hash[k > 0], gw_hash_bytes(values, bytes, seed));
    }
}

static void adamw_reference(const GwCall *call, int64_t first, int64_t last) {
  gw_real *p = call->in[0], *m = call->in[1], *v = call->in[2];
  const int64_t *total = call->in[3];
  const double *hyper = call->in[4];
  double scale = ((const double *)call->in[5])[1];
  gw_real lr = (gw_real)hyper[0], beta1 = (gw_real)hyper[1], beta2 = (gw_real)hyper[2];
  gw_real epsilon = (gw_real)hyper[3], fix1 = (gw_real)hyper[4], fix2 = (gw_real)hyper[5];
  gw_real rest1 = (gw_real)(1 - hyper[1]), rest2 = (gw_real)(1 - hyper[2]);
  gw_real decay = (gw_real)call->shapes.attr[0];
  uint64_t *hash = call->in[7];
  int64_t end = gw_min_i64(last * HASHED, gw_type_count(&call->shapes.in[0]));
  if (call->shapes.attr[3] != 0) hash_units(call, first, last, hash + 2);
  for (int64_t i = first * HASHED; i < end; i++) {
    gw_real g = (gw_real)((double)total[i] * scale);
    m[i] = gw_fma(beta1, m[i], rest1 * g);
    v[i] = gw_fma(beta2, v[i], rest2 * (g * g));
    gw_real update = (m[i] * fix1) / (gw_sqrt(v[i] * fix2) + epsilon);
    p[i] = gw_fma(-lr, gw_fma(decay, p[i], update), p[i]);
    GW_WORK(17);
  }
  hash_units(call, first, last, hash);
}

static void adamw_example(GwExample *e) {
  GwType type = example_type(e, GW_F32);
  gw_example_f32(e, 0, type, 1);
  gw_example_f32(e, 1, type, 1);
  gw_example_f32(e, 2, type, 1);
  e->in[2].fill = GW_FILL_POSITIVE;
  type.dtype = GW_I64;
  e->shapes.in[3] = type;
  e->shapes.has[3] = true;
  example_f64(e, 4, 8);
  example_f64(e, 5, 2);
  e->in[5].scale = 0x1p-44;
  e->shapes.in[6] = gw_type_1d(GW_U64, 6);
  e->shapes.in[7] = gw_type_1d(GW_U64, 4);
  e->shapes.has[6] = e->shapes.has[7] = true;
  e->shapes.attr[0] = gw_rng_below(&e->rng, 2) ? 0 : 0.1;
  e->shapes.attr[1] = 1;
  e->shapes.attr[2] = (double)gw_rng_below(&e->rng, 3);
  e->shapes.attr[3] = (double)gw_rng_below(&e->rng, 2);
}

const GwOpDef GW_OP_DEF(adamw) = {
    .name = "adamw",
    .formula = "g = scale total; m, v = moments; p -= lr (m^/(sqrt(v^) + epsilon) + decay p); hash "
               "+= new p; m, v; and old ones",
    .in = {{"p", GW_F32, GW_ARG_INOUT},
           {"m", GW_F32, GW_ARG_INOUT},
           {"v", GW_F32, GW_ARG_INOUT},
           {"total", GW_I64, 0},
           {"hyper", GW_F64, 0},
           {"norm_and_scale", GW_F64, 0},
           {"seeds", GW_U64, 0},
           {"hash", GW_U64, GW_ARG_INOUT}},
    .attr = {"decay", "tensor", "first_block", "verify"},
    .shape = adamw_shape,
    .flops = adamw_flops,
    .units = adamw_units,
    .reference = adamw_reference,
    .example = adamw_example,
    .bound = 1e-6,
};
