/* Builds the total and update programs from the list of parameters and their pieces. */
#include "train/step_programs.h"

#include "base/arena.h"
#include "base/hash64.h"
#include "op/constants.h"
#include "pass/memory_plan.h"

GwStatus gw_step_lane_program(const GwRecipe *recipe, GwLaneProgram *out) {
  /* Totals of all lanes must stay inside Q19.44. A tied matrix gets two contributions per lane,
   * which this keeps below 2^18: a sign and one more bit are left. */
  double limit = 0x1p17 / recipe->train.lanes;
  return gw_model_lane_program(&recipe->model, recipe->train.lane_batch, limit, out);
}

/* What a piece is called: a whole tensor as itself. */
static void name_piece(const GwParam *param, const GwPiece *piece, char out[GW_NAME_MAX]) {
  if (piece->count == gw_type_count(&param->type))
    snprintf(out, GW_NAME_MAX, "%s", param->name);
  else
    snprintf(out, GW_NAME_MAX, "%.40s:%lld", param->name, (long long)piece->first);
}

static GwType piece_type(const GwParam *param, const GwPiece *piece, GwDtype dtype) {
  GwType type = param->type;
  if (piece->count != gw_type_count(&type)) type = gw_type_1d(dtype, piece->count);
  type.dtype = dtype;
  return type;
}

/* What the two programs are built from. Pieces are whole hash blocks, so they lie in the buffers as
 * the tensors do. */
typedef struct {
  const GwRecipe *recipe;
  const GwParamList *params;
  const GwTrainingShare *share;
  GwValueId *sums, *values, *moments; /* by piece */
} Build;

static int32_t first_piece(const Build *b) { return b->share->shares->begin[b->share->rank]; }
static int32_t end_piece(const Build *b) { return b->share->shares->begin[b->share->rank + 1]; }

/* Declares a value for every piece, whoever's it is. */
static void declare(GwProgram *p, const Build *b, GwClass class, GwDtype dtype, const char *prefix,
                    GwValueId *out) {
  const GwShares *shares = b->share->shares;
  for (int32_t i = 0; i < shares->count; i++) {
    const GwPiece *piece = &shares->pieces[i];
    const GwParam *param = &b->params->params[piece->tensor];
    char name[GW_NAME_MAX], full[GW_NAME_MAX + 2];
    name_piece(param, piece, name);
    snprintf(full, sizeof full, "%s%s", prefix, name);
    out[i] = gw_value_add(p, class, piece_type(param, piece, dtype), full);
  }
}

/* Declares the accum class as the lane program laid it out. */
static void declare_sums(GwProgram *p, const Build *b) {
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 3), "tally");
  declare(p, b, GW_CLASS_ACCUM, GW_I64, "", b->sums);
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "signature");
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 1), "guard");
}

int64_t gw_square_blocks_before(const GwParamList *params, int tensor) {
  int64_t blocks = 0;
  for (int i = 0; i < tensor; i++)
    blocks += gw_ceil_div(gw_type_count(&params->params[i].type), GW_SQUARE_BLOCK);
  return blocks;
}

static GwValueId declare_squares(GwProgram *p, const GwParamList *params) {
  int64_t blocks = gw_square_blocks_before(params, params->count);
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 1), "total_signature");
  gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, GW_STATE_HASHES), "state_hash");
  return gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_F64, blocks), "squares");
}

static void build_total(const Build *b, GwStepPrograms *out) {
  GwProgram *p = &out->total;
  gw_program_init(p, "total");
  out->total_hyper = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 8), "hyper");
  declare_sums(p, b);
  out->squares = declare_squares(p, b->params);
  out->total_signature = gw_value_find(p, GW_CLASS_ACCUM, "total_signature");
  for (int32_t i = first_piece(b); i < end_piece(b); i++) {
    const GwPiece *piece = &b->share->shares->pieces[i];
    const GwParam *param = &b->params->params[piece->tensor];
    int64_t block =
        gw_square_blocks_before(b->params, piece->tensor) + piece->first / GW_SQUARE_BLOCK;
    gw_emit(p, GW_OP_SIGN_SQUARES,
            GW_IN(b->sums[i], out->total_hyper, out->total_signature, out->squares),
            GW_ATTR((double)(param->offset / 4 + piece->first), (double)block));
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

static void build_update(const Build *b, GwStepPrograms *out) {
  GwProgram *p = &out->update;
  int32_t pieces = b->share->shares->count;
  gw_program_init(p, "update");
  out->update_hyper = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 8), "hyper");
  out->seeds = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_U64, 3 * b->params->count), "seeds");
  declare_sums(p, b);
  GwValueId squares = declare_squares(p, b->params);
  out->state_hash = gw_value_find(p, GW_CLASS_ACCUM, "state_hash");
  declare(p, b, GW_CLASS_PARAM, GW_F32, "", b->values);
  declare(p, b, GW_CLASS_STATE, GW_F32, "m.", b->moments);
  declare(p, b, GW_CLASS_STATE, GW_F32, "v.", b->moments + pieces);
  out->norm_and_scale = gw_emit(p, GW_OP_CLIP, GW_IN(squares, out->update_hyper), GW_ATTR(0));
  for (int32_t i = first_piece(b); i < end_piece(b); i++) {
    const GwPiece *piece = &b->share->shares->pieces[i];
    gw_emit(p, GW_OP_ADAMW,
            GW_IN(b->values[i], b->moments[i], b->moments[pieces + i], b->sums[i],
                  out->update_hyper, out->norm_and_scale, out->seeds, out->state_hash),
            GW_ATTR(decay_of(b->recipe, &b->params->params[piece->tensor]), piece->tensor,
                    (double)(piece->first * (int64_t)sizeof(float) / GW_HASH_BLOCK),
                    b->share->verify));
  }
}

GwStatus gw_step_programs_create(const GwRecipe *recipe, const GwParamList *params,
                                 const GwTrainingShare *share, GwStepPrograms *out) {
  *out = (GwStepPrograms){0};
  GwArena arena;
  gw_arena_init(&arena);
  int32_t pieces = share->shares->count;
  GwValueId *ids = GW_ARENA_ARRAY(&arena, GwValueId, 4 * pieces);
  GwStatus status = ids ? GW_OK : gw_fail(GW_MEMORY, "no memory for the step's programs");
  if (status == GW_OK) {
    Build build = {recipe, params, share, ids, ids + pieces, ids + 2 * pieces};
    build_total(&build, out);
    build_update(&build, out);
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
