/* One buffer per class, shared by the three programs of a step. */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "op/constants.h"
#include "train/schedule.h"
#include "train/step_programs.h"

struct GwTrainer {
  const GwRecipe *recipe;
  GwPool *pool;
  GwParamList params;
  GwLaneProgram lane;
  GwStepPrograms steps;
  void *param_buffer, *state_buffer, *accum_buffer;
  size_t accum_bytes;
  GwRunner *lane_runner, *total_runner, *update_runner;
  GwTensor *tensors; /* of the three groups */
  GwTensorGroup groups[GW_STATE_GROUPS];
  uint64_t hash_seeds; /* sum of the state's tensors' */
  uint64_t signatures; /* sum over this step's lanes */
  bool fresh;          /* no lane is in the sums yet: what stands there is of an earlier step */
};

/* Names the state's tensors: the parameters, then their first and second moments. */
static GwStatus describe_state(GwTrainer *t) {
  static const char *const names[GW_STATE_GROUPS] = {"params", "adam_m", "adam_v"};
  t->tensors = calloc((size_t)(GW_STATE_GROUPS * t->params.count), sizeof *t->tensors);
  if (!t->tensors) return gw_fail(GW_MEMORY, "no memory for the list of tensors");
  for (int g = 0; g < GW_STATE_GROUPS; g++) {
    GwTensor *tensors = t->tensors + g * t->params.count;
    t->groups[g] = (GwTensorGroup){names[g], tensors, t->params.count};
    for (int i = 0; i < t->params.count; i++) {
      const GwParam *param = &t->params.params[i];
      char *base = g == 0 ? t->param_buffer : t->state_buffer;
      int64_t offset = g == 0 ? param->offset : gw_moment_offset(&t->params, param, g - 1);
      tensors[i] = (GwTensor){param->name, param->type, base + offset};
    }
  }
  return GW_OK;
}

/* What the update program hashes the new state with. */
static void set_hash_seeds(GwTrainer *t) {
  uint64_t *seeds = gw_runner_value(t->update_runner, t->steps.seeds);
  for (int i = 0; i < t->params.count; i++)
    for (int g = 0; g < GW_STATE_GROUPS; g++) {
      uint64_t seed = gw_state_hash_seed(&t->groups[g], &t->groups[g].tensors[i]);
      seeds[GW_STATE_GROUPS * i + g] = seed;
      t->hash_seeds += seed;
    }
}

static GwStatus create_buffers(GwTrainer *t) {
  t->accum_bytes = (size_t)t->steps.total.class_bytes[GW_CLASS_ACCUM];
  GW_ASSERT(t->accum_bytes >= (size_t)t->lane.program.class_bytes[GW_CLASS_ACCUM]);
  GW_ASSERT(t->steps.update.class_bytes[GW_CLASS_STATE] == 2 * t->params.bytes);
  t->param_buffer = gw_buffer_create((size_t)t->params.bytes);
  t->state_buffer = gw_buffer_create((size_t)(2 * t->params.bytes));
  t->accum_buffer = gw_buffer_create(t->accum_bytes);
  if (!t->param_buffer || !t->state_buffer || !t->accum_buffer)
    return gw_fail(GW_MEMORY, "no memory for %lld million parameters and their moments",
                   (long long)(t->params.elements / 1000000));
  return GW_OK;
}

static GwStatus create_runners(GwTrainer *t, const GwBackend *backend) {
  void *base[GW_CLASS_COUNT] = {[GW_CLASS_PARAM] = t->param_buffer,
                                [GW_CLASS_STATE] = t->state_buffer,
                                [GW_CLASS_ACCUM] = t->accum_buffer};
  GW_TRY(gw_runner_create(&t->lane.program, backend, t->pool, base, &t->lane_runner));
  GW_TRY(gw_runner_create(&t->steps.total, backend, t->pool, base, &t->total_runner));
  return gw_runner_create(&t->steps.update, backend, t->pool, base, &t->update_runner);
}

GwStatus gw_trainer_create(const GwRecipe *recipe, const GwBackend *backend, GwPool *pool,
                           GwTrainer **out) {
  GwTrainer *t = calloc(1, sizeof *t);
  if (!t) return gw_fail(GW_MEMORY, "no memory for a trainer");
  t->recipe = recipe;
  t->pool = pool;
  GwStatus status;
  GW_TRY_GOTO(status, gw_model_params(&recipe->model, &t->params), failed);
  GW_TRY_GOTO(status, gw_step_lane_program(recipe, &t->lane), failed);
  GW_TRY_GOTO(status, gw_step_programs_create(recipe, &t->params, &t->steps), failed);
  GW_TRY_GOTO(status, create_buffers(t), failed);
  GW_TRY_GOTO(status, create_runners(t, backend), failed);
  GW_TRY_GOTO(status, describe_state(t), failed);
  set_hash_seeds(t);
  gw_model_init(&recipe->model, &t->params, recipe->train.seed, pool, t->param_buffer);
  *out = t;
  return GW_OK;
failed:
  gw_trainer_destroy(t);
  return status;
}

void gw_trainer_destroy(GwTrainer *t) {
  if (!t) return;
  gw_runner_destroy(t->update_runner);
  gw_runner_destroy(t->total_runner);
  gw_runner_destroy(t->lane_runner);
  gw_buffer_destroy(t->accum_buffer);
  gw_buffer_destroy(t->state_buffer);
  gw_buffer_destroy(t->param_buffer);
  gw_step_programs_destroy(&t->steps);
  gw_program_deinit(&t->lane.program);
  gw_param_list_deinit(&t->params);
  free(t->tensors);
  free(t);
}

const GwTensorGroup *gw_trainer_state(const GwTrainer *t) { return t->groups; }
void *gw_trainer_params(const GwTrainer *t) { return t->param_buffer; }
int64_t gw_trainer_param_count(const GwTrainer *t) { return t->params.elements; }
int64_t gw_trainer_param_bytes(const GwTrainer *t) { return t->params.bytes; }
const GwProgram *gw_trainer_lane_program(const GwTrainer *t) { return &t->lane.program; }

uint64_t gw_trainer_hash(const GwTrainer *t, int64_t step) {
  return gw_state_hash(t->groups, GW_STATE_GROUPS, step);
}

void gw_trainer_observe(GwTrainer *t, const GwObserver *observer) {
  gw_runner_observe(t->lane_runner, observer);
}

GwLaneInputs gw_trainer_inputs(const GwTrainer *t) {
  return (GwLaneInputs){gw_runner_value(t->lane_runner, t->lane.tokens),
                        gw_runner_value(t->lane_runner, t->lane.targets),
                        gw_runner_value(t->lane_runner, t->lane.positions)};
}

void gw_trainer_begin(GwTrainer *t) {
  memset(gw_runner_value(t->lane_runner, t->lane.tally), 0, 3 * sizeof(int64_t));
  memset(gw_runner_value(t->lane_runner, t->lane.guard), 0, sizeof(int64_t));
  memset(gw_runner_value(t->total_runner, t->steps.total_signature), 0, sizeof(uint64_t));
  t->signatures = 0;
  t->fresh = true;
}

GwStatus gw_trainer_lane(GwTrainer *t, int64_t step, int32_t lane, uint64_t *signature) {
  uint64_t *of_lane = gw_runner_value(t->lane_runner, t->lane.signature);
  const int64_t *guard = gw_runner_value(t->lane_runner, t->lane.guard);
  const int64_t *tally = gw_runner_value(t->lane_runner, t->lane.tally);
  *of_lane = 0;
  *(int32_t *)gw_runner_value(t->lane_runner, t->lane.fresh) = t->fresh;
  t->fresh = false;
  GW_TRY(gw_runner_run(t->lane_runner, (GwLaneKey){t->recipe->train.seed, step, lane}));
  if (*guard != 0 || tally[2] != 0)
    return gw_fail(GW_NUMERIC,
                   "step %lld, lane %d: %lld gradients and %lld losses were NaN or out of range; "
                   "try a lower train.optimizer.lr or a longer warm-up",
                   (long long)step + 1, lane, (long long)*guard, (long long)tally[2]);
  t->signatures += *of_lane;
  *signature = *of_lane;
  return GW_OK;
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
  const int64_t *tally = gw_runner_value(t->lane_runner, t->lane.tally);
  if (tally[1] == 0) return gw_fail(GW_INVALID, "step %lld has no targets", (long long)step + 1);
  double *hyper = gw_runner_value(t->total_runner, t->steps.total_hyper);
  set_hyper(t, step, tally[1], hyper);
  memcpy(gw_runner_value(t->update_runner, t->steps.update_hyper), hyper, 8 * sizeof *hyper);
  GwLaneKey key = {t->recipe->train.seed, step, 0};
  GW_TRY(gw_runner_run(t->total_runner, key));
  uint64_t total = *(uint64_t *)gw_runner_value(t->total_runner, t->steps.total_signature);
  if (total != t->signatures)
    return gw_fail(
        GW_NUMERIC,
        "step %lld: the signature of the gradient total does not equal the sum of its "
        "lanes' signatures: memory or a kernel changed it; resume from the last checkpoint",
        (long long)step + 1);
  uint64_t *hash = gw_runner_value(t->update_runner, t->steps.state_hash);
  *hash = 0;
  GW_TRY(gw_runner_run(t->update_runner, key));
  const double *norm = gw_runner_value(t->update_runner, t->steps.norm_and_scale);
  *out = (GwStepReport){.loss = (double)tally[0] * GW_LOSS_UNIT / (double)tally[1],
                        .loss_sum = tally[0],
                        .tokens = tally[1],
                        .gradient_norm = norm[0],
                        .lr = hyper[0],
                        .signature = total,
                        .state_hash = gw_mix64((uint64_t)step + 1) + t->hash_seeds + *hash};
  return GW_OK;
}
