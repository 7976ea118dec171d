/* A rank's snapshots: its share of the training state in the memory of its node, every few steps,
 * and all shares back into the trainer after a launch. */
#ifndef GW_RANK_SNAPSHOT_H
#define GW_RANK_SNAPSHOT_H

#include "state/snapshot.h"
#include "train/trainer.h"

typedef struct {
  const GwTrainer *trainer;
  GwSnapshotWriter writer;
  GwSnapshotInfo info; /* of this rank's; step and state_hash as of the last one */
  GwSpan *spans;
  int32_t span_count;
} GwRankSnapshots;

/* `run`: whose they are. GW_MEMORY when the node has no room for two shares per rank. */
GwStatus gw_rank_snapshots_create(const GwTrainer *trainer, const GwPlace *place, uint64_t run,
                                  uint64_t epoch, GwRankSnapshots *out);
void gw_rank_snapshots_destroy(GwRankSnapshots *snapshots); /* a zeroed one is fine */

/* Keeps the state after `step`, whose hash (of the whole state) is `state_hash`. */
void gw_rank_snapshots_take(GwRankSnapshots *snapshots, int64_t step, uint64_t state_hash);

/* Fills the node's state with that after `step`, whatever the number of shares it was kept in:
 * collective, each of the node's ranks does its part, and all verify the whole. GW_NOT_FOUND when a
 * share is not on this node, GW_CORRUPT when the whole does not have its hash. */
GwStatus gw_rank_snapshots_restore(GwRankSnapshots *snapshots, GwWorld *world, int64_t step);

#endif
