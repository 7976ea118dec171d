/* Products that verify themselves: no alarm and no changed bit where all is well, for any shape,
 * instruction set, layout, number of threads and kind of data; every change of an element that is
 * larger than what the header promises to see is found; and training with it. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "exec/backend_cpu.h"
#include "exec/check.h"
#include "op_case.h"
#include "small_run.h"
#include "train/trainer.h"

#define GW_ISA_GENERIC
#include "kernel/cpu/gemm_check.h"

typedef struct {
  void (*multiply)(GwPool *pool, const GwGemm *gemm, char *scratch);
  void (*begin)(const GwGemm *gemm, GwPool *pool);
  void (*block)(const GwGemm *gemm, const float *c, int64_t c_row, int64_t row, int64_t rows,
                int64_t columns);
  void (*end)(const GwGemm *gemm, GwPool *pool);
} Kernels;

#define KERNELS(isa)                                                                               \
  {                                                                                                \
    gw_cpu_##isa##_gemm, gw_cpu_##isa##_gemm_check_begin, gw_cpu_##isa##_gemm_check_block,         \
        gw_cpu_##isa##_gemm_check_end                                                              \
  }
#define DECLARE(isa)                                                                               \
  void gw_cpu_##isa##_gemm(GwPool *pool, const GwGemm *gemm, char *scratch);                       \
  void gw_cpu_##isa##_gemm_check_begin(const GwGemm *gemm, GwPool *pool);                          \
  void gw_cpu_##isa##_gemm_check_block(const GwGemm *gemm, const float *c, int64_t c_row,          \
                                       int64_t row, int64_t rows, int64_t columns);                \
  void gw_cpu_##isa##_gemm_check_end(const GwGemm *gemm, GwPool *pool);
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
static const Kernels kernels[GW_ISA_ID_COUNT] = {KERNELS(generic), KERNELS(avx2), KERNELS(avx512)};
#else
static const Kernels kernels[GW_ISA_ID_COUNT] = {KERNELS(generic)};
#endif

enum { THREADS_MAX = 3, LONG = 4097, CASES = 250, VOCAB = 61 };

/* What the operands are like. */
typedef enum {
  ORDINARY,  /* around 0 */
  POSITIVE,  /* all of one sign */
  CONSTANT,  /* rounding goes one way again and again */
  SPREAD,    /* magnitudes from 2^-60 to 2^60 */
  TINY,      /* products are subnormal */
  DOMINATED, /* a few huge columns */
  SPARSE,    /* mostly zeros */
  HUGE_ONES, /* chains overflow */
  BROKEN,    /* an infinity, a NaN */
  KINDS
} Kind;

typedef struct {
  GwGemm gemm;
  Kind kind;
  GwAbft abft;
  float *a, *b, *c, *start, *bias, *plain;
} Case;

static GwRng rng;
static uint64_t seed;
static GwPool *pools[THREADS_MAX];
static char *scratch;

static int64_t below(int64_t n) { return (int64_t)gw_rng_below(&rng, (uint64_t)n); }

static float value_of(Kind kind) {
  float x = (float)(gw_rng_uniform(&rng) - 0.5);
  switch (kind) {
  case POSITIVE: return x + 0.5f;
  case CONSTANT: return 0.1f;
  case SPREAD: return ldexpf(x, (int)below(121) - 60);
  case TINY: return x * 0x1p-63f;
  case DOMINATED: return below(100) == 0 ? x * 0x1p20f : x;
  case SPARSE: return below(8) ? 0 : x;
  case HUGE_ONES: return x * 0x1p64f;
  default: return x;
  }
}

static float *values(int64_t count, Kind kind) {
  float *out = gw_buffer_create((size_t)count * sizeof *out);
  assert_non_null(out);
  for (int64_t i = 0; i < count; i++) out[i] = value_of(kind);
  if (kind == BROKEN) out[below(count)] = below(2) ? NAN : INFINITY;
  return out;
}

/* A matrix [rows,columns] in either layout. */
static GwMatrix view(const float *at, int64_t rows, int64_t columns) {
  return below(2) ? (GwMatrix){at, columns, 1} : (GwMatrix){at, 1, rows};
}

static void case_init(Case *out, int64_t rows, int64_t columns, int64_t depth, Kind kind) {
  *out = (Case){.kind = kind};
  out->a = values(rows * depth, kind);
  out->b = values(depth * columns, kind);
  out->c = values(rows * columns, ORDINARY);
  out->plain = values(rows * columns, ORDINARY);
  out->start = values(rows * columns, kind);
  out->bias = values(columns, kind);
  GwGemm *gemm = &out->gemm;
  *gemm = (GwGemm){.rows = rows, .columns = columns, .depth = depth, .c_row = columns};
  gemm->a = view(out->a, rows, depth);
  gemm->b = view(out->b, depth, columns);
  gemm->operands = below(2) ? GW_OPERANDS_BF16 : GW_OPERANDS_F32;
  gemm->accumulate = below(4) == 0;
  gemm->bias = below(3) == 0 ? out->bias : NULL;
  out->abft.room_count = 4 * gw_max_i64(gw_max_i64(rows, columns), depth);
  out->abft.room = gw_buffer_create((size_t)out->abft.room_count * sizeof(double));
  memset(out->abft.room, 0xfb, (size_t)out->abft.room_count * sizeof(double));
}

static void case_deinit(Case *test) {
  void *buffers[] = {test->a,     test->b,    test->c,        test->plain,
                     test->start, test->bias, test->abft.room};
  for (size_t i = 0; i < GW_COUNT_OF(buffers); i++) gw_buffer_destroy(buffers[i]);
}

/* Small ones; in one case of seven a side is long and the others are not beyond 31. */
static void random_case(Case *out, Kind kind) {
  static const int64_t sizes[] = {1, 2, 3, 8, 16, 17, 31, 64, 127};
  int64_t size[3];
  int64_t odd = below(21);
  for (int i = 0; i < 3; i++) size[i] = sizes[below(odd < 3 ? 7 : (int64_t)GW_COUNT_OF(sizes))];
  if (odd < 3) size[odd] = LONG;
  case_init(out, size[0], size[1], size[2], kind);
}

static const char *describe(const Case *test, int isa) {
  static char text[200];
  const GwGemm *g = &test->gemm;
  snprintf(text, sizeof text,
           "%s, kind %d, %lld x %lld x %lld, operands %d, accumulate %d, bias %d",
           gw_isa_name((GwIsa)isa), (int)test->kind, (long long)g->rows, (long long)g->columns,
           (long long)g->depth, (int)g->operands, g->accumulate, g->bias != NULL);
  return text;
}

/* C without the check into test->plain, with it into test->c. */
static void run_both(Case *test, int isa, GwPool *pool) {
  size_t bytes = (size_t)(test->gemm.rows * test->gemm.columns) * sizeof(float);
  for (int on = 0; on < 2; on++) {
    GwGemm gemm = test->gemm;
    gemm.c = on ? test->c : test->plain;
    gemm.abft = on ? &test->abft : NULL;
    memcpy(gemm.c, test->start, bytes);
    kernels[isa].multiply(pool, &gemm, scratch);
  }
  assert_memory_equal(test->c, test->plain, bytes);
}

static void no_alarm_and_no_changed_bit(void **state) {
  (void)state;
  int64_t products = 0, recomputed = 0;
  for (int i = 0; i < CASES * KINDS; i++) {
    Case test;
    random_case(&test, (Kind)(i % KINDS));
    for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++) {
      if (!gw_isa_available((GwIsa)isa)) continue;
      run_both(&test, isa, pools[below(THREADS_MAX)]);
      if (test.abft.faults)
        fail_msg("%s: row %lld is %a, expected %a, allowed %a", describe(&test, isa),
                 (long long)test.abft.row, test.abft.found, test.abft.expected, test.abft.allowed);
      products++;
      recomputed += gw_min_i64(test.abft.recomputed, 2);
    }
    case_deinit(&test);
  }
  print_message("%lld products, %lld rows recomputed\n", (long long)products,
                (long long)recomputed);
  assert_true(recomputed > 0); /* the data reach that path */
}

/* All ops with products, among them those that use C up: the bits of the references. */
static void ops_verify_their_products(void **state) {
  (void)state;
  static const GwOpcode codes[] = {GW_OP_LINEAR,         GW_OP_LINEAR_ACTIVATION, GW_OP_LINEAR_DX,
                                   GW_OP_LINEAR_DW,      GW_OP_LINEAR_SUM,        GW_OP_HEAD_LOSS,
                                   GW_OP_HEAD_LOSS_GRAD, GW_OP_HEAD_LOSS_SUM};
  for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++)
    for (int round = 0; gw_isa_available((GwIsa)isa) && round < 12; round++)
      for (size_t i = 0; i < GW_COUNT_OF(codes); i++) {
        GwCase test;
        GwCaseCall instance;
        GwCheck *check = NULL;
        gw_case_init(&test, codes[i], seed * 100 + (uint64_t)round, false, 0);
        gw_case_call_init(&instance, &test, pools[round % THREADS_MAX], round % 4);
        GwAbft abft = {.room_count = gw_abft_room(&test.shapes)};
        abft.room = gw_buffer_create((size_t)abft.room_count * sizeof(double));
        memset(abft.room, 0xfb, (size_t)abft.room_count * sizeof(double));
        instance.call.abft = &abft;
        assert_ok(gw_check_begin(gw_op_def(codes[i]), &instance.call, &check));
        const GwBackend *backend = gw_backend_cpu((GwIsa)isa);
        backend->run(backend, codes[i], &instance.call);
        assert_ok(gw_check_end(check));
        assert_int_equal(abft.faults, 0);
        double untouched;
        memset(&untouched, 0xfb, sizeof untouched);
        assert_memory_not_equal(abft.room, &untouched, sizeof untouched); /* it did run */
        gw_buffer_destroy(abft.room);
        gw_case_call_deinit(&instance);
        gw_case_deinit(&test);
      }
}

/* ---- faults ---- */

/* Of row i, by the formulas of gemm_check.h: the bound, and where doubt begins. */
typedef struct {
  double bound, doubt;
} Limits;

static double operand(const Case *test, float x) {
  return (double)(test->gemm.operands == GW_OPERANDS_BF16 ? gw_bf16_round(x) : x);
}

static Limits limits_of(const Case *test, int64_t row) {
  const GwGemm *g = &test->gemm;
  double magnitude = 0, n = (double)g->depth + 2, columns = (double)g->columns;
  for (int64_t j = 0; j < g->columns; j++) {
    if (g->bias) magnitude += fabs((double)g->bias[j]);
    if (g->accumulate) magnitude += fabs((double)test->start[row * g->columns + j]);
    for (int64_t k = 0; k < g->depth; k++)
      magnitude += fabs(operand(test, g->a.at[row * g->a.row + k * g->a.column]) *
                        operand(test, g->b.at[k * g->b.row + j * g->b.column]));
  }
  double rest = (n + columns + 8) * 0x1p-52 * magnitude + columns * n * 0x1p-125;
  Limits out = {.bound = 1.001 * n * 0x1p-24 * magnitude + rest};
  double doubt = 2.001 * sqrt(n / columns) * 0x1p-24 * magnitude + rest;
  out.doubt = g->accumulate ? out.bound : fmin(doubt, out.bound);
  return out;
}

/* The check of a C that was computed before, in blocks as a product hands them over. */
static void check_alone(Case *test, int isa, GwPool *pool) {
  GwGemm gemm = test->gemm;
  gemm.c = test->start; /* the old one */
  gemm.abft = &test->abft;
  test->abft.faults = 0;
  kernels[isa].begin(&gemm, pool);
  int64_t left = gemm.columns / 2, right = gemm.columns - left;
  kernels[isa].block(&gemm, test->c, gemm.columns, 0, gemm.rows, left);
  kernels[isa].block(&gemm, test->c + left, gemm.columns, 0, gemm.rows, right);
  kernels[isa].end(&gemm, pool);
}

/* Flips a bit, or several neighbours, of one element from `lowest` to 31; how far it moved. */
static double damage(float *x, int lowest) {
  uint32_t bits, mask = 1u << (lowest + (int)below(32 - lowest));
  if (below(4) == 0) mask |= mask >> 1;
  float before = *x;
  memcpy(&bits, x, sizeof bits);
  bits ^= mask;
  memcpy(x, &bits, sizeof bits);
  double change = fabs((double)*x - (double)before);
  return change >= 0 ? change : INFINITY;
}

typedef struct {
  int64_t tried, found, beyond; /* beyond: larger than what must be seen */
} Tally;

/* Damages one element of a product that has been computed, `times` times. */
static void damage_one(Case *test, int isa, int lowest, bool even, Tally *tally) {
  const GwGemm *gemm = &test->gemm;
  int64_t row = below(gemm->rows), at = row * gemm->columns + below(gemm->columns);
  float right = test->c[at];
  double change = damage(&test->c[at], lowest);
  Limits limits = limits_of(test, row);
  check_alone(test, isa, pools[below(THREADS_MAX)]);
  /* Rounding may have moved the sum the other way before: so twice as much must be seen. On data
   * on which rounding is not even, other rows may have been recomputed instead. */
  bool must = change > 2 * (even ? limits.doubt : limits.bound);
  if (must && test->abft.faults == 0)
    fail_msg("%s: a change of %a in row %lld is not seen (bound %a, doubt %a)", describe(test, isa),
             change, (long long)row, limits.bound, limits.doubt);
  if (test->abft.faults) {
    assert_int_equal(test->abft.faults, 1);
    assert_int_equal(test->abft.row, row);
  }
  tally->tried++;
  tally->beyond += must;
  tally->found += test->abft.faults > 0;
  test->c[at] = right;
}

static void damage_cases(int count, Kind kind, int lowest, Tally *tally) {
  for (int i = 0; i < count; i++) {
    Case test;
    random_case(&test, kind);
    for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++) {
      if (!gw_isa_available((GwIsa)isa)) continue;
      run_both(&test, isa, pools[below(THREADS_MAX)]);
      for (int time = 0; time < 2; time++) damage_one(&test, isa, lowest, kind == ORDINARY, tally);
    }
    case_deinit(&test);
  }
}

static void changes_beyond_the_limits_are_found(void **state) {
  (void)state;
  const Kind kinds[] = {ORDINARY, POSITIVE, SPREAD, DOMINATED, SPARSE, TINY};
  for (size_t i = 0; i < GW_COUNT_OF(kinds); i++) {
    Tally tally = {0};
    damage_cases(kinds[i] == ORDINARY ? 400 : 80, kinds[i], 16, &tally);
    print_message("kind %d: %lld changes, %lld had to be found, %lld were\n", (int)kinds[i],
                  (long long)tally.tried, (long long)tally.beyond, (long long)tally.found);
    assert_true(tally.beyond > tally.tried / 4 || kinds[i] == TINY);
  }
}

/* What docs/numbers-contract.md says of a typical product. */
static void upper_bits_of_a_typical_product_are_seen(void **state) {
  (void)state;
  Case test;
  int isa = (int)gw_isa_best();
  case_init(&test, 64, 768, 768, ORDINARY);
  test.gemm.accumulate = false;
  run_both(&test, isa, pools[1]);
  for (int bit = 31; bit >= 8; bit--) {
    int found = 0, tried = 40;
    for (int i = 0; i < tried; i++) {
      int64_t at = below(64 * 768);
      float right = test.c[at];
      uint32_t bits;
      memcpy(&bits, &right, sizeof bits);
      bits ^= 1u << bit;
      memcpy(&test.c[at], &bits, sizeof bits);
      check_alone(&test, isa, pools[1]);
      found += test.abft.faults > 0;
      test.c[at] = right;
    }
    print_message("bit %d: %d of %d\n", bit, found, tried);
    if (bit == 30) assert_int_equal(found, tried);
    if (bit >= 19) assert_true(found >= tried * 8 / 10);
  }
  case_deinit(&test);
}

/* A C that became infinite or NaN without a reason in its operands. */
static void what_is_not_finite_is_found(void **state) {
  (void)state;
  Case test;
  case_init(&test, 17, 31, 127, ORDINARY);
  for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++) {
    if (!gw_isa_available((GwIsa)isa)) continue;
    run_both(&test, isa, pools[0]);
    test.c[40] = isa % 2 ? NAN : -INFINITY;
    check_alone(&test, isa, pools[0]);
    assert_int_equal(test.abft.faults, 1);
    assert_int_equal(test.abft.row, 1);
  }
  case_deinit(&test);
}

/* ---- training ---- */

static GwRecipe recipe_of(int variant) {
  bool gpt2 = variant / 2;
  const char *const overrides[] = {gpt2 ? "model.family=gpt2" : "model.family=llama",
                                   gpt2 ? "model.activation=gelu" : "model.activation=swiglu",
                                   variant % 2 ? "dtype=bf16" : "dtype=f32",
                                   "model.layers=2",
                                   "model.width=24",
                                   "model.heads=4",
                                   gpt2 ? "model.kv_heads=4" : "model.kv_heads=2",
                                   "model.context=20",
                                   "train.lanes=3",
                                   "train.lane_batch=2"};
  return gw_test_recipe(overrides, GW_COUNT_OF(overrides), VOCAB);
}

static uint64_t train(GwRecipe *recipe, const GwBackend *backend, int threads, GwLaneWay way,
                      bool abft) {
  GwTrainer *trainer;
  uint64_t signatures[3];
  GwTestBatches batches = {recipe, seed};
  assert_ok(gw_trainer_create(recipe, backend, pools[threads - 1], &trainer));
  if (abft) assert_ok(gw_trainer_verify_products(trainer));
  gw_trainer_set_way(trainer, way);
  for (int64_t step = 0; step < 3; step++) {
    GwStepReport report;
    gw_trainer_begin(trainer);
    assert_ok(gw_trainer_lanes(trainer, step, gw_test_fill, &batches, signatures));
    assert_ok(gw_trainer_end(trainer, step, NULL, &report));
  }
  uint64_t hash = gw_trainer_hash(trainer, 3);
  gw_trainer_destroy(trainer);
  return hash;
}

static void training_gives_the_same_state(void **state) {
  (void)state;
  for (int variant = 0; variant < 4; variant++) {
    GwRecipe recipe = recipe_of(variant);
    uint64_t wanted = train(&recipe, gw_backend_cpu(GW_ISA_ID_GENERIC), 1, GW_WAY_INSIDE, false);
    for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++)
      for (int threads = 1; gw_isa_available((GwIsa)isa) && threads <= THREADS_MAX; threads++) {
        const GwBackend *backend = gw_backend_cpu((GwIsa)isa);
        assert_true(train(&recipe, backend, threads, GW_WAY_INSIDE, true) == wanted);
        assert_true(train(&recipe, backend, threads, GW_WAY_LANES, true) == wanted);
      }
  }
}

/* Another thread's product damaged C, or so it seems: a fault is reported before the op ends. */
static GwStatus pretend_a_fault(void *self, int32_t op, const GwOpDef *def, GwCall *call) {
  (void)self, (void)op;
  if (strcmp(def->name, "linear_sum") != 0 || call->key.lane != 1) return GW_OK;
  call->abft->faults = 1;
  call->abft->row = 5;
  call->abft->found = 3;
  call->abft->expected = 2;
  return GW_OK;
}

static void a_fault_ends_the_step_and_is_named(void **state) {
  (void)state;
  GwRecipe recipe = recipe_of(0);
  GwTestBatches batches = {&recipe, seed};
  for (int way = 0; way < 2; way++) {
    GwTrainer *trainer;
    uint64_t signatures[3];
    GwStepReport report;
    GwObserver fault = {.before = pretend_a_fault};
    assert_ok(gw_trainer_create(&recipe, gw_backend_cpu(gw_isa_best()), pools[1], &trainer));
    assert_ok(gw_trainer_verify_products(trainer));
    gw_trainer_set_way(trainer, way ? GW_WAY_LANES : GW_WAY_INSIDE);
    gw_trainer_observe(trainer, &fault);
    gw_trainer_begin(trainer);
    assert_fails(GW_NUMERIC, "(linear_sum)",
                 gw_trainer_lanes(trainer, 6, gw_test_fill, &batches, signatures));
    assert_non_null(strstr(gw_error_message(), "step 7, lane 1, op "));
    assert_non_null(strstr(gw_error_message(), "row 5 adds up to 3 instead of 2"));
    assert_non_null(strstr(gw_error_message(), "resume from the last checkpoint"));
    gw_trainer_observe(trainer, NULL); /* and the next try begins anew */
    gw_trainer_begin(trainer);
    assert_ok(gw_trainer_lanes(trainer, 6, gw_test_fill, &batches, signatures));
    assert_ok(gw_trainer_end(trainer, 6, NULL, &report));
    gw_trainer_destroy(trainer);
  }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  rng = gw_rng(seed, 0);
  for (int i = 0; i < THREADS_MAX; i++)
    if (gw_pool_create(i + 1, &pools[i]) != GW_OK) return 1;
  scratch = gw_buffer_create(THREADS_MAX * GW_GEMM_SCRATCH);
  if (!scratch) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_alarm_and_no_changed_bit),
      cmocka_unit_test(ops_verify_their_products),
      cmocka_unit_test(changes_beyond_the_limits_are_found),
      cmocka_unit_test(upper_bits_of_a_typical_product_are_seen),
      cmocka_unit_test(what_is_not_finite_is_found),
      cmocka_unit_test(training_gives_the_same_state),
      cmocka_unit_test(a_fault_ends_the_step_and_is_named),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  gw_buffer_destroy(scratch);
  for (int i = 0; i < THREADS_MAX; i++) gw_pool_destroy(pools[i]);
  return failed;
}
