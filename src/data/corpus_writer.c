/* One open shard per split. */
#include "data/corpus_writer.h"

void gw_corpus_writer_init(GwFs *fs, const char *dir, GwCorpusManifest *manifest,
                           const GwTokenizer *tokenizer, uint64_t shard_tokens,
                           GwCorpusWriter *out) {
  *out =
      (GwCorpusWriter){.fs = fs,
                       .dir = dir,
                       .manifest = manifest,
                       .shard_tokens = shard_tokens,
                       .token_bytes = gw_tokenizer_vocab_size(tokenizer) <= UINT16_MAX + 1 ? 2 : 4,
                       .end_of_text = gw_tokenizer_end_of_text(tokenizer)};
}

GwStatus gw_corpus_writer_add(GwCorpusWriter *writer, GwSplit split, const int32_t *ids,
                              size_t count) {
  GW_ASSERT(writer->open[split].writer);
  return gw_shard_writer_add(writer->open[split].writer, ids, count);
}

GwStatus gw_corpus_writer_begin(GwCorpusWriter *writer, GwSplit split) {
  if (!writer->open[split].writer) {
    char path[GW_PATH_MAX];
    GW_TRY(gw_shard_path(writer->dir, split, writer->manifest->split[split].count, path));
    GW_TRY(
        gw_shard_writer_open(writer->fs, path, writer->token_bytes, &writer->open[split].writer));
    writer->open[split].shard = (GwManifestShard){0};
  }
  return gw_corpus_writer_add(writer, split, &writer->end_of_text, 1);
}

static GwStatus finish_shard(GwCorpusWriter *writer, GwSplit split) {
  GwManifestShard shard = writer->open[split].shard;
  GwShardWriter *file = writer->open[split].writer;
  writer->open[split].writer = NULL;
  GW_TRY(gw_shard_writer_finish(file, &shard.tokens, &shard.hash));
  GW_TRY(gw_corpus_manifest_add(writer->manifest, split, shard));
  return gw_corpus_manifest_write(writer->fs, writer->dir, writer->manifest);
}

GwStatus gw_corpus_writer_end(GwCorpusWriter *writer, GwSplit split, uint64_t document,
                              uint64_t bytes) {
  GwManifestShard *shard = &writer->open[split].shard;
  shard->documents++;
  shard->bytes += bytes;
  shard->last_document = document;
  bool full = gw_shard_writer_tokens(writer->open[split].writer) >= writer->shard_tokens;
  return full ? finish_shard(writer, split) : GW_OK;
}

GwStatus gw_corpus_writer_finish(GwCorpusWriter *writer) {
  for (GwSplit split = GW_SPLIT_TRAIN; split <= GW_SPLIT_VAL; split++)
    if (writer->open[split].writer) GW_TRY(finish_shard(writer, split));
  return GW_OK;
}

void gw_corpus_writer_deinit(GwCorpusWriter *writer) {
  for (int split = 0; split < GW_SPLIT_COUNT; split++) {
    gw_shard_writer_abort(writer->open[split].writer);
    writer->open[split].writer = NULL;
  }
}
