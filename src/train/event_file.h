/* TensorBoard's event file, written beside a run on request: the scalars of metrics.jsonl and of
 * the journal's validations.
 *
 * A file is a sequence of records: length (u64), masked CRC-32C of the length, an Event message,
 * masked CRC-32C of the message. Messages are protobuf, of which three kinds of field are enough.
 * Field numbers are those of tensorflow/core/util/event.proto and framework/summary.proto. */
#ifndef GW_EVENT_FILE_H
#define GW_EVENT_FILE_H

#include "os/fs.h"

typedef struct {
  GwFs *fs;
  GwFile *file; /* NULL: none */
  bool warned;  /* once is enough: the disk may stay full */
} GwEventFile;

typedef struct {
  const char *tag; /* "train/loss" */
  double value;    /* stored as f32 */
} GwScalar;

/* Begins a new file in the folder `dir`, which is made when absent. It opens by saying that steps
 * from `first_step` on are made (again): readers drop what older files of the folder hold of them.
 * What goes wrong here and below is told once, as a warning: training does not depend on it. */
void gw_event_file_open(GwFs *fs, const char *dir, int64_t first_step, GwEventFile *out);
void gw_event_file_add(GwEventFile *events, int64_t step, const GwScalar *scalars, int count);
void gw_event_file_close(GwEventFile *events); /* a zeroed one is fine */

#endif
