/* Arithmetic of the reference kernels. Everything a kernel computes is built from these few
 * functions, and their exact sequence of IEEE operations is the definition that the fast kernels
 * must equal.
 *
 * gw_real is float; in the oracle build (GW_REAL_IS_DOUBLE) it is double, with the same formulas.
 * Row reductions: element i goes to partial sum i mod 16; the partials meet in a fixed tree. */
#ifndef GW_REAL_H
#define GW_REAL_H

#include <string.h>

#include "op/constants.h"
#include "program/op.h"

#ifdef GW_REAL_IS_DOUBLE

#include "base/mathd.h"

typedef double gw_real;
extern _Thread_local int64_t gw_oracle_work; /* operations done so far; checks the flops rules */
#define GW_WORK(n) (gw_oracle_work += (n))

static inline gw_real gw_fma(gw_real a, gw_real b, gw_real c) { return a * b + c; }
static inline gw_real gw_bf16_round(gw_real x) { return x; }
static inline gw_real gw_fma_bf16(gw_real a, gw_real b, gw_real sum) { return a * b + sum; }
static inline gw_real gw_sqrt(gw_real x) { return gw_sqrt_f64(x); }
static inline gw_real gw_exp(gw_real x) { return x < -700 ? 0 : gw_exp_f64(x); }
static inline gw_real gw_log(gw_real x) { return gw_log_f64(x); }

#else

typedef float gw_real;
#define GW_WORK(n) ((void)0)

/* a*b + c in double, rounded to odd: no information is lost that a second rounding to float needs
 * (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008). The product is
 * exact in double. */
static inline double gw__fma_to_odd(float a, float b, float c) {
  double product = (double)a * b, sum = product + c;
  double other = sum - product;
  double error = (product - (sum - other)) + ((double)c - other);
  int64_t bits, error_bits;
  memcpy(&bits, &sum, sizeof bits);
  memcpy(&error_bits, &error, sizeof error_bits);
  bool inexact = error > 0 || error < 0; /* neither for NaN */
  if (inexact && !(bits & 1)) bits += (error_bits ^ bits) < 0 ? -1 : 1;
  memcpy(&sum, &bits, sizeof sum);
  return sum;
}

/* Whether x, rounded to double before, may round to 24 bits otherwise than the exact value would:
 * only from the middle between two such numbers, since doubles contain all of these. */
static inline bool gw__is_halfway(double x) {
  int64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 0x1fffffff) == 0x10000000;
}

/* Whether 0 < |x| < 2^-126: there floats have less than 24 bits. */
static inline bool gw__is_subnormal(double x) {
  double magnitude = __builtin_fabs(x);
  return magnitude < 0x1p-126 && magnitude > 0;
}

/* a*b + c, rounded once. */
static inline float gw_fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  double sum = (double)a * b + c;
  if (__builtin_expect(gw__is_halfway(sum) || gw__is_subnormal(sum), 0))
    sum = gw__fma_to_odd(a, b, c);
  return (float)sum;
#endif
}

static inline uint32_t gw__bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float gw__of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* x if it is normal, infinite or NaN, else zero with its sign. */
static inline float gw__flush(float x) {
  uint32_t bits = gw__bits(x);
  return gw__of_bits(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}

/* The bf16 nearest to x (ties to even), in a float. A subnormal x becomes zero with its sign, a
 * NaN stays one, and what is too large becomes infinite: as vcvtneps2bf16 does it. */
static inline float gw_bf16_round(float x) {
  uint32_t bits = gw__bits(gw__flush(x));
  uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  uint32_t quiet = bits | 0x00400000u;
  return gw__of_bits((x != x ? quiet : rounded) & 0xffff0000u);
}

/* a*b + sum for bf16 a and b without subnormals (as gw_bf16_round gives them), rounded once; a
 * subnormal sum counts as zero, and a result that is below 2^-126 after rounding to 24 bits (with
 * any exponent) becomes zero with its sign. Half of vdpbf16ps; also the fused instruction under
 * MXCSR's DAZ and FTZ. */
static inline float gw_fma_bf16(float a, float b, float sum) {
  float start = gw__flush(sum);
  double next = (double)a * b + start;
  if (__builtin_expect(gw__is_halfway(next), 0)) next = gw__fma_to_odd(a, b, start);
  float result = (float)next;
  return __builtin_fabs(next) < GW_BF16_TINY ? __builtin_copysignf(0, result) : result;
}

static inline float gw_sqrt(float x) { return __builtin_sqrtf(x); }

static inline float gw__add_to_exponent(float x, int32_t n) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits += (uint32_t)n << 23;
  memcpy(&x, &bits, sizeof bits);
  return x;
}

/* e^x for x clamped to [-87, 88]: x = n ln2 + r, the Taylor polynomial of degree 7 in r, n added to
 * the exponent. Relative error below 1.2e-7. */
static inline float gw_exp(float x) {
  x = x < GW_EXP_LOW ? GW_EXP_LOW : x;
  x = x > GW_EXP_HIGH ? GW_EXP_HIGH : x;
  float shifted = gw_fma(x, GW_LOG2E, GW_ROUND_SHIFT), n = shifted - GW_ROUND_SHIFT;
  float r = gw_fma(n, -GW_LN2_HIGH, x);
  r = gw_fma(n, -GW_LN2_LOW, r);
  float p = GW_EXP_C7;
  p = gw_fma(p, r, GW_EXP_C6);
  p = gw_fma(p, r, GW_EXP_C5);
  p = gw_fma(p, r, GW_EXP_C4);
  p = gw_fma(p, r, GW_EXP_C3);
  p = gw_fma(p, r, GW_EXP_C2);
  p = gw_fma(p, r, 1.0f);
  p = gw_fma(p, r, 1.0f);
  int32_t whole;
  memcpy(&whole, &shifted, sizeof whole);
  return gw__add_to_exponent(p, whole);
}

/* ln x for normal x > 0: x = 2^n m with m in [0.70, 1.41), the atanh series in s = (m-1)/(m+1). */
static inline float gw_log(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  int32_t n = (bits - GW_LOG_SPLIT) >> 23;
  float m = gw__add_to_exponent(x, -n);
  float s = (m - 1.0f) / (m + 1.0f), square = s * s;
  float p = GW_LOG_C9;
  p = gw_fma(p, square, GW_LOG_C7);
  p = gw_fma(p, square, GW_LOG_C5);
  p = gw_fma(p, square, GW_LOG_C3);
  p = p * square;
  float twice = s + s;
  return gw_fma((float)n, GW_LN2, gw_fma(twice, p, twice));
}

#endif

static inline gw_real gw_sigmoid(gw_real x) { return 1 / (1 + gw_exp(-x)); }

/* The larger; the second when equal or when the first is NaN, as the vector instruction does. */
static inline gw_real gw_max(gw_real a, gw_real b) { return a > b ? a : b; }

/* 16 partial sums and their tree. */
typedef struct {
  gw_real part[16];
} GwSum16;

static inline gw_real gw_sum16_total(GwSum16 *sum) {
  for (int width = 8; width >= 1; width /= 2)
    for (int i = 0; i < width; i++) sum->part[i] += sum->part[i + width];
  return sum->part[0];
}

/* Σ a_i and Σ a_i b_i over a row, in the order of GwSum16. */
static inline gw_real gw_row_sum(const gw_real *a, int64_t n) {
  GwSum16 sum = {{0}};
  for (int64_t i = 0; i < n; i++) sum.part[i & 15] += a[i];
  GW_WORK(n);
  return gw_sum16_total(&sum);
}

static inline gw_real gw_row_dot(const gw_real *a, const gw_real *b, int64_t n) {
  GwSum16 sum = {{0}};
  for (int64_t i = 0; i < n; i++) sum.part[i & 15] = gw_fma(a[i], b[i], sum.part[i & 15]);
  GW_WORK(2 * n);
  return gw_sum16_total(&sum);
}

/* Σ a_i b_i in order of i: one element of a matrix product. */
static inline gw_real gw_dot(const gw_real *a, int64_t a_stride, const gw_real *b, int64_t b_stride,
                             int64_t n) {
  gw_real sum = 0;
  for (int64_t i = 0; i < n; i++) sum = gw_fma(a[i * a_stride], b[i * b_stride], sum);
  GW_WORK(2 * n);
  return sum;
}

/* The same in the bf16 profile: both operands rounded; of each pair of terms the second comes
 * first, then the first; an odd last term stands alone. */
static inline gw_real gw_dot_bf16(const gw_real *a, int64_t a_stride, const gw_real *b,
                                  int64_t b_stride, int64_t n) {
  gw_real sum = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t k = (i ^ 1) < n ? i ^ 1 : i;
    sum = gw_fma_bf16(gw_bf16_round(a[k * a_stride]), gw_bf16_round(b[k * b_stride]), sum);
  }
  GW_WORK(2 * n);
  return sum;
}

/* The integer nearest to x (ties to even); |x| < 2^62. */
static inline int64_t gw_nearest(double x) {
  double magnitude = x < 0 ? -x : x;
  if (magnitude < 0x1p51) x = (x + 0x1.8p52) - 0x1.8p52;
  return (int64_t)x;
}

/* The Philox key of one dropout site in one lane; the step is the counter's high half. */
static inline uint64_t gw_dropout_key(const GwLaneKey *key, double site) {
  return gw_mix64(key->seed ^ gw_mix64((uint64_t)key->lane << 32 | (uint64_t)site));
}

#endif
