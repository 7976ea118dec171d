/* Rehearsing a run on a simulated cluster: what `godwit simulate` does. The supervisor is
 * the real one (src/cluster/supervisor.h); hosts, ranks, faults and time are simulated. */
#ifndef GODWIT_SIMULATE_H
#define GODWIT_SIMULATE_H

#include <stdint.h>

#include "godwit/status.h"

/* Times in seconds. Start from gw_simulate_defaults(). */
typedef struct {
  int32_t ranks, ranks_per_host;
  int32_t spare_hosts; /* -1: 2 % of the hosts */
  double days;
  double mtbf_node_days;            /* a host's mean time between faults; 0: no faults */
  double step, detect, stop, start; /* of one step; to see a lost host; to stop all; to start all */
  double checkpoint_every, repair_hours;
  uint64_t seed; /* of the first schedule */
  int64_t seeds; /* how many schedules */
} GwSimulateOptions;

/* 100,000 ranks, 8 per host, 30 days, 264 node-days (one interruption per 50,677 GPU hours, as
 * reported for the training of Llama 3 405B), steps of 10 s, 5 s to see a lost host, 10 s to stop,
 * 60 s to start, a checkpoint every half hour, a day's repair. */
GwSimulateOptions gw_simulate_defaults(void);

enum { GW_SIMULATE_CLASSES = 9 };

/* Sums over the schedules. */
typedef struct {
  int64_t schedules, steps, steps_redone, epochs, events;
  int64_t hosts;            /* spares included */
  double days, useful_days; /* useful: steps that were kept */
  double useful_least;      /* the schedule with the smallest share */
  double fault_minutes;     /* mean time between faults of the whole cluster; 0: none */
  struct {
    const char *what;
    /* overtaken: ended by another fault, or replaced, before anybody could see it */
    int64_t injected, detected, recovered, overtaken;
    double detection_mean, detection_worst, recovery_mean, recovery_worst; /* seconds */
  } class[GW_SIMULATE_CLASSES];
} GwSimulateReport;

/* GW_INVALID when an option makes no sense; GW_MISMATCH when a schedule broke a rule of recovery:
 * the message names rule, time and seed. */
GwStatus gw_simulate(const GwSimulateOptions *options, GwSimulateReport *out);

#endif
