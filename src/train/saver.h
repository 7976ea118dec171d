/* Checkpoints in the background: the state is copied, which takes milliseconds, and a thread writes
 * the copy while the steps go on. */
#ifndef GW_SAVER_H
#define GW_SAVER_H

#include "base/pool.h"
#include "state/checkpoint.h"

typedef struct GwSaver GwSaver;

/* Into the folder `dir`, of the tensors of the groups, keeping the newest `keep`. Takes as much
 * memory as they have. All but `fs` are borrowed for the call; the tensors for the saver's life. */
GwStatus gw_saver_create(GwFs *fs, const char *dir, int keep, const GwTensorGroup *groups,
                         int count, GwSaver **out);
void gw_saver_destroy(GwSaver *saver); /* waits for the thread; NULL is fine */

/* Copies the state and begins to save it; nothing may be under way. */
GwStatus gw_saver_begin(GwSaver *saver, const GwCheckpointInfo *info, GwPool *pool);

typedef enum { GW_SAVER_IDLE, GW_SAVER_BUSY, GW_SAVER_DONE } GwSaverState;
/* DONE once for each begin: then *info is what was saved, and *status says whether it was, the
 * message of a failure being this thread's latest. */
GwSaverState gw_saver_look(GwSaver *saver, GwCheckpointInfo *info, GwStatus *status);

#endif
