/* Everything in an index is checked against the sizes of both files before anything is read by it.
 * Its sequences must follow each other without a gap, so that the tokens are one stream. */
#include "data/token_file.h"

#include <inttypes.h>
#include <string.h>

enum { INDEX_HEADER_BYTES = 9 + 8 + 1 + 8 + 8, INDEX_VERSION = 1 };

static const char INDEX_MAGIC[9] = "MMIDIDX\0"; /* and one more zero */
static const char BIN[] = ".bin";

const char *gw_token_layout_name(GwTokenLayout layout) {
  static const char *const names[GW_TOKENS_COUNT] = {
      "llm.c's layout (uint16)", "llm.c's layout (uint32)", "nanoGPT's layout (uint16)",
      "Megatron's layout"};
  return names[layout];
}

/* ---- which layout ---- */

static GwStatus index_path(const char *path, char *out) {
  return gw_fs_path(out, "%.*s.idx", (int)(strlen(path) - strlen(BIN)), path);
}

/* The first four bytes as a number; 0 when there are fewer. */
static GwStatus read_magic(GwFs *fs, const char *path, uint32_t *out) {
  GwFile *file = NULL;
  uint8_t bytes[4] = {0};
  size_t got = 0;
  GW_TRY(fs->open(fs, path, GW_FILE_READ, &file));
  GwStatus status = fs->read_at(fs, file, 0, bytes, sizeof bytes, &got);
  fs->close(fs, file);
  GW_TRY(status);
  *out = 0;
  for (int i = 0; got == sizeof bytes && i < 4; i++) *out |= (uint32_t)bytes[i] << (8 * i);
  return GW_OK;
}

GwStatus gw_token_file_layout(GwFs *fs, const char *path, GwTokenLayout *out) {
  char index[GW_PATH_MAX];
  uint32_t magic = 0;
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  GW_TRY(index_path(path, index));
  GW_TRY(read_magic(fs, path, &magic));
  if (fs->exists(fs, index))
    *out = GW_TOKENS_MEGATRON;
  else if (magic == GW_SHARD_MAGIC_16 || magic == GW_SHARD_MAGIC_32)
    *out = magic == GW_SHARD_MAGIC_16 ? GW_TOKENS_LLM_C_16 : GW_TOKENS_LLM_C_32;
  else if (strcmp(name, "train.bin") == 0 || strcmp(name, "val.bin") == 0)
    *out = GW_TOKENS_NANOGPT;
  else
    return gw_fail(GW_CORRUPT,
                   "%s: no file of tokens that godwit knows: its magic number %" PRIu32
                   " is not llm.c's, no .idx lies beside it as Megatron has it, and its name is "
                   "not nanoGPT's train.bin or val.bin",
                   path, magic);
  return GW_OK;
}

/* ---- tokens and nothing else ---- */

GwStatus gw_token_file_parse_raw(const char *name, const uint8_t *data, size_t size, GwShard *out) {
  if (size % 2 != 0)
    return gw_fail(GW_CORRUPT, "%s: %zu bytes, an odd number: uint16 tokens have two each", name,
                   size);
  *out = (GwShard){.map.size = size, .data = data, .tokens = size / 2, .token_bytes = 2};
  return GW_OK;
}

/* ---- Megatron's index ---- */

typedef struct {
  const char *name, *tokens_name;
  const uint8_t *at;
  size_t size, tokens_size;
  uint64_t sequences, entries;
  const uint8_t *lengths, *pointers, *documents;
  int token_bytes;
  bool is_signed;
} Index;

static uint64_t load(const uint8_t *bytes, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
  return value;
}

static GwStatus read_type(Index *index, uint8_t code) {
  static const struct {
    int bytes;
    bool is_signed;
  } types[] = {[1] = {1, false}, [2] = {1, true}, [3] = {2, true},
               [4] = {4, true},  [5] = {8, true}, [8] = {2, false}};
  if (code == 6 || code == 7)
    return gw_fail(GW_UNSUPPORTED, "%s: its type %d is %s, and tokens are whole numbers",
                   index->name, code, code == 6 ? "f64" : "f32");
  if (code >= GW_COUNT_OF(types) || types[code].bytes == 0)
    return gw_fail(GW_CORRUPT, "%s: its type %d is none of Megatron's (1 to 8)", index->name, code);
  index->token_bytes = types[code].bytes;
  index->is_signed = types[code].is_signed;
  return GW_OK;
}

static GwStatus read_index_header(Index *index) {
  const uint8_t *at = index->at;
  if (index->size < INDEX_HEADER_BYTES || memcmp(at, INDEX_MAGIC, sizeof INDEX_MAGIC) != 0)
    return gw_fail(GW_CORRUPT,
                   "%s: no index of Megatron's: it does not begin with MMIDIDX, two zeros and "
                   "25 bytes more",
                   index->name);
  uint64_t version = load(at + 9, 8);
  if (version != INDEX_VERSION)
    return gw_fail(GW_UNSUPPORTED, "%s: version %" PRIu64 "; godwit reads version %d", index->name,
                   version, INDEX_VERSION);
  GW_TRY(read_type(index, at[17]));
  index->sequences = load(at + 18, 8);
  index->entries = load(at + 26, 8);
  return GW_OK;
}

/* Whether the file has the size that its counts ask for; they may be any numbers. */
static GwStatus place_arrays(Index *index) {
  uint64_t rest = index->size - INDEX_HEADER_BYTES;
  bool fits = index->sequences <= rest / 12 &&
              index->entries == (rest - 12 * index->sequences) / 8 &&
              (rest - 12 * index->sequences) % 8 == 0;
  if (!fits)
    return gw_fail(GW_CORRUPT,
                   "%s: it says %" PRIu64 " sequences and %" PRIu64
                   " entries of documents, which is not what its %zu bytes hold",
                   index->name, index->sequences, index->entries, index->size);
  index->lengths = index->at + INDEX_HEADER_BYTES;
  index->pointers = index->lengths + 4 * index->sequences;
  index->documents = index->pointers + 8 * index->sequences;
  return GW_OK;
}

static GwStatus check_sequences(const Index *index) {
  uint64_t at = 0, width = (uint64_t)index->token_bytes;
  for (uint64_t i = 0; i < index->sequences; i++) {
    int32_t length = (int32_t)load(index->lengths + 4 * i, 4);
    uint64_t pointer = load(index->pointers + 8 * i, 8);
    if (length < 0)
      return gw_fail(GW_CORRUPT, "%s: sequence %" PRIu64 " has the length %" PRId32, index->name, i,
                     length);
    if (pointer != at)
      return gw_fail(GW_UNSUPPORTED,
                     "%s: sequence %" PRIu64 " begins at byte %" PRId64 " and the one before it "
                     "ends at %" PRIu64 "; godwit reads files whose sequences follow each other",
                     index->name, i, (int64_t)pointer, at);
    if ((uint64_t)length > (index->tokens_size - at) / width)
      return gw_fail(GW_CORRUPT,
                     "%s: its %zu bytes end within sequence %" PRIu64 ", which has %" PRId32
                     " tokens by %s",
                     index->tokens_name, index->tokens_size, i, length, index->name);
    at += (uint64_t)length * width;
  }
  if (at == index->tokens_size) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: its %zu bytes go on behind byte %" PRIu64 ", the end by %s",
                 index->tokens_name, index->tokens_size, at, index->name);
}

static GwStatus check_documents(const Index *index) {
  uint64_t before = 0;
  for (uint64_t i = 0; i < index->entries; i++) {
    uint64_t sequence = load(index->documents + 8 * i, 8);
    if (sequence < before || sequence > index->sequences || (i == 0 && sequence != 0))
      return gw_fail(GW_CORRUPT,
                     "%s: document %" PRIu64 " begins with sequence %" PRId64
                     ", which is not in %" PRIu64 " to %" PRIu64,
                     index->name, i, (int64_t)sequence, before, i == 0 ? 0 : index->sequences);
    before = sequence;
  }
  if (index->entries > 0 && before == index->sequences) return GW_OK;
  return gw_fail(GW_CORRUPT,
                 "%s: its list of documents ends with sequence %" PRIu64 ", not with the last of "
                 "%" PRIu64,
                 index->name, before, index->sequences);
}

GwStatus gw_token_file_parse_megatron(const char *name, const char *index_name,
                                      const uint8_t *index, size_t index_size, const uint8_t *data,
                                      size_t size, GwShard *out) {
  Index read = {.name = index_name,
                .tokens_name = name,
                .at = index,
                .size = index_size,
                .tokens_size = size};
  GW_TRY(read_index_header(&read));
  GW_TRY(place_arrays(&read));
  GW_TRY(check_sequences(&read));
  GW_TRY(check_documents(&read));
  *out = (GwShard){.map.size = size,
                   .data = data,
                   .tokens = size / (uint64_t)read.token_bytes,
                   .token_bytes = read.token_bytes,
                   .is_signed = read.is_signed,
                   .index = {.map.size = index_size,
                             .data = index,
                             .pointers = read.pointers,
                             .sequences = read.documents,
                             .documents = read.entries - 1}};
  return GW_OK;
}

static GwStatus open_megatron(const char *path, const GwMap *tokens, GwShard *out) {
  char name[GW_PATH_MAX];
  GwMap index = {0};
  GW_TRY(index_path(path, name));
  GW_TRY(gw_map_open(name, &index));
  GwStatus status = gw_token_file_parse_megatron(path, name, index.data, index.size, tokens->data,
                                                 tokens->size, out);
  if (status == GW_OK) {
    out->index.map = index;
    gw_map_release(&index, 0, index.size);
  } else {
    gw_map_close(&index);
  }
  return status;
}

/* ---- opening ---- */

GwStatus gw_token_file_open(const char *path, GwTokenLayout layout, GwShard *out) {
  if (layout == GW_TOKENS_LLM_C_16 || layout == GW_TOKENS_LLM_C_32) return gw_shard_open(path, out);
  GwMap map = {0};
  GW_TRY(gw_map_open(path, &map));
  GwStatus status = layout == GW_TOKENS_NANOGPT
                        ? gw_token_file_parse_raw(path, map.data, map.size, out)
                        : open_megatron(path, &map, out);
  if (status == GW_OK)
    out->map = map;
  else
    gw_map_close(&map);
  return status;
}
