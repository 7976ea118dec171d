/* A simulated cluster under the real supervisor: hosts that fail, ranks that commit steps, hold
 * snapshots and lie, a launcher, a disk, and supervisors that die too. Time is a number; all chance
 * comes from one seed, so a schedule that breaks a rule can be run again, event for event. After
 * every event the rules are checked:
 *   - only the newest epoch commits, and no epoch is launched unfenced or twice;
 *   - ranks go on from a state that is really there, and never from an older one than the newest
 *     that was acknowledged (a checkpoint, or a snapshot whose shares survive);
 *   - nobody is called hung who is not;
 *   - with at most two faults since the last new step, new steps come within `patience_ns`. */
#ifndef GW_SIM_WORLD_H
#define GW_SIM_WORLD_H

#include "cluster/supervisor.h"

/* What can happen to a simulated cluster; weights are relative. */
typedef enum {
  GW_SIM_DEATH,      /* of one process */
  GW_SIM_HOST,       /* lost with all it holds, repaired later */
  GW_SIM_HANG,       /* one rank goes on no more */
  GW_SIM_LIE,        /* one rank's signature does not hold */
  GW_SIM_STUCK,      /* all wait for each other */
  GW_SIM_COPY,       /* what a host holds of the snapshot is damaged: seen when it is loaded */
  GW_SIM_LAUNCH,     /* the next launch fails */
  GW_SIM_SUPERVISOR, /* the supervisor dies; another is started */
  GW_SIM_ZOMBIE,     /* a rank stops; after its epoch has ended it comes back and commits */
  GW_SIM_FAULTS
} GwSimFault;
const char *gw_sim_fault_text(GwSimFault fault);

/* Times in nanoseconds. What happens "in up to" t takes a uniformly random part of it. */
typedef struct {
  GwSupervisorOptions supervisor;
  uint64_t seed;
  uint64_t horizon_ns;                      /* the simulation ends then, or with the last step */
  uint64_t step_ns;                         /* plus up to a tenth */
  int64_t snapshot_every, checkpoint_every; /* steps */
  uint64_t checkpoint_ns;                   /* from the step until it is on disk */
  uint64_t fault_ns; /* mean time between faults of the whole cluster; 0: none */
  double weight[GW_SIM_FAULTS];
  uint64_t repair_ns;      /* of a host: up to twice that */
  uint64_t death_seen_ns;  /* in up to */
  uint64_t host_seen_ns;   /* in up to */
  uint64_t stop_taken_ns;  /* to stop what is left, in up to */
  uint64_t start_taken_ns; /* to launch and restore, in up to, but at least half of it */
  uint64_t replace_ns;     /* until a dead supervisor is replaced */
  uint64_t patience_ns;    /* see above */
  int fault_count_max;     /* no more faults after so many; 0: no end */
} GwSimOptions;

typedef struct {
  /* of one class; overtaken: ended by another fault, or by what came after, before it was seen */
  int64_t injected, detected, recovered, overtaken;
  uint64_t detection_ns_worst, recovery_ns_worst;
  double detection_ns_sum, recovery_ns_sum;
} GwSimClass;

typedef struct {
  GwOutcome outcome;
  int64_t steps; /* committed at the end */
  int64_t steps_redone;
  uint64_t elapsed_ns, useful_ns; /* useful: the mean step, for each that is kept */
  int64_t epochs, events;
  uint64_t trace; /* hash of every event and action, in order */
  GwSimClass class[GW_SIM_FAULTS];
  char broken[256]; /* the rule that was broken, and when; empty: none */
} GwSimReport;

/* GW_OK also when a rule was broken: the report says so. */
GwStatus gw_sim_run(const GwSimOptions *options, GwSimReport *out);

#endif
