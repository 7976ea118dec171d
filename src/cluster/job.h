/* The names of a run's shared memory: all begin with the job's, which its folder decides. */
#ifndef GW_JOB_H
#define GW_JOB_H

#include "os/shared.h"

/* "godwit-0123456789abcdef": of the run in folder `run_dir`, which is there. */
GwStatus gw_job_name(const char *run_dir, char out[GW_SHARED_NAME_MAX]);
/* "JOB-board-", to which the epoch is added. */
void gw_job_boards(const char *job, char out[GW_SHARED_NAME_MAX]);
/* "JOB-world-EPOCH" */
void gw_job_world(const char *job, uint64_t epoch, char out[GW_SHARED_NAME_MAX]);
/* "JOB-report": where rank 0 leaves what the run came to. */
void gw_job_report(const char *job, char out[GW_SHARED_NAME_MAX]);
/* Whose snapshots they are: of the job's run with this recipe. */
uint64_t gw_job_run(const char *job, uint64_t recipe_identity);
/* The hash of this program's own bytes: another build may compute other bits. */
GwStatus gw_job_build(uint64_t *hash);
/* Removes what an earlier launch may have left behind, boards left out. */
void gw_job_clear(const char *job);

#endif
