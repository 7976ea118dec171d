/* Tokenizers: bytes ↔ token ids. Byte-level, so every byte string has an encoding and decoding
 * gives exactly the bytes back (where the vocabulary asks for it, those of the text in Unicode's
 * normal form C).
 *
 *   byte   ids 0..255 are the bytes, 256 is the end-of-text token
 *   bpe    byte-pair merges inside the pieces of a split pattern (split.h); ids as the file has
 *          them, and as trained: 0..255 bytes, then one per merge, the end-of-text token last
 *
 * The end-of-text token stands at the head of every document, where it ends the text before; in a
 * vocabulary with a token for beginnings alone (Llama 3's <|begin_of_text|>) it is that one. It and
 * other special tokens never come from text, unless that is asked for. */
#ifndef GW_TOKENIZER_H
#define GW_TOKENIZER_H

#include "base/pool.h"
#include "os/fs.h"

typedef struct GwTokenizer GwTokenizer;

GwStatus gw_tokenizer_byte(GwTokenizer **out);

/* Trains BPE: texts are split into pieces (split.h) and counted, then the most frequent pair of
 * neighbouring tokens inside pieces is merged, again and again. A trainer serves one thread. */
typedef struct GwBpeTrainer GwBpeTrainer;
GwStatus gw_bpe_trainer_create(GwBpeTrainer **out);
/* Adds one document's text to the piece counts; documents may come in any order. */
GwStatus gw_bpe_trainer_add(GwBpeTrainer *trainer, const void *text, size_t size);
/* Counts of `from` are added to `into` (for one trainer per thread). */
GwStatus gw_bpe_trainer_merge(GwBpeTrainer *into, const GwBpeTrainer *from);
/* Of pairs that occur equally often the one to be merged first:
 *   GREATER_BYTES  the lexicographically greater pair of byte strings
 *   EARLIER_TOKEN  the one whose left token, then right token, is the older; single bytes are in
 *                  the order of GPT-2's alphabet. So Hugging Face's tokenizers does it. */
typedef enum { GW_TIES_GREATER_BYTES, GW_TIES_EARLIER_TOKEN } GwBpeTies;
void gw_bpe_trainer_break_ties(GwBpeTrainer *trainer, GwBpeTies ties); /* else GREATER_BYTES */
/* Merges until the vocabulary has `vocab_size` tokens (256 + merges + 1 end-of-text, so at least
 * 257, else GW_USAGE) or no pair occurs twice. The result depends on the counts only. The trainer
 * stays as it was. */
GwStatus gw_bpe_trainer_finish(GwBpeTrainer *trainer, int32_t vocab_size, GwTokenizer **out);
void gw_bpe_trainer_destroy(GwBpeTrainer *trainer);

/* Writes tokenizer.json in Hugging Face's byte-level BPE form, so that other tools read it. */
GwStatus gw_tokenizer_save(GwFs *fs, const GwTokenizer *tokenizer, const char *path);

/* Opens a tokenizer.json, a vocab.json (encoder.json) with its merges.txt (vocab.bpe) beside it, a
 * rank file of tiktoken, or a folder that has one of the first two by these names. Ids are as the
 * file gives them; the special tokens are those of added_tokens. The end-of-text token is the one
 * that post_processor puts before a text, else the one named <|endoftext|>, else <|begin_of_text|>,
 * else the last. A file that is damaged is GW_CORRUPT, one that means
 * something godwit would encode otherwise GW_UNSUPPORTED; the message names file and field.
 * `parse` reads the text of a file that needs no other; `name` stands for it in messages. */
GwStatus gw_tokenizer_open(GwFs *fs, const char *path, GwTokenizer **out);
GwStatus gw_tokenizer_parse(const char *name, const char *text, size_t size, GwTokenizer **out);
void gw_tokenizer_destroy(GwTokenizer *tokenizer);

/* Takes another special token for end-of-text, before the tokenizer is used; false when `id` is
 * none. */
bool gw_tokenizer_set_end_of_text(GwTokenizer *tokenizer, int32_t id);
/* The name of a special token, NULL for other ids. */
const char *gw_tokenizer_special_name(const GwTokenizer *tokenizer, int32_t id);

int32_t gw_tokenizer_vocab_size(const GwTokenizer *tokenizer);
int32_t gw_tokenizer_end_of_text(const GwTokenizer *tokenizer);
uint64_t gw_tokenizer_hash(const GwTokenizer *tokenizer); /* of its meaning, not of the file */

/* Ids of `text`, appended to a growing array: zero-initialise it, deinit it. On failure the array
 * keeps what it had. A tokenizer may serve many threads, a GwTokenIds one; it may go from one
 * tokenizer to another. */
typedef struct {
  int32_t *ids;
  size_t count, capacity;
  void *scratch; /* owned by the tokenizer code */
} GwTokenIds;
GwStatus gw_tokenizer_encode(const GwTokenizer *tokenizer, const void *text, size_t size,
                             GwTokenIds *out);
/* The same, but where `text` has the name of a special token (of several the longest), it becomes
 * that token. */
GwStatus gw_tokenizer_encode_special(const GwTokenizer *tokenizer, const void *text, size_t size,
                                     GwTokenIds *out);
GwStatus gw_token_ids_add(GwTokenIds *ids, int32_t id);
void gw_token_ids_deinit(GwTokenIds *ids);

/* The bytes of one token (0 bytes for special tokens and ids that are not used); needs an id in
 * [0, vocab_size). The pointer lives as long as the tokenizer. */
const uint8_t *gw_tokenizer_bytes(const GwTokenizer *tokenizer, int32_t id, size_t *size);

#endif
