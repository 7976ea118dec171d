/* The supervisor with real processes: starts the ranks, watches their processes and
 * their board, stops them. It knows nothing of training: what to start and what to keep is the
 * caller's, through GwDriverHooks.
 *
 * An epoch has a board (comm/board.h) of its own, named by `prefix` and the epoch's number. Ranks
 * are this process's children (GW_LAUNCH_LOCAL: one command each; they die with it) or those of a
 * launcher such as mpirun (GW_LAUNCH_LAUNCHER: one command for all; then a rank is known
 * once it has opened the board). Ranks open the board, set `state` READY and later ENDED, and count
 * `progress`, also while they load and while they save: what stands still for too long is a hang.
 * On several machines there is an agent on each (cluster/hosts.h), a launcher starts the ranks, and
 * the board here is a copy of what the agents tell.
 *
 * A death is seen at once (a pidfd), what the board says within 20 ms. */
#ifndef GW_DRIVER_H
#define GW_DRIVER_H

#include <signal.h>

#include "cluster/hosts.h"
#include "cluster/supervisor.h"
#include "os/process.h"

typedef enum { GW_LAUNCH_LOCAL, GW_LAUNCH_LAUNCHER } GwLaunchKind;

/* An epoch that is about to begin. */
typedef struct {
  uint64_t epoch;
  int64_t step; /* the ranks go on from the state after it, */
  GwRestoreFrom from;
  const GwPlacement *placement; /* rank_count and host_of */
  const char *board;            /* its name */
} GwLaunch;

/* holds, held and outside may be NULL. */
typedef struct {
  void *self;
  /* What the run's folder says. No process of the run is left when it is asked. */
  GwStatus (*past)(void *self, GwSupervisorPast *out);
  /* Make durable that nothing older than `epoch` counts. If it fails, the run stops. */
  GwStatus (*fence)(void *self, uint64_t epoch);
  /* The command line of `rank`, or (-1) of the launcher, into `out`, which is empty. A
   * failure is one of the launch: it is tried again. */
  GwStatus (*command)(void *self, const GwLaunch *launch, int32_t rank, GwArgv *out);
  /* A line for the journal about a launch, a fault, a wait or the end. */
  void (*report)(void *self, const GwAction *action, const char *text);
  /* The first step of an epoch that is not the run's first was committed. */
  void (*recovered)(void *self, uint64_t epoch, int64_t step);
  /* What the hosts hold: calls found() with a GW_EVENT_FOUND for every share, after past(). */
  GwStatus (*holds)(void *self, void (*found)(void *driver, const GwEvent *event), void *driver);
  /* Whether anything of the snapshot of `step` is there; without it the ranks find out. */
  bool (*held)(void *self, int64_t step);
  /* What happens outside of the ranks (hosts lost and back), asked every 20 ms: true and one event,
   * false when there is none. */
  bool (*outside)(void *self, GwEvent *out);
} GwDriverHooks;

typedef struct {
  GwSupervisorOptions supervisor;
  GwLaunchKind kind;
  const char *prefix; /* of the names of boards: this run's and nobody else's */
  GwHosts *hosts;     /* NULL: this machine; else those that the placement numbers */
  const char *output; /* a file to which the processes' output is appended; NULL: to ours */
  /* 1: checkpoint and end. 2: end at once. May be NULL. */
  const volatile sig_atomic_t *stop;
} GwDriverOptions;

enum { GW_DRIVER_TEXT = 640 };

typedef struct {
  GwOutcome outcome; /* NONE: the driver itself failed, or was ended at once */
  uint64_t epoch;
  int64_t step;              /* the last that was committed */
  int32_t faults;            /* that were reported */
  char last[GW_DRIVER_TEXT]; /* of those, in one line; "": there was none */
} GwDriverResult;

/* Runs until an outcome. Processes of an earlier supervisor of this `prefix` are killed first; the
 * caller sees to it that no other one lives (a lock). No process and no board is left behind,
 * whatever is returned, and *out is filled in. GW_OK: done, or ended as asked. GW_INTERRUPTED:
 * ended at once. GW_IO: given up; the message says why. Must be called by a thread that lives as
 * long as the run, as the kernel ends the ranks together with it. */
GwStatus gw_driver_run(const GwDriverOptions *options, const GwDriverHooks *hooks,
                       GwDriverResult *out);

#endif
