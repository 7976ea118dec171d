/* Training a run: what `godwit train` does. */
#ifndef GODWIT_TRAIN_H
#define GODWIT_TRAIN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "godwit/recipe.h"
#include "godwit/status.h"

typedef struct {
  const GwRecipe *recipe;
  const char *data_dir;  /* NULL: the recipe's */
  const char *run_dir;   /* NULL: runs/NAME */
  bool resume;           /* go on from the newest good checkpoint */
  const char *init_from; /* a run or a checkpoint whose parameters a new run begins with; or NULL */
  int64_t steps;         /* stop after this step; -1: the recipe's. May lie beyond its end. */
  int threads;           /* 0: all */
  const char *isa;       /* NULL: the best */
  const char *backend;   /* NULL: cpu */
  bool abft; /* matrix products verify themselves; GW_NUMERIC when one is wrong. No bit changes */
  const char *tensorboard;           /* a folder for TensorBoard's event files; NULL: none */
  const volatile sig_atomic_t *stop; /* when it becomes non-zero: checkpoint and return; or NULL */
} GwTrainOptions;

typedef struct {
  char run_dir[512];
  int64_t step;
  bool was_finished; /* resumed, and there was nothing left to do */
  bool interrupted;
  bool has_loss; /* a step was made */
  double loss;   /* of the last step, nats per token */
  bool has_validation;
  double validation_loss, bits_per_byte; /* 0 bits: not known without a tokenizer */
  double tokens_per_second; /* of the steps made now, validation and checkpoints left out */
  uint64_t state_hash;
} GwTrainReport;

/* Trains a run, or goes on with one. GW_MEMORY, before anything is made, when it would not fit into
 * the memory that is available; GW_EXISTS, GW_BUSY, GW_MISMATCH as the folder of the run says. */
GwStatus gw_train(const GwTrainOptions *options, GwTrainReport *out);

#endif
