/* The element types of ggml that godwit reads and writes. */
#include <string.h>

#include "base/half.h"
#include "interop/gguf.h"

enum { Q8_0_BYTES = 2 + GW_Q8_0_BLOCK };

const char *gw_ggml_name(uint32_t type) {
  switch (type) {
  case GW_GGML_F32: return "F32";
  case GW_GGML_F16: return "F16";
  case GW_GGML_Q8_0: return "Q8_0";
  case GW_GGML_BF16: return "BF16";
  default: return NULL;
  }
}

uint64_t gw_ggml_size(GwGgmlType type, uint64_t count) {
  if (type == GW_GGML_Q8_0) return count / GW_Q8_0_BLOCK * Q8_0_BYTES;
  return count * (type == GW_GGML_F32 ? 4 : 2);
}

static void encode_q8_0(const float *values, uint8_t *out) {
  float largest = 0;
  for (int i = 0; i < GW_Q8_0_BLOCK; i++) {
    float magnitude = values[i] < 0 ? -values[i] : values[i];
    if (magnitude > largest) largest = magnitude;
  }
  float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
  uint16_t half = gw_f16_from_f32(scale);
  memcpy(out, &half, sizeof half);
  for (int i = 0; i < GW_Q8_0_BLOCK; i++) {
    float scaled = values[i] * inverse;
    int whole = (int)scaled;
    float rest = scaled - (float)whole; /* exact */
    out[2 + i] = (uint8_t)(int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
  }
}

static void decode_q8_0(const uint8_t *data, float *out) {
  uint16_t half;
  memcpy(&half, data, sizeof half);
  float scale = gw_f32_from_f16(half);
  for (int i = 0; i < GW_Q8_0_BLOCK; i++) out[i] = scale * (float)(int8_t)data[2 + i];
}

void gw_ggml_encode(GwGgmlType type, const float *values, uint64_t count, void *out) {
  uint8_t *bytes = out;
  if (type == GW_GGML_F32) {
    memcpy(out, values, count * sizeof *values);
  } else if (type == GW_GGML_Q8_0) {
    GW_ASSERT(count % GW_Q8_0_BLOCK == 0);
    for (uint64_t i = 0; i < count; i += GW_Q8_0_BLOCK, bytes += Q8_0_BYTES)
      encode_q8_0(values + i, bytes);
  } else {
    for (uint64_t i = 0; i < count; i++, bytes += 2) {
      uint16_t half =
          type == GW_GGML_F16 ? gw_f16_from_f32(values[i]) : gw_bf16_from_f32(values[i]);
      memcpy(bytes, &half, sizeof half);
    }
  }
}

void gw_ggml_decode(GwGgmlType type, const void *data, uint64_t count, float *out) {
  const uint8_t *bytes = data;
  if (type == GW_GGML_F32) {
    memcpy(out, data, count * sizeof *out);
  } else if (type == GW_GGML_Q8_0) {
    GW_ASSERT(count % GW_Q8_0_BLOCK == 0);
    for (uint64_t i = 0; i < count; i += GW_Q8_0_BLOCK, bytes += Q8_0_BYTES)
      decode_q8_0(bytes, out + i);
  } else {
    for (uint64_t i = 0; i < count; i++, bytes += 2) {
      uint16_t half;
      memcpy(&half, bytes, sizeof half);
      out[i] = type == GW_GGML_F16 ? gw_f32_from_f16(half) : gw_f32_from_bf16(half);
    }
  }
}
