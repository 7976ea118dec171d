/* The manifest of a prepared corpus, and of one in preparation.
 *
 *   DIR/manifest.json   format "godwit-corpus": written last, so its presence means a whole corpus
 *   DIR/progress.json   format "godwit-corpus-progress": the same fields, the shards finished so
 * far; present while `godwit prepare` is at work or was interrupted
 *
 * Both end with the hash of their own fields, so a changed byte is noticed. A split's shards are
 * named by number (train-00000.bin) and end at document boundaries. */
#ifndef GW_CORPUS_MANIFEST_H
#define GW_CORPUS_MANIFEST_H

#include "data/corpus.h"
#include "godwit/prepare.h"

enum { GW_SPLIT_COUNT = GW_SPLIT_VAL + 1 };

typedef struct {
  uint64_t documents, bytes, tokens; /* bytes of text; tokens with end-of-text tokens */
  uint64_t hash;                     /* gw_shard_hash */
  uint64_t last_document;            /* number of its last document in the inputs, copies counted */
} GwManifestShard;

typedef struct {
  uint64_t documents, bytes, tokens; /* sums over the shards */
  GwManifestShard *shards;
  size_t count, capacity;
} GwManifestSplit;

typedef struct {
  bool finished;                  /* manifest.json, not progress.json */
  uint64_t options_hash;          /* of all options that decide the outcome */
  uint64_t inputs_hash;           /* of all documents in order */
  uint64_t tokenizer_hash;        /* 0 while the tokenizer is not there yet */
  int32_t vocab_size;             /* 0 likewise */
  uint64_t documents, duplicates; /* distinct; dropped as copies */
  GwManifestSplit split[GW_SPLIT_COUNT];
  const GwPrepareOptions *options; /* borrowed; written for people, NULL after reading */
} GwCorpusManifest;

const char *gw_split_name(GwSplit split);
/* "DIR/train-00000.bin" into `out`, of GW_PATH_MAX bytes. */
GwStatus gw_shard_path(const char *dir, GwSplit split, size_t index, char *out);

/* Reads DIR/manifest.json (`finished`) or DIR/progress.json; GW_NOT_FOUND when it is not there. */
GwStatus gw_corpus_manifest_read(GwFs *fs, const char *dir, bool finished, GwCorpusManifest *out);
/* Writes DIR/manifest.json or DIR/progress.json, as manifest->finished says, atomically. */
GwStatus gw_corpus_manifest_write(GwFs *fs, const char *dir, const GwCorpusManifest *manifest);
/* Appends a shard to a split and to its sums. */
GwStatus gw_corpus_manifest_add(GwCorpusManifest *manifest, GwSplit split, GwManifestShard shard);
/* Drops the shards of a split from number `count` on. */
void gw_corpus_manifest_truncate(GwCorpusManifest *manifest, GwSplit split, size_t count);
void gw_corpus_manifest_deinit(GwCorpusManifest *manifest);

#endif
