/* The memory that training a recipe takes, worked out from its programs before anything is
 * allocated. */
#ifndef GW_MEMORY_ESTIMATE_H
#define GW_MEMORY_ESTIMATE_H

#include "godwit/recipe.h"
#include "model/model.h"

/* Bytes. What a process needs besides (its code, its threads' stacks, the pages of token shards
 * that it reads) is not counted. */
typedef struct {
  int64_t params;      /* the parameters */
  int64_t moments;     /* AdamW's first and second moments */
  int64_t sums;        /* fixed-point gradient sums, and what the step adds up from them */
  int64_t activations; /* of a lane's forward and backward pass, its inputs included */
  int64_t validation;  /* the evaluator's activations and inputs */
  int64_t scratch;     /* of the kernels, all threads together */
  int64_t total;
} GwTrainingMemory;

/* vocab_size must be set; threads >= 1. */
GwStatus gw_training_memory(const GwRecipe *recipe, int threads, GwTrainingMemory *out);

#endif
