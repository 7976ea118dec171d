/* Speed of every op of op.def at the shapes of three models: time, arithmetic and traffic, and the
 * share of whatever binds it, memory or multiply-adds, as measured on this machine in the same run.
 *
 *   bench_ops [ISA [OP...]]    generic, avx2 or avx512; all ops when absent
 *
 * The ops are those of the real programs: the lane, loss, total, update and decode programs that
 * recipes give, the largest instance of each op in each model, and the ops that fusion has left no
 * instance of, at the shapes that they would have. Every figure is the median of several runs.
 * An op is timed alone and again and again, so data that fits into the caches stays there: such
 * rows are marked, and may exceed what memory allows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "bench_support.h"
#include "exec/backend_cpu.h"
#include "model/model.h"
#include "os/clock.h"
#include "train/training_plan.h"

enum {
  ROUNDS_MIN = 7,
  ROUNDS_MAX = 99,
  CASE_NS = 50000000,
  LONG_NS = 500000000,
  OVERRIDES_MAX = 10
};

static const int64_t memory_sweep = (int64_t)1 << 30; /* bytes that no cache holds */
static const int64_t cache_bytes = 2 << 20;           /* less than this is likely in L2 */

/* A model is a few recipes, which together have all ops: gpt2, llama with swiglu and relu2. */
typedef struct {
  const char *title, *file;
  const char *overrides[OVERRIDES_MAX];
} Model;

#define SIZES(layers, width, heads, batch, context, vocab)                                         \
  "model.layers=" layers, "model.width=" width, "model.heads=" heads, "train.lane_batch=" batch,   \
      "model.context=" context, "model.vocab_size=" vocab, "model.dropout=0.1", "train.lanes=1"

static const Model models[] = {
    {"GPT-2 124M, 4 x 1024",
     "recipes/gpt2-124m.yaml",
     {SIZES("12", "768", "12", "4", "1024", "50257")}},
    {"baby GPT 6 x 384, 16 x 256",
     "recipes/shakespeare-cpu.yaml",
     {SIZES("6", "384", "6", "16", "256", "4096")}},
    {"tiny GPT 4 x 128, 32 x 128",
     "recipes/shakespeare-cpu.yaml",
     {SIZES("4", "128", "4", "32", "128", "256")}},
};

static const char *const variants[][3] = {{NULL},
                                          {"model.family=llama", "model.qk_norm=true"},
                                          {"model.family=llama", "model.activation=relu2"}};

typedef struct {
  double fma;
  BenchBandwidth memory;
} Limits;

/* ---- the instances: the largest of each op ---- */

typedef struct {
  bool has[GW_OP_COUNT];
  GwShapes shapes[GW_OP_COUNT];
} Instances;

static void keep_largest(const GwProgram *program, Instances *instances) {
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    const GwOpDef *def = gw_op_def(op->code);
    GwShapes shapes;
    if (gw_op_shapes(program, op, false, &shapes) != GW_OK) continue;
    GwShapes *largest = &instances->shapes[op->code];
    if (!instances->has[op->code] || gw_op_bytes(def, &shapes) > gw_op_bytes(def, largest))
      *largest = shapes;
    instances->has[op->code] = true;
  }
}

static GwStatus keep_lane(const GwRecipe *recipe, Instances *instances) {
  GwLaneProgram lane;
  GW_TRY(gw_step_lane_program(recipe, &lane));
  keep_largest(&lane.program, instances);
  gw_program_deinit(&lane.program);
  GW_TRY(gw_model_loss_program(&recipe->model, recipe->train.lane_batch, &lane));
  keep_largest(&lane.program, instances);
  gw_program_deinit(&lane.program);
  return GW_OK;
}

static GwStatus keep_step(const GwRecipe *recipe, Instances *instances) {
  GwTrainingPlan plan;
  GwTrainingPart alone = {.ranks = 1, .threads = 1};
  GW_TRY(gw_training_plan_create(recipe, &alone, &plan));
  keep_largest(&plan.steps.total, instances);
  keep_largest(&plan.steps.update, instances);
  gw_training_plan_destroy(&plan);
  return GW_OK;
}

static GwStatus keep_decode(const GwRecipe *recipe, Instances *instances) {
  GwDecodeProgram decode;
  GW_TRY(gw_model_decode_program(&recipe->model, (GwDecodeShape){1, 1, 1, 1}, &decode));
  keep_largest(&decode.program, instances);
  gw_program_deinit(&decode.program);
  return GW_OK;
}

/* Ops of up to four inputs and no attributes, unless the programs have them. */
static void derive(Instances *instances, GwOpcode code, GwType in0, GwType in1, GwType in2,
                   GwType in3) {
  GwShapes shapes = {.in = {in0, in1, in2, in3}};
  int count = gw_op_in_count(gw_op_def(code));
  for (int i = 0; i < count; i++) shapes.has[i] = true;
  if (instances->has[code] || gw_op_def(code)->shape(&shapes) != GW_OK) return;
  instances->shapes[code] = shapes;
  instances->has[code] = true;
}

/* What fusion has made part of other ops. */
static void derive_unfused(Instances *instances) {
  const GwShapes *activation = &instances->shapes[GW_OP_LINEAR_ACTIVATION];
  const GwShapes *sum = &instances->shapes[GW_OP_LINEAR_SUM];
  const GwShapes *head = &instances->shapes[GW_OP_HEAD_LOSS_SUM];
  GwType hidden = activation->out[0], none = {0};
  derive(instances, GW_OP_GELU, hidden, none, none, none);
  derive(instances, GW_OP_RELU2, hidden, none, none, none);
  derive(instances, GW_OP_GELU_GRAD, hidden, hidden, none, none);
  derive(instances, GW_OP_RELU2_GRAD, hidden, hidden, none, none);
  derive(instances, GW_OP_LINEAR_DW, sum->in[0], sum->in[1], none, none);
  derive(instances, GW_OP_HEAD_LOSS_GRAD, head->in[0], head->in[1], head->in[2], head->out[0]);
}

static GwStatus collect(const Model *model, Instances *instances) {
  *instances = (Instances){0};
  for (size_t k = 0; k < GW_COUNT_OF(variants); k++) {
    const char *overrides[OVERRIDES_MAX + 3];
    int count = 0;
    for (int i = 0; i < OVERRIDES_MAX && model->overrides[i]; i++)
      overrides[count++] = model->overrides[i];
    for (int i = 0; i < 3 && variants[k][i]; i++) overrides[count++] = variants[k][i];
    GwRecipe recipe;
    GW_TRY(gw_recipe_load(model->file, overrides, count, &recipe));
    GW_TRY(keep_lane(&recipe, instances));
    GW_TRY(keep_step(&recipe, instances));
    GW_TRY(keep_decode(&recipe, instances));
  }
  derive_unfused(instances);
  return GW_OK;
}

/* ---- one instance's data ---- */

/* Rows of the first of the op's arguments that has one of the names; 0: none has. */
static int64_t rows_of(const GwOpDef *def, const GwShapes *shapes, const char *const names[3]) {
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < gw_op_in_count(def); i++)
      if (strcmp(def->in[i].name, names[k]) == 0) return shapes->in[i].dim[0];
  return 0;
}

static int64_t attribute(const GwOpDef *def, const GwShapes *shapes, const char *name) {
  for (int i = 0; i < gw_op_attr_count(def); i++)
    if (strcmp(def->attr[i], name) == 0) return (int64_t)shapes->attr[i];
  return 0;
}

/* Tokens from all over the vocabulary; whole sequences; the last rows of a cache. */
static int32_t whole_at(const GwOpDef *def, const GwShapes *shapes, const char *name, int64_t i) {
  bool cached = rows_of(def, shapes, (const char *const[3]){"cache", "k_cache", ""}) > 0;
  int64_t table = rows_of(def, shapes, (const char *const[3]){"table", "weight", "sum"});
  int64_t context = attribute(def, shapes, "context");
  int64_t base = cached ? context - shapes->in[0].dim[0] : 0;
  if (strcmp(name, "base") == 0) return (int32_t)base;
  if (strcmp(name, "ids") == 0 || strcmp(name, "targets") == 0)
    return (int32_t)(table > 0 ? i * 7919 % table : 0);
  if (strcmp(name, "positions") != 0) return 0;
  if (cached) return (int32_t)(base + i);
  return (int32_t)(context > 0 ? i % context : table > 0 ? i % table : 0);
}

static void fill_hyper(double *hyper) {
  static const double values[8] = {1e-3, 0.9, 0.95, 1e-8, 1.1, 1.05, 0x1p-44, 1};
  memcpy(hyper, values, sizeof values);
}

static void *input_create(const GwOpDef *def, const GwShapes *shapes, int i) {
  const GwArg *arg = &def->in[i];
  const GwType *type = &shapes->in[i];
  void *data = gw_buffer_create(gw_type_size(type));
  if (!data) return NULL;
  if (type->dtype == GW_I32)
    for (int64_t k = 0; k < gw_type_count(type); k++)
      ((int32_t *)data)[k] = whole_at(def, shapes, arg->name, k);
  if (strcmp(arg->name, "hyper") == 0) fill_hyper(data);
  if (strcmp(arg->name, "norm_and_scale") == 0) ((double *)data)[1] = 0x1p-44;
  if (type->dtype == GW_F32)
    for (int64_t k = 0; k < gw_type_count(type); k++)
      ((float *)data)[k] = (float)(k * 7919 % 1009 + 1) * 1e-3f;
  return data;
}

static void call_deinit(GwCall *call) {
  for (int i = 0; i < GW_IN_MAX; i++) gw_buffer_destroy(call->in[i]);
  for (int i = 0; i < GW_OUT_MAX; i++) gw_buffer_destroy(call->out[i]);
  gw_buffer_destroy(call->scratch);
}

static GwStatus call_init(const GwOpDef *def, const GwShapes *shapes, GwPool *pool, GwCall *out) {
  GwCall call = {.shapes = *shapes, .key = {.seed = 42, .step = 7}, .pool = pool};
  bool whole = true;
  for (int i = 0; i < gw_op_in_count(def); i++) {
    if (!shapes->has[i]) continue;
    call.in[i] = input_create(def, shapes, i);
    whole = whole && call.in[i];
  }
  for (int i = 0; i < gw_op_out_count(def); i++) {
    call.out[i] = gw_buffer_create(gw_type_size(&shapes->out[i]));
    whole = whole && call.out[i];
  }
  call.scratch_bytes = def->scratch ? gw_align_up((size_t)def->scratch(shapes), GW_ALIGN) : 0;
  call.scratch = gw_buffer_create(call.scratch_bytes * (size_t)gw_pool_threads(pool));
  *out = call;
  if (whole && call.scratch) return GW_OK;
  call_deinit(out);
  return gw_fail(GW_MEMORY, "no memory for the data of %s", def->name);
}

/* ---- a row of the table ---- */

/* Seconds that memory needs for the op's least traffic: values updated in place, values read and
 * written side by side, and what one of the two exceeds the other by. */
static double memory_seconds(const GwOpDef *def, const GwShapes *shapes, const Limits *limits) {
  double updated = 0, written = 0, total = (double)gw_op_bytes(def, shapes);
  for (int i = 0; i < gw_op_in_count(def); i++)
    if (shapes->has[i] && def->in[i].flags & GW_ARG_INOUT)
      updated += 2 * (double)gw_type_size(&shapes->in[i]);
  for (int i = 0; i < gw_op_out_count(def); i++) written += (double)gw_type_size(&shapes->out[i]);
  updated = updated < total ? updated : total;
  double read = total - updated - written, paired = read < written ? read : written;
  const BenchBandwidth *memory = &limits->memory;
  return updated / memory->update + 2 * paired / memory->copy + (read - paired) / memory->read +
         (written - paired) / memory->write;
}

/* The median of a few runs; of what takes long, one or two. */
static double run_seconds(const GwBackend *backend, GwOpcode code, const GwCall *call) {
  double seconds[ROUNDS_MAX];
  int rounds = 0;
  uint64_t begin = gw_clock_ns(), spent;
  do {
    uint64_t start = gw_clock_ns();
    backend->run(backend, code, call);
    seconds[rounds++] = (double)(gw_clock_ns() - start) * 1e-9;
    spent = gw_clock_ns() - begin;
  } while (rounds < ROUNDS_MAX && spent < (rounds < ROUNDS_MIN ? LONG_NS : CASE_NS));
  return bench_median(seconds, rounds);
}

static GwStatus print_row(const GwBackend *backend, GwOpcode code, const GwShapes *shapes,
                          GwPool *pool, const Limits *limits) {
  const GwOpDef *def = gw_op_def(code);
  GwCall call;
  GW_TRY(call_init(def, shapes, pool, &call));
  double seconds = run_seconds(backend, code, &call);
  call_deinit(&call);
  double flops = (double)def->flops(shapes), bytes = (double)gw_op_bytes(def, shapes);
  double by_memory = memory_seconds(def, shapes, limits);
  double by_fma = limits->fma > 0 ? flops / limits->fma : 0;
  bool fma = by_fma > by_memory;
  printf("%7d  %-16s  %10.1f  %10.2f  %9.3f  %7.1f  %8.1f  %-6s  %6.1f %%%s\n",
         gw_pool_threads(pool), def->name, seconds * 1e6, flops * 1e-6, bytes * 1e-6,
         bytes / seconds * 1e-9, flops / seconds * 1e-9, fma ? "fma" : "memory",
         100 * (fma ? by_fma : by_memory) / seconds, bytes < (double)cache_bytes ? " cached" : "");
  return GW_OK;
}

/* ---- the whole table ---- */

static bool is_asked(const char *name, char **names, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return count == 0;
}

static GwStatus run_model(const GwBackend *backend, const Model *model, GwPool *pool,
                          const Limits *limits, char **names, int count) {
  Instances instances;
  GW_TRY(collect(model, &instances));
  printf("\n%s\n%7s  %-16s  %10s  %10s  %9s  %7s  %8s  %-6s  %8s\n", model->title, "threads", "op",
         "us", "MFLOP", "MB", "GB/s", "GFLOP/s", "bound", "of bound");
  for (GwOpcode code = 0; code < GW_OP_COUNT; code++)
    if (instances.has[code] && is_asked(gw_op_def(code)->name, names, count))
      GW_TRY(print_row(backend, code, &instances.shapes[code], pool, limits));
  return GW_OK;
}

static Limits measure_limits(int threads) {
  Limits limits = {bench_peak_fma(threads), bench_bandwidth(threads, memory_sweep)};
  const BenchBandwidth *memory = &limits.memory;
  printf("\n%d thread%s: multiply-adds %.1f GFLOP/s, of bf16 pairs %.1f GFLOP/s; memory GB/s: read "
         "%.1f, write %.1f, copy %.1f, update in place %.1f\n",
         threads, threads == 1 ? "" : "s", limits.fma * 1e-9, bench_peak_bf16(threads) * 1e-9,
         memory->read * 1e-9, memory->write * 1e-9, memory->copy * 1e-9, memory->update * 1e-9);
  return limits;
}

static GwStatus run_threads(const GwBackend *backend, int threads, char **names, int count) {
  Limits limits = measure_limits(threads);
  GwPool *pool = NULL;
  GW_TRY(gw_pool_create(threads, &pool));
  GwStatus status = GW_OK;
  for (size_t m = 0; m < GW_COUNT_OF(models) && status == GW_OK; m++)
    status = run_model(backend, &models[m], pool, &limits, names, count);
  gw_pool_destroy(pool);
  return status;
}

int main(int argc, char **argv) {
  GwIsa isa = gw_isa_best();
  if ((argc > 1 && !gw_isa_from_name(argv[1], &isa)) || !gw_isa_available(isa)) {
    fprintf(stderr, "usage: bench_ops [generic|avx2|avx512 [OP...]] (this machine's best: %s)\n",
            gw_isa_name(gw_isa_best()));
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  int names = argc > 2 ? argc - 2 : 0;
  printf("%s, run in the repository's root\n", gw_isa_name(isa));
  GwStatus status = run_threads(gw_backend_cpu(isa), 1, argv + 2, names);
  if (status == GW_OK) status = run_threads(gw_backend_cpu(isa), 2, argv + 2, names);
  if (status == GW_OK) return 0;
  fprintf(stderr, "bench_ops: %s\n", gw_error_message());
  return 1;
}
