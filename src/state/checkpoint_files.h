/* Between the two halves of the checkpoint module: the files of one checkpoint (checkpoint_files.c)
 * and the folder of checkpoints (checkpoint.c). */
#ifndef GW_CHECKPOINT_FILES_H
#define GW_CHECKPOINT_FILES_H

#include "state/checkpoint.h"

/* Writes and syncs all files of a checkpoint into the empty directory `path`, then syncs it. */
GwStatus gw__checkpoint_write(GwFs *fs, const char *path, const GwCheckpointInfo *info,
                              const GwTensorGroup *groups, int count);

#endif
