/* Token shards. Reading is a checked view of a map. Writing collects packed tokens in a file of
 * their own, since the header in front of them holds their number; finish puts both together. */
#include "data/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"

enum {
  VERSION_16 = 1,
  VERSION_32 = 7,
  BUFFER_BYTES = 16 * GW_HASH_BLOCK, /* whole hash blocks, so that hashing can go along */
  PIECE_BYTES = 64 * GW_HASH_BLOCK,
  SCAN_TOKENS = 4096,
};

static uint32_t load_u32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
         (uint32_t)bytes[3] << 24;
}

static void store_u32(uint8_t *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

GwStatus gw_shard_parse(const char *name, const uint8_t *data, size_t size, GwShard *out) {
  if (size < GW_SHARD_HEADER_BYTES)
    return gw_fail(GW_CORRUPT,
                   "%s: %zu bytes are too few for a token shard; prepare the data again", name,
                   size);
  uint32_t magic = load_u32(data), version = load_u32(data + 4);
  if (magic != GW_SHARD_MAGIC_16 && magic != GW_SHARD_MAGIC_32)
    return gw_fail(GW_CORRUPT,
                   "%s: magic number %" PRIu32
                   " is not that of a token shard; prepare the data again",
                   name, magic);
  int token_bytes = magic == GW_SHARD_MAGIC_16 ? 2 : 4;
  uint32_t known = magic == GW_SHARD_MAGIC_16 ? VERSION_16 : VERSION_32;
  if (version != known)
    return gw_fail(GW_CORRUPT,
                   "%s: version %" PRIu32 " of the shard format, not %" PRIu32
                   "; prepare the data again",
                   name, version, known);
  uint32_t tokens = load_u32(data + 8);
  uint64_t wanted = GW_SHARD_HEADER_BYTES + (uint64_t)tokens * (uint64_t)token_bytes;
  if (tokens > INT32_MAX || size != wanted)
    return gw_fail(GW_CORRUPT,
                   "%s: its header says %" PRIu32 " tokens (%" PRIu64 " bytes), but the file has "
                   "%zu bytes; prepare the data again",
                   name, tokens, wanted, size);
  *out = (GwShard){.map.size = size,
                   .data = data,
                   .tokens = tokens,
                   .first_byte = GW_SHARD_HEADER_BYTES,
                   .token_bytes = token_bytes};
  return GW_OK;
}

GwStatus gw_shard_open(const char *path, GwShard *out) {
  GwMap map = {0};
  GW_TRY(gw_map_open(path, &map));
  GwStatus status = gw_shard_parse(path, map.data, map.size, out);
  if (status != GW_OK) {
    gw_map_close(&map);
    return status;
  }
  out->map = map;
  return GW_OK;
}

void gw_shard_close(GwShard *shard) {
  if (shard->map.data) gw_map_close(&shard->map);
  if (shard->index.map.data) gw_map_close(&shard->index.map);
  *shard = (GwShard){0};
}

/* What was read is given back at once: a run would otherwise come to hold its whole corpus. */
static void release(const GwMap *map, size_t offset, size_t size) {
  if (map->data) gw_map_release(map, offset, size);
}

static int64_t load_i64(const uint8_t *bytes) {
  return (int64_t)((uint64_t)load_u32(bytes) | (uint64_t)load_u32(bytes + 4) << 32);
}

static void unpack(const GwShard *shard, const uint8_t *at, uint64_t count, int32_t *out) {
  if (shard->token_bytes == 1) {
    for (uint64_t i = 0; i < count; i++) out[i] = shard->is_signed ? (int8_t)at[i] : at[i];
  } else if (shard->token_bytes == 2 && shard->is_signed) {
    for (uint64_t i = 0; i < count; i++) out[i] = (int16_t)(at[2 * i] | at[2 * i + 1] << 8);
  } else if (shard->token_bytes == 2) {
    for (uint64_t i = 0; i < count; i++) out[i] = at[2 * i] | at[2 * i + 1] << 8;
  } else if (shard->token_bytes == 4) {
    for (uint64_t i = 0; i < count; i++) out[i] = (int32_t)load_u32(at + 4 * i);
  } else {
    for (uint64_t i = 0; i < count; i++) {
      int64_t token = load_i64(at + 8 * i);
      out[i] = token >= 0 && token <= INT32_MAX ? (int32_t)token : -1;
    }
  }
}

void gw_shard_read(const GwShard *shard, uint64_t first, uint64_t count, int32_t *out) {
  GW_ASSERT(first <= shard->tokens && count <= shard->tokens - first);
  size_t width = (size_t)shard->token_bytes, offset = shard->first_byte + (size_t)first * width;
  unpack(shard, shard->data + offset, count, out);
  release(&shard->map, offset, (size_t)count * width);
}

uint64_t gw_shard_document(const GwShard *shard, uint64_t document) {
  const GwShardIndex *index = &shard->index;
  GW_ASSERT(document <= index->documents);
  uint64_t sequence = (uint64_t)load_i64(index->sequences + 8 * document);
  uint64_t sequences = (uint64_t)load_i64(index->sequences + 8 * index->documents);
  if (sequence == sequences) return shard->tokens;
  return (uint64_t)load_i64(index->pointers + 8 * sequence) / (uint64_t)shard->token_bytes;
}

/* Takes note of the tokens that stand in the file's bytes [begin, end). */
static void scan_tokens(const GwShard *shard, size_t begin, size_t end, int32_t end_of_text,
                        GwShardScan *scan) {
  int32_t tokens[SCAN_TOKENS];
  size_t width = (size_t)shard->token_bytes;
  if (begin < shard->first_byte) begin = shard->first_byte;
  for (size_t at = begin, some; at < end; at += some * width) {
    some = (end - at) / width < SCAN_TOKENS ? (end - at) / width : SCAN_TOKENS;
    unpack(shard, shard->data + at, some, tokens);
    for (size_t i = 0; i < some; i++) {
      /* Negative ones are the greatest of all when they are read without a sign. */
      if ((uint32_t)tokens[i] > scan->largest) {
        scan->largest = (uint32_t)tokens[i];
        scan->largest_at = (at - shard->first_byte) / width + i;
      }
      scan->ends += tokens[i] == end_of_text;
    }
  }
}

/* The file's hash; with `scan` its tokens are looked at on the way. */
static uint64_t hash_file(const GwMap *map, const uint8_t *data, uint64_t seed,
                          const GwShard *shard, int32_t end_of_text, GwShardScan *scan) {
  size_t size = map->size;
  uint64_t sum = 0;
  for (size_t at = 0, piece; at < size; at += piece) {
    piece = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
    sum += gw_hash_blocks(data + at, piece, at / GW_HASH_BLOCK, seed);
    if (scan) scan_tokens(shard, at, at + piece, end_of_text, scan);
    release(map, at, piece);
  }
  return sum;
}

static uint64_t hash_shard(const GwShard *shard, int32_t end_of_text, GwShardScan *scan) {
  const GwShardIndex *index = &shard->index;
  uint64_t hash = hash_file(&shard->map, shard->data, 0, shard, end_of_text, scan);
  return index->data ? hash_file(&index->map, index->data, hash, NULL, 0, NULL) : hash;
}

uint64_t gw_shard_hash(const GwShard *shard) { return hash_shard(shard, 0, NULL); }

void gw_shard_scan(const GwShard *shard, int32_t end_of_text, GwShardScan *out) {
  GwShardScan scan = {0};
  scan.hash = hash_shard(shard, end_of_text, &scan);
  *out = scan;
}

struct GwShardWriter {
  GwFs *fs;
  char *path, *tokens_path, *part_path;
  GwFile *file; /* of tokens_path */
  int token_bytes;
  uint64_t tokens;
  size_t fill; /* bytes in the buffer */
  uint8_t buffer[BUFFER_BYTES];
};

static char *joined(const char *path, const char *suffix) {
  size_t length = strlen(path), more = strlen(suffix) + 1;
  char *text = malloc(length + more);
  if (!text) return NULL;
  memcpy(text, path, length);
  memcpy(text + length, suffix, more);
  return text;
}

static void writer_free(GwShardWriter *writer) {
  free(writer->path);
  free(writer->tokens_path);
  free(writer->part_path);
  free(writer);
}

GwStatus gw_shard_writer_open(GwFs *fs, const char *path, int token_bytes, GwShardWriter **out) {
  GW_ASSERT(token_bytes == 2 || token_bytes == 4);
  GwShardWriter *writer = calloc(1, sizeof *writer);
  if (!writer) return gw_fail(GW_MEMORY, "no memory to write %s", path);
  writer->fs = fs;
  writer->token_bytes = token_bytes;
  writer->path = joined(path, "");
  writer->tokens_path = joined(path, ".tokens");
  writer->part_path = joined(path, ".part");
  GwStatus status = GW_OK;
  if (!writer->path || !writer->tokens_path || !writer->part_path)
    status = gw_fail(GW_MEMORY, "no memory to write %s", path);
  else
    status = fs->open(fs, writer->tokens_path, GW_FILE_CREATE, &writer->file);
  if (status != GW_OK) {
    writer_free(writer);
    return status;
  }
  *out = writer;
  return GW_OK;
}

static GwStatus flush(GwShardWriter *writer, GwFile *file) {
  size_t size = writer->fill;
  writer->fill = 0;
  return size ? writer->fs->write(writer->fs, file, writer->buffer, size) : GW_OK;
}

GwStatus gw_shard_writer_add(GwShardWriter *writer, const int32_t *tokens, size_t count) {
  if (count > INT32_MAX - writer->tokens)
    return gw_fail(GW_INVALID, "%s: more than 2^31-1 tokens in one shard", writer->path);
  for (size_t i = 0; i < count; i++) {
    uint32_t token = (uint32_t)tokens[i];
    GW_ASSERT(tokens[i] >= 0 && (writer->token_bytes == 4 || token <= UINT16_MAX));
    if (writer->fill == BUFFER_BYTES) GW_TRY(flush(writer, writer->file));
    uint8_t *at = writer->buffer + writer->fill;
    if (writer->token_bytes == 2) {
      at[0] = (uint8_t)token;
      at[1] = (uint8_t)(token >> 8);
    } else {
      store_u32(at, token);
    }
    writer->fill += (size_t)writer->token_bytes;
  }
  writer->tokens += count;
  return GW_OK;
}

uint64_t gw_shard_writer_tokens(const GwShardWriter *writer) { return writer->tokens; }

/* Header and tokens into `part`, through the buffer, hashing whole blocks on the way. */
static GwStatus assemble(GwShardWriter *writer, GwFile *part, uint64_t *hash) {
  GwFs *fs = writer->fs;
  memset(writer->buffer, 0, GW_SHARD_HEADER_BYTES);
  store_u32(writer->buffer, writer->token_bytes == 2 ? GW_SHARD_MAGIC_16 : GW_SHARD_MAGIC_32);
  store_u32(writer->buffer + 4, writer->token_bytes == 2 ? VERSION_16 : VERSION_32);
  store_u32(writer->buffer + 8, (uint32_t)writer->tokens);
  writer->fill = GW_SHARD_HEADER_BYTES;
  uint64_t left = writer->tokens * (uint64_t)writer->token_bytes, at = 0, blocks = 0, sum = 0;
  do {
    size_t want = BUFFER_BYTES - writer->fill, got = 0;
    if (want > left) want = (size_t)left;
    GW_TRY(fs->read_at(fs, writer->file, at, writer->buffer + writer->fill, want, &got));
    if (got != want)
      return gw_fail(GW_IO, "%s: was cut off while in use; start again", writer->tokens_path);
    at += got;
    left -= got;
    writer->fill += got;
    sum += gw_hash_blocks(writer->buffer, writer->fill, blocks, 0);
    blocks += BUFFER_BYTES / GW_HASH_BLOCK;
    GW_TRY(flush(writer, part));
  } while (left > 0);
  *hash = sum;
  return GW_OK;
}

static GwStatus write_part(GwShardWriter *writer, uint64_t *hash) {
  GwFs *fs = writer->fs;
  GwFile *part = NULL;
  GW_TRY(fs->open(fs, writer->part_path, GW_FILE_CREATE, &part));
  GwStatus status = assemble(writer, part, hash);
  if (status == GW_OK) status = fs->sync_file(fs, part);
  fs->close(fs, part);
  return status;
}

/* The directory that holds `path`, written over `path`'s own text. */
static const char *parent_of(char *path) {
  char *slash = strrchr(path, '/');
  if (!slash) return ".";
  slash[slash == path ? 1 : 0] = 0;
  return path;
}

GwStatus gw_shard_writer_finish(GwShardWriter *writer, uint64_t *tokens, uint64_t *hash) {
  GwFs *fs = writer->fs;
  uint64_t sum = 0;
  GwStatus status;
  GW_TRY_GOTO(status, flush(writer, writer->file), failed);
  GW_TRY_GOTO(status, fs->sync_file(fs, writer->file), failed);
  fs->close(fs, writer->file);
  writer->file = NULL;
  GW_TRY_GOTO(status, fs->open(fs, writer->tokens_path, GW_FILE_READ, &writer->file), failed);
  GW_TRY_GOTO(status, write_part(writer, &sum), failed);
  GW_TRY_GOTO(status, fs->rename(fs, writer->part_path, writer->path), failed);
  fs->close(fs, writer->file);
  status = fs->remove(fs, writer->tokens_path);
  if (status == GW_OK) status = fs->sync_dir(fs, parent_of(writer->path));
  if (status == GW_OK) {
    *tokens = writer->tokens;
    *hash = sum;
  }
  writer_free(writer);
  return status;
failed:
  gw_shard_writer_abort(writer);
  return status;
}

void gw_shard_writer_abort(GwShardWriter *writer) {
  if (!writer) return;
  GwFs *fs = writer->fs;
  char message[1024]; /* removing may fail as well; what failed first is what counts */
  snprintf(message, sizeof message, "%s", gw_error_message());
  if (writer->file) fs->close(fs, writer->file);
  if (fs->exists(fs, writer->tokens_path)) fs->remove(fs, writer->tokens_path);
  if (fs->exists(fs, writer->part_path)) fs->remove(fs, writer->part_path);
  gw_fail(GW_OK, "%s", message);
  writer_free(writer);
}
