/* Training with several ranks under a supervisor: `godwit train --ranks N`. */
#ifndef GODWIT_CLUSTER_H
#define GODWIT_CLUSTER_H

#include <stddef.h>

#include "godwit/train.h"

/* The Slurm job that the process is in, as Slurm says in the environment (sbatch's manual, OUTPUT
 * ENVIRONMENT VARIABLES); zeros: none, or not said. */
typedef struct {
  const char *nodes;                     /* "n[1-3,7]" */
  int32_t node_count, tasks, processors; /* the last: of a task */
} GwSlurmAllocation;

typedef struct {
  GwTrainOptions train; /* threads: of each rank; 0: the processors of a machine, split */
  int32_t ranks;        /* 1 to the recipe's lanes; the result is that of one */
  /* How ranks are started. NULL or "local": as processes of this machine, which need no MPI. Else a
   * command line, split at blanks, in which {ranks} stands for their number; what starts a rank
   * follows it: "mpirun -n {ranks}". */
  const char *launcher;
  /* The machines to train on, "a:4,b:4": names, and how many ranks each takes. They see the run's
   * folder and the data under the same paths. Ranks are started by the launcher, in which {hosts}
   * stands for those to use (default: mpirun's or mpiexec's way to say so). What is not needed for
   * `ranks` is spare. NULL: this machine. */
  const char *hosts;
  const char *shell;         /* how to run a command on {host}; NULL: "ssh {host}" */
  int32_t ranks_per_node;    /* > 0: so many ranks count as a node of their own, to try it out */
  double hang_seconds;       /* without progress; 0: 1, or 4 median steps where that is more */
  const char *const *inject; /* [inject_count]: faults that it is to suffer, see faults.h */
  int32_t inject_count;
  GwSlurmAllocation slurm; /* with several nodes, and neither hosts nor launcher: what to use */
} GwClusterOptions;

/* As gw_train. Ranks that die or hang are started again, from the last snapshot or checkpoint.
 * GW_IO when that leads nowhere: the message has the last fault. GW_USAGE: more ranks than lanes.
 */
GwStatus gw_cluster_train(const GwClusterOptions *options, GwTrainReport *out);

/* A batch script for Slurm that runs `godwit train ARGUMENTS... --resume` with these options, which
 * the arguments say too, in as many turns as it takes: warned by a signal, the job saves and goes
 * back into the queue. Nothing is run. *out is malloc'd. */
GwStatus gw_slurm_script(const GwClusterOptions *options, const char *const *arguments,
                         size_t argument_count, char **out);

/* The supervisor's agent on one of several machines: `godwit agent`. It talks through its standard
 * input and output, and returns when those end. */
typedef struct {
  const char *job;
  uint64_t snapshots; /* whose */
  bool fresh;         /* the run begins: older ones are thrown away */
} GwAgentOptions;
GwStatus gw_cluster_agent(const GwAgentOptions *options);

/* One rank, as the supervisor starts it: `godwit rank`. */
typedef struct {
  GwTrainOptions train; /* run_dir and data_dir; the recipe is the run's */
  const char *job;      /* what the names of the run's shared memory begin with */
  uint64_t epoch;
  int64_t snapshot;    /* go on from the snapshot of this step; -1: from a checkpoint */
  int32_t rank, ranks; /* rank -1: as MPI says */
  int32_t ranks_per_node;
  const char *const *inject;
  int32_t inject_count;
} GwRankOptions;
/* Returns the process's exit code, from which the supervisor sees whether to try again. */
int gw_cluster_rank(const GwRankOptions *options);

#endif
