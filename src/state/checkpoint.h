/* Checkpoints: one directory per checkpoint, written aside, fsynced and renamed; verified before
 * use.
 *
 *   DIR/step-00001000/params.safetensors      groups of tensors, one safetensors file each
 *                     adam_m.safetensors
 *                     adam_v.safetensors
 *                     manifest.json           format version, step, recipe identity, state hash,
 *                                             per file: bytes and 64-bit hash; its own hash last
 * A directory without a whole, matching manifest is not a checkpoint. A bad one is set aside
 * (renamed to bad-...) and the one before it is used. */
#ifndef GW_CHECKPOINT_H
#define GW_CHECKPOINT_H

#include "os/fs.h"
#include "program/type.h"

typedef struct {
  const char *name; /* file name without suffix */
  const GwTensor *tensors;
  int count;
} GwTensorGroup;

typedef struct {
  int64_t step;
  uint64_t recipe_identity;
  uint64_t state_hash; /* gw_state_hash of all groups and the step */
} GwCheckpointInfo;

/* Hash of the full training state: every tensor's name, type and bytes, and the step. Sum of block
 * hashes, so that it can be computed in parts; the same for any thread count. */
uint64_t gw_state_hash(const GwTensorGroup *groups, int count, int64_t step);

/* Saves into `dir` (created) and then removes the oldest beyond `keep`. On failure (for example a
 * full disk) nothing that looks whole is left, and older checkpoints are untouched. */
GwStatus gw_checkpoint_save(GwFs *fs, const char *dir, const GwCheckpointInfo *info,
                            const GwTensorGroup *groups, int count, int keep);

/* Verifies `path` (one checkpoint directory) in full and fills the given tensors, matched by group,
 * name and type; a missing, extra or misshaped tensor is an error that names it. */
GwStatus gw_checkpoint_load(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                            GwCheckpointInfo *out);

/* The manifest only, its own hash checked. */
GwStatus gw_checkpoint_info(GwFs *fs, const char *path, GwCheckpointInfo *out);

/* Loads the newest checkpoint in `dir` that verifies, setting bad ones aside with a warning in the
 * log. GW_NOT_FOUND when there is none. `path_out` gets the directory's path. */
GwStatus gw_checkpoint_load_newest(GwFs *fs, const char *dir, const GwTensorGroup *groups,
                                   int count, GwCheckpointInfo *out, char *path_out,
                                   size_t path_size);

#endif
