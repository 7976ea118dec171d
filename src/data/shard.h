/* Token shards in llm.c's layout: 256 little-endian int32 of header, then the tokens.
 *   uint16: magic 20240520, version 1;  uint32: magic 20240801, version 7;  [2] = token count */
#ifndef GW_SHARD_H
#define GW_SHARD_H

#include "os/fs.h"

enum { GW_SHARD_HEADER_BYTES = 1024 };

typedef struct {
  GwMap map;
  uint64_t tokens;
  int token_bytes; /* 2 or 4 */
} GwShard;

/* Maps and checks header against size; the error names file and field. */
GwStatus gw_shard_open(const char *path, GwShard *out);
/* The same from memory (what the fuzz target calls). */
GwStatus gw_shard_parse(const char *name, const uint8_t *data, size_t size, GwShard *out);
void gw_shard_close(GwShard *shard);
void gw_shard_read(const GwShard *shard, uint64_t first, uint64_t count, int32_t *out);

typedef struct GwShardWriter GwShardWriter;
/* Writes aside (`path`.part) and renames at finish, so that a partial shard never looks whole. */
GwStatus gw_shard_writer_open(GwFs *fs, const char *path, int token_bytes, GwShardWriter **out);
GwStatus gw_shard_writer_add(GwShardWriter *writer, const int32_t *tokens, size_t count);
/* *hash: of the finished file's bytes. Frees the writer whether or not it succeeds. */
GwStatus gw_shard_writer_finish(GwShardWriter *writer, uint64_t *tokens, uint64_t *hash);
void gw_shard_writer_abort(GwShardWriter *writer);

#endif
