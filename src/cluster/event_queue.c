/* A binary heap. */
#include "cluster/event_queue.h"

#include <stdlib.h>

#include "base/grow.h"

static bool before(const GwComing *a, const GwComing *b) {
  return a->time != b->time ? a->time < b->time : a->number < b->number;
}

GwStatus gw_event_queue_add(GwEventQueue *queue, GwComing coming) {
  if (!GW_GROW(queue->heap, queue->capacity, queue->count + 1))
    return gw_fail(GW_MEMORY, "no memory for simulated events");
  coming.number = queue->added++;
  size_t i = queue->count++;
  for (; i > 0 && before(&coming, &queue->heap[(i - 1) / 2]); i = (i - 1) / 2)
    queue->heap[i] = queue->heap[(i - 1) / 2];
  queue->heap[i] = coming;
  return GW_OK;
}

bool gw_event_queue_take(GwEventQueue *queue, GwComing *out) {
  if (queue->count == 0) return false;
  *out = queue->heap[0];
  GwComing last = queue->heap[--queue->count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < queue->count; i = child) {
    if (child + 1 < queue->count && before(&queue->heap[child + 1], &queue->heap[child])) child++;
    if (!before(&queue->heap[child], &last)) break;
    queue->heap[i] = queue->heap[child];
  }
  queue->heap[i] = last;
  return true;
}

void gw_event_queue_deinit(GwEventQueue *queue) {
  free(queue->heap);
  *queue = (GwEventQueue){0};
}
