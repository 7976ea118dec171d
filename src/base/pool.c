/* Tasks are taken from an atomic counter. A loop is announced by a new generation number; workers
 * spin on it for a while (an op of a small model takes microseconds), then wait on a condition. Who
 * spins offers the processor to others now and then: with more threads than processors, one that
 * waits would otherwise keep off one that works.
 *
 * A worker that slept is woken on any processor but the caller's. Left to itself, Linux may queue
 * it behind the caller, who is busy with the loop, and leave it there for milliseconds while other
 * processors idle. */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define processor_hint() _mm_pause()
#else
#define processor_hint() ((void)0)
#endif

enum { SPIN_ROUNDS = 20000, YIELD_ROUNDS = 64 };

typedef struct {
  GwPool *pool;
  int index;
  pthread_t thread;
} Worker;

struct GwPool {
  int threads;
  Worker *workers;   /* threads - 1 of them; index 0 is the caller */
  cpu_set_t allowed; /* processors of this process */
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  _Atomic uint64_t generation; /* odd bit unused; grows by one per loop */
  _Atomic bool stop;
  _Atomic int sleeping;
  _Atomic int64_t next;
  _Atomic int running; /* workers that have not finished the current loop */
  int64_t count;
  GwPoolTask *task;
  void *context;
};

int gw_processor_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

int gw_pool_threads(const GwPool *pool) { return pool ? pool->threads : 1; }

static void take_tasks(GwPool *pool, int thread) {
  for (;;) {
    int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (task >= pool->count) return;
    pool->task(pool->context, task, thread);
  }
}

static void spin(int round) {
  if (round % YIELD_ROUNDS == YIELD_ROUNDS - 1)
    sched_yield();
  else
    processor_hint();
}

/* Waits until the generation differs from `seen`; returns the new one. */
static uint64_t await_generation(GwPool *pool, uint64_t seen) {
  uint64_t generation;
  for (int round = 0; round < SPIN_ROUNDS; round++) {
    generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
    if (generation != seen) return generation;
    spin(round);
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleeping, 1);
  while ((generation = atomic_load(&pool->generation)) == seen)
    pthread_cond_wait(&pool->wake, &pool->mutex);
  atomic_fetch_sub(&pool->sleeping, 1);
  pthread_mutex_unlock(&pool->mutex);
  pthread_setaffinity_np(pthread_self(), sizeof pool->allowed, &pool->allowed);
  return generation;
}

static void *worker_main(void *argument) {
  Worker *worker = argument;
  GwPool *pool = worker->pool;
  uint64_t seen = 0;
  for (;;) {
    seen = await_generation(pool, seen);
    if (atomic_load(&pool->stop)) return NULL;
    take_tasks(pool, worker->index);
    atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
  }
}

/* Where the workers will wake. Speed only: a failure is no matter. */
static void keep_off_this_processor(GwPool *pool) {
  cpu_set_t others = pool->allowed;
  int here = sched_getcpu();
  if (here >= 0) CPU_CLR((size_t)here, &others);
  if (CPU_COUNT(&others) == 0) return;
  for (int i = 1; i < pool->threads; i++)
    pthread_setaffinity_np(pool->workers[i - 1].thread, sizeof others, &others);
}

static void announce(GwPool *pool) {
  atomic_fetch_add(&pool->generation, 1);
  if (atomic_load(&pool->sleeping) > 0) {
    pthread_mutex_lock(&pool->mutex);
    keep_off_this_processor(pool);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
  }
}

void gw_pool_run(GwPool *pool, int64_t count, GwPoolTask *task, void *context) {
  if (!pool || pool->threads == 1 || count <= 1) {
    for (int64_t i = 0; i < count; i++) task(context, i, 0);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store(&pool->running, pool->threads - 1);
  announce(pool);
  take_tasks(pool, 0);
  for (int round = 0; atomic_load_explicit(&pool->running, memory_order_acquire) > 0;
       round = (round + 1) % YIELD_ROUNDS)
    spin(round);
}

GwStatus gw_pool_create(int threads, GwPool **out) {
  if (threads == 0) threads = gw_processor_count();
  if (threads < 1 || threads > 1024)
    return gw_fail(GW_USAGE, "%d threads: give a number from 1 to 1024", threads);
  GwPool *pool = calloc(1, sizeof *pool);
  if (!pool) return gw_fail(GW_MEMORY, "no memory for a thread pool");
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->threads = 1;
  if (sched_getaffinity(0, sizeof pool->allowed, &pool->allowed) != 0) CPU_ZERO(&pool->allowed);
  pool->workers = calloc((size_t)threads, sizeof *pool->workers);
  if (!pool->workers) goto failed;
  for (int i = 1; i < threads; i++) {
    Worker *worker = &pool->workers[i - 1];
    *worker = (Worker){.pool = pool, .index = i};
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) goto failed;
    pool->threads++;
  }
  *out = pool;
  return GW_OK;
failed:
  gw_pool_destroy(pool);
  return gw_fail(GW_MEMORY, "cannot start %d threads; try --threads 1", threads);
}

void gw_pool_destroy(GwPool *pool) {
  if (!pool) return;
  atomic_store(&pool->stop, true);
  announce(pool);
  for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i - 1].thread, NULL);
  free(pool->workers);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
  free(pool);
}
