/* Philox4x32-10, a sequential generator on top of it, and the keyed permutation. */
#include "base/rng.h"

#include "base/mathd.h"

GwPhilox gw_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
  uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)UINT32_C(0xD2511F53) * c0;
    uint64_t b = (uint64_t)UINT32_C(0xCD9E8D57) * c2;
    uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    uint32_t n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)b;
    c3 = (uint32_t)a;
    c0 = n0;
    c2 = n2;
    k0 += UINT32_C(0x9E3779B9);
    k1 += UINT32_C(0xBB67AE85);
  }
  return (GwPhilox){{c0, c1, c2, c3}};
}

GwRng gw_rng(uint64_t seed, uint64_t stream) { return (GwRng){seed, stream, 0}; }

uint64_t gw_rng_u64(GwRng *rng) {
  GwPhilox bits = gw_philox(rng->key, rng->stream, rng->position++);
  return (uint64_t)bits.word[1] << 32 | bits.word[0];
}

uint64_t gw_rng_below(GwRng *rng, uint64_t bound) {
  GW_ASSERT(bound > 0);
  uint64_t reject = (0 - bound) % bound; /* 2^64 mod bound: values below it would be biased */
  uint64_t value;
  do {
    value = gw_rng_u64(rng);
  } while (value < reject);
  return value % bound;
}

double gw_rng_uniform(GwRng *rng) { return (double)(gw_rng_u64(rng) >> 11) * 0x1p-53; }

double gw_rng_normal(GwRng *rng) {
  double u, v, s;
  do {
    u = 2 * gw_rng_uniform(rng) - 1;
    v = 2 * gw_rng_uniform(rng) - 1;
    s = u * u + v * v;
  } while (s >= 1 || s == 0);
  return u * gw_sqrt_f64(-2 * gw_log_f64(s) / s);
}

uint64_t gw_permute(uint64_t key, uint64_t size, uint64_t index) {
  GW_ASSERT(size > 0 && index < size);
  unsigned half_bits = 1;
  while (half_bits < 32 && (UINT64_C(1) << (2 * half_bits)) < size) half_bits++;
  uint64_t mask = (UINT64_C(1) << half_bits) - 1;
  do { /* the network permutes [0, 4^half_bits); walk until back inside [0, size) */
    uint64_t left = index >> half_bits, right = index & mask;
    for (uint64_t round = 0; round < 6; round++) {
      uint64_t next = left ^ (gw_philox(key, round, right).word[0] & mask);
      left = right;
      right = next;
    }
    index = left << half_bits | right;
  } while (index >= size);
  return index;
}
