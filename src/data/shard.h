/* Token shards: files of tokens. Those that godwit writes have llm.c's layout, 256 little-endian
 * int32 of header, then the tokens:
 *   uint16: magic 20240520, version 1;  uint32: magic 20240801, version 7;  [2] = token count
 * The layouts of others are opened by token_file.h and then read in the same way.
 * A shard's hash is gw_hash_blocks of its whole file with seed 0, or with that of its index. */
#ifndef GW_SHARD_H
#define GW_SHARD_H

#include "os/fs.h"

enum { GW_SHARD_HEADER_BYTES = 1024, GW_SHARD_MAGIC_16 = 20240520, GW_SHARD_MAGIC_32 = 20240801 };

/* Where documents begin, as an index beside the tokens says (Megatron's). */
typedef struct {
  GwMap map; /* of the index file; without data when it was parsed from memory */
  const uint8_t *data;
  const uint8_t *pointers, *sequences; /* i64: bytes to a sequence; first sequence of a document */
  uint64_t documents;                  /* 0: the shard has no index */
} GwShardIndex;

typedef struct {
  GwMap map;           /* without data when the shard was parsed from memory; the size is there */
  const uint8_t *data; /* the file's bytes, header included */
  uint64_t tokens;
  size_t first_byte; /* of the tokens */
  int token_bytes;   /* 1, 2, 4 or 8 */
  bool is_signed;
  GwShardIndex index;
} GwShard;

/* Maps and checks header against size; the error names file and field. */
GwStatus gw_shard_open(const char *path, GwShard *out);
/* The same from memory (what the fuzz target calls); `data` is borrowed and must outlive the shard.
 */
GwStatus gw_shard_parse(const char *name, const uint8_t *data, size_t size, GwShard *out);
void gw_shard_close(GwShard *shard);
/* Tokens [first, first + count), which must lie inside. What does not fit into 31 bits comes as a
 * negative number: whoever uses tokens as indices checks them against the vocabulary. */
void gw_shard_read(const GwShard *shard, uint64_t first, uint64_t count, int32_t *out);
/* The first token of document `document`, of index.documents; the end of the tokens for the one
 * behind the last. */
uint64_t gw_shard_document(const GwShard *shard, uint64_t document);
uint64_t gw_shard_hash(const GwShard *shard);

/* All that one reading of a shard can tell. */
typedef struct {
  uint64_t hash;
  uint32_t largest;    /* token; above INT32_MAX: one is negative or too large */
  uint64_t largest_at; /* the first place where it stands */
  uint64_t ends;       /* tokens that are end_of_text */
} GwShardScan;
void gw_shard_scan(const GwShard *shard, int32_t end_of_text, GwShardScan *out);

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
