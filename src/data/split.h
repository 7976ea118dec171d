/* Cuts text into the pieces that byte-pair merges stay inside: GPT-2's split pattern, which keeps
 * words with the space before them, runs of digits, runs of punctuation and runs of white space.
 *
 * The pieces follow each other without a gap, whatever the bytes are: where they are not valid
 * UTF-8, the longest run of bytes that begin no valid character is a piece of its own, and the
 * pattern sees the text before and after it as two texts. */
#ifndef GW_SPLIT_H
#define GW_SPLIT_H

#include "base/base.h"

typedef struct GwSplitter GwSplitter; /* one text at a time, one thread */

GwStatus gw_split_create(GwSplitter **out);
void gw_split_destroy(GwSplitter *split); /* NULL is fine */

/* Starts on a new text, which must stay as it is until its last piece was taken. */
void gw_split_start(GwSplitter *split, const void *text, size_t size);
/* The next piece; *size is 0 at the end of the text. Time is linear in the text. */
GwStatus gw_split_next(GwSplitter *split, const uint8_t **piece, size_t *size);

#endif
