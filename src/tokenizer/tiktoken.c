/* Rank files of tiktoken: a token in each line, its bytes in base64 and its id, which is also its
 * rank: the token of the lowest id is made first. A file says neither how text is split nor which
 * special tokens there are; for the published ones, told apart by their size, that is known. */
#include <stdlib.h>
#include <string.h>

#include "base/hash_set.h"
#include "tokenizer/tokenizer_formats.h"
#include "tokenizer/tokenizer_table.h"

enum { SPECIALS_MAX = 5, UNUSED_IDS_MAX = 32 };

typedef struct {
  int32_t ranks;
  GwSplitPattern pattern;
  GwSpecialToken specials[SPECIALS_MAX]; /* end-of-text first */
} Published;

/* openai/tiktoken, openai_public.py */
static const Published PUBLISHED[] = {
    {50256, GW_PATTERN_GPT2, {{50256, GW_END_OF_TEXT_NAME}}}, /* r50k_base */
    {50280, GW_PATTERN_GPT2, {{50256, GW_END_OF_TEXT_NAME}}}, /* p50k_base */
    {100256,
     GW_PATTERN_CL100K, /* cl100k_base */
     {{100257, GW_END_OF_TEXT_NAME},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}}},
    {199998, /* o200k_base */
     GW_PATTERN_O200K,
     {{199999, GW_END_OF_TEXT_NAME}, {200018, "<|endofprompt|>"}}},
};

typedef struct {
  const char *name;
  size_t line;
  GwArena arena;
  GwTokenText *tokens; /* [capacity], by id */
  int32_t capacity, count;
  GwHashSet seen; /* bytes */
} Ranks;

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes text[0, size) into size / 4 * 3 bytes at most; 0 when it is not base64 (RFC 4648). */
static size_t decode_base64(const char *text, size_t size, uint8_t *out) {
  if (size == 0 || size % 4 != 0) return 0;
  size_t padding =
      (text[size - 1] == '=') + (size_t)(text[size - 1] == '=' && text[size - 2] == '=');
  size_t count = 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < size - padding; i++) {
    int value = base64_value(text[i]);
    if (value < 0) return 0;
    bits = bits << 6 | (uint32_t)value;
    if (i % 4 > 0) out[count++] = (uint8_t)(bits >> (6 - i % 4 * 2));
  }
  return count;
}

static GwStatus fail_line(const Ranks *ranks, const char *what) {
  return gw_fail(GW_CORRUPT, "%s:%zu: %s; a rank file has base64, a space and an id in each line",
                 ranks->name, ranks->line, what);
}

static GwStatus fail_memory(const Ranks *ranks) {
  return gw_fail(GW_MEMORY, "%s: no memory for the tokenizer", ranks->name);
}

/* The number that text[0, size) is, -1 when it is none below 2^31. */
static int64_t read_number(const char *text, size_t size) {
  int64_t number = 0;
  if (size == 0 || size > 10) return -1;
  for (size_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    number = 10 * number + (text[i] - '0');
  }
  return number <= INT32_MAX ? number : -1;
}

static GwStatus read_line(Ranks *ranks, const char *line, size_t size) {
  const char *space = memchr(line, ' ', size);
  if (!space) return fail_line(ranks, "no space");
  size_t spelled = (size_t)(space - line);
  int64_t id = read_number(space + 1, size - spelled - 1);
  if (id < 0 || id >= ranks->capacity) return fail_line(ranks, "the id is out of range");
  if (ranks->tokens[id].size > 0) return fail_line(ranks, "another token has this id");
  uint8_t *bytes = gw_arena_alloc(&ranks->arena, spelled / 4 * 3 + 3);
  if (!bytes) return fail_memory(ranks);
  size_t count = decode_base64(line, spelled, bytes);
  if (count == 0) return fail_line(ranks, "the token is not base64");
  bool added = false;
  GW_TRY(gw_hash_set_add(&ranks->seen, gw_hash128(bytes, count), &added));
  if (!added) return fail_line(ranks, "this token has an id already");
  ranks->tokens[id] = (GwTokenText){bytes, count};
  ranks->count++;
  return GW_OK;
}

static GwStatus read_lines(Ranks *ranks, const char *text, size_t size) {
  const char *end = text + size;
  for (const char *line = text; line < end;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) stop = end;
    ranks->line++;
    size_t length = (size_t)(stop - line);
    if (length > 0 && line[length - 1] == '\r') length--;
    if (length > 0) GW_TRY(read_line(ranks, line, length));
    line = stop + 1;
  }
  return GW_OK;
}

static GwStatus find_published(const Ranks *ranks, const Published **out) {
  for (size_t i = 0; i < GW_COUNT_OF(PUBLISHED); i++)
    if (PUBLISHED[i].ranks == ranks->count) *out = &PUBLISHED[i];
  if (*out) return GW_OK;
  return gw_fail(
      GW_UNSUPPORTED,
      "%s: %d tokens: godwit knows how r50k_base (50256), p50k_base (50280), cl100k_base "
      "(100256) and o200k_base (199998) split text; give another one as tokenizer.json",
      ranks->name, ranks->count);
}

static GwStatus make_tokenizer(Ranks *ranks, GwTokenizer **out) {
  const Published *published = NULL;
  GW_TRY(find_published(ranks, &published));
  GwTokenizer parts = {.tokens = ranks->tokens,
                       .end_of_text = published->specials[0].id,
                       .pattern = published->pattern,
                       .whole_pieces = true};
  GwSpecialToken specials[SPECIALS_MAX];
  parts.specials = specials;
  for (int i = 0; i < SPECIALS_MAX && published->specials[i].name; i++) {
    GwSpecialToken special = specials[i] = published->specials[i];
    if (ranks->tokens[special.id].size > 0)
      return gw_fail(GW_CORRUPT, "%s: a token has the id %d of %s", ranks->name, special.id,
                     special.name);
    parts.special_count = i + 1;
    if (special.id >= parts.vocab_size) parts.vocab_size = special.id + 1;
  }
  for (int32_t id = parts.vocab_size; id < ranks->capacity; id++)
    if (ranks->tokens[id].size > 0) parts.vocab_size = id + 1;
  GW_TRY(gw__tokenizer_check_bytes(ranks->name, &parts));
  GwTokenizer *tokenizer = NULL;
  GW_TRY(gw__tokenizer_create(&parts, &tokenizer));
  int32_t unreached = ranks->count - 256 - tokenizer->merge_count;
  if (unreached == 0) {
    *out = tokenizer;
    return GW_OK;
  }
  gw_tokenizer_destroy(tokenizer);
  return gw_fail(GW_UNSUPPORTED,
                 "%s: %d tokens are not made of two before them, so these are no ranks of merges",
                 ranks->name, unreached);
}

GwStatus gw__tokenizer_from_ranks(const char *name, const char *text, size_t size,
                                  GwTokenizer **out) {
  Ranks ranks = {.name = name};
  gw_arena_init(&ranks.arena);
  size_t lines = 1;
  for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
  GwStatus status = GW_OK;
  if (lines > INT32_MAX / 2) lines = INT32_MAX / 2;
  ranks.capacity = (int32_t)lines + UNUSED_IDS_MAX;
  ranks.tokens = GW_ARENA_ARRAY(&ranks.arena, GwTokenText, ranks.capacity);
  status = ranks.tokens ? read_lines(&ranks, text, size) : fail_memory(&ranks);
  if (status == GW_OK) status = make_tokenizer(&ranks, out);
  gw_hash_set_deinit(&ranks.seen);
  gw_arena_deinit(&ranks.arena);
  return status;
}
