/* Opening a corpus of either kind, and reading its splits across shards. */
#include "data/corpus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "data/corpus_manifest.h"
#include "data/shard.h"
#include "data/token_folder.h"
#include "godwit/log.h"

enum {
  GPT2_VOCAB = 50257,
  GPT2_END = 50256,
  LLAMA3_VOCAB = 128256,
  LLAMA3_BEGIN = 128000,
  VOCAB_MAX = 1 << 24 /* a recipe's */
};

typedef struct {
  GwShard *shards;
  uint64_t *starts; /* [count + 1]: number of the first token of each shard; the end */
  size_t count;     /* shards that are open */
} Stream;

struct GwCorpus {
  char *dir;
  GwCorpusManifest manifest;                  /* as read, or made of what lies there */
  GwTokenizer *tokenizer;                     /* NULL: ids only */
  int32_t vocab_size, vocab_min, end_of_text; /* -1: none */
  GwTokenFolder folder;                       /* without a manifest; else empty */
  Stream stream[GW_SPLIT_COUNT];
};

static bool is_folder(const GwCorpus *corpus) {
  return corpus->folder.split[GW_SPLIT_TRAIN].count + corpus->folder.split[GW_SPLIT_VAL].count > 0;
}

static GwStatus reserve_stream(GwCorpus *corpus, GwSplit split, size_t count) {
  Stream *stream = &corpus->stream[split];
  stream->shards = calloc(count + 1, sizeof *stream->shards);
  stream->starts = calloc(count + 1, sizeof *stream->starts);
  if (stream->shards && stream->starts) return GW_OK;
  return gw_fail(GW_MEMORY, "no memory to open %s", corpus->dir);
}

/* Counts the shard behind the last one, which the caller has just opened, into the stream. */
static void end_shard(Stream *stream) {
  size_t i = stream->count++;
  stream->starts[i + 1] = stream->starts[i] + stream->shards[i].tokens;
}

static void set_tokenizer(GwCorpus *corpus, GwTokenizer *tokenizer) {
  corpus->tokenizer = tokenizer;
  corpus->vocab_size = corpus->vocab_min = gw_tokenizer_vocab_size(tokenizer);
  corpus->end_of_text = gw_tokenizer_end_of_text(tokenizer);
}

/* ---- a prepared corpus ---- */

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
  GW_TRY(reserve_stream(corpus, split, count));
  for (size_t i = 0; i < count; i++) {
    GW_TRY(open_shard(corpus, split, i, verify, &stream->shards[i]));
    end_shard(stream);
  }
  return GW_OK;
}

static GwStatus open_tokenizer(GwFs *fs, GwCorpus *corpus) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/tokenizer.json", corpus->dir));
  if (!fs->exists(fs, path))
    return gw_fail(GW_CORRUPT, "%s: is missing; prepare the data again", path);
  GwTokenizer *tokenizer = NULL;
  GW_TRY(gw_tokenizer_open(fs, path, &tokenizer));
  set_tokenizer(corpus, tokenizer);
  if (gw_tokenizer_hash(corpus->tokenizer) != corpus->manifest.tokenizer_hash)
    return gw_fail(GW_CORRUPT, "%s: not the tokenizer that made the shards; prepare the data again",
                   path);
  return GW_OK;
}

static GwStatus open_prepared(GwFs *fs, GwCorpus *corpus, bool verify) {
  GW_TRY(open_tokenizer(fs, corpus));
  GW_TRY(open_stream(corpus, GW_SPLIT_TRAIN, verify));
  return open_stream(corpus, GW_SPLIT_VAL, verify);
}

/* ---- files without a manifest ---- */

/* What ids without a tokenizer may be. */
typedef struct {
  const char *name;
  int32_t vocab_size, end_of_text;
} Assumption;

static Assumption assume(const GwTokenFolder *folder) {
  bool two_bytes = folder->layout == GW_TOKENS_LLM_C_16 || folder->layout == GW_TOKENS_NANOGPT;
  if (two_bytes && !folder->has_meta) return (Assumption){"GPT-2", GPT2_VOCAB, GPT2_END};
  if (folder->layout == GW_TOKENS_LLM_C_32)
    return (Assumption){"Llama 3", LLAMA3_VOCAB, LLAMA3_BEGIN};
  return (Assumption){NULL, 0, -1};
}

static GwStatus check_largest(const GwCorpus *corpus, const char *path, const GwShardScan *scan) {
  if (scan->largest >= VOCAB_MAX)
    return gw_fail(GW_CORRUPT, "%s: token %" PRIu64 " is no id: these are 0 to %d", path,
                   scan->largest_at, VOCAB_MAX - 1);
  if (!corpus->tokenizer || scan->largest < (uint32_t)corpus->vocab_size) return GW_OK;
  return gw_fail(GW_CORRUPT,
                 "%s: token %" PRIu64 " is %" PRIu32 ", outside the vocabulary of %" PRId32
                 " in %s; put the tokenizer there that made the tokens",
                 path, scan->largest_at, scan->largest, corpus->vocab_size,
                 corpus->folder.tokenizer);
}

/* Opens the files of a split and reads them once. */
static GwStatus read_files(GwCorpus *corpus, GwSplit split, int32_t end_of_text) {
  Stream *stream = &corpus->stream[split];
  GwManifestSplit *sums = &corpus->manifest.split[split];
  size_t count = corpus->folder.split[split].count;
  uint64_t indexed = 0;
  GW_TRY(reserve_stream(corpus, split, count));
  for (size_t i = 0; i < count; i++) {
    const char *path = corpus->folder.split[split].paths[i];
    GwShard *shard = &stream->shards[i];
    GwShardScan scan;
    GW_TRY(gw_token_file_open(path, corpus->folder.layout, shard));
    end_shard(stream);
    gw_shard_scan(shard, end_of_text, &scan);
    GW_TRY(check_largest(corpus, path, &scan));
    if (!corpus->tokenizer && scan.largest >= (uint32_t)corpus->vocab_min)
      corpus->vocab_min = (int32_t)scan.largest + 1;
    indexed += shard->index.documents;
    GwManifestShard known = {.documents = scan.ends, .tokens = shard->tokens, .hash = scan.hash};
    GW_TRY(gw_corpus_manifest_add(&corpus->manifest, split, known));
  }
  if (indexed > 0) sums->documents = indexed;
  return GW_OK;
}

/* Once the largest id is known. */
static void settle_vocabulary(GwCorpus *corpus, const Assumption *assumed) {
  bool fits = corpus->vocab_min <= assumed->vocab_size;
  corpus->vocab_size = fits ? assumed->vocab_size : corpus->vocab_min;
  corpus->end_of_text = fits ? assumed->end_of_text : -1;
  for (int s = 0; s < GW_SPLIT_COUNT; s++)
    if (!fits && corpus->folder.layout != GW_TOKENS_MEGATRON)
      corpus->manifest.split[s].documents = 0;
}

static GwStatus open_files(GwFs *fs, GwCorpus *corpus) {
  const GwTokenFolder *folder = &corpus->folder;
  Assumption assumed = assume(folder);
  GwTokenizer *tokenizer = NULL;
  if (folder->tokenizer[0]) GW_TRY(gw_tokenizer_open(fs, folder->tokenizer, &tokenizer));
  if (tokenizer) set_tokenizer(corpus, tokenizer);
  int32_t end_of_text = tokenizer ? corpus->end_of_text : assumed.end_of_text;
  GW_TRY(read_files(corpus, GW_SPLIT_TRAIN, end_of_text));
  GW_TRY(read_files(corpus, GW_SPLIT_VAL, end_of_text));
  if (!tokenizer) settle_vocabulary(corpus, &assumed);
  corpus->manifest.tokenizer_hash =
      tokenizer ? gw_tokenizer_hash(tokenizer) : (uint64_t)(corpus->end_of_text + 1);
  return GW_OK;
}

void gw_corpus_describe(const GwCorpus *corpus) {
  const GwTokenFolder *folder = &corpus->folder;
  char ids[GW_PATH_MAX + 64];
  if (!is_folder(corpus)) return;
  if (corpus->tokenizer)
    snprintf(ids, sizeof ids, "their tokenizer: %s", folder->tokenizer);
  else if (corpus->end_of_text >= 0)
    snprintf(ids, sizeof ids, "no tokenizer beside them: taken for %s's ids, end-of-text %" PRId32,
             assume(folder).name, corpus->end_of_text);
  else
    snprintf(ids, sizeof ids,
             "no tokenizer beside them: ids up to %" PRId32 ", no end-of-text token",
             corpus->vocab_min - 1);
  gw_log(GW_LOG_INFO, "%s: %s, %zu files to train on and %zu to validate with; %s", corpus->dir,
         gw_token_layout_name(folder->layout), folder->split[GW_SPLIT_TRAIN].count,
         folder->split[GW_SPLIT_VAL].count, ids);
}

/* ---- either ---- */

static GwStatus open_any(GwFs *fs, GwCorpus *corpus, bool verify) {
  const char *dir = corpus->dir;
  char path[GW_PATH_MAX];
  GwStatus status = gw_corpus_manifest_read(fs, dir, true, &corpus->manifest);
  if (status != GW_NOT_FOUND) return status == GW_OK ? open_prepared(fs, corpus, verify) : status;
  GW_TRY(gw_fs_path(path, "%s/progress.json", dir));
  if (fs->exists(fs, path))
    return gw_fail(GW_NOT_FOUND,
                   "%s: its preparation is not finished; run the same `godwit prepare` again", dir);
  GW_TRY(gw_token_folder_open(fs, dir, &corpus->folder));
  if (is_folder(corpus)) return open_files(fs, corpus);
  return gw_fail(GW_NOT_FOUND,
                 "%s: no prepared corpus (manifest.json is missing) and no token files of llm.c, "
                 "nanoGPT or Megatron (.bin); make a corpus with `godwit prepare --out %s INPUT`",
                 dir, dir);
}

GwStatus gw_corpus_open(const char *dir, bool verify, GwCorpus **out) {
  GwCorpus *corpus = calloc(1, sizeof *corpus);
  if (!corpus) return gw_fail(GW_MEMORY, "no memory to open %s", dir);
  corpus->end_of_text = -1;
  corpus->dir = strdup(dir);
  GwStatus status = corpus->dir ? open_any(gw_fs_disk(), corpus, verify)
                                : gw_fail(GW_MEMORY, "no memory to open %s", dir);
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
  gw_token_folder_close(&corpus->folder);
  gw_corpus_manifest_deinit(&corpus->manifest);
  free(corpus->dir);
  free(corpus);
}

const char *gw_corpus_dir(const GwCorpus *corpus) { return corpus->dir; }

const GwTokenizer *gw_corpus_tokenizer(const GwCorpus *corpus) { return corpus->tokenizer; }

int32_t gw_corpus_vocab_size(const GwCorpus *corpus) { return corpus->vocab_size; }

int32_t gw_corpus_vocab_min(const GwCorpus *corpus) { return corpus->vocab_min; }

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
    if (out[i] < 0 || out[i] >= corpus->vocab_min)
      return gw_fail(GW_CORRUPT,
                     "%s: token %" PRIu64 " of the %s shards is %" PRId32
                     ", outside the vocabulary of %" PRId32 "; %s",
                     corpus->dir, first + i, gw_split_name(split), out[i], corpus->vocab_min,
                     is_folder(corpus) ? "the file was changed while in use"
                                       : "prepare the data again");
  return GW_OK;
}

void gw_positions(const int32_t *tokens, int64_t count, int32_t end_of_text, int32_t *positions) {
  int64_t start = 0;
  for (int64_t i = 0; i < count; i++) {
    if (tokens[i] == end_of_text) start = i;
    positions[i] = (int32_t)(i - start);
  }
}

/* Where the first document begins behind token `after` of the shard; its end where none does. */
static uint64_t document_after(const GwShard *shard, uint64_t after) {
  uint64_t low = 0, high = shard->index.documents; /* document `high` begins behind it */
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (gw_shard_document(shard, middle) > after)
      high = middle;
    else
      low = middle + 1;
  }
  return gw_shard_document(shard, low);
}

/* The same in the stream, where each shard begins with a document. */
static uint64_t next_document(const Stream *stream, uint64_t after) {
  size_t s = shard_of(stream, after);
  return stream->starts[s] + document_after(&stream->shards[s], after - stream->starts[s]);
}

void gw_corpus_positions(const GwCorpus *corpus, GwSplit split, uint64_t first,
                         const int32_t *tokens, int64_t count, int32_t *positions) {
  const Stream *stream = &corpus->stream[split];
  if (corpus->folder.layout != GW_TOKENS_MEGATRON) {
    gw_positions(tokens, count, corpus->end_of_text, positions);
    return;
  }
  uint64_t next = next_document(stream, first);
  int64_t start = 0;
  for (int64_t i = 0; i < count; i++) {
    bool begins = first + (uint64_t)i == next;
    if (tokens[i] == corpus->end_of_text || (begins && tokens[i - 1] != corpus->end_of_text))
      start = i;
    if (begins) next = next_document(stream, next);
    positions[i] = (int32_t)(i - start);
  }
}
