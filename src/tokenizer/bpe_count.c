/* Counting pieces for BPE training: a hash table from the bytes of a piece to its count. Memory
 * grows with the distinct pieces, not with the text. */
#include "tokenizer/bpe_count.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash64.h"
#include "tokenizer/tokenizer_table.h"

enum { FIRST_SLOTS = 1024 };

GwStatus gw_bpe_trainer_create(GwBpeTrainer **out) {
  GwBpeTrainer *trainer = calloc(1, sizeof *trainer);
  if (!trainer) return gw_fail(GW_MEMORY, "no memory for a tokenizer trainer");
  GwStatus status = gw_split_create(GW_PATTERN_GPT2, &trainer->split);
  if (status == GW_OK)
    *out = trainer;
  else
    gw_bpe_trainer_destroy(trainer);
  return status;
}

void gw_bpe_trainer_destroy(GwBpeTrainer *trainer) {
  if (!trainer) return;
  gw_split_destroy(trainer->split);
  free(trainer->bytes);
  free(trainer->pieces);
  free(trainer->slots);
  free(trainer);
}

void gw_bpe_trainer_break_ties(GwBpeTrainer *trainer, GwBpeTies ties) { trainer->ties = ties; }

/* Keeps the table at most half full. */
static bool grow_slots(GwBpeTrainer *trainer) {
  if (2 * (trainer->piece_count + 1) <= trainer->slot_count) return true;
  size_t count = trainer->slot_count ? 2 * trainer->slot_count : FIRST_SLOTS;
  size_t *slots = calloc(count, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < trainer->piece_count; i++) {
    size_t at = trainer->pieces[i].hash & (count - 1);
    while (slots[at]) at = (at + 1) & (count - 1);
    slots[at] = i + 1;
  }
  free(trainer->slots);
  trainer->slots = slots;
  trainer->slot_count = count;
  return true;
}

/* The slot of a piece, or the empty one where it belongs. */
static size_t *find_slot(const GwBpeTrainer *trainer, const uint8_t *bytes, size_t size,
                         uint64_t hash) {
  for (size_t at = hash;; at++) {
    size_t *slot = &trainer->slots[at & (trainer->slot_count - 1)];
    if (!*slot) return slot;
    const GwBpePiece *piece = &trainer->pieces[*slot - 1];
    if (piece->hash == hash && piece->size == size &&
        memcmp(trainer->bytes + piece->offset, bytes, size) == 0)
      return slot;
  }
}

static GwStatus count_piece(GwBpeTrainer *trainer, const uint8_t *bytes, size_t size,
                            uint64_t count) {
  uint64_t hash = gw_hash_bytes(bytes, size, 0);
  if (!grow_slots(trainer)) goto exhausted;
  size_t *slot = find_slot(trainer, bytes, size, hash);
  if (!*slot) {
    if (!GW_GROW(trainer->pieces, trainer->piece_capacity, trainer->piece_count + 1) ||
        !GW_GROW(trainer->bytes, trainer->byte_capacity, trainer->byte_count + size))
      goto exhausted;
    trainer->pieces[trainer->piece_count++] = (GwBpePiece){hash, 0, trainer->byte_count, size};
    memcpy(trainer->bytes + trainer->byte_count, bytes, size);
    trainer->byte_count += size;
    *slot = trainer->piece_count;
  }
  trainer->pieces[*slot - 1].count += count;
  return GW_OK;
exhausted:
  return gw_fail(GW_MEMORY,
                 "no memory to count %zu distinct words; train the tokenizer on less text",
                 trainer->piece_count + 1);
}

GwStatus gw_bpe_trainer_add(GwBpeTrainer *trainer, const void *text, size_t size) {
  gw_split_start(trainer->split, text, size);
  for (;;) {
    const uint8_t *piece = NULL;
    size_t piece_size = 0;
    GW_TRY(gw_split_next(trainer->split, &piece, &piece_size));
    if (piece_size == 0) return GW_OK;
    GW_TRY(count_piece(trainer, piece, piece_size, 1));
  }
}

GwStatus gw_bpe_trainer_merge(GwBpeTrainer *into, const GwBpeTrainer *from) {
  GW_ASSERT(into != from);
  for (size_t i = 0; i < from->piece_count; i++) {
    const GwBpePiece *piece = &from->pieces[i];
    GW_TRY(count_piece(into, from->bytes + piece->offset, piece->size, piece->count));
  }
  return GW_OK;
}
