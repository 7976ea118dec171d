/* What a BPE trainer has counted: every distinct piece and how often it occurred. Shared by the
 * counting (bpe_count.c) and the merging (bpe_train.c). */
#ifndef GW_BPE_COUNT_H
#define GW_BPE_COUNT_H

#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

typedef struct {
  uint64_t hash, count;
  size_t offset, size; /* its bytes stand at bytes[offset, offset + size) */
} GwBpePiece;

struct GwBpeTrainer {
  GwBpeTies ties;
  GwSplitter *split;
  uint8_t *bytes;
  size_t byte_count, byte_capacity;
  GwBpePiece *pieces;
  size_t piece_count, piece_capacity;
  size_t *slots; /* open addressing: index of a piece + 1, 0 for an empty slot */
  size_t slot_count;
};

#endif
