/* 16-bit floats: every value comes back, and every rounding is to the nearest one, ties to even. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static bool is_nan_f16(uint32_t bits) { return (bits & 0x7fff) > 0x7c00; }

static void every_f16_comes_back(void **state) {
  (void)state;
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    float x = gw_f32_from_f16((uint16_t)bits);
    assert_int_equal(isnan(x), is_nan_f16(bits));
    uint16_t back = gw_f16_from_f32(x);
    if (!is_nan_f16(bits))
      assert_int_equal(back, bits);
    else
      assert_true(is_nan_f16(back));
    x = gw_f32_from_bf16((uint16_t)bits);
    if (!isnan(x)) assert_int_equal(gw_bf16_from_f32(x), bits);
    if (isnan(x)) assert_true(isnan(gw_f32_from_bf16(gw_bf16_from_f32(x))));
  }
}

/* Of the two neighbours that x lies between the nearer one, the even one when both are as near. */
static void assert_nearest(float x, uint16_t got, float (*value)(uint16_t), uint16_t infinite) {
  double d = fabs((double)value(got) - (double)x);
  uint16_t magnitude = got & 0x7fff;
  assert_int_equal(got >> 15, signbit(x) ? 1 : 0);
  if (magnitude == infinite) return; /* tested below */
  if (magnitude > 0) {
    double below = fabs((double)value((uint16_t)(got - 1)) - (double)x);
    assert_true(d < below || (d == below && (got & 1) == 0));
  }
  if (magnitude + 1 < infinite) {
    double above = fabs((double)value((uint16_t)(got + 1)) - (double)x);
    assert_true(d < above || (d == above && (got & 1) == 0));
  }
}

static void rounding_is_to_nearest_even(void **state) {
  (void)state;
  GwRng rng = gw_rng(3, 0);
  for (int i = 0; i < 2000000; i++) {
    uint32_t bits = (uint32_t)gw_rng_u64(&rng);
    if (i % 2)
      bits = (bits & 0x80001fff) | (uint32_t)(100 + gw_rng_below(&rng, 45)) << 23 |
             (uint32_t)gw_rng_below(&rng, 1024) << 13;
    float x = float_of(i % 4 < 2 ? bits : bits & 0xfffff000); /* many ties */
    if (!isfinite(x)) continue;
    assert_nearest(x, gw_f16_from_f32(x), gw_f32_from_f16, 0x7c00);
    assert_nearest(x, gw_bf16_from_f32(x), gw_f32_from_bf16, 0x7f80);
  }
}

static void the_edge_of_the_range_is_rounded(void **state) {
  (void)state;
  assert_int_equal(gw_f16_from_f32(65519.996f), 0x7bff);
  assert_int_equal(gw_f16_from_f32(65520.0f), 0x7c00);
  assert_int_equal(gw_f16_from_f32(-1e30f), 0xfc00);
  assert_int_equal(gw_f16_from_f32(0x1p-25f), 0);
  assert_int_equal(gw_f16_from_f32(0x1.8p-25f), 1);
  assert_int_equal(gw_f16_from_f32(-0.0f), 0x8000);
  assert_int_equal(gw_f16_from_f32(INFINITY), 0x7c00);
  assert_int_equal(gw_bf16_from_f32(0x1.ffp127f), 0x7f80);
  assert_int_equal(gw_bf16_from_f32(-INFINITY), 0xff80);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_f16_comes_back),
      cmocka_unit_test(rounding_is_to_nearest_even),
      cmocka_unit_test(the_edge_of_the_range_is_rounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
