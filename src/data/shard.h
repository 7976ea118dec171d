/* Token shards in llm.c's layout: 256 little-endian int32 of header, then the tokens.
 *   uint16: magic 20240520, version 1;  uint32: magic 20240801, version 7;  [2] = token count
 * A shard's hash is gw_hash_blocks of its whole file with seed 0. */
#ifndef GW_SHARD_H
#define GW_SHARD_H

#include "os/fs.h"

enum { GW_SHARD_HEADER_BYTES = 1024 };

typedef struct {
  GwMap map;           /* empty when the shard was parsed from memory */
  const uint8_t *data; /* the file's bytes, header included */
  uint64_t tokens;
  int token_bytes; /* 2 or 4 */
} GwShard;

/* Maps and checks header against size; the error names file and field. */
GwStatus gw_shard_open(const char *path, GwShard *out);
/* The same from memory (what the fuzz target calls); `data` is borrowed and must outlive the shard.
 */
GwStatus gw_shard_parse(const char *name, const uint8_t *data, size_t size, GwShard *out);
void gw_shard_close(GwShard *shard);
/* Tokens [first, first + count), which must lie inside. A damaged uint32 shard may give negative
 * numbers: whoever uses tokens as indices checks them against the vocabulary. */
void gw_shard_read(const GwShard *shard, uint64_t first, uint64_t count, int32_t *out);
uint64_t gw_shard_hash(const GwShard *shard);

typedef struct GwShardWriter GwShardWriter;
/* Tokens are collected in `path`.tokens; finish writes header and tokens to `path`.part, syncs it
 * and renames it, so that a partial shard never looks whole. (The header holds the count and files
 * are written front to back; collecting on disk keeps memory constant.) */
GwStatus gw_shard_writer_open(GwFs *fs, const char *path, int token_bytes, GwShardWriter **out);
/* Appends tokens, each in [0, 2^(8 token_bytes)). */
GwStatus gw_shard_writer_add(GwShardWriter *writer, const int32_t *tokens, size_t count);
uint64_t gw_shard_writer_tokens(const GwShardWriter *writer); /* added so far */
/* *hash: of the finished file. Frees the writer whether or not it succeeds. */
GwStatus gw_shard_writer_finish(GwShardWriter *writer, uint64_t *tokens, uint64_t *hash);
/* Removes what was written and frees the writer; NULL is allowed. */
void gw_shard_writer_abort(GwShardWriter *writer);

#endif
