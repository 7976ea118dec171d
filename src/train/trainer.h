/* The trainer: the computation of a run without its folder. Parameters, moments and exact sums in
 * memory; a step is begin, any lanes in any order, end. What a lane adds is a pure function of
 * (parameters, step, lane, data), and sums are integers, so which lanes are computed here and which
 * are added from another trainer cannot change a bit. */
#ifndef GW_TRAINER_H
#define GW_TRAINER_H

#include "exec/runner.h"
#include "model/model.h"
#include "state/checkpoint.h"

typedef struct GwTrainer GwTrainer;

/* Parameters at their initial values, moments zero. The recipe's vocab_size must be set. `backend`,
 * `pool` and `recipe` are borrowed. */
GwStatus gw_trainer_create(const GwRecipe *recipe, const GwBackend *backend, GwPool *pool,
                           GwTrainer **out);
void gw_trainer_destroy(GwTrainer *trainer);

/* The full training state: params, adam_m, adam_v. Pointers live as long as the trainer. */
enum { GW_STATE_GROUPS = 3 };
const GwTensorGroup *gw_trainer_state(const GwTrainer *trainer);
uint64_t gw_trainer_hash(const GwTrainer *trainer, int64_t step);
void *gw_trainer_params(const GwTrainer *trainer);
int64_t gw_trainer_param_count(const GwTrainer *trainer);
int64_t gw_trainer_param_bytes(const GwTrainer *trainer); /* of the buffer */
const GwProgram *gw_trainer_lane_program(const GwTrainer *trainer);

/* Where the next lane's batch goes: i32 [B·T] each. */
typedef struct {
  int32_t *tokens, *targets, *positions;
} GwLaneInputs;
GwLaneInputs gw_trainer_inputs(const GwTrainer *trainer);

/* A step begins, and whatever an unfinished one has left is forgotten. Its first lane replaces the
 * old sums, so nothing of their size is cleared. */
void gw_trainer_begin(GwTrainer *trainer);

/* Forward and backward pass of the batch in the inputs, added to the sums. *signature: the lane's.
 * GW_NUMERIC when a gradient or loss was NaN or out of the fixed-point range. */
GwStatus gw_trainer_lane(GwTrainer *trainer, int64_t step, int32_t lane, uint64_t *signature);

/* Adds another trainer's sums of the same step: what a reduction over ranks does. */
void gw_trainer_add(GwTrainer *trainer, const GwTrainer *other);

typedef struct {
  double loss;          /* nats per counted token */
  int64_t loss_sum;     /* exact, in units of 2^-32 nats */
  int64_t tokens;       /* counted targets */
  double gradient_norm; /* before clipping */
  double lr;
  uint64_t signature;  /* of the total */
  uint64_t state_hash; /* gw_trainer_hash after this step, taken of every value as it was written */
} GwStepReport;

/* Verifies that the total's signature equals the sum of the lanes' (GW_NUMERIC: memory or a kernel
 * is wrong) and updates the parameters. `step` counts from 0. */
GwStatus gw_trainer_end(GwTrainer *trainer, int64_t step, GwStepReport *out);

/* Tests only: sees every op of the lane program. */
void gw_trainer_observe(GwTrainer *trainer, const GwObserver *observer);

#endif
