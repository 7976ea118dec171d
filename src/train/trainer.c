/* One buffer per class, shared by the three programs of a step; activations and scratch are shared
 * by all that does not run at the same time. */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "op/constants.h"
#include "os/clock.h"
#include "os/probe.h"
#include "train/final_sums.h"
#include "train/schedule.h"

struct GwTrainer {
  GwWorld *world; /* NULL: alone */
  GwExchange exchange;
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
  uint64_t hash_seeds;          /* sum of the state's tensors' */
  int32_t lane_first, lane_end; /* that are dealt to this rank */
  uint64_t *lane_signatures;    /* of the step; the caller's */
  uint64_t signatures;          /* sum over this step's lanes */
  const GwMomentHook *hook;
  bool verify;
  uint64_t share_hash; /* of this rank's share of the state, as it was written */
  int32_t accused;     /* see gw_trainer_accused */
  char failure[512];   /* why our lanes of this step failed; "": they did not */
  int64_t *final_from; /* see gw_final_sums; NULL with one node */
  bool last_lane;      /* under way, alone */
  bool fresh;          /* no lane is in the sums yet: what stands there is of an earlier step */
};

/* Names the state's tensors: the parameters, then their first and second moments. */
const char *const gw_state_names[GW_STATE_GROUPS] = {"params", "adam_m", "adam_v"};

static GwStatus describe_state(GwTrainer *t) {
  t->tensors = calloc((size_t)(GW_STATE_GROUPS * t->plan.params.count), sizeof *t->tensors);
  if (!t->tensors) return gw_fail(GW_MEMORY, "no memory for the list of tensors");
  for (int g = 0; g < GW_STATE_GROUPS; g++) {
    GwTensor *tensors = t->tensors + g * t->plan.params.count;
    t->groups[g] = (GwTensorGroup){gw_state_names[g], tensors, t->plan.params.count};
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
  t->exchange.seeds = seeds;
}

/* The state and the sums: in memory of our own, or in what the ranks of the node share. */
static GwStatus create_state(GwTrainer *t) {
  if (t->world) {
    GwExchangeBuffers shared;
    GW_TRY(gw_exchange_create(t->world, &t->plan, t->recipe->train.lanes, &t->exchange, &shared));
    t->param_buffer = shared.params;
    t->state_buffer = shared.moments;
    t->accum_buffer = shared.sums;
    return GW_OK;
  }
  t->param_buffer = gw_buffer_create((size_t)t->plan.params.bytes);
  t->state_buffer = gw_buffer_create((size_t)(2 * t->plan.params.bytes));
  t->accum_buffer = gw_buffer_create(t->accum_bytes);
  if (t->param_buffer && t->state_buffer && t->accum_buffer) return GW_OK;
  return gw_fail(GW_MEMORY, "no memory for %lld million parameters and their moments",
                 (long long)(t->plan.params.elements / 1000000));
}

static GwStatus create_buffers(GwTrainer *t) {
  t->accum_bytes = (size_t)t->plan.steps.total.class_bytes[GW_CLASS_ACCUM];
  GW_ASSERT(t->accum_bytes >= (size_t)t->plan.lane.program.class_bytes[GW_CLASS_ACCUM]);
  GW_ASSERT(t->plan.steps.update.class_bytes[GW_CLASS_STATE] == 2 * t->plan.params.bytes);
  t->workspace.activations = gw_buffer_create((size_t)t->plan.workspace_bytes);
  t->workspace.scratch = gw_buffer_create((size_t)t->plan.scratch_bytes);
  if (!t->workspace.activations || !t->workspace.scratch)
    return gw_fail(GW_MEMORY, "no memory for activations and scratch of %lld MB",
                   (long long)((t->plan.workspace_bytes + t->plan.scratch_bytes) / 1000000));
  return create_state(t);
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

void gw_trainer_init(GwTrainer *t) {
  if (!t->world || gw_world_place(t->world)->node_rank == 0)
    gw_model_init(&t->recipe->model, &t->plan.params, t->recipe->train.seed, t->pool,
                  t->param_buffer);
}

static GwTrainingPart part_of(const GwTrainer *t) {
  GwTrainingPart part = {.ranks = 1, .threads = gw_pool_threads(t->pool), .verify = t->verify};
  if (t->world) {
    part.rank = gw_world_place(t->world)->rank;
    part.ranks = gw_world_place(t->world)->ranks;
  }
  return part;
}

static GwStatus find_final_sums(GwTrainer *t) {
  const GwProgram *lane = &t->plan.lane.program;
  if (!t->world || gw_world_place(t->world)->nodes == 1) return GW_OK;
  t->final_from = calloc((size_t)lane->op_count + 1, sizeof *t->final_from);
  if (!t->final_from) return gw_fail(GW_MEMORY, "no memory for a list of ops");
  const int64_t *first = t->exchange.sum_first;
  gw_final_sums(lane, first[0], first[gw_world_place(t->world)->ranks], t->final_from);
  return GW_OK;
}

static GwStatus set_up(GwTrainer *t) {
  GwTrainingPart part = part_of(t);
  t->lane_end = t->recipe->train.lanes;
  GW_TRY(gw_training_plan_create(t->recipe, &part, &t->plan));
  GW_TRY(create_buffers(t));
  GW_TRY(create_runners(t));
  GW_TRY(create_seats(t));
  GW_TRY(describe_state(t));
  set_hash_seeds(t);
  return find_final_sums(t);
}

GwStatus gw_trainer_create_in(GwWorld *world, const GwRecipe *recipe, const GwBackend *backend,
                              GwPool *pool, bool verify, GwTrainer **out) {
  GwTrainer *t = calloc(1, sizeof *t);
  if (!t) return gw_fail(GW_MEMORY, "no memory for a trainer");
  t->world = world;
  t->recipe = recipe;
  t->backend = backend;
  t->pool = pool;
  t->verify = verify;
  t->accused = -1;
  GwStatus status = set_up(t);
  if (status == GW_OK)
    *out = t;
  else
    gw_trainer_destroy(t);
  return status;
}

GwStatus gw_trainer_create(const GwRecipe *recipe, const GwBackend *backend, GwPool *pool,
                           GwTrainer **out) {
  GW_TRY(gw_trainer_create_in(NULL, recipe, backend, pool, false, out));
  gw_trainer_init(*out);
  return GW_OK;
}

void gw_trainer_destroy(GwTrainer *t) {
  if (!t) return;
  gw_lane_seats_destroy(t->seats);
  gw_runner_destroy(t->update_runner);
  gw_runner_destroy(t->total_runner);
  gw_runner_destroy(t->lane_runner);
  gw_buffer_destroy(t->workspace.scratch);
  gw_buffer_destroy(t->workspace.activations);
  gw_exchange_destroy(&t->exchange);
  if (!t->world) {
    gw_buffer_destroy(t->accum_buffer);
    gw_buffer_destroy(t->state_buffer);
    gw_buffer_destroy(t->param_buffer);
  }
  gw_training_plan_destroy(&t->plan);
  free(t->tensors);
  free(t->final_from);
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

/* Of what stands in a rank's share of the state. */
static uint64_t hash_share(const GwTrainer *t, int32_t rank) {
  const GwShares *shares = &t->plan.shares;
  const uint64_t *seeds = gw_runner_value(t->update_runner, t->plan.steps.seeds);
  uint64_t hash = 0;
  for (int32_t p = shares->begin[rank]; p < shares->begin[rank + 1]; p++) {
    const GwPiece *piece = &shares->pieces[p];
    for (int g = 0; g < GW_STATE_GROUPS; g++) {
      const float *data = t->groups[g].tensors[piece->tensor].data;
      hash += gw_hash_blocks(data + piece->first, (size_t)piece->count * sizeof *data,
                             (uint64_t)piece->first * sizeof *data / GW_HASH_BLOCK,
                             seeds[GW_STATE_GROUPS * piece->tensor + g]);
    }
  }
  return hash;
}

static uint64_t hash_own_share(const GwTrainer *t) {
  return hash_share(t, t->world ? gw_world_place(t->world)->rank : 0);
}

void gw_trainer_state_changed(GwTrainer *t) {
  t->share_hash = t->verify ? hash_own_share(t) : 0;
  if (t->world) gw_exchange_filled(&t->exchange);
}

void gw_trainer_accuse(GwTrainer *t) {
  for (int32_t r = t->world ? gw_world_place(t->world)->ranks : 0; r-- > 0;)
    if (hash_share(t, r) != t->exchange.share_hash[r]) t->accused = r;
}

GwStatus gw_trainer_gather(GwTrainer *t) {
  if (!t->world) return GW_OK;
  char *moments = t->state_buffer;
  GW_TRY(gw_world_spread(t->world, moments, t->exchange.param_first));
  GW_TRY(gw_world_spread(t->world, moments + t->plan.params.bytes, t->exchange.param_first));
  return gw_world_barrier(t->world); /* the node's other ranks may still be receiving */
}

void gw_trainer_deal(GwTrainer *t, int32_t first, int32_t last) {
  GW_ASSERT(0 <= first && first < last && last <= t->recipe->train.lanes);
  t->lane_first = first;
  t->lane_end = last;
}

uint64_t gw_trainer_transfer_ns(const GwTrainer *t) { return t->exchange.transfer_ns; }

int32_t gw_trainer_accused(const GwTrainer *t) { return t->accused; }

void gw_trainer_hook(GwTrainer *t, const GwMomentHook *hook) { t->hook = hook; }

static GwStatus moment(GwTrainer *t, GwMoment which, int64_t step) {
  return t->hook ? t->hook->at(t->hook->self, which, step + 1, t) : GW_OK;
}

int64_t *gw_trainer_sums(const GwTrainer *t, int64_t *count, int64_t slice[2]) {
  const GwProgram *total = &t->plan.steps.total;
  GwValueId first = gw_value_find(total, GW_CLASS_ACCUM, "tally") + 1;
  *count = t->plan.params.bytes / (int64_t)sizeof(float); /* padding counts */
  slice[0] = 0;
  slice[1] = *count;
  if (t->world) gw_exchange_slice(&t->exchange, slice);
  return gw_runner_value(t->total_runner, first);
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
  t->failure[0] = 0;
}

GwStatus gw_trainer_lane(GwTrainer *t, int64_t step, int32_t lane, uint64_t *signature) {
  GwLaneKey key = {t->recipe->train.seed, step, lane};
  bool fresh = t->fresh;
  t->fresh = false;
  GW_TRY(gw_lane_run(&t->plan.lane, t->lane_runner, key, fresh, signature));
  t->signatures += *signature;
  return GW_OK;
}

GwStatus gw_trainer_between(GwTrainer *t, int32_t op) {
  return t->last_lane ? gw_exchange_sums_poll(&t->exchange, t->final_from[op]) : GW_OK;
}

/* Its gradients are on their way to other nodes while it goes on. */
static GwStatus last_lane(GwTrainer *t, int64_t step, uint64_t *signatures) {
  int32_t lane = t->lane_end - 1;
  t->last_lane = t->final_from != NULL;
  if (t->last_lane) gw_exchange_sums_early(&t->exchange);
  GwStatus status = gw_trainer_lane(t, step, lane, &signatures[lane]);
  if (status == GW_OK) status = gw_trainer_between(t, t->plan.lane.program.op_count);
  t->last_lane = false;
  return status;
}

static GwStatus one_after_the_other(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                                    uint64_t *signatures) {
  for (int32_t lane = t->lane_first; lane < t->lane_end; lane++) {
    GW_TRY(source(context, step, lane, gw_trainer_inputs(t)));
    if (lane < t->lane_end - 1)
      GW_TRY(gw_trainer_lane(t, step, lane, &signatures[lane]));
    else
      GW_TRY(last_lane(t, step, signatures));
  }
  return GW_OK;
}

static GwStatus several_at_once(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                                uint64_t *signatures) {
  GwLaneKey key = {t->recipe->train.seed, step, t->lane_first};
  GW_ASSERT(t->fresh);
  t->fresh = false;
  GW_TRY(gw_lane_seats_run(t->seats, key, t->lane_end, source, context, signatures));
  for (int32_t lane = t->lane_first; lane < t->lane_end; lane++) t->signatures += signatures[lane];
  return GW_OK;
}

/* Lanes that end in NaN have often read what another rank holds: that is found out by all together,
 * in gw_trainer_end, and until then a failure counts as a bad loss. */
static GwStatus put_off(GwTrainer *t, GwStatus status) {
  if (status != GW_NUMERIC || !t->world) return status;
  int64_t *tally = gw_runner_value(t->lane_runner, t->plan.lane.tally);
  tally[2]++;
  snprintf(t->failure, sizeof t->failure, "%s", gw_error_message());
  return GW_OK;
}

GwStatus gw_trainer_lanes(GwTrainer *t, int64_t step, GwLaneSource *source, void *context,
                          uint64_t *signatures) {
  bool inside = gw_way_next(&t->way) == GW_WAY_INSIDE;
  memset(signatures, 0, (size_t)t->recipe->train.lanes * sizeof *signatures);
  t->lane_signatures = signatures;
  uint64_t start = gw_clock_ns();
  GwStatus status = inside ? one_after_the_other(t, step, source, context, signatures)
                           : several_at_once(t, step, source, context, signatures);
  GW_TRY(put_off(t, status));
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

/* Runs `total`; with other ranks on our slice. *mine: the signature of what we totalled, *whole: of
 * everything. */
static GwStatus total_up(GwTrainer *t, GwLaneKey key, uint64_t *mine, uint64_t *whole) {
  uint64_t start = gw_clock_ns();
  if (t->world) GW_TRY(gw_exchange_sums(&t->exchange));
  GW_TRY(moment(t, GW_MOMENT_TOTAL, key.step));
  t->exchange.transfer_ns += gw_clock_ns() - start;
  GW_TRY(gw_runner_run(t->total_runner, key));
  const uint64_t *signature = gw_runner_value(t->total_runner, t->plan.steps.total_signature);
  double *squares = gw_runner_value(t->total_runner, t->plan.steps.squares);
  *mine = *whole = *signature;
  return t->world ? gw_exchange_squares(&t->exchange, squares, whole) : GW_OK;
}

static GwStatus wrong_total(GwTrainer *t, int64_t step, uint64_t claimed, uint64_t mine) {
  char whose[40] = "memory or a kernel";
  if (t->world) GW_TRY(gw_exchange_blame(&t->exchange, claimed, mine, &t->accused));
  if (t->accused >= 0) snprintf(whose, sizeof whose, "rank %d", t->accused);
  return gw_fail(GW_NUMERIC,
                 "step %lld: the signature of the gradient total does not equal the sum of its "
                 "lanes' signatures: %s changed it; resume from the last checkpoint",
                 (long long)step + 1, whose);
}

static GwStatus wrong_state(const GwTrainer *t, int64_t step) {
  return gw_fail(GW_NUMERIC,
                 "step %lld: the state of rank %d is not what was written to it; "
                 "resume from the last checkpoint",
                 (long long)step + 1, t->accused >= 0 ? t->accused : 0);
}

/* Some rank's lanes have failed: was the state wrong that they were computed from? */
static GwStatus failed_lanes(GwTrainer *t, int64_t step) {
  bool bad = t->verify && hash_own_share(t) != t->share_hash;
  bad = bad || (t->world && !gw_exchange_copies_hold(&t->exchange));
  if (t->world) GW_TRY(gw_exchange_accuse(&t->exchange, bad, &t->accused));
  if (t->accused >= 0) return wrong_state(t, step);
  if (t->failure[0]) return gw_fail(GW_NUMERIC, "%s", t->failure);
  return gw_fail(GW_NUMERIC, "step %lld: the lanes of another rank failed", (long long)step + 1);
}

/* Runs `update`; with other ranks on our slice. *hash: of the whole new state, but the seeds. */
static GwStatus update(GwTrainer *t, GwLaneKey key, const GwNotes *notes, uint64_t *hash) {
  uint64_t *parts = gw_runner_value(t->update_runner, t->plan.steps.state_hash);
  memset(parts, 0, GW_STATE_HASHES * sizeof *parts);
  GW_TRY(gw_runner_run(t->update_runner, key));
  GW_TRY(moment(t, GW_MOMENT_UPDATED, key.step));
  bool bad = t->verify && parts[2] + parts[3] != t->share_hash;
  *hash = t->share_hash = parts[0] + parts[1];
  if (t->world) GW_TRY(gw_exchange_params(&t->exchange, parts, bad, notes, hash, &t->accused));
  return bad || t->accused >= 0 ? wrong_state(t, key.step) : GW_OK;
}

GwStatus gw_trainer_end(GwTrainer *t, int64_t step, const GwNotes *notes, GwStepReport *out) {
  int64_t *tally = gw_runner_value(t->lane_runner, t->plan.lane.tally);
  uint64_t claimed = t->signatures, mine, total;
  GW_TRY(moment(t, GW_MOMENT_LANES, step));
  if (t->world)
    GW_TRY(gw_exchange_counts(&t->exchange, tally, t->lane_signatures, t->recipe->train.lanes,
                              &t->signatures));
  if (tally[2] != 0) return failed_lanes(t, step);
  if (tally[1] == 0) return gw_fail(GW_INVALID, "step %lld has no targets", (long long)step + 1);
  double *hyper = gw_runner_value(t->total_runner, t->plan.steps.total_hyper);
  set_hyper(t, step, tally[1], hyper);
  memcpy(gw_runner_value(t->update_runner, t->plan.steps.update_hyper), hyper, 8 * sizeof *hyper);
  GwLaneKey key = {t->recipe->train.seed, step, 0};
  GW_TRY(total_up(t, key, &mine, &total));
  if (total != t->signatures) return wrong_total(t, step, claimed, mine);
  uint64_t hash;
  GW_TRY(update(t, key, notes, &hash));
  const double *norm = gw_runner_value(t->update_runner, t->plan.steps.norm_and_scale);
  *out = (GwStepReport){.loss = (double)tally[0] * GW_LOSS_UNIT / (double)tally[1],
                        .loss_sum = tally[0],
                        .tokens = tally[1],
                        .gradient_norm = norm[0],
                        .lr = hyper[0],
                        .signature = total,
                        .state_hash = gw_mix64((uint64_t)step + 1) + t->hash_seeds + hash};
  return GW_OK;
}
