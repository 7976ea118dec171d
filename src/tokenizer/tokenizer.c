/* The tokenizer object: its tables are built once and only read afterwards. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "tokenizer/tokenizer_table.h"

enum { FILTER_BITS = 16 }; /* per merge, at least */

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
  uint64_t hash = gw__pair_hash(merge->left, merge->right), at = hash & tokenizer->slot_mask;
  uint64_t bit = hash >> 32 & tokenizer->filter_mask;
  tokenizer->filter[bit / 64] |= UINT64_C(1) << bit % 64;
  while (tokenizer->slots[at].rank != GW_NO_RANK) at = (at + 1) & tokenizer->slot_mask;
  tokenizer->slots[at] = (GwMergeSlot){merge->left, merge->right, rank};
  tokenizer->merges[rank] = *merge;
}

/* Room for up to `count` merges. */
static bool reserve_merges(GwTokenizer *tokenizer, int32_t count) {
  uint64_t slots = 2, bits = 64;
  while (slots < 2 * (uint64_t)count) slots *= 2;
  while (bits < FILTER_BITS * (uint64_t)count) bits *= 2;
  tokenizer->filter_mask = bits - 1;
  tokenizer->filter = GW_ARENA_ARRAY(&tokenizer->arena, uint64_t, bits / 64);
  tokenizer->slot_mask = slots - 1;
  tokenizer->slots = GW_ARENA_ARRAY(&tokenizer->arena, GwMergeSlot, slots);
  tokenizer->merges = GW_ARENA_ARRAY(&tokenizer->arena, GwMerge, count);
  if (!tokenizer->filter || !tokenizer->slots || !tokenizer->merges) return false;
  for (uint64_t i = 0; i < slots; i++) tokenizer->slots[i].rank = GW_NO_RANK;
  return true;
}

static GwStatus fail_memory(const GwTokenizer *tokenizer) {
  return gw_fail(GW_MEMORY, "no memory for a tokenizer of %d tokens", tokenizer->vocab_size);
}

static void insert_whole(GwTokenizer *tokenizer, int32_t id) {
  const GwTokenText *token = &tokenizer->tokens[id];
  uint64_t at = gw_hash_bytes(token->bytes, token->size, 0) & tokenizer->whole_mask;
  while (tokenizer->wholes[at] >= 0) at = (at + 1) & tokenizer->whole_mask;
  tokenizer->wholes[at] = id;
}

static GwStatus enter_wholes(GwTokenizer *tokenizer, const int32_t *ids, size_t count) {
  if (count == 0) return GW_OK;
  uint64_t slots = 2;
  while (slots < 2 * (uint64_t)count) slots *= 2;
  tokenizer->whole_mask = slots - 1;
  tokenizer->wholes = GW_ARENA_ARRAY(&tokenizer->arena, int32_t, slots);
  if (!tokenizer->wholes) return fail_memory(tokenizer);
  memset(tokenizer->wholes, 0xff, sizeof(int32_t) * slots);
  for (size_t i = 0; i < count; i++) insert_whole(tokenizer, ids[i]);
  return GW_OK;
}

/* Goes through the tokens in order and sees what the merges make of their bytes: where that is two
 * tokens and merges are to be derived, it is the next merge. Tokens that aren't reached come first
 * in `ids`, which encoding uses behind them. */
static GwStatus study_tokens(GwTokenizer *tokenizer, bool derive, GwTokenIds *ids) {
  size_t unreached = 0;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++) {
    const GwTokenText *token = &tokenizer->tokens[id];
    if (token->size < 2) continue;
    ids->count = unreached;
    GW_TRY(gw__encode_piece(tokenizer, token->bytes, token->size, ids));
    size_t count = ids->count - unreached;
    const int32_t *parts = ids->ids + unreached;
    if (derive && count == 2) {
      GwMerge merge = {parts[0], parts[1], id};
      insert_merge(tokenizer, &merge, tokenizer->merge_count++);
    } else if (count > 1) {
      ids->ids[unreached++] = id;
    }
  }
  return tokenizer->whole_pieces ? enter_wholes(tokenizer, ids->ids, unreached) : GW_OK;
}

static GwStatus set_merges(GwTokenizer *tokenizer, const GwTokenizer *parts) {
  bool derive = !parts->merges;
  if (!reserve_merges(tokenizer, derive ? parts->vocab_size : parts->merge_count))
    return fail_memory(tokenizer);
  for (int32_t rank = 0; !derive && rank < parts->merge_count; rank++)
    insert_merge(tokenizer, &parts->merges[rank], rank);
  if (!derive) tokenizer->merge_count = parts->merge_count;
  if (!derive && !parts->whole_pieces) return GW_OK;
  GwTokenIds ids = {0};
  GwStatus status = study_tokens(tokenizer, derive, &ids);
  gw_token_ids_deinit(&ids);
  return status;
}

/* Of the bytes behind every id, the merges in order, the end-of-text id and how text is split; not
 * of names. */
static uint64_t hash_meaning(const GwTokenizer *tokenizer) {
  uint64_t hash = (uint64_t)tokenizer->end_of_text;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++)
    hash = gw_hash_bytes(tokenizer->tokens[id].bytes, tokenizer->tokens[id].size, hash);
  hash = gw_hash_bytes(tokenizer->merges, sizeof(GwMerge) * (size_t)tokenizer->merge_count, hash);
  int32_t splitting[2] = {(int32_t)tokenizer->pattern, tokenizer->whole_pieces};
  bool usual = tokenizer->pattern == GW_PATTERN_GPT2 && !tokenizer->wholes;
  return usual ? hash : gw_hash_bytes(splitting, sizeof splitting, hash);
}

GwStatus gw__tokenizer_check_bytes(const char *name, const GwTokenizer *parts) {
  bool present[256] = {false};
  for (int32_t id = 0; id < parts->vocab_size; id++)
    if (parts->tokens[id].size == 1) present[parts->tokens[id].bytes[0]] = true;
  for (int byte = 0; byte < 256; byte++)
    if (!present[byte])
      return gw_fail(GW_CORRUPT, "%s: no token is the byte 0x%02x alone", name, (unsigned)byte);
  return GW_OK;
}

GwStatus gw__tokenizer_create(const GwTokenizer *parts, GwTokenizer **out) {
  GwTokenizer *tokenizer = calloc(1, sizeof *tokenizer);
  if (!tokenizer) return fail_memory(parts);
  gw_arena_init(&tokenizer->arena);
  tokenizer->vocab_size = parts->vocab_size;
  tokenizer->special_count = parts->special_count;
  tokenizer->end_of_text = parts->end_of_text;
  tokenizer->pattern = parts->pattern;
  tokenizer->whole_pieces = parts->whole_pieces;
  for (int byte = 0; byte < 256; byte++) tokenizer->byte_ids[byte] = -1;
  bool copied = copy_tokens(tokenizer, parts->tokens) && copy_specials(tokenizer, parts->specials);
  GwStatus status = copied ? set_merges(tokenizer, parts) : fail_memory(parts);
  if (status == GW_OK) {
    for (int byte = 0; byte < 256; byte++) GW_ASSERT(tokenizer->byte_ids[byte] >= 0);
    tokenizer->hash = hash_meaning(tokenizer);
    *out = tokenizer;
  } else {
    gw_tokenizer_destroy(tokenizer);
  }
  return status;
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

const char *gw_tokenizer_special_name(const GwTokenizer *tokenizer, int32_t id) {
  for (int32_t i = 0; i < tokenizer->special_count; i++)
    if (tokenizer->specials[i].id == id) return tokenizer->specials[i].name;
  return NULL;
}

uint64_t gw_tokenizer_hash(const GwTokenizer *tokenizer) { return tokenizer->hash; }

const uint8_t *gw_tokenizer_bytes(const GwTokenizer *tokenizer, int32_t id, size_t *size) {
  GW_ASSERT(id >= 0 && id < tokenizer->vocab_size);
  *size = tokenizer->tokens[id].size;
  return tokenizer->tokens[id].bytes;
}
