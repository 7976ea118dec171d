/* What a tokenizer is made of, shared by the files of this folder that build, read, write and use
 * one: the bytes of every id, the merges by rank, the special tokens, and a hash table from a pair
 * of ids to the rank of its merge. */
#ifndef GW_TOKENIZER_TABLE_H
#define GW_TOKENIZER_TABLE_H

#include "base/arena.h"
#include "base/rng.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

#define GW_END_OF_TEXT_NAME "<|endoftext|>"
#define GW_BEGIN_OF_TEXT_NAME "<|begin_of_text|>"
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
  /* A bit per pair that merges, at a place by its hash: most pairs don't, and are told so by a
   * table that stays in the second-level cache where the slots don't. [(filter_mask + 1) / 64] */
  uint64_t *filter;
  uint64_t filter_mask;
  bool nfc; /* text is normalised (nfc.h) before it is split */
  GwSplitPattern pattern;
  /* A piece that is a token becomes that token, whatever the merges say. Only the tokens that the
   * merges don't lead to are in the table: open addressing by the hash of their bytes. */
  bool whole_pieces;
  int32_t *wholes; /* [whole_mask + 1], -1 an empty slot; NULL when every token is reached */
  uint64_t whole_mask;
  uint64_t hash;
};

/* Makes a tokenizer from a copy of `parts`, of which the counts, the end-of-text id, the first
 * three arrays, nfc, the pattern and whole_pieces are read. Every byte must have a token; tokens
 * are distinct, and so are pairs of merges. An id that is neither a token nor special is unused.
 *
 * Where merges is NULL, any two tokens merge that together are a token, the one of the lowest id
 * first (tiktoken's way). That is one merge per token: the two that its bytes have become when all
 * merges before it are done. For in a text, too, its two parts can stand side by side only after
 * just those merges, as long as there was always one of them to do. A token whose bytes do not
 * become two in this way gets no merge; then the rule is not kept, and merge_count shows it. */
GwStatus gw__tokenizer_create(const GwTokenizer *parts, GwTokenizer **out);

/* GW_CORRUPT, naming the file `name`, unless every byte has a token. */
GwStatus gw__tokenizer_check_bytes(const char *name, const GwTokenizer *parts);

/* Appends the tokens that the merges make of one piece. */
GwStatus gw__encode_piece(const GwTokenizer *tokenizer, const uint8_t *piece, size_t size,
                          GwTokenIds *out);

static inline uint64_t gw__pair_hash(int32_t left, int32_t right) {
  return gw_mix64((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
}

/* The rank of the merge of two neighbours, GW_NO_RANK when they don't merge. */
static inline int32_t gw__merge_rank(const GwTokenizer *tokenizer, int32_t left, int32_t right) {
  uint64_t at = gw__pair_hash(left, right), bit = at >> 32 & tokenizer->filter_mask;
  if (!(tokenizer->filter[bit / 64] >> bit % 64 & 1)) return GW_NO_RANK;
  for (;; at++) {
    const GwMergeSlot *slot = &tokenizer->slots[at & tokenizer->slot_mask];
    if (slot->rank == GW_NO_RANK || (slot->left == left && slot->right == right)) return slot->rank;
  }
}

#endif
