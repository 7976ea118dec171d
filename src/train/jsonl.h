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

/* Of a file that another process may be writing: a line without its end is left out. GW_CORRUPT
 * names the line that is no JSON object, or is longer than 1 MiB. */

/* The last whole lines, `count` at most and within the last 64 KiB, as an array that the caller
 * releases. */
GwStatus gw_jsonl_tail(GwFs *fs, const char *path, int count, json_t **out);
/* The last one, NULL when there is none; the caller releases it. */
json_t *gw_jsonl_last(GwFs *fs, const char *path);
/* Visits every line, up to the first failure. */
GwStatus gw_jsonl_each(GwFs *fs, const char *path,
                       GwStatus (*visit)(void *context, const json_t *object), void *context);

/* Cuts the file behind the last line whose whole-number `key` is at most `last`, lines without one
 * that follow it included. It takes as long as what is cut is. */
GwStatus gw_jsonl_cut(GwJsonl *lines, const char *key, int64_t last);

#endif
