/* 16-bit floating point in files: IEEE binary16 (f16) and bfloat16 (bf16), to and from f32.
 *
 * Rounding is to nearest, ties to even; subnormals are kept, what is too large becomes infinite,
 * and a NaN stays one. (The bf16 profile of products flushes subnormals; see op/real.h.) */
#ifndef GW_HALF_H
#define GW_HALF_H

#include "base/base.h"

uint16_t gw_f16_from_f32(float x);
float gw_f32_from_f16(uint16_t bits);
uint16_t gw_bf16_from_f32(float x);
float gw_f32_from_bf16(uint16_t bits);

#endif
