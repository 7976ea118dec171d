/* Every value is read as a number into its key's place; the classes' keys come from the table. */
#include "guard/injection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/suggest.h"
#include "train/straggler.h"

typedef enum { RANK, STEP, OP, TENSOR, BIT, HOW, FACTOR, STEPS, KEYS } Key;
enum { TEXT_BYTES = 256, LIST_BYTES = 512 };

static const struct {
  const char *name;
  double least, most, otherwise;
} keys[KEYS] = {
    [RANK] = {"rank", 0, 1e6, -1},     [STEP] = {"step", 1, 1e15, 0},    [OP] = {"op", 0, 1e6, -1},
    [TENSOR] = {"tensor", 0, 0, 0},    [BIT] = {"bit", 0, 63, -1},       [HOW] = {"how", 0, 0, 0},
    [FACTOR] = {"factor", 1, 1000, 2}, [STEPS] = {"steps", 1, 1e15, 10},
};

static const GwInjectInfo infos[GW_INJECT_CLASSES] = {
#define X(name, text, keys, does, event, blames, weight) {text, keys, does, event, blames, weight},
    GW_INJECT_LIST(X)
#undef X
};

const GwInjectInfo *gw_inject_info(GwInjectClass class) { return &infos[class]; }

/* ---- which keys a class has ---- */

/* What the table says behind the key's name: its words, after a =, or nothing; NULL: the class does
 * not have it. */
static const char *find_key(GwInjectClass class, const char *name) {
  size_t length = strlen(name);
  for (const char *at = infos[class].keys; (at = strstr(at, name)); at += length) {
    bool begins = at == infos[class].keys || at[-1] == ' ';
    if (begins && (at[length] == ' ' || at[length] == '=' || at[length] == 0)) return at + length;
  }
  return NULL;
}

bool gw_inject_has_key(GwInjectClass class, const char *key) { return find_key(class, key); }

/* The length of the word at `word` in "a|b|c"; *next is the one behind it, NULL after the last. */
static size_t word_length(const char *word, const char **next) {
  size_t length = strcspn(word, "| ");
  *next = word[length] == '|' ? word + length + 1 : NULL;
  return length;
}

size_t gw_inject_word(GwInjectClass class, const char *key, int n, const char **out) {
  const char *words = find_key(class, key), *next;
  if (!words || *words != '=') return 0;
  *out = words + 1;
  size_t length = word_length(*out, &next);
  for (; n > 0; n--) {
    *out = next ? next : words + 1;
    length = word_length(*out, &next);
  }
  return length;
}

static bool has_key(GwInjectClass class, Key key) {
  return gw_inject_has_key(class, keys[key].name);
}

static void list_keys(GwInjectClass class, char out[LIST_BYTES]) {
  int length = 0;
  for (Key key = 0; key < KEYS; key++)
    if (has_key(class, key))
      length += snprintf(out + length, (size_t)(LIST_BYTES - length), "%s%s", length ? ", " : "",
                         keys[key].name);
}

/* ---- errors ---- */

static GwStatus unknown_class(const char *word) {
  const char *names[GW_INJECT_CLASSES];
  char list[LIST_BYTES];
  int length = 0;
  for (int i = 0; i < GW_INJECT_CLASSES; i++) {
    names[i] = infos[i].name;
    length += snprintf(list + length, (size_t)(LIST_BYTES - length), "%s%s", i ? ", " : "",
                       infos[i].name);
  }
  const char *similar = gw_similar(word, names, GW_INJECT_CLASSES);
  return gw_fail(GW_USAGE, "there is no fault '%s'%s%s%s; there are: %s", word,
                 similar ? "; did you mean '" : "", similar ? similar : "", similar ? "'?" : "",
                 list);
}

static GwStatus unknown_key(GwInjectClass class, const char *word) {
  char list[LIST_BYTES];
  list_keys(class, list);
  return gw_fail(GW_USAGE, "the fault '%s' has no key '%s'; it has: %s", infos[class].name, word,
                 list);
}

static GwStatus bad_value(GwInjectClass class, Key key, double most, const char *value) {
  return gw_fail(GW_USAGE, "%s: %s is a %snumber from %.15g to %.15g, not '%s'", infos[class].name,
                 keys[key].name, key == FACTOR ? "" : "whole ", keys[key].least, most, value);
}

/* ---- values ---- */

static bool read_number(const char *text, bool whole, double *out) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  *out = whole ? (double)strtoll(text, &end, 10) : strtod(text, &end);
  return *end == 0 && errno == 0;
}

/* Which of `words` ("a|b|c") it is. */
static GwStatus read_word(GwInjectClass class, Key key, const char *words, const char *text,
                          double *out) {
  *out = 0;
  for (const char *word = words, *next; word; word = next, *out += 1) {
    size_t length = word_length(word, &next);
    if (length == strlen(text) && strncmp(word, text, length) == 0) return GW_OK;
  }
  return gw_fail(GW_USAGE, "%s: %s is one of %.*s, not '%s'", infos[class].name, keys[key].name,
                 (int)strcspn(words, " "), words, text);
}

static GwStatus read_value(GwInjectClass class, Key key, const char *text, double *out) {
  double most = class == GW_INJECT_FLIP && key == BIT ? 31 : keys[key].most, value;
  const char *words = find_key(class, keys[key].name);
  if (words && *words == '=') return read_word(class, key, words + 1, text, out);
  if (!read_number(text, key != FACTOR, &value) || value < keys[key].least || value > most)
    return bad_value(class, key, most, text);
  *out = value;
  return GW_OK;
}

/* "key=value", into its place. */
static GwStatus read_pair(GwInjectClass class, char *word, double values[KEYS], bool given[KEYS]) {
  char *equals = strchr(word, '=');
  if (equals) *equals = 0;
  for (Key key = 0; key < KEYS; key++) {
    if (strcmp(word, keys[key].name) != 0 || !has_key(class, key)) continue;
    if (given[key])
      return gw_fail(GW_USAGE, "%s: %s is given twice", infos[class].name, keys[key].name);
    given[key] = true;
    return read_value(class, key, equals ? equals + 1 : "", &values[key]);
  }
  return unknown_key(class, word);
}

static GwStatus read_keys(GwInjectClass class, char *text, double values[KEYS]) {
  bool given[KEYS] = {false};
  char *rest = NULL;
  for (Key key = 0; key < KEYS; key++) values[key] = keys[key].otherwise;
  for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
    GW_TRY(read_pair(class, word, values, given));
  for (Key key = RANK; key <= STEP; key++)
    if (has_key(class, key) && !given[key])
      return gw_fail(GW_USAGE, "the fault '%s' needs %s=N", infos[class].name, keys[key].name);
  return GW_OK;
}

/* ---- whole ---- */

GwStatus gw_injection_parse(const char *text, GwInjection *out) {
  char copy[TEXT_BYTES];
  double values[KEYS];
  if (strlen(text) >= sizeof copy)
    return gw_fail(GW_USAGE, "the fault '%.40s...' is too long", text);
  strcpy(copy, text);
  char *colon = strchr(copy, ':');
  if (colon) *colon = 0;
  int class = 0;
  while (class < GW_INJECT_CLASSES && strcmp(copy, infos[class].name) != 0) class ++;
  if (class == GW_INJECT_CLASSES) return unknown_class(copy);
  char none[] = "";
  GW_TRY(read_keys((GwInjectClass) class, colon ? colon + 1 : none, values));
  *out = (GwInjection){.class = (GwInjectClass) class,
                       .rank = (int32_t)values[RANK],
                       .step = (int64_t)values[STEP],
                       .op = (int32_t)values[OP],
                       .tensor = (int32_t)values[TENSOR],
                       .bit = (int32_t)values[BIT],
                       .how = (int32_t)values[HOW],
                       .factor = values[FACTOR],
                       .steps = (int64_t)values[STEPS]};
  return GW_OK;
}

static GwStatus parse_all(const char *const *texts, int32_t count, int32_t ranks,
                          GwInjection *out) {
  for (int32_t i = 0; i < count; i++) {
    GW_TRY(gw_injection_parse(texts[i], &out[i]));
    if (out[i].rank >= ranks)
      return gw_fail(GW_USAGE, "the fault '%s' is for a rank that is not there: ranks are 0 to %d",
                     texts[i], ranks - 1);
    if (out[i].class == GW_INJECT_SLOW && out[i].how == GW_TIME_DISK && out[i].rank != 0)
      return gw_fail(GW_USAGE, "the fault '%s' would do nothing: only rank 0 writes files",
                     texts[i]);
  }
  return GW_OK;
}

GwStatus gw_injections_parse(const char *const *texts, int32_t count, int32_t ranks,
                             GwInjection **out) {
  GwInjection *all = NULL;
  if (count > 0) {
    all = calloc((size_t)count, sizeof *all);
    if (!all) return gw_fail(GW_MEMORY, "no memory for %d faults", count);
    GwStatus status = parse_all(texts, count, ranks, all);
    if (status != GW_OK) {
      free(all);
      return status;
    }
  }
  *out = all;
  return GW_OK;
}
