/* Opening a prepared corpus, and reading its splits across shards. */
#include "data/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "data/corpus_manifest.h"
#include "data/shard.h"

typedef struct {
  GwShard *shards;
  uint64_t *starts; /* [count + 1]: number of the first token of each shard; the end */
  size_t count;     /* shards that are open */
} Stream;

struct GwCorpus {
  char *dir;
  GwCorpusManifest manifest;
  GwTokenizer *tokenizer;
  int32_t vocab_size;
  Stream stream[GW_SPLIT_COUNT];
};

static GwStatus open_shard(const GwCorpus *corpus, GwSplit split, size_t index, bool verify,
                           GwShard *out) {
  const GwManifestShard *known = &corpus->manifest.split[split].shards[index];
  char path[GW_PATH_MAX];
  GW_TRY(gw_shard_path(corpus->dir, split, index, path));
  GwStatus status = gw_shard_open(path, out);
  if (status == GW_NOT_FOUND)
    return gw_fail(GW_CORRUPT, "%s: is missing, but the manifest lists it; prepare the data again",
                   path);
  GW_TRY(status);
  if (out->tokens != known->tokens)
    status =
        gw_fail(GW_CORRUPT,
                "%s: %" PRIu64 " tokens, but the manifest says %" PRIu64 "; prepare the data again",
                path, out->tokens, known->tokens);
  else if (verify && gw_shard_hash(out) != known->hash)
    status =
        gw_fail(GW_CORRUPT, "%s: its hash is not the manifest's; prepare the data again", path);
  if (status != GW_OK) gw_shard_close(out);
  return status;
}

static GwStatus open_stream(GwCorpus *corpus, GwSplit split, bool verify) {
  Stream *stream = &corpus->stream[split];
  size_t count = corpus->manifest.split[split].count;
  stream->shards = calloc(count + 1, sizeof *stream->shards);
  stream->starts = calloc(count + 1, sizeof *stream->starts);
  if (!stream->shards || !stream->starts)
    return gw_fail(GW_MEMORY, "no memory to open %s", corpus->dir);
  for (size_t i = 0; i < count; i++) {
    GW_TRY(open_shard(corpus, split, i, verify, &stream->shards[i]));
    stream->count++;
    stream->starts[i + 1] = stream->starts[i] + stream->shards[i].tokens;
  }
  return GW_OK;
}

static GwStatus open_tokenizer(GwFs *fs, GwCorpus *corpus) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/tokenizer.json", corpus->dir));
  if (!fs->exists(fs, path))
    return gw_fail(GW_CORRUPT, "%s: is missing; prepare the data again", path);
  GW_TRY(gw_tokenizer_open(fs, path, &corpus->tokenizer));
  corpus->vocab_size = gw_tokenizer_vocab_size(corpus->tokenizer);
  if (gw_tokenizer_hash(corpus->tokenizer) != corpus->manifest.tokenizer_hash)
    return gw_fail(GW_CORRUPT, "%s: not the tokenizer that made the shards; prepare the data again",
                   path);
  return GW_OK;
}

static GwStatus read_manifest(GwFs *fs, const char *dir, GwCorpusManifest *out) {
  char path[GW_PATH_MAX];
  GwStatus status = gw_corpus_manifest_read(fs, dir, true, out);
  if (status != GW_NOT_FOUND) return status;
  GW_TRY(gw_fs_path(path, "%s/progress.json", dir));
  if (fs->exists(fs, path))
    return gw_fail(GW_NOT_FOUND,
                   "%s: its preparation is not finished; run the same `godwit prepare` again", dir);
  return gw_fail(GW_NOT_FOUND,
                 "%s: no prepared corpus (manifest.json is missing); make one with "
                 "`godwit prepare --out %s INPUT`",
                 dir, dir);
}

GwStatus gw_corpus_open(const char *dir, bool verify, GwCorpus **out) {
  GwFs *fs = gw_fs_disk();
  GwCorpus *corpus = calloc(1, sizeof *corpus);
  if (!corpus) return gw_fail(GW_MEMORY, "no memory to open %s", dir);
  GwStatus status = GW_OK;
  corpus->dir = strdup(dir);
  if (!corpus->dir) status = gw_fail(GW_MEMORY, "no memory to open %s", dir);
  if (status == GW_OK) status = read_manifest(fs, dir, &corpus->manifest);
  if (status == GW_OK) status = open_tokenizer(fs, corpus);
  if (status == GW_OK) status = open_stream(corpus, GW_SPLIT_TRAIN, verify);
  if (status == GW_OK) status = open_stream(corpus, GW_SPLIT_VAL, verify);
  if (status == GW_OK)
    *out = corpus;
  else
    gw_corpus_close(corpus);
  return status;
}

void gw_corpus_close(GwCorpus *corpus) {
  if (!corpus) return;
  for (int s = 0; s < GW_SPLIT_COUNT; s++) {
    Stream *stream = &corpus->stream[s];
    for (size_t i = 0; i < stream->count; i++) gw_shard_close(&stream->shards[i]);
    free(stream->shards);
    free(stream->starts);
  }
  if (corpus->tokenizer) gw_tokenizer_destroy(corpus->tokenizer);
  gw_corpus_manifest_deinit(&corpus->manifest);
  free(corpus->dir);
  free(corpus);
}

const char *gw_corpus_dir(const GwCorpus *corpus) { return corpus->dir; }

const GwTokenizer *gw_corpus_tokenizer(const GwCorpus *corpus) { return corpus->tokenizer; }

uint64_t gw_corpus_tokens(const GwCorpus *corpus, GwSplit split) {
  return corpus->manifest.split[split].tokens;
}

uint64_t gw_corpus_documents(const GwCorpus *corpus, GwSplit split) {
  return corpus->manifest.split[split].documents;
}

uint64_t gw_corpus_bytes(const GwCorpus *corpus, GwSplit split) {
  return corpus->manifest.split[split].bytes;
}

uint64_t gw_corpus_hash(const GwCorpus *corpus) {
  uint64_t hash = corpus->manifest.tokenizer_hash;
  for (int s = 0; s < GW_SPLIT_COUNT; s++) {
    const GwManifestSplit *split = &corpus->manifest.split[s];
    hash = gw_hash_bytes(&split->tokens, sizeof split->tokens, hash);
    for (size_t i = 0; i < split->count; i++)
      hash = gw_hash_bytes(&split->shards[i].hash, sizeof hash, hash);
  }
  return hash;
}

/* The shard that holds token `at` of the stream. */
static size_t shard_of(const Stream *stream, uint64_t at) {
  size_t low = 0, high = stream->count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (stream->starts[middle] <= at)
      low = middle;
    else
      high = middle;
  }
  return low;
}

GwStatus gw_corpus_read(const GwCorpus *corpus, GwSplit split, uint64_t first, uint64_t count,
                        int32_t *out) {
  const Stream *stream = &corpus->stream[split];
  uint64_t total = corpus->manifest.split[split].tokens;
  GW_ASSERT(first <= total && count <= total - first);
  uint64_t done = 0;
  for (size_t s = shard_of(stream, first); done < count; s++) {
    uint64_t within = first + done - stream->starts[s];
    uint64_t some = stream->shards[s].tokens - within;
    if (some > count - done) some = count - done;
    gw_shard_read(&stream->shards[s], within, some, out + done);
    done += some;
  }
  for (uint64_t i = 0; i < count; i++)
    if (out[i] < 0 || out[i] >= corpus->vocab_size)
      return gw_fail(GW_CORRUPT,
                     "%s: token %" PRIu64 " of the %s shards is %" PRId32
                     ", outside the vocabulary of %" PRId32 "; prepare the data again",
                     corpus->dir, first + i, gw_split_name(split), out[i], corpus->vocab_size);
  return GW_OK;
}

void gw_positions(const int32_t *tokens, int64_t count, int32_t end_of_text, int32_t *positions) {
  int64_t start = 0;
  for (int64_t i = 0; i < count; i++) {
    if (tokens[i] == end_of_text) start = i;
    positions[i] = (int32_t)(i - start);
  }
}
