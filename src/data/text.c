/* Text as bytes: validity and safe cuts.
 *
 * Why gw_text_segment_end may cut, whichever pattern of split.h the tokens are made by. It cuts at
 * p in two cases, where c is the character before p:
 *
 *   a space begins at p and c is not white space
 *   c is a line feed, the character before it is not white space, and the one at p is neither
 *     white space nor a slash
 *
 *  - The piece that holds c ends at p. An alternative that takes a character other than white space
 *    takes none behind it but line ends (cl100k and its like, behind punctuation; o200k also
 *    slashes), and a space is no line end. A line feed is taken by such an alternative, which takes
 *    no more than line ends and slashes, or by one of white space; neither takes what is at p.
 *    Words begin with one character of their choice, but never with a line end. So a piece begins
 *    at p, and as no pattern looks back, the text from p on gives the same pieces alone.
 *  - The pieces before p stay the same without what follows. Only (?!\S) looks past the end of its
 *    own piece, by one character behind a run of white space. Such a run that ends before p is
 *    followed by a character before p, or is the line feed alone, which is the same piece with
 *    (?!\S) and without.
 *
 * Merges never leave a piece, so tokens of the parts are the tokens of the whole. Both cuts stand
 * beside an ASCII character, so that bytes that are not UTF-8 are the same bytes in any reading.
 *
 * Where text is normalised first (nfc.h), all this holds for the normalised text: normalising the
 * parts is normalising the whole, and what was looked at stays what it was.
 *
 *  - Marks move only among marks, and neither a space nor a line feed is one. Nothing composes with
 *    a space, before it or behind, nor with a line feed. So nothing passes the cut: at p stands a
 *    space, or before it a line feed.
 *  - No character that is not white space becomes white space or a slash, and none turns into
 *    nothing: what ends in another character still does, and what begins with one as well. */
#include "data/text.h"

#include <stdlib.h>
#include <string.h>

GwStatus gw_text_reserve(GwText *text, size_t more) {
  if (more <= text->capacity - text->size) return GW_OK;
  size_t wanted = text->size + more, capacity = text->capacity + text->capacity / 2;
  if (capacity < wanted) capacity = wanted;
  char *data = realloc(text->data, capacity);
  if (!data) return gw_fail(GW_MEMORY, "no memory for %zu bytes of text", capacity);
  text->data = data;
  text->capacity = capacity;
  return GW_OK;
}

GwStatus gw_text_append(GwText *text, const void *data, size_t size) {
  if (size == 0) return GW_OK;
  GW_TRY(gw_text_reserve(text, size));
  memcpy(text->data + text->size, data, size);
  text->size += size;
  return GW_OK;
}

void gw_text_deinit(GwText *text) {
  free(text->data);
  *text = (GwText){0};
}

static bool is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

size_t gw_text_character(const void *text, size_t left) {
  const uint8_t *at = text;
  uint8_t lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (left < length) return 0;
  for (size_t i = 1; i < length; i++)
    if (!is_continuation(at[i])) return 0;
  bool overlong = (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xf0 && at[1] < 0x90);
  bool surrogate = lead == 0xed && at[1] > 0x9f;
  bool beyond = lead == 0xf4 && at[1] > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

size_t gw_text_invalid_bytes(const void *text, size_t size) {
  const uint8_t *bytes = text;
  size_t invalid = 0, at = 0;
  while (at < size) {
    uint64_t eight;
    if (size - at >= 8 && (memcpy(&eight, bytes + at, 8), (eight & 0x8080808080808080u) == 0)) {
      at += 8;
      continue;
    }
    size_t length = gw_text_character(bytes + at, size - at);
    invalid += length == 0;
    at += length ? length : 1;
  }
  return invalid;
}

GwStatus gw_text_check(const char *name, const void *text, size_t size) {
  if (size == 0) return GW_OK;
  const uint8_t *nul = memchr(text, 0, size);
  if (nul)
    return gw_fail(GW_INVALID,
                   "%s: not text (a NUL byte at %zu); convert it to UTF-8 text, or leave it out",
                   name, (size_t)(nul - (const uint8_t *)text));
  size_t invalid = gw_text_invalid_bytes(text, size);
  if (invalid > size / 10)
    return gw_fail(GW_INVALID,
                   "%s: not text (%zu of %zu bytes are not UTF-8); convert it to UTF-8 text, "
                   "or leave it out",
                   name, invalid, size);
  return GW_OK;
}

size_t gw_text_tail(const void *text, size_t size, double fraction) {
  const uint8_t *bytes = text;
  double exact = fraction * (double)size;
  size_t tail = (size_t)exact;
  tail += (double)tail < exact; /* rounded up */
  size_t begin = tail < size ? size - tail : 0;
  for (int i = 0; i < 3 && begin > 0 && begin < size && is_continuation(bytes[begin]); i++) begin--;
  return begin;
}

/* Whether text[begin, at) ends in a character that is white space (Unicode's White_Space), or may:
 * of U+2000 to U+207F all are taken for it. */
static bool ends_in_space(const uint8_t *text, size_t begin, size_t at) {
  uint8_t last = text[at - 1];
  if (last < 0x80) return last == ' ' || (last >= '\t' && last <= '\r');
  if (at - begin >= 2 && text[at - 2] == 0xc2) return last == 0x85 || last == 0xa0;
  if (at - begin < 3) return true;
  const uint8_t *p = text + at - 3;
  return (p[0] == 0xe1 && p[1] == 0x9a && p[2] == 0x80) ||
         (p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81)) ||
         (p[0] == 0xe3 && p[1] == 0x80 && p[2] == 0x80);
}

/* Whether a character that begins with this byte is surely neither white space nor a slash. */
static bool begins_other(uint8_t byte) {
  if (byte < 0x80) return byte > ' ' && byte != '/';
  return byte >= 0xc3 && byte != 0xe1 && byte != 0xe2 && byte != 0xe3;
}

size_t gw_text_segment_end(const void *text, size_t size, size_t begin, size_t target) {
  const uint8_t *bytes = text;
  if (target == 0) target = 1;
  if (size - begin <= target) return size;
  for (size_t at = begin + target; at < size; at++) {
    if (bytes[at] == ' ' && !ends_in_space(bytes, begin, at)) return at;
    if (bytes[at - 1] == '\n' && at - begin >= 2 && !ends_in_space(bytes, begin, at - 1) &&
        begins_other(bytes[at]))
      return at;
  }
  return size;
}
