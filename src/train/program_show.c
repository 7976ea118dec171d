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
#include "train/memory_estimate.h"
#include "train/step_programs.h"

enum { ASSUMED_VOCAB_SIZE = 50257 }; /* GPT-2's */

/* ---- which program ---- */

static GwStatus resolve_vocab_size(const GwProgramOptions *options, GwRecipe *recipe, FILE *out) {
  if (recipe->model.vocab_size != 0) return GW_OK;
  if (options->data_dir) {
    GwCorpus *corpus = NULL;
    GW_TRY(gw_corpus_open(options->data_dir, false, &corpus));
    recipe->model.vocab_size = gw_tokenizer_vocab_size(gw_corpus_tokenizer(corpus));
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

static GwStatus build(const GwRecipe *recipe, const char *name, GwProgram *out) {
  GwLaneProgram pass;
  GwDecodeProgram decode;
  if (strcmp(name, "lane") == 0) {
    GW_TRY(gw_step_lane_program(recipe, &pass));
    *out = pass.program;
  } else if (strcmp(name, "loss") == 0) {
    GW_TRY(gw_model_loss_program(&recipe->model, recipe->train.lane_batch, &pass));
    *out = pass.program;
  } else if (strcmp(name, "decode") == 0) {
    GW_TRY(gw_model_decode_program(&recipe->model, 1, 1, &decode));
    *out = decode.program;
  } else {
    return gw_fail(GW_USAGE, "program '%s' is not known: use lane, loss or decode", name);
  }
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

static GwStatus print_memory(const GwRecipe *recipe, int threads, FILE *out) {
  GwTrainingMemory memory;
  if (threads == 0) threads = gw_processor_count();
  GW_TRY(gw_training_memory(recipe, threads, &memory));
  fprintf(out, "; peak memory of a training run with %d threads, bytes\n", threads);
  print_bytes("parameters", memory.params, "the model's", out);
  print_bytes("moments", memory.moments, "AdamW's first and second", out);
  print_bytes("sums", memory.sums, "exact gradient sums", out);
  print_bytes("activations", memory.activations, "of a lane, its inputs included", out);
  print_bytes("validation", memory.validation, "activations and inputs of the evaluator", out);
  print_bytes("scratch", memory.scratch, "of the kernels, all threads", out);
  print_bytes("peak memory", memory.total, "all of these", out);
  return GW_OK;
}

static GwStatus print_training(const GwRecipe *recipe, int threads, FILE *out) {
  GwLaneProgram lane;
  char params[GW_UNITS_MAX], per_token[GW_UNITS_MAX], per_step[GW_UNITS_MAX];
  GW_TRY(gw_step_lane_program(recipe, &lane));
  GwProgramSummary summary = gw_program_summarise(&lane.program);
  gw_program_deinit(&lane.program);
  const GwTrainRecipe *train = &recipe->train;
  int64_t tokens = (int64_t)train->lane_batch * recipe->model.context;
  double flops = (double)summary.flops;
  fprintf(out, ";\n; training: %" PRId64 " steps of %" PRId64 " tokens\n", train->steps,
          tokens * train->lanes);
  fprintf(out,
          ";   (train.lanes %" PRId32 ", train.lane_batch %" PRId32 ", model.context %" PRId32
          ")\n",
          train->lanes, train->lane_batch, recipe->model.context);
  fprintf(out, ";   %-18s %16" PRId64 "  %10s\n", "parameters", summary.params,
          gw__units(params, (double)summary.params, ""));
  fprintf(out, ";   %-18s %16.0f  %10s\n", "FLOPs per token", flops / (double)tokens,
          gw__units(per_token, flops / (double)tokens, "FLOP"));
  fprintf(out, ";   %-18s %16.0f  %10s\n", "FLOPs per step", flops * train->lanes,
          gw__units(per_step, flops * train->lanes, "FLOP"));
  return print_memory(recipe, threads, out);
}

GwStatus gw_program_show(const GwProgramOptions *options, FILE *out) {
  GwRecipe recipe;
  GwProgram program;
  GW_TRY(gw_recipe_load(options->recipe, options->overrides, options->override_count, &recipe));
  GW_TRY(resolve_vocab_size(options, &recipe, out));
  GW_TRY(build(&recipe, options->program, &program));
  gw_program_print(&program, out);
  fprintf(out, ";\n");
  GwStatus status = print_summary(&program, out);
  gw_program_deinit(&program);
  GW_TRY(status);
  return print_training(&recipe, options->threads, out);
}
