/* What preparation needs to know about text: a growing buffer of bytes, whether bytes are text at
 * all, and where text may be cut. */
#ifndef GW_TEXT_H
#define GW_TEXT_H

#include "base/base.h"

typedef struct {
  char *data;
  size_t size, capacity;
} GwText;

/* Makes room for `more` bytes behind the text's end. */
GwStatus gw_text_reserve(GwText *text, size_t more);
GwStatus gw_text_append(GwText *text, const void *data, size_t size);
void gw_text_deinit(GwText *text);

/* GW_INVALID, naming `name` and the remedy, when the bytes cannot be text: a NUL byte, or more than
 * a tenth of them outside valid UTF-8. */
GwStatus gw_text_check(const char *name, const void *text, size_t size);

/* Bytes of the valid UTF-8 sequence (RFC 3629) that `text` of `left` > 0 bytes begins with; 0 when
 * it begins with none. */
size_t gw_text_character(const void *text, size_t left);

/* Bytes of `text` that are not part of a valid UTF-8 sequence (RFC 3629). */
size_t gw_text_invalid_bytes(const void *text, size_t size);

/* Where the last ceil(fraction · size) bytes begin, moved back to the start of a character. */
size_t gw_text_tail(const void *text, size_t size, double fraction);

/* The end of the segment that begins at `begin`: at least `target` bytes on (or the text's end), at
 * a place where cutting cannot change the tokens; see text.c for the proof. */
size_t gw_text_segment_end(const void *text, size_t size, size_t begin, size_t target);

#endif
