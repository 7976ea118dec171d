/* What a training process will run and the memory that it takes, worked out before anything is
 * allocated: the programs of a step, recomputation where the recipe limits memory, and how many
 * lanes may run at once. */
#ifndef GW_TRAINING_PLAN_H
#define GW_TRAINING_PLAN_H

#include "godwit/recipe.h"
#include "pass/recompute.h"
#include "train/step_programs.h"

/* Bytes. What a process needs besides (its code, its threads' stacks, the pages of token shards
 * that it reads) is not counted. */
typedef struct {
  int64_t params;      /* the parameters */
  int64_t moments;     /* AdamW's first and second moments */
  int64_t sums;        /* fixed-point gradient sums, and what the step adds up from them */
  int64_t activations; /* of the lanes that run at once; the step's other programs share them */
  int64_t inputs;      /* of lanes, those read ahead included, and of validation */
  int64_t scratch;     /* of the kernels, all threads together */
  int64_t packed;      /* weights kept for the lanes of a step, where the recipe says so */
  int64_t total;
} GwTrainingMemory;

typedef struct {
  GwParamList params;
  GwShares shares;    /* of the parameters and moments, one per rank */
  GwLaneProgram lane; /* within the limit */
  GwStepPrograms steps;
  GwRecomputation recomputation;
  int64_t validation_batch;               /* windows that the evaluator takes at once */
  int64_t workspace_bytes, scratch_bytes; /* of the GwWorkspace that all programs share */
  int32_t lanes_at_once;                  /* 1: one after the other, all threads on each */
  int64_t lanes_bytes; /* of memory.total: what lanes at once take beyond one after the other */
  GwTrainingMemory memory;
} GwTrainingPlan;

/* Who trains: one of `ranks`. */
typedef struct {
  int32_t rank, ranks;
  int threads; /* of this rank */
  bool verify; /* see GwTrainingShare */
} GwTrainingPart;

/* vocab_size must be set; threads >= 1. GW_MEMORY when train.memory_limit is too low: the message
 * says what is possible and what takes the memory. */
GwStatus gw_training_plan_create(const GwRecipe *recipe, const GwTrainingPart *part,
                                 GwTrainingPlan *out);
void gw_training_plan_destroy(GwTrainingPlan *plan); /* a zeroed one is fine */

/* The memory of a single rank. */
GwStatus gw_training_memory(const GwRecipe *recipe, int threads, GwTrainingMemory *out);

/* Batches that are read ahead of the lane that computes. */
int32_t gw_training_read_ahead(int threads);

#endif
