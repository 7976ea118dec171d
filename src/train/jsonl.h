/* Append-only files of JSON lines: a run's journal and metrics. A line torn by a crash is cut off
 * when the file is opened; when the disk is full lines are dropped, with one warning, and the run
 * goes on. */
#ifndef GW_JSONL_H
#define GW_JSONL_H

#include "base/json.h"
#include "os/fs.h"

typedef struct {
  GwFs *fs;
  GwFile *file;
  char path[GW_PATH_MAX];
  bool warned;
} GwJsonl;

GwStatus gw_jsonl_open(GwFs *fs, const char *path, GwJsonl *out);
void gw_jsonl_close(GwJsonl *lines); /* a zeroed one is fine */

/* Writes one object and releases it (NULL: out of memory, dropped with the warning). */
void gw_jsonl_add(GwJsonl *lines, json_t *object);

/* The last line of a file of JSON lines, NULL when there is none; the caller releases it. */
json_t *gw_jsonl_last(GwFs *fs, const char *path);

/* Cuts the file before the first line whose whole-number `key` is above `last`. */
GwStatus gw_jsonl_cut(GwJsonl *lines, const char *key, int64_t last);

#endif
