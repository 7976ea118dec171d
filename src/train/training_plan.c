/* Builds every program that a training run builds and adds up their buffers. Parameters, moments
 * and sums are there once. The programs of a step and the evaluator never run at the same time:
 * they share one activation buffer and one scratch. A limit leaves what is not activations as it
 * is, and recomputation brings the activations down to the rest. */
#include "train/training_plan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "exec/kept_weights.h"
#include "infer/evaluate.h"

/* Running lanes at once takes sums and activations for each. It pays for small models, whose ops
 * are too short for several threads; for others it is not even tried. */
static const int64_t lane_bytes_max = INT64_C(256) << 20;

int32_t gw_training_read_ahead(int threads) { return 2 * threads; }

/* What a program needs of the memory that programs share. */
typedef struct {
  int64_t activations, inputs, scratch;
} Needs;

static Needs needs_of(const GwProgram *program, int threads) {
  return (Needs){program->class_bytes[GW_CLASS_ACTIVATION], program->class_bytes[GW_CLASS_INPUT],
                 threads * program->scratch_bytes};
}

static GwStatus needs_of_validation(const GwRecipe *recipe, int threads, int64_t batch,
                                    Needs *out) {
  GwLaneProgram loss;
  GW_TRY(gw_model_loss_program(&recipe->model, batch, &loss));
  *out = needs_of(&loss.program, threads);
  gw_program_deinit(&loss.program);
  return GW_OK;
}

static GwStatus share_out(const GwTrainingPart *part, GwTrainingPlan *plan) {
  int64_t *elements = calloc((size_t)plan->params.count, sizeof *elements);
  if (!elements) return gw_fail(GW_MEMORY, "no memory for the list of parameters");
  for (int i = 0; i < plan->params.count; i++)
    elements[i] = gw_type_count(&plan->params.params[i].type);
  GwStatus status = gw_shares_create(elements, plan->params.count, part->ranks, &plan->shares);
  free(elements);
  return status;
}

static GwStatus build_programs(const GwRecipe *recipe, const GwTrainingPart *part,
                               GwTrainingPlan *plan) {
  GW_TRY(gw_model_params(&recipe->model, &plan->params));
  GW_TRY(share_out(part, plan));
  GW_TRY(gw_step_lane_program(recipe, &plan->lane));
  GwTrainingShare share = {&plan->shares, part->rank, part->verify};
  return gw_step_programs_create(recipe, &plan->params, &share, &plan->steps);
}

static void add_up(GwTrainingMemory *memory) {
  memory->total = memory->params + memory->moments + memory->sums + memory->activations +
                  memory->inputs + memory->scratch + memory->packed;
}

/* `least` is exact: what is named, given as the limit, is enough. */
static GwStatus too_low(const GwRecipe *recipe, const GwTrainingMemory *least) {
  return gw_fail(
      GW_MEMORY,
      "train.memory_limit is %" PRId64 " bytes, but training '%s' takes at least %" PRId64
      ": parameters %.0f MB, moments %.0f MB, sums %.0f MB, activations %.0f MB (all that can be "
      "is computed again), inputs and kernels %.0f MB; raise it, or lower train.lane_batch, "
      "model.context or the model's size",
      recipe->train.memory_limit, recipe->name, least->total, (double)least->params * 1e-6,
      (double)least->moments * 1e-6, (double)least->sums * 1e-6, (double)least->activations * 1e-6,
      (double)(least->scratch + least->inputs + least->packed) * 1e-6);
}

/* All but the activations, with a number of windows to validate at once that is not too high. */
static void add_fixed(GwTrainingPlan *plan, int threads, const Needs *validation) {
  Needs lane = needs_of(&plan->lane.program, threads),
        total = needs_of(&plan->steps.total, threads);
  Needs update = needs_of(&plan->steps.update, threads);
  plan->scratch_bytes = gw_max_i64(gw_max_i64(lane.scratch, total.scratch),
                                   gw_max_i64(update.scratch, validation->scratch));
  plan->memory.params = plan->lane.program.class_bytes[GW_CLASS_PARAM];
  plan->memory.moments = plan->steps.update.class_bytes[GW_CLASS_STATE];
  plan->memory.sums = plan->steps.total.class_bytes[GW_CLASS_ACCUM];
  plan->memory.inputs = (1 + gw_training_read_ahead(threads)) * lane.inputs + total.inputs +
                        update.inputs + validation->inputs;
  plan->memory.scratch = plan->scratch_bytes;
  plan->memory.activations = 0;
  add_up(&plan->memory);
}

/* Activations: the lane's within what the limit leaves, and validation's. The evaluator takes fewer
 * windows at once where its usual number does not fit. */
static GwStatus plan_activations(const GwRecipe *recipe, int threads, GwTrainingPlan *plan) {
  int64_t limit = recipe->train.memory_limit, batch = gw_evaluator_batch(&recipe->model);
  Needs validation;
  GW_TRY(needs_of_validation(recipe, threads, batch, &validation));
  if (recipe->train.keep_packed && recipe->train.lanes > 1)
    GW_TRY(gw_kept_weights_bytes(&plan->lane.program, &plan->memory.packed));
  add_fixed(plan, threads, &validation);
  int64_t room = limit > 0 ? gw_max_i64(limit - plan->memory.total, 0) : INT64_MAX;
  GW_TRY(gw_lane_program_fit(&plan->lane, room, &plan->recomputation));
  while (batch > 1 && validation.activations > room) {
    batch = gw_ceil_div(batch, 2);
    GW_TRY(needs_of_validation(recipe, threads, batch, &validation));
  }
  Needs lane = needs_of(&plan->lane.program, threads),
        total = needs_of(&plan->steps.total, threads);
  Needs update = needs_of(&plan->steps.update, threads);
  plan->validation_batch = batch;
  plan->workspace_bytes = gw_max_i64(gw_max_i64(lane.activations, validation.activations),
                                     gw_max_i64(total.activations, update.activations));
  plan->memory.activations = plan->workspace_bytes;
  add_up(&plan->memory);
  return limit > 0 && plan->memory.total > limit ? too_low(recipe, &plan->memory) : GW_OK;
}

/* How many lanes may run at once: the first in the memory that is there, each other in its own. */
static void plan_lanes(const GwRecipe *recipe, const GwTrainingPart *part, GwTrainingPlan *plan) {
  Needs lane = needs_of(&plan->lane.program, 1);
  int64_t sums = plan->lane.program.class_bytes[GW_CLASS_ACCUM];
  int64_t each = lane.activations + lane.inputs + lane.scratch + sums;
  int64_t limit = recipe->train.memory_limit;
  int64_t most = recipe->train.lanes / part->ranks; /* that every rank gets */
  int64_t others = gw_min_i64(part->threads, gw_max_i64(most, 1)) - 1;
  plan->lanes_at_once = 1;
  if (each > lane_bytes_max) return;
  if (limit > 0 && each * others > limit - plan->memory.total) return;
  plan->lanes_at_once += (int32_t)others;
  plan->lanes_bytes = others * each;
  plan->memory.sums += others * sums;
  plan->memory.activations += others * lane.activations;
  plan->memory.inputs += others * lane.inputs;
  plan->memory.scratch += others * lane.scratch;
  add_up(&plan->memory);
}

GwStatus gw_training_plan_create(const GwRecipe *recipe, const GwTrainingPart *part,
                                 GwTrainingPlan *out) {
  *out = (GwTrainingPlan){0};
  GwStatus status = build_programs(recipe, part, out);
  if (status == GW_OK) status = plan_activations(recipe, part->threads, out);
  if (status != GW_OK) {
    gw_training_plan_destroy(out);
    return status;
  }
  plan_lanes(recipe, part, out);
  return GW_OK;
}

void gw_training_plan_destroy(GwTrainingPlan *plan) {
  gw_step_programs_destroy(&plan->steps);
  gw_program_deinit(&plan->lane.program);
  gw_shares_destroy(&plan->shares);
  gw_param_list_deinit(&plan->params);
  *plan = (GwTrainingPlan){0};
}

GwStatus gw_training_memory(const GwRecipe *recipe, int threads, GwTrainingMemory *out) {
  GwTrainingPlan plan;
  GwTrainingPart alone = {.ranks = 1, .threads = threads};
  GW_TRY(gw_training_plan_create(recipe, &alone, &plan));
  *out = plan.memory;
  gw_training_plan_destroy(&plan);
  return GW_OK;
}
