/* A run under random faults against one that nobody disturbs: what `godwit chaos` does. */
#ifndef GODWIT_CHAOS_H
#define GODWIT_CHAOS_H

#include "godwit/faults.h"
#include "godwit/train.h"

typedef struct {
  GwTrainOptions train; /* run_dir NULL: runs/NAME-chaos. threads: of each process; no resume */
  int32_t ranks;
  uint64_t seed; /* of classes, ranks and steps */
  int32_t faults;
  double hang_seconds; /* as of GwClusterOptions */
} GwChaosOptions;

/* Times in seconds, 0 when there are none. */
typedef struct {
  int32_t injected, detected, recovered;
  int64_t steps_lost; /* that had to be made again */
  double detection_median, detection_worst, recovery_median, recovery_worst;
} GwChaosClass;

typedef struct {
  char run_dir[512];
  uint64_t hash, undisturbed_hash;
  GwChaosClass all, classes[GW_INJECT_CLASSES];
  int32_t unexplained; /* faults in the journal that nobody had injected */
  int64_t steps;
  double seconds;     /* of the disturbed run */
  double useful_time; /* steps times the median time of one, as a share of the seconds */
} GwChaosReport;

/* Trains RUN-undisturbed in this process (or takes it as it is, when it is finished), then RUN as a
 * child process that is restarted when its supervisor was killed; what that says is in RUN.log.
 * GW_USAGE: too many faults for so few steps. GW_IO: the disturbed run did not come to its end. */
GwStatus gw_chaos(const GwChaosOptions *options, GwChaosReport *out);

/* Its name in the table, for GwChaosReport.classes. */
const char *gw_chaos_class(int class);

#endif
