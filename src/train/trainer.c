/* One buffer per class, shared by the three programs of a step; activations and scratch are shared
 * by all that does not run at the same time. */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "op/constants.h"
#include "os/clock.h"
#include "os/probe.h"
#include "train/schedule.h"

struct GwTrainer {
  const GwRecipe *recipe;
  const GwBackend *backend;
  GwPool *pool;
  GwTrainingPlan plan;
  GwWorkspace workspace;
  void *param_buffer, *state_buffer, *accum_buffer;
  size_t accum_bytes;
  GwRunner *lane_runner, *total_runner, *update_runner;
  GwLaneSeats *seats; /* NULL: one lane at a time */
  GwWayChoice way;
  GwTensor *tensors; /* of the three groups */
  GwTensorGroup groups[GW_STATE_GROUPS];
  uint64_t hash_seeds; /* sum of the state's tensors' */
  uint64_t signatures; /* sum over this step's lanes */
  bool fresh;          /* no lane is in the sums yet: what stands there is of an earlier step */
};

/* Names the state's tensors: the parameters, then their first and second moments. */
static GwStatus describe_state(GwTrainer *t) {
  static const char *const names[GW_STATE_GROUPS] = {"params", "adam_m", "adam_v"};
  t->tensors = calloc((size_t)(GW_STATE_GROUPS * t->plan.params.count), sizeof *t->tensors);
  if (!t->tensors) return gw_fail(GW_MEMORY, "no memory for the list of tensors");
  for (int g = 0; g < GW_STATE_GROUPS; g++) {
    GwTensor *tensors = t->tensors + g * t->plan.params.count;
    t->groups[g] = (GwTensorGroup){names[g], tensors, t->plan.params.count};
    for (int i = 0; i < t->plan.params.count; i++) {
      const GwParam *param = &t->plan.params.params[i];
      char *base = g == 0 ? t->param_buffer : t->state_buffer;
      int64_t offset = g == 0 ? param->offset : gw_moment_offset(&t->plan.params, param, g - 1);
      tensors[i] = (GwTensor){param->name, param->type, base + offset};
    }
  }
  return GW_OK;
}

/* What the update program hashes the new state with. */
static void set_hash_seeds(GwTrainer *t) {
  uint64_t *seeds = gw_runner_value(t->update_runner, t->plan.steps.seeds);
  for (int i = 0; i < t->plan.params.count; i++)
    for (int g = 0; g < GW_STATE_GROUPS; g++) {
      uint64_t seed = gw_state_hash_seed(&t->groups[g], &t->groups[g].tensors[i]);
      seeds[GW_STATE_GROUPS * i + g] = seed;
      t->hash_seeds += seed;
    }
}

static GwStatus create_buffers(GwTrainer *t) {
  t->accum_bytes = (size_t)t->plan.steps.total.class_bytes[GW_CLASS_ACCUM];
  GW_ASSERT(t->accum_bytes >= (size_t)t->plan.lane.program.class_bytes[GW_CLASS_ACCUM]);
  GW_ASSERT(t->plan.steps.update.class_bytes[GW_CLASS_STATE] == 2 * t->plan.params.bytes);
  t->param_buffer = gw_buffer_create((size_t)t->plan.params.bytes);
  t->state_buffer = gw_buffer_create((size_t)(2 * t->plan.params.bytes));
  t->accum_buffer = gw_buffer_create(t->accum_bytes);
  t->workspace.activations = gw_buffer_create((size_t)t->plan.workspace_bytes);
  t->workspace.scratch = gw_buffer_create((size_t)t->plan.scratch_bytes);
  if (!t->workspace.activations || !t->workspace.scratch)
    return gw_fail(GW_MEMORY, "no memory for activations and scratch of %lld MB",
                   (long long)((t->plan.workspace_bytes + t->plan.scratch_bytes) / 1000000));
  if (!t->param_buffer || !t->state_buffer || !t->accum_buffer)
    return gw_fail(GW_MEMORY, "no memory for %lld million parameters and their moments",
                   (long long)(t->plan.params.elements / 1000000));
  return GW_OK;
}

static GwStatus create_runners(GwTrainer *t) {
  void *base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = t->param_buffer,
                                [GW_CLASS_STATE] = t->state_buffer,
                                [GW_CLASS_ACCUM] = t->accum_buffer};
  const GwWorkspace *shared = &t->workspace;
  GW_TRY(gw_runner_create_in(shared, &t->plan.lane.program, t->backend, t->pool, base,
                             &t->lane_runner));
  if (t->plan.memory.packed > 0) GW_TRY(gw_runner_keep_weights(t->lane_runner));
  GW_TRY(gw_runner_create_in(shared, &t->plan.steps.total, t->backend, t->pool, base,
                             &t->total_runner));
  return gw_runner_create_in(shared, &t->plan.steps.update, t->backend, t->pool, base,
                             &t->update_runner);
}

static void stay_inside(GwTrainer *t) {
  gw_lane_seats_destroy(t->seats);
  t->seats = NULL;
  t->way.chosen = GW_WAY_INSIDE;
}

/* Lanes at once are for speed only: without free memory for them there are none. */
static bool lanes_fit(const GwTrainingPlan *plan) {
  uint64_t available = gw_probe_memory_available_bytes();
  return plan->lanes_at_once > 1 && (available == 0 || (uint64_t)plan->memory.total <= available);
}

/* The first seat takes the place of the runner of single lanes: its inputs, sums and workspace. */
static GwStatus create_seats(GwTrainer *t) {
  if (!lanes_fit(&t->plan)) {
    stay_inside(t);
    return GW_OK;
  }
  const GwLaneProgram *lane = &t->plan.lane;
  char *tokens = gw_runner_value(t->lane_runner, lane->tokens);
  void *base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = t->param_buffer,
                                [GW_CLASS_ACCUM] = t->accum_buffer,
                                [GW_CLASS_INPUT] =
                                    tokens - lane->program.values[lane->tokens].offset};
  return gw_lane_seats_create(&t->plan, t->backend, t->pool, &t->workspace, base, &t->seats);
}

GwStatus gw_trainer_create(const GwRecipe *recipe, const GwBackend *backend, GwPool *pool,
                           GwTrainer **out) {
  GwTrainer *t = calloc(1, sizeof *t);
  if (!t) return gw_fail(GW_MEMORY, "no memory for a trainer");
  t->recipe = recipe;
  t->backend = backend;
  t->pool = pool;
  GwStatus status;
  GW_TRY_GOTO(status, gw_training_plan_create(recipe, gw_pool_threads(pool), &t->plan), failed);
  GW_TRY_GOTO(status, create_buffers(t), failed);
  GW_TRY_GOTO(status, create_runners(t), failed);
  GW_TRY_GOTO(status, create_seats(t), failed);
  GW_TRY_GOTO(status, describe_state(t), failed);
  set_hash_seeds(t);
  gw_model_init(&recipe->model, &t->plan.params, recipe->train.seed, pool, t->param_buffer);
  *out = t;
  return GW_OK;
failed:
  gw_trainer_destroy(t);
  return status;
}

void gw_trainer_destroy(GwTrainer *t) {
  if (!t) return;
  gw_lane_seats_destroy(t->seats);
  gw_runner_destroy(t->update_runner);
  gw_runner_destroy(t->total_runner);
  gw_runner_destroy(t->lane_runner);
  gw_buffer_destroy(t->workspace.scratch);
  gw_buffer_destroy(t->workspace.activations);
  gw_buffer_destroy(t->accum_buffer);
  gw_buffer_destroy(t->state_buffer);
  gw_buffer_destroy(t->param_buffer);
  gw_training_plan_destroy(&t->plan);
  free(t->tensors);
  free(t);
}

const GwTensorGroup *gw_trainer_state(const GwTrainer *t) { return t->groups; }
void *gw_trainer_params(const GwTrainer *t) { return t->param_buffer; }
int64_t gw_trainer_param_count(const GwTrainer *t) { return t->plan.params.elements; }
int64_t gw_trainer_param_bytes(const GwTrainer *t) { return t->plan.params.bytes; }
const GwProgram *gw_trainer_lane_program(const GwTrainer *t) { return &t->plan.lane.program; }
const GwTrainingPlan *gw_trainer_plan(const GwTrainer *t) { return &t->plan; }
const GwWorkspace *gw_trainer_workspace(const GwTrainer *t) { return &t->workspace; }
const GwWayChoice *gw_trainer_way(const GwTrainer *t) { return &t->way; }

uint64_t gw_trainer_hash(const GwTrainer *t, int64_t step) {
  return gw_state_hash(t->groups, GW_STATE_GROUPS, step);
}

void gw_trainer_observe(GwTrainer *t, const GwObserver *observer) {
  gw_runner_observe(t->lane_runner, observer);
  if (t->seats) gw_lane_seats_observe(t->seats, observer);
}

GwStatus gw_trainer_verify_products(GwTrainer *t) {
  GW_TRY(gw_runner_verify_products(t->lane_runner));
  return t->seats ? gw_lane_seats_verify_products(t->seats) : GW_OK;
}

GwLaneInputs gw_trainer_inputs(const GwTrainer *t) {
  return gw_lane_inputs(&t->plan.lane, t->lane_runner);
}

void gw_trainer_begin(GwTrainer *t) {
  gw_lane_clear(&t->plan.lane, t->lane_runner);
  memset(gw_runner_value(t->total_runner, t->plan.steps.total_signature), 0, sizeof(uint64_t));
  t->signatures = 0;
  t->fresh = true;
}

GwStatus gw_trainer_lane(GwTrainer *t, int64_t step, int32_t lane, uint64_t *signature) {
  GwLaneKey key = {t->recipe->train.seed, step, lane};
  bool fresh = t->fresh;
  t->fresh = false;
  GW_TRY(gw_lane_run(&t->plan.lane, t->lane_runner, key, fresh, signature));
  t->signatures += *signature;
  return GW_OK;
}

static GwStatus one_after_the_other(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                                    uint64_t *signatures) {
  for (int32_t lane = 0; lane < t->recipe->train.lanes; lane++) {
    GW_TRY(source(context, step, lane, gw_trainer_inputs(t)));
    GW_TRY(gw_trainer_lane(t, step, lane, &signatures[lane]));
  }
  return GW_OK;
}

static GwStatus several_at_once(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                                uint64_t *signatures) {
  GwLaneKey key = {t->recipe->train.seed, step, 0};
  int32_t lanes = t->recipe->train.lanes;
  GW_ASSERT(t->fresh);
  t->fresh = false;
  GW_TRY(gw_lane_seats_run(t->seats, key, lanes, source, context, signatures));
  for (int32_t lane = 0; lane < lanes; lane++) t->signatures += signatures[lane];
  return GW_OK;
}

GwStatus gw_trainer_lanes(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                          uint64_t *signatures) {
  bool inside = gw_way_next(&t->way) == GW_WAY_INSIDE;
  uint64_t start = gw_clock_ns();
  if (inside)
    GW_TRY(one_after_the_other(t, step, source, context, signatures));
  else
    GW_TRY(several_at_once(t, step, source, context, signatures));
  gw_way_took(&t->way, gw_clock_ns() - start);
  if (t->way.chosen == GW_WAY_INSIDE && t->seats) stay_inside(t);
  return GW_OK;
}

void gw_trainer_set_way(GwTrainer *t, GwLaneWay way) {
  t->way = (GwWayChoice){.chosen = t->seats ? way : GW_WAY_INSIDE};
}

void gw_trainer_add(GwTrainer *t, const GwTrainer *other) {
  if (other->fresh) return;
  int64_t *to = t->accum_buffer;
  const int64_t *from = other->accum_buffer;
  for (size_t i = 0; i < t->accum_bytes / sizeof *to; i++)
    to[i] = (int64_t)((t->fresh ? 0 : (uint64_t)to[i]) + (uint64_t)from[i]);
  t->fresh = false;
  t->signatures += other->signatures;
}

/* What the optimizer's ops read; see op/optimizer.c. */
static void set_hyper(const GwTrainer *t, int64_t step, int64_t tokens, double hyper[8]) {
  const GwOptimizerRecipe *o = &t->recipe->train.optimizer;
  double capacity = (double)t->recipe->train.lane_batch * t->recipe->model.context;
  hyper[0] = gw_schedule_lr(&t->recipe->train, step);
  hyper[1] = o->beta1;
  hyper[2] = o->beta2;
  hyper[3] = o->epsilon;
  hyper[4] = 1 / (1 - gw_power_f64(o->beta1, (long)step + 1));
  hyper[5] = 1 / (1 - gw_power_f64(o->beta2, (long)step + 1));
  hyper[6] = GW_FIXED_UNIT * capacity / (double)tokens;
  hyper[7] = o->clip_norm;
}

GwStatus gw_trainer_end(GwTrainer *t, int64_t step, GwStepReport *out) {
  const int64_t *tally = gw_runner_value(t->lane_runner, t->plan.lane.tally);
  if (tally[1] == 0) return gw_fail(GW_INVALID, "step %lld has no targets", (long long)step + 1);
  double *hyper = gw_runner_value(t->total_runner, t->plan.steps.total_hyper);
  set_hyper(t, step, tally[1], hyper);
  memcpy(gw_runner_value(t->update_runner, t->plan.steps.update_hyper), hyper, 8 * sizeof *hyper);
  GwLaneKey key = {t->recipe->train.seed, step, 0};
  GW_TRY(gw_runner_run(t->total_runner, key));
  uint64_t total = *(uint64_t *)gw_runner_value(t->total_runner, t->plan.steps.total_signature);
  if (total != t->signatures)
    return gw_fail(
        GW_NUMERIC,
        "step %lld: the signature of the gradient total does not equal the sum of its "
        "lanes' signatures: memory or a kernel changed it; resume from the last checkpoint",
        (long long)step + 1);
  uint64_t *hash = gw_runner_value(t->update_runner, t->plan.steps.state_hash);
  *hash = 0;
  GW_TRY(gw_runner_run(t->update_runner, key));
  const double *norm = gw_runner_value(t->update_runner, t->plan.steps.norm_and_scale);
  *out = (GwStepReport){.loss = (double)tally[0] * GW_LOSS_UNIT / (double)tally[1],
                        .loss_sum = tally[0],
                        .tokens = tally[1],
                        .gradient_norm = norm[0],
                        .lr = hyper[0],
                        .signature = total,
                        .state_hash = gw_mix64((uint64_t)step + 1) + t->hash_seeds + *hash};
  return GW_OK;
}
