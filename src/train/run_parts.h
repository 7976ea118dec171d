/* What the files of the training loop share: run.c is the loop, run_setup.c begins and ends a run,
 * run_keep.c keeps its state on disk and in memory and brings it back. */
#ifndef GW_RUN_PARTS_H
#define GW_RUN_PARTS_H

#include "base/arena.h"
#include "data/prefetch.h"
#include "godwit/log.h"
#include "infer/evaluate.h"
#include "train/event_file.h"
#include "train/rank.h"
#include "train/rank_snapshot.h"
#include "train/relief.h"
#include "train/run_folder.h"
#include "train/saver.h"
#include "train/trainer.h"

/* What a rank tells all others with each step. */
typedef struct {
  int64_t stop;  /* 1: it was asked to end the run */
  int64_t known; /* the newest snapshot that the supervisor has heard of, as its board says */
  GwRankTimes times;
} Note;

typedef struct {
  const GwTrainOptions *options;
  const GwRank *rank;   /* NULL: alone */
  const GwPlace *place; /* as if alone */
  GwRecipe recipe;      /* vocab_size resolved */
  GwCorpus *corpus;
  GwRunFolder folder;
  GwEventFile events; /* for TensorBoard, where wanted */
  const GwBackend *backend;
  GwPool *pool;
  GwTrainer *trainer;
  GwEvaluator *evaluator; /* NULL without validation data */
  GwSampler sampler;
  GwPrefetch *prefetch; /* of the steps to come */
  GwRankSnapshots snapshots;
  int64_t taken, known; /* the newest of those; the newest that the supervisor has heard of */
  GwSaver *saver;       /* of rank 0 */
  bool way_told;
  uint64_t *signatures; /* of the step's lanes */
  GwObserver watch;     /* puts progress on the board */
  Note *notes;          /* [ranks] */
  int32_t *deal;        /* [ranks + 1], see gw_deal */
  GwRelief relief;
  GwRankTimes *times;                      /* [ranks] */
  uint64_t input_ns, transfer_ns, disk_ns; /* what they came to at the last note */
  _Atomic uint64_t reading_ns;             /* spent on getting batches */
  uint64_t writing_ns;                     /* spent on writing files */
  bool stop;                               /* all have agreed to end */
  GwArena arena;
  int64_t step, last;   /* done; to be done */
  int64_t saved;        /* the newest checkpoint's step, -1: none */
  int64_t gathered;     /* the last step whose moments every node was given */
  uint64_t training_ns; /* spent in steps */
  int64_t trained_tokens;
  GwProgress progress;
  GwTrainReport report;
} Run;

static inline GwWorld *gw__run_world(const Run *run) { return run->rank ? run->rank->world : NULL; }

/* Only one rank has files to write to. */
static inline bool gw__run_writes(const Run *run) { return run->place->rank == 0; }

static inline bool gw__run_due(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

/* The run goes on without a checkpoint that found no room. */
static inline GwStatus gw__run_forgiven(GwStatus status) {
  return status == GW_NO_SPACE || status == GW_IO ? GW_OK : status;
}

/* The hook's say. */
static inline GwStatus gw__run_moment(Run *run, GwMoment which, int64_t step) {
  const GwMomentHook *hook = run->rank ? run->rank->hook : NULL;
  return hook ? hook->at(hook->self, which, step, run->trainer) : GW_OK;
}

/* ---- run_setup.c ---- */

GwStatus gw__run_set_up(Run *run);
void gw__run_tear_down(Run *run);
/* Reads ahead from the next step on, the lanes that this rank is dealt. */
GwStatus gw__run_read_ahead(Run *run);

/* ---- run_keep.c ---- */

/* Snapshots, where there are ranks; before the restore. */
GwStatus gw__run_create_snapshots(Run *run);
/* The state that the run goes on from: a snapshot, a checkpoint, or the initial values. */
GwStatus gw__run_restore(Run *run);
/* A checkpoint of the state as it is now; ranks go on while rank 0 saves behind them. Where one is
 * still under way: `wait` for it, or leave this one out. */
GwStatus gw__run_save(Run *run, bool wait);
/* Waits for the checkpoint under way. */
GwStatus gw__run_await_saver(Run *run);
/* After each step: a snapshot where one is due, and what became of the checkpoint under way. */
GwStatus gw__run_keep(Run *run);

#endif
