/* Training as one of several ranks: gw_train with a place in a world and a row on the supervisor's
 * board. The ranks of a run have one folder; its lock and its beginning are the supervisor's,
 * rank 0 writes what is recorded there. */
#ifndef GW_RANK_H
#define GW_RANK_H

#include "comm/board.h"
#include "comm/world.h"
#include "godwit/train.h"
#include "train/trainer.h"

typedef struct {
  GwWorld *world;
  GwBoard *board;           /* NULL: no supervisor */
  GwBoardRow *row;          /* of this rank; NULL: none */
  uint64_t run, epoch;      /* whose snapshots are taken */
  int64_t snapshot;         /* go on from the snapshot of this step; -1: from a checkpoint */
  const GwMomentHook *hook; /* sees every moment of the run; NULL: none */
  GwFs *fs;                 /* where the run's folder is; NULL: on the disk */
} GwRank;

/* Collective. Ends at options->steps, or when the board asks for the end, which all ranks agree on.
 * `rank` NULL: gw_train. */
GwStatus gw_train_rank(const GwTrainOptions *options, const GwRank *rank, GwTrainReport *out);

#endif
