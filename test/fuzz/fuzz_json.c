/* Fuzz target: a JSON text as manifests and journals hold it. What parses must print to a line that
 * parses back to the same value. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  json_t *value = NULL, *again = NULL;
  if (gw_json_parse("input", (const char *)data, size, &value) != GW_OK) return 0;
  char *line = gw_json_line(value);
  GW_ASSERT(line);
  GW_ASSERT(gw_json_parse("line", line, strlen(line), &again) == GW_OK);
  GW_ASSERT(json_equal(value, again));

  int64_t number = 0;
  uint64_t hash = 0;
  const char *text = NULL;
  if (json_is_object(value)) {
    if (gw_json_i64(value, "input", "count", &number) == GW_OK) GW_ASSERT(number >= INT64_MIN);
    if (gw_json_hash(value, "input", "hash", &hash) == GW_OK) {
      json_t *printed = gw_json_from_hash(hash);
      GW_ASSERT(printed);
      json_decref(printed);
    }
    if (gw_json_string(value, "input", "name", &text) == GW_OK) GW_ASSERT(text);
  }
  json_decref(value);
  json_decref(again);
  free(line);
  return 0;
}
