/* One thread per checkpoint: it ends when the checkpoint is there. */
#include "train/saver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/stream_copy.h"
#include "os/clock.h"

enum { BLOCK = 1 << 20 };

struct GwSaver {
  GwSaverOptions options; /* its groups are the state's */
  char dir[GW_PATH_MAX];
  GwTensorGroup *copies; /* of the copy */
  GwTensor *tensors;
  char *memory;
  pthread_t thread;
  bool running; /* there is a thread to join */
  _Atomic bool copied, done;
  GwCheckpointInfo info;
  GwStatus status;
  char message[512];
};

static GwStatus describe_copy(GwSaver *s) {
  size_t tensors = 0, bytes = 0;
  for (int g = 0; g < s->options.count; g++) tensors += (size_t)s->options.groups[g].count;
  s->tensors = calloc(tensors, sizeof *s->tensors);
  s->copies = calloc((size_t)s->options.count, sizeof *s->copies);
  if (!s->tensors || !s->copies) return gw_fail(GW_MEMORY, "no memory for the list of tensors");
  GwTensor *next = s->tensors;
  for (int g = 0; g < s->options.count; g++) {
    s->copies[g] = s->options.groups[g];
    s->copies[g].tensors = next;
    for (int i = 0; i < s->options.groups[g].count; i++, next++) {
      *next = s->options.groups[g].tensors[i];
      bytes += gw_align_up(gw_type_size(&next->type), GW_ALIGN);
    }
  }
  /* Written once and read once: not worth huge pages, for which the system may have to move others
   * around for a tenth of a second, nor to be cleared. */
  s->memory = aligned_alloc(GW_ALIGN, gw_align_up(bytes + 1, GW_ALIGN));
  if (!s->memory)
    return gw_fail(GW_MEMORY, "no memory for a copy of the state, %zu MiB", bytes >> 20);
  char *at = s->memory;
  for (size_t i = 0; i < tensors; i++) {
    s->tensors[i].data = at;
    at += gw_align_up(gw_type_size(&s->tensors[i].type), GW_ALIGN);
  }
  return GW_OK;
}

GwStatus gw_saver_create(const GwSaverOptions *options, GwSaver **out) {
  GwSaver *s = calloc(1, sizeof *s);
  if (!s) return gw_fail(GW_MEMORY, "no memory to save checkpoints");
  s->options = *options;
  s->options.dir = s->dir;
  GwStatus status = gw_fs_path(s->dir, "%s", options->dir);
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
  free(s->memory);
  free(s->copies);
  free(s->tensors);
  free(s);
}

static void copy_tensor(const GwTensor *from, char *to) {
  size_t bytes = gw_type_size(&from->type);
  for (size_t at = 0; at < bytes; at += BLOCK)
    gw_stream_copy(to + at, (const char *)from->data + at, bytes - at < BLOCK ? bytes - at : BLOCK);
}

static void copy_state(GwSaver *s) {
  for (int g = 0; g < s->options.count; g++)
    for (int i = 0; i < s->copies[g].count; i++)
      copy_tensor(&s->options.groups[g].tensors[i], s->copies[g].tensors[i].data);
  gw_stream_copy_end();
  atomic_store(&s->copied, true);
}

static void *save(void *context) {
  GwSaver *s = context;
  const GwSaverOptions *o = &s->options;
  copy_state(s);
  if (o->first) o->first(o->self);
  s->status = gw_checkpoint_save(o->fs, o->dir, &s->info, s->copies, o->count, o->keep);
  if (s->status != GW_OK) snprintf(s->message, sizeof s->message, "%s", gw_error_message());
  atomic_store(&s->done, true);
  return NULL;
}

GwStatus gw_saver_begin(GwSaver *s, const GwCheckpointInfo *info) {
  GW_ASSERT(!s->running);
  s->info = *info;
  atomic_store(&s->copied, false);
  atomic_store(&s->done, false);
  if (pthread_create(&s->thread, NULL, save, s) != 0)
    return gw_fail(GW_MEMORY, "no thread to save a checkpoint");
  s->running = true;
  return GW_OK;
}

void gw_saver_await_copy(GwSaver *s) {
  while (s->running && !atomic_load(&s->copied)) gw_clock_sleep(100000);
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
