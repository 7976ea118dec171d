/* A short list of ids, and the file that keeps it. */
#include "infer/text_ends.h"

#include <stdlib.h>
#include <string.h>

static const char KEY[] = "eos_token_id";
static const size_t FILE_SIZE_MAX = (size_t)1 << 20;

bool gw_text_ends_has(const GwTextEnds *ends, int32_t token) {
  for (int i = 0; i < ends->count; i++)
    if (ends->ids[i] == token) return true;
  return false;
}

bool gw_text_ends_add(GwTextEnds *ends, int32_t token) {
  if (gw_text_ends_has(ends, token)) return true;
  if (ends->count == GW_TEXT_ENDS_MAX) return false;
  ends->ids[ends->count++] = token;
  return true;
}

static GwStatus add(const char *file, const json_t *value, int32_t vocab_size, GwTextEnds *ends) {
  json_int_t id = json_integer_value(value);
  if (!json_is_integer(value) || id < 0 || id >= vocab_size)
    return gw_fail(GW_CORRUPT, "%s: '%s' must be a token of the model, 0 to %d, or a list of these",
                   file, KEY, vocab_size - 1);
  if (gw_text_ends_add(ends, (int32_t)id)) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: '%s' has more than %d tokens", file, KEY, GW_TEXT_ENDS_MAX);
}

GwStatus gw_text_ends_read(const char *file, const json_t *config, int32_t vocab_size,
                           GwTextEnds *out) {
  const json_t *value = json_object_get(config, KEY), *item;
  GwTextEnds ends = {.count = 0};
  size_t index;
  if (json_is_array(value)) {
    json_array_foreach(value, index, item) { GW_TRY(add(file, item, vocab_size, &ends)); }
  } else if (value && !json_is_null(value)) {
    GW_TRY(add(file, value, vocab_size, &ends));
  }
  *out = ends;
  return GW_OK;
}

json_t *gw_text_ends_json(const GwTextEnds *ends) {
  if (ends->count == 1) return json_integer(ends->ids[0]);
  json_t *list = json_array();
  for (int i = 0; i < ends->count; i++) {
    if (json_array_append_new(list, json_integer(ends->ids[i])) == 0) continue;
    json_decref(list);
    return NULL;
  }
  return list;
}

GwStatus gw_text_ends_load(GwFs *fs, const char *folder, int32_t vocab_size, GwTextEnds *out) {
  char path[GW_PATH_MAX], *text = NULL;
  size_t size = 0;
  json_t *config = NULL;
  *out = (GwTextEnds){.count = 0};
  GW_TRY(gw_fs_path(path, "%s/" GW_GENERATION_CONFIG, folder));
  if (!fs->exists(fs, path)) return GW_OK;
  GW_TRY(gw_fs_read_all(fs, path, FILE_SIZE_MAX, &text, &size));
  GwStatus status = gw_json_parse(path, text, size, &config);
  free(text);
  GW_TRY(status);
  status = gw_text_ends_read(path, config, vocab_size, out);
  json_decref(config);
  return status;
}

GwStatus gw_text_ends_save(GwFs *fs, const char *folder, int32_t head, const GwTextEnds *ends) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/" GW_GENERATION_CONFIG, folder));
  json_t *begin = head >= 0 ? json_integer(head) : NULL;
  json_t *config = json_pack("{s:o*, s:o}", "bos_token_id", begin, KEY, gw_text_ends_json(ends));
  char *text = config ? gw_json_text(config) : NULL;
  GwStatus status = text ? gw_fs_write_atomic(fs, path, text, strlen(text))
                         : gw_fail(GW_MEMORY, "%s: no memory to write it", path);
  free(text);
  json_decref(config);
  return status;
}

GwStatus gw_text_ends_keep(GwFs *fs, const char *run, int32_t head, const GwTextEnds *ends) {
  if (ends->count == 0 || (ends->count == 1 && ends->ids[0] == head)) return GW_OK;
  return gw_text_ends_save(fs, run, head, ends);
}
