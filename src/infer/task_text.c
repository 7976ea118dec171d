/* Python's white space, and its case by PCRE2, whose tables are the same on every machine. */
#include "infer/task_text.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- white space ---- */

static bool is_continuation(char byte) { return ((uint8_t)byte & 0xc0) == 0x80; }

/* Bytes of the character at `text`, which is valid UTF-8. */
static size_t character_size(const char *text) {
  size_t size = 1;
  while (is_continuation(text[size])) size++;
  return size;
}

static uint32_t code_point(const char *text, size_t size) {
  uint8_t lead = (uint8_t)text[0];
  uint32_t code = size == 1 ? lead : lead & (0x7fu >> size);
  for (size_t i = 1; i < size; i++) code = code << 6 | ((uint8_t)text[i] & 0x3fu);
  return code;
}

/* str.isspace: Unicode's White_Space, and four separators of ASCII. */
static bool is_space(uint32_t code) {
  return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
         code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

size_t gw_task_indent(const char *text) {
  size_t at = 0;
  while (text[at] && is_space(code_point(text + at, character_size(text + at))))
    at += character_size(text + at);
  return at;
}

size_t gw_task_trimmed(const char *text) {
  size_t end = strlen(text);
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && is_continuation(text[at])) at--;
    if (!is_space(code_point(text + at, end - at))) break;
    end = at;
  }
  return end;
}

char *gw_task_strip(GwArena *arena, const char *text) {
  size_t end = gw_task_trimmed(text), begin = gw_task_indent(text);
  size_t size = end > begin ? end - begin : 0;
  char *out = gw_arena_alloc(arena, size + 1);
  if (out) memcpy(out, text + begin, size);
  return out;
}

int64_t gw_task_characters(const char *text) {
  int64_t count = 0;
  for (; *text; text++) count += !is_continuation(*text);
  return count;
}

bool gw_task_ends_with(const char *text, const char *ending) {
  size_t size = strlen(text), wanted = strlen(ending);
  return size >= wanted && strcmp(text + size - wanted, ending) == 0;
}

/* ---- what is replaced ---- */

void gw_task_replace(char *text, const char *from, const char *to) {
  size_t from_size = strlen(from), to_size = strlen(to);
  GW_ASSERT(from_size > 0 && to_size <= from_size);
  char *out = text;
  for (const char *found = strstr(text, from); found; found = strstr(text, from)) {
    size_t before = (size_t)(found - text);
    memmove(out, text, before);
    memcpy(out + before, to, to_size);
    out += before + to_size;
    text += before + from_size;
  }
  memmove(out, text, strlen(text) + 1);
}

void gw_task_remove_brackets(char *text) {
  char *out = text;
  while (*text) {
    size_t before = strcspn(text, "["), line = strcspn(text + before, "\n");
    const char *end = memchr(text + before, ']', line);
    if (!end) before += line; /* nor does another [ of this line have a ] */
    memmove(out, text, before);
    out += before;
    text = end ? text + (end - text) + 1 : text + before;
    if (!end && *text) *out++ = *text++;
  }
  *out = 0;
}

/* ---- case ---- */

static GwStatus fail_pcre2(int code) {
  char text[128] = "unknown error";
  pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
  return gw_fail(GW_UNSUPPORTED,
                 "libpcre2 cannot change letters' case (%s): is it built with Unicode support?",
                 text);
}

GwStatus gw_task_capitalize(GwArena *arena, const char *text, char **out) {
  int error = 0;
  PCRE2_SIZE where = 0, size = 3 * strlen(text) + 1; /* a letter of 1 byte may become one of 3 */
  char *buffer = gw_arena_alloc(arena, size);
  if (!buffer) return gw_fail(GW_MEMORY, "no memory for the text of a task");
  pcre2_code *code = pcre2_compile((PCRE2_SPTR) "^(.)(.*+)", PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_DOTALL, &error, &where, NULL);
  if (!code) return fail_pcre2(error);
  int done = pcre2_substitute(code, (PCRE2_SPTR)text, strlen(text), 0, PCRE2_SUBSTITUTE_EXTENDED,
                              NULL, NULL, (PCRE2_SPTR) "\\u$1\\L$2", PCRE2_ZERO_TERMINATED,
                              (PCRE2_UCHAR *)buffer, &size);
  pcre2_code_free(code);
  if (done < 0) return fail_pcre2(done);
  *out = buffer;
  return GW_OK;
}
