/* Naps are a small part of the time waited so far: no wait gets longer by more than that part. */
#include "comm/patience.h"

#include <sched.h>
#include <time.h>

#include "os/clock.h"

enum { TELL_NS = 10000, NAP_AFTER_NS = 1000000, NAP_PART = 32 };
enum { NAP_MIN_NS = 50000, NAP_MAX_NS = 1000000 };

void gw__patience_pause(GwPatience *patience) {
  uint64_t now = gw_clock_ns();
  if (patience->since == 0) patience->since = now;
  uint64_t waited = now - patience->since;
  if (waited >= TELL_NS) atomic_store_explicit(patience->waiting, 1, memory_order_relaxed);
  if (waited < NAP_AFTER_NS) {
    sched_yield();
    return;
  }
  int64_t nap = gw_min_i64(gw_max_i64((int64_t)(waited / NAP_PART), NAP_MIN_NS), NAP_MAX_NS);
  struct timespec time = {0, (long)nap};
  nanosleep(&time, NULL);
}

void gw__patience_end(GwPatience *patience) {
  if (patience->since == 0) return;
  patience->since = 0;
  atomic_store_explicit(patience->waiting, 0, memory_order_relaxed);
}
