/* Writes the shards of a corpus in preparation and keeps its progress.json, so that finished shards
 * outlive an interruption. A shard ends with the document that brings it to shard_tokens; the
 * manifest gets it once it is whole on disk. */
#ifndef GW_CORPUS_WRITER_H
#define GW_CORPUS_WRITER_H

#include "data/corpus_manifest.h"
#include "data/shard.h"

typedef struct {
  GwFs *fs;
  const char *dir;
  GwCorpusManifest *manifest;
  uint64_t shard_tokens;
  int token_bytes;
  int32_t end_of_text;
  struct {
    GwShardWriter *writer; /* NULL between shards */
    GwManifestShard shard; /* what it holds so far */
  } open[GW_SPLIT_COUNT];
} GwCorpusWriter;

/* Goes on behind the manifest's shards; all pointers are borrowed. */
void gw_corpus_writer_init(GwFs *fs, const char *dir, GwCorpusManifest *manifest,
                           const GwTokenizer *tokenizer, uint64_t shard_tokens,
                           GwCorpusWriter *out);
/* Begins a document: writes the end-of-text token. */
GwStatus gw_corpus_writer_begin(GwCorpusWriter *writer, GwSplit split);
GwStatus gw_corpus_writer_add(GwCorpusWriter *writer, GwSplit split, const int32_t *ids,
                              size_t count);
/* Ends the document, number `document` in the inputs and `bytes` long. */
GwStatus gw_corpus_writer_end(GwCorpusWriter *writer, GwSplit split, uint64_t document,
                              uint64_t bytes);
/* Finishes the shards that are open. */
GwStatus gw_corpus_writer_finish(GwCorpusWriter *writer);
/* Gives up the shards that are open, if any. */
void gw_corpus_writer_deinit(GwCorpusWriter *writer);

#endif
