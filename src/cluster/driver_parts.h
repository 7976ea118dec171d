/* What the files of the driver share: driver.c is its loop, driver_epoch.c starts and stops an
 * epoch's processes, driver_text.c words the journal's lines. */
#ifndef GW_DRIVER_PARTS_H
#define GW_DRIVER_PARTS_H

#include "cluster/driver.h"
#include "comm/board.h"

/* What was last seen of a rank. */
typedef struct {
  int64_t progress;
  uint64_t progress_at;
  uint64_t ended_at;                     /* 0: its process runs */
  int frozen;                            /* looks in a row that found it stopped by a signal */
  bool ready, exited, accused, bad_copy; /* the supervisor was told */
} GwSeen;

/* One launch: its board and its processes. */
typedef struct {
  uint64_t epoch;
  int32_t ranks; /* 0: there is none */
  char name[GW_SHARED_NAME_MAX];
  GwShared shared;
  GwBoard *board;
  GwHosts *hosts;                         /* NULL: all is on this machine */
  GwSeen *seen;                           /* [ranks] */
  GwProcess *processes;                   /* [ranks], and the launcher's */
  uint64_t started_at, launcher_ended_at; /* 0: it runs, or nobody has looked */
  bool all_ready, restored_told, recovered_told;
} GwEpoch;

/* Makes the board and starts the processes. After a failure some may run. */
GwStatus gw__epoch_start(GwEpoch *epoch, const GwDriverOptions *options, const GwDriverHooks *hooks,
                         const GwLaunch *launch);
/* Takes up ranks of this machine whose process was not known so far. */
void gw__epoch_adopt(GwEpoch *epoch);
void gw__epoch_ask_end(GwEpoch *epoch);
/* The supervisor has heard of the snapshot of `step`: ranks may replace the one before it. */
void gw__epoch_know(GwEpoch *epoch, int64_t step);
/* Whether a rank waits for others. One that was stopped meanwhile does not: they may be done. */
bool gw__epoch_waits(const GwEpoch *epoch, int32_t rank);
/* For how long nothing is known of a host's ranks. */
uint64_t gw__epoch_silence(const GwEpoch *epoch, int32_t host);
/* Fences the board off and kills whatever is known to run. */
void gw__epoch_kill(GwEpoch *epoch);
bool gw__epoch_is_busy(const GwEpoch *epoch); /* some process is known to run */
/* Or may run: agents say that nothing is left only after gw__epoch_kill. */
bool gw__epoch_runs(const GwEpoch *epoch);
/* Sleeps until some process ends, a host says something, or the time is over; then takes up what
 * hosts have said. */
GwStatus gw__epoch_wait(GwEpoch *epoch, uint64_t timeout_ns);
/* When no process runs: removes the board. */
void gw__epoch_end(GwEpoch *epoch);

static inline GwProcess *gw__epoch_launcher(const GwEpoch *epoch) {
  return &epoch->processes[epoch->ranks];
}

/* Kills the processes of all earlier boards of this prefix and removes those. GW_BUSY when one does
 * not die within `timeout_ns`. */
GwStatus gw__epochs_clear(const char *prefix, uint64_t timeout_ns);

/* The line for an action; "" when it is not worth one. `ranks` of a launch, `now` for how long a
 * rank has hung, `cause` of a failed launch. */
void gw__driver_text(const GwAction *action, const GwEpoch *epoch, int32_t ranks, uint64_t now,
                     const char *cause, char out[GW_DRIVER_TEXT]);

#endif
