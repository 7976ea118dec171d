/* The programs of a step. The lane program is the model's; the second half works on the exact
 * totals of all lanes:
 *   total   signs the totals (to be compared with the lanes' signatures) and sums their squares
 *   update  clips by the global norm, applies AdamW, parameter by parameter, and hashes the state
 * They share the buffers of the lane program: params; accum (tally, sums, signature, guard, then
 * what `total` adds); state (first moments, then second). */
#ifndef GW_STEP_PROGRAMS_H
#define GW_STEP_PROGRAMS_H

#include "model/model.h"
#include "state/shares.h"

/* Which part of the step's second half a rank does. */
typedef struct {
  const GwShares *shares; /* of the parameters, in order */
  int32_t rank;           /* whose share it is */
  bool verify;            /* that the state is still what was written to it */
} GwTrainingShare;

/* Of the state: new parameters, new moments; where they are verified: the same of the old ones. */
enum { GW_STATE_HASHES = 4 };

typedef struct {
  GwProgram total, update;
  GwValueId total_hyper, update_hyper; /* f64 [8], see op/optimizer.c */
  GwValueId total_signature;           /* in `total`: u64 [1] */
  GwValueId squares;                   /* in `total`: f64, one per block of every parameter */
  GwValueId norm_and_scale;            /* in `update`: f64 [2] */
  GwValueId
      seeds; /* in `update`: u64 [3 per parameter], gw_state_hash_seed of it and its moments */
  GwValueId state_hash; /* in `update`: u64 [GW_STATE_HASHES], grow by the hashes of the share */
} GwStepPrograms;

/* The lane program that training with this recipe runs. */
GwStatus gw_step_lane_program(const GwRecipe *recipe, GwLaneProgram *out);

GwStatus gw_step_programs_create(const GwRecipe *recipe, const GwParamList *params,
                                 const GwTrainingShare *share, GwStepPrograms *out);
void gw_step_programs_destroy(GwStepPrograms *programs);

/* The first square of a tensor; with params->count: their number. */
int64_t gw_square_blocks_before(const GwParamList *params, int tensor);

/* Where the first and second moment of a parameter stand in the state buffer, bytes. */
int64_t gw_moment_offset(const GwParamList *params, const GwParam *param, int which);

#endif
