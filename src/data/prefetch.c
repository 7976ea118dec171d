/* A ring of batches, numbered as the range has them: batch n stands in cell n mod depth. A cell is
 * filled, taken, and then free for batch n + depth; each change is made under one lock, filling and
 * copying are done outside it. */
#include "data/prefetch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int64_t batch; /* what it holds or is being filled with */
  bool full;
  GwStatus status; /* of filling it */
  char message[512];
  int32_t *tokens, *targets, *positions;
} Cell;

struct GwPrefetch {
  const GwSampler *sampler;
  GwPrefetchRange range;
  int32_t lanes; /* of each step */
  int64_t batches;
  Cell *cells;
  int32_t *memory;
  bool stop, running;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t filled, freed;
};

static size_t batch_tokens(const GwSampler *sampler) {
  return (size_t)sampler->batch * (size_t)sampler->context;
}

/* Waits until the cell is free; false when there is nothing left to fill. */
static bool claim(GwPrefetch *p, Cell *cell, int64_t batch) {
  pthread_mutex_lock(&p->mutex);
  while (cell->full && !p->stop) pthread_cond_wait(&p->freed, &p->mutex);
  cell->batch = batch;
  bool stop = p->stop;
  pthread_mutex_unlock(&p->mutex);
  return !stop;
}

static void *fill_all(void *argument) {
  GwPrefetch *p = argument;
  for (int64_t batch = 0; batch < p->batches; batch++) {
    Cell *cell = &p->cells[batch % p->range.depth];
    if (!claim(p, cell, batch)) return NULL;
    cell->status = gw_sampler_fill(p->sampler, p->range.first + batch / p->lanes,
                                   p->range.lane_first + (int32_t)(batch % p->lanes), cell->tokens,
                                   cell->targets, cell->positions);
    if (cell->status != GW_OK)
      snprintf(cell->message, sizeof cell->message, "%s", gw_error_message());
    pthread_mutex_lock(&p->mutex);
    cell->full = true;
    pthread_cond_broadcast(&p->filled);
    pthread_mutex_unlock(&p->mutex);
  }
  return NULL;
}

GwStatus gw_prefetch_create(const GwSampler *sampler, const GwPrefetchRange *range,
                            GwPrefetch **out) {
  int32_t depth = range->depth;
  GW_ASSERT(depth > 0 && range->first >= 0 && range->lane_first < range->lane_end);
  GwPrefetch *p = calloc(1, sizeof *p);
  if (!p) return gw_fail(GW_MEMORY, "no memory to read ahead");
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->filled, NULL);
  pthread_cond_init(&p->freed, NULL);
  size_t tokens = batch_tokens(sampler);
  p->sampler = sampler;
  p->range = *range;
  p->lanes = range->lane_end - range->lane_first;
  p->batches = gw_max_i64(range->last - range->first, 0) * p->lanes;
  p->cells = calloc((size_t)depth, sizeof *p->cells);
  p->memory = calloc(3 * (size_t)depth * tokens, sizeof *p->memory);
  if (!p->cells || !p->memory) goto failed;
  for (int32_t i = 0; i < depth; i++) {
    int32_t *at = p->memory + 3 * (size_t)i * tokens;
    p->cells[i] = (Cell){.tokens = at, .targets = at + tokens, .positions = at + 2 * tokens};
  }
  if (pthread_create(&p->thread, NULL, fill_all, p) != 0) goto failed;
  p->running = true;
  *out = p;
  return GW_OK;
failed:
  gw_prefetch_destroy(p);
  return gw_fail(GW_MEMORY, "no memory or no thread to read ahead");
}

void gw_prefetch_destroy(GwPrefetch *p) {
  if (!p) return;
  pthread_mutex_lock(&p->mutex);
  p->stop = true;
  pthread_cond_broadcast(&p->freed);
  pthread_mutex_unlock(&p->mutex);
  if (p->running) pthread_join(p->thread, NULL);
  pthread_cond_destroy(&p->freed);
  pthread_cond_destroy(&p->filled);
  pthread_mutex_destroy(&p->mutex);
  free(p->memory);
  free(p->cells);
  free(p);
}

static void await(GwPrefetch *p, const Cell *cell, int64_t batch) {
  pthread_mutex_lock(&p->mutex);
  while (!cell->full || cell->batch != batch) pthread_cond_wait(&p->filled, &p->mutex);
  pthread_mutex_unlock(&p->mutex);
}

GwStatus gw_prefetch_take(GwPrefetch *p, int64_t step, int32_t lane, int32_t *tokens,
                          int32_t *targets, int32_t *positions) {
  int64_t batch = (step - p->range.first) * p->lanes + lane - p->range.lane_first;
  GW_ASSERT(batch >= 0 && batch < p->batches);
  Cell *cell = &p->cells[batch % p->range.depth];
  await(p, cell, batch);
  size_t size = batch_tokens(p->sampler) * sizeof *tokens;
  GwStatus status = cell->status;
  if (status == GW_OK) {
    memcpy(tokens, cell->tokens, size);
    memcpy(targets, cell->targets, size);
    memcpy(positions, cell->positions, size);
  } else {
    status = gw_fail(status, "%s", cell->message);
  }
  pthread_mutex_lock(&p->mutex);
  cell->full = false;
  pthread_cond_signal(&p->freed);
  pthread_mutex_unlock(&p->mutex);
  return status;
}
