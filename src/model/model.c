/* Programs of a model: the three kinds of pass, the list of parameters and their initial values. */
#include "model/model.h"

#include <stdlib.h>

#include "base/hash64.h"
#include "base/mathd.h"
#include "model/model_builder.h"
#include "op/ops.h"
#include "pass/autodiff.h"
#include "pass/fuse.h"
#include "pass/memory_plan.h"

static GwHidden forward(GwModelBuilder *b) {
  return b->model->family == GW_FAMILY_GPT2 ? gw__gpt2(b) : gw__llama(b);
}

static GwModelBuilder builder(GwProgram *p, const GwModelRecipe *model, int64_t rows) {
  GwType ids = gw_type_1d(GW_I32, rows);
  GwModelBuilder b = {.p = p, .model = model, .context = model->context};
  b.operands = model->dtype == GW_PROFILE_BF16 ? GW_OPERANDS_BF16 : GW_OPERANDS_F32;
  b.tokens = gw_value_add(p, GW_CLASS_INPUT, ids, "tokens");
  b.positions = gw_value_add(p, GW_CLASS_INPUT, ids, "positions");
  return b;
}

/* Fuses, plans and verifies, or gives the program up; `kept` as for gw_fuse. */
static GwStatus finish(GwProgram *p, GwValueId *const *kept) {
  gw_fuse(p, kept);
  GwStatus status = p->status;
  if (status == GW_OK) status = gw_plan_memory(p);
  if (status == GW_OK) status = gw_program_verify(p);
  if (status != GW_OK) gw_program_deinit(p);
  return status;
}

/* ---- the passes ---- */

static void forward_and_loss(GwModelBuilder *b, double z_loss, GwLaneProgram *out) {
  GwProgram *p = b->p;
  out->tokens = b->tokens;
  out->positions = b->positions;
  out->targets = gw_value_add(
      p, GW_CLASS_INPUT,
      gw_type_1d(GW_I32, p->status == GW_OK ? p->values[b->tokens].type.dim[0] : 0), "targets");
  out->tally = gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 3), "tally");
  GwHidden hidden = forward(b);
  GwValueId losses = gw_head_loss(p, hidden.x, hidden.head, out->targets, z_loss, b->operands);
  gw_tally(p, losses, out->targets, out->tally);
}

GwStatus gw_model_lane_program(const GwModelRecipe *model, int64_t batch, double limit,
                               GwLaneProgram *out) {
  *out = (GwLaneProgram){0};
  gw_program_init(&out->program, "lane");
  GwModelBuilder b = builder(&out->program, model, batch * model->context);
  b.dropout = model->dropout;
  forward_and_loss(&b, model->z_loss, out);
  GwAutodiffOptions options = {.limit = limit};
  GwAutodiffResult result = gw_autodiff(&out->program, &options, NULL, NULL);
  out->signature = result.signature;
  out->guard = result.guard;
  out->fresh = result.fresh;
  return finish(&out->program,
                (GwValueId *[]){&out->tokens, &out->targets, &out->positions, &out->tally,
                                &out->signature, &out->guard, &out->fresh, NULL});
}

GwStatus gw_lane_program_fit(GwLaneProgram *lane, int64_t limit, GwRecomputation *out) {
  GwProgram *p = &lane->program;
  GwStatus status = gw_recompute(p, limit, out);
  if (status == GW_OK) status = gw_program_verify(p);
  if (status != GW_OK) {
    gw_program_deinit(p);
    return status;
  }
  lane->tokens = gw_value_find(p, GW_CLASS_INPUT, "tokens");
  lane->positions = gw_value_find(p, GW_CLASS_INPUT, "positions");
  lane->targets = gw_value_find(p, GW_CLASS_INPUT, "targets");
  lane->tally = gw_value_find(p, GW_CLASS_ACCUM, "tally");
  lane->signature = gw_value_find(p, GW_CLASS_ACCUM, "signature");
  lane->guard = gw_value_find(p, GW_CLASS_ACCUM, "guard");
  lane->fresh = gw_value_find(p, GW_CLASS_INPUT, "fresh");
  return GW_OK;
}

GwStatus gw_model_loss_program(const GwModelRecipe *model, int64_t batch, GwLaneProgram *out) {
  *out = (GwLaneProgram){0};
  gw_program_init(&out->program, "loss");
  GwModelBuilder b = builder(&out->program, model, batch * model->context);
  forward_and_loss(&b, 0, out);
  return finish(&out->program,
                (GwValueId *[]){&out->tokens, &out->targets, &out->positions, &out->tally, NULL});
}

GwStatus gw_model_decode_program(const GwModelRecipe *model, GwDecodeShape shape,
                                 GwDecodeProgram *out) {
  int64_t rows = shape.sequences * shape.rows;
  *out = (GwDecodeProgram){0};
  GwProgram *p = &out->program;
  gw_program_init(p, "decode");
  GwModelBuilder b = builder(p, model, rows);
  b.slots = shape.slots;
  b.base = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_I32, shape.sequences), "base");
  GwHidden hidden = forward(&b);
  if (shape.wanted < rows) {
    out->wanted = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_I32, shape.wanted), "wanted");
    hidden.x = gw_embedding(p, hidden.x, out->wanted); /* picks rows of any matrix */
  }
  out->logits = gw__linear(&b, hidden.x, hidden.head, 0);
  out->tokens = b.tokens;
  out->positions = b.positions;
  out->base = b.base;
  return finish(p, (GwValueId *[]){&out->tokens, &out->positions, &out->base, &out->logits,
                                   out->wanted ? &out->wanted : NULL, NULL});
}

/* ---- parameters ---- */

GwStatus gw_model_params(const GwModelRecipe *model, GwParamList *out) {
  *out = (GwParamList){0};
  GwProgram p;
  gw_program_init(&p, "params");
  GwModelBuilder b = builder(&p, model, model->context);
  b.list = out;
  forward(&b);
  GwStatus status = p.status;
  out->bytes = p.class_bytes[GW_CLASS_PARAM];
  gw_program_deinit(&p);
  if (status != GW_OK) gw_param_list_deinit(out);
  return status;
}

void gw_param_list_deinit(GwParamList *list) {
  free(list->params);
  *list = (GwParamList){0};
}

typedef struct {
  uint64_t seed, name;
  double std;
  float *data;
  int64_t count;
} Fill;

enum { FILL_BLOCK = 16384 };

/* Elements 2i and 2i+1 come from Philox block i through the Box-Muller transform. */
static void fill_normal(void *context, int64_t task, int thread) {
  (void)thread;
  const Fill *fill = context;
  int64_t last = gw_min_i64((task + 1) * FILL_BLOCK, fill->count);
  for (int64_t i = task * FILL_BLOCK; i < last; i += 2) {
    GwPhilox bits = gw_philox(fill->seed, fill->name, (uint64_t)i / 2);
    double u = ((double)bits.word[0] + 1) * 0x1p-32, turn = (double)bits.word[1] * 0x1p-32;
    double radius = fill->std * gw_sqrt_f64(-2 * gw_log_f64(u));
    double angle = 6.283185307179586 * turn;
    fill->data[i] = (float)(radius * gw_cos_f64(angle));
    if (i + 1 < last) fill->data[i + 1] = (float)(radius * gw_sin_f64(angle));
  }
}

void gw_model_init(const GwModelRecipe *model, const GwParamList *list, uint64_t seed, GwPool *pool,
                   void *buffer) {
  for (int i = 0; i < list->count; i++) {
    const GwParam *param = &list->params[i];
    float *data = (float *)(void *)((char *)buffer + param->offset);
    int64_t count = gw_type_count(&param->type);
    if (param->init == GW_INIT_ONE || param->init == GW_INIT_ZERO) {
      for (int64_t k = 0; k < count; k++) data[k] = param->init == GW_INIT_ONE ? 1.0f : 0.0f;
      continue;
    }
    Fill fill = {gw_mix64(seed), gw_hash_string(param->name), model->init_std, data, count};
    if (param->init == GW_INIT_RESIDUAL) fill.std /= gw_sqrt_f64(2.0 * model->layers);
    gw_pool_run(pool, gw_ceil_div(count, FILL_BLOCK), fill_normal, &fill);
  }
}
