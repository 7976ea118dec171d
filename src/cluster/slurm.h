/* Slurm. The batch script that takes a run through it: as often as its time is over, the job saves,
 * puts itself back into the queue and goes on. And where ranks may run, inside a job. */
#ifndef GW_SLURM_H
#define GW_SLURM_H

#include "godwit/cluster.h"

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

/* What starts ranks on the nodes of a job, as options of godwit train. */
typedef struct {
  char *hosts; /* NULL: no job, or one on a single node, where nothing is needed */
  char launcher[160];
  const char *shell;
} GwSlurmNodes;

/* For options->ranks in options->slurm. GW_NOT_FOUND without scontrol, GW_IO when it does not know
 * the nodes. */
GwStatus gw_slurm_nodes(const GwClusterOptions *options, GwSlurmNodes *out);
void gw_slurm_nodes_deinit(GwSlurmNodes *nodes);

#endif
