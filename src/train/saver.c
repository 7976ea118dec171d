/* One thread per checkpoint: it ends when the checkpoint is there. */
#include "train/saver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/stream_copy.h"

enum { BLOCK = 1 << 20 };

struct GwSaver {
  GwFs *fs;
  char dir[GW_PATH_MAX];
  int keep;
  const GwTensorGroup *groups; /* of the state */
  GwTensorGroup *copies;       /* of the copy */
  GwTensor *tensors;
  char *memory;
  int count;
  pthread_t thread;
  bool running; /* there is a thread to join */
  _Atomic bool done;
  GwCheckpointInfo info;
  GwStatus status;
  char message[512];
};

static GwStatus describe_copy(GwSaver *s) {
  size_t tensors = 0, bytes = 0;
  for (int g = 0; g < s->count; g++) tensors += (size_t)s->groups[g].count;
  s->tensors = calloc(tensors, sizeof *s->tensors);
  s->copies = calloc((size_t)s->count, sizeof *s->copies);
  if (!s->tensors || !s->copies) return gw_fail(GW_MEMORY, "no memory for the list of tensors");
  GwTensor *next = s->tensors;
  for (int g = 0; g < s->count; g++) {
    s->copies[g] = s->groups[g];
    s->copies[g].tensors = next;
    for (int i = 0; i < s->groups[g].count; i++, next++) {
      *next = s->groups[g].tensors[i];
      bytes += gw_align_up(gw_type_size(&next->type), GW_ALIGN);
    }
  }
  s->memory = gw_buffer_create(bytes);
  if (!s->memory)
    return gw_fail(GW_MEMORY, "no memory for a copy of the state, %zu MiB", bytes >> 20);
  char *at = s->memory;
  for (size_t i = 0; i < tensors; i++) {
    s->tensors[i].data = at;
    at += gw_align_up(gw_type_size(&s->tensors[i].type), GW_ALIGN);
  }
  return GW_OK;
}

GwStatus gw_saver_create(GwFs *fs, const char *dir, int keep, const GwTensorGroup *groups,
                         int count, GwSaver **out) {
  GwSaver *s = calloc(1, sizeof *s);
  if (!s) return gw_fail(GW_MEMORY, "no memory to save checkpoints");
  s->fs = fs;
  s->keep = keep;
  s->groups = groups;
  s->count = count;
  GwStatus status = gw_fs_path(s->dir, "%s", dir);
  if (status == GW_OK) status = describe_copy(s);
  if (status == GW_OK)
    *out = s;
  else
    gw_saver_destroy(s);
  return status;
}

void gw_saver_destroy(GwSaver *s) {
  if (!s) return;
  if (s->running) pthread_join(s->thread, NULL);
  gw_buffer_destroy(s->memory);
  free(s->copies);
  free(s->tensors);
  free(s);
}

static void *save(void *context) {
  GwSaver *s = context;
  s->status = gw_checkpoint_save(s->fs, s->dir, &s->info, s->copies, s->count, s->keep);
  if (s->status != GW_OK) snprintf(s->message, sizeof s->message, "%s", gw_error_message());
  atomic_store(&s->done, true);
  return NULL;
}

static void copy_group(void *context, int64_t task, int thread) {
  (void)thread;
  const GwSaver *s = context;
  for (int i = 0; i < s->groups[task].count; i++) {
    const GwTensor *from = &s->groups[task].tensors[i];
    char *to = s->copies[task].tensors[i].data;
    size_t bytes = gw_type_size(&from->type);
    for (size_t at = 0; at < bytes; at += BLOCK)
      gw_stream_copy(to + at, (const char *)from->data + at,
                     bytes - at < BLOCK ? bytes - at : BLOCK);
  }
  gw_stream_copy_end();
}

GwStatus gw_saver_begin(GwSaver *s, const GwCheckpointInfo *info, GwPool *pool) {
  GW_ASSERT(!s->running);
  gw_pool_run(pool, s->count, copy_group, s);
  s->info = *info;
  atomic_store(&s->done, false);
  if (pthread_create(&s->thread, NULL, save, s) != 0)
    return gw_fail(GW_MEMORY, "no thread to save a checkpoint");
  s->running = true;
  return GW_OK;
}

GwSaverState gw_saver_look(GwSaver *s, GwCheckpointInfo *info, GwStatus *status) {
  if (!s->running) return GW_SAVER_IDLE;
  if (!atomic_load(&s->done)) return GW_SAVER_BUSY;
  pthread_join(s->thread, NULL);
  s->running = false;
  *info = s->info;
  *status = s->status == GW_OK ? GW_OK : gw_fail(s->status, "%s", s->message);
  return GW_SAVER_DONE;
}
