/* Waiting for others by asking again and again, as one must with MPI and with names of shared
 * memory: the processor is offered to others at first, then there are naps that grow with the time
 * waited, so that a long wait costs next to nothing and a short one little. */
#ifndef GW_PATIENCE_H
#define GW_PATIENCE_H

#include <stdatomic.h>

#include "base/base.h"

/* Begins as {.waiting = ...}; *waiting is 1 once the wait has lasted some microseconds. */
typedef struct {
  _Atomic int32_t *waiting;
  uint64_t since; /* 0: not waiting */
} GwPatience;

void gw__patience_pause(GwPatience *patience); /* asked in vain: a moment passes */
void gw__patience_end(GwPatience *patience);   /* it came; the next wait begins anew */

#endif
