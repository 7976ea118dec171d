/* Cuts text into the pieces that byte-pair merges stay inside: words with the space before them,
 * runs of digits, runs of punctuation and runs of white space. How exactly is one of the patterns
 * that published vocabularies were made with:
 *
 *   gpt2    GPT-2, r50k_base, p50k_base, and what godwit trains
 *   cl100k  cl100k_base, Llama 3: words take other marks before them too, three digits at most
 *   o200k   o200k_base: as cl100k, and a capital begins a new word
 *   qwen2   Qwen 2 and 3: as cl100k, each digit alone
 *
 * The pieces follow each other without a gap, whatever the bytes are: where they are not valid
 * UTF-8, the longest run of bytes that begin no valid character is a piece of its own, and the
 * pattern sees the text before and after it as two texts. */
#ifndef GW_SPLIT_H
#define GW_SPLIT_H

#include "base/base.h"

typedef enum {
  GW_PATTERN_GPT2,
  GW_PATTERN_CL100K,
  GW_PATTERN_O200K,
  GW_PATTERN_QWEN2,
  GW_PATTERN_COUNT
} GwSplitPattern;

/* The pattern as tokenizer.json spells it, and back: GW_PATTERN_COUNT for what is none of ours. */
const char *gw_split_spelling(GwSplitPattern pattern);
GwSplitPattern gw_split_find(const char *spelling);

typedef struct GwSplitter GwSplitter; /* one text at a time, one thread */

GwStatus gw_split_create(GwSplitPattern pattern, GwSplitter **out);
GwSplitPattern gw_split_pattern(const GwSplitter *split);
void gw_split_destroy(GwSplitter *split); /* NULL is fine */

/* Starts on a new text, which must stay as it is until its last piece was taken. */
void gw_split_start(GwSplitter *split, const void *text, size_t size);
/* The next piece; *size is 0 at the end of the text. Time is linear in the text. */
GwStatus gw_split_next(GwSplitter *split, const uint8_t **piece, size_t *size);

#endif
