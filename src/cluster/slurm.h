/* The batch script that takes a run through Slurm: as often as its time is over, the job saves,
 * puts itself back into the queue and goes on. Options in, text out; nothing is run. */
#ifndef GW_SLURM_H
#define GW_SLURM_H

#include "base/base.h"

typedef struct {
  const char *name;             /* the job's, and its log's */
  const char *program;          /* the path of godwit */
  const char *const *arguments; /* of godwit train */
  size_t argument_count;
  int32_t tasks, processors; /* so many, each with so many processors */
  const char *launcher;      /* for ranks on several nodes; NULL: the arguments say what there is */
} GwSlurmJob;

/* The text is malloc'd. Words are quoted for bash, whatever is in them; of the name, what neither
 * sbatch nor a file's name should meet becomes '-'. */
GwStatus gw_slurm_write(const GwSlurmJob *job, char **out);

#endif
