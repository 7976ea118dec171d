/* The injector: carries out a rank's part of the faults that a run was asked to suffer, at the
 * moments of train/trainer.h. Each strikes once in the life of a run, although steps are computed
 * again after a relaunch: before it does, a line goes to RUN/injected.jsonl and to the disk,
 *   {"fault": number, "class", "rank", "step", "epoch", "ns": monotonic clock, "time"}
 * and what stands there is left out by every later process. */
#ifndef GW_INJECT_H
#define GW_INJECT_H

#include "comm/board.h"
#include "comm/world.h"
#include "guard/injection.h"
#include "os/fs.h"
#include "train/trainer.h"

typedef struct {
  const char *const *specs; /* [count], all borrowed */
  int32_t count;
  const char *run_dir;
  uint64_t epoch;
  uint64_t snapshots; /* whose snapshots are the run's, see state/snapshot.h; 0: it has none */
  const GwPlace *place;
  GwBoard *board;
} GwInjectorOptions;

typedef struct GwInjector GwInjector;
GwStatus gw_injector_create(const GwInjectorOptions *options, GwInjector **out);
void gw_injector_destroy(GwInjector *injector); /* NULL is fine */

const GwMomentHook *gw_injector_hook(const GwInjector *injector);
/* The disk as the run is to see it. */
GwFs *gw_injector_fs(GwInjector *injector);

#endif
