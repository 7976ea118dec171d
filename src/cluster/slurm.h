/* Slurm. The batch script that takes a run through it: as often as its time is over, the job saves,
 * puts itself back into the queue and goes on. And where ranks may run, inside a job. */
#ifndef GW_SLURM_H
#define GW_SLURM_H

#include "base/base.h"

typedef struct {
  const char *name;             /* the job's, and its log's */
  const char *program;          /* the path of godwit */
  const char *const *arguments; /* of godwit train */
  size_t argument_count;
  int32_t tasks, processors; /* so many, each with so many processors */
} GwSlurmJob;

/* The text is malloc'd. Words are quoted for bash, whatever is in them; of the name, what neither
 * sbatch nor a file's name should meet becomes '-'. */
GwStatus gw_slurm_write(const GwSlurmJob *job, char **out);

/* What starts ranks on the nodes that this process' job has, as options of godwit train. */
typedef struct {
  char *hosts; /* NULL: no job, or one on a single node, where nothing is needed */
  char launcher[160];
  const char *shell;
} GwSlurmNodes;

/* Read from what Slurm puts into the environment of a job (sbatch's manual, OUTPUT ENVIRONMENT
 * VARIABLES); `threads` of a rank, 0: what the job has for each. GW_NOT_FOUND without scontrol,
 * GW_IO when it does not know the nodes. */
GwStatus gw_slurm_nodes(int32_t ranks, int32_t threads, GwSlurmNodes *out);
void gw_slurm_nodes_deinit(GwSlurmNodes *nodes);

#endif
