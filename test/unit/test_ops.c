/* The property test: walks op.def and holds every op to the same four rules, with no code per op.
 *   gradient rules agree with finite differences of the reference in double
 *   the flops rule equals the work that the reference counted
 *   the check finds any flipped bit of any output, and passes 10,000 clean runs
 * (fast kernels against references: test_kernels.c) */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/check.h"
#include "op/constants.h"
#include "op_case.h"
#include "pass/autodiff.h"

static uint64_t seed;

/* ---- gradients ---- */

typedef struct {
  GwProgram program;
  GwCase test;
  GwValueId in[GW_IN_MAX], seed_value, wanted[GW_IN_MAX + 1], gradients[GW_IN_MAX + 1];
  int32_t forward_ops;
  void **values;
} Graph;

static bool is_differentiable(const GwOpDef *def, const Graph *graph, int i) {
  return graph->in[i] && def->in[i].dtype == GW_F32 && !(def->in[i].flags & GW_ARG_CONSTANT);
}

/* One op, its inputs declared, its gradient appended. */
static void graph_init(Graph *graph, GwOpcode code, uint64_t case_seed) {
  const GwOpDef *def = gw_op_def(code);
  *graph = (Graph){0};
  gw_case_init(&graph->test, code, case_seed, false, 0);
  gw_program_init(&graph->program, def->name);
  int wanted = 0;
  for (int i = 0; i < GW_IN_MAX; i++) {
    if (!graph->test.shapes.has[i]) continue;
    GwClass class = graph->test.example.in[i].param ? GW_CLASS_PARAM : GW_CLASS_INPUT;
    graph->in[i] = gw_value_add(&graph->program, class, graph->test.shapes.in[i], def->in[i].name);
    if (class == GW_CLASS_INPUT && is_differentiable(def, graph, i))
      graph->wanted[wanted++] = graph->in[i];
  }
  GwValueId out = gw_emit(&graph->program, code, graph->in, graph->test.shapes.attr);
  graph->forward_ops = graph->program.op_count;
  GwAutodiffOptions options = {.limit = 0x1p18};
  if (!def->is_loss) {
    graph->seed_value =
        gw_value_add(&graph->program, GW_CLASS_INPUT, graph->test.shapes.out[0], "seed");
    options.seed_of[0] = out;
    options.seeds[0] = graph->seed_value;
  }
  gw_autodiff(&graph->program, &options, graph->wanted, graph->gradients);
  if (graph->program.status != GW_OK) fail_msg("%s: %s", def->name, gw_error_message());
  graph->values = calloc((size_t)graph->program.value_count, sizeof *graph->values);
  for (GwValueId id = 1; id < graph->program.value_count; id++)
    graph->values[id] = calloc(1, gw_oracle_size(&graph->program.values[id].type) + 1);
  for (int i = 0; i < GW_IN_MAX; i++)
    if (graph->in[i])
      memcpy(graph->values[graph->in[i]], graph->test.in[i],
             gw_oracle_size(&graph->test.shapes.in[i]));
  GwRng rng = gw_rng(case_seed, 99);
  for (int64_t k = 0; graph->seed_value && k < gw_type_count(&graph->test.shapes.out[0]); k++)
    ((double *)graph->values[graph->seed_value])[k] = gw_rng_normal(&rng);
}

static void graph_deinit(Graph *graph) {
  for (GwValueId id = 1; id < graph->program.value_count; id++) free(graph->values[id]);
  free(graph->values);
  gw_program_deinit(&graph->program);
  gw_case_deinit(&graph->test);
}

/* The scalar that is differentiated: seed · y, or the mean loss. */
static double objective(Graph *graph) {
  gw_oracle_run(&graph->program, 0, graph->forward_ops, graph->values);
  const GwOp *op = &graph->program.ops[0];
  const double *y = graph->values[op->out[0]];
  const double *weights = graph->seed_value ? graph->values[graph->seed_value] : NULL;
  int64_t count = gw_type_count(&graph->test.shapes.out[0]);
  double sum = 0;
  for (int64_t k = 0; k < count; k++) sum += weights ? weights[k] * y[k] : y[k] / (double)count;
  return sum;
}

static double gradient_at(Graph *graph, int i, int64_t k) {
  if (graph->test.example.in[i].param) {
    GwValueId sum =
        gw_value_find(&graph->program, GW_CLASS_ACCUM, gw_op_def(graph->test.code)->in[i].name);
    return (double)((int64_t *)graph->values[sum])[k] * GW_FIXED_UNIT;
  }
  for (int w = 0; graph->wanted[w]; w++) {
    if (graph->wanted[w] != graph->in[i]) continue;
    assert_int_not_equal(graph->gradients[w], 0); /* a differentiable input needs a gradient */
    return ((double *)graph->values[graph->gradients[w]])[k];
  }
  fail_msg("input %d is not wanted", i);
  return 0;
}

static void compare_input(Graph *graph, int i, GwRng *rng) {
  const GwOpDef *def = gw_op_def(graph->test.code);
  double *x = graph->values[graph->in[i]];
  int64_t count = gw_type_count(&graph->test.shapes.in[i]);
  for (int64_t sample = 0; sample < gw_min_i64(count, 12); sample++) {
    int64_t k = count <= 12 ? sample : (int64_t)gw_rng_below(rng, (uint64_t)count);
    double value = x[k], h = 1e-5, rule = gradient_at(graph, i, k);
    x[k] = value + h;
    double above = objective(graph);
    x[k] = value - h;
    double below = objective(graph);
    x[k] = value;
    double slope = (above - below) / (2 * h);
    if (!(fabs(slope - rule) <= 2e-6 * (1 + fabs(slope))))
      fail_msg("%s: d/d%s[%lld]: rule %.10g, finite difference %.10g", def->name, def->in[i].name,
               (long long)k, rule, slope);
  }
}

static void gradient_rules_agree_with_finite_differences(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 5);
  int with_rule = 0;
  for (int code = 0; code < GW_OP_COUNT; code++) {
    const GwOpDef *def = gw_op_def((GwOpcode)code);
    if (!def->gradient) continue;
    with_rule++;
    for (uint64_t round = 0; round < 6; round++) {
      Graph graph;
      graph_init(&graph, (GwOpcode)code, seed * 1000 + round);
      gw_oracle_run(&graph.program, 0, graph.program.op_count, graph.values);
      for (int i = 0; i < GW_IN_MAX; i++)
        if (is_differentiable(def, &graph, i)) compare_input(&graph, i, &rng);
      graph_deinit(&graph);
    }
  }
  assert_true(with_rule >= 10);
}

/* ---- cost ---- */

static void flops_rules_equal_counted_work(void **state) {
  (void)state;
  for (int code = 0; code < GW_OP_COUNT; code++)
    for (uint64_t round = 0; round < 10; round++) {
      GwCase test;
      gw_case_init(&test, (GwOpcode)code, seed * 77 + round, true, 0);
      const GwOpDef *def = gw_op_def_f64((GwOpcode)code);
      GwCall call = {.shapes = test.shapes};
      memcpy(call.in, test.in, sizeof call.in);
      for (int i = 0; i < gw_op_out_count(def); i++)
        call.out[i] = calloc(1, gw_oracle_size(&test.shapes.out[i]) + 1);
      gw_oracle_work = 0;
      def->reference(&call, 0, def->units(&test.shapes));
      if (gw_oracle_work != def->flops(&test.shapes))
        fail_msg("%s: counted %lld, the rule says %lld", def->name, (long long)gw_oracle_work,
                 (long long)def->flops(&test.shapes));
      for (int i = 0; i < GW_OUT_MAX; i++) free(call.out[i]);
      gw_case_deinit(&test);
    }
}

/* ---- the check ---- */

/* Runs a case with the reference backend under the check; flips one bit in between when asked. */
static GwStatus run_checked(GwOpcode code, uint64_t case_seed, GwRng *flip) {
  GwCase test;
  GwCaseCall instance;
  gw_case_init(&test, code, case_seed, false, 0);
  gw_case_call_init(&instance, &test, NULL, 0);
  const GwOpDef *def = gw_op_def(code);
  GwCheck *check = NULL;
  assert_ok(gw_check_begin(def, &instance.call, &check));
  const GwBackend *backend = gw_backend_reference();
  backend->run(backend, code, &instance.call);
  if (flip) { /* any bit of anything the op wrote */
    void *targets[GW_IN_MAX + GW_OUT_MAX];
    size_t sizes[GW_IN_MAX + GW_OUT_MAX], count = 0;
    for (int i = 0; i < gw_op_in_count(def); i++)
      if (instance.call.in[i] && def->in[i].flags & GW_ARG_INOUT) {
        sizes[count] = gw_type_size(&test.shapes.in[i]);
        targets[count++] = instance.call.in[i];
      }
    for (int i = 0; i < gw_op_out_count(def); i++) {
      if (def->out[i].flags & GW_ARG_WORKSPACE) continue;
      sizes[count] = gw_type_size(&test.shapes.out[i]);
      targets[count++] = instance.call.out[i];
    }
    size_t which = gw_rng_below(flip, count), bit = gw_rng_below(flip, sizes[which] * 8);
    ((unsigned char *)targets[which])[bit / 8] ^= (unsigned char)(1u << (bit % 8));
  }
  GwStatus status = gw_check_end(check);
  gw_case_call_deinit(&instance);
  gw_case_deinit(&test);
  return status;
}

static void check_finds_every_flipped_bit(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 6);
  for (int code = 0; code < GW_OP_COUNT; code++)
    for (uint64_t round = 0; round < 10; round++)
      if (run_checked((GwOpcode)code, seed + round, &rng) != GW_NUMERIC)
        fail_msg("%s: a flipped bit passed the check", gw_op_def((GwOpcode)code)->name);
}

static void check_passes_ten_thousand_clean_runs(void **state) {
  (void)state;
  for (uint64_t run = 0; run < 10000; run++) {
    GwOpcode code = (GwOpcode)(run % GW_OP_COUNT);
    if (run_checked(code, seed * 31 + run / GW_OP_COUNT, NULL) != GW_OK)
      fail_msg("a clean run failed: %s", gw_error_message());
  }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradient_rules_agree_with_finite_differences),
      cmocka_unit_test(flops_rules_equal_counted_work),
      cmocka_unit_test(check_finds_every_flipped_bit),
      cmocka_unit_test(check_passes_ten_thousand_clean_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
