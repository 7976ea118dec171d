/* The patterns run through PCRE2, compiled to machine code where that is possible. The text is
 * checked for UTF-8 here, once, and PCRE2 gets stretches that it can trust: it would check the
 * whole rest of the text at every piece. Every character matches some branch at its own place, so
 * patterns are anchored, and repeats that nothing follows are possessive (no way back is kept).
 *
 * White space is spelled out (Unicode's White_Space): what \s means differs between libraries. */
#include "tokenizer/split.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define SPACE                                                                                      \
  "\\t-\\r "                                                                                       \
  "\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define WHITE_SPACE "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]++"
#define LINE_ENDS "|[" SPACE "]*[\\r\\n]++"
#define SUFFIX "(?i:'[sdmt]|'re|'ve|'ll)"
#define PREFIX "[^\\r\\n\\p{L}\\p{N}]" /* what a word may take before it */
/* Letters that begin a word of o200k, and those that go on with it; some are both. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const char *const PATTERNS[GW_PATTERN_COUNT] = {
    [GW_PATTERN_GPT2] = "'s|'t|'re|'ve|'m|'ll|'d"
                        "| ?\\p{L}++"
                        "| ?\\p{N}++"
                        "| ?[^" SPACE "\\p{L}\\p{N}]++" WHITE_SPACE,
    [GW_PATTERN_CL100K] = SUFFIX "|" PREFIX "?+\\p{L}++"
                                 "|\\p{N}{1,3}+"
                                 "| ?[^" SPACE "\\p{L}\\p{N}]++[\\r\\n]*+" LINE_ENDS WHITE_SPACE,
    [GW_PATTERN_O200K] = PREFIX "?" UPPER "*" LOWER "++" SUFFIX "?+"
                                "|" PREFIX "?" UPPER "++" LOWER "*+" SUFFIX "?+"
                                "|\\p{N}{1,3}+"
                                "| ?[^" SPACE "\\p{L}\\p{N}]++[\\r\\n/]*+" LINE_ENDS WHITE_SPACE,
    [GW_PATTERN_QWEN2] = SUFFIX "|" PREFIX "?+\\p{L}++"
                                "|\\p{N}"
                                "| ?[^" SPACE "\\p{L}\\p{N}]++[\\r\\n]*+" LINE_ENDS WHITE_SPACE,
};

/* As published. */
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define ENGLISH "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define HEAD ENGLISH "|" PREFIX "?\\p{L}+|"

static const char *const SPELLINGS[GW_PATTERN_COUNT] = {
    [GW_PATTERN_GPT2] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                        "\\s+(?!\\S)|\\s+",
    [GW_PATTERN_CL100K] = HEAD "\\p{N}{1,3}" REST,
    [GW_PATTERN_O200K] =
        PREFIX "?" UPPER "*" LOWER "+" ENGLISH "?|" PREFIX "?" UPPER "+" LOWER "*" ENGLISH "?|"
               "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [GW_PATTERN_QWEN2] = HEAD "\\p{N}" REST,
};

const char *gw_split_spelling(GwSplitPattern pattern) { return SPELLINGS[pattern]; }

GwSplitPattern gw_split_find(const char *spelling) {
  int pattern = 0;
  while (pattern < GW_PATTERN_COUNT && strcmp(SPELLINGS[pattern], spelling) != 0) pattern++;
  return (GwSplitPattern)pattern;
}

struct GwSplitter {
  GwSplitPattern pattern;
  pcre2_code *code;
  pcre2_match_data *match;
  const uint8_t *text;
  size_t size;
  size_t at;        /* where the next piece begins */
  size_t valid_end; /* text[at, valid_end) is known to be valid UTF-8 */
};

static GwStatus fail_pcre2(int code) {
  char text[128] = "unknown error";
  pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
  return gw_fail(GW_UNSUPPORTED,
                 "libpcre2 cannot run the split pattern (%s): is it built with Unicode support?",
                 text);
}

GwStatus gw_split_create(GwSplitPattern pattern, GwSplitter **out) {
  GwSplitter *split = calloc(1, sizeof *split);
  if (!split) return gw_fail(GW_MEMORY, "no memory for the split pattern");
  split->pattern = pattern;
  int error = 0;
  PCRE2_SIZE where = 0;
  split->code = pcre2_compile((PCRE2_SPTR)PATTERNS[pattern], PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_ANCHORED, &error, &where, NULL);
  if (!split->code) {
    gw_split_destroy(split);
    return fail_pcre2(error);
  }
  pcre2_jit_compile(split->code, PCRE2_JIT_COMPLETE); /* where it fails, matching is interpreted */
  split->match = pcre2_match_data_create(1, NULL);
  if (!split->match) {
    gw_split_destroy(split);
    return gw_fail(GW_MEMORY, "no memory for the split pattern");
  }
  *out = split;
  return GW_OK;
}

void gw_split_destroy(GwSplitter *split) {
  if (!split) return;
  pcre2_match_data_free(split->match);
  pcre2_code_free(split->code);
  free(split);
}

GwSplitPattern gw_split_pattern(const GwSplitter *split) { return split->pattern; }

static size_t continuation_bytes(const uint8_t *p, size_t count) {
  for (size_t i = 0; i < count; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  return count;
}

/* Bytes of the valid UTF-8 character at the head of p[0, left), 0 when there is none (RFC 3629:
 * shortest forms only, no surrogates, nothing above U+10FFFF). */
static size_t character_size(const uint8_t *p, size_t left) {
  uint8_t lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  size_t more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  if (left <= more || !continuation_bytes(p + 1, more)) return 0;
  if (lead == 0xe0 && p[1] < 0xa0) return 0;
  if (lead == 0xed && p[1] > 0x9f) return 0;
  if (lead == 0xf0 && p[1] < 0x90) return 0;
  if (lead == 0xf4 && p[1] > 0x8f) return 0;
  return more + 1;
}

static bool all_ascii(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return (word & UINT64_C(0x8080808080808080)) == 0;
}

static size_t find_valid_end(const uint8_t *text, size_t size, size_t at) {
  while (at < size) {
    if (size - at >= 8 && all_ascii(text + at)) {
      at += 8;
      continue;
    }
    size_t step = character_size(text + at, size - at);
    if (step == 0) break;
    at += step;
  }
  return at;
}

static size_t find_invalid_end(const uint8_t *text, size_t size, size_t at) {
  while (at < size && character_size(text + at, size - at) == 0) at++;
  return at;
}

void gw_split_start(GwSplitter *split, const void *text, size_t size) {
  split->text = text;
  split->size = size;
  split->at = 0;
  split->valid_end = 0;
}

GwStatus gw_split_next(GwSplitter *split, const uint8_t **piece, size_t *size) {
  const uint8_t *text = split->text;
  size_t begin = split->at, end = begin;
  if (begin == split->size) {
    *piece = text;
    *size = 0;
    return GW_OK;
  }
  if (begin == split->valid_end) {
    split->valid_end = find_valid_end(text, split->size, begin);
    if (begin == split->valid_end)
      split->valid_end = end = find_invalid_end(text, split->size, end);
  }
  if (end < split->valid_end) {
    int found = pcre2_match(split->code, text, split->valid_end, begin, PCRE2_NO_UTF_CHECK,
                            split->match, NULL);
    if (found < 0) return fail_pcre2(found);
    end = pcre2_get_ovector_pointer(split->match)[1];
    GW_ASSERT(end > begin && end <= split->valid_end);
  }
  split->at = end;
  *piece = text + begin;
  *size = end - begin;
  return GW_OK;
}
