/* Four bits at a time: what is checked here is a few hundred bytes a step. */
#include "base/crc32c.h"

/* The remainders of the four-bit numbers, for the polynomial 0x1edc6f41 with its bits reversed. */
static const uint32_t table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

uint32_t gw_crc32c(const void *data, size_t size) {
  const uint8_t *bytes = data;
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < size; i++) {
    crc = crc >> 4 ^ table[(crc ^ bytes[i]) & 15];
    crc = crc >> 4 ^ table[(crc ^ (uint32_t)(bytes[i] >> 4)) & 15];
  }
  return ~crc;
}
