/* By the bits of the f32: what is cut off decides the rounding. */
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* `mantissa` without its last `shift` bits, rounded to nearest even; 0 < shift < 32. */
static uint32_t round_off(uint32_t mantissa, uint32_t shift) {
  uint32_t half = UINT32_C(1) << (shift - 1), kept = mantissa >> shift;
  uint32_t rest = mantissa & (2 * half - 1);
  return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t gw_f16_from_f32(float x) {
  uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
  if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 2^16 and above */
  if (magnitude >= 0x38800000)                                   /* 2^-14: normal */
    return (uint16_t)(sign | round_off(magnitude - 0x38000000, 13));
  uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return (uint16_t)sign; /* below half of 2^-24, the least subnormal */
  return (uint16_t)(sign | round_off((magnitude & 0x7fffff) | 0x800000, 126 - exponent));
}

float gw_f32_from_f16(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return float_of(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  if (magnitude >= 0x400) return float_of(sign | ((magnitude << 13) + 0x38000000));
  float x = (float)magnitude * 0x1p-24f;
  return float_of(sign | bits_of(x));
}

uint16_t gw_bf16_from_f32(float x) {
  uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float gw_f32_from_bf16(uint16_t bits) { return float_of((uint32_t)bits << 16); }
