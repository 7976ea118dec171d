/* Builds the total and update programs from the list of parameters. */
#include "train/step_programs.h"

#include "base/arena.h"
#include "op/constants.h"
#include "pass/memory_plan.h"

GwStatus gw_step_lane_program(const GwRecipe *recipe, GwLaneProgram *out) {
  /* Totals of all lanes must stay inside Q19.44. A tied matrix gets two contributions per lane,
   * which this keeps below 2^18: a sign and one more bit are left. */
  double limit = 0x1p17 / recipe->train.lanes;
  return gw_model_lane_program(&recipe->model, recipe->train.lane_batch, limit, out);
}

/* Declares the accum class as the lane program laid it out; sums[i] gets each parameter's. */
static void declare_sums(GwProgram *p, const GwParamList *params, GwValueId *sums) {
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 3), "tally");
  for (int i = 0; i < params->count; i++) {
    GwType type = params->params[i].type;
    type.dtype = GW_I64;
    sums[i] = gw_value_add(p, GW_CLASS_ACCUM, type, params->params[i].name);
  }
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "signature");
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 1), "guard");
}

static int64_t square_blocks(const GwParam *param) {
  return gw_ceil_div(gw_type_count(&param->type), GW_SQUARE_BLOCK);
}

static GwValueId declare_squares(GwProgram *p, const GwParamList *params) {
  int64_t blocks = 0;
  for (int i = 0; i < params->count; i++) blocks += square_blocks(&params->params[i]);
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "total_signature");
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "state_hash");
  return gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_F64, blocks), "squares");
}

static void build_total(const GwParamList *params, GwStepPrograms *out, GwValueId *sums) {
  GwProgram *p = &out->total;
  gw_program_init(p, "total");
  out->total_hyper = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 8), "hyper");
  declare_sums(p, params, sums);
  GwValueId squares = declare_squares(p, params);
  out->total_signature = gw_value_find(p, GW_CLASS_ACCUM, "total_signature");
  int64_t block = 0;
  for (int i = 0; i < params->count; i++) {
    const GwParam *param = &params->params[i];
    gw_emit(p, GW_OP_SIGN_SQUARES, GW_IN(sums[i], out->total_hyper, out->total_signature, squares),
            GW_ATTR((double)(param->offset / 4), (double)block));
    block += square_blocks(param);
  }
}

int64_t gw_moment_offset(const GwParamList *params, const GwParam *param, int which) {
  return which * params->bytes + param->offset;
}

/* Matrices decay; norms and biases do not; embeddings as the recipe says. */
static double decay_of(const GwRecipe *recipe, const GwParam *param) {
  const GwOptimizerRecipe *optimizer = &recipe->train.optimizer;
  if (param->type.rank < 2) return 0;
  return param->embedding && !optimizer->decay_embeddings ? 0 : optimizer->weight_decay;
}

static void build_update(const GwRecipe *recipe, const GwParamList *params, GwStepPrograms *out,
                         GwValueId *ids) {
  GwProgram *p = &out->update;
  GwValueId *sums = ids, *values = ids + params->count, *moments = ids + 2 * params->count;
  gw_program_init(p, "update");
  out->update_hyper = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 8), "hyper");
  out->seeds = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_U64, 3 * params->count), "seeds");
  declare_sums(p, params, sums);
  GwValueId squares = declare_squares(p, params);
  out->state_hash = gw_value_find(p, GW_CLASS_ACCUM, "state_hash");
  for (int i = 0; i < params->count; i++)
    values[i] = gw_value_add(p, GW_CLASS_PARAM, params->params[i].type, params->params[i].name);
  for (int k = 0; k < 2 * params->count; k++) {
    const GwParam *param = &params->params[k % params->count];
    char name[GW_NAME_MAX + 2];
    snprintf(name, sizeof name, "%c.%s", k < params->count ? 'm' : 'v', param->name);
    moments[k] = gw_value_add(p, GW_CLASS_STATE, param->type, name);
  }
  out->norm_and_scale = gw_emit(p, GW_OP_CLIP, GW_IN(squares, out->update_hyper), GW_ATTR(0));
  for (int i = 0; i < params->count; i++)
    gw_emit(p, GW_OP_ADAMW,
            GW_IN(values[i], moments[i], moments[params->count + i], sums[i], out->update_hyper,
                  out->norm_and_scale, out->seeds, out->state_hash),
            GW_ATTR(decay_of(recipe, &params->params[i]), i));
}

GwStatus gw_step_programs_create(const GwRecipe *recipe, const GwParamList *params,
                                 GwStepPrograms *out) {
  *out = (GwStepPrograms){0};
  GwArena arena;
  gw_arena_init(&arena);
  GwValueId *ids = GW_ARENA_ARRAY(&arena, GwValueId, 4 * params->count);
  GwStatus status = ids ? GW_OK : gw_fail(GW_MEMORY, "no memory for the step's programs");
  if (status == GW_OK) {
    build_total(params, out, ids);
    build_update(recipe, params, out, ids);
    status = out->total.status != GW_OK ? out->total.status : out->update.status;
  }
  if (status == GW_OK) status = gw_plan_memory(&out->total);
  if (status == GW_OK) status = gw_plan_memory(&out->update);
  gw_arena_deinit(&arena);
  if (status != GW_OK) gw_step_programs_destroy(out);
  return status;
}

void gw_step_programs_destroy(GwStepPrograms *programs) {
  gw_program_deinit(&programs->total);
  gw_program_deinit(&programs->update);
}
