/* Learning merges from piece counts (Sennrich et al., "Neural machine translation of rare words
 * with subword units", 2016), incrementally.
 *
 * All pieces stand in one array of places, first one per byte; a merge joins a place with the next
 * one of its piece. Every pair of tokens keeps its weighted count and the places where it arose,
 * some of which may have vanished since. A heap gives the pair to merge next: only a new token
 * makes new pairs, so once a pair is in the heap its count can only fall, and an entry that turns
 * out to be stale is put back with the count of now. The work is that of the places touched,
 * however long a piece is.
 *
 * Places of a pair are in ascending order, so runs like "aaaa" are merged from the left, as the
 * encoder does. No two merges give the same bytes: a stretch of text whose edges no token has
 * crossed is cut the same way wherever it stands. */
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "tokenizer/bpe_count.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_table.h"

#define NONE UINT32_MAX
enum { FIRST_SLOTS = 4096, COUNT_MIN = 2 };

typedef struct {
  int32_t id; /* -1: part of the token of an earlier place */
  uint32_t previous, next;
  uint32_t piece;
} Place;

typedef struct {
  int32_t left, right;
  uint64_t count;
  uint32_t *places;
  size_t place_count, place_capacity;
} Pair;

typedef struct {
  uint64_t count;
  uint32_t pair;
} Candidate;

typedef struct {
  GwBpeTies ties;
  GwByteAlphabet alphabet;
  const GwBpePiece *pieces;
  Place *places;
  uint32_t place_count;
  Pair *pairs;
  size_t pair_count, pair_capacity;
  uint32_t *slots; /* open addressing: index of a pair, NONE for an empty slot */
  size_t slot_count;
  Candidate *heap; /* the best first */
  size_t heap_count, heap_capacity;
  GwArena bytes; /* of the tokens */
  GwTokenText *tokens;
  size_t token_count, token_capacity;
  GwMerge *merges;
  size_t merge_count, merge_capacity;
} Merger;

static GwStatus fail_memory(void) {
  return gw_fail(GW_MEMORY, "no memory to train the tokenizer; train it on less text");
}

/* Order of two byte strings, a prefix being the lesser. */
static int compare_tokens(GwTokenText a, GwTokenText b) {
  int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
  return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The place of a token in the order of age: bytes by their character, merged tokens after them. */
static int32_t age_of(const Merger *merger, int32_t id) {
  return id < 256 ? merger->alphabet.code[id] : GW_ALPHABET_END + id;
}

/* Whether a is to be merged before b. */
static bool is_before(const Merger *merger, Candidate a, Candidate b) {
  if (a.count != b.count) return a.count > b.count;
  const Pair *x = &merger->pairs[a.pair], *y = &merger->pairs[b.pair];
  if (merger->ties == GW_TIES_EARLIER_TOKEN) {
    if (x->left != y->left) return age_of(merger, x->left) < age_of(merger, y->left);
    return age_of(merger, x->right) < age_of(merger, y->right);
  }
  int order = compare_tokens(merger->tokens[x->left], merger->tokens[y->left]);
  if (order == 0) order = compare_tokens(merger->tokens[x->right], merger->tokens[y->right]);
  return order > 0;
}

/* Enters a pair with its count of now, unless that is too low to merge. */
static GwStatus heap_push(Merger *merger, size_t pair) {
  Candidate entry = {merger->pairs[pair].count, (uint32_t)pair};
  if (entry.count < COUNT_MIN) return GW_OK;
  if (!GW_GROW(merger->heap, merger->heap_capacity, merger->heap_count + 1)) return fail_memory();
  size_t at = merger->heap_count++;
  for (size_t up; at > 0 && is_before(merger, entry, merger->heap[up = (at - 1) / 2]); at = up)
    merger->heap[at] = merger->heap[up];
  merger->heap[at] = entry;
  return GW_OK;
}

static Candidate heap_pop(Merger *merger) {
  Candidate *heap = merger->heap, top = heap[0], last = heap[--merger->heap_count];
  size_t count = merger->heap_count, at = 0;
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && is_before(merger, heap[child + 1], heap[child])) child++;
    if (!is_before(merger, heap[child], last)) break;
    heap[at] = heap[child];
  }
  heap[at] = last;
  return top;
}

static GwStatus grow_slots(Merger *merger) {
  if (2 * (merger->pair_count + 1) <= merger->slot_count) return GW_OK;
  size_t count = merger->slot_count ? 2 * merger->slot_count : FIRST_SLOTS;
  uint32_t *slots = malloc(sizeof *slots * count);
  if (!slots) return fail_memory();
  memset(slots, 0xff, sizeof *slots * count);
  for (size_t i = 0; i < merger->pair_count; i++) {
    size_t at = gw__pair_hash(merger->pairs[i].left, merger->pairs[i].right) & (count - 1);
    while (slots[at] != NONE) at = (at + 1) & (count - 1);
    slots[at] = (uint32_t)i;
  }
  free(merger->slots);
  merger->slots = slots;
  merger->slot_count = count;
  return GW_OK;
}

/* The slot of a pair, or the empty one where it belongs. */
static uint32_t *find_slot(const Merger *merger, int32_t left, int32_t right) {
  for (uint64_t at = gw__pair_hash(left, right);; at++) {
    uint32_t *slot = &merger->slots[at & (merger->slot_count - 1)];
    if (*slot == NONE) return slot;
    if (merger->pairs[*slot].left == left && merger->pairs[*slot].right == right) return slot;
  }
}

static uint64_t weight_at(const Merger *merger, uint32_t at) {
  return merger->pieces[merger->places[at].piece].count;
}

/* Counts the pair of the token at `at` and the one after it. */
static GwStatus add_pair(Merger *merger, uint32_t at) {
  int32_t left = merger->places[at].id;
  int32_t right = merger->places[merger->places[at].next].id;
  GW_TRY(grow_slots(merger));
  uint32_t *slot = find_slot(merger, left, right);
  if (*slot == NONE) {
    if (!GW_GROW(merger->pairs, merger->pair_capacity, merger->pair_count + 1))
      return fail_memory();
    *slot = (uint32_t)merger->pair_count++;
    merger->pairs[*slot] = (Pair){.left = left, .right = right};
  }
  Pair *pair = &merger->pairs[*slot];
  if (!GW_GROW(pair->places, pair->place_capacity, pair->place_count + 1)) return fail_memory();
  pair->places[pair->place_count++] = at;
  pair->count += weight_at(merger, at);
  return GW_OK;
}

/* Takes back what add_pair counted at `at`; the place stays in the list and is found stale. */
static void remove_pair(Merger *merger, uint32_t at) {
  int32_t left = merger->places[at].id;
  int32_t right = merger->places[merger->places[at].next].id;
  Pair *pair = &merger->pairs[*find_slot(merger, left, right)];
  GW_ASSERT(pair->count >= weight_at(merger, at));
  pair->count -= weight_at(merger, at);
}

/* Joins the token at `at` and the next one into `result`. */
static GwStatus merge_place(Merger *merger, uint32_t at, int32_t result) {
  Place *place = &merger->places[at], *gone = &merger->places[place->next];
  remove_pair(merger, at);
  if (place->previous != NONE) remove_pair(merger, place->previous);
  if (gone->next != NONE) remove_pair(merger, place->next);
  place->id = result;
  place->next = gone->next;
  gone->id = -1;
  if (place->next != NONE) merger->places[place->next].previous = at;
  if (place->previous != NONE) GW_TRY(add_pair(merger, place->previous));
  if (place->next != NONE) GW_TRY(add_pair(merger, at));
  return GW_OK;
}

static GwStatus add_token(Merger *merger, GwTokenText token) {
  if (!GW_GROW(merger->tokens, merger->token_capacity, merger->token_count + 1))
    return fail_memory();
  merger->tokens[merger->token_count++] = token;
  return GW_OK;
}

static GwStatus add_merge(Merger *merger, int32_t left, int32_t right) {
  GwTokenText a = merger->tokens[left], b = merger->tokens[right];
  uint8_t *bytes = gw_arena_alloc(&merger->bytes, a.size + b.size);
  if (!bytes || !GW_GROW(merger->merges, merger->merge_capacity, merger->merge_count + 1))
    return fail_memory();
  memcpy(bytes, a.bytes, a.size);
  memcpy(bytes + a.size, b.bytes, b.size);
  merger->merges[merger->merge_count++] = (GwMerge){left, right, (int32_t)merger->token_count};
  return add_token(merger, (GwTokenText){bytes, a.size + b.size});
}

/* Merges a pair wherever it stands and enters the pairs that this makes. */
static GwStatus merge_pair(Merger *merger, size_t index) {
  int32_t left = merger->pairs[index].left, right = merger->pairs[index].right;
  int32_t result = (int32_t)merger->token_count;
  size_t count = merger->pairs[index].place_count, first_new = merger->pair_count;
  uint32_t *places = merger->pairs[index].places;
  merger->pairs[index].places = NULL; /* ours now: the array of pairs may move */
  GwStatus status = add_merge(merger, left, right);
  for (size_t i = 0; status == GW_OK && i < count; i++) {
    const Place *place = &merger->places[places[i]];
    if (place->id != left || place->next == NONE || merger->places[place->next].id != right)
      continue;
    status = merge_place(merger, places[i], result);
  }
  free(places);
  GW_TRY(status);
  GW_ASSERT(merger->pairs[index].count == 0);
  for (size_t i = first_new; i < merger->pair_count; i++) GW_TRY(heap_push(merger, i));
  return GW_OK;
}

static GwStatus merge_until(Merger *merger, size_t token_count) {
  while (merger->token_count < token_count && merger->heap_count > 0) {
    Candidate best = heap_pop(merger);
    if (best.count == merger->pairs[best.pair].count)
      GW_TRY(merge_pair(merger, best.pair));
    else
      GW_TRY(heap_push(merger, best.pair));
  }
  return GW_OK;
}

/* One place per byte of every piece, and the pairs of neighbours. */
static GwStatus place_pieces(Merger *merger, const GwBpeTrainer *trainer) {
  if (trainer->byte_count >= NONE || trainer->piece_count >= NONE)
    return gw_fail(GW_UNSUPPORTED,
                   "%zu bytes of distinct words; a tokenizer is trained on at most 4 GiB of them: "
                   "train it on less text",
                   trainer->byte_count);
  merger->pieces = trainer->pieces;
  merger->places = malloc(sizeof(Place) * (trainer->byte_count + 1));
  if (!merger->places) return fail_memory();
  for (uint32_t p = 0; p < trainer->piece_count; p++) {
    const GwBpePiece *piece = &trainer->pieces[p];
    for (size_t i = 0; i < piece->size; i++) {
      uint32_t at = merger->place_count++;
      uint32_t previous = i > 0 ? at - 1 : NONE, next = i + 1 < piece->size ? at + 1 : NONE;
      merger->places[at] = (Place){trainer->bytes[piece->offset + i], previous, next, p};
    }
  }
  for (uint32_t at = 0; at < merger->place_count; at++)
    if (merger->places[at].next != NONE) GW_TRY(add_pair(merger, at));
  return GW_OK;
}

static void merger_deinit(Merger *merger) {
  for (size_t i = 0; i < merger->pair_count; i++) free(merger->pairs[i].places);
  free(merger->places);
  free(merger->pairs);
  free(merger->slots);
  free(merger->heap);
  free(merger->tokens);
  free(merger->merges);
  gw_arena_deinit(&merger->bytes);
}

static GwStatus train(Merger *merger, const GwBpeTrainer *trainer, int32_t vocab_size) {
  uint8_t *bytes = gw_arena_alloc(&merger->bytes, 256);
  if (!bytes) return fail_memory();
  for (int byte = 0; byte < 256; byte++) {
    bytes[byte] = (uint8_t)byte;
    GW_TRY(add_token(merger, (GwTokenText){&bytes[byte], 1}));
  }
  GW_TRY(place_pieces(merger, trainer));
  for (size_t i = 0; i < merger->pair_count; i++) GW_TRY(heap_push(merger, i));
  GW_TRY(merge_until(merger, (size_t)vocab_size - 1));
  return add_token(merger, (GwTokenText){0});
}

GwStatus gw_bpe_trainer_finish(GwBpeTrainer *trainer, int32_t vocab_size, GwTokenizer **out) {
  if (vocab_size < 257)
    return gw_fail(GW_USAGE,
                   "a vocabulary of %d tokens cannot hold 256 bytes and the end-of-text token: "
                   "give 257 or more",
                   vocab_size);
  Merger merger = {.ties = trainer->ties};
  gw_byte_alphabet_init(&merger.alphabet);
  GwStatus status = train(&merger, trainer, vocab_size);
  if (status == GW_OK) {
    int32_t end_of_text = (int32_t)merger.token_count - 1;
    GwSpecialToken special = {end_of_text, GW_END_OF_TEXT_NAME};
    GwTokenizer parts = {.vocab_size = end_of_text + 1,
                         .end_of_text = end_of_text,
                         .tokens = merger.tokens,
                         .merges = merger.merges,
                         .merge_count = (int32_t)merger.merge_count,
                         .specials = &special,
                         .special_count = 1};
    status = gw__tokenizer_create(&parts, out);
  }
  merger_deinit(&merger);
  return status;
}
