/* program/: verifier, lifetimes, text form, summary. One small training program serves as the good
 * example; every rule is broken in it once. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op/ops.h"
#include "pass/autodiff.h"
#include "pass/memory_plan.h"
#include "program/summary.h"

static uint64_t seed;

/* ---- the good program ---- */

static GwValueId f32(GwProgram *p, GwClass class, int64_t rows, int64_t columns, const char *name) {
  return gw_value_add(p, class, gw_type_2d(GW_F32, rows, columns), name);
}

/* The optimizer's op on `w`, with everything it needs. */
static void emit_adamw(GwProgram *p, GwValueId w) {
  GwType type = p->values[w].type;
  GwValueId m = gw_value_add(p, GW_CLASS_STATE, type, "w1.m");
  GwValueId v = gw_value_add(p, GW_CLASS_STATE, type, "w1.v");
  GwValueId hyper = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 8), "hyper");
  GwValueId norm = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_F64, 2), "norm");
  GwValueId total = gw_value_find(p, GW_CLASS_ACCUM, p->values[w].name);
  GwValueId seeds = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_U64, 3), "seeds");
  GwValueId hash = gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_U64, 4), "hash");
  gw_emit(p, GW_OP_ADAMW, GW_IN(w, m, v, total, hyper, norm, seeds, hash), GW_ATTR(1.0 / 3));
}

/* Forward, gradient and one optimizer op; values are declared between ops as well. */
static void build(GwProgram *p) {
  enum { ROWS = 8, WIDTH = 20, VOCAB = 32 };
  gw_program_init(p, "small");
  GwValueId table = f32(p, GW_CLASS_PARAM, VOCAB, WIDTH, "embed.weight");
  GwValueId scale = gw_value_add(p, GW_CLASS_PARAM, gw_type_1d(GW_F32, WIDTH), "norm.weight");
  GwValueId w1 = f32(p, GW_CLASS_PARAM, 2 * WIDTH, WIDTH, "w1");
  GwValueId w2 = f32(p, GW_CLASS_PARAM, WIDTH, 2 * WIDTH, "w2");
  GwValueId bias = gw_value_add(p, GW_CLASS_PARAM, gw_type_1d(GW_F32, WIDTH), "w2.bias");
  GwValueId ids = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_I32, ROWS), "ids");
  GwValueId x = gw_embedding(p, table, ids);
  GwValueId hidden = gw_linear(p, gw_rms_norm(p, x, scale, 1e-5), w1, 0, GW_OPERANDS_F32);
  GwValueId left = gw_gelu(p, hidden), right = gw_relu2(p, hidden);
  GwValueId out = gw_add(p, x, gw_linear(p, gw_add(p, left, right), w2, bias, GW_OPERANDS_F32));
  GwValueId targets = gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_I32, ROWS), "targets");
  GwValueId losses = gw_head_loss(p, out, table, targets, 1e-3, GW_OPERANDS_F32);
  GwValueId tally = gw_value_add(p, GW_CLASS_ACCUM, gw_type_1d(GW_I64, 3), "tally");
  gw_value_add(p, GW_CLASS_INPUT, gw_type_1d(GW_I64, 3), "spare");
  gw_tally(p, losses, targets, tally);
  gw_autodiff(p, &(GwAutodiffOptions){.limit = 1024}, NULL, NULL);
  if (p->status == GW_OK) emit_adamw(p, w1);
  if (p->status == GW_OK) snprintf(p->values[out].name, sizeof p->values[out].name, "stream/1");
  assert_ok(p->status);
}

static GwOp *find(GwProgram *p, GwOpcode code) {
  for (int32_t i = 0; i < p->op_count; i++)
    if (p->ops[i].code == code) return &p->ops[i];
  fail_msg("no such op");
  return NULL;
}

static GwValue *value_of(GwProgram *p, GwClass class, const char *name) {
  GwValueId id = gw_value_find(p, class, name);
  assert_true(id > 0);
  return &p->values[id];
}

/* The program's text; to be freed. */
static char *text_of(const GwProgram *p, size_t *size) {
  char *text = NULL;
  FILE *out = open_memstream(&text, size);
  gw_program_print(p, out);
  assert_int_equal(fclose(out), 0);
  return text;
}

/* ---- lifetimes and text ---- */

static void lifetimes_span_maker_to_last_reader(void **state) {
  (void)state;
  GwProgram p;
  gw_program_init(&p, "p");
  GwValueId x = f32(&p, GW_CLASS_INPUT, 2, 2, "x");
  GwValueId a = gw_gelu(&p, x), b = gw_gelu(&p, a), c = gw_add(&p, a, b);
  GwValueId unread = gw_gelu(&p, x);
  int32_t first[8], last[8];
  gw_program_lifetimes(&p, first, last);
  const int32_t expected[][3] = {{x, 0, 3}, {a, 0, 2}, {b, 1, 2}, {c, 2, 2}, {unread, 3, 3}};
  for (size_t i = 0; i < GW_COUNT_OF(expected); i++) {
    assert_int_equal(first[expected[i][0]], expected[i][1]);
    assert_int_equal(last[expected[i][0]], expected[i][2]);
  }
  gw_program_deinit(&p);
}

static void check_round_trip(const GwProgram *p) {
  size_t size = 0, size_again = 0;
  char *text = text_of(p, &size);
  GwProgram parsed;
  assert_ok(gw_program_parse("text", text, size, &parsed));
  assert_true(gw_program_equal(p, &parsed));
  char *again = text_of(&parsed, &size_again);
  assert_string_equal(text, again);
  free(again);
  free(text);
  gw_program_deinit(&parsed);
}

static void text_reads_back_to_an_equal_program(void **state) {
  (void)state;
  GwProgram p;
  build(&p);
  assert_ok(gw_program_verify(&p));
  check_round_trip(&p);
  assert_ok(gw_plan_memory(&p));
  assert_ok(gw_program_verify(&p));
  check_round_trip(&p);
  const double odd[] = {-0.0, 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 1.2345678901234567e17};
  for (size_t i = 0; i < GW_COUNT_OF(odd); i++) {
    find(&p, GW_OP_ADAMW)->attr[0] = odd[i];
    check_round_trip(&p);
  }
  gw_program_deinit(&p);
}

static void equality_sees_every_part(void **state) {
  (void)state;
  GwProgram p, q;
  build(&p);
  build(&q);
  assert_true(gw_program_equal(&p, &q));
  assert_ok(gw_plan_memory(&q));
  assert_false(gw_program_equal(&p, &q));
  assert_ok(gw_plan_memory(&p));
  assert_true(gw_program_equal(&p, &q));
  q.scratch_bytes += 64;
  assert_false(gw_program_equal(&p, &q));
  q.scratch_bytes -= 64;
  q.class_bytes[GW_CLASS_INPUT] += 64;
  assert_false(gw_program_equal(&p, &q));
  q.class_bytes[GW_CLASS_INPUT] -= 64;
  q.ops[3].attr[0] += 1;
  assert_false(gw_program_equal(&p, &q));
  gw_program_deinit(&p);
  gw_program_deinit(&q);
}

static void a_line_looks_as_documented(void **state) {
  (void)state;
  GwProgram p;
  gw_program_init(&p, "p");
  GwValueId x = f32(&p, GW_CLASS_INPUT, 4, 3, "x"), w = f32(&p, GW_CLASS_PARAM, 5, 3, "w");
  GwValueId scale = gw_value_add(&p, GW_CLASS_PARAM, gw_type_1d(GW_F32, 5), "s");
  gw_rms_norm(&p, gw_linear(&p, x, w, 0, GW_OPERANDS_F32), scale, 1e-5);
  gw_dropout(&p, x, 0.5, 1200);
  assert_ok(gw_plan_memory(&p));
  size_t size = 0;
  char *text = text_of(&p, &size);
  assert_non_null(strstr(text, "program p\ninput %1 x f32[4,3] @0\nparam %2 w f32[5,3] @0\n"));
  assert_non_null(strstr(text, "= linear %1 %2 _ _ {operands=0} ; 120 FLOP, 188 B\n"));
  assert_non_null(strstr(text, "= rms_norm %4 %3 {epsilon=1e-05} ; "));
  assert_non_null(strstr(text, "= dropout %1 {rate=0.5, site=1200} ; "));
  assert_non_null(strstr(text, "total param 128 ; 128 B\n"));
  free(text);
  gw_program_deinit(&p);
}

static void summary_adds_up(void **state) {
  (void)state;
  GwProgram p;
  gw_program_init(&p, "p");
  GwValueId x = f32(&p, GW_CLASS_INPUT, 4, 3, "x"), w = f32(&p, GW_CLASS_PARAM, 5, 3, "w");
  gw_add(&p, gw_linear(&p, x, w, 0, GW_OPERANDS_F32), gw_linear(&p, x, w, 0, GW_OPERANDS_F32));
  assert_ok(gw_plan_memory(&p));
  GwProgramSummary summary = gw_program_summarise(&p);
  assert_int_equal(summary.params, 15);
  assert_int_equal(summary.ops, 3);
  assert_int_equal(summary.flops, 2 * 120 + 20);
  assert_int_equal(summary.bytes, 2 * 188 + 3 * 80);
  assert_int_equal(summary.by_op[GW_OP_LINEAR].count, 2);
  assert_int_equal(summary.class_bytes[GW_CLASS_PARAM], 64);
  assert_int_equal(summary.class_bytes[GW_CLASS_ACTIVATION], 3 * 128);
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  gw_program_print_summary(&p, out);
  assert_int_equal(fclose(out), 0);
  assert_non_null(strstr(text, "program p: 15 parameters, 3 ops, 5 values\n"));
  assert_non_null(strstr(text, "260 FLOP"));
  free(text);
  gw_program_deinit(&p);
}

/* ---- every rule, broken once ---- */

static void unknown_argument(GwProgram *p) { find(p, GW_OP_GELU)->in[0] = p->value_count; }
static void negative_argument(GwProgram *p) { find(p, GW_OP_GELU)->in[0] = -1; }
static void early_read(GwProgram *p) { find(p, GW_OP_GELU)->in[0] = find(p, GW_OP_RELU2)->out[0]; }
static void missing_argument(GwProgram *p) { find(p, GW_OP_GELU)->in[0] = 0; }
static void extra_argument(GwProgram *p) { find(p, GW_OP_GELU)->in[5] = 1; }
static void wrong_dtype(GwProgram *p) { find(p, GW_OP_EMBEDDING)->in[1] = 1; }
static void wrong_shape(GwProgram *p) { find(p, GW_OP_LINEAR)->in[1] = 4; }
static void made_twice(GwProgram *p) { find(p, GW_OP_RELU2)->out[0] = find(p, GW_OP_GELU)->out[0]; }
static void unknown_output(GwProgram *p) { find(p, GW_OP_GELU)->out[0] = p->value_count; }
static void param_output(GwProgram *p) { find(p, GW_OP_GELU)->out[0] = 1; }
static void extra_output(GwProgram *p) { find(p, GW_OP_GELU)->out[1] = 1; }
static void gap_in_outputs(GwProgram *p) { find(p, GW_OP_RMS_NORM)->out[1]++; }
static void swapped_outputs(GwProgram *p) {
  GwOp *left = find(p, GW_OP_GELU), *right = find(p, GW_OP_RELU2);
  GwValueId id = left->out[0];
  left->out[0] = right->out[0];
  right->out[0] = id;
}
static void infinite_attribute(GwProgram *p) { find(p, GW_OP_RMS_NORM)->attr[0] = INFINITY; }
static void refused_attribute(GwProgram *p) { find(p, GW_OP_RMS_NORM)->attr[0] = -1; }
static void extra_attribute(GwProgram *p) { find(p, GW_OP_GELU)->attr[0] = 1; }
static void wrong_output_type(GwProgram *p) {
  p->values[find(p, GW_OP_GELU)->out[0]].type.dim[0]--;
}
static void unknown_opcode(GwProgram *p) { find(p, GW_OP_GELU)->code = GW_OP_COUNT; }
static void update_of_input(GwProgram *p) {
  find(p, GW_OP_TALLY)->in[2] = gw_value_find(p, GW_CLASS_INPUT, "spare");
}
static void update_passed_twice(GwProgram *p) {
  GwOp *op = find(p, GW_OP_ADAMW);
  op->in[2] = op->in[1];
}
static void orphan(GwProgram *p) {
  GwValueId id = f32(p, GW_CLASS_ACTIVATION, 1, 1, NULL);
  p->values[id].offset = 0;
}
static void same_name(GwProgram *p) {
  memcpy(value_of(p, GW_CLASS_PARAM, "w2")->name, "w1", sizeof "w1");
}
static void spaced_name(GwProgram *p) { p->values[1].name[2] = ' '; }
static void no_name(GwProgram *p) { p->values[1].name[0] = 0; }
static void bad_program_name(GwProgram *p) { p->name[0] = '\n'; }
static void unknown_class(GwProgram *p) { p->values[1].class = GW_CLASS_COUNT; }
static void unknown_dtype(GwProgram *p) { p->values[1].type.dtype = GW_DTYPE_COUNT; }
static void high_rank(GwProgram *p) { p->values[1].type.rank = GW_RANK_MAX + 1; }
static void zero_dimension(GwProgram *p) { p->values[1].type.dim[0] = 0; }
static void huge_dimensions(GwProgram *p) {
  p->values[1].type.dim[0] = p->values[1].type.dim[1] = INT64_C(1) << 40;
}
static void negative_offset(GwProgram *p) { p->values[1].offset = -64; }
static void high_offset(GwProgram *p) {
  p->values[find(p, GW_OP_GELU)->out[0]].offset = p->class_bytes[GW_CLASS_ACTIVATION];
}
static void skewed_offset(GwProgram *p) { value_of(p, GW_CLASS_PARAM, "w1")->offset += 4; }
static void shared_offset(GwProgram *p) {
  value_of(p, GW_CLASS_PARAM, "w2")->offset = value_of(p, GW_CLASS_PARAM, "w1")->offset;
}
static void shared_activation(GwProgram *p) {
  p->values[find(p, GW_OP_RELU2)->out[0]].offset = p->values[find(p, GW_OP_GELU)->out[0]].offset;
}
static void input_overwritten(GwProgram *p) {
  GwOp *op = find(p, GW_OP_GELU);
  p->values[op->out[0]].offset = p->values[op->in[0]].offset;
}
static void small_scratch(GwProgram *p) { p->scratch_bytes = 0; }
static void negative_bytes(GwProgram *p) { p->class_bytes[GW_CLASS_STATE] = -1; }
static void forgotten_plan(GwProgram *p) { p->planned = false; }
static void half_forgotten_plan(GwProgram *p) {
  p->planned = false;
  p->scratch_bytes = p->class_bytes[GW_CLASS_ACTIVATION] = 0;
}

static const struct {
  const char *message;
  void (*damage)(GwProgram *);
} damages[] = {
    {"'gelu': %", unknown_argument},
    {"'gelu': %-1 does not exist", negative_argument},
    {"is read before it is made", early_read},
    {"'gelu': gelu: argument 'x' is missing", missing_argument},
    {"'gelu': too many arguments", extra_argument},
    {"argument 'ids' must be i32", wrong_dtype},
    {"must agree in I", wrong_shape},
    {"is made a second time", made_twice},
    {"'gelu': output %", unknown_output},
    {"output %1 is not an activation", param_output},
    {"'gelu': too many outputs", extra_output},
    {"'rms_norm': output %10 does not follow %8", gap_in_outputs},
    {"'relu2': output %11 is numbered below earlier outputs", swapped_outputs},
    {"attribute 0 is not finite", infinite_attribute},
    {"epsilon must be positive", refused_attribute},
    {"'gelu': too many attributes", extra_attribute},
    {"does not have the type that its inputs imply", wrong_output_type},
    {"has no such opcode", unknown_opcode},
    {"of class input must not be updated in place", update_of_input},
    {"'adamw': %", update_passed_twice},
    {"is an activation that no op makes", orphan},
    {"value %4 w1 has the same class and name as %3", same_name},
    {"needs a name", spaced_name},
    {"needs a name", no_name},
    {"the name may hold", bad_program_name},
    {"is of no known class", unknown_class},
    {"needs positive dimensions", unknown_dtype},
    {"needs positive dimensions", high_rank},
    {"needs positive dimensions", zero_dimension},
    {"needs positive dimensions", huge_dimensions},
    {"at offset -64 does not fit", negative_offset},
    {"of class activation", high_offset},
    {"is not aligned to 64 bytes", skewed_offset},
    {"value %4 w2 overlaps %3 in memory", shared_offset},
    {"value %12 overlaps %11 in memory", shared_activation},
    {"value %11 overlaps %10 in memory", input_overwritten},
    {"bytes of scratch", small_scratch},
    {"class state has -1 bytes", negative_bytes},
    {"do not fit its plan", forgotten_plan},
    {"has an offset, but the program is not planned", half_forgotten_plan},
};

static void every_broken_rule_is_found(void **state) {
  (void)state;
  for (size_t i = 0; i < GW_COUNT_OF(damages); i++) {
    GwProgram p;
    build(&p);
    assert_ok(gw_plan_memory(&p));
    assert_ok(gw_program_verify(&p));
    damages[i].damage(&p);
    assert_fails(GW_INVALID, damages[i].message, gw_program_verify(&p));
    gw_program_deinit(&p);
  }
}

static void a_failed_program_is_refused(void **state) {
  (void)state;
  GwProgram p;
  gw_program_init(&p, "p");
  gw_gelu(&p, 7);
  assert_fails(GW_INVALID, "%7, which does not exist", gw_program_verify(&p));
  gw_program_deinit(&p);
}

/* ---- random programs ---- */

enum { SIZE = 48 }; /* every activation has SIZE columns, so that any two may meet */

static void build_random(GwProgram *p, GwRng *rng, int ops) {
  gw_program_init(p, "random");
  GwValueId w = f32(p, GW_CLASS_PARAM, SIZE, SIZE, "w");
  GwValueId x = f32(p, GW_CLASS_INPUT, 1 + (int64_t)gw_rng_below(rng, 64), SIZE, "x");
  GwValueId *made = calloc((size_t)ops + 1, sizeof *made);
  made[0] = x;
  for (int i = 1; i <= ops; i++) {
    int reach = 1 + (int)gw_rng_below(rng, 12); /* how far back an op looks */
    GwValueId a = made[i - 1], b = made[i > reach ? i - reach : 0];
    switch (gw_rng_below(rng, 3)) {
    case 0: made[i] = gw_add(p, a, b); break;
    case 1: made[i] = gw_linear(p, a, w, 0, GW_OPERANDS_F32); break;
    default: made[i] = gw_gelu(p, b); break;
    }
  }
  free(made);
  assert_ok(p->status);
}

typedef struct {
  int32_t *first, *last;
} Lifetimes;

static Lifetimes lifetimes_of(const GwProgram *p) {
  Lifetimes out = {calloc((size_t)p->value_count, 4), calloc((size_t)p->value_count, 4)};
  gw_program_lifetimes(p, out.first, out.last);
  return out;
}

static int64_t padded_size(const GwValue *value) {
  return (int64_t)gw_align_up(gw_type_size(&value->type), GW_ALIGN);
}

static int64_t most_live_bytes(const GwProgram *p, const Lifetimes *lives) {
  int64_t most = 0;
  for (int32_t i = 0; i < p->op_count; i++) {
    int64_t live = 0;
    for (GwValueId id = 1; id < p->value_count; id++)
      if (p->values[id].class == GW_CLASS_ACTIVATION && lives->first[id] <= i &&
          lives->last[id] >= i)
        live += padded_size(&p->values[id]);
    most = gw_max_i64(most, live);
  }
  return most;
}

/* The plain definition, pair by pair. */
static bool any_overlap(const GwProgram *p, const Lifetimes *lives) {
  for (GwValueId a = 1; a < p->value_count; a++)
    for (GwValueId b = 1; b < a; b++) {
      const GwValue *x = &p->values[a], *y = &p->values[b];
      if (x->class != GW_CLASS_ACTIVATION || y->class != GW_CLASS_ACTIVATION) continue;
      bool together = lives->first[a] <= lives->last[b] && lives->first[b] <= lives->last[a];
      if (together && x->offset < y->offset + (int64_t)gw_type_size(&y->type) &&
          y->offset < x->offset + (int64_t)gw_type_size(&x->type))
        return true;
    }
  return false;
}

static void plans_are_tight_and_never_overlap(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 2);
  for (int round = 0; round < 100; round++) {
    GwProgram p;
    build_random(&p, &rng, 1 + (int)gw_rng_below(&rng, 120));
    assert_ok(gw_plan_memory(&p));
    assert_ok(gw_program_verify(&p));
    check_round_trip(&p);
    Lifetimes lives = lifetimes_of(&p);
    assert_false(any_overlap(&p, &lives));
    int64_t most = most_live_bytes(&p, &lives), planned = p.class_bytes[GW_CLASS_ACTIVATION];
    assert_true(planned >= most);
    assert_true((double)planned <= 1.3 * (double)most);
    free(lives.first);
    free(lives.last);
    gw_program_deinit(&p);
  }
}

/* Values are moved at random; the verifier's sweep must say what the plain definition says. */
static void moved_values_are_judged_right(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 3);
  int found = 0, harmless = 0;
  for (int round = 0; round < 200; round++) {
    GwProgram p;
    build_random(&p, &rng, 30);
    assert_ok(gw_plan_memory(&p));
    GwValueId moved = 3 + (GwValueId)gw_rng_below(&rng, (uint64_t)p.value_count - 3);
    int64_t room = p.class_bytes[GW_CLASS_ACTIVATION] - padded_size(&p.values[moved]);
    p.values[moved].offset = (int64_t)gw_rng_below(&rng, (uint64_t)room / GW_ALIGN + 1) * GW_ALIGN;
    Lifetimes lives = lifetimes_of(&p);
    bool overlap = any_overlap(&p, &lives);
    if (overlap)
      assert_fails(GW_INVALID, "in memory", gw_program_verify(&p));
    else
      assert_ok(gw_program_verify(&p));
    found += overlap;
    harmless += !overlap;
    free(lives.first);
    free(lives.last);
    gw_program_deinit(&p);
  }
  assert_true(found > 10 && harmless > 10);
}

/* ---- bad text ---- */

#define HEAD "program p\ninput %1 x f32[2,2] @0\n"
#define LONG_WORD "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"

static const struct {
  const char *text, *message;
} bad_texts[] = {
    {"", "bad: no program in it"},
    {" \n; nothing\n", "bad: no program in it"},
    {"param %1 w f32[2] @0", "bad:1: expected 'program NAME' instead of 'param'"},
    {"program", "bad:1: expected the program's name instead of the end of the line"},
    {"program p q", "bad:1: unexpected 'q'"},
    {HEAD "param %3 w f32[2] @0", "bad:3: %3 is out of order, the next value is %2"},
    {HEAD "param %1 w f32[2] @0", "bad:3: %1 is out of order, the next value is %2"},
    {HEAD "param %99999999999999999999 w f32[2] @0", "bad:3: the value's number is too large"},
    {HEAD "param %4294967298 w f32[2] @0", "bad:3: %4294967298 is out of order"},
    {HEAD "param 2 w f32[2] @0", "bad:3: expected '%' instead of '2'"},
    {HEAD "param %2 w f99[2] @0", "bad:3: unknown element type 'f99'"},
    {HEAD "param %2 w f32 @0", "bad:3: expected '[' instead of '@0'"},
    {HEAD "param %2 w f32[2 @0", "bad:3: expected ',' instead of '@0'"},
    {HEAD "param %2 w f32[2,] @0", "bad:3: expected the dimension instead of ']'"},
    {HEAD "param %2 w f32[-2] @0", "bad:3: expected the dimension"},
    {HEAD "param %2 w f32[1,1,1,1,1] @0", "bad:3: a value has at most 4 dimensions"},
    {HEAD "param %2 w f32[0] @0", "bad:3: %2: dimensions must be positive"},
    {HEAD "param %2 w f32[4294967296,4294967296] @0", "bad:3: %2: dimensions must be positive"},
    {HEAD "param %2 w f32[2]", "bad:3: expected '@' instead of the end of the line"},
    {HEAD "param %2 w f32[2] @x", "bad:3: expected the offset instead of 'x'"},
    {HEAD "param %2 w f32[2] @64", "at offset 64 does not fit"},
    {HEAD "param %2 w f32[2] @0 w", "bad:3: unexpected 'w'"},
    {HEAD "param %2 " LONG_WORD " f32[2] @0", "is longer than 63 letters"},
    {HEAD "input %2 x f32[2] @64", "has the same class and name as %1"},
    {HEAD "param %2 f32[2] @0", "needs a name"},
    {HEAD "param %2 w f32[2] @-", "at offset -1 does not fit"},
    {HEAD "activation %2 y f32[2] @-", "is an activation that no op makes"},
    {HEAD "\001", "bad:3: expected a class, an op or a value instead of '?'"},
    {HEAD "%2 f32[2,2] @- gelu %1", "bad:3: expected '=' instead of 'gelu'"},
    {HEAD "%2 f32[2,2] @- = geluu %1", "bad:3: unknown op 'geluu'; the nearest is 'gelu'"},
    {HEAD "%2 f32[2,2] @- = lineer %1", "the nearest is 'linear'"},
    {HEAD "acumulate %1", "bad:3: unknown op 'acumulate'; the nearest is 'accumulate'"},
    {HEAD "gelu %1", "bad:3: gelu makes 1 values, the line names 0"},
    {HEAD "%2 f32[2,2] @-, %3 f32[2,2] @- = gelu %1", "makes 1 values, the line names 2"},
    {HEAD "%2 f32[1] @-, %3 f32[1] @-, %4 f32[1] @-, %5 f32[1] @- = gelu %1",
     "an op makes at most 3 values"},
    {HEAD "%2 f32[2,2] @- = gelu", "gelu: expected argument 'x' instead of the end of the line"},
    {HEAD "%2 f32[2,2] @- = gelu _", "bad:3: gelu: argument 'x' is missing"},
    {HEAD "%2 f32[2,2] @- = gelu %1 %1", "bad:3: unexpected '%1'"},
    {HEAD "%2 f32[2,2] @- = gelu %2", "argument 'x' is %2, which is not made before"},
    {HEAD "%2 f32[2,2] @- = gelu %0", "argument 'x' is %0, which is not made before"},
    {HEAD "%2 f32[2,3] @- = gelu %1", "bad:3: %2 does not have the type that its inputs imply"},
    {HEAD "%3 f32[2,2] @- = gelu %1", "bad:3: %3 is out of order, the next value is %2"},
    {HEAD "%2 f32[2,2] @- = add %1 %1 {a=1}", "bad:3: unexpected '{a=1}'"},
    {HEAD "%2 f32[2,2] @- = dropout %1", "bad:3: expected '{' instead of the end of the line"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {site=1}", "expected attribute 'rate' instead of 'site'"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=0.5}", "bad:3: expected ',' instead of '}'"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=nan, site=1}", "expected a number for rate"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=1e999, site=1}", "expected a number for rate"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=1.2.3, site=1}", "expected a number for rate"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=2, site=1}", "bad:3: dropout: rate must be in [0, 1)"},
    {HEAD "%2 f32[2,2] @- = dropout %1 {rate=0, site=1", "bad:3: expected '}'"},
    {HEAD "total everything 3", "bad:3: unknown total 'everything'"},
    {HEAD "total scratch", "bad:3: expected the number of bytes instead of the end of the line"},
    {HEAD "total input 0", "does not fit into the 0 bytes of class input"},
    {HEAD "total scratch 9999999999999999999", "bad:3: the number of bytes is too large"},
    {HEAD "total scratch 9223372036854775807", "do not fit its plan"},
    {HEAD "%2 f32[2,2] @0 = gelu %1", "value %2 has an offset, but the program is not planned"},
    {HEAD "%2 f32[2,2] @- = gelu %1\ntotal scratch 0", "at offset -1 does not fit"},
};

static void bad_text_is_refused_with_its_place(void **state) {
  (void)state;
  for (size_t i = 0; i < GW_COUNT_OF(bad_texts); i++) {
    GwProgram p;
    assert_fails(GW_INVALID, bad_texts[i].message,
                 gw_program_parse("bad", bad_texts[i].text, strlen(bad_texts[i].text), &p));
  }
}

/* Cut anywhere, the text must be refused or mean a program that is right in itself. */
static void text_cut_short_is_survived(void **state) {
  (void)state;
  GwProgram p, part;
  build(&p);
  assert_ok(gw_plan_memory(&p));
  size_t size = 0;
  char *text = text_of(&p, &size);
  for (size_t length = 0; length < size; length++) {
    char *copy = malloc(length ? length : 1); /* exact, so that a read behind it is seen */
    memcpy(copy, text, length);
    if (gw_program_parse("cut", copy, length, &part) == GW_OK) {
      assert_ok(gw_program_verify(&part));
      gw_program_deinit(&part);
    }
    free(copy);
  }
  free(text);
  gw_program_deinit(&p);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lifetimes_span_maker_to_last_reader),
      cmocka_unit_test(text_reads_back_to_an_equal_program),
      cmocka_unit_test(equality_sees_every_part),
      cmocka_unit_test(a_line_looks_as_documented),
      cmocka_unit_test(summary_adds_up),
      cmocka_unit_test(every_broken_rule_is_found),
      cmocka_unit_test(a_failed_program_is_refused),
      cmocka_unit_test(plans_are_tight_and_never_overlap),
      cmocka_unit_test(moved_values_are_judged_right),
      cmocka_unit_test(bad_text_is_refused_with_its_place),
      cmocka_unit_test(text_cut_short_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
