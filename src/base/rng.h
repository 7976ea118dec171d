/* Randomness that needs no state: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011) maps (key, counter) to 128 random bits. Whoever knows the key and the
 * counter gets the same bits, on any thread, in any order. GwRng is a sequential view for tests and
 * sampling. */
#ifndef GW_RNG_H
#define GW_RNG_H

#include "base/base.h"

typedef struct {
  uint32_t word[4];
} GwPhilox;

/* 128 bits for a 64-bit key and a 128-bit counter given as two halves. */
GwPhilox gw_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low);

typedef struct {
  uint64_t key;
  uint64_t stream;
  uint64_t position;
} GwRng;

GwRng gw_rng(uint64_t seed, uint64_t stream);
uint64_t gw_rng_u64(GwRng *rng);
/* Uniform in [0, bound), exact (rejection); bound > 0. */
uint64_t gw_rng_below(GwRng *rng, uint64_t bound);
/* Uniform in [0, 1) with 53 bits. */
double gw_rng_uniform(GwRng *rng);
/* Standard normal, by the polar method on our own log and sqrt: the same bits everywhere. */
double gw_rng_normal(GwRng *rng);

/* A bijection of [0, size) chosen by `key`: position → element of a keyed permutation, without any
 * table (a 6-round Feistel network over Philox with cycle walking). Needs 0 <= index < size. */
uint64_t gw_permute(uint64_t key, uint64_t size, uint64_t index);

/* A well-mixed 64-bit value (the finaliser of SplitMix64, Steele et al. 2014). */
static inline uint64_t gw_mix64(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

#endif
