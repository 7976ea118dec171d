/* 64-bit hashes (XXH3 through libxxhash) in the two forms godwit needs.
 *
 * gw_hash_bytes    one buffer, seeded.
 * gw_hash_blocks   Σ over 64 KiB blocks of hash(block, seed + block index) mod 2^64: the sum may be
 *                  taken in any order and in any partition at block boundaries, so threads and
 * ranks can share the work. It is the state hash's building block. */
#ifndef GW_HASH64_H
#define GW_HASH64_H

#include "base/base.h"

enum { GW_HASH_BLOCK = 65536 };

uint64_t gw_hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t gw_hash_string(const char *text);
/* The seed of one block. */
uint64_t gw_hash_block_seed(uint64_t seed, uint64_t block);
/* Blocks [first, first+ceil(size/64Ki)) of a larger buffer; `first` is the index of data's block.
 */
uint64_t gw_hash_blocks(const void *data, size_t size, uint64_t first_block, uint64_t seed);

#endif
