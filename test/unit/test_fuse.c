/* pass/fuse: fused programs of both families do the same bit for bit, in fewer ops and bytes, and
 * are programs like any other; values that somebody else reads, or that would be read too late,
 * are left alone. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "exec/runner.h"
#include "model/model_builder.h"
#include "op/ops.h"
#include "pass/autodiff.h"
#include "pass/fuse.h"
#include "pass/memory_plan.h"
#include "small_run.h"

enum { VOCAB = 61, BATCH = 2 };

static uint64_t seed;

/* ---- programs of the two families ---- */

static GwRecipe small_recipe(const char *family, const char *activation) {
  char family_text[64], activation_text[64];
  snprintf(family_text, sizeof family_text, "model.family=%s", family);
  snprintf(activation_text, sizeof activation_text, "model.activation=%s", activation);
  const char *const overrides[] = {family_text,       activation_text, "model.layers=2",
                                   "model.width=24",  "model.heads=4", "model.kv_heads=4",
                                   "model.context=20"};
  return gw_test_recipe(overrides, GW_COUNT_OF(overrides), VOCAB);
}

/* Forward and backward, as a lane; the logits come last, so that they can be read after the run. */
static void build(GwProgram *p, const GwRecipe *recipe, double dropout, GwValueId *logits) {
  gw_program_init(p, "lane");
  int64_t rows = BATCH * recipe->model.context;
  GwType ids = gw_type_1d(GW_I32, rows);
  GwModelBuilder b = {
      .p = p, .model = &recipe->model, .context = recipe->model.context, .dropout = dropout};
  b.tokens = gw_value_add(p, GW_CLASS_INPUT, ids, "tokens");
  b.positions = gw_value_add(p, GW_CLASS_INPUT, ids, "positions");
  GwValueId targets = gw_value_add(p, GW_CLASS_INPUT, ids, "targets");
  GwValueId tally = gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 3), "tally");
  GwHidden hidden = recipe->model.family == GW_FAMILY_GPT2 ? gw__gpt2(&b) : gw__llama(&b);
  GwValueId losses = gw_head_loss(p, hidden.x, hidden.head, targets, 1e-3, GW_OPERANDS_F32);
  gw_tally(p, losses, targets, tally);
  gw_autodiff(p, &(GwAutodiffOptions){.limit = 1024}, NULL, NULL);
  *logits = gw_linear(p, hidden.x, hidden.head, 0, GW_OPERANDS_F32);
  assert_ok(p->status);
}

static void fill(GwRunner *runner, const GwProgram *p) {
  GwRng rng = gw_rng(seed, 1);
  for (GwValueId id = 1; id < p->value_count; id++) {
    const GwValue *value = &p->values[id];
    void *data = gw_runner_value(runner, id);
    int64_t count = gw_type_count(&value->type);
    for (int64_t i = 0; i < count && value->class == GW_CLASS_PARAM; i++)
      ((float *)data)[i] = (float)gw_rng_normal(&rng) * 0.2f;
    for (int64_t i = 0; i < count && value->class == GW_CLASS_INPUT; i++)
      ((int32_t *)data)[i] = strcmp(value->name, "positions") == 0
                                 ? (int32_t)(i % 20)
                                 : (int32_t)gw_rng_below(&rng, VOCAB);
    if (value->class == GW_CLASS_ACCUM) memset(data, 0, gw_type_size(&value->type));
  }
}

/* Runs the program on random values; a copy of all sums, and of the logits. */
static void results_of(GwProgram *p, const GwBackend *backend, GwValueId logits, char **sums,
                       char **logits_copy) {
  GwRunner *runner;
  void *base[GW_CLASS_COUNT] = {NULL};
  size_t size = (size_t)p->class_bytes[GW_CLASS_ACCUM];
  *sums = base[GW_CLASS_ACCUM] = gw_buffer_create(size);
  assert_non_null(*sums);
  memset(*sums, 0, size);
  assert_ok(gw_runner_create(p, backend, NULL, base, &runner));
  fill(runner, p);
  assert_ok(gw_runner_run(runner, (GwLaneKey){.seed = 3, .step = 5, .lane = 1}));
  size = gw_type_size(&p->values[logits].type);
  *logits_copy = malloc(size);
  assert_non_null(*logits_copy);
  memcpy(*logits_copy, gw_runner_value(runner, logits), size);
  gw_runner_destroy(runner);
}

static int64_t bytes_of(const GwProgram *p) {
  int64_t bytes = 0;
  for (int32_t i = 0; i < p->op_count; i++) {
    GwShapes shapes;
    assert_ok(gw_op_shapes(p, &p->ops[i], false, &shapes));
    bytes += gw_op_bytes(gw_op_def(p->ops[i].code), &shapes);
  }
  return bytes;
}

static int count_of(const GwProgram *p, GwOpcode code) {
  int count = 0;
  for (int32_t i = 0; i < p->op_count; i++) count += p->ops[i].code == code;
  return count;
}

static void parses_back(const GwProgram *p) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  gw_program_print(p, out);
  assert_int_equal(fclose(out), 0);
  GwProgram again;
  assert_ok(gw_program_parse("again", text, size, &again));
  assert_true(gw_program_equal(p, &again));
  gw_program_deinit(&again);
  free(text);
}

static void compare(const GwRecipe *recipe, double dropout, const GwBackend *backend) {
  GwProgram plain, fused;
  GwValueId logits = 0, fused_logits = 0;
  build(&plain, recipe, dropout, &logits);
  build(&fused, recipe, dropout, &fused_logits);
  gw_fuse(&fused, (GwValueId *[]){&fused_logits, NULL});
  assert_ok(fused.status);
  assert_ok(gw_program_verify(&fused));
  parses_back(&fused);
  assert_true(fused.op_count < plain.op_count);
  assert_true(bytes_of(&fused) < bytes_of(&plain));
  assert_memory_equal(plain.class_bytes, fused.class_bytes, sizeof plain.class_bytes);
  char *sums[2], *logits_of[2];
  results_of(&plain, backend, logits, &sums[0], &logits_of[0]);
  results_of(&fused, backend, fused_logits, &sums[1], &logits_of[1]);
  assert_memory_equal(sums[0], sums[1], (size_t)plain.class_bytes[GW_CLASS_ACCUM]);
  assert_memory_equal(logits_of[0], logits_of[1], gw_type_size(&plain.values[logits].type));
  assert_true(((int64_t *)(void *)sums[0])[0] > 0); /* the losses */
  int64_t guard = ((int64_t *)(void *)(sums[0] + plain.class_bytes[GW_CLASS_ACCUM]))[-16];
  assert_int_equal(guard, 0); /* the last value, in 128 bytes of its own: all gradients counted */
  for (int i = 0; i < 2; i++) {
    gw_buffer_destroy(sums[i]);
    free(logits_of[i]);
  }
  gw_program_deinit(&plain);
  gw_program_deinit(&fused);
}

static void fused_programs_give_the_same_bits(void **state) {
  (void)state;
  static const char *const models[][2] = {
      {"gpt2", "gelu"}, {"llama", "swiglu"}, {"llama", "relu2"}};
  for (size_t i = 0; i < GW_COUNT_OF(models); i++) {
    GwRecipe recipe = small_recipe(models[i][0], models[i][1]);
    compare(&recipe, 0, gw_backend_cpu(gw_isa_best()));
    compare(&recipe, 0.1, gw_backend_cpu(gw_isa_best()));
    compare(&recipe, 0, gw_backend_reference());
  }
}

static void every_rule_of_a_family_applies(void **state) {
  (void)state;
  GwRecipe recipe = small_recipe("gpt2", "gelu");
  GwProgram p;
  GwValueId logits;
  build(&p, &recipe, 0, &logits);
  int adds = count_of(&p, GW_OP_ADD);
  gw_fuse(&p, (GwValueId *[]){&logits, NULL});
  assert_int_equal(count_of(&p, GW_OP_GELU), 0);
  assert_int_equal(count_of(&p, GW_OP_GELU_GRAD), 0);
  assert_int_equal(count_of(&p, GW_OP_LINEAR_ACTIVATION), recipe.model.layers);
  assert_int_equal(count_of(&p, GW_OP_HEAD_LOSS), 0);
  assert_int_equal(count_of(&p, GW_OP_HEAD_LOSS_GRAD), 0);
  assert_int_equal(count_of(&p, GW_OP_HEAD_LOSS_SUM), 1);
  /* in each block: two residuals, and two of the three sums of q, k and v's gradients */
  assert_int_equal(adds - count_of(&p, GW_OP_ADD), 4 * recipe.model.layers);
  gw_program_deinit(&p);
}

/* ---- what must stay ---- */

typedef struct {
  GwProgram p;
  GwValueId x, w, r;
} Little;

static Little little(void) {
  Little l = {0};
  gw_program_init(&l.p, "little");
  l.x = gw_value_add(&l.p, GW_CLASS_INPUT, gw_type_2d(GW_F32, 4, 5), "x");
  l.w = gw_value_add(&l.p, GW_CLASS_PARAM, gw_type_2d(GW_F32, 5, 5), "w");
  l.r = gw_value_add(&l.p, GW_CLASS_INPUT, gw_type_2d(GW_F32, 4, 5), "r");
  return l;
}

/* Fuses, counts the ops that are left. */
static int left(Little *l, GwValueId *const *kept) {
  gw_fuse(&l->p, kept);
  assert_ok(l->p.status);
  assert_ok(gw_program_verify(&l->p));
  int count = l->p.op_count;
  gw_program_deinit(&l->p);
  return count;
}

static GwValueId product(Little *l) { return gw_linear(&l->p, l->x, l->w, 0, GW_OPERANDS_F32); }

static void values_with_other_readers_stay(void **state) {
  (void)state;
  GwValueId *const none[] = {NULL};
  Little l = little();
  gw_add(&l.p, l.r, product(&l));
  assert_int_equal(left(&l, none), 1);
  l = little();
  GwValueId y = product(&l);
  gw_add(&l.p, l.r, y);
  gw_dropout(&l.p, y, 0.5, 1);
  assert_int_equal(left(&l, none), 3);
  l = little();
  y = product(&l);
  gw_add(&l.p, y, y);
  assert_int_equal(left(&l, none), 2);
  l = little();
  y = product(&l); /* read by the caller too */
  gw_add(&l.p, l.r, y);
  assert_int_equal(left(&l, (GwValueId *[]){&y, NULL}), 2);
  l = little();
  y = product(&l); /* before the activation: it stays as the second output */
  gw_gelu(&l.p, y);
  gw_relu2(&l.p, y);
  assert_int_equal(left(&l, (GwValueId *[]){&y, NULL}), 2);
  assert_int_equal(y, 5);
}

static void products_do_not_move_past_an_update_of_their_weight(void **state) {
  (void)state;
  Little l = little();
  GwType cache = gw_type_2d(GW_F32, 5, 5);
  GwValueId weight = gw_value_add(&l.p, GW_CLASS_STATE, cache, "cache");
  GwValueId base = gw_value_add(&l.p, GW_CLASS_INPUT, gw_type_1d(GW_I32, 1), "base");
  GwValueId y = gw_linear(&l.p, l.x, weight, 0, GW_OPERANDS_F32);
  gw_cache_append(&l.p, l.r, weight, base, 5);
  gw_add(&l.p, l.r, y);
  assert_int_equal(left(&l, (GwValueId *[]){NULL}), 3);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fused_programs_give_the_same_bits),
      cmocka_unit_test(every_rule_of_a_family_applies),
      cmocka_unit_test(values_with_other_readers_stay),
      cmocka_unit_test(products_do_not_move_past_an_update_of_their_weight),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
