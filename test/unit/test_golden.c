/* Both model families against float64 PyTorch (test/golden/make_vectors.py): logits, loss and every
 * parameter's gradient. Kept vectors always; fresh random ones where PyTorch can be imported.
 *
 * The kernels are the reference's: the fast ones equal them bit for bit (test_kernels). */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "model/model.h"
#include "state/safetensors.h"

static uint64_t seed;

/* One variant: its recipe and its vectors, and where they came from. */
typedef struct {
  GwModelRecipe model;
  int64_t batch;
  GwSafetensors *file;
} Golden;

static const char *const variants[] = {"llama-tied", "llama-window", "gpt2"};
static const double tolerance = 1e-5;

static void golden_open(Golden *g, const char *folder, const char *variant) {
  char path[600];
  GwRecipe recipe;
  snprintf(path, sizeof path, "%s/%s.yaml", folder, variant);
  assert_ok(gw_recipe_load(path, NULL, 0, &recipe));
  g->model = recipe.model;
  snprintf(path, sizeof path, "%s/%s.safetensors", folder, variant);
  assert_ok(gw_safetensors_open(gw_fs_disk(), path, &g->file));
  int tokens = gw_safetensors_find(g->file, "tokens");
  assert_true(tokens >= 0);
  uint64_t offset;
  g->batch = gw_safetensors_entry(g->file, tokens, &offset).type.dim[0];
}

/* The tensor "<prefix><name>" of `count` elements; to be freed. */
static void *golden_read(Golden *g, const char *prefix, const char *name, int64_t count) {
  char full[128];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  int entry = gw_safetensors_find(g->file, full);
  if (entry < 0) fail_msg("no tensor '%s'", full);
  uint64_t offset;
  GwType type = gw_safetensors_entry(g->file, entry, &offset).type;
  assert_int_equal(gw_type_count(&type), count);
  void *data = malloc(gw_type_size(&type));
  assert_ok(gw_safetensors_read(g->file, entry, data));
  return data;
}

/* Reads a tensor into the place of a value. */
static void golden_fill(Golden *g, const char *prefix, const char *name, const GwRunner *runner,
                        const GwProgram *program, GwValueId id) {
  const GwType *type = &program->values[id].type;
  void *data = golden_read(g, prefix, name, gw_type_count(type));
  memcpy(gw_runner_value(runner, id), data, gw_type_size(type));
  free(data);
}

static void fill_params(Golden *g, const GwRunner *runner, const GwProgram *program) {
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == GW_CLASS_PARAM)
      golden_fill(g, "param.", program->values[id].name, runner, program, id);
}

static GwRunner *runner_for(GwProgram *program) {
  GwRunner *runner = NULL;
  assert_ok(gw_runner_create(program, gw_backend_reference(), NULL,
                             (void *const[GW_CLASS_COUNT]){NULL}, &runner));
  return runner;
}

/* ---- loss and gradients ---- */

static double norm_of(const float *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

/* The norm of the whole gradient. */
static double whole_gradient(Golden *g, const GwProgram *program) {
  double sum = 0;
  for (GwValueId id = 1; id < program->value_count; id++) {
    const GwValue *value = &program->values[id];
    if (value->class != GW_CLASS_PARAM) continue;
    float *want = golden_read(g, "grad.", value->name, gw_type_count(&value->type));
    double norm = norm_of(want, gw_type_count(&value->type));
    sum += norm * norm;
    free(want);
  }
  return sqrt(sum);
}

/* The error allowed to a gradient, as a norm: relative to the tensor's. One that vanishes (a key's
 * bias shifts all scores of a query alike) has nothing to be relative to; there what is left must
 * be rounding in single precision, 1e-7 of the whole gradient. */
static double error_allowed(double norm, double whole) {
  return norm < 1e-12 * whole ? 1e-7 * whole : tolerance * norm;
}

static void check_gradient(Golden *g, const GwRunner *runner, const GwProgram *program,
                           GwValueId param, double whole) {
  const char *name = program->values[param].name;
  int64_t count = gw_type_count(&program->values[param].type);
  GwValueId sum_id = gw_value_find(program, GW_CLASS_ACCUM, name);
  assert_true(sum_id > 0);
  const int64_t *sum = gw_runner_value(runner, sum_id);
  float *want = golden_read(g, "grad.", name, count);
  double error = 0;
  for (int64_t i = 0; i < count; i++) {
    double difference = (double)sum[i] * 0x1p-44 - (double)want[i];
    error += difference * difference;
  }
  double norm = norm_of(want, count);
  if (!(sqrt(error) <= error_allowed(norm, whole)))
    fail_msg("gradient of %s: error %g in a norm of %g", name, sqrt(error), norm);
  free(want);
}

static void check_loss(Golden *g, const GwRunner *runner, const GwLaneProgram *lane) {
  const int64_t *tally = gw_runner_value(runner, lane->tally);
  double got = (double)tally[0] * 0x1p-32 / (double)(g->batch * g->model.context);
  double *want = golden_read(g, "", "loss", 1);
  if (!(fabs(got - *want) <= tolerance * fabs(*want)))
    fail_msg("loss %.9g, PyTorch has %.9g", got, *want);
  assert_int_equal(tally[2], 0);
  assert_int_equal(*(const int64_t *)gw_runner_value(runner, lane->guard), 0);
  free(want);
}

static void check_lane(Golden *g) {
  GwLaneProgram lane;
  assert_ok(gw_model_lane_program(&g->model, g->batch, 1024, &lane));
  GwProgram *program = &lane.program;
  GwRunner *runner = runner_for(program);
  fill_params(g, runner, program);
  golden_fill(g, "", "tokens", runner, program, lane.tokens);
  golden_fill(g, "", "targets", runner, program, lane.targets);
  golden_fill(g, "", "positions", runner, program, lane.positions);
  assert_ok(gw_runner_run(runner, (GwLaneKey){0}));
  check_loss(g, runner, &lane);
  double whole = whole_gradient(g, program);
  for (GwValueId id = 1; id < program->value_count; id++)
    if (program->values[id].class == GW_CLASS_PARAM) check_gradient(g, runner, program, id, whole);
  gw_runner_destroy(runner);
  gw_program_deinit(program);
}

/* ---- logits ---- */

/* One sequence at a time through the decode program, all its rows at once. */
static void check_logits(Golden *g) {
  int64_t length = g->model.context, row = length * g->model.vocab_size;
  GwDecodeProgram decode;
  assert_ok(gw_model_decode_program(&g->model, (GwDecodeShape){1, 1, length, length}, &decode));
  GwRunner *runner = runner_for(&decode.program);
  fill_params(g, runner, &decode.program);
  int32_t *tokens = golden_read(g, "", "tokens", g->batch * length);
  int32_t *positions = golden_read(g, "", "positions", g->batch * length);
  float *want = golden_read(g, "", "logits", g->batch * row);
  double worst = 0, scale = norm_of(want, g->batch * row) / sqrt((double)(g->batch * row));
  for (int64_t b = 0; b < g->batch; b++) {
    size_t bytes = (size_t)length * sizeof *tokens;
    memcpy(gw_runner_value(runner, decode.tokens), tokens + b * length, bytes);
    memcpy(gw_runner_value(runner, decode.positions), positions + b * length, bytes);
    *(int32_t *)gw_runner_value(runner, decode.base) = 0;
    assert_ok(gw_runner_run(runner, (GwLaneKey){0}));
    const float *got = gw_runner_value(runner, decode.logits);
    for (int64_t i = 0; i < row; i++)
      worst = fmax(worst, fabs((double)got[i] - (double)want[b * row + i]));
  }
  if (!(worst <= tolerance * scale)) fail_msg("logits: relative error %g", worst / scale);
  free(want);
  free(positions);
  free(tokens);
  gw_runner_destroy(runner);
  gw_program_deinit(&decode.program);
}

static void check_folder(const char *folder) {
  for (size_t i = 0; i < GW_COUNT_OF(variants); i++) {
    Golden g;
    golden_open(&g, folder, variants[i]);
    check_lane(&g);
    check_logits(&g);
    gw_safetensors_close(g.file);
  }
}

static void kept_vectors_are_met(void **state) {
  (void)state;
  check_folder(GW_TEST_SOURCE_DIR "/test/golden");
}

static void fresh_vectors_are_met(void **state) {
  (void)state;
  if (system("/usr/bin/python3 -c 'import torch' 2>/dev/null") != 0) {
    print_message("skipped: PyTorch is not there (apt-get install python3-torch)\n");
    skip();
  }
  const char *folder = gw_test_folder("golden");
  assert_non_null(folder);
  char command[1500];
  snprintf(command, sizeof command, "/usr/bin/python3 '%s' --out '%s' --seed %llu",
           GW_TEST_SOURCE_DIR "/test/golden/make_vectors.py", folder,
           (unsigned long long)seed % 1000000);
  assert_int_equal(system(command), 0);
  check_folder(folder);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 42);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kept_vectors_are_met),
      cmocka_unit_test(fresh_vectors_are_met),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
