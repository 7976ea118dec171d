/* The manifest is JSON for people and tools, and a sealed text for us. Its last line but one is
 *
 *   "manifest_hash": "0x................"
 *
 * which is gw_hash_bytes (seed 0) of all text before that line (its two blanks of indentation not
 * included), and then come "}" and the file's end, one newline each. A reader makes these last
 * bytes anew from the text before them and compares: so every byte of the file is covered, blanks
 * and newlines too, before any of it is parsed. This holds for every format version. */
#include "state/checkpoint_manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "base/json.h"

enum { FORMAT_VERSION = 1, SEAL_BYTES = 42, TEXT_BYTES_MAX = 16 << 20 };

/* The text from the blanks before "manifest_hash" to the end of the file. */
static void seal_text(const char *text, size_t size, char out[SEAL_BYTES + 1]) {
  int length = snprintf(out, SEAL_BYTES + 1, "  \"manifest_hash\": \"0x%016" PRIx64 "\"\n}\n",
                        gw_hash_bytes(text, size, 0));
  GW_ASSERT(length == SEAL_BYTES);
}

/* ---- writing ---- */

/* jansson passes NULLs on: the value is NULL when anything was lost. */
static json_t *manifest_json(const GwCheckpointInfo *info, const GwManifestFile *files, int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++) {
    json_t *file = json_pack("{s:s, s:I, s:o}", "name", files[i].name, "bytes",
                             (json_int_t)files[i].bytes, "hash", gw_json_from_hash(files[i].hash));
    json_array_append_new(list, file);
  }
  if (json_array_size(list) != (size_t)count) {
    json_decref(list);
    return NULL;
  }
  return json_pack("{s:s, s:i, s:I, s:o, s:o, s:o}", "format", "godwit checkpoint", "version",
                   FORMAT_VERSION, "step", (json_int_t)info->step, "recipe_identity",
                   gw_json_from_hash(info->recipe_identity), "state_hash",
                   gw_json_from_hash(info->state_hash), "files", list);
}

/* The whole file's text, malloc'd, or NULL on exhaustion. */
static char *sealed_text(const GwCheckpointInfo *info, const GwManifestFile *files, int count) {
  json_t *json = manifest_json(info, files, count);
  char *text = json ? gw_json_text(json) : NULL;
  json_decref(json);
  if (!text) return NULL;
  size_t length = strlen(text) - strlen("\n}\n");
  char *sealed = realloc(text, length + strlen(",\n") + SEAL_BYTES + 1);
  if (!sealed) {
    free(text);
    return NULL;
  }
  memcpy(sealed + length, ",\n", 2);
  seal_text(sealed, length + 2, sealed + length + 2);
  return sealed;
}

GwStatus gw__manifest_write(GwFs *fs, const char *dir, const GwCheckpointInfo *info,
                            const GwManifestFile *files, int count) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/manifest.json", dir));
  char *text = sealed_text(info, files, count);
  if (!text) return gw_fail(GW_MEMORY, "%s: no memory for its text", path);
  GwFile *file = NULL;
  GwStatus status = fs->open(fs, path, GW_FILE_CREATE, &file);
  if (status == GW_OK) {
    status = fs->write(fs, file, text, strlen(text));
    if (status == GW_OK) status = fs->sync_file(fs, file);
    fs->close(fs, file);
  }
  free(text);
  return status;
}

/* ---- reading ---- */

static GwStatus check_seal(const char *path, const char *text, size_t size) {
  char seal[SEAL_BYTES + 1];
  if (size < SEAL_BYTES) return gw_fail(GW_CORRUPT, "%s: ends early", path);
  seal_text(text, size - SEAL_BYTES, seal);
  if (memcmp(text + size - SEAL_BYTES, seal, SEAL_BYTES) != 0)
    return gw_fail(GW_CORRUPT, "%s: its text does not match its manifest_hash", path);
  return GW_OK;
}

static GwStatus parse_file(const json_t *object, const char *path, GwArena *arena,
                           GwManifestFile *out) {
  const char *name = NULL;
  int64_t bytes = 0;
  GW_TRY(gw_json_string(object, path, "name", &name));
  GW_TRY(gw_json_i64(object, path, "bytes", &bytes));
  GW_TRY(gw_json_hash(object, path, "hash", &out->hash));
  if (name[0] == 0 || name[0] == '.' || strchr(name, '/'))
    return gw_fail(GW_CORRUPT, "%s: key 'name' must be a plain file name", path);
  if (bytes < 0) return gw_fail(GW_CORRUPT, "%s: key 'bytes' must not be negative", path);
  out->bytes = (uint64_t)bytes;
  out->name = gw_arena_string(arena, name);
  return out->name ? GW_OK : gw_fail(GW_MEMORY, "%s: no memory to read it", path);
}

static GwStatus parse_manifest(const json_t *json, const char *path, GwManifest *out) {
  int64_t version = 0;
  json_t *files = NULL;
  GW_TRY(gw_json_i64(json, path, "version", &version));
  if (version != FORMAT_VERSION)
    return gw_fail(GW_UNSUPPORTED, "%s: format version %lld; this godwit reads version %d", path,
                   (long long)version, FORMAT_VERSION);
  GW_TRY(gw_json_i64(json, path, "step", &out->info.step));
  GW_TRY(gw_json_hash(json, path, "recipe_identity", &out->info.recipe_identity));
  GW_TRY(gw_json_hash(json, path, "state_hash", &out->info.state_hash));
  GW_TRY(gw_json_array(json, path, "files", &files));
  size_t count = json_array_size(files);
  out->files = GW_ARENA_ARRAY(&out->arena, GwManifestFile, count);
  if (!out->files) return gw_fail(GW_MEMORY, "%s: no memory to read it", path);
  for (size_t i = 0; i < count; i++)
    GW_TRY(parse_file(json_array_get(files, i), path, &out->arena, &out->files[i]));
  out->count = (int)count;
  return GW_OK;
}

static GwStatus parse_text(const char *path, const char *text, size_t size, GwManifest *out) {
  json_t *json = NULL;
  GW_TRY(check_seal(path, text, size));
  GW_TRY(gw_json_parse(path, text, size, &json));
  GwManifest manifest = {0};
  gw_arena_init(&manifest.arena);
  GwStatus status = parse_manifest(json, path, &manifest);
  json_decref(json);
  if (status == GW_OK)
    *out = manifest;
  else
    gw_arena_deinit(&manifest.arena);
  return status;
}

GwStatus gw__manifest_read(GwFs *fs, const char *dir, GwManifest *out) {
  char path[GW_PATH_MAX], *text = NULL;
  size_t size = 0;
  GW_TRY(gw_fs_path(path, "%s/manifest.json", dir));
  GwStatus status = gw_fs_read_all(fs, path, TEXT_BYTES_MAX, &text, &size);
  if (status == GW_NOT_FOUND)
    return gw_fail(GW_CORRUPT, "%s: is missing, so this is not a whole checkpoint", path);
  if (status == GW_INVALID) return gw_fail(GW_CORRUPT, "%s", gw_error_message());
  GW_TRY(status);
  status = parse_text(path, text, size, out);
  free(text);
  return status;
}

void gw__manifest_deinit(GwManifest *manifest) { gw_arena_deinit(&manifest->arena); }
