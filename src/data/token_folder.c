/* One walk over the folder's names, which come in order. */
#include "data/token_folder.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

typedef struct {
  GwFs *fs;
  const char *dir;
  GwTokenFolder *folder;
  bool found; /* a file of tokens */
  char first[GW_PATH_MAX];
} Walk;

static bool ends_with(const char *name, const char *end) {
  size_t size = strlen(name), tail = strlen(end);
  return size > tail && strcmp(name + size - tail, end) == 0;
}

/* Whether the word stands in the name with no letter beside it. */
static bool has_word(const char *name, const char *word) {
  size_t size = strlen(word);
  for (const char *at = name; (at = strstr(at, word)); at++) {
    bool begins = at == name || !isalpha((unsigned char)at[-1]);
    if (begins && !isalpha((unsigned char)at[size])) return true;
  }
  return false;
}

static GwStatus choose_split(const char *path, const char *name, GwTokenLayout layout,
                             GwSplit *out) {
  bool train = has_word(name, "train"), val = has_word(name, "val");
  if (!train && !val && layout == GW_TOKENS_MEGATRON) train = true;
  *out = train ? GW_SPLIT_TRAIN : GW_SPLIT_VAL;
  if (train != val) return GW_OK;
  return gw_fail(GW_INVALID,
                 "%s: its name says %s train and val, one of which tells what its tokens are for; "
                 "rename it",
                 path, train ? "both" : "neither of");
}

static GwStatus add_path(GwTokenFolder *folder, GwSplit split, const char *path) {
  if (!GW_GROW(folder->split[split].paths, folder->split[split].capacity,
               folder->split[split].count + 1))
    return gw_fail(GW_MEMORY, "%s: no memory for the list of files", path);
  char *copy = strdup(path);
  if (!copy) return gw_fail(GW_MEMORY, "%s: no memory for the list of files", path);
  folder->split[split].paths[folder->split[split].count++] = copy;
  return GW_OK;
}

static GwStatus take_tokens(Walk *walk, const char *path, const char *name) {
  GwTokenFolder *folder = walk->folder;
  GwTokenLayout layout;
  GwSplit split;
  GW_TRY(gw_token_file_layout(walk->fs, path, &layout));
  if (walk->found && layout != folder->layout)
    return gw_fail(GW_INVALID, "%s: has %s, and %s has %s; keep them in folders of their own", path,
                   gw_token_layout_name(layout), walk->first, gw_token_layout_name(folder->layout));
  GW_TRY(choose_split(path, name, layout, &split));
  if (!walk->found) GW_TRY(gw_fs_path(walk->first, "%s", path));
  walk->found = true;
  folder->layout = layout;
  return add_path(folder, split, path);
}

/* An index without tokens beside it would go unnoticed. */
static GwStatus check_index(Walk *walk, const char *path) {
  char tokens[GW_PATH_MAX];
  GW_TRY(gw_fs_path(tokens, "%.*s.bin", (int)(strlen(path) - 4), path));
  if (walk->fs->exists(walk->fs, tokens)) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: is missing, but its index %s is there", tokens, path);
}

static GwStatus take_ranks(Walk *walk, const char *path) {
  char *tokenizer = walk->folder->tokenizer;
  if (!tokenizer[0]) return gw_fs_path(tokenizer, "%s", path);
  return gw_fail(GW_INVALID, "%s: %s is a vocabulary, too; keep one beside the tokens", path,
                 tokenizer);
}

/* A file with all that there is to say comes before tiktoken's. */
static GwStatus find_tokenizer(Walk *walk) {
  static const char *const names[] = {"tokenizer.json", "vocab.json", "encoder.json"};
  char path[GW_PATH_MAX];
  for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
    GW_TRY(gw_fs_path(path, "%s/%s", walk->dir, names[i]));
    if (walk->fs->exists(walk->fs, path)) return gw_fs_path(walk->folder->tokenizer, "%s", path);
  }
  return GW_OK;
}

static GwStatus visit(void *context, const char *name, bool is_dir) {
  Walk *walk = context;
  char path[GW_PATH_MAX];
  if (is_dir) return GW_OK;
  GW_TRY(gw_fs_path(path, "%s/%s", walk->dir, name));
  if (strcmp(name, "meta.pkl") == 0) walk->folder->has_meta = true;
  if (ends_with(name, ".bin")) return take_tokens(walk, path, name);
  if (ends_with(name, ".idx")) return check_index(walk, path);
  return ends_with(name, ".tiktoken") ? take_ranks(walk, path) : GW_OK;
}

GwStatus gw_token_folder_open(GwFs *fs, const char *dir, GwTokenFolder *out) {
  GwTokenFolder folder = {0};
  Walk walk = {.fs = fs, .dir = dir, .folder = &folder};
  GwStatus status = fs->exists(fs, dir) ? fs->list(fs, dir, visit, &walk) : GW_OK;
  if (status == GW_OK) status = find_tokenizer(&walk);
  if (status == GW_OK)
    *out = folder;
  else
    gw_token_folder_close(&folder);
  return status;
}

void gw_token_folder_close(GwTokenFolder *folder) {
  for (int s = 0; s < GW_SPLIT_COUNT; s++) {
    for (size_t i = 0; i < folder->split[s].count; i++) free(folder->split[s].paths[i]);
    free(folder->split[s].paths);
  }
  *folder = (GwTokenFolder){0};
}
