/* Every fast kernel equals its reference bit for bit: all ops of op.def, every instruction set of
 * this machine, 1 to 4 threads, aligned and misaligned buffers, poisoned outputs, guard zones
 * behind. */
#include "support.h"

#include <string.h>

#include "exec/backend_cpu.h"
#include "exec/check.h"
#include "op_case.h"

enum { ROUNDS = 24, LONG_ROUNDS = 7 };

static uint64_t seed;

static bool multiplies_matrices(const GwOpDef *def) {
  for (int i = 0; i < gw_op_attr_count(def); i++)
    if (strcmp(def->attr[i], "operands") == 0) return true;
  return false;
}

/* Products of such operands lie around 2^-126: with bf16 operands results below it must be flushed,
 * with f32 operands they must not be. */
static void shrink_operands(GwCase *test) {
  const GwOpDef *def = gw_op_def(test->code);
  for (int i = 0; i < gw_op_in_count(def); i++) {
    if (!test->shapes.has[i] || def->in[i].dtype != GW_F32) continue;
    for (int64_t k = 0; k < gw_type_count(&test->shapes.in[i]); k++)
      ((double *)test->in[i])[k] *= 0x1p-63;
  }
}

/* Every fourth round has small operands; those from ROUNDS on have long shapes. */
static void compare_case(const GwBackend *backend, GwOpcode code, uint64_t round, GwPool *pool,
                         int shift) {
  GwCase test;
  GwCaseCall instance;
  gw_case_init(&test, code, seed * 100 + round, false,
               round < ROUNDS ? 0 : (int)(round - ROUNDS) % 4 + 1);
  if (round % 4 == 3 && multiplies_matrices(gw_op_def(code))) shrink_operands(&test);
  gw_case_call_init(&instance, &test, pool, shift);
  GwCheck *check = NULL;
  assert_ok(gw_check_begin(gw_op_def(code), &instance.call, &check));
  backend->run(backend, code, &instance.call);
  GwStatus status = gw_check_end(check);
  if (status != GW_OK)
    fail_msg("%s kernel, round %d, %d threads, shift %d: %s", backend->name, (int)round,
             gw_pool_threads(pool), shift, gw_error_message());
  if (!gw_case_call_guards_hold(&instance))
    fail_msg("%s kernel of %s wrote behind a buffer (round %d)", backend->name,
             gw_op_def(code)->name, (int)round);
  gw_case_call_deinit(&instance);
  gw_case_deinit(&test);
}

static void walk(GwIsa isa) {
  const GwBackend *backend = gw_backend_cpu(isa);
  if (!backend) {
    print_message("skipped: this machine has no %s\n", gw_isa_name(isa));
    skip();
  }
  for (int threads = 1; threads <= 4; threads++) {
    GwPool *pool;
    assert_ok(gw_pool_create(threads, &pool));
    /* long shapes with one number of threads: their references take long */
    uint64_t rounds = threads == 3 ? ROUNDS + LONG_ROUNDS : ROUNDS;
    for (int code = 0; code < GW_OP_COUNT; code++)
      for (uint64_t round = 0; round < rounds; round++)
        compare_case(backend, (GwOpcode)code, round, pool, (int)(round + (uint64_t)threads) % 4);
    gw_pool_destroy(pool);
  }
}

static void generic_kernels_equal_references(void **state) {
  (void)state;
  walk(GW_ISA_ID_GENERIC);
}

static void avx2_kernels_equal_references(void **state) {
  (void)state;
  walk(GW_ISA_ID_AVX2);
}

static void avx512_kernels_equal_references(void **state) {
  (void)state;
  walk(GW_ISA_ID_AVX512);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(generic_kernels_equal_references),
      cmocka_unit_test(avx2_kernels_equal_references),
      cmocka_unit_test(avx512_kernels_equal_references),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
