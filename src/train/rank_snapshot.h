/* A rank's snapshots: its share of the training state in the memory of its node, every few steps,
 * and all shares back into the trainer after a launch. */
#ifndef GW_RANK_SNAPSHOT_H
#define GW_RANK_SNAPSHOT_H

#include "comm/world.h"
#include "state/snapshot.h"
#include "train/trainer.h"

/* With several nodes: a second copy of each share, with a rank of another node. */
typedef struct {
  int32_t *to;              /* [ranks]: whose copy of each share is the second */
  int64_t *bytes;           /* [ranks]: of each share */
  GwSnapshotWriter *writer; /* [ranks]: for those that this rank keeps */
  void **payload;           /* [ranks] */
  GwSnapshotCard *card;     /* [1 + ranks]: this rank's, then everybody's */
} GwSecondCopies;

typedef struct {
  const GwTrainer *trainer;
  GwWorld *world;
  GwSecondCopies second; /* NULLs with one node */
  GwSnapshotWriter writer;
  GwSnapshotInfo info; /* of this rank's; step and state_hash as of the last one */
  GwSpan *spans;
  int32_t span_count;
  int64_t taken; /* how many */
} GwRankSnapshots;

/* `run`: whose they are. GW_MEMORY when the node has no room for two shares per rank, and two
 * second copies. */
GwStatus gw_rank_snapshots_create(const GwTrainer *trainer, GwWorld *world, uint64_t run,
                                  uint64_t epoch, GwRankSnapshots *out);
void gw_rank_snapshots_destroy(GwRankSnapshots *snapshots); /* a zeroed one is fine */

/* Keeps the state after `step`, whose hash (of the whole state) is `state_hash`. Collective; with
 * several nodes every share is there twice when all have returned. The one before, if there is one,
 * must be known to the supervisor: snapshots in another number of shares are then removed. */
GwStatus gw_rank_snapshots_take(GwRankSnapshots *snapshots, int64_t step, uint64_t state_hash);

/* Fills every node's state with that after `step`, whatever the number of shares it was kept in and
 * on whichever nodes they lie: collective, each rank does its part, and all verify the whole.
 * GW_NOT_FOUND when a share is on no node, GW_CORRUPT when the whole does not have its hash. */
GwStatus gw_rank_snapshots_restore(GwRankSnapshots *snapshots, int64_t step);

#endif
