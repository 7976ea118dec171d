/* Attention kernels against their references, bit for bit, at the shapes where their work is cut:
 * ends of panels, blocks, stretches and of the keys held; few and many queries; windows, documents,
 * shared keys; both kinds of operands, values whose products are subnormal; every instruction set.
 * And: what lies outside a query's document is not multiplied at all. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "op/attention_scratch.h"
#include "op/constants.h"
#include "op_case.h"

typedef struct {
  int64_t context, sequences, heads, kv_heads, head, window, document; /* 0: none */
} Shape;

static const Shape shapes[] = {
    {1, 3, 2, 1, 7, 0, 0},     {17, 2, 2, 2, 33, 5, 0},   {31, 2, 3, 1, 5, 0, 9},
    {33, 1, 4, 2, 64, 0, 0},   {65, 2, 2, 1, 80, 40, 0},  {127, 1, 1, 1, 96, 0, 30},
    {129, 1, 2, 1, 16, 64, 0}, {257, 1, 1, 1, 32, 0, 0},  {300, 1, 3, 1, 6, 100, 0},
    {520, 1, 2, 1, 8, 0, 0},   {545, 1, 1, 1, 34, 0, 50},
};

/* Queries of one sequence at the end of a slot of `keys` rows. */
typedef struct {
  int64_t queries, keys, heads, kv_heads, head, window;
} Cached;

static const Cached cached[] = {
    {1, 1, 2, 1, 7, 0},     {1, 130, 4, 2, 64, 0},  {1, 517, 2, 2, 33, 100}, {2, 129, 2, 1, 32, 0},
    {5, 70, 6, 2, 16, 0},   {8, 300, 2, 2, 64, 0},  {16, 64, 2, 1, 34, 20},  {33, 161, 2, 1, 24, 0},
    {97, 100, 1, 1, 64, 0}, {1, 517, 2, 2, 48, 90}, {1, 300, 8, 2, 80, 0},   {1, 129, 5, 1, 32, 0},
};

static uint64_t seed;

static GwType ids(int64_t n) { return (GwType){.dtype = GW_I32, .rank = 1, .dim = {n}}; }

/* Checks the shapes and makes random inputs of about `scale`. */
static void fill(GwCase *test, double scale) {
  const GwOpDef *def = gw_op_def(test->code);
  assert_ok(def->shape(&test->shapes));
  GwRng rng = gw_rng(seed, (uint64_t)test->code);
  for (int i = 0; i < gw_op_in_count(def); i++) {
    const GwType *type = &test->shapes.in[i];
    test->shapes.has[i] = true;
    test->in[i] = calloc(1, gw_oracle_size(type) + 1);
    for (int64_t k = 0; type->dtype == GW_F32 && k < gw_type_count(type); k++)
      ((double *)test->in[i])[k] = (double)(float)(gw_rng_normal(&rng) * scale);
  }
}

static void case_init(GwCase *test, GwOpcode code, const Shape *s, GwOperands operands,
                      double scale) {
  int64_t rows = s->context * s->sequences;
  *test = (GwCase){.code = code};
  GwShapes *types = &test->shapes;
  types->in[0] = gw_type_2d(GW_F32, rows, s->heads * s->head);
  types->in[1] = types->in[2] = gw_type_2d(GW_F32, rows, s->kv_heads * s->head);
  types->in[3] = ids(rows);
  types->in[4] = types->in[6] = types->in[0];
  types->in[5] = gw_type_2d(GW_F32, rows, s->heads);
  const double attr[] = {(double)s->heads, (double)s->kv_heads, (double)s->context,
                         (double)s->window, (double)operands};
  memcpy(types->attr, attr, sizeof attr);
  fill(test, scale);
  for (int64_t n = 0; n < rows; n++) {
    int64_t row = n % s->context;
    ((int32_t *)test->in[3])[n] = (int32_t)(s->document ? row % s->document : row);
  }
}

/* The same for each of several sequences, the first of them in the last slot. */
static void cached_init(GwCase *test, const Cached *c, GwOperands operands, int64_t sequences) {
  *test = (GwCase){.code = GW_OP_ATTENTION_CACHED};
  GwShapes *types = &test->shapes;
  int64_t rows = sequences * c->queries, base = c->keys - c->queries;
  types->in[0] = gw_type_2d(GW_F32, rows, c->heads * c->head);
  types->in[1] = types->in[2] =
      gw_type_2d(GW_F32, (sequences + 1) * c->kv_heads * c->keys, c->head);
  types->in[3] = ids(rows);
  types->in[4] = ids(sequences);
  const double attr[] = {(double)c->heads, (double)c->kv_heads, (double)c->keys, (double)c->window,
                         (double)operands};
  memcpy(types->attr, attr, sizeof attr);
  fill(test, 1);
  for (int64_t s = 0; s < sequences; s++)
    ((int32_t *)test->in[4])[s] = (int32_t)((sequences - s) * c->keys + base);
  for (int64_t n = 0; n < rows; n++) ((int32_t *)test->in[3])[n] = (int32_t)(base + n % c->queries);
}

enum { THREADS_MAX = 4 };
static GwPool *pools[THREADS_MAX + 1];

static void compare(const GwBackend *backend, const GwCase *test, const GwCaseCall *expected,
                    int threads) {
  GwCaseCall instance;
  gw_case_call_init(&instance, test, pools[threads], threads % 4);
  backend->run(backend, test->code, &instance.call);
  for (int i = 0; i < gw_op_out_count(gw_op_def(test->code)); i++)
    if (memcmp(instance.call.out[i], expected->call.out[i], gw_type_size(&test->shapes.out[i])))
      fail_msg("%s kernel, %d threads, %lld rows, %lld keys, %lld columns: output %d differs",
               backend->name, threads, (long long)test->shapes.in[0].dim[0],
               (long long)test->shapes.in[1].dim[0], (long long)test->shapes.in[0].dim[1], i);
  assert_true(gw_case_call_guards_hold(&instance));
  gw_case_call_deinit(&instance);
}

/* The reference once, then every instruction set with 1 to 4 threads. */
static void compare_all(GwCase *test) {
  GwCaseCall expected;
  gw_case_call_init(&expected, test, NULL, 0);
  gw_backend_reference()->run(gw_backend_reference(), test->code, &expected.call);
  for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++) {
    const GwBackend *backend = gw_backend_cpu((GwIsa)isa);
    for (int threads = 1; backend && threads <= THREADS_MAX; threads++)
      compare(backend, test, &expected, threads);
  }
  gw_case_call_deinit(&expected);
  gw_case_deinit(test);
}

static void kernels_equal_references_where_work_is_cut(void **state) {
  (void)state;
  static const GwOpcode opcodes[] = {GW_OP_ATTENTION, GW_OP_ATTENTION_GRAD};
  static const double scales[] = {1, 3e-19}; /* of the latter, products are subnormal */
  for (int threads = 1; threads <= THREADS_MAX; threads++)
    assert_ok(gw_pool_create(threads, &pools[threads]));
  GwCase test;
  for (int operands = GW_OPERANDS_F32; operands <= GW_OPERANDS_BF16; operands++) {
    for (size_t i = 0; i < GW_COUNT_OF(shapes); i++)
      for (size_t k = 0; k < GW_COUNT_OF(opcodes); k++) {
        case_init(&test, opcodes[k], &shapes[i], (GwOperands)operands, scales[i % 2]);
        compare_all(&test);
      }
    for (size_t i = 0; i < GW_COUNT_OF(cached); i++) {
      for (int64_t sequences = 1; sequences <= 3; sequences += 2) {
        cached_init(&test, &cached[i], (GwOperands)operands, sequences);
        compare_all(&test);
      }
    }
  }
  for (int threads = 1; threads <= THREADS_MAX; threads++) gw_pool_destroy(pools[threads]);
}

/* ---- documents ---- */

/* Sets every f32 input outside rows first..last to NaN; NaN times a weight of 0 is NaN. */
static void spoil_others(GwCaseCall *instance, int64_t first, int64_t last) {
  for (int i = 0; i < GW_IN_MAX; i++) {
    const GwType *type = &instance->call.shapes.in[i];
    if (!instance->call.in[i] || type->dtype != GW_F32) continue;
    float *data = instance->call.in[i];
    for (int64_t k = 0; k < gw_type_count(type); k++)
      if (k / type->dim[1] < first || k / type->dim[1] > last) data[k] = NAN;
  }
}

static void assert_rows_finite(const GwCaseCall *instance, int64_t first, int64_t last) {
  for (int i = 0; i < GW_OUT_MAX; i++) {
    if (!instance->call.out[i]) continue;
    const float *data = instance->call.out[i];
    int64_t width = instance->call.shapes.out[i].dim[1];
    for (int64_t k = first * width; k < (last + 1) * width; k++)
      if (!isfinite(data[k]))
        fail_msg("output %d, row %lld: something outside its document was multiplied", i,
                 (long long)(k / width));
  }
}

static void documents_are_multiplied_with_nothing_else(void **state) {
  (void)state;
  enum { DOCUMENT = 64 };
  const Shape shape = {8 * DOCUMENT, 1, 2, 1, 32, 0, DOCUMENT};
  static const GwOpcode opcodes[] = {GW_OP_ATTENTION, GW_OP_ATTENTION_GRAD};
  const GwBackend *backend = gw_backend_cpu(gw_isa_best());
  for (size_t k = 0; k < GW_COUNT_OF(opcodes); k++)
    for (int64_t first = 0; first < shape.context; first += DOCUMENT)
      for (int operands = 0; operands < 2; operands++) {
        GwCase test;
        GwCaseCall instance;
        case_init(&test, opcodes[k], &shape, (GwOperands)operands, 1);
        gw_case_call_init(&instance, &test, NULL, 0);
        spoil_others(&instance, first, first + DOCUMENT - 1);
        backend->run(backend, opcodes[k], &instance.call);
        assert_rows_finite(&instance, first, first + DOCUMENT - 1);
        gw_case_call_deinit(&instance);
        gw_case_deinit(&test);
      }
}

/* ---- memory ---- */

static void scratch_stays_small_for_long_sequences(void **state) {
  (void)state;
  enum { MIB = 1 << 20 };
  assert_true(gw_attention_scratch(8192, 1, 8192, 64) <= 6 * MIB);
  assert_true(gw_attention_scratch(1, 1, 8192, 64) <= 2 * MIB);
  assert_true(gw_attention_grad_scratch(8192, 64) <= 1 * MIB);
  assert_int_equal(gw_attention_grad_scratch(8192, 64), gw_attention_grad_scratch(512, 64));
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_equal_references_where_work_is_cut),
      cmocka_unit_test(documents_are_multiplied_with_nothing_else),
      cmocka_unit_test(scratch_stays_small_for_long_sequences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
