/* The tokens that end a text when a model chooses them. Godwit's own runs have one, the token that
 * heads the next document. Models of others may have several of their own: an import keeps them in
 * RUN/generation_config.json, a file that transformers knows:
 *
 *   {"bos_token_id": 128000, "eos_token_id": [128001, 128009]} */
#ifndef GW_TEXT_ENDS_H
#define GW_TEXT_ENDS_H

#include "base/json.h"
#include "os/fs.h"

#define GW_GENERATION_CONFIG "generation_config.json"

enum { GW_TEXT_ENDS_MAX = 16 };

typedef struct {
  int32_t ids[GW_TEXT_ENDS_MAX];
  int count; /* 0: none are named */
} GwTextEnds;

bool gw_text_ends_has(const GwTextEnds *ends, int32_t token);
/* Adds one that is not there yet; false when there is no room. */
bool gw_text_ends_add(GwTextEnds *ends, int32_t token);

/* `eos_token_id` of an object: a number, several, or null for none; none either when the key is
 * absent. GW_CORRUPT, naming `file` and key, unless each is a token below `vocab_size`. */
GwStatus gw_text_ends_read(const char *file, const json_t *config, int32_t vocab_size,
                           GwTextEnds *out);
/* The value to write, NULL on exhaustion. */
json_t *gw_text_ends_json(const GwTextEnds *ends);

/* FOLDER/generation_config.json: none when there is no such file. */
GwStatus gw_text_ends_load(GwFs *fs, const char *folder, int32_t vocab_size, GwTextEnds *out);
/* Writes it; `head` is the token that texts begin with, negative for none. */
GwStatus gw_text_ends_save(GwFs *fs, const char *folder, int32_t head, const GwTextEnds *ends);
/* The same, into a run: only where it is not just `head` that ends a text. */
GwStatus gw_text_ends_keep(GwFs *fs, const char *run, int32_t head, const GwTextEnds *ends);

#endif
