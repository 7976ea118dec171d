/* Which format a tokenizer's file or folder has.
 *
 * GPT-2's own pair of files is the model section of tokenizer.json in two: vocab.json (or
 * encoder.json) has the vocab, merges.txt (or vocab.bpe) the merges, one a line. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "tokenizer/tokenizer_formats.h"

#define END_OF_TEXT "<|endoftext|>"
enum { FILE_SIZE_MAX = 256 << 20 };

/* The files that make a tokenizer, the best first: the other one's name when there are two. */
static const char *const FILES[][2] = {
    {"tokenizer.json", NULL}, {"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}};

static bool is_json(const char *text, size_t size) {
  size_t at = 0;
  while (at < size && strchr(" \t\r\n", text[at]) && text[at]) at++;
  return at < size && (text[at] == '{' || text[at] == '[');
}

GwStatus gw_tokenizer_parse(const char *name, const char *text, size_t size, GwTokenizer **out) {
  if (!is_json(text, size)) return gw__tokenizer_from_ranks(name, text, size, out);
  json_t *root = NULL;
  GW_TRY(gw_json_parse(name, text, size, &root));
  GwStatus status = gw__tokenizer_from_json(name, root, out);
  json_decref(root);
  return status;
}

/* The lines of a merges file; a comment at its head says its version. */
static GwStatus read_merge_lines(const char *name, char *text, json_t *merges) {
  size_t number = 0;
  for (char *line = text, *next; line; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    number++;
    line[strcspn(line, "\r")] = 0;
    if (!*line || (number == 1 && *line == '#')) continue;
    json_t *merge = json_string(line);
    if (!merge) return gw_fail(GW_CORRUPT, "%s: line %zu is not UTF-8", name, number);
    if (json_array_append_new(merges, merge) != 0)
      return gw_fail(GW_MEMORY, "%s: no memory for the tokenizer", name);
  }
  return GW_OK;
}

static GwStatus from_pair(const char *name, json_t *vocab, json_t *merges, GwTokenizer **out) {
  json_t *id = json_object_get(vocab, END_OF_TEXT);
  if (!json_is_integer(id))
    return gw_fail(GW_CORRUPT, "%s: no id for " END_OF_TEXT ", to stand at the head of a document",
                   name);
  json_t *root =
      json_pack("{s:{s:s, s:O, s:O}, s:{s:s, s:b}, s:[{s:O, s:s}]}", "model", "type", "BPE",
                "vocab", vocab, "merges", merges, "pre_tokenizer", "type", "ByteLevel",
                "add_prefix_space", 0, "added_tokens", "id", id, "content", END_OF_TEXT);
  if (!root) return gw_fail(GW_MEMORY, "%s: no memory for the tokenizer", name);
  GwStatus status = gw__tokenizer_from_json(name, root, out);
  json_decref(root);
  return status;
}

/* The file with the merges, which lies beside the vocabulary at `path`. */
static GwStatus read_merges_beside(GwFs *fs, const char *path, json_t *merges) {
  const char *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
  char found[GW_PATH_MAX];
  for (size_t i = 0; i < GW_COUNT_OF(FILES); i++) {
    if (!FILES[i][1]) continue;
    GW_TRY(gw_fs_path(found, "%.*s%s", (int)folder, path, FILES[i][1]));
    if (!fs->exists(fs, found)) continue;
    char *text = NULL;
    size_t size = 0;
    GW_TRY(gw_fs_read_all(fs, found, FILE_SIZE_MAX, &text, &size));
    GwStatus status = read_merge_lines(found, text, merges);
    free(text);
    return status;
  }
  return gw_fail(GW_NOT_FOUND,
                 "%s: it has no section 'model', so it is no tokenizer.json, and beside it is no "
                 "merges.txt or vocab.bpe",
                 path);
}

static GwStatus open_pair(GwFs *fs, const char *path, json_t *vocab, GwTokenizer **out) {
  json_t *merges = json_array();
  GwStatus status = merges ? read_merges_beside(fs, path, merges)
                           : gw_fail(GW_MEMORY, "%s: no memory for the tokenizer", path);
  if (status == GW_OK) status = from_pair(path, vocab, merges, out);
  json_decref(merges);
  return status;
}

static GwStatus open_json(GwFs *fs, const char *path, const char *text, size_t size,
                          GwTokenizer **out) {
  json_t *root = NULL;
  GW_TRY(gw_json_parse(path, text, size, &root));
  bool pair = json_is_object(root) && !json_is_object(json_object_get(root, "model"));
  GwStatus status =
      pair ? open_pair(fs, path, root, out) : gw__tokenizer_from_json(path, root, out);
  json_decref(root);
  return status;
}

/* *found is the file to open when `path` is a folder, else `path` itself. */
static GwStatus find_file(GwFs *fs, const char *path, char *found) {
  for (size_t i = 0; i < GW_COUNT_OF(FILES); i++) {
    GW_TRY(gw_fs_path(found, "%s/%s", path, FILES[i][0]));
    if (fs->exists(fs, found)) return GW_OK;
  }
  return gw_fs_path(found, "%s", path);
}

GwStatus gw_tokenizer_open(GwFs *fs, const char *path, GwTokenizer **out) {
  char found[GW_PATH_MAX];
  GW_TRY(find_file(fs, path, found));
  char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_fs_read_all(fs, found, FILE_SIZE_MAX, &text, &size));
  GwStatus status = is_json(text, size) ? open_json(fs, found, text, size, out)
                                        : gw__tokenizer_from_ranks(found, text, size, out);
  free(text);
  return status;
}
