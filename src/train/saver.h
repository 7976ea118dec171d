/* Checkpoints in the background: a thread copies the state, which takes milliseconds and has to be
 * over before the state changes, and writes the copy while the steps go on. */
#ifndef GW_SAVER_H
#define GW_SAVER_H

#include "state/checkpoint.h"

typedef struct GwSaver GwSaver;

/* Into the folder `dir`, of the tensors of the groups, keeping the newest `keep`. */
typedef struct {
  GwFs *fs;
  const char *dir;
  int keep;
  const GwTensorGroup *groups;
  int count;
  void (*first)(void *self); /* called in the thread before it writes: NULL, or what has to be on */
  void *self;                /* the disk before a checkpoint is */
} GwSaverOptions;

/* Takes as much memory as the tensors have, which are borrowed, as all is but `dir`. */
GwStatus gw_saver_create(const GwSaverOptions *options, GwSaver **out);
void gw_saver_destroy(GwSaver *saver); /* waits for the thread; NULL is fine */

/* Begins to save the state; nothing may be under way. */
GwStatus gw_saver_begin(GwSaver *saver, const GwCheckpointInfo *info);
/* To be called before the state changes; returns at once if nothing is being copied. */
void gw_saver_await_copy(GwSaver *saver);

typedef enum { GW_SAVER_IDLE, GW_SAVER_BUSY, GW_SAVER_DONE } GwSaverState;
/* DONE once for each begin: then *info is what was saved, and *status says whether it was, the
 * message of a failure being this thread's latest. */
GwSaverState gw_saver_look(GwSaver *saver, GwCheckpointInfo *info, GwStatus *status);

#endif
