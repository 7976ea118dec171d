/* Adapter to jansson. */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson parses by recursion; nothing of ours is nested nearly as deep. */
enum { LEVELS_MAX = 64 };

/* The line on which brackets outside strings are open more than LEVELS_MAX deep; 0: none. */
static int too_deep(const char *text, size_t size) {
  int levels = 0, line = 1;
  bool in_string = false;
  for (size_t i = 0; i < size; i++) {
    char c = text[i];
    if (c == '\n') line++;
    if (in_string && c == '\\')
      i++;
    else if (c == '"')
      in_string = !in_string;
    else if (!in_string && (c == '[' || c == '{') && ++levels > LEVELS_MAX)
      return line;
    else if (!in_string && (c == ']' || c == '}') && levels > 0)
      levels--;
  }
  return 0;
}

GwStatus gw_json_parse(const char *file, const char *text, size_t size, json_t **out) {
  json_error_t error;
  int line = too_deep(text, size);
  if (line > 0)
    return gw_fail(GW_CORRUPT, "%s:%d: nested more than %d levels deep", file, line, LEVELS_MAX);
  json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
  if (!value)
    return gw_fail(GW_CORRUPT, "%s:%d:%d: not valid JSON: %s", file, error.line, error.column,
                   error.text);
  *out = value;
  return GW_OK;
}

char *gw_json_text(const json_t *value) {
  char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
  if (!text) return NULL;
  size_t length = strlen(text);
  char *line = realloc(text, length + 2);
  if (!line) {
    free(text);
    return NULL;
  }
  line[length] = '\n';
  line[length + 1] = 0;
  return line;
}

char *gw_json_line(const json_t *value) {
  return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

static GwStatus member(const json_t *object, const char *file, const char *key, json_type type,
                       const char *wanted, json_t **out) {
  json_t *value = json_is_object(object) ? json_object_get(object, key) : NULL;
  if (!value) return gw_fail(GW_CORRUPT, "%s: key '%s' is missing", file, key);
  if (json_typeof(value) != type)
    return gw_fail(GW_CORRUPT, "%s: key '%s' must be %s", file, key, wanted);
  *out = value;
  return GW_OK;
}

GwStatus gw_json_i64(const json_t *object, const char *file, const char *key, int64_t *out) {
  json_t *value = NULL;
  GW_TRY(member(object, file, key, JSON_INTEGER, "a whole number", &value));
  *out = json_integer_value(value);
  return GW_OK;
}

GwStatus gw_json_string(const json_t *object, const char *file, const char *key, const char **out) {
  json_t *value = NULL;
  GW_TRY(member(object, file, key, JSON_STRING, "a string", &value));
  *out = json_string_value(value);
  return GW_OK;
}

GwStatus gw_json_array(const json_t *object, const char *file, const char *key, json_t **out) {
  return member(object, file, key, JSON_ARRAY, "an array", out);
}

GwStatus gw_json_object(const json_t *object, const char *file, const char *key, json_t **out) {
  return member(object, file, key, JSON_OBJECT, "an object", out);
}

GwStatus gw_json_hash(const json_t *object, const char *file, const char *key, uint64_t *out) {
  const char *text = NULL;
  GW_TRY(gw_json_string(object, file, key, &text));
  char *end;
  uint64_t value = strtoull(text, &end, 16);
  if (strlen(text) != 18 || strncmp(text, "0x", 2) != 0 || *end)
    return gw_fail(GW_CORRUPT, "%s: key '%s' must be 0x and 16 hex digits", file, key);
  *out = value;
  return GW_OK;
}

json_t *gw_json_from_hash(uint64_t hash) {
  char text[19];
  snprintf(text, sizeof text, "0x%016" PRIx64, hash);
  return json_string(text);
}
