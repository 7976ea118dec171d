/* Seats take lanes from a common counter, so that any number of lanes goes on any number of seats.
 * A seat's first lane replaces its old sums; when all lanes are done, the sums of the seats that
 * took any are added up in the first one's. */
#include "train/lane_run.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MERGE_BLOCK = 1 << 15 }; /* sums added by one task */

typedef struct {
  GwRunner *runner;
  int64_t *sums;
  GwStatus status; /* of its last lane */
  int32_t lane;
  bool fresh; /* it has taken no lane: its sums are of an earlier round */
  char message[512];
} Seat;

struct GwLaneSeats {
  GwTrainingPlan *plan;
  GwPool *pool;
  Seat *seats;
  int32_t count;
  int64_t sum_count; /* of one lane program */
  /* the round under way */
  GwLaneKey key;
  int32_t end; /* of the lanes to be taken */
  GwLaneSource *source;
  void *context;
  uint64_t *signatures;
  _Atomic int32_t next;
  _Atomic bool failed;
};

/* ---- one lane ---- */

GwLaneInputs gw_lane_inputs(const GwLaneProgram *lane, const GwRunner *runner) {
  return (GwLaneInputs){gw_runner_value(runner, lane->tokens),
                        gw_runner_value(runner, lane->targets),
                        gw_runner_value(runner, lane->positions)};
}

void gw_lane_clear(const GwLaneProgram *lane, const GwRunner *runner) {
  memset(gw_runner_value(runner, lane->tally), 0, 3 * sizeof(int64_t));
  memset(gw_runner_value(runner, lane->guard), 0, sizeof(int64_t));
}

GwStatus gw_lane_run(const GwLaneProgram *lane, GwRunner *runner, GwLaneKey key, bool fresh,
                     uint64_t *signature) {
  uint64_t *of_lane = gw_runner_value(runner, lane->signature);
  const int64_t *guard = gw_runner_value(runner, lane->guard);
  const int64_t *tally = gw_runner_value(runner, lane->tally);
  *of_lane = 0;
  *(int32_t *)gw_runner_value(runner, lane->fresh) = fresh;
  if (fresh) gw_runner_weights_changed(runner);
  GW_TRY(gw_runner_run(runner, key));
  if (*guard != 0 || tally[2] != 0)
    return gw_fail(GW_NUMERIC,
                   "step %lld, lane %d: %lld gradients and %lld losses were NaN or out of range; "
                   "try a lower train.optimizer.lr or a longer warm-up",
                   (long long)key.step + 1, key.lane, (long long)*guard, (long long)tally[2]);
  *signature = *of_lane;
  return GW_OK;
}

/* ---- seats ---- */

static GwStatus create_seat(GwLaneSeats *s, int32_t i, const GwBackend *backend,
                            const GwWorkspace *workspace, void *const base[GW_CLASS_COUNT]) {
  GwProgram *program = &s->plan->lane.program;
  Seat *seat = &s->seats[i];
  if (i == 0) {
    seat->sums = base[GW_CLASS_ACCUM];
    return gw_runner_create_in(workspace, program, backend, NULL, base, &seat->runner);
  }
  seat->sums = gw_buffer_create((size_t)program->class_bytes[GW_CLASS_ACCUM]);
  if (!seat->sums) return gw_fail(GW_MEMORY, "no memory for the sums of lanes at once");
  void *own[GW_CLASS_COUNT] = {
      [GW_CLASS_PARAM] = base[GW_CLASS_PARAM], [GW_CLASS_ACCUM] = seat->sums};
  return gw_runner_create(program, backend, NULL, own, &seat->runner);
}

GwStatus gw_lane_seats_create(GwTrainingPlan *plan, const GwBackend *backend, GwPool *pool,
                              const GwWorkspace *workspace, void *const base[GW_CLASS_COUNT],
                              GwLaneSeats **out) {
  GwLaneSeats *s = calloc(1, sizeof *s);
  if (!s) return gw_fail(GW_MEMORY, "no memory for lanes at once");
  GwStatus status = GW_OK;
  s->plan = plan;
  s->pool = pool;
  s->count = plan->lanes_at_once;
  s->sum_count = plan->lane.program.class_bytes[GW_CLASS_ACCUM] / (int64_t)sizeof *s->seats->sums;
  s->seats = calloc((size_t)s->count, sizeof *s->seats);
  if (!s->seats) status = gw_fail(GW_MEMORY, "no memory for lanes at once");
  for (int32_t i = 0; i < s->count && status == GW_OK; i++)
    status = create_seat(s, i, backend, workspace, base);
  if (status == GW_OK)
    *out = s;
  else
    gw_lane_seats_destroy(s);
  return status;
}

void gw_lane_seats_destroy(GwLaneSeats *s) {
  if (!s) return;
  for (int32_t i = 0; s->seats && i < s->count; i++) {
    gw_runner_destroy(s->seats[i].runner);
    if (i > 0) gw_buffer_destroy(s->seats[i].sums);
  }
  free(s->seats);
  free(s);
}

void gw_lane_seats_observe(GwLaneSeats *s, const GwObserver *observer) {
  for (int32_t i = 0; i < s->count; i++) gw_runner_observe(s->seats[i].runner, observer);
}

GwStatus gw_lane_seats_verify_products(GwLaneSeats *s) {
  for (int32_t i = 0; i < s->count; i++) GW_TRY(gw_runner_verify_products(s->seats[i].runner));
  return GW_OK;
}

/* ---- a round ---- */

static GwStatus take_lane(GwLaneSeats *s, Seat *seat) {
  GwLaneKey key = s->key;
  key.lane = seat->lane;
  GwLaneInputs in = gw_lane_inputs(&s->plan->lane, seat->runner);
  GW_TRY(s->source(s->context, key.step, key.lane, in));
  bool fresh = seat->fresh;
  seat->fresh = false;
  return gw_lane_run(&s->plan->lane, seat->runner, key, fresh, &s->signatures[key.lane]);
}

static void run_seat(void *context, int64_t index, int thread) {
  (void)thread;
  GwLaneSeats *s = context;
  Seat *seat = &s->seats[index];
  while (seat->status == GW_OK && !atomic_load(&s->failed)) {
    seat->lane = atomic_fetch_add(&s->next, 1);
    if (seat->lane >= s->end) return;
    seat->status = take_lane(s, seat);
    if (seat->status == GW_OK) continue;
    snprintf(seat->message, sizeof seat->message, "%s", gw_error_message()); /* per thread */
    atomic_store(&s->failed, true);
  }
}

static void merge_block(void *context, int64_t block, int thread) {
  (void)thread;
  const GwLaneSeats *s = context;
  int64_t first = block * MERGE_BLOCK, last = gw_min_i64(first + MERGE_BLOCK, s->sum_count);
  uint64_t *to = (uint64_t *)s->seats[0].sums;
  bool replace = s->seats[0].fresh;
  for (int32_t i = 1; i < s->count; i++) {
    const uint64_t *from = (const uint64_t *)s->seats[i].sums;
    if (s->seats[i].fresh) continue;
    if (replace) memset(to + first, 0, (size_t)(last - first) * sizeof *to);
    for (int64_t k = first; k < last; k++) to[k] += from[k];
    replace = false;
  }
}

/* Lanes are taken in order, so the lowest that fails is always among those that ran. */
static GwStatus first_failure(const GwLaneSeats *s) {
  const Seat *first = NULL;
  for (int32_t i = 0; i < s->count; i++) {
    const Seat *seat = &s->seats[i];
    if (seat->status != GW_OK && (!first || seat->lane < first->lane)) first = seat;
  }
  return first ? gw_fail(first->status, "%s", first->message) : GW_OK;
}

GwStatus gw_lane_seats_run(GwLaneSeats *s, GwLaneKey key, int32_t end, GwLaneSource *source,
                           void *context, uint64_t *signatures) {
  s->key = key;
  s->end = end;
  s->source = source;
  s->context = context;
  s->signatures = signatures;
  atomic_store(&s->next, key.lane);
  atomic_store(&s->failed, false);
  for (int32_t i = 0; i < s->count; i++) {
    s->seats[i].status = GW_OK;
    s->seats[i].fresh = true;
    gw_lane_clear(&s->plan->lane, s->seats[i].runner);
  }
  gw_pool_run(s->pool, s->count, run_seat, s);
  gw_pool_run(s->pool, gw_ceil_div(s->sum_count, MERGE_BLOCK), merge_block, s);
  return first_failure(s);
}
