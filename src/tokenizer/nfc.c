/* The text is normalised in stretches: a stretch ends before a character that nothing before it can
 * compose with and that is no mark, so it is mostly one character and its marks. libutf8proc knows
 * the characters, decomposes one and composes a stretch; it would sort marks in quadratic time, so
 * that is done here, by counting. */
#include "tokenizer/nfc.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/grow.h"

enum {
  FIRST_MARK = 0x300,     /* all below begin a stretch and are what they are */
  FIRST_MARK_LEAD = 0xcc, /* first byte of UTF-8 from there on */
  DECOMPOSED_MAX = 8,     /* of one character; it is 4 */
  CLASSES = 256
};

static GwStatus fail_memory(size_t size) {
  return gw_fail(GW_MEMORY, "no memory to normalise a text of %zu bytes", size);
}

/* Whether the text has a character from FIRST_MARK on: without one nothing changes. */
static bool may_change(const uint8_t *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (text[i] >= FIRST_MARK_LEAD) return true;
  return false;
}

static size_t find_ascii_end(const uint8_t *text, size_t size, size_t at) {
  while (at < size && text[at] < 0x80) at++;
  return at;
}

static int class_of(int32_t code) { return utf8proc_get_property(code)->combining_class; }

/* Whether a stretch may end before the character. Those that compose with one before them are
 * marks, but for Hangul's vowels and final consonants, and Kirat Rai's vowels. */
static bool begins_stretch(int32_t code) {
  if (code < FIRST_MARK) return true;
  if (code >= 0x1160 && code <= 0x11ff) return false;
  if (code >= 0x16d63 && code <= 0x16d67) return false;
  const utf8proc_property_t *property = utf8proc_get_property(code);
  return property->combining_class == 0 && property->category != UTF8PROC_CATEGORY_MN &&
         property->category != UTF8PROC_CATEGORY_MC && property->category != UTF8PROC_CATEGORY_ME;
}

static bool append(GwNfc *nfc, const uint8_t *bytes, size_t size) {
  if (size == 0) return true;
  if (!GW_GROW(nfc->text, nfc->capacity, nfc->size + size)) return false;
  memcpy(nfc->text + nfc->size, bytes, size);
  nfc->size += size;
  return true;
}

static bool push(GwNfc *nfc, int32_t code) {
  if (!GW_GROW(nfc->codes, nfc->code_capacity, nfc->count + DECOMPOSED_MAX)) return false;
  utf8proc_ssize_t count = utf8proc_decompose_char(code, nfc->codes + nfc->count, DECOMPOSED_MAX,
                                                   UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, NULL);
  GW_ASSERT(count >= 0 && count <= DECOMPOSED_MAX);
  nfc->count += (size_t)count;
  return true;
}

/* Sorts codes[begin, end) by their classes and keeps the order within one. */
static bool sort_marks(GwNfc *nfc, size_t begin, size_t end) {
  size_t starts[CLASSES + 1] = {0}, count = end - begin;
  bool ordered = true;
  int before = 0;
  for (size_t i = begin; i < end; i++) {
    int class = class_of(nfc->codes[i]);
    ordered = ordered && before <= class;
    before = class;
    starts[class + 1]++;
  }
  if (ordered) return true;
  if (!GW_GROW(nfc->sorted, nfc->sorted_capacity, count)) return false;
  for (int class = 0; class < CLASSES; class ++) starts[class + 1] += starts[class];
  for (size_t i = begin; i < end; i++)
    nfc->sorted[starts[class_of(nfc->codes[i])]++] = nfc->codes[i];
  memcpy(nfc->codes + begin, nfc->sorted, sizeof *nfc->codes * count);
  return true;
}

static bool sort_stretch(GwNfc *nfc) {
  for (size_t begin = 0, end; begin < nfc->count; begin = end) {
    end = begin + 1;
    if (class_of(nfc->codes[begin]) == 0) continue;
    while (end < nfc->count && class_of(nfc->codes[end]) != 0) end++;
    if (end - begin > 1 && !sort_marks(nfc, begin, end)) return false;
  }
  return true;
}

/* Ends the stretch: what it has become is appended to the text. */
static bool flush(GwNfc *nfc) {
  if (nfc->count > 1) {
    if (!sort_stretch(nfc)) return false;
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(nfc->codes, (utf8proc_ssize_t)nfc->count,
                                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    GW_ASSERT(composed > 0 && (size_t)composed <= nfc->count);
    nfc->count = (size_t)composed;
  }
  if (!GW_GROW(nfc->text, nfc->capacity, nfc->size + 4 * nfc->count)) return false;
  for (size_t i = 0; i < nfc->count; i++)
    nfc->size += (size_t)utf8proc_encode_char(nfc->codes[i], nfc->text + nfc->size);
  nfc->count = 0;
  return true;
}

/* Takes what stands at text[at, size): plain letters, of which the last may get marks, or one
 * character, or a byte that begins none. *step gets its size. */
static bool take(GwNfc *nfc, const uint8_t *text, size_t size, size_t at, size_t *step) {
  size_t ascii = find_ascii_end(text, size, at);
  int32_t code = text[at];
  if (ascii > at) {
    *step = ascii - at;
    return flush(nfc) && append(nfc, text + at, *step - 1) && push(nfc, text[ascii - 1]);
  }
  utf8proc_ssize_t length = utf8proc_iterate(text + at, (utf8proc_ssize_t)(size - at), &code);
  *step = length > 0 ? (size_t)length : 1;
  if (length <= 0) return flush(nfc) && append(nfc, text + at, 1);
  return (!begins_stretch(code) || flush(nfc)) && push(nfc, code);
}

GwStatus gw_nfc_normalize(GwNfc *nfc, const void *text, size_t size, const uint8_t **out,
                          size_t *out_size) {
  const uint8_t *bytes = text;
  *out = text;
  *out_size = size;
  if (!may_change(bytes, size)) return GW_OK;
  nfc->count = nfc->size = 0;
  for (size_t at = 0, step; at < size; at += step)
    if (!take(nfc, bytes, size, at, &step)) return fail_memory(size);
  if (!flush(nfc)) return fail_memory(size);
  *out = nfc->text;
  *out_size = nfc->size;
  return GW_OK;
}

void gw_nfc_deinit(GwNfc *nfc) {
  free(nfc->codes);
  free(nfc->sorted);
  free(nfc->text);
  *nfc = (GwNfc){0};
}
