/* A checkpoint's manifest.json: what it says, and that it says it unchanged. */
#ifndef GW_CHECKPOINT_MANIFEST_H
#define GW_CHECKPOINT_MANIFEST_H

#include "base/arena.h"
#include "state/checkpoint.h"

typedef struct {
  const char *name; /* of the file, suffix included */
  uint64_t bytes;
  uint64_t hash; /* gw_hash_blocks over the file's bytes, first block 0, seed 0 */
} GwManifestFile;

typedef struct {
  GwCheckpointInfo info;
  GwManifestFile *files;
  int count;
  GwArena arena; /* holds files and their names */
} GwManifest;

/* Writes and syncs DIR/manifest.json. */
GwStatus gw__manifest_write(GwFs *fs, const char *dir, const GwCheckpointInfo *info,
                            const GwManifestFile *files, int count);

/* Reads and checks DIR/manifest.json. GW_CORRUPT when it is missing or any byte is not as written;
 * GW_UNSUPPORTED when it is whole but of another format version. */
GwStatus gw__manifest_read(GwFs *fs, const char *dir, GwManifest *out);
void gw__manifest_deinit(GwManifest *manifest);

#endif
