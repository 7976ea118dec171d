/* All pointers and shapes are resolved at creation; a run only walks the calls. Nothing is
 * allocated in a run. */
#include "exec/runner.h"

#include <stdlib.h>
#include <string.h>

#include "exec/check.h"
#include "exec/kept_weights.h"
#include "op/abft.h"
#include "pass/memory_plan.h"

struct GwRunner {
  GwProgram *program;
  const GwBackend *backend;
  GwPool *pool;
  char *base[GW_CLASS_COUNT];
  bool owned[GW_CLASS_COUNT];
  char *scratch;
  bool scratch_owned;
  GwCall *calls;
  const GwObserver *observer;
  GwAbft abft;        /* its room is NULL where products do not verify themselves */
  GwKeptWeights kept; /* all zero where none are kept */
};

void *gw_runner_value(const GwRunner *runner, GwValueId id) {
  const GwValue *value = &runner->program->values[id];
  return runner->base[value->class] + value->offset;
}

static GwStatus bind_call(GwRunner *runner, int32_t i) {
  const GwOp *op = &runner->program->ops[i];
  GwCall *call = &runner->calls[i];
  GW_TRY(gw_op_shapes(runner->program, op, false, &call->shapes));
  for (int k = 0; k < GW_IN_MAX; k++)
    if (op->in[k]) call->in[k] = gw_runner_value(runner, op->in[k]);
  for (int k = 0; k < GW_OUT_MAX; k++)
    if (op->out[k]) call->out[k] = gw_runner_value(runner, op->out[k]);
  call->pool = runner->pool;
  call->scratch = runner->scratch;
  call->scratch_bytes = (size_t)runner->program->scratch_bytes;
  return GW_OK;
}

GwStatus gw_runner_create(GwProgram *program, const GwBackend *backend, GwPool *pool,
                          void *const base[GW_CLASS_COUNT], GwRunner **out) {
  GwWorkspace own = {base[GW_CLASS_ACTIVATION], NULL};
  return gw_runner_create_in(&own, program, backend, pool, base, out);
}

/* The buffers that were not given. */
static GwStatus create_buffers(GwRunner *runner, const GwWorkspace *workspace,
                               void *const base[GW_CLASS_COUNT]) {
  const GwProgram *program = runner->program;
  for (int class = 0; class < GW_CLASS_COUNT; class ++) {
    size_t size = (size_t)program->class_bytes[class];
    runner->base[class] = class == GW_CLASS_ACTIVATION ? workspace->activations : base[class];
    if (runner->base[class]) continue;
    runner->base[class] = gw_buffer_create(size);
    runner->owned[class] = true;
    if (!runner->base[class])
      return gw_fail(GW_MEMORY, "no memory for program '%s': its %s buffer needs %zu MiB",
                     program->name, class == GW_CLASS_ACTIVATION ? "activation" : "data",
                     size >> 20);
  }
  runner->scratch = workspace->scratch;
  runner->scratch_owned = !runner->scratch;
  if (runner->scratch_owned)
    runner->scratch =
        gw_buffer_create((size_t)gw_pool_threads(runner->pool) * (size_t)program->scratch_bytes);
  return runner->scratch ? GW_OK
                         : gw_fail(GW_MEMORY, "no memory to run program '%s'", program->name);
}

GwStatus gw_runner_create_in(const GwWorkspace *workspace, GwProgram *program,
                             const GwBackend *backend, GwPool *pool,
                             void *const base[GW_CLASS_COUNT], GwRunner **out) {
  if (!program->planned) GW_TRY(gw_plan_memory(program));
  GW_TRY(gw_program_verify(program));
  GwRunner *runner = calloc(1, sizeof *runner);
  if (!runner) return gw_fail(GW_MEMORY, "no memory to run program '%s'", program->name);
  runner->program = program;
  runner->backend = backend;
  runner->pool = pool;
  GwStatus status;
  GW_TRY_GOTO(status, create_buffers(runner, workspace, base), failed);
  runner->calls = calloc((size_t)program->op_count + 1, sizeof *runner->calls);
  if (!runner->calls) {
    status = gw_fail(GW_MEMORY, "no memory to run program '%s'", program->name);
    goto failed;
  }
  for (int32_t i = 0; i < program->op_count; i++) GW_TRY_GOTO(status, bind_call(runner, i), failed);
  *out = runner;
  return GW_OK;
failed:
  gw_runner_destroy(runner);
  return status;
}

void gw_runner_destroy(GwRunner *runner) {
  if (!runner) return;
  for (int class = 0; class < GW_CLASS_COUNT; class ++)
    if (runner->owned[class]) gw_buffer_destroy(runner->base[class]);
  if (runner->scratch_owned) gw_buffer_destroy(runner->scratch);
  gw_buffer_destroy(runner->abft.room);
  gw_kept_weights_destroy(&runner->kept);
  free(runner->calls);
  free(runner);
}

void gw_runner_observe(GwRunner *runner, const GwObserver *observer) {
  runner->observer = observer;
}

GwStatus gw_runner_verify_products(GwRunner *runner) {
  const GwProgram *program = runner->program;
  GwAbft *abft = &runner->abft;
  GW_ASSERT(!abft->room);
  for (int32_t i = 0; i < program->op_count; i++)
    abft->room_count = gw_max_i64(abft->room_count, gw_abft_room(&runner->calls[i].shapes));
  abft->room = gw_buffer_create((size_t)abft->room_count * sizeof *abft->room);
  if (!abft->room)
    return gw_fail(GW_MEMORY, "no memory for the checks of program '%s'", program->name);
  for (int32_t i = 0; i < program->op_count; i++) runner->calls[i].abft = abft;
  return GW_OK;
}

GwStatus gw_runner_keep_weights(GwRunner *runner) {
  const GwProgram *program = runner->program;
  GW_ASSERT(!runner->kept.room);
  GW_TRY(gw_kept_weights_create(program, &runner->kept));
  for (int32_t i = 0; i < program->op_count; i++)
    runner->calls[i].kept = gw_kept_weights_of(&runner->kept, &program->ops[i]);
  return GW_OK;
}

void gw_runner_weights_changed(GwRunner *runner) { gw_kept_weights_stale(&runner->kept); }

/* The fault that was found; the next run begins without any. */
static GwStatus product_fault(GwRunner *runner, int32_t op, GwLaneKey key) {
  GwAbft *abft = &runner->abft;
  long long faults = (long long)abft->faults;
  abft->faults = 0;
  return gw_fail(
      GW_NUMERIC,
      "step %lld, lane %d, op %d (%s) of program '%s': a matrix product is wrong in %lld "
      "rows; row %lld adds up to %.15g instead of %.15g (%.3g is allowed for rounding). "
      "This processor or its memory computed wrongly: resume from the last checkpoint, "
      "on another machine if it happens again",
      (long long)key.step + 1, key.lane, op + 1, gw_op_def(runner->program->ops[op].code)->name,
      runner->program->name, faults, (long long)abft->row, abft->found, abft->expected,
      abft->allowed);
}

GwStatus gw_runner_run(GwRunner *runner, GwLaneKey key) {
  const GwObserver *observer = runner->observer;
  for (int32_t i = 0; i < runner->program->op_count; i++) {
    GwOpcode code = runner->program->ops[i].code;
    GwCall *call = &runner->calls[i];
    call->key = key;
    if (observer && observer->before)
      GW_TRY(observer->before(observer->self, i, gw_op_def(code), call));
    runner->backend->run(runner->backend, code, call);
    if (runner->abft.faults > 0) return product_fault(runner, i, key);
    if (observer && observer->after)
      GW_TRY(observer->after(observer->self, i, gw_op_def(code), call));
  }
  return GW_OK;
}

static _Thread_local GwCheck *open_check; /* between before and after of one op */

static GwStatus check_before(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)self, (void)op;
  return gw_check_begin(def, call, &open_check);
}

static GwStatus check_after(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)self, (void)op, (void)def, (void)call;
  GwCheck *check = open_check;
  open_check = NULL;
  return gw_check_end(check);
}

GwObserver gw_observer_check(void) {
  return (GwObserver){.before = check_before, .after = check_after};
}
