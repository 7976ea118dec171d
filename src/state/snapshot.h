/* Snapshots: one share of a run's training state in the memory of a node, where it outlives the
 * process that wrote it. One process writes an area; after its death any other may read it.
 *
 *   godwit-RUN-snap-3of8-COPY-SLOT      RUN: 16 hex digits; 3of8: share 3 of 8;
 *                                       COPY 0: the rank's own, 1: for its partner
 *
 * A writer fills its two slots by turns, never the one with the newest snapshot, so that one is
 * whole at every moment. An area is a sealed header, then at 4096 the spans without gaps. The seal
 * is 0 while the rest changes and comes last, so what a writer leaves when it is killed is either
 * whole or not there. Readers trust nothing: sizes, names and hashes must agree. What a snapshot is
 * not taken for, and why, is in the log. */
#ifndef GW_SNAPSHOT_H
#define GW_SNAPSHOT_H

#include "os/shared.h"

/* A part of the state in memory; `bytes` may be 0. */
typedef struct {
  void *data;
  size_t bytes;
} GwSpan;

typedef struct {
  uint64_t run;   /* whose: hash of the recipe's identity, the data and the run's folder */
  uint64_t epoch; /* whose ranks took it */
  int64_t step;
  int32_t share, shares;
  uint64_t state_hash; /* of the whole state after `step`, not of this share */
  uint64_t layout;     /* gw_snapshot_layout() of the spans that the share is made of */
} GwSnapshotInfo;

/* Hash of the sizes of the spans. */
uint64_t gw_snapshot_layout(const GwSpan *spans, int32_t count);

/* ---- writing ---- */

typedef struct {
  GwShared slot[2];
  uint64_t run;
  int32_t share, shares, copy;
  int32_t filling; /* the slot that gw_snapshot_receive has opened */
} GwSnapshotWriter;

/* The areas for a share of `bytes` bytes; slots of that size, and what they hold, are kept.
 * GW_MEMORY when the node has no room for both: it is taken here, so that no write fails later. */
GwStatus gw_snapshot_writer_create(uint64_t run, int32_t share, int32_t shares, int32_t copy,
                                   size_t bytes, GwSnapshotWriter *out);
/* The areas stay; a zeroed one is fine. */
void gw_snapshot_writer_destroy(GwSnapshotWriter *writer);

/* The run goes on from `step`: what the slots hold of later steps counts no longer. */
void gw_snapshot_cut(GwSnapshotWriter *writer, int64_t step);

/* Takes a snapshot in place of the older one; copies and hashes in one pass. The spans are those
 * of info->layout or, for a partner, the same bytes in other pieces. Cuts at info->step. */
void gw_snapshot_put(GwSnapshotWriter *writer, const GwSnapshotInfo *info, const GwSpan *spans,
                     int32_t count);

/* ---- a copy on another node ---- */

/* The rank on whose node a second copy of the share of `rank` lies: on another node where there is
 * one. host_of[ranks]: ascending, `slots` ranks on each host but the last. */
int32_t gw_snapshot_partner(const int32_t *host_of, int32_t ranks, int32_t slots, int32_t rank);

/* What goes with a payload to its second copy. */
typedef struct {
  GwSnapshotInfo info;
  uint64_t bytes, payload_hash;
} GwSnapshotCard;

/* The newest that the writer has put; its payload stays until the next but one. */
void gw_snapshot_card(const GwSnapshotWriter *writer, GwSnapshotCard *card, void **payload);
/* Where a payload for this writer may be put, in place of the older of its slots. */
void *gw_snapshot_receive(GwSnapshotWriter *writer);
/* It is there. GW_CORRUPT when it is not what the card says: then it counts for nothing. */
GwStatus gw_snapshot_accept(GwSnapshotWriter *writer, const GwSnapshotCard *card);

/* ---- reading ---- */

/* Calls visit for every sealed snapshot of `run` on this node, in any order, twice for one whose
 * two copies are both here. `bytes`: of all its spans. gw_snapshot_get verifies the content. */
GwStatus gw_snapshot_find(uint64_t run,
                          GwStatus (*visit)(void *context, const GwSnapshotInfo *info,
                                            uint64_t bytes),
                          void *context);

/* Whether this node has a sealed share of `step`, of any division. */
bool gw_snapshot_held(uint64_t run, int64_t step);

/* Fills the spans, which together have the snapshot's bytes, from the first copy that is whole.
 * GW_NOT_FOUND: this node has no such snapshot; GW_MISMATCH: its layout or size is another;
 * GW_CORRUPT: what could be it is damaged. On failure the contents of the spans are undefined. */
GwStatus gw_snapshot_get(const GwSnapshotInfo *info, const GwSpan *spans, int32_t count);

/* ---- removing ---- */

/* Takes away all that this node holds of `run`. Writers go on, but nobody finds what they write. */
GwStatus gw_snapshot_remove_all(uint64_t run);
/* The same for what was not written as one of `shares` shares: its ranks are gone. */
GwStatus gw_snapshot_remove_others(uint64_t run, int32_t shares);
/* The same for areas that hold no whole snapshot: ranks that have ended took none there. */
GwStatus gw_snapshot_remove_empty(uint64_t run);

#endif
