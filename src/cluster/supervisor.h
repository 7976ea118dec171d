/* The supervisor: what to do when ranks die, hang or lie, as a pure state machine. It has no clock,
 * no processes and no files: events come in with the time at which they were seen, actions go out,
 * and a driver carries them out. One driver has real processes, another a simulated cluster.
 *
 * The life of a run is a row of epochs. An epoch is one launch of all ranks, placed on the hosts
 * that are usable; the first fault ends it: what is left is stopped, and when nothing is left the
 * next epoch begins, from the last snapshot if each of its shares has survived, else from the last
 * checkpoint. As soon as an epoch is broken it is fenced off: whatever a process of it still does
 * counts no more. A supervisor that dies is replaced by a new one that knows only what
 * the run's folder says (GwSupervisorPast) and what the hosts hold (GW_EVENT_FOUND). */
#ifndef GW_SUPERVISOR_H
#define GW_SUPERVISOR_H

#include "cluster/placement.h"

typedef struct {
  int32_t ranks, ranks_min; /* wanted; with fewer than ranks_min the run waits for hosts */
  int32_t hosts, slots;     /* slots: ranks per host */
  int64_t last_step;
  uint64_t hang_ns;    /* no progress for so long, or */
  uint64_t hang_steps; /* for so many median steps, whichever is more, is a hang */
  uint64_t look_ns;    /* that is still one after so long */
  uint64_t start_ns;   /* a launch that takes longer has failed, or a run's first step */
  uint64_t stop_ns;    /* ranks that take longer to stop are killed again */
  uint64_t backoff_ns; /* after a launch that reached no new step; doubled each time */
  uint64_t backoff_most_ns;
  int32_t tries;   /* launches in a row without a new step; more are given up */
  int32_t chances; /* of those that made old steps again, so many more, without waiting */
  int32_t strikes; /* wrong computations until a host is used no more */
} GwSupervisorOptions;

/* 1 s or 4 steps, and 0.1 s; 5 minutes to start, 10 s to stop; 1 s to 5 minutes of back-off, 8
 * tries, 2 chances, 2 strikes. Ranks, hosts and steps are the caller's to set. */
GwSupervisorOptions gw_supervisor_defaults(void);

/* The exit code of a rank that would fail the same way again: its run is given up. */
enum { GW_EXIT_HOPELESS = 3 };

#define GW_EVENT_LIST(X)                                                                           \
  X(BEGIN, "the supervisor begins")                                                                \
  X(FOUND, "a host holds `share` of `shares` of the snapshot of `step`; before BEGIN")             \
  X(READY, "rank `rank`, or -1: every rank, is there and has its state")                           \
  X(RESTORED, "the ranks go on from the state after `step`; later checkpoints are bad")            \
  X(COMMITTED, "all ranks agree on the state after `step`")                                        \
  X(SNAPSHOT, "every share of the state after `step` is there twice")                              \
  X(CHECKPOINT, "the state after `step` is on disk")                                               \
  X(EXITED, "the process of `rank` ended with `code`")                                             \
  X(LIED, "the signature of `rank` does not hold")                                                 \
  X(BAD_COPY, "what `host`, or -1: any, held of `step` is not good")                               \
  X(OBSERVED, "how far `rank` is: `waiting` for others, last progress at `at`")                    \
  X(FROZEN, "a signal has stopped the process of `rank`, and it stays so")                         \
  X(INSPECTED, "every rank was observed")                                                          \
  X(LAUNCH_FAILED, "the launcher could not start the ranks")                                       \
  X(HOST_LOST, "`host` is gone, and all it held")                                                  \
  X(HOST_BACK, "`host` can be used again")                                                         \
  X(STOPPED, "no process of the epoch is left")                                                    \
  X(END, "somebody asks for the run's end")                                                        \
  X(TICK, "the time that gw_supervisor_due named has come")

typedef enum {
#define X(name, text) GW_EVENT_##name,
  GW_EVENT_LIST(X)
#undef X
      GW_EVENT_COUNT
} GwEventKind;

typedef struct {
  GwEventKind kind;
  uint64_t epoch; /* of the process that it is about */
  int64_t step;
  int32_t rank, host, share, shares, code;
  bool waiting;
  uint64_t at;
} GwEvent;

#define GW_FAULT_LIST(X)                                                                           \
  X(NONE, "none", "none")                                                                          \
  X(DEATH, "death", "a rank died")                                                                 \
  X(HANG, "hang", "a rank hangs")                                                                  \
  X(STUCK, "stuck", "all ranks wait for each other")                                               \
  X(LIE, "lie", "a rank computes wrongly")                                                         \
  X(HOST, "host", "a host was lost")                                                               \
  X(LAUNCH, "launch", "the ranks could not be started")                                            \
  X(SLOW_START, "slow_start", "the ranks took too long to start")                                  \
  X(COPY, "copy", "a snapshot does not verify")                                                    \
  X(GROW, "grow", "more ranks fit: no fault")                                                      \
  X(TAKEN_OVER, "takeover", "the supervisor was replaced")

typedef enum {
#define X(name, word, text) GW_FAULT_##name,
  GW_FAULT_LIST(X)
#undef X
      GW_FAULT_COUNT
} GwFault;
const char *gw_fault_word(GwFault fault); /* for programs: "death" */

typedef enum { GW_FROM_START, GW_FROM_CHECKPOINT, GW_FROM_SNAPSHOT } GwRestoreFrom;

typedef enum {
  GW_OUTCOME_NONE,
  GW_OUTCOME_DONE,     /* the last step is committed */
  GW_OUTCOME_ENDED,    /* somebody asked */
  GW_OUTCOME_GIVEN_UP, /* no new step in so many tries */
} GwOutcome;

typedef enum {
  GW_ACTION_FENCE,   /* make durable that nothing older than `epoch` counts */
  GW_ACTION_LAUNCH,  /* start ranks of `epoch`, placed as the supervisor says, from `step` */
  GW_ACTION_KILL,    /* stop every process of `epoch` or older; answer with STOPPED */
  GW_ACTION_ASK_END, /* ask the ranks to checkpoint and exit */
  GW_ACTION_INSPECT, /* answer with OBSERVED for each rank, then INSPECTED */
  GW_ACTION_REPORT,  /* a line for the journal: `fault` in `epoch`, of `rank` on `host` at `step` */
  GW_ACTION_WAIT,    /* a line for the journal: too few hosts */
  GW_ACTION_FINISH,  /* the supervisor's work ends with `outcome` */
} GwActionKind;

typedef struct {
  GwActionKind kind;
  uint64_t epoch;
  int64_t step;
  int32_t rank, host; /* -1: none */
  GwRestoreFrom from;
  GwFault fault;
  GwOutcome outcome;
} GwAction;

/* An event causes at most so many actions. */
enum { GW_ACTIONS_MOST = 6 };
typedef struct {
  GwAction action[GW_ACTIONS_MOST];
  int count;
} GwActions;

/* What a run's folder tells a new supervisor. */
typedef struct {
  uint64_t epoch;     /* the newest that was fenced for; 0: none yet */
  int64_t checkpoint; /* the newest good one's step; -1: none */
  uint64_t step_ns;   /* what a step has taken; 0: not known */
} GwSupervisorPast;

typedef struct GwSupervisor GwSupervisor;
GwStatus gw_supervisor_create(const GwSupervisorOptions *options, GwSupervisorPast past,
                              GwSupervisor **out);
void gw_supervisor_destroy(GwSupervisor *supervisor); /* NULL is fine */

/* Nanoseconds never go back. Events of epochs that have ended are known and ignored. */
void gw_supervisor_event(GwSupervisor *supervisor, uint64_t now, const GwEvent *event,
                         GwActions *out);
/* When it wants a TICK; UINT64_MAX: not until something else happens. */
uint64_t gw_supervisor_due(const GwSupervisor *supervisor);

uint64_t gw_supervisor_epoch(const GwSupervisor *supervisor);
int64_t gw_supervisor_step(const GwSupervisor *supervisor); /* the last that was committed */
const GwPlacement *gw_supervisor_placement(const GwSupervisor *supervisor);

#endif
