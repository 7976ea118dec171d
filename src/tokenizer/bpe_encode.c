/* Encoding: text → normalised text, where the vocabulary asks for that (nfc.h) → pieces (split.h) →
 * tokens. A piece starts as its bytes; of all neighbours that have a merge, the one of the lowest
 * rank (the leftmost among equals) is merged until none is left. The tokens stand in a linked list
 * and the candidates in a heap, so a piece of n bytes costs n log n. A small cache of short pieces,
 * one cache line each, answers for nearly all of a natural text; a piece goes to the one slot its
 * hash names, so memory is bounded. */
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash64.h"
#include "tokenizer/nfc.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer_table.h"

enum { CACHE_SLOTS = 1 << 15, CACHE_PIECE_MAX = 22, CACHE_IDS_MAX = 10 };

typedef struct {
  uint8_t size, count; /* size 0: an empty slot */
  uint8_t piece[CACHE_PIECE_MAX];
  int32_t ids[CACHE_IDS_MAX];
} CacheSlot;

typedef struct {
  int32_t id;
  int32_t previous, next; /* positions in the piece, -1 at its ends */
  int32_t rank;           /* of the merge with the next token */
} Node;

typedef struct {
  GwNfc nfc;
  GwSplitter *split; /* by the pattern of the tokenizer whose hash is cache_owner */
  CacheSlot *cache;
  uint64_t cache_owner;
  Node *nodes;
  size_t node_capacity;
  uint64_t *heap; /* rank << 32 | position, the smallest first */
  size_t heap_count, heap_capacity;
} Scratch;

static void scratch_destroy(Scratch *scratch) {
  if (!scratch) return;
  gw_nfc_deinit(&scratch->nfc);
  gw_split_destroy(scratch->split);
  gw_buffer_destroy(scratch->cache);
  free(scratch->nodes);
  free(scratch->heap);
  free(scratch);
}

static GwStatus scratch_create(const GwTokenizer *tokenizer, Scratch **out) {
  Scratch *scratch = calloc(1, sizeof *scratch);
  if (!scratch) return gw_fail(GW_MEMORY, "no memory to encode text");
  scratch->cache_owner = tokenizer->hash;
  scratch->cache = gw_buffer_create(sizeof(CacheSlot) * CACHE_SLOTS);
  GwStatus status = scratch->cache ? gw_split_create(tokenizer->pattern, &scratch->split)
                                   : gw_fail(GW_MEMORY, "no memory to encode text");
  if (status == GW_OK)
    *out = scratch;
  else
    scratch_destroy(scratch);
  return status;
}

static GwStatus get_scratch(const GwTokenizer *tokenizer, GwTokenIds *out, Scratch **scratch) {
  if (!out->scratch) {
    Scratch *created = NULL;
    GW_TRY(scratch_create(tokenizer, &created));
    out->scratch = created;
  }
  *scratch = out->scratch;
  if ((*scratch)->cache_owner == tokenizer->hash) return GW_OK;
  memset((*scratch)->cache, 0, sizeof(CacheSlot) * CACHE_SLOTS);
  (*scratch)->cache_owner = tokenizer->hash;
  if (gw_split_pattern((*scratch)->split) == tokenizer->pattern) return GW_OK;
  gw_split_destroy((*scratch)->split);
  (*scratch)->split = NULL;
  return gw_split_create(tokenizer->pattern, &(*scratch)->split);
}

static void heap_push(Scratch *scratch, uint64_t key) {
  GW_ASSERT(scratch->heap_count < scratch->heap_capacity);
  uint64_t *heap = scratch->heap;
  size_t at = scratch->heap_count++;
  for (; at > 0 && heap[(at - 1) / 2] > key; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = key;
}

static uint64_t heap_pop(Scratch *scratch) {
  uint64_t *heap = scratch->heap, top = heap[0], last = heap[--scratch->heap_count];
  size_t count = scratch->heap_count, at = 0;
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= last) break;
    heap[at] = heap[child];
  }
  heap[at] = last;
  return top;
}

/* Notes the merge of the token at `at` with its right neighbour, if they have one. */
static void propose(const GwTokenizer *tokenizer, Scratch *scratch, int32_t at) {
  Node *node = &scratch->nodes[at];
  node->rank = GW_NO_RANK;
  if (node->next < 0) return;
  node->rank = gw__merge_rank(tokenizer, node->id, scratch->nodes[node->next].id);
  if (node->rank != GW_NO_RANK) heap_push(scratch, (uint64_t)node->rank << 32 | (uint32_t)at);
}

static void merge_with_next(const GwTokenizer *tokenizer, Scratch *scratch, int32_t at) {
  Node *node = &scratch->nodes[at], *gone = &scratch->nodes[node->next];
  node->id = tokenizer->merges[node->rank].result;
  node->next = gone->next;
  gone->rank = GW_NO_RANK; /* what the heap still says about it is void */
  if (node->next >= 0) scratch->nodes[node->next].previous = at;
  propose(tokenizer, scratch, at);
  if (node->previous >= 0) propose(tokenizer, scratch, node->previous);
}

static GwStatus merge_piece(const GwTokenizer *tokenizer, Scratch *scratch, const uint8_t *piece,
                            size_t size) {
  if (size > INT32_MAX)
    return gw_fail(GW_UNSUPPORTED, "a single word of %zu bytes: is the input really text?", size);
  /* A merge takes one candidate from the heap and adds two at most: size + size at any time. */
  if (!GW_GROW(scratch->nodes, scratch->node_capacity, size) ||
      !GW_GROW(scratch->heap, scratch->heap_capacity, 2 * size))
    return gw_fail(GW_MEMORY, "no memory to encode a word of %zu bytes", size);
  int32_t count = (int32_t)size;
  for (int32_t i = 0; i < count; i++) {
    int32_t next = i + 1 < count ? i + 1 : -1;
    scratch->nodes[i] = (Node){tokenizer->byte_ids[piece[i]], i - 1, next, GW_NO_RANK};
  }
  scratch->heap_count = 0;
  for (int32_t i = 0; i < count; i++) propose(tokenizer, scratch, i);
  while (scratch->heap_count > 0) {
    uint64_t key = heap_pop(scratch);
    int32_t at = (int32_t)(uint32_t)key;
    if (scratch->nodes[at].rank == (int32_t)(key >> 32)) merge_with_next(tokenizer, scratch, at);
  }
  return GW_OK;
}

static GwStatus reserve_ids(GwTokenIds *out, size_t more) {
  if (GW_GROW(out->ids, out->capacity, out->count + more)) return GW_OK;
  return gw_fail(GW_MEMORY, "no memory for %zu token ids", out->count + more);
}

/* The token whose bytes are the whole piece, -1 for none. */
static int32_t find_whole(const GwTokenizer *tokenizer, const uint8_t *piece, size_t size,
                          uint64_t hash) {
  if (!tokenizer->wholes) return -1;
  for (uint64_t at = hash;; at++) {
    int32_t id = tokenizer->wholes[at & tokenizer->whole_mask];
    if (id < 0) return -1;
    const GwTokenText *token = &tokenizer->tokens[id];
    if (token->size == size && memcmp(token->bytes, piece, size) == 0) return id;
  }
}

static GwStatus merge_into(const GwTokenizer *tokenizer, Scratch *scratch, const uint8_t *piece,
                           size_t size, GwTokenIds *out) {
  GW_TRY(merge_piece(tokenizer, scratch, piece, size));
  for (int32_t at = 0; at >= 0; at = scratch->nodes[at].next)
    out->ids[out->count++] = scratch->nodes[at].id;
  return GW_OK;
}

GwStatus gw__encode_piece(const GwTokenizer *tokenizer, const uint8_t *piece, size_t size,
                          GwTokenIds *out) {
  Scratch *scratch = NULL;
  GW_TRY(get_scratch(tokenizer, out, &scratch));
  GW_TRY(reserve_ids(out, size));
  return merge_into(tokenizer, scratch, piece, size, out);
}

static GwStatus encode_piece(const GwTokenizer *tokenizer, Scratch *scratch, const uint8_t *piece,
                             size_t size, GwTokenIds *out) {
  GW_TRY(reserve_ids(out, size));
  uint64_t hash = gw_hash_bytes(piece, size, 0);
  CacheSlot *slot = NULL;
  if (size <= CACHE_PIECE_MAX) {
    slot = &scratch->cache[hash % CACHE_SLOTS];
    if (slot->size == size && memcmp(slot->piece, piece, size) == 0) {
      memcpy(out->ids + out->count, slot->ids, sizeof(int32_t) * slot->count);
      out->count += slot->count;
      return GW_OK;
    }
  }
  size_t first = out->count;
  int32_t whole = find_whole(tokenizer, piece, size, hash);
  if (whole >= 0)
    out->ids[out->count++] = whole;
  else
    GW_TRY(merge_into(tokenizer, scratch, piece, size, out));
  size_t count = out->count - first;
  if (!slot || count > CACHE_IDS_MAX) return GW_OK;
  slot->size = (uint8_t)size;
  slot->count = (uint8_t)count;
  memcpy(slot->piece, piece, size);
  memcpy(slot->ids, out->ids + first, sizeof(int32_t) * count);
  return GW_OK;
}

static GwStatus encode_bytes(const GwTokenizer *tokenizer, const uint8_t *text, size_t size,
                             GwTokenIds *out) {
  GW_TRY(reserve_ids(out, size));
  for (size_t i = 0; i < size; i++) out->ids[out->count + i] = tokenizer->byte_ids[text[i]];
  out->count += size;
  return GW_OK;
}

static GwStatus encode_normalized(const GwTokenizer *tokenizer, const uint8_t *text, size_t size,
                                  GwTokenIds *out) {
  if (tokenizer->merge_count == 0) return encode_bytes(tokenizer, text, size, out);
  Scratch *scratch = NULL;
  GW_TRY(get_scratch(tokenizer, out, &scratch));
  size_t before = out->count;
  GwStatus status = GW_OK;
  gw_split_start(scratch->split, text, size);
  for (;;) {
    const uint8_t *piece = NULL;
    size_t piece_size = 0;
    GW_TRY_GOTO(status, gw_split_next(scratch->split, &piece, &piece_size), failed);
    if (piece_size == 0) return GW_OK;
    GW_TRY_GOTO(status, encode_piece(tokenizer, scratch, piece, piece_size, out), failed);
  }
failed:
  out->count = before;
  return status;
}

GwStatus gw_tokenizer_encode(const GwTokenizer *tokenizer, const void *text, size_t size,
                             GwTokenIds *out) {
  const uint8_t *normalized = text;
  Scratch *scratch = NULL;
  if (tokenizer->nfc) {
    GW_TRY(get_scratch(tokenizer, out, &scratch));
    GW_TRY(gw_nfc_normalize(&scratch->nfc, text, size, &normalized, &size));
  }
  return encode_normalized(tokenizer, normalized, size, out);
}

GwStatus gw_token_ids_add(GwTokenIds *ids, int32_t id) {
  GW_TRY(reserve_ids(ids, 1));
  ids->ids[ids->count++] = id;
  return GW_OK;
}

/* The special token whose name stands at `text`, the longest; NULL for none. */
static const GwSpecialToken *special_at(const GwTokenizer *tokenizer, const char *text, size_t left,
                                        size_t *size) {
  const GwSpecialToken *found = NULL;
  *size = 0;
  for (int32_t i = 0; i < tokenizer->special_count; i++) {
    const GwSpecialToken *special = &tokenizer->specials[i];
    size_t length = strlen(special->name);
    if (length <= *size || length > left || memcmp(special->name, text, length) != 0) continue;
    found = special;
    *size = length;
  }
  return found;
}

GwStatus gw_tokenizer_encode_special(const GwTokenizer *tokenizer, const void *text, size_t size,
                                     GwTokenIds *out) {
  const char *bytes = text;
  size_t before = out->count, begin = 0;
  bool begins_name[256] = {false};
  for (int32_t i = 0; i < tokenizer->special_count; i++)
    begins_name[(uint8_t)tokenizer->specials[i].name[0]] = true;
  GwStatus status = GW_OK;
  for (size_t at = 0; at < size; at++) {
    if (!begins_name[(uint8_t)bytes[at]]) continue;
    size_t length = 0;
    const GwSpecialToken *special = special_at(tokenizer, bytes + at, size - at, &length);
    if (!special) continue;
    GW_TRY_GOTO(status, gw_tokenizer_encode(tokenizer, bytes + begin, at - begin, out), failed);
    GW_TRY_GOTO(status, gw_token_ids_add(out, special->id), failed);
    begin = at + length;
    at = begin - 1;
  }
  GW_TRY_GOTO(status, gw_tokenizer_encode(tokenizer, bytes + begin, size - begin, out), failed);
  return GW_OK;
failed:
  out->count = before;
  return status;
}

void gw_token_ids_deinit(GwTokenIds *ids) {
  free(ids->ids);
  scratch_destroy(ids->scratch);
  *ids = (GwTokenIds){0};
}
