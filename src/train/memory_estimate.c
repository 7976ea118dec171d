/* Builds every program that a training run builds and adds up their buffers: parameters, moments
 * and sums are shared, everything else each runner has for itself (exec/runner.c). */
#include "train/memory_estimate.h"

#include "infer/evaluate.h"
#include "train/step_programs.h"

/* Inputs and activations. */
static int64_t working_bytes(const GwProgram *program) {
  return program->class_bytes[GW_CLASS_INPUT] + program->class_bytes[GW_CLASS_ACTIVATION];
}

static GwStatus add_lane(const GwRecipe *recipe, int threads, GwTrainingMemory *memory) {
  GwLaneProgram lane;
  GW_TRY(gw_step_lane_program(recipe, &lane));
  memory->params = lane.program.class_bytes[GW_CLASS_PARAM];
  memory->activations = working_bytes(&lane.program);
  memory->scratch += threads * lane.program.scratch_bytes;
  gw_program_deinit(&lane.program);
  return GW_OK;
}

static GwStatus add_steps(const GwRecipe *recipe, int threads, GwTrainingMemory *memory) {
  GwParamList params;
  GwStepPrograms steps;
  GW_TRY(gw_model_params(&recipe->model, &params));
  GwStatus status = gw_step_programs_create(recipe, &params, &steps);
  gw_param_list_deinit(&params);
  GW_TRY(status);
  memory->moments = steps.update.class_bytes[GW_CLASS_STATE];
  memory->sums = steps.total.class_bytes[GW_CLASS_ACCUM];
  memory->activations += working_bytes(&steps.total) + working_bytes(&steps.update);
  memory->scratch += threads * (steps.total.scratch_bytes + steps.update.scratch_bytes);
  gw_step_programs_destroy(&steps);
  return GW_OK;
}

static GwStatus add_validation(const GwRecipe *recipe, int threads, GwTrainingMemory *memory) {
  GwLaneProgram loss;
  GW_TRY(gw_model_loss_program(&recipe->model, gw_evaluator_batch(&recipe->model), &loss));
  memory->validation = working_bytes(&loss.program);
  memory->scratch += threads * loss.program.scratch_bytes;
  gw_program_deinit(&loss.program);
  return GW_OK;
}

GwStatus gw_training_memory(const GwRecipe *recipe, int threads, GwTrainingMemory *out) {
  GwTrainingMemory memory = {0};
  GW_TRY(add_lane(recipe, threads, &memory));
  GW_TRY(add_steps(recipe, threads, &memory));
  GW_TRY(add_validation(recipe, threads, &memory));
  memory.total = memory.params + memory.moments + memory.sums + memory.activations +
                 memory.validation + memory.scratch;
  *out = memory;
  return GW_OK;
}
