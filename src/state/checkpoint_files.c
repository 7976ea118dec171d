/* One checkpoint directory: writing its files, verifying them, filling tensors from them, and the
 * state hash.
 *
 * Trust is built in this order: the manifest by its own hash, each file by its bytes and hash in
 * the manifest, then names and types against what the caller wants, and at the end the state hash
 * of the tensors in memory, which catches what went wrong on the way there. */
#include "state/checkpoint_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "base/rng.h"
#include "state/checkpoint_manifest.h"
#include "state/safetensors.h"

enum { CHUNK_BYTES = 16 * GW_HASH_BLOCK, TYPE_TEXT_BYTES = 128 };

#define SUFFIX ".safetensors"

/* ---- the state hash ---- */

/* "f32[4,64]" */
static void type_text(const GwType *type, char out[TYPE_TEXT_BYTES]) {
  int length = snprintf(out, TYPE_TEXT_BYTES, "%s[", gw_dtype_name(type->dtype));
  for (int i = 0; i < type->rank; i++)
    length += snprintf(out + length, TYPE_TEXT_BYTES - (size_t)length, "%s%" PRId64, i ? "," : "",
                       type->dim[i]);
  snprintf(out + length, TYPE_TEXT_BYTES - (size_t)length, "]");
}

/* `group` has `group_size` bytes and need not end there. */
static uint64_t tensor_seed(const char *group, size_t group_size, const GwTensor *tensor) {
  char type[TYPE_TEXT_BYTES];
  type_text(&tensor->type, type);
  uint64_t seed = gw_hash_bytes(group, group_size, 0);
  seed = gw_hash_bytes(tensor->name, strlen(tensor->name), seed);
  return gw_hash_bytes(type, strlen(type), seed);
}

uint64_t gw_state_hash_seed(const GwTensorGroup *group, const GwTensor *tensor) {
  return tensor_seed(group->name, strlen(group->name), tensor);
}

uint64_t gw_state_hash(const GwTensorGroup *groups, int count, int64_t step) {
  uint64_t hash = gw_mix64((uint64_t)step);
  for (int g = 0; g < count; g++)
    for (int i = 0; i < groups[g].count; i++) {
      const GwTensor *tensor = &groups[g].tensors[i];
      uint64_t seed = gw_state_hash_seed(&groups[g], tensor);
      hash += seed + gw_hash_blocks(tensor->data, gw_type_size(&tensor->type), 0, seed);
    }
  return hash;
}

/* ---- writing ---- */

static GwStatus write_groups(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                             GwArena *arena, GwManifestFile *files) {
  char file[GW_PATH_MAX];
  for (int g = 0; g < count; g++) {
    const char *name = gw_arena_format(arena, "%s" SUFFIX, groups[g].name);
    if (!name) return gw_fail(GW_MEMORY, "%s: no memory to save", path);
    files[g].name = name;
    GW_TRY(gw_fs_path(file, "%s/%s", path, name));
    GW_TRY(gw_safetensors_write(fs, file, groups[g].tensors, groups[g].count, &files[g].hash,
                                &files[g].bytes));
  }
  return GW_OK;
}

GwStatus gw__checkpoint_write(GwFs *fs, const char *path, const GwCheckpointInfo *info,
                              const GwTensorGroup *groups, int count) {
  GwArena arena;
  gw_arena_init(&arena);
  GwManifestFile *files = GW_ARENA_ARRAY(&arena, GwManifestFile, count);
  GwStatus status = files ? GW_OK : gw_fail(GW_MEMORY, "%s: no memory to save", path);
  if (status == GW_OK) status = write_groups(fs, path, groups, count, &arena, files);
  if (status == GW_OK) status = gw__manifest_write(fs, path, info, files, count);
  if (status == GW_OK) status = fs->sync_dir(fs, path);
  gw_arena_deinit(&arena);
  return status;
}

/* ---- verifying ---- */

/* *hash = gw_hash_blocks (first block 0) of `size` bytes of the file from `offset` on, read in
 * chunks. */
static GwStatus hash_range(GwFs *fs, GwFile *file, const char *path, uint64_t offset, uint64_t size,
                           uint64_t seed, uint64_t *hash) {
  char *chunk = malloc(size < CHUNK_BYTES ? (size_t)size + 1 : CHUNK_BYTES);
  if (!chunk) return gw_fail(GW_MEMORY, "%s: no memory to verify it", path);
  GwStatus status = GW_OK;
  uint64_t sum = 0;
  for (uint64_t done = 0; done < size && status == GW_OK;) {
    size_t part = size - done < CHUNK_BYTES ? (size_t)(size - done) : CHUNK_BYTES, got = 0;
    status = fs->read_at(fs, file, offset + done, chunk, part, &got);
    if (status == GW_OK && got < part) status = gw_fail(GW_CORRUPT, "%s: ends early", path);
    if (status == GW_OK) sum += gw_hash_blocks(chunk, part, done / GW_HASH_BLOCK, seed);
    done += part;
  }
  free(chunk);
  if (status == GW_OK) *hash = sum;
  return status;
}

static GwStatus verify_content(GwFs *fs, GwFile *file, const char *path,
                               const GwManifestFile *wanted) {
  uint64_t bytes = 0, hash = 0;
  GW_TRY(fs->size(fs, file, &bytes));
  if (bytes != wanted->bytes)
    return gw_fail(GW_CORRUPT, "%s: has %" PRIu64 " bytes, but the manifest says %" PRIu64, path,
                   bytes, wanted->bytes);
  GW_TRY(hash_range(fs, file, path, 0, bytes, 0, &hash));
  if (hash != wanted->hash)
    return gw_fail(GW_CORRUPT, "%s: its bytes do not have the hash that the manifest says", path);
  return GW_OK;
}

static GwStatus verify_file(GwFs *fs, const char *path, const GwManifestFile *wanted) {
  GwFile *file = NULL;
  GwStatus status = fs->open(fs, path, GW_FILE_READ, &file);
  if (status == GW_NOT_FOUND)
    return gw_fail(GW_CORRUPT, "%s: is missing, but the manifest lists it", path);
  GW_TRY(status);
  status = verify_content(fs, file, path, wanted);
  fs->close(fs, file);
  return status;
}

static GwStatus verify_files(GwFs *fs, const char *path, const GwManifest *manifest) {
  char file[GW_PATH_MAX];
  for (int i = 0; i < manifest->count; i++) {
    GW_TRY(gw_fs_path(file, "%s/%s", path, manifest->files[i].name));
    GW_TRY(verify_file(fs, file, &manifest->files[i]));
  }
  return GW_OK;
}

/* The manifest and all files; on success the caller deinits *manifest. */
static GwStatus open_verified(GwFs *fs, const char *path, GwManifest *manifest) {
  GW_TRY(gw__manifest_read(fs, path, manifest));
  GwStatus status = verify_files(fs, path, manifest);
  if (status != GW_OK) gw__manifest_deinit(manifest);
  return status;
}

/* Adds the state hash of one file's tensors to *hash. */
static GwStatus hash_tensors(GwFs *fs, GwFile *file, const char *path, const char *group,
                             size_t group_size, uint64_t *hash) {
  GwSafetensors *tensors = NULL;
  GW_TRY(gw_safetensors_open(fs, path, &tensors));
  GwStatus status = GW_OK;
  for (int i = 0; i < gw_safetensors_count(tensors) && status == GW_OK; i++) {
    uint64_t offset = 0, blocks = 0;
    GwTensor tensor = gw_safetensors_entry(tensors, i, &offset);
    uint64_t seed = tensor_seed(group, group_size, &tensor);
    status = hash_range(fs, file, path, offset, gw_type_size(&tensor.type), seed, &blocks);
    *hash += seed + blocks;
  }
  gw_safetensors_close(tensors);
  return status;
}

/* Whether `file` is the name of the group's file. */
static bool is_file_of(const char *file, const GwTensorGroup *group) {
  size_t length = strlen(group->name);
  return strncmp(file, group->name, length) == 0 && strcmp(file + length, SUFFIX) == 0;
}

static bool is_file_of_any(const char *file, const GwTensorGroup *groups, int count) {
  for (int g = 0; g < count; g++)
    if (is_file_of(file, &groups[g])) return true;
  return false;
}

/* Checks the state hash: of the given groups as they are in memory, of all others on disk. */
static GwStatus check_state(GwFs *fs, const char *path, const GwManifest *manifest,
                            const GwTensorGroup *groups, int count) {
  uint64_t hash = gw_state_hash(groups, count, manifest->info.step);
  for (int i = 0; i < manifest->count; i++) {
    const char *name = manifest->files[i].name;
    if (is_file_of_any(name, groups, count)) continue;
    const char *suffix = strstr(name, SUFFIX);
    char file_path[GW_PATH_MAX];
    GwFile *file = NULL;
    GW_TRY(gw_fs_path(file_path, "%s/%s", path, name));
    GW_TRY(fs->open(fs, file_path, GW_FILE_READ, &file));
    size_t group_size = suffix ? (size_t)(suffix - name) : strlen(name);
    GwStatus status = hash_tensors(fs, file, file_path, name, group_size, &hash);
    fs->close(fs, file);
    GW_TRY(status);
  }
  if (hash == manifest->info.state_hash) return GW_OK;
  return gw_fail(GW_CORRUPT,
                 "%s: the state hash is 0x%016" PRIx64 ", but the manifest says 0x%016" PRIx64,
                 path, hash, manifest->info.state_hash);
}

GwStatus gw_checkpoint_verify(GwFs *fs, const char *path, GwCheckpointInfo *out) {
  return gw_checkpoint_view(fs, path, NULL, 0, out);
}

GwStatus gw_checkpoint_info(GwFs *fs, const char *path, GwCheckpointInfo *out) {
  GwManifest manifest = {0};
  GW_TRY(gw__manifest_read(fs, path, &manifest));
  *out = manifest.info;
  gw__manifest_deinit(&manifest);
  return GW_OK;
}

/* ---- loading ---- */

static GwStatus match_groups(const char *path, const GwManifest *manifest,
                             const GwTensorGroup *groups, int count) {
  for (int g = 0; g < count; g++) {
    int i = 0;
    while (i < manifest->count && !is_file_of(manifest->files[i].name, &groups[g])) i++;
    if (i == manifest->count)
      return gw_fail(GW_MISMATCH, "%s: has no '%s'; it belongs to another recipe", path,
                     groups[g].name);
  }
  return GW_OK;
}

static GwStatus match_files(const char *path, const GwManifest *manifest,
                            const GwTensorGroup *groups, int count) {
  for (int i = 0; i < manifest->count; i++)
    if (!is_file_of_any(manifest->files[i].name, groups, count))
      return gw_fail(GW_MISMATCH, "%s: has '%s', which is not wanted; it belongs to another recipe",
                     path, manifest->files[i].name);
  return GW_OK;
}

static bool group_has(const GwTensorGroup *group, const char *name) {
  for (int i = 0; i < group->count; i++)
    if (strcmp(group->tensors[i].name, name) == 0) return true;
  return false;
}

static GwStatus match_tensors(const char *path, const GwSafetensors *file,
                              const GwTensorGroup *group) {
  uint64_t offset;
  for (int i = 0; i < group->count; i++) {
    const GwTensor *wanted = &group->tensors[i];
    int at = gw_safetensors_find(file, wanted->name);
    if (at < 0)
      return gw_fail(GW_MISMATCH, "%s: has no tensor '%s'; it belongs to another recipe", path,
                     wanted->name);
    GwTensor found = gw_safetensors_entry(file, at, &offset);
    if (gw_type_equal(&found.type, &wanted->type)) continue;
    char is[TYPE_TEXT_BYTES], must[TYPE_TEXT_BYTES];
    type_text(&found.type, is);
    type_text(&wanted->type, must);
    return gw_fail(GW_MISMATCH,
                   "%s: tensor '%s' is %s, but %s is wanted; it belongs to another "
                   "recipe",
                   path, wanted->name, is, must);
  }
  for (int i = 0; i < gw_safetensors_count(file); i++) {
    GwTensor found = gw_safetensors_entry(file, i, &offset);
    if (!group_has(group, found.name))
      return gw_fail(GW_MISMATCH,
                     "%s: has a tensor '%s' that is not wanted; it belongs to another "
                     "recipe",
                     path, found.name);
  }
  return GW_OK;
}

static GwStatus load_group(GwFs *fs, const char *path, const GwTensorGroup *group) {
  char file_path[GW_PATH_MAX];
  GwSafetensors *file = NULL;
  GW_TRY(gw_fs_path(file_path, "%s/%s" SUFFIX, path, group->name));
  GW_TRY(gw_safetensors_open(fs, file_path, &file));
  GwStatus status = match_tensors(file_path, file, group);
  for (int i = 0; i < group->count && status == GW_OK; i++)
    status = gw_safetensors_read(file, gw_safetensors_find(file, group->tensors[i].name),
                                 group->tensors[i].data);
  gw_safetensors_close(file);
  return status;
}

static GwStatus load(GwFs *fs, const char *path, const GwTensorGroup *groups, int count, bool all,
                     GwCheckpointInfo *out) {
  GwManifest manifest = {0};
  GW_TRY(open_verified(fs, path, &manifest));
  GwStatus status = match_groups(path, &manifest, groups, count);
  if (status == GW_OK && all) status = match_files(path, &manifest, groups, count);
  for (int g = 0; g < count && status == GW_OK; g++) status = load_group(fs, path, &groups[g]);
  if (status == GW_OK) status = check_state(fs, path, &manifest, groups, count);
  if (status == GW_OK) *out = manifest.info;
  gw__manifest_deinit(&manifest);
  return status;
}

GwStatus gw_checkpoint_load(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                            GwCheckpointInfo *out) {
  return load(fs, path, groups, count, true, out);
}

GwStatus gw_checkpoint_view(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                            GwCheckpointInfo *out) {
  return load(fs, path, groups, count, false, out);
}
