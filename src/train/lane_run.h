/* Running lanes: one with all threads inside its ops, or several at once on seats of one thread
 * each. Lanes are pure and sums are integers, so both give the same bits. */
#ifndef GW_LANE_RUN_H
#define GW_LANE_RUN_H

#include "exec/runner.h"
#include "train/training_plan.h"

/* Where a lane's batch goes: i32 [B·T] each. */
typedef struct {
  int32_t *tokens, *targets, *positions;
} GwLaneInputs;

/* Fills in the inputs of a lane. Several threads may call it at once, for lanes next to each other.
 */
typedef GwStatus GwLaneSource(void *context, int64_t step, int32_t lane, GwLaneInputs in);

GwLaneInputs gw_lane_inputs(const GwLaneProgram *lane, const GwRunner *runner);

/* Clears what lanes count: losses, targets, what was out of range. */
void gw_lane_clear(const GwLaneProgram *lane, const GwRunner *runner);

/* Forward and backward pass of the batch in the inputs, added to the runner's sums, or in place of
 * what stands there when `fresh`. *signature: the lane's. GW_NUMERIC when a gradient or loss was
 * NaN or out of the fixed-point range. */
GwStatus gw_lane_run(const GwLaneProgram *lane, GwRunner *runner, GwLaneKey key, bool fresh,
                     uint64_t *signature);

/* plan->lanes_at_once seats. Each has activations, inputs, scratch and sums of its own, but the
 * first uses those given: `base` and `workspace`, as for gw_runner_create_in. */
typedef struct GwLaneSeats GwLaneSeats;
GwStatus gw_lane_seats_create(GwTrainingPlan *plan, const GwBackend *backend, GwPool *pool,
                              const GwWorkspace *workspace, void *const base[GW_CLASS_COUNT],
                              GwLaneSeats **out);
void gw_lane_seats_destroy(GwLaneSeats *seats); /* NULL is fine */

/* Lanes [key.lane, end) of step key.step: the sums in base[GW_CLASS_ACCUM] become theirs, whatever
 * stood there. signatures[i]: lane i's. When lanes fail, the failure of the lowest is returned. */
GwStatus gw_lane_seats_run(GwLaneSeats *seats, GwLaneKey key, int32_t end, GwLaneSource *source,
                           void *context, uint64_t *signatures);

void gw_lane_seats_observe(GwLaneSeats *seats, const GwObserver *observer);
GwStatus gw_lane_seats_verify_products(GwLaneSeats *seats); /* see gw_runner_verify_products */

#endif
