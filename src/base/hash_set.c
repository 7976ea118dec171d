/* Open addressing with linear probing; a hash's home is its high word scaled to the capacity. */
#include "base/hash_set.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_CAPACITY = 1024 };

GwHash128 gw_hash128(const void *data, size_t size) {
  XXH128_hash_t hash = XXH3_128bits(data, size);
  return (GwHash128){hash.low64, hash.high64};
}

void gw_hash_set_deinit(GwHashSet *set) {
  free(set->slots);
  *set = (GwHashSet){0};
}

/* The slot that holds `hash`, or the free one where it belongs. */
static GwHash128 *find(const GwHashSet *set, GwHash128 hash) {
  __extension__ typedef unsigned __int128 Wide;
  uint64_t at = (uint64_t)((Wide)hash.high * set->capacity >> 64);
  for (;; at = at + 1 == set->capacity ? 0 : at + 1) {
    GwHash128 *slot = &set->slots[at];
    if (slot->low == 0 && slot->high == 0) return slot;
    if (slot->low == hash.low && slot->high == hash.high) return slot;
  }
}

static GwStatus grow(GwHashSet *set) {
  uint64_t capacity = set->capacity ? set->capacity + set->capacity / 4 : FIRST_CAPACITY;
  GwHashSet grown = {calloc(capacity, sizeof *grown.slots), set->count, capacity};
  if (!grown.slots)
    return gw_fail(GW_MEMORY, "no memory for a set of %" PRIu64 " hashes", set->count);
  for (uint64_t i = 0; i < set->capacity; i++) {
    GwHash128 hash = set->slots[i];
    if (hash.low != 0 || hash.high != 0) *find(&grown, hash) = hash;
  }
  free(set->slots);
  *set = grown;
  return GW_OK;
}

GwStatus gw_hash_set_add(GwHashSet *set, GwHash128 hash, bool *added) {
  if (hash.low == 0 && hash.high == 0) hash.low = 1; /* all-zero means free */
  if (set->count >= set->capacity - set->capacity / 8) GW_TRY(grow(set));
  GwHash128 *slot = find(set, hash);
  *added = slot->low == 0 && slot->high == 0;
  if (*added) {
    *slot = hash;
    set->count++;
  }
  return GW_OK;
}
