/* JSON through jansson, with our statuses: messages name the file, the key and what was expected.
 * 64-bit hashes are written as "0x" and 16 hex digits, since JSON numbers lose bits in most
 * readers. */
#ifndef GW_JSON_H
#define GW_JSON_H

#include <jansson.h>

#include "base/base.h"

/* Parses a whole text (must end after one value); duplicate keys are refused, and nesting beyond 64
 * levels. Free with json_decref. */
GwStatus gw_json_parse(const char *file, const char *text, size_t size, json_t **out);
/* Indented text with sorted keys as inserted, malloc'd, newline at the end. NULL on exhaustion. */
char *gw_json_text(const json_t *value);
/* One line without newline, malloc'd. NULL on exhaustion. */
char *gw_json_line(const json_t *value);

/* Members of `object`; a missing key or another type is GW_CORRUPT naming file and key. */
GwStatus gw_json_i64(const json_t *object, const char *file, const char *key, int64_t *out);
GwStatus gw_json_hash(const json_t *object, const char *file, const char *key, uint64_t *out);
GwStatus gw_json_string(const json_t *object, const char *file, const char *key, const char **out);
GwStatus gw_json_array(const json_t *object, const char *file, const char *key, json_t **out);
GwStatus gw_json_object(const json_t *object, const char *file, const char *key, json_t **out);

json_t *gw_json_from_hash(uint64_t hash);

#endif
