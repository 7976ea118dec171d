/* One place for names, so that nobody meets another run in shared memory. */
#include "cluster/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "os/fs.h"
#include "os/process.h"

GwStatus gw_job_name(const char *run_dir, char out[GW_SHARED_NAME_MAX]) {
  char *path = realpath(run_dir, NULL);
  if (!path) return gw_fail(GW_NOT_FOUND, "%s: there is no such folder", run_dir);
  snprintf(out, GW_SHARED_NAME_MAX, "godwit-%016" PRIx64, gw_hash_string(path));
  free(path);
  return GW_OK;
}

void gw_job_boards(const char *job, char out[GW_SHARED_NAME_MAX]) {
  snprintf(out, GW_SHARED_NAME_MAX, "%.100s-board-", job);
}

void gw_job_world(const char *job, uint64_t epoch, char out[GW_SHARED_NAME_MAX]) {
  snprintf(out, GW_SHARED_NAME_MAX, "%.100s-world-%" PRIu64, job, epoch);
}

void gw_job_report(const char *job, char out[GW_SHARED_NAME_MAX]) {
  snprintf(out, GW_SHARED_NAME_MAX, "%.100s-report", job);
}

uint64_t gw_job_run(const char *job, uint64_t recipe_identity) {
  return gw_hash_bytes(job, strlen(job), recipe_identity);
}

GwStatus gw_job_build(uint64_t *hash) {
  char path[GW_PATH_MAX];
  GwMap map;
  GW_TRY(gw_process_program(path, sizeof path));
  GW_TRY(gw_map_open(path, &map));
  *hash = gw_hash_bytes(map.data, map.size, 0);
  gw_map_close(&map);
  return GW_OK;
}

static GwStatus remove_area(void *context, const char *name) {
  (void)context;
  gw_shared_remove(name);
  return GW_OK;
}

void gw_job_clear(const char *job) {
  char prefix[GW_SHARED_NAME_MAX];
  snprintf(prefix, sizeof prefix, "%.100s-world-", job);
  (void)gw_shared_list(prefix, remove_area, NULL);
}
