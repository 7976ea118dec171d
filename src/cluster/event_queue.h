/* A queue of things to come, in order of time; of two at the same time the one added first. */
#ifndef GW_EVENT_QUEUE_H
#define GW_EVENT_QUEUE_H

#include "base/base.h"
#include "cluster/supervisor.h"

typedef struct {
  uint64_t time, number; /* number: of the order of adding; set by gw_event_queue_add */
  int what;              /* the caller's */
  uint64_t epoch;
  int64_t step;
  int32_t host, life;
  GwEvent event;
} GwComing;

typedef struct {
  GwComing *heap;
  size_t count, capacity;
  uint64_t added;
} GwEventQueue;

GwStatus gw_event_queue_add(GwEventQueue *queue, GwComing coming);
bool gw_event_queue_take(GwEventQueue *queue, GwComing *out); /* the next; false: there is none */
void gw_event_queue_deinit(GwEventQueue *queue);

#endif
