/* Matrix products larger than a block: several blocks of k, columns and rows, several tasks per
 * thread, several chunks of logits. Every instruction set of this machine with 1 to 4 threads gives
 * the reference's bits. (test_kernels.c walks all ops, with sizes below one block.) */
#include "support.h"

#include <string.h>

#include "base/arena.h"
#include "exec/backend_cpu.h"
#include "op/kept.h"

enum { OUTPUTS_MAX = 3 };

static uint64_t seed;

typedef struct {
  GwOpcode code;
  GwCall call;
  void *wanted[OUTPUTS_MAX];
} Case;

static void fill(void *data, const GwType *type, GwRng *rng) {
  for (int64_t i = 0; i < gw_type_count(type); i++) {
    if (type->dtype == GW_F32)
      ((float *)data)[i] = (float)(gw_rng_uniform(rng) - 0.5);
    else
      ((int32_t *)data)[i] = (int32_t)gw_rng_below(rng, 20) - 1; /* targets of a vocabulary of 20 */
  }
}

/* Runs the reference once; the outputs are moved to `wanted`. */
static void case_init(Case *out, GwOpcode code, const GwType *in, int count, double attr) {
  const GwOpDef *def = gw_op_def(code);
  GwRng rng = gw_rng(seed, (uint64_t)code);
  *out = (Case){.code = code};
  GwCall *call = &out->call;
  for (int i = 0; i < count; i++) {
    call->shapes.in[i] = in[i];
    call->shapes.has[i] = true;
    call->in[i] = gw_buffer_create(gw_type_size(&in[i]));
    fill(call->in[i], &in[i], &rng);
  }
  call->shapes.attr[0] = attr;
  assert_ok(def->shape(&call->shapes));
  for (int i = 0; i < gw_op_out_count(def); i++) {
    out->wanted[i] = gw_buffer_create(gw_type_size(&call->shapes.out[i]));
    call->out[i] = out->wanted[i];
  }
  def->reference(call, 0, def->units(&call->shapes));
  for (int i = 0; i < gw_op_out_count(def); i++)
    call->out[i] = gw_buffer_create(gw_type_size(&call->shapes.out[i]));
}

static void case_deinit(Case *test) {
  for (int i = 0; i < GW_IN_MAX; i++) gw_buffer_destroy(test->call.in[i]);
  for (int i = 0; i < OUTPUTS_MAX; i++) {
    gw_buffer_destroy(test->call.out[i]);
    gw_buffer_destroy(test->wanted[i]);
  }
}

static void compare(Case *test, const GwBackend *backend, GwPool *pool) {
  const GwOpDef *def = gw_op_def(test->code);
  GwCall *call = &test->call;
  size_t threads = (size_t)gw_pool_threads(pool);
  call->pool = pool;
  call->scratch_bytes = gw_align_up((size_t)def->scratch(&call->shapes), GW_ALIGN);
  call->scratch = gw_buffer_create(threads * call->scratch_bytes);
  memset(call->scratch, 0xfb, threads * call->scratch_bytes);
  for (int i = 0; i < gw_op_out_count(def); i++)
    memset(call->out[i], 0xfb, gw_type_size(&call->shapes.out[i]));
  backend->run(backend, test->code, call);
  for (int i = 0; i < gw_op_out_count(def); i++)
    if (!(def->out[i].flags & GW_ARG_WORKSPACE) &&
        memcmp(call->out[i], test->wanted[i], gw_type_size(&call->shapes.out[i])) != 0)
      fail_msg("%s, %zu threads: '%s' of %s differs from the reference (seed %llu)", backend->name,
               threads, def->out[i].name, def->name, (unsigned long long)seed);
  gw_buffer_destroy(call->scratch);
}

typedef void Run(Case *test, const GwBackend *backend, GwPool *pool);

static void on_every_machine(GwOpcode code, const GwType *in, int count, double attr,
                             int threads_max, Run *run) {
  Case test;
  case_init(&test, code, in, count, attr);
  for (int isa = 0; isa < GW_ISA_ID_COUNT; isa++) {
    const GwBackend *backend = gw_backend_cpu((GwIsa)isa);
    for (int threads = 1; backend && threads <= threads_max; threads++) {
      GwPool *pool;
      assert_ok(gw_pool_create(threads, &pool));
      run(&test, backend, pool);
      gw_pool_destroy(pool);
    }
  }
  case_deinit(&test);
}

static void check(GwOpcode code, const GwType *in, int count) {
  on_every_machine(code, in, count, 0, 4, compare);
}

/* The first run packs the weight; the second finds it packed, and no longer where it was. */
static void check_kept_with(Case *test, const GwBackend *backend, GwPool *pool) {
  const GwType *weight = &test->call.shapes.in[1];
  int64_t room = gw_max_i64(gw_kept_room(gw_rows(weight), gw_columns(weight)),
                            gw_kept_room(gw_columns(weight), gw_rows(weight)));
  GwKept kept[GW_KEPT_COUNT] = {{0}};
  float *panels = gw_buffer_create((size_t)(room + 16) * sizeof *panels), *there = test->call.in[1];
  float *nothing = gw_buffer_create(gw_type_size(weight));
  for (int i = 0; i < 16; i++) panels[room + i] = 7;
  for (int k = 0; k < GW_KEPT_COUNT; k++) kept[k].at = panels; /* each op uses one of them */
  test->call.kept = kept;
  compare(test, backend, pool);
  assert_true(kept[GW_KEPT_Y].current != kept[GW_KEPT_DX].current);
  test->call.in[1] = nothing;
  compare(test, backend, pool);
  for (int i = 0; i < 16; i++) assert_true(panels[room + i] == 7);
  test->call.in[1] = there;
  test->call.kept = NULL;
  gw_buffer_destroy(nothing);
  gw_buffer_destroy(panels);
}

static void check_kept(GwOpcode code, const GwType *in, int count, double operands) {
  on_every_machine(code, in, count, operands, 2, check_kept_with);
}

static GwType matrix(int64_t rows, int64_t columns) { return gw_type_2d(GW_F32, rows, columns); }

static void products(int64_t rows, int64_t in, int64_t out) {
  GwType x = matrix(rows, in), w = matrix(out, in), dy = matrix(rows, out);
  check(GW_OP_LINEAR, (GwType[]){x, w, gw_type_1d(GW_F32, out)}, 3);
  check(GW_OP_LINEAR_DX, (GwType[]){dy, w}, 2);
  check(GW_OP_LINEAR_DW, (GwType[]){dy, x}, 2);
}

static void many_blocks_of_k_and_columns(void **state) {
  (void)state;
  products(19, 801, 530);
}

static void many_rows(void **state) {
  (void)state;
  products(403, 20, 41);
}

static void long_sums_of_a_weight_gradient(void **state) {
  (void)state;
  products(1201, 33, 18);
}

static void many_chunks_of_logits(void **state) {
  (void)state;
  GwType x = matrix(1100, 9), w = matrix(20, 9);
  GwType targets = gw_type_1d(GW_I32, 1100), lse = gw_type_1d(GW_F32, 1100);
  check(GW_OP_HEAD_LOSS, (GwType[]){x, w, targets}, 3);
  check(GW_OP_HEAD_LOSS_GRAD, (GwType[]){x, w, targets, lse}, 4);
}

static void weights_stay_packed(void **state) {
  (void)state;
  static const int64_t sizes[][3] = {{19, 801, 530}, {33, 1, 70}, {130, 385, 33}, {70, 1537, 97}};
  for (size_t i = 0; i < GW_COUNT_OF(sizes); i++)
    for (int operands = 0; operands < 2; operands++) {
      int64_t rows = sizes[i][0], in = sizes[i][1], out = sizes[i][2];
      GwType x = matrix(rows, in), w = matrix(out, in), dy = matrix(rows, out);
      check_kept(GW_OP_LINEAR, (GwType[]){x, w, gw_type_1d(GW_F32, out)}, 3, operands);
      check_kept(GW_OP_LINEAR_DX, (GwType[]){dy, w}, 2, operands);
    }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_blocks_of_k_and_columns),
      cmocka_unit_test(many_rows),
      cmocka_unit_test(long_sums_of_a_weight_gradient),
      cmocka_unit_test(many_chunks_of_logits),
      cmocka_unit_test(weights_stay_packed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
