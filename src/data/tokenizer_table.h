/* What a tokenizer is made of, shared by the files of this folder that build, read, write and use
 * one: the bytes of every id, the merges by rank, the special tokens, and a hash table from a pair
 * of ids to the rank of its merge. */
#ifndef GW_TOKENIZER_TABLE_H
#define GW_TOKENIZER_TABLE_H

#include "base/arena.h"
#include "base/rng.h"
#include "data/tokenizer.h"

#define GW_END_OF_TEXT_NAME "<|endoftext|>"
enum { GW_NO_RANK = INT32_MAX };

typedef struct {
  const uint8_t *bytes;
  size_t size;
} GwTokenText;

typedef struct {
  int32_t left, right, result;
} GwMerge;

typedef struct {
  int32_t id;
  const char *name;
} GwSpecialToken;

typedef struct {
  int32_t left, right, rank; /* GW_NO_RANK: an empty slot */
} GwMergeSlot;

struct GwTokenizer {
  GwArena arena; /* holds all that follows */
  int32_t vocab_size, merge_count, special_count, end_of_text;
  GwTokenText *tokens;      /* [vocab_size]; special tokens have no bytes */
  GwMerge *merges;          /* [merge_count], the lowest rank first */
  GwSpecialToken *specials; /* [special_count] */
  int32_t byte_ids[256];    /* the token of each byte */
  GwMergeSlot *slots;       /* [slot_mask + 1], open addressing */
  uint64_t slot_mask;
  uint64_t hash;
};

/* Makes a tokenizer from a copy of `parts`, of which the counts, the end-of-text id and the first
 * three arrays are read. Every byte must have a token, pairs of merges must be distinct. */
GwStatus gw__tokenizer_create(const GwTokenizer *parts, GwTokenizer **out);

static inline uint64_t gw__pair_hash(int32_t left, int32_t right) {
  return gw_mix64((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

/* The rank of the merge of two neighbours, GW_NO_RANK when they don't merge. */
static inline int32_t gw__merge_rank(const GwTokenizer *tokenizer, int32_t left, int32_t right) {
  for (uint64_t at = gw__pair_hash(left, right);; at++) {
    const GwMergeSlot *slot = &tokenizer->slots[at & tokenizer->slot_mask];
    if (slot->rank == GW_NO_RANK || (slot->left == left && slot->right == right)) return slot->rank;
  }
}

#endif
