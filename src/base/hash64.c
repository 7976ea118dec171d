/* Adapter to libxxhash's XXH3 64-bit hash. */
#include "base/hash64.h"

#include <string.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* the same function, by the widest vectors that the processor has */
#else
#include <xxhash.h>
#endif

#include "base/rng.h"

uint64_t gw_hash_bytes(const void *data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t gw_hash_string(const char *text) { return gw_hash_bytes(text, strlen(text), 0); }

uint64_t gw_hash_block_seed(uint64_t seed, uint64_t block) { return gw_mix64(seed + block); }

uint64_t gw_hash_blocks(const void *data, size_t size, uint64_t first_block, uint64_t seed) {
  uint64_t sum = 0;
  for (size_t at = 0, block = 0; at < size; at += GW_HASH_BLOCK, block++) {
    size_t length = size - at < GW_HASH_BLOCK ? size - at : GW_HASH_BLOCK;
    sum += gw_hash_bytes((const char *)data + at, length,
                         gw_hash_block_seed(seed, first_block + block));
  }
  return sum;
}
