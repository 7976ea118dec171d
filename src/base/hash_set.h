/* A set of 128-bit hashes (XXH3): which documents, say, were seen before. Two that differ are taken
 * for copies with probability below n^2 / 2^129 for n of them.
 *
 * Memory: 16 bytes per slot, at most 7 of 8 slots used, growing by a quarter: 18.3 to 22.9 bytes
 * per hash, and the old table beside the new one while it grows. */
#ifndef GW_HASH_SET_H
#define GW_HASH_SET_H

#include "base/base.h"

typedef struct {
  uint64_t low, high;
} GwHash128;

GwHash128 gw_hash128(const void *data, size_t size);

typedef struct {
  GwHash128 *slots; /* all-zero: free */
  uint64_t count, capacity;
} GwHashSet;

/* Zero-initialise a set; deinit frees it and leaves it empty. */
void gw_hash_set_deinit(GwHashSet *set);
/* *added is false when the hash was there. */
GwStatus gw_hash_set_add(GwHashSet *set, GwHash128 hash, bool *added);

#endif
