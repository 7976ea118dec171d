/* The manifest as JSON and back. */
#include "data/corpus_manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash64.h"
#include "base/json.h"

enum { VERSION = 1, MANIFEST_BYTES_MAX = 1 << 28 };

static const char *const formats[] = {"godwit-corpus-progress", "godwit-corpus"};
static const char *const files[] = {"progress.json", "manifest.json"};
static const char *const split_names[GW_SPLIT_COUNT] = {"train", "val"};
static const char hash_key[] = "manifest_hash";

const char *gw_split_name(GwSplit split) { return split_names[split]; }

GwStatus gw_shard_path(const char *dir, GwSplit split, size_t index, char *out) {
  return gw_fs_path(out, "%s/%s-%05zu.bin", dir, split_names[split], index);
}

GwStatus gw_corpus_manifest_add(GwCorpusManifest *manifest, GwSplit split, GwManifestShard shard) {
  GwManifestSplit *to = &manifest->split[split];
  if (!GW_GROW(to->shards, to->capacity, to->count + 1))
    return gw_fail(GW_MEMORY, "no memory for a list of %zu shards", to->count + 1);
  to->shards[to->count++] = shard;
  to->documents += shard.documents;
  to->bytes += shard.bytes;
  to->tokens += shard.tokens;
  return GW_OK;
}

void gw_corpus_manifest_truncate(GwCorpusManifest *manifest, GwSplit split, size_t count) {
  GwManifestSplit *from = &manifest->split[split];
  while (from->count > count) {
    const GwManifestShard *shard = &from->shards[--from->count];
    from->documents -= shard->documents;
    from->bytes -= shard->bytes;
    from->tokens -= shard->tokens;
  }
}

void gw_corpus_manifest_deinit(GwCorpusManifest *manifest) {
  for (int s = 0; s < GW_SPLIT_COUNT; s++) free(manifest->split[s].shards);
  *manifest = (GwCorpusManifest){0};
}

/* ---- writing ---- */

/* The hash of all members but the hash itself; 0 on exhaustion. */
static uint64_t own_hash(json_t *root) {
  json_object_del(root, hash_key);
  char *line = gw_json_line(root);
  uint64_t hash = line ? gw_hash_string(line) : 0;
  free(line);
  return hash;
}

static json_t *integer(uint64_t value) { return json_integer((json_int_t)value); }

static json_t *shard_to_json(const GwManifestShard *shard) {
  json_t *object = json_object();
  json_object_set_new(object, "documents", integer(shard->documents));
  json_object_set_new(object, "bytes", integer(shard->bytes));
  json_object_set_new(object, "tokens", integer(shard->tokens));
  json_object_set_new(object, "hash", gw_json_from_hash(shard->hash));
  json_object_set_new(object, "last_document", integer(shard->last_document));
  return object;
}

static json_t *split_to_json(const GwManifestSplit *split, const char *name) {
  json_t *object = json_object(), *shards = json_array();
  json_object_set_new(object, "documents", integer(split->documents));
  json_object_set_new(object, "bytes", integer(split->bytes));
  json_object_set_new(object, "tokens", integer(split->tokens));
  json_object_set_new(object, "shards", shards);
  for (size_t i = 0; i < split->count; i++) {
    json_t *shard = json_object();
    json_object_set_new(shard, "file", json_sprintf("%s-%05zu.bin", name, i));
    json_t *rest = shard_to_json(&split->shards[i]);
    json_object_update(shard, rest);
    json_decref(rest);
    json_array_append_new(shards, shard);
  }
  return object;
}

static json_t *options_to_json(const GwPrepareOptions *options) {
  json_t *object = json_object(), *inputs = json_array();
  json_object_set_new(object, "tokenizer", json_string(options->tokenizer));
  if (strcmp(options->tokenizer, "bpe") == 0 || strcmp(options->tokenizer, "bpe-hf") == 0)
    json_object_set_new(object, "vocab_size", json_integer(options->vocab_size));
  json_object_set_new(object, "val_fraction", json_real(options->val_fraction));
  json_object_set_new(object, "shard_tokens", json_integer(options->shard_tokens));
  for (int i = 0; i < options->input_count; i++)
    json_array_append_new(inputs, json_string(options->inputs[i]));
  json_object_set_new(object, "inputs", inputs);
  return object;
}

static json_t *manifest_to_json(const GwCorpusManifest *manifest) {
  const GwPrepareOptions *options = manifest->options;
  json_t *root = json_object();
  json_object_set_new(root, "format", json_string(formats[manifest->finished]));
  json_object_set_new(root, "version", json_integer(VERSION));
  json_object_set_new(root, "licence",
                      options->licence ? json_string(options->licence) : json_null());
  json_object_set_new(root, "options", options_to_json(options));
  json_object_set_new(root, "options_hash", gw_json_from_hash(manifest->options_hash));
  json_object_set_new(root, "inputs_hash", gw_json_from_hash(manifest->inputs_hash));
  json_object_set_new(root, "tokenizer", json_string("tokenizer.json"));
  json_object_set_new(root, "tokenizer_hash", gw_json_from_hash(manifest->tokenizer_hash));
  json_object_set_new(root, "vocab_size", json_integer(manifest->vocab_size));
  json_object_set_new(root, "documents", integer(manifest->documents));
  json_object_set_new(root, "duplicates", integer(manifest->duplicates));
  for (int s = 0; s < GW_SPLIT_COUNT; s++)
    json_object_set_new(root, split_names[s], split_to_json(&manifest->split[s], split_names[s]));
  return root;
}

GwStatus gw_corpus_manifest_write(GwFs *fs, const char *dir, const GwCorpusManifest *manifest) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/%s", dir, files[manifest->finished]));
  json_t *root = manifest_to_json(manifest);
  json_object_set_new(root, hash_key, gw_json_from_hash(own_hash(root)));
  char *text = gw_json_text(root);
  json_decref(root);
  if (!text) return gw_fail(GW_MEMORY, "%s: no memory to write it", path);
  GwStatus status = gw_fs_write_atomic(fs, path, text, strlen(text));
  free(text);
  return status;
}

/* ---- reading ---- */

static GwStatus read_count(const json_t *object, const char *file, const char *key, uint64_t *out) {
  int64_t value = 0;
  GW_TRY(gw_json_i64(object, file, key, &value));
  if (value < 0) return gw_fail(GW_CORRUPT, "%s: key '%s' is negative", file, key);
  *out = (uint64_t)value;
  return GW_OK;
}

static GwStatus read_shard(const json_t *object, const char *file, GwManifestShard *out) {
  GW_TRY(read_count(object, file, "documents", &out->documents));
  GW_TRY(read_count(object, file, "bytes", &out->bytes));
  GW_TRY(read_count(object, file, "tokens", &out->tokens));
  GW_TRY(gw_json_hash(object, file, "hash", &out->hash));
  return read_count(object, file, "last_document", &out->last_document);
}

static GwStatus read_split(const json_t *root, const char *file, GwSplit split,
                           GwCorpusManifest *out) {
  json_t *object = NULL, *shards = NULL;
  GW_TRY(gw_json_object(root, file, split_names[split], &object));
  GW_TRY(gw_json_array(object, file, "shards", &shards));
  for (size_t i = 0; i < json_array_size(shards); i++) {
    GwManifestShard shard = {0};
    GW_TRY(read_shard(json_array_get(shards, i), file, &shard));
    GW_TRY(gw_corpus_manifest_add(out, split, shard));
  }
  return GW_OK;
}

static GwStatus read_fields(json_t *root, const char *file, GwCorpusManifest *out) {
  const char *format = NULL;
  int64_t version = 0, vocab_size = 0;
  uint64_t hash = 0;
  GW_TRY(gw_json_string(root, file, "format", &format));
  if (strcmp(format, formats[out->finished]) != 0)
    return gw_fail(GW_CORRUPT, "%s: format '%s' is not '%s'", file, format, formats[out->finished]);
  GW_TRY(gw_json_i64(root, file, "version", &version));
  if (version != VERSION)
    return gw_fail(GW_UNSUPPORTED, "%s: version %" PRId64 "; this godwit knows version %d", file,
                   version, VERSION);
  GW_TRY(gw_json_hash(root, file, hash_key, &hash));
  if (hash != own_hash(root))
    return gw_fail(GW_CORRUPT, "%s: was changed after it was written; prepare the data again",
                   file);
  GW_TRY(gw_json_hash(root, file, "options_hash", &out->options_hash));
  GW_TRY(gw_json_hash(root, file, "inputs_hash", &out->inputs_hash));
  GW_TRY(gw_json_hash(root, file, "tokenizer_hash", &out->tokenizer_hash));
  GW_TRY(gw_json_i64(root, file, "vocab_size", &vocab_size));
  if (vocab_size < 0 || vocab_size > INT32_MAX)
    return gw_fail(GW_CORRUPT, "%s: key 'vocab_size' is out of range", file);
  out->vocab_size = (int32_t)vocab_size;
  GW_TRY(read_count(root, file, "documents", &out->documents));
  GW_TRY(read_count(root, file, "duplicates", &out->duplicates));
  GW_TRY(read_split(root, file, GW_SPLIT_TRAIN, out));
  return read_split(root, file, GW_SPLIT_VAL, out);
}

GwStatus gw_corpus_manifest_read(GwFs *fs, const char *dir, bool finished, GwCorpusManifest *out) {
  char path[GW_PATH_MAX], *text = NULL;
  size_t size = 0;
  json_t *root = NULL;
  GwCorpusManifest manifest = {.finished = finished};
  GW_TRY(gw_fs_path(path, "%s/%s", dir, files[finished]));
  if (!fs->exists(fs, path)) return gw_fail(GW_NOT_FOUND, "%s: no such file", path);
  GW_TRY(gw_fs_read_all(fs, path, MANIFEST_BYTES_MAX, &text, &size));
  GwStatus status = gw_json_parse(path, text, size, &root);
  free(text);
  if (status == GW_OK) status = read_fields(root, path, &manifest);
  json_decref(root);
  if (status == GW_OK)
    *out = manifest;
  else
    gw_corpus_manifest_deinit(&manifest);
  return status;
}
