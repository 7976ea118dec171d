/* The matrix product itself: every instruction set, both ways of bf16, both layouts of each operand
 * in misaligned views, 1 to 4 threads, with and without C, gives the bits of a plain chain; and
 * `finish` sees every element of C exactly once. (test_gemm.c: the same through the ops.) */
#include "support.h"

#include <string.h>

#include "base/arena.h"
#include "exec/cpu_features.h"

#define GW_ISA_GENERIC
#include "kernel/cpu/gemm_parts.h"

typedef void Product(GwTileKind kind, GwPool *pool, const GwGemm *gemm, char *scratch);
#if defined(__x86_64__)
Product gw_cpu_avx2_gemm_as, gw_cpu_avx512_gemm_as;
static Product *const products[GW_ISA_ID_COUNT] = {gw_cpu_generic_gemm_as, gw_cpu_avx2_gemm_as,
                                                   gw_cpu_avx512_gemm_as};
#else
static Product *const products[GW_ISA_ID_COUNT] = {gw_cpu_generic_gemm_as};
#endif

enum { THREADS_MAX = 4, GAP = 3 /* floats between rows of a view */ };

typedef struct {
  int64_t rows, columns, depth;
} Size;

/* An operand [rows,columns] stored by rows and by columns, each view misaligned. */
typedef struct {
  float *memory[2];
  GwMatrix view[2];
} Operand;

typedef struct {
  Size size;
  GwOperands operands;
  bool accumulate, has_bias;
  Operand a, b;
  float *start, *bias, *wanted; /* what C starts with; what it must become */
  float *c, *seen;              /* C itself; what finish saw */
  uint8_t *visits;
  char *scratch;
} Case;

static GwRng rng;

/* Mostly ordinary; some so small that sums of products are subnormal. */
static float random_value(void) {
  float x = (float)(gw_rng_uniform(&rng) - 0.5);
  switch (gw_rng_below(&rng, 16)) {
  case 0: return x * 0x1p-64f;
  case 1: return x * 0x1p-126f;
  case 2: return 0.0f * x;
  default: return x;
  }
}

static float *random_values(int64_t count) {
  float *values = gw_buffer_create((size_t)count * sizeof *values);
  assert_non_null(values);
  for (int64_t i = 0; i < count; i++) values[i] = random_value();
  return values;
}

static void operand_init(Operand *out, int64_t rows, int64_t columns) {
  out->memory[0] = random_values(rows * (columns + GAP) + 1);
  out->memory[1] = random_values(columns * (rows + GAP) + 1);
  out->view[0] = (GwMatrix){out->memory[0] + 1, columns + GAP, 1};
  out->view[1] = (GwMatrix){out->memory[1] + 1, 1, rows + GAP};
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      out->memory[1][1 + i + j * (rows + GAP)] = out->view[0].at[i * (columns + GAP) + j];
}

static void operand_deinit(Operand *operand) {
  gw_buffer_destroy(operand->memory[0]);
  gw_buffer_destroy(operand->memory[1]);
}

/* One element of C by the definition. */
static float element(const Case *test, int64_t i, int64_t j) {
  GwMatrix a = test->a.view[0], b = test->b.view[1];
  float sum = test->accumulate ? test->start[i * test->size.columns + j] : 0;
  for (int64_t n = 0; n < test->size.depth; n++) {
    int64_t k = test->operands == GW_OPERANDS_BF16 && (n ^ 1) < test->size.depth ? n ^ 1 : n;
    float x = a.at[i * a.row + k], y = b.at[k + j * b.column];
    sum = test->operands == GW_OPERANDS_BF16 ? gw_fma_bf16(gw_bf16_round(x), gw_bf16_round(y), sum)
                                             : gw_fma(x, y, sum);
  }
  return test->has_bias ? sum + test->bias[j] : sum;
}

static void case_init(Case *out, Size size, GwOperands operands, bool accumulate, bool has_bias) {
  *out = (Case){.size = size, .operands = operands};
  out->accumulate = accumulate;
  out->has_bias = has_bias;
  int64_t count = size.rows * size.columns;
  operand_init(&out->a, size.rows, size.depth);
  operand_init(&out->b, size.depth, size.columns);
  out->start = random_values(count);
  out->bias = random_values(size.columns);
  out->wanted = random_values(count);
  out->c = random_values(size.rows * (size.columns + GAP) + 1);
  out->seen = random_values(count);
  out->visits = gw_buffer_create((size_t)count);
  out->scratch = gw_buffer_create(THREADS_MAX * GW_GEMM_SCRATCH);
  assert_non_null(out->visits);
  assert_non_null(out->scratch);
  memset(out->scratch, 0xfb, THREADS_MAX * GW_GEMM_SCRATCH);
  for (int64_t i = 0; i < size.rows; i++)
    for (int64_t j = 0; j < size.columns; j++)
      out->wanted[i * size.columns + j] = element(out, i, j);
}

static void case_deinit(Case *test) {
  operand_deinit(&test->a);
  operand_deinit(&test->b);
  gw_buffer_destroy(test->start);
  gw_buffer_destroy(test->bias);
  gw_buffer_destroy(test->wanted);
  gw_buffer_destroy(test->c);
  gw_buffer_destroy(test->seen);
  gw_buffer_destroy(test->visits);
  gw_buffer_destroy(test->scratch);
}

/* Notes what it sees, and changes it in place. */
static void finish(void *context, float *c, int64_t c_row, int64_t row, int64_t rows,
                   int64_t column, int64_t columns, int thread) {
  Case *test = context;
  assert_in_range(thread, 0, THREADS_MAX - 1);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) {
      int64_t at = (row + i) * test->size.columns + column + j;
      test->visits[at]++;
      test->seen[at] = c[i * c_row + j];
      c[i * c_row + j] = -c[i * c_row + j];
    }
}

typedef struct {
  GwIsa isa;
  GwTileKind kind;
  int threads, a, b; /* a, b: which views */
  bool has_c, has_finish;
} Way;

static void assert_bits(const Case *test, const Way *way, float got, float wanted, int64_t i,
                        int64_t j) {
  if (memcmp(&got, &wanted, sizeof got) == 0) return;
  fail_msg("%s kind %d, %d threads, views %d %d, C %d: [%lld,%lld] of %lld x %lld x %lld is %a, "
           "wanted %a",
           gw_isa_name(way->isa), (int)way->kind, way->threads, way->a, way->b, way->has_c,
           (long long)i, (long long)j, (long long)test->size.rows, (long long)test->size.columns,
           (long long)test->size.depth, (double)got, (double)wanted);
}

static void compare(const Case *test, const Way *way) {
  int64_t columns = test->size.columns;
  for (int64_t i = 0; i < test->size.rows; i++)
    for (int64_t j = 0; j < columns; j++) {
      float wanted = test->wanted[i * columns + j], c = test->c[1 + i * (columns + GAP) + j];
      if (way->has_c) assert_bits(test, way, c, way->has_finish ? -wanted : wanted, i, j);
      if (!way->has_finish) continue;
      assert_int_equal(test->visits[i * columns + j], 1);
      assert_bits(test, way, test->seen[i * columns + j], wanted, i, j);
    }
}

static void run(Case *test, const Way *way, GwPool *pool) {
  Size size = test->size;
  GwGemm gemm = {size.rows, size.columns, size.depth, .operands = test->operands};
  gemm.a = test->a.view[way->a];
  gemm.b = test->b.view[way->b];
  gemm.c = way->has_c ? test->c + 1 : NULL;
  gemm.c_row = size.columns + GAP;
  gemm.accumulate = test->accumulate;
  gemm.bias = test->has_bias ? test->bias : NULL;
  gemm.finish = way->has_finish ? finish : NULL;
  gemm.context = test;
  memset(test->visits, 0, (size_t)(size.rows * size.columns));
  for (int64_t i = 0; i < size.rows; i++)
    memcpy(test->c + 1 + i * gemm.c_row, test->start + i * size.columns,
           (size_t)size.columns * sizeof(float));
  products[way->isa](way->kind, pool, &gemm, test->scratch);
  compare(test, way);
}

static bool can(GwIsa isa, GwTileKind kind) {
#if defined(__x86_64__)
  if (kind == GW_TILE_PAIRS) return isa == GW_ISA_ID_AVX512 && __builtin_cpu_supports("avx512bf16");
#endif
  return kind != GW_TILE_PAIRS && gw_isa_available(isa);
}

/* All ways of one kind on one instruction set. `turn` goes through threads, views and the use of C
 * together for sizes too large for all combinations. */
static void run_ways(Case *test, Way way, GwPool *const pools[], bool all) {
  for (int turn = 0; turn < (all ? 32 : 8); turn++) {
    way.threads = 1 + (turn + (all ? 0 : turn / 4)) % 4;
    way.a = turn / 4 % 2;
    way.b = (all ? turn / 8 : turn) % 2;
    way.has_finish = turn / (all ? 16 : 2) % 2;
    way.has_c = test->accumulate || !way.has_finish || turn % 3 == 0;
    run(test, &way, pools[way.threads - 1]);
  }
}

static void check(Size size, bool all) {
  GwPool *pools[THREADS_MAX] = {NULL};
  for (int i = 0; i < THREADS_MAX; i++) assert_ok(gw_pool_create(i + 1, &pools[i]));
  for (int variant = 0; variant < 4; variant++) {
    GwOperands operands = variant % 2 ? GW_OPERANDS_BF16 : GW_OPERANDS_F32;
    Case test;
    case_init(&test, size, operands, variant >= 2, variant == 1 || variant == 2);
    for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++)
      for (int kind = 0; kind < GW_TILE_KIND_COUNT; kind++)
        if ((kind == GW_TILE_F32) == (operands == GW_OPERANDS_F32) &&
            can((GwIsa)isa, (GwTileKind)kind))
          run_ways(&test, (Way){.isa = (GwIsa)isa, .kind = (GwTileKind)kind}, pools, all);
    case_deinit(&test);
  }
  for (int i = 0; i < THREADS_MAX; i++) gw_pool_destroy(pools[i]);
}

static void small_sizes(void **state) {
  (void)state;
  static const int64_t lengths[] = {1, 2, 3, 6, 7, 13, 14, 15, 16, 17, 31, 33, 127};
  enum { COUNT = GW_COUNT_OF(lengths) };
  for (int i = 0; i < COUNT; i++)
    check((Size){lengths[i], lengths[(i * 5 + 3) % COUNT], lengths[(i * 7 + 5) % COUNT]}, true);
}

static void few_rows(void **state) {
  (void)state;
  for (int64_t rows = 1; rows <= 18; rows += 3) check((Size){rows, 137, 401}, false);
}

static void several_blocks(void **state) {
  (void)state;
  check((Size){43, 401, 387}, false);
  check((Size){600, 33, 31}, false);
  check((Size){29, 35, 1543}, false);
}

/* Rows of B that are used where they lie. */
static void whole_tiles_of_columns(void **state) {
  (void)state;
  check((Size){31, 64, 403}, false);
  check((Size){17, 352, 30}, false);
}

static void odd_and_long(void **state) {
  (void)state;
  check((Size){4097, 17, 3}, false);
  check((Size){3, 4097, 17}, false);
  check((Size){17, 3, 4097}, false);
  check((Size){1, 4097, 127}, false);
}

int main(int argc, char **argv) {
  rng = gw_rng(gw_test_seed(argc, argv, 1), 0);
  for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++)
    if (!gw_isa_available((GwIsa)isa))
      print_message("skipped: this machine has no %s\n", gw_isa_name((GwIsa)isa));
  if (!can(GW_ISA_ID_AVX512, GW_TILE_PAIRS))
    print_message("skipped: products of bf16 pairs (this processor has no avx512bf16)\n");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_sizes),    cmocka_unit_test(few_rows),
      cmocka_unit_test(several_blocks), cmocka_unit_test(whole_tiles_of_columns),
      cmocka_unit_test(odd_and_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
