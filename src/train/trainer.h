/* The trainer: the computation of a run without its folder. Parameters, moments and exact sums in
 * memory; a step is begin, any lanes in any order, end. What a lane adds is a pure function of
 * (parameters, step, lane, data), and sums are integers, so which lanes are computed here and which
 * are added from another trainer cannot change a bit. */
#ifndef GW_TRAINER_H
#define GW_TRAINER_H

#include "exec/runner.h"
#include "model/model.h"
#include "state/checkpoint.h"
#include "train/exchange.h"
#include "train/lane_run.h"
#include "train/lane_way.h"

typedef struct GwTrainer GwTrainer;

/* Parameters at their initial values, moments zero. The recipe's vocab_size must be set. `backend`,
 * `pool` and `recipe` are borrowed. GW_MEMORY when the recipe's memory_limit is too low. */
GwStatus gw_trainer_create(const GwRecipe *recipe, const GwBackend *backend, GwPool *pool,
                           GwTrainer **out);
/* The same for one of several ranks, all of its state zero; collective. Each step, sums are
 * totalled and parameters updated a slice per rank; the ranks of a node hold one copy of the state.
 * `verify`: at each step, that the state is what was written to it. `world` is borrowed, and may be
 * NULL. */
GwStatus gw_trainer_create_in(GwWorld *world, const GwRecipe *recipe, const GwBackend *backend,
                              GwPool *pool, bool verify, GwTrainer **out);
void gw_trainer_destroy(GwTrainer *trainer);
/* The parameters at their initial values: minutes of work for a large model, so for runs that begin
 * with it. A node's first rank fills them in, the others do nothing; the caller lets all meet, and
 * calls gw_trainer_state_changed. */
void gw_trainer_init(GwTrainer *trainer);

/* The full training state: params, adam_m, adam_v. Pointers live as long as the trainer. */
enum { GW_STATE_GROUPS = 3 };
extern const char *const gw_state_names[GW_STATE_GROUPS];
const GwTensorGroup *gw_trainer_state(const GwTrainer *trainer);
uint64_t gw_trainer_hash(const GwTrainer *trainer, int64_t step);
void *gw_trainer_params(const GwTrainer *trainer);
int64_t gw_trainer_param_count(const GwTrainer *trainer);
int64_t gw_trainer_param_bytes(const GwTrainer *trainer); /* of the buffer */
const GwProgram *gw_trainer_lane_program(const GwTrainer *trainer);
/* What it is made of; the workspace may be used by an evaluator while no lane runs. */
const GwTrainingPlan *gw_trainer_plan(const GwTrainer *trainer);
const GwWorkspace *gw_trainer_workspace(const GwTrainer *trainer);

/* From now on the products of lanes verify themselves: see gw_runner_verify_products. A fault ends
 * the lane with GW_NUMERIC. */
GwStatus gw_trainer_verify_products(GwTrainer *trainer);

/* Where the batch of the next gw_trainer_lane goes. */
GwLaneInputs gw_trainer_inputs(const GwTrainer *trainer);

/* A step begins, and whatever an unfinished one has left is forgotten. Its first lane replaces the
 * old sums, so nothing of their size is cleared. */
void gw_trainer_begin(GwTrainer *trainer);

/* One lane, of the batch in the inputs; see gw_lane_run. */
GwStatus gw_trainer_lane(GwTrainer *trainer, int64_t step, int32_t lane, uint64_t *signature);

/* All lanes of a step that are dealt to this rank: the same bits as gw_trainer_lane for each. See
 * gw_lane_seats_run. `signatures`: [lanes], kept until gw_trainer_end, which completes them. */
GwStatus gw_trainer_lanes(GwTrainer *trainer, int64_t step, GwLaneSource *source, void *context,
                          uint64_t *signatures);

/* How gw_trainer_lanes uses the threads: measured in the first steps unless it is set (for tests).
 * Several lanes at once need more than one thread and lane, and a plan that allows it. */
void gw_trainer_set_way(GwTrainer *trainer, GwLaneWay way);
const GwWayChoice *gw_trainer_way(const GwTrainer *trainer);

/* From now on this rank computes lanes [first, last), at least one; at first all. */
void gw_trainer_deal(GwTrainer *trainer, int32_t first, int32_t last);

/* Every node gets the moments of all; on one node it has them. Collective. */
GwStatus gw_trainer_gather(GwTrainer *trainer);

/* The state was written to from outside: what is there now counts as right. */
void gw_trainer_state_changed(GwTrainer *trainer);

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
 * is wrong; gw_trainer_accused may know whose) and updates the parameters. `step` counts from 0.
 * Collective; `notes` as in gw_exchange_params, NULL: none. */
GwStatus gw_trainer_end(GwTrainer *trainer, int64_t step, const GwNotes *notes, GwStepReport *out);

/* Time spent so far on moving sums and parameters between ranks. */
uint64_t gw_trainer_transfer_ns(const GwTrainer *trainer);

/* The rank whose fault a step ended with; -1: none, or nobody knows. */
int32_t gw_trainer_accused(const GwTrainer *trainer);

/* The state turned out to have changed since the last step was made: accuses the rank whose share
 * it is. For one who has the moments of all (gw_trainer_gather); not collective. */
void gw_trainer_accuse(GwTrainer *trainer);

/* Where tests and injected faults (guard/inject.h) may lay hands on a run. */
typedef enum {
  GW_MOMENT_BEGIN,   /* a step begins */
  GW_MOMENT_INPUT,   /* a lane is about to get its batch; on any thread */
  GW_MOMENT_LANES,   /* this rank's lanes are in its sums */
  GW_MOMENT_TOTAL,   /* its slice of the sums is total, not yet signed; still counts as transfer */
  GW_MOMENT_UPDATED, /* its slice of the state is new, not yet agreed on */
  GW_MOMENT_RECORD,  /* it is made, and about to be recorded by this rank */
  GW_MOMENT_MADE,    /* the step is made and recorded */
  GW_MOMENT_SAVE,    /* a checkpoint is about to be written by this rank */
  GW_MOMENT_SAVED,   /* it was */
} GwMoment;
typedef struct {
  void *self;
  /* `step` counts from 1; `trainer` is in the state of the moment. A failure ends the run. */
  GwStatus (*at)(void *self, GwMoment moment, int64_t step, GwTrainer *trainer);
  GwStatus (*op)(void *self, int32_t op); /* before each op of a lane, on any thread; or NULL */
} GwMomentHook;
/* Borrowed; NULL: none. The trainer calls it at LANES (in gw_trainer_end), TOTAL and UPDATED; `op`
 * is called by whoever observes the lanes. */
void gw_trainer_hook(GwTrainer *trainer, const GwMomentHook *hook);

/* The exact sums of this rank: where a test or an injected fault may change one. `slice`: the
 * elements [slice[0], slice[1]) are those it totals. */
int64_t *gw_trainer_sums(const GwTrainer *trainer, int64_t *count, int64_t slice[2]);

/* Before op `op` of the lane program, in the thread that runs the trainer: where this is the last
 * lane and there are several nodes, sums that are final go on their way. Else it does nothing. */
GwStatus gw_trainer_between(GwTrainer *trainer, int32_t op);

/* Sees every op of the lane program, on any thread. `observer` is borrowed. */
void gw_trainer_observe(GwTrainer *trainer, const GwObserver *observer);

#endif
