/* The arithmetic of the bf16 profile: gw_bf16_round, gw_fma_bf16 and gw_dot_bf16 against a plain
 * second definition, against the processor's own bf16 instructions where it has them, and the
 * vectors of every instruction set against the scalars. So too gw_fma, which is emulated here. */
#include "support.h"

#include <string.h>

#include "exec/cpu_features.h"
#include "lanes.h"
#include "op/real.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CASES = 1 << 16, ROUNDS = 48 };

static GwRng rng;
static float a[2][CASES], b[2][CASES], sum[CASES], wanted[CASES], got[CASES];

static bool same(float x, float y) { return gw__bits(x) == gw__bits(y) || (x != x && y != y); }

static void assert_same(const char *what) {
  for (int i = 0; i < CASES; i++)
    if (!same(wanted[i], got[i]))
      fail_msg("%s, case %d: %a·%a + %a·%a + %a gave %a, wanted %a", what, i, (double)a[1][i],
               (double)b[1][i], (double)a[0][i], (double)b[0][i], (double)sum[i], (double)got[i],
               (double)wanted[i]);
}

/* ---- cases ---- */

static uint32_t random_bits(void) { return (uint32_t)gw_rng_u64(&rng); }

/* Sign and mantissa random, the exponent within `spread` of `centre`; both ends of the range
 * included. */
static float random_float(int centre, uint32_t spread) {
  uint32_t bits = random_bits();
  int exponent = centre + (int)gw_rng_below(&rng, 2 * spread + 1) - (int)spread;
  exponent = exponent < 0 ? 0 : exponent > 255 ? 255 : exponent;
  if (gw_rng_below(&rng, 4) == 0) bits &= 0xffff8000u; /* ties of bf16 */
  if (gw_rng_below(&rng, 16) == 0) bits &= 0xff800000u;
  return gw__of_bits((bits & 0x807fffffu) | (uint32_t)exponent << 23);
}

static float truncated(float x) { return gw__of_bits(gw__bits(x) & 0xffff0000u); }

/* A sum that meets the product in the interesting places: near its negative (cancellation), many
 * binades above it (ties of the sum's last place), near 2^-126, near the largest float,
 * anywhere. */
static float random_sum(float product) {
  int exponent = (int)(gw__bits(product) >> 23 & 255u);
  switch (gw_rng_below(&rng, 8)) {
  case 0: return -product;
  case 1: return gw__of_bits(gw__bits(-product) ^ (random_bits() & 3u));
  case 2: return random_float(exponent + 24, 2);
  case 3: return random_float(exponent, 3);
  case 4: return random_float(1, 2);
  case 5: return random_float(254, 1);
  case 6: return gw__of_bits(random_bits() & 0x80000000u);
  default: return random_float(127, 128);
  }
}

/* bf16 operands, subnormal ones among them, whose products lie around 1, around 2^-126 (the place
 * where results flush), around the largest float, or anywhere. */
static void draw_cases(void) {
  static const int centres[] = {127, 1, 254, 64};
  for (int i = 0; i < CASES; i++) {
    int target = centres[i & 3], first = target == 64 ? 127 : (target + 127) / 2;
    for (int half = 0; half < 2; half++) {
      a[half][i] = truncated(random_float(first, target == 64 ? 128 : 14));
      int other = target + 127 - (int)(gw__bits(a[half][i]) >> 23 & 255u);
      b[half][i] = truncated(random_float(target == 64 ? 127 : other, target == 64 ? 128 : 2));
    }
    sum[i] = random_sum(a[1][i] * b[1][i]);
  }
}

/* ---- a second definition of the product: all in integers ---- */

/* |x| = mantissa·2^exponent, exactly; subnormals as zero. */
static int64_t unpack(float x, int *exponent) {
  uint32_t bits = gw__bits(x), field = bits >> 23 & 255u;
  *exponent = (int)field - 150;
  if (field == 0) return 0;
  int64_t mantissa = (int64_t)(bits & 0x7fffffu) | 0x800000;
  return bits >> 31 ? -mantissa : mantissa;
}

/* value·2^exponent with a sticky lowest bit, rounded to 24 bits; tiny ones flushed. */
static float pack(__int128 value, int exponent) {
  uint32_t sign = value < 0 ? 0x80000000u : 0;
  unsigned __int128 magnitude = (unsigned __int128)(value < 0 ? -value : value), half, rest;
  while (magnitude >> 24) {
    int shift = 1;
    while (magnitude >> (24 + shift)) shift++;
    half = (unsigned __int128)1 << (shift - 1);
    rest = magnitude & (2 * half - 1);
    magnitude >>= shift;
    magnitude += rest > half || (rest == half && (magnitude & 1));
    exponent += shift;
  }
  while (!(magnitude >> 23)) {
    magnitude <<= 1;
    exponent--;
  }
  if (exponent + 150 < 1) return gw__of_bits(sign);
  if (exponent + 150 > 254) return gw__of_bits(sign | 0x7f800000u);
  uint32_t field = (uint32_t)(exponent + 150);
  return gw__of_bits(sign | field << 23 | ((uint32_t)magnitude & 0x7fffffu));
}

static __int128 scaled(__int128 value, int shift) { return value * ((__int128)1 << shift); }

/* x·y + z for finite operands with a nonzero result. Of two numbers too far apart to be aligned in
 * 128 bits, the smaller is a sticky bit below the other. */
static float plain_fma(float x, float y, float z) {
  int e1, e2, e3;
  __int128 product = (__int128)unpack(x, &e1) * unpack(y, &e2), other = unpack(z, &e3);
  int exponent = e1 + e2;
  if (other == 0) return pack(product, exponent);
  if (product == 0) return pack(other, e3);
  int shift = e3 - exponent;
  if (shift > 60) return pack(scaled(other, 40) + (product < 0 ? -1 : 1), e3 - 40);
  if (shift < -60) return pack(scaled(product, 40) + (other < 0 ? -1 : 1), exponent - 40);
  if (shift >= 0) return pack(product + scaled(other, shift), exponent);
  return pack(scaled(product, -shift) + other, e3);
}

static bool is_finite(float x) { return (gw__bits(x) & 0x7f800000u) != 0x7f800000u; }

static void products_equal_a_definition_in_integers(void **state) {
  (void)state;
  int compared = 0, tiny = 0, infinite = 0;
  for (int round = 0; round < ROUNDS; round++) {
    draw_cases();
    for (int i = 0; i < CASES; i++) {
      float x = gw_bf16_round(a[0][i]), y = gw_bf16_round(b[0][i]), z = sum[i];
      float result = gw_fma_bf16(x, y, z);
      bool cancels =
          (double)x * y + (double)gw__flush(z) == 0; /* the sign of 0: against hardware */
      if (!is_finite(x) || !is_finite(y) || !is_finite(z) || cancels) continue;
      float plain = plain_fma(x, y, z);
      if (!same(result, plain))
        fail_msg("%a·%a + %a gave %a, wanted %a", (double)x, (double)y, (double)z, (double)result,
                 (double)plain);
      compared++;
      tiny += result == 0;
      infinite += !is_finite(result);
    }
  }
  assert_true(compared > CASES * ROUNDS / 2 && tiny > 1000 && infinite > 1000);
}

static void values_round_to_the_nearest_bf16(void **state) {
  (void)state;
  assert_true(gw_bf16_round(1.0f + 0x1p-8f) == 1.0f); /* ties to even */
  assert_true(gw_bf16_round(1.0f + 0x3p-8f) == 1.0f + 0x1p-6f);
  assert_true(gw_bf16_round(1.0f + 0x1.001p-8f) == 1.0f + 0x1p-7f);
  assert_true(gw_bf16_round(-3.0f) == -3.0f);
  assert_true(same(gw_bf16_round(-0x1.fffffcp-127f), -0.0f)); /* the largest subnormal */
  assert_true(gw_bf16_round(0x1p-126f) == 0x1p-126f);
  assert_true(gw_bf16_round(0x1.fffffep127f) == __builtin_inff());
  assert_true(gw_bf16_round(0x1.fefffep127f) == 0x1.fep127f);
  assert_true(gw_bf16_round(-__builtin_inff()) == -__builtin_inff());
  float nan = gw_bf16_round(gw__of_bits(0x7f800001u)), all = gw_bf16_round(gw__of_bits(~0u));
  assert_true(nan != nan && all != all);
}

static void results_flush_below_the_smallest_normal(void **state) {
  (void)state;
  float least = 0x1p-126f;
  assert_true(gw_fma_bf16(0x1p-75f, -0x1p-76f, least) == least);       /* the tie goes to even */
  assert_true(same(gw_fma_bf16(0x1p-75f, -0x1.02p-76f, least), 0.0f)); /* just beyond the tie */
  assert_true(same(gw_fma_bf16(0x1p-75f, -0x1p-75f, least), 0.0f)); /* exact, and yet too small */
  assert_true(same(gw_fma_bf16(0x1p-75f, 0x1.02p-76f, -least), -0.0f));
  assert_true(gw_fma_bf16(1.0f, least, 0x1p-130f) == least); /* a subnormal sum is 0 */
}

static void pairs_add_their_second_term_first(void **state) {
  (void)state;
  float x[5] = {0x1p24f, 0, 1, -0x1p24f, 3}, ones[5] = {1, 1, 1, 1, 1};
  assert_true(gw_dot_bf16(x, 1, ones, 1, 4) == 1); /* in order of i it would be 0 */
  assert_true(gw_dot_bf16(x, 1, ones, 1, 5) == 4);
  assert_true(gw_dot_bf16(x, 2, ones, 1, 3) == 0x1p24f + 4); /* 2^24 + 1 rounds down */
  assert_true(gw_dot_bf16(x, 1, ones, 1, 1) == 0x1p24f && gw_dot_bf16(x, 1, ones, 1, 0) == 0);
  float coarse[2] = {1.0f + 0x1p-8f, 0};
  assert_true(gw_dot_bf16(coarse, 1, coarse, 1, 1) == 1); /* both operands are rounded */
}

/* ---- the processor's own instructions ---- */

#if defined(__x86_64__)

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void
processor_rounds(const float *x, float *rounded) {
  for (int i = 0; i < CASES; i += 16) {
    __m256i half = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
    _mm512_storeu_si512(rounded + i, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
}

/* The same of 16 numbers at a time with their successors in the instruction's other operand. */
__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void
processor_rounds_two(const float *x, float *rounded) {
  for (int i = 0; i < CASES; i += 32) {
    __m512i both =
        (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
    for (int half = 0; half < 2; half++) {
      __m256i some = half ? _mm512_extracti64x4_epi64(both, 1) : _mm512_castsi512_si256(both);
      __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(some), 16);
      _mm512_storeu_si512(rounded + i + 16 * half, wide);
    }
  }
}

/* got = sum + a·b of both halves by vdpbf16ps */
__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void
processor_adds_pairs(void) {
  for (int i = 0; i < CASES; i += 16) {
    __m512i pairs[2];
    for (int side = 0; side < 2; side++) {
      const float *even = side ? b[0] : a[0], *odd = side ? b[1] : a[1];
      pairs[side] = _mm512_or_si512(_mm512_loadu_si512(odd + i),
                                    _mm512_srli_epi32(_mm512_loadu_si512(even + i), 16));
    }
    __m512 next =
        _mm512_dpbf16_ps(_mm512_loadu_ps(sum + i), (__m512bh)pairs[0], (__m512bh)pairs[1]);
    _mm512_storeu_ps(got + i, next);
  }
}

static bool processor_has_bf16(void) { return __builtin_cpu_supports("avx512bf16"); }

#else

static void processor_rounds(const float *x, float *rounded) { memcpy(rounded, x, sizeof got); }
static void processor_rounds_two(const float *x, float *rounded) { processor_rounds(x, rounded); }
static void processor_adds_pairs(void) {}
static bool processor_has_bf16(void) { return false; }

#endif

static void the_processor_agrees(void **state) {
  (void)state;
  if (!processor_has_bf16()) {
    print_message("skipped: this processor has no avx512bf16\n");
    skip();
  }
  for (int round = 0; round < ROUNDS; round++) {
    draw_cases();
    for (int i = 0; i < CASES; i++) {
      float first = gw_fma_bf16(gw_bf16_round(a[1][i]), gw_bf16_round(b[1][i]), sum[i]);
      wanted[i] = gw_fma_bf16(gw_bf16_round(a[0][i]), gw_bf16_round(b[0][i]), first);
    }
    processor_adds_pairs();
    assert_same("vdpbf16ps");
    for (int i = 0; i < CASES; i++) wanted[i] = gw_bf16_round(sum[i]);
    processor_rounds(sum, got);
    assert_same("vcvtneps2bf16 of the sum");
    processor_rounds_two(sum, got);
    assert_same("vcvtne2ps2bf16 of the sum");
  }
}

/* ---- vectors ---- */

/* The products are 2^-150·(1 - 2^-46) and 2^-24·(1 - 2^-46): just less than half of the sum's last
 * place, and half of it once the sum is rounded to double. */
static void an_emulated_product_rounds_once(void **state) {
  (void)state;
  float normal = 0x1.000002p0f, subnormal = 0x1.000004p-127f;
  assert_true(gw_fma(0x1.000002p-12f, 0x1.fffffcp-13f, normal) == normal);
  assert_true(gw_fma(0x1.000002p-75f, 0x1.fffffcp-76f, subnormal) == subnormal);
}

static void compare_bf16(const GwLanes *lanes) {
  draw_cases();
  for (int i = 0; i < CASES; i++) wanted[i] = gw_bf16_round(sum[i]);
  lanes->bf16_round(sum, got, CASES);
  assert_same("gw_v_bf16_round");
  for (int i = 0; i < CASES; i++) {
    a[0][i] = gw_bf16_round(a[0][i]);
    b[0][i] = gw_bf16_round(b[0][i]);
    wanted[i] = gw_fma_bf16(a[0][i], b[0][i], sum[i]);
  }
  memcpy(got, sum, sizeof got);
  lanes->fma_bf16(a[0], b[0], got, CASES);
  assert_same("gw_v_fma_bf16");
  memcpy(got, sum, sizeof got);
  lanes->scalar_fma_bf16(a[0], b[0], got, CASES);
  assert_same("gw_fma_bf16 between the flush guards");
}

/* Operands of 24 bits and of 16: sums of the latter often lie halfway between two floats. */
static void compare_f32(const GwLanes *lanes, bool whole) {
  draw_cases();
  for (int i = 0; i < CASES; i++) {
    uint32_t low_a = random_bits() & 0xffffu, low_b = random_bits() & 0xffffu;
    if (whole) a[0][i] = gw__of_bits(gw__bits(a[0][i]) | low_a);
    if (whole) b[0][i] = gw__of_bits(gw__bits(b[0][i]) | low_b);
    sum[i] = random_sum(a[0][i] * b[0][i]);
    wanted[i] = gw_fma(a[0][i], b[0][i], sum[i]);
  }
  memcpy(got, sum, sizeof got);
  lanes->fma_f32(a[0], b[0], got, CASES);
  assert_same("gw_v_fma");
}

static void compare_lanes(const GwLanes *lanes) {
  for (int round = 0; round < ROUNDS / 4; round++) {
    compare_bf16(lanes);
    compare_f32(lanes, round & 1);
  }
  volatile float small = 0x1p-130f; /* outside the guards nothing flushes */
  assert_true(small * 2.0f == 0x1p-129f);
}

static void vectors_equal_scalars(void **state) {
  (void)state;
  compare_lanes(&gw_cpu_generic_lanes);
#if defined(__x86_64__)
  const GwLanes *const lanes[] = {&gw_cpu_avx2_lanes, &gw_cpu_avx512_lanes};
  const GwIsa isas[] = {GW_ISA_ID_AVX2, GW_ISA_ID_AVX512};
  for (int i = 0; i < 2; i++)
    if (gw_isa_available(isas[i]))
      compare_lanes(lanes[i]);
    else
      print_message("skipped: this machine has no %s\n", gw_isa_name(isas[i]));
#endif
}

int main(int argc, char **argv) {
  rng = gw_rng(gw_test_seed(argc, argv, 1), 0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(products_equal_a_definition_in_integers),
      cmocka_unit_test(values_round_to_the_nearest_bf16),
      cmocka_unit_test(results_flush_below_the_smallest_normal),
      cmocka_unit_test(pairs_add_their_second_term_first),
      cmocka_unit_test(the_processor_agrees),
      cmocka_unit_test(an_emulated_product_rounds_once),
      cmocka_unit_test(vectors_equal_scalars),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
