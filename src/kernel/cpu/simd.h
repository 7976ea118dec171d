/* Vectors for the CPU kernels: one set of names, GW_VL floats wide, for the instruction set that
 * this compilation is for (GW_ISA_AVX512, GW_ISA_AVX2 or GW_ISA_GENERIC; a NEON section would stand
 * beside them). Every operation is the exact counterpart of one in op/real.h, lane by lane. */
#ifndef GW_SIMD_H
#define GW_SIMD_H

#include "op/real.h"

#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
#include <immintrin.h>
#endif

#if defined(GW_ISA_AVX512)

enum { GW_VL = 16 };
typedef __m512 gw_vf;
typedef __m512i gw_vi;

static inline gw_vf gw_v_set(float x) { return _mm512_set1_ps(x); }
static inline gw_vf gw_v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void gw_v_store(float *p, gw_vf v) { _mm512_storeu_ps(p, v); }
static inline __mmask16 gw_v_mask(int64_t n) { return (__mmask16)((1u << n) - 1u); }
/* the first n lanes, 0 <= n <= GW_VL; the others are 0 and untouched */
static inline gw_vf gw_v_load_n(const float *p, int64_t n) {
  return _mm512_maskz_loadu_ps(gw_v_mask(n), p);
}
static inline void gw_v_store_n(float *p, gw_vf v, int64_t n) {
  _mm512_mask_storeu_ps(p, gw_v_mask(n), v);
}
static inline gw_vf gw_v_add(gw_vf a, gw_vf b) { return _mm512_add_ps(a, b); }
static inline gw_vf gw_v_sub(gw_vf a, gw_vf b) { return _mm512_sub_ps(a, b); }
static inline gw_vf gw_v_mul(gw_vf a, gw_vf b) { return _mm512_mul_ps(a, b); }
static inline gw_vf gw_v_div(gw_vf a, gw_vf b) { return _mm512_div_ps(a, b); }
static inline gw_vf gw_v_sqrt(gw_vf a) { return _mm512_sqrt_ps(a); }
static inline gw_vf gw_v_max(gw_vf a, gw_vf b) { return _mm512_max_ps(a, b); } /* a > b ? a : b */
static inline gw_vf gw_v_min(gw_vf a, gw_vf b) { return _mm512_min_ps(a, b); } /* a < b ? a : b */
static inline gw_vf gw_v_fma(gw_vf a, gw_vf b, gw_vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline gw_vf gw_v_neg(gw_vf a) {
  return _mm512_castsi512_ps(
      _mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(INT32_MIN)));
}
static inline gw_vi gw_vi_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline gw_vi gw_vi_of(gw_vf a) { return _mm512_castps_si512(a); } /* the bits */
static inline gw_vf gw_v_of(gw_vi a) { return _mm512_castsi512_ps(a); }
static inline gw_vi gw_vi_add(gw_vi a, gw_vi b) { return _mm512_add_epi32(a, b); }
static inline gw_vi gw_vi_sub(gw_vi a, gw_vi b) { return _mm512_sub_epi32(a, b); }
static inline gw_vi gw_vi_shl23(gw_vi a) { return _mm512_slli_epi32(a, 23); }
static inline gw_vi gw_vi_sar23(gw_vi a) { return _mm512_srai_epi32(a, 23); }
static inline gw_vf gw_v_from_int(gw_vi a) { return _mm512_cvtepi32_ps(a); }
static inline gw_vf gw_v_bf16_round(gw_vf x) { /* as gw_bf16_round */
  gw_vi bits = gw_vi_of(x), high = gw_vi_set(-0x10000);
  gw_vi even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), gw_vi_set(1));
  gw_vi rounded = gw_vi_add(gw_vi_add(bits, gw_vi_set(0x7fff)), even);
  __mmask16 subnormal = _mm512_testn_epi32_mask(bits, gw_vi_set(0x7f800000));
  __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  rounded = _mm512_mask_and_epi32(rounded, subnormal, bits, gw_vi_set(INT32_MIN));
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, gw_vi_set(0x00400000));
  return gw_v_of(_mm512_and_si512(rounded, high));
}

/* Pairs of bf16, the earlier in the lower half of a lane, and their products: for processors with
 * AVX512-BF16 only, so by name, since the rest must run on others. The bits are those of
 * gw_v_bf16_round and of gw_v_fma_bf16, the second of each pair first. */
static inline gw_vf gw_v_pairs_along(gw_vf first, gw_vf second) { /* lanes in order */
  gw_vf pairs;
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(pairs) : "v"(first), "v"(second));
  return pairs;
}
static inline gw_vf gw_v_pairs_across(gw_vf even, gw_vf odd) { /* lane by lane */
  const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                       23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return gw_v_of(_mm512_permutexvar_epi16(zip, gw_vi_of(gw_v_pairs_along(even, odd))));
}
static inline gw_vf gw_v_fma_pairs(gw_vf a, gw_vf b, gw_vf c) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
  return c;
}

#elif defined(GW_ISA_AVX2)

enum { GW_VL = 8 };
typedef __m256 gw_vf;
typedef __m256i gw_vi;

static inline gw_vf gw_v_set(float x) { return _mm256_set1_ps(x); }
static inline gw_vf gw_v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void gw_v_store(float *p, gw_vf v) { _mm256_storeu_ps(p, v); }
static inline __m256i gw_v_mask(int64_t n) {
  static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - n));
}
static inline gw_vf gw_v_load_n(const float *p, int64_t n) {
  return _mm256_maskload_ps(p, gw_v_mask(n));
}
static inline void gw_v_store_n(float *p, gw_vf v, int64_t n) {
  _mm256_maskstore_ps(p, gw_v_mask(n), v);
}
static inline gw_vf gw_v_add(gw_vf a, gw_vf b) { return _mm256_add_ps(a, b); }
static inline gw_vf gw_v_sub(gw_vf a, gw_vf b) { return _mm256_sub_ps(a, b); }
static inline gw_vf gw_v_mul(gw_vf a, gw_vf b) { return _mm256_mul_ps(a, b); }
static inline gw_vf gw_v_div(gw_vf a, gw_vf b) { return _mm256_div_ps(a, b); }
static inline gw_vf gw_v_sqrt(gw_vf a) { return _mm256_sqrt_ps(a); }
static inline gw_vf gw_v_max(gw_vf a, gw_vf b) { return _mm256_max_ps(a, b); }
static inline gw_vf gw_v_min(gw_vf a, gw_vf b) { return _mm256_min_ps(a, b); }
static inline gw_vf gw_v_fma(gw_vf a, gw_vf b, gw_vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline gw_vf gw_v_neg(gw_vf a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
static inline gw_vi gw_vi_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline gw_vi gw_vi_of(gw_vf a) { return _mm256_castps_si256(a); }
static inline gw_vf gw_v_of(gw_vi a) { return _mm256_castsi256_ps(a); }
static inline gw_vi gw_vi_add(gw_vi a, gw_vi b) { return _mm256_add_epi32(a, b); }
static inline gw_vi gw_vi_sub(gw_vi a, gw_vi b) { return _mm256_sub_epi32(a, b); }
static inline gw_vi gw_vi_shl23(gw_vi a) { return _mm256_slli_epi32(a, 23); }
static inline gw_vi gw_vi_sar23(gw_vi a) { return _mm256_srai_epi32(a, 23); }
static inline gw_vf gw_v_from_int(gw_vi a) { return _mm256_cvtepi32_ps(a); }
static inline gw_vf gw_v_bf16_round(gw_vf x) { /* as gw_bf16_round */
  gw_vi bits = gw_vi_of(x), high = gw_vi_set(-0x10000);
  gw_vi even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), gw_vi_set(1));
  gw_vi rounded = gw_vi_add(gw_vi_add(bits, gw_vi_set(0x7fff)), even);
  gw_vi exponent = _mm256_and_si256(bits, gw_vi_set(0x7f800000));
  gw_vi subnormal = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  gw_vi zero = _mm256_and_si256(bits, gw_vi_set(INT32_MIN));
  gw_vi quiet = _mm256_or_si256(bits, gw_vi_set(0x00400000));
  gw_vi nan = gw_vi_of(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  rounded = _mm256_blendv_epi8(_mm256_blendv_epi8(rounded, zero, subnormal), quiet, nan);
  return gw_v_of(_mm256_and_si256(rounded, high));
}

#else /* generic: four lanes of plain C, left to the compiler */

enum { GW_VL = 4 };
typedef struct {
  float at[4];
} gw_vf;
typedef struct {
  int32_t at[4];
} gw_vi;

#define GW_LANES for (int i = 0; i < 4; i++)
static inline gw_vf gw_v_set(float x) { return (gw_vf){{x, x, x, x}}; }
static inline gw_vf gw_v_load(const float *p) {
  gw_vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void gw_v_store(float *p, gw_vf v) { memcpy(p, &v, sizeof v); }
static inline gw_vf gw_v_load_n(const float *p, int64_t n) {
  gw_vf v = {{0}};
  for (int64_t i = 0; i < n; i++) v.at[i] = p[i];
  return v;
}
static inline void gw_v_store_n(float *p, gw_vf v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = v.at[i];
}
static inline gw_vf gw_v_add(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] += b.at[i];
  return a;
}
static inline gw_vf gw_v_sub(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] -= b.at[i];
  return a;
}
static inline gw_vf gw_v_mul(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] *= b.at[i];
  return a;
}
static inline gw_vf gw_v_div(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] /= b.at[i];
  return a;
}
static inline gw_vf gw_v_sqrt(gw_vf a) {
  GW_LANES a.at[i] = gw_sqrt(a.at[i]);
  return a;
}
static inline gw_vf gw_v_max(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] = a.at[i] > b.at[i] ? a.at[i] : b.at[i];
  return a;
}
static inline gw_vf gw_v_min(gw_vf a, gw_vf b) {
  GW_LANES a.at[i] = a.at[i] < b.at[i] ? a.at[i] : b.at[i];
  return a;
}
static inline gw_vf gw_v_fma(gw_vf a, gw_vf b, gw_vf c) {
  GW_LANES c.at[i] = gw_fma(a.at[i], b.at[i], c.at[i]);
  return c;
}
static inline gw_vf gw_v_neg(gw_vf a) {
  GW_LANES a.at[i] = -a.at[i];
  return a;
}
static inline gw_vi gw_vi_set(int32_t x) { return (gw_vi){{x, x, x, x}}; }
static inline gw_vi gw_vi_of(gw_vf a) {
  gw_vi v;
  memcpy(&v, &a, sizeof v);
  return v;
}
static inline gw_vf gw_v_of(gw_vi a) {
  gw_vf v;
  memcpy(&v, &a, sizeof v);
  return v;
}
static inline gw_vi gw_vi_add(gw_vi a, gw_vi b) {
  GW_LANES a.at[i] = (int32_t)((uint32_t)a.at[i] + (uint32_t)b.at[i]);
  return a;
}
static inline gw_vi gw_vi_sub(gw_vi a, gw_vi b) {
  GW_LANES a.at[i] = (int32_t)((uint32_t)a.at[i] - (uint32_t)b.at[i]);
  return a;
}
static inline gw_vi gw_vi_shl23(gw_vi a) {
  GW_LANES a.at[i] = (int32_t)((uint32_t)a.at[i] << 23);
  return a;
}
static inline gw_vi gw_vi_sar23(gw_vi a) {
  GW_LANES a.at[i] >>= 23;
  return a;
}
static inline gw_vf gw_v_from_int(gw_vi a) {
  gw_vf v;
  GW_LANES v.at[i] = (float)a.at[i];
  return v;
}
static inline gw_vf gw_v_bf16_round(gw_vf x) {
  GW_LANES x.at[i] = gw_bf16_round(x.at[i]);
  return x;
}
static inline gw_vf gw_v_fma_bf16(gw_vf a, gw_vf b, gw_vf c) {
  GW_LANES c.at[i] = gw_fma_bf16(a.at[i], b.at[i], c.at[i]);
  return c;
}
#undef GW_LANES

#endif

/* gw_fma_bf16 lane by lane, between gw_v_flush_begin and gw_v_flush_end: they have the processor
 * take subnormal operands for zero and flush subnormal results, in this thread. Operands and
 * results must pass the two ends through memory (a compiler may move arithmetic between registers
 * past them), and nothing but bf16 products belongs in between. vdpbf16ps equals two of these
 * without them. Where k ends on half a pair, operands padded by -0 and +0 leave the sum as it is;
 * two zeros of one sign would turn a sum of -0 into +0. */
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
static inline gw_vf gw_v_fma_bf16(gw_vf a, gw_vf b, gw_vf c) { return gw_v_fma(a, b, c); }
static inline unsigned gw_v_flush_begin(void) {
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040u); /* FTZ, DAZ */
  __asm__ volatile("" ::: "memory");
  return before;
}
static inline void gw_v_flush_end(unsigned before) {
  __asm__ volatile("" ::: "memory");
  _mm_setcsr(before);
}
#else
static inline unsigned gw_v_flush_begin(void) { return 0; }
static inline void gw_v_flush_end(unsigned before) { (void)before; }
#endif

static inline gw_vf gw_v_zero(void) { return gw_v_set(0.0f); }

/* Unrolls the loop that follows wholly (at most 16 rounds), so that its arrays live in registers.
 * Not under a sanitizer, whose checks of each access would take a compiler minutes. */
#if defined(__has_feature)
#define GW_SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define GW_SANITIZED 1
#else
#define GW_SANITIZED 0
#endif
#if GW_SANITIZED
#define GW_UNROLL
#elif defined(__clang__)
#define GW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GW_UNROLL _Pragma("GCC unroll 16")
#endif

/* e^x of `n` <= GW_EXPS vectors, as gw_exp. They go step by step together: the chain of one is long
 * and fills a processor's queue with instructions that wait, several side by side do not wait. */
enum { GW_EXPS = 4 };
static inline __attribute__((always_inline)) void gw_v_exp_all(gw_vf *x, int n) {
  static const float coefficients[] = {GW_EXP_C6, GW_EXP_C5, GW_EXP_C4, GW_EXP_C3,
                                       GW_EXP_C2, 1.0f,      1.0f};
  gw_vf shifted[GW_EXPS], r[GW_EXPS], p[GW_EXPS];
  GW_UNROLL for (int i = 0; i < n; i++) {
    r[i] = gw_v_max(gw_v_set(GW_EXP_LOW), x[i]); /* low > x ? low : x */
    r[i] = gw_v_min(gw_v_set(GW_EXP_HIGH), r[i]);
    shifted[i] = gw_v_fma(r[i], gw_v_set(GW_LOG2E), gw_v_set(GW_ROUND_SHIFT));
  }
  GW_UNROLL for (int i = 0; i < n; i++) {
    gw_vf whole = gw_v_sub(shifted[i], gw_v_set(GW_ROUND_SHIFT));
    r[i] = gw_v_fma(whole, gw_v_set(-GW_LN2_HIGH), r[i]);
    r[i] = gw_v_fma(whole, gw_v_set(-GW_LN2_LOW), r[i]);
    p[i] = gw_v_set(GW_EXP_C7);
  }
  GW_UNROLL for (int k = 0; k < 7; k++) {
    GW_UNROLL for (int i = 0; i < n; i++) {
      p[i] = gw_v_fma(p[i], r[i], gw_v_set(coefficients[k]));
    }
  }
  GW_UNROLL for (int i = 0; i < n; i++) {
    x[i] = gw_v_of(gw_vi_add(gw_vi_of(p[i]), gw_vi_shl23(gw_vi_of(shifted[i]))));
  }
}

static inline gw_vf gw_v_exp(gw_vf x) {
  gw_v_exp_all(&x, 1);
  return x;
}

/* ln x, as gw_log */
static inline gw_vf gw_v_log(gw_vf x) {
  gw_vi n = gw_vi_sar23(gw_vi_sub(gw_vi_of(x), gw_vi_set(GW_LOG_SPLIT)));
  gw_vf m = gw_v_of(gw_vi_sub(gw_vi_of(x), gw_vi_shl23(n)));
  gw_vf s = gw_v_div(gw_v_sub(m, gw_v_set(1.0f)), gw_v_add(m, gw_v_set(1.0f)));
  gw_vf square = gw_v_mul(s, s);
  gw_vf p = gw_v_set(GW_LOG_C9);
  p = gw_v_fma(p, square, gw_v_set(GW_LOG_C7));
  p = gw_v_fma(p, square, gw_v_set(GW_LOG_C5));
  p = gw_v_fma(p, square, gw_v_set(GW_LOG_C3));
  p = gw_v_mul(p, square);
  gw_vf twice = gw_v_add(s, s);
  return gw_v_fma(gw_v_from_int(n), gw_v_set(GW_LN2), gw_v_fma(twice, p, twice));
}

static inline gw_vf gw_v_sigmoid(gw_vf x) {
  gw_vf one = gw_v_set(1.0f);
  return gw_v_div(one, gw_v_add(one, gw_v_exp(gw_v_neg(x))));
}

/* GwSum16 in registers: 16/GW_VL vectors. Vector j holds partial sums j·GW_VL onwards. */
enum { GW_SUM_VECTORS = 16 / GW_VL };
typedef struct {
  gw_vf part[GW_SUM_VECTORS];
} GwVSum16;

static inline GwVSum16 gw_v_sum16(void) {
  GwVSum16 sum;
  for (int j = 0; j < GW_SUM_VECTORS; j++) sum.part[j] = gw_v_zero();
  return sum;
}

static inline float gw_v_sum16_total(const GwVSum16 *sum) {
#if defined(GW_ISA_AVX512)
  __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(sum->part[0]), _mm512_extractf32x8_ps(sum->part[0], 1));
#elif defined(GW_ISA_AVX2)
  __m256 eight = _mm256_add_ps(sum->part[0], sum->part[1]);
#endif
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
  GwSum16 plain;
  for (int j = 0; j < GW_SUM_VECTORS; j++) gw_v_store(plain.part + j * GW_VL, sum->part[j]);
  return gw_sum16_total(&plain);
#endif
}

/* Asks for a cache line that will be used soon, into the second cache; any address will do. Far
 * ahead it helps kernels whose arithmetic leaves the processor no room to look ahead by itself. */
enum { GW_LINE_FLOATS = 16, GW_AHEAD_FLOATS = 1024 };
static inline void gw_prefetch(const void *at) { __builtin_prefetch(at, 0, 2); }

/* Transposes the square v: lane j of v[i] becomes lane i of v[j]. */
static inline void gw_v_transpose(gw_vf v[GW_VL]) {
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
#if defined(GW_ISA_AVX512)
#define GW_PAIRS(half, a, b) _mm512_unpack##half##_ps(a, b)
#define GW_QUADS(half, a, b)                                                                       \
  _mm512_castpd_ps(_mm512_unpack##half##_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))
#else
#define GW_PAIRS(half, a, b) _mm256_unpack##half##_ps(a, b)
#define GW_QUADS(half, a, b)                                                                       \
  _mm256_castpd_ps(_mm256_unpack##half##_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)))
#endif
  /* Four rows at a time: quad i+c holds, in 128-bit part p, column 4p+c of rows i..i+3. */
  GW_UNROLL for (int i = 0; i < GW_VL; i += 4) {
    gw_vf low01 = GW_PAIRS(lo, v[i], v[i + 1]), high01 = GW_PAIRS(hi, v[i], v[i + 1]);
    gw_vf low23 = GW_PAIRS(lo, v[i + 2], v[i + 3]), high23 = GW_PAIRS(hi, v[i + 2], v[i + 3]);
    v[i] = GW_QUADS(lo, low01, low23);
    v[i + 1] = GW_QUADS(hi, low01, low23);
    v[i + 2] = GW_QUADS(lo, high01, high23);
    v[i + 3] = GW_QUADS(hi, high01, high23);
  }
#undef GW_PAIRS
#undef GW_QUADS
  /* Then the 128-bit parts are gathered by column. */
  GW_UNROLL for (int c = 0; c < 4; c++) {
#if defined(GW_ISA_AVX512)
    gw_vf even0 = _mm512_shuffle_f32x4(v[c], v[c + 4], 0x88);
    gw_vf even8 = _mm512_shuffle_f32x4(v[c + 8], v[c + 12], 0x88);
    gw_vf odd0 = _mm512_shuffle_f32x4(v[c], v[c + 4], 0xdd);
    gw_vf odd8 = _mm512_shuffle_f32x4(v[c + 8], v[c + 12], 0xdd);
    v[c] = _mm512_shuffle_f32x4(even0, even8, 0x88);
    v[c + 4] = _mm512_shuffle_f32x4(odd0, odd8, 0x88);
    v[c + 8] = _mm512_shuffle_f32x4(even0, even8, 0xdd);
    v[c + 12] = _mm512_shuffle_f32x4(odd0, odd8, 0xdd);
#else
    gw_vf low = _mm256_permute2f128_ps(v[c], v[c + 4], 0x20);
    v[c + 4] = _mm256_permute2f128_ps(v[c], v[c + 4], 0x31);
    v[c] = low;
#endif
  }
#else
  for (int i = 0; i < GW_VL; i++)
    for (int j = 0; j < i; j++) {
      float swap = v[i].at[j];
      v[i].at[j] = v[j].at[i];
      v[j].at[i] = swap;
    }
#endif
}

/* The first n lanes of a, the others of b. */
static inline gw_vf gw_v_first_n(gw_vf a, gw_vf b, int64_t n) {
#if defined(GW_ISA_AVX512)
  return _mm512_mask_mov_ps(b, gw_v_mask(n), a);
#elif defined(GW_ISA_AVX2)
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(gw_v_mask(n)));
#else
  for (int64_t i = 0; i < n; i++) b.at[i] = a.at[i];
  return b;
#endif
}

/* Loads and stores of n lanes, 0 <= n <= GW_VL, plain where the compiler sees that n is GW_VL: so
 * one body serves whole vectors and the end of a row. */
static inline gw_vf gw_v_get(const float *p, int64_t n) {
  return n == GW_VL ? gw_v_load(p) : gw_v_load_n(p, n);
}
static inline void gw_v_put(float *p, gw_vf v, int64_t n) {
  if (n == GW_VL)
    gw_v_store(p, v);
  else
    gw_v_store_n(p, v, n);
}

/* The largest lane. */
static inline float gw_v_largest(gw_vf a) {
#if defined(GW_ISA_AVX512)
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
#elif defined(GW_ISA_AVX2)
  __m256 eight = a;
#endif
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
#else
  float top = a.at[0];
  for (int i = 1; i < GW_VL; i++) top = gw_max(a.at[i], top);
  return top;
#endif
}

/* Σ a_i b_i, as gw_row_dot */
static inline float gw_v_row_dot(const float *a, const float *b, int64_t n) {
  GwVSum16 sum = gw_v_sum16();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < GW_SUM_VECTORS; j++)
      sum.part[j] =
          gw_v_fma(gw_v_load(a + i + j * GW_VL), gw_v_load(b + i + j * GW_VL), sum.part[j]);
  for (int j = 0; i < n; i += GW_VL, j++) {
    int64_t left = gw_min_i64(n - i, GW_VL);
    gw_vf next = gw_v_fma(gw_v_load_n(a + i, left), gw_v_load_n(b + i, left), sum.part[j]);
    sum.part[j] = gw_v_first_n(next, sum.part[j], left);
  }
  return gw_v_sum16_total(&sum);
}

/* Doubles and 64-bit integers, GW_VD to a register, by the compiler's vector extension. */
enum { GW_VD = GW_VL / 2 };
typedef double gw_vd __attribute__((vector_size(GW_VD * 8)));
typedef uint64_t gw_vu __attribute__((vector_size(GW_VD * 8)));
typedef float gw_vh __attribute__((vector_size(GW_VD * 4)));
typedef int32_t gw_vhi __attribute__((vector_size(GW_VD * 4)));

/* Both halves of a vector. */
static inline gw_vf gw_v_join(gw_vh low, gw_vh high) {
#if defined(GW_ISA_AVX512)
  return _mm512_insertf32x8(_mm512_castps256_ps512((__m256)low), (__m256)high, 1);
#elif defined(GW_ISA_AVX2)
  return _mm256_set_m128((__m128)high, (__m128)low);
#else
  gw_vf v;
  memcpy(v.at, &low, sizeof low);
  memcpy(v.at + GW_VD, &high, sizeof high);
  return v;
#endif
}

/* Products of the lower 32 bits. */
static inline gw_vu gw_vu_mul32(gw_vu a, gw_vu b) {
#if defined(GW_ISA_AVX512)
  return (gw_vu)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(GW_ISA_AVX2)
  return (gw_vu)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

/* a0 b0 a1 b1 ... */
static inline void gw_vu_zip(gw_vu a, gw_vu b, gw_vu out[2]) {
#if defined(GW_ISA_AVX512)
  out[0] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  out[1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#elif defined(GW_ISA_AVX2)
  out[0] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  out[1] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#else
  out[0] = __builtin_shufflevector(a, b, 0, 2);
  out[1] = __builtin_shufflevector(a, b, 1, 3);
#endif
}

/* as gw_nearest; without the instruction: x = high 2^32 + low, each part rounded by adding
 * 1.5 2^52, whose last place is 1 */
static inline gw_vu gw_vu_nearest(gw_vd x) {
#if defined(GW_ISA_AVX512)
  return (gw_vu)_mm512_cvtpd_epi64((__m512d)x);
#else
  gw_vd magic = (gw_vd){0} + 0x1.8p52;
  gw_vd shifted = x * 0x1p-32 + magic, low = x - (shifted - magic) * 0x1p32;
  return (((gw_vu)shifted - (gw_vu)magic) << 32) + ((gw_vu)(low + magic) - (gw_vu)magic);
#endif
}

static inline gw_vd gw_vd_set(double x) { return (gw_vd){0} + x; }
static inline gw_vd gw_vd_load(const double *p) {
  gw_vd v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline gw_vd gw_vd_magnitude(gw_vd a) { return (gw_vd)((gw_vu)a & (UINT64_MAX >> 1)); }

static inline gw_vd gw_vd_from_float(gw_vh x) {
#if defined(GW_ISA_AVX512)
  return (gw_vd)_mm512_cvtps_pd((__m256)x);
#elif defined(GW_ISA_AVX2)
  return (gw_vd)_mm256_cvtps_pd((__m128)x);
#else
  return __builtin_convertvector(x, gw_vd);
#endif
}

/* a b + c, rounded once or twice: for what is not a result */
static inline gw_vd gw_vd_multiply_add(gw_vd a, gw_vd b, gw_vd c) {
#if defined(GW_ISA_AVX512)
  return (gw_vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(GW_ISA_AVX2)
  return (gw_vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}

/* gw_nearest of floats of magnitudes up to 2^62 */
static inline gw_vu gw_vu_from_float(gw_vh x) {
#if defined(GW_ISA_AVX512)
  return (gw_vu)_mm512_cvtps_epi64((__m256)x);
#else
  return gw_vu_nearest(__builtin_convertvector(x, gw_vd));
#endif
}

/* Stores past the caches, for large arrays that are not read soon; `p` is aligned to the vector.
 * Before another thread may read them: gw_stream_end(). */
static inline void gw_vu_stream(int64_t *p, gw_vu x) {
#if defined(GW_ISA_AVX512)
  _mm512_stream_si512((void *)p, (__m512i)x);
#elif defined(GW_ISA_AVX2)
  _mm256_stream_si256((void *)p, (__m256i)x);
#else
  memcpy(p, &x, sizeof x);
#endif
}
static inline void gw_v_stream(float *p, gw_vf x) {
#if defined(GW_ISA_AVX512)
  _mm512_stream_ps(p, (__m512)x);
#elif defined(GW_ISA_AVX2)
  _mm256_stream_ps(p, (__m256)x);
#else
  gw_v_store(p, x);
#endif
}
static inline void gw_stream_end(void) {
#if defined(GW_ISA_AVX512) || defined(GW_ISA_AVX2)
  _mm_sfence();
#endif
}

/* (double)(int64_t)x, rounded once */
static inline gw_vd gw_vd_from_int(gw_vu x) {
#if defined(GW_ISA_AVX512)
  typedef int64_t Signed __attribute__((vector_size(GW_VD * 8)));
  return __builtin_convertvector((Signed)x, gw_vd);
#else /* the halves as digits of 2^84 + 2^63 + high 2^32 and of 2^52 + low, both exact */
  gw_vu high = ((x ^ (UINT64_C(1) << 63)) >> 32) | UINT64_C(0x4530000000000000);
  gw_vu low = (x & UINT32_MAX) | UINT64_C(0x4330000000000000);
  return ((gw_vd)high - (0x1p84 + 0x1p63 + 0x1p52)) + (gw_vd)low;
#endif
}

#endif
