/* A recipe's program as text. What is not the program itself stands behind ';', so that the whole
 * output can be parsed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "data/corpus.h"
#include "godwit/inspect.h"
#include "program/summary.h"
#include "program/words.h"
#include "train/training_plan.h"

enum { ASSUMED_VOCAB_SIZE = 50257 }; /* GPT-2's */

static GwStatus resolve_vocab_size(const GwProgramOptions *options, GwRecipe *recipe, FILE *out) {
  if (recipe->model.vocab_size != 0) return GW_OK;
  if (options->data_dir) {
    GwCorpus *corpus = NULL;
    GW_TRY(gw_corpus_open(options->data_dir, false, &corpus));
    recipe->model.vocab_size = gw_corpus_vocab_size(corpus);
    gw_corpus_close(corpus);
    return GW_OK;
  }
  recipe->model.vocab_size = ASSUMED_VOCAB_SIZE;
  fprintf(out,
          "; model.vocab_size comes from the data: %d is assumed; give --data DIR or "
          "model.vocab_size=N\n",
          ASSUMED_VOCAB_SIZE);
  return GW_OK;
}

/* ---- comments ---- */

static GwStatus print_summary(const GwProgram *program, FILE *out) {
  char *text = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&text, &size);
  if (!memory) return gw_fail(GW_MEMORY, "no memory to print a program");
  gw_program_print_summary(program, memory);
  bool whole = fclose(memory) == 0;
  char *rest = NULL;
  for (char *line = whole ? strtok_r(text, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest))
    fprintf(out, "; %s\n", line);
  free(text);
  return whole ? GW_OK : gw_fail(GW_MEMORY, "no memory to print a program");
}

static void print_bytes(const char *name, int64_t bytes, const char *meaning, FILE *out) {
  char units[GW_UNITS_MAX];
  fprintf(out, ";   %-18s %16" PRId64 "  %10s  %s\n", name, bytes,
          gw__units(units, (double)bytes, "B"), meaning);
}

static void print_memory(const GwTrainingPlan *plan, int threads, FILE *out) {
  const GwTrainingMemory *memory = &plan->memory;
  fprintf(out, "; peak memory of a training run with %d threads%s, bytes\n", threads,
          plan->lanes_at_once > 1 ? " (with a lane on each, if that is faster)" : "");
  print_bytes("parameters", memory->params, "the model's", out);
  print_bytes("moments", memory->moments, "AdamW's first and second", out);
  print_bytes("sums", memory->sums, "exact gradient sums", out);
  print_bytes("activations", memory->activations, "of lanes; shared with validation", out);
  print_bytes("inputs", memory->inputs, "of lanes, those read ahead, and of validation", out);
  print_bytes("scratch", memory->scratch, "of the kernels, all threads", out);
  if (memory->packed > 0)
    print_bytes("packed weights", memory->packed, "kept for the lanes of a step", out);
  print_bytes("peak memory", memory->total, "all of these", out);
}

static void print_recomputation(const GwRecipe *recipe, const GwRecomputation *again, FILE *out) {
  char units[GW_UNITS_MAX];
  if (recipe->train.memory_limit == 0) return;
  fprintf(out, "; computed again, to stay within train.memory_limit (%s): %" PRId32 " ops\n",
          gw__units(units, (double)recipe->train.memory_limit, "B"), again->count);
  for (int i = 0; i < GW_OP_COUNT; i++)
    if (again->by_op[i] > 0)
      fprintf(out, ";   %-18s %16" PRId32 "\n", gw_op_def((GwOpcode)i)->name, again->by_op[i]);
  if (again->count > 0)
    fprintf(out, ";   %-18s %16" PRId64 "  %10s  about %.1f %% more time\n", "FLOPs of a lane",
            again->flops, gw__units(units, (double)again->flops, "FLOP"), 100 * again->share);
}

static void print_training(const GwRecipe *recipe, const GwTrainingPlan *plan, FILE *out) {
  char params[GW_UNITS_MAX], per_token[GW_UNITS_MAX], per_step[GW_UNITS_MAX];
  GwProgramSummary summary = gw_program_summarise(&plan->lane.program);
  const GwTrainRecipe *train = &recipe->train;
  int64_t tokens = (int64_t)train->lane_batch * recipe->model.context;
  double flops = (double)summary.flops;
  fprintf(out, ";\n; training: %" PRId64 " steps of %" PRId64 " tokens\n", train->steps,
          tokens * train->lanes);
  fprintf(out,
          ";   (train.lanes %" PRId32 ", train.lane_batch %" PRId32 ", model.context %" PRId32
          ")\n",
          train->lanes, train->lane_batch, recipe->model.context);
  fprintf(out, ";   %-18s %16s  %10s\n", "dtype", gw_profile_name(recipe->model.dtype), "products");
  fprintf(out, ";   %-18s %16" PRId64 "  %10s\n", "parameters", summary.params,
          gw__units(params, (double)summary.params, ""));
  fprintf(out, ";   %-18s %16.0f  %10s\n", "FLOPs per token", flops / (double)tokens,
          gw__units(per_token, flops / (double)tokens, "FLOP"));
  fprintf(out, ";   %-18s %16.0f  %10s\n", "FLOPs per step", flops * train->lanes,
          gw__units(per_step, flops * train->lanes, "FLOP"));
}

/* ---- which program ---- */

static GwStatus print_whole(GwProgram *program, FILE *out) {
  gw_program_print(program, out);
  fprintf(out, ";\n");
  return print_summary(program, out);
}

/* A program that is no part of training. */
static GwStatus print_pass(const GwRecipe *recipe, const char *name, FILE *out) {
  GwLaneProgram loss;
  GwDecodeProgram decode;
  GwStatus status;
  if (strcmp(name, "loss") == 0) {
    GW_TRY(gw_model_loss_program(&recipe->model, recipe->train.lane_batch, &loss));
    status = print_whole(&loss.program, out);
    gw_program_deinit(&loss.program);
    return status;
  }
  if (strcmp(name, "decode") == 0) {
    GW_TRY(gw_model_decode_program(&recipe->model, (GwDecodeShape){1, 1, 1, 1}, &decode));
    status = print_whole(&decode.program, out);
    gw_program_deinit(&decode.program);
    return status;
  }
  return gw_fail(GW_USAGE, "program '%s' is not known: use lane, loss or decode", name);
}

GwStatus gw_program_show(const GwProgramOptions *options, FILE *out) {
  GwRecipe recipe;
  GwTrainingPlan plan;
  int threads = options->threads > 0 ? options->threads : gw_processor_count();
  GW_TRY(gw_recipe_load(options->recipe, options->overrides, options->override_count, &recipe));
  GW_TRY(resolve_vocab_size(options, &recipe, out));
  GwTrainingPart alone = {.ranks = 1, .threads = threads};
  GW_TRY(gw_training_plan_create(&recipe, &alone, &plan));
  GwStatus status = strcmp(options->program, "lane") == 0
                        ? print_whole(&plan.lane.program, out)
                        : print_pass(&recipe, options->program, out);
  if (status == GW_OK) {
    print_training(&recipe, &plan, out);
    print_recomputation(&recipe, &plan.recomputation, out);
    print_memory(&plan, threads, out);
  }
  gw_training_plan_destroy(&plan);
  return status;
}
