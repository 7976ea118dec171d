/* A folder of token files that another program wrote: which files belong to which split, in what
 * layout, and whether a tokenizer lies beside them. Nothing is opened. */
#ifndef GW_TOKEN_FOLDER_H
#define GW_TOKEN_FOLDER_H

#include "data/corpus_manifest.h"
#include "data/token_file.h"

typedef struct {
  GwTokenLayout layout; /* of all files */
  struct {
    char **paths; /* in the order of their names */
    size_t count, capacity;
  } split[GW_SPLIT_COUNT];
  char tokenizer[GW_PATH_MAX]; /* what gw_tokenizer_open takes; empty: none */
  bool has_meta;               /* nanoGPT's meta.pkl: a vocabulary of its own */
} GwTokenFolder;

/* Looks at all files of `dir` that end in .bin or .idx. A file belongs to the split whose name,
 * train or val, is a word of its own; one of Megatron's with neither is for training. Without
 * any, or without the folder, there are no paths; GW_INVALID, naming the file, when one is of no
 * split or of another layout than the others. */
GwStatus gw_token_folder_open(GwFs *fs, const char *dir, GwTokenFolder *out);
void gw_token_folder_close(GwTokenFolder *folder);

#endif
