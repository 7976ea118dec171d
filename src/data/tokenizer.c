/* The tokenizer object: its tables are built once and only read afterwards. */
#include "data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "data/tokenizer_table.h"

static bool copy_tokens(GwTokenizer *tokenizer, const GwTokenText *tokens) {
  size_t total = 0;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++) total += tokens[id].size;
  uint8_t *bytes = gw_arena_alloc(&tokenizer->arena, total);
  tokenizer->tokens = GW_ARENA_ARRAY(&tokenizer->arena, GwTokenText, tokenizer->vocab_size);
  if (!bytes || !tokenizer->tokens) return false;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++) {
    size_t size = tokens[id].size;
    if (size > 0) memcpy(bytes, tokens[id].bytes, size);
    tokenizer->tokens[id] = (GwTokenText){bytes, size};
    if (size == 1) tokenizer->byte_ids[bytes[0]] = id;
    bytes += size;
  }
  return true;
}

static bool copy_specials(GwTokenizer *tokenizer, const GwSpecialToken *specials) {
  tokenizer->specials = GW_ARENA_ARRAY(&tokenizer->arena, GwSpecialToken, tokenizer->special_count);
  if (!tokenizer->specials) return false;
  for (int32_t i = 0; i < tokenizer->special_count; i++) {
    const char *name = gw_arena_string(&tokenizer->arena, specials[i].name);
    if (!name) return false;
    tokenizer->specials[i] = (GwSpecialToken){specials[i].id, name};
  }
  return true;
}

static void insert_merge(GwTokenizer *tokenizer, const GwMerge *merge, int32_t rank) {
  uint64_t at = gw__pair_hash(merge->left, merge->right) & tokenizer->slot_mask;
  while (tokenizer->slots[at].rank != GW_NO_RANK) at = (at + 1) & tokenizer->slot_mask;
  tokenizer->slots[at] = (GwMergeSlot){merge->left, merge->right, rank};
}

static bool copy_merges(GwTokenizer *tokenizer, const GwMerge *merges) {
  uint64_t slots = 2;
  while (slots < 2 * (uint64_t)tokenizer->merge_count) slots *= 2;
  tokenizer->slot_mask = slots - 1;
  tokenizer->slots = GW_ARENA_ARRAY(&tokenizer->arena, GwMergeSlot, slots);
  tokenizer->merges = GW_ARENA_ARRAY(&tokenizer->arena, GwMerge, tokenizer->merge_count);
  if (!tokenizer->slots || !tokenizer->merges) return false;
  for (uint64_t i = 0; i < slots; i++) tokenizer->slots[i].rank = GW_NO_RANK;
  for (int32_t rank = 0; rank < tokenizer->merge_count; rank++) {
    tokenizer->merges[rank] = merges[rank];
    insert_merge(tokenizer, &merges[rank], rank);
  }
  return true;
}

/* Of the bytes behind every id, the merges in order and the end-of-text id; not of names. */
static uint64_t hash_meaning(const GwTokenizer *tokenizer) {
  uint64_t hash = (uint64_t)tokenizer->end_of_text;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++)
    hash = gw_hash_bytes(tokenizer->tokens[id].bytes, tokenizer->tokens[id].size, hash);
  return gw_hash_bytes(tokenizer->merges, sizeof(GwMerge) * (size_t)tokenizer->merge_count, hash);
}

GwStatus gw__tokenizer_create(const GwTokenizer *parts, GwTokenizer **out) {
  GwTokenizer *tokenizer = calloc(1, sizeof *tokenizer);
  if (!tokenizer) goto exhausted;
  gw_arena_init(&tokenizer->arena);
  tokenizer->vocab_size = parts->vocab_size;
  tokenizer->merge_count = parts->merge_count;
  tokenizer->special_count = parts->special_count;
  tokenizer->end_of_text = parts->end_of_text;
  for (int byte = 0; byte < 256; byte++) tokenizer->byte_ids[byte] = -1;
  if (!copy_tokens(tokenizer, parts->tokens)) goto exhausted;
  if (!copy_specials(tokenizer, parts->specials)) goto exhausted;
  if (!copy_merges(tokenizer, parts->merges)) goto exhausted;
  for (int byte = 0; byte < 256; byte++) GW_ASSERT(tokenizer->byte_ids[byte] >= 0);
  tokenizer->hash = hash_meaning(tokenizer);
  *out = tokenizer;
  return GW_OK;
exhausted:
  gw_tokenizer_destroy(tokenizer);
  return gw_fail(GW_MEMORY, "no memory for a tokenizer of %d tokens", parts->vocab_size);
}

GwStatus gw_tokenizer_byte(GwTokenizer **out) {
  uint8_t bytes[256];
  GwTokenText tokens[257] = {{0}};
  for (int byte = 0; byte < 256; byte++) {
    bytes[byte] = (uint8_t)byte;
    tokens[byte] = (GwTokenText){&bytes[byte], 1};
  }
  GwSpecialToken special = {256, GW_END_OF_TEXT_NAME};
  GwTokenizer parts = {.vocab_size = 257,
                       .end_of_text = 256,
                       .tokens = tokens,
                       .specials = &special,
                       .special_count = 1};
  return gw__tokenizer_create(&parts, out);
}

void gw_tokenizer_destroy(GwTokenizer *tokenizer) {
  if (!tokenizer) return;
  gw_arena_deinit(&tokenizer->arena);
  free(tokenizer);
}

int32_t gw_tokenizer_vocab_size(const GwTokenizer *tokenizer) { return tokenizer->vocab_size; }

int32_t gw_tokenizer_end_of_text(const GwTokenizer *tokenizer) { return tokenizer->end_of_text; }

uint64_t gw_tokenizer_hash(const GwTokenizer *tokenizer) { return tokenizer->hash; }

const uint8_t *gw_tokenizer_bytes(const GwTokenizer *tokenizer, int32_t id, size_t *size) {
  GW_ASSERT(id >= 0 && id < tokenizer->vocab_size);
  *size = tokenizer->tokens[id].size;
  return tokenizer->tokens[id].bytes;
}
