/* The decoder: logits of the next token, token after token, with key/value caches.
 *
 * It holds one sequence per slot, each the tokens pushed to it so far. While they fit into the
 * context T, the model sees all of them; beyond that it sees a window of at most T that moves on by
 * T - T/2 whenever it is full, so that T/2 tokens are kept and read anew, positions counted from
 * the window's start. Which window it is depends on the number of tokens only: pushing them one by
 * one or many at a time, alone or beside other sequences, gives the same bits, and these are the
 * bits of an uncached pass over the window. */
#ifndef GW_DECODER_H
#define GW_DECODER_H

#include "exec/backend.h"
#include "godwit/recipe.h"

typedef struct GwDecoder GwDecoder;

/* `params`: the parameter buffer of `model` (borrowed). `slots`: sequences held at once, 1 or more.
 * `chunk`: at most this many tokens of a prompt are read at once, 1..T. */
GwStatus gw_decoder_create(const GwModelRecipe *model, const GwBackend *backend, GwPool *pool,
                           void *params, int64_t slots, int64_t chunk, GwDecoder **out);
void gw_decoder_destroy(GwDecoder *decoder);

/* Appends count >= 1 tokens to the sequence of a slot. *logits: [V] f32 of what follows the last
 * one, until the next push or step. */
GwStatus gw_decoder_push(GwDecoder *decoder, int64_t slot, const int32_t *tokens, int64_t count,
                         const float **logits);

/* Appends tokens[i] to the sequence of slot slots[i], for `count` different slots in one pass.
 * *logits: [count, V], likewise. */
GwStatus gw_decoder_step(GwDecoder *decoder, const int64_t *slots, const int32_t *tokens,
                         int64_t count, const float **logits);

/* Appends as push does, and hands on the logits after each of the tokens, a block at a time: those
 * [rows, V] after tokens [first, first + rows) of `tokens`. For sequences that stay within T. */
typedef GwStatus GwLogitsVisit(void *context, int64_t first, int64_t rows, const float *logits);
GwStatus gw_decoder_read(GwDecoder *decoder, int64_t slot, const int32_t *tokens, int64_t count,
                         GwLogitsVisit *visit, void *context);

/* Keeps the first `count` tokens of the slot's sequence, which must not be longer than T. */
void gw_decoder_truncate(GwDecoder *decoder, int64_t slot, int64_t count);

/* Where the window of a sequence of `count` tokens starts, for the context T. */
int64_t gw_decoder_window(int64_t count, int64_t context);

#endif
