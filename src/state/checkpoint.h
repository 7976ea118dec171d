/* Checkpoints: one directory per checkpoint, written aside, fsynced and renamed; verified before
 * use.
 *
 *   DIR/step-00001000/params.safetensors      groups of tensors, one safetensors file each
 *                     adam_m.safetensors
 *                     adam_v.safetensors
 *                     manifest.json           format version, step, recipe identity, state hash,
 *                                             per file: bytes and 64-bit hash; its own hash last
 * A directory without a whole, matching manifest is not a checkpoint. A bad one is set aside
 * (renamed to bad-...) and the one before it is used. Names that begin with a dot (.step-...tmp
 * being written, .old-... being replaced, .dead-... being removed) are what a crash may leave; the
 * next save clears them away. Only one process may save into a folder (the run's lock sees to it);
 * any number may load from it. */
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

/* Hash of the full training state: every tensor's group, name, type and bytes, and the step.
 *
 *   H = mix(step) + sum over groups and tensors of ( s + sum over b of XXH3(block b, mix(s + b)) )
 *   s = XXH3(type, XXH3(name, XXH3(group, 0)))
 *
 * mod 2^64, where XXH3(text, seed) is the 64-bit hash without the text's closing 0, mix is
 * gw_mix64, blocks are 64 KiB of the tensor's bytes (gw_hash_blocks), and type is written as in
 * "f32[4,64]" or "u64[]". A sum, so it can be computed in parts and in any order. */
uint64_t gw_state_hash(const GwTensorGroup *groups, int count, int64_t step);
/* s, for whoever computes the sum in parts. */
uint64_t gw_state_hash_seed(const GwTensorGroup *group, const GwTensor *tensor);

/* Saves into `dir` (created) and then removes the oldest beyond `keep` (>= 1), never the one just
 * saved. GW_OK: the checkpoint survives a power failure. On failure (for example a full disk)
 * nothing that looks whole but is not is left, and older checkpoints are untouched. A checkpoint of
 * the same step is kept when it verifies and has the same state hash and recipe identity, else
 * replaced. GW_CORRUPT when the tensors do not have info->state_hash: memory changed since it was
 * taken. Failing to remove old ones is only a warning. */
GwStatus gw_checkpoint_save(GwFs *fs, const char *dir, const GwCheckpointInfo *info,
                            const GwTensorGroup *groups, int count, int keep);

/* Verifies `path` (one checkpoint directory) in full and fills the given tensors, matched by group,
 * name and type. GW_CORRUPT when a byte is not as it was saved; GW_MISMATCH names a missing, extra
 * or misshaped tensor; GW_UNSUPPORTED for another format version. On failure the tensors' contents
 * are undefined. The caller compares out->recipe_identity with its own. */
GwStatus gw_checkpoint_load(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                            GwCheckpointInfo *out);

/* The same for some of the groups, for whoever does not want the whole state: what is not loaded is
 * verified all the same. */
GwStatus gw_checkpoint_view(GwFs *fs, const char *path, const GwTensorGroup *groups, int count,
                            GwCheckpointInfo *out);

/* Verifies `path` in full from the disk alone: the manifest, every file's hash, and the state hash
 * computed anew from the tensors. */
GwStatus gw_checkpoint_verify(GwFs *fs, const char *path, GwCheckpointInfo *out);

/* The manifest only, its own hash checked. */
GwStatus gw_checkpoint_info(GwFs *fs, const char *path, GwCheckpointInfo *out);

/* The step of the newest checkpoint whose manifest is good, -1: there is none. Nothing else of it
 * is verified. */
int64_t gw_checkpoint_newest_step(GwFs *fs, const char *dir);

/* Loads the newest checkpoint in `dir` that verifies, setting corrupt ones aside with a warning in
 * the log; one that cannot be read is skipped with a warning. `path_out` gets the directory's path.
 * GW_NOT_FOUND when there was none; GW_CORRUPT when all there were are corrupt; GW_IO when none
 * verified and at least one could not be read; a mismatch is returned as such. */
GwStatus gw_checkpoint_load_newest(GwFs *fs, const char *dir, const GwTensorGroup *groups,
                                   int count, GwCheckpointInfo *out, char *path_out,
                                   size_t path_size);

/* The same with gw_checkpoint_view, and for one that only looks: nothing on the disk is changed, a
 * corrupt checkpoint is skipped with a warning. */
GwStatus gw_checkpoint_view_newest(GwFs *fs, const char *dir, const GwTensorGroup *groups,
                                   int count, GwCheckpointInfo *out, char *path_out,
                                   size_t path_size);

#endif
