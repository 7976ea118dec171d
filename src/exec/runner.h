/* The runner: a planned program bound to memory and a backend, ready to be executed many times. */
#ifndef GW_RUNNER_H
#define GW_RUNNER_H

#include "exec/backend.h"

/* Watches every op of a run: the tests' fault injector and the auditor are observers. */
typedef struct GwObserver {
  void *self;
  GwStatus (*before)(void *self, int32_t op, const GwOpDef *def, GwCall *call); /* may be NULL */
  GwStatus (*after)(void *self, int32_t op, const GwOpDef *def, GwCall *call);  /* may be NULL */
} GwObserver;

typedef struct GwRunner GwRunner;

/* Plans `program` unless it is planned (and borrows it). `base` gives the buffer of each class
 * (borrowed, 128-byte aligned, class_bytes long); where it is NULL the runner makes its own. */
GwStatus gw_runner_create(GwProgram *program, const GwBackend *backend, GwPool *pool,
                          void *const base[GW_CLASS_COUNT], GwRunner **out);

/* Memory for runners that never run at the same time. */
typedef struct {
  void *activations; /* the largest program's */
  void *scratch;     /* the largest program's, times the pool's threads */
} GwWorkspace;
/* The same with activations and scratch from `workspace` (borrowed), which must be large enough. */
GwStatus gw_runner_create_in(const GwWorkspace *workspace, GwProgram *program,
                             const GwBackend *backend, GwPool *pool,
                             void *const base[GW_CLASS_COUNT], GwRunner **out);
void gw_runner_destroy(GwRunner *runner);

/* Where a value lives. */
void *gw_runner_value(const GwRunner *runner, GwValueId id);
void gw_runner_observe(GwRunner *runner, const GwObserver *observer); /* NULL: nobody */

/* From now on the matrix products of the fast kernels verify themselves (kernel/cpu/gemm_check.h);
 * not those of attention. */
GwStatus gw_runner_verify_products(GwRunner *runner);

/* From now on the fast kernels' weights stay packed from run to run (exec/kept_weights.h), until
 * the parameters are said to have changed: whoever changes them must say so. */
GwStatus gw_runner_keep_weights(GwRunner *runner);
void gw_runner_weights_changed(GwRunner *runner); /* also where none are kept */

/* Executes every op once. Fails only through the observer, and with GW_NUMERIC when a product that
 * verifies itself is wrong. */
GwStatus gw_runner_run(GwRunner *runner, GwLaneKey key);

/* An observer that checks every op against its reference (exec/check.h). */
GwObserver gw_observer_check(void);

#endif
