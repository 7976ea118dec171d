/* Evaluation of a run on a corpus or on a text file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/text.h"
#include "exec/backend_cpu.h"
#include "godwit/eval.h"
#include "infer/evaluate.h"
#include "infer/loaded_model.h"

static const size_t TEXT_BYTES_MAX = (size_t)1 << 34;
static const char LABEL[] = "eval";

typedef struct {
  const GwEvalOptions *options;
  int64_t stride;
  GwLoadedModel model;
  GwPool *pool;
  GwEvaluator *evaluator;
} Evaluation;

GwEvalOptions gw_eval_default(void) { return (GwEvalOptions){.split = "val"}; }

static GwStatus check_options(const GwEvalOptions *options) {
  if (!options->data_dir == !options->text_file)
    return gw_fail(GW_USAGE, "give either --data DIR or --text FILE");
  if (strcmp(options->split, "val") != 0 && strcmp(options->split, "train") != 0)
    return gw_fail(GW_USAGE, "split '%s' is not known: use val or train", options->split);
  return GW_OK;
}

static GwStatus choose_stride(Evaluation *e) {
  int64_t context = e->model.recipe.model.context;
  e->stride = e->options->stride ? e->options->stride : context;
  if (e->stride >= 1 && e->stride <= context) return GW_OK;
  return gw_fail(GW_USAGE, "stride %" PRId64 " is not in 1..%" PRId64 ", the model's context",
                 e->stride, context);
}

static GwStatus open_evaluation(const char *path, Evaluation *e) {
  const GwExecutionOptions *execution = &e->options->execution;
  const GwBackend *backend = NULL;
  GW_TRY(check_options(e->options));
  GW_TRY(gw_backend_choose(execution->backend, execution->isa, &backend));
  GW_TRY(gw_pool_create(execution->threads, &e->pool));
  GW_TRY(gw_loaded_model_open(path, &e->model));
  if (e->options->text_file) GW_TRY(gw_loaded_model_need_tokenizer(&e->model));
  GW_TRY(choose_stride(e));
  return gw_evaluator_create(&e->model.recipe.model, backend, e->pool, e->model.params,
                             &e->evaluator);
}

static void close_evaluation(Evaluation *e) {
  gw_evaluator_destroy(e->evaluator);
  gw_loaded_model_close(&e->model);
  gw_pool_destroy(e->pool);
}

/* ---- a corpus ---- */

/* Where one of the two has no tokenizer, ids that the model knows are taken as they are. */
static GwStatus check_tokenizer(const Evaluation *e, const GwCorpus *corpus) {
  const GwTokenizer *own = e->model.tokenizer, *data = gw_corpus_tokenizer(corpus);
  if (!own || !data || gw_tokenizer_hash(own) == gw_tokenizer_hash(data)) return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "%s: prepared with another tokenizer than the run's; prepare it with "
                 "--tokenizer RUN/tokenizer.json, or use --text FILE",
                 gw_corpus_dir(corpus));
}

static GwStatus evaluate_corpus(Evaluation *e, GwEvaluation *out) {
  GwSplit split = strcmp(e->options->split, "val") == 0 ? GW_SPLIT_VAL : GW_SPLIT_TRAIN;
  GwCorpus *corpus = NULL;
  GW_TRY(gw_corpus_open(e->options->data_dir, true, &corpus));
  gw_corpus_describe(corpus);
  GwStatus status = check_tokenizer(e, corpus);
  if (status == GW_OK)
    status = gw_evaluator_corpus(e->evaluator, corpus, split, 0, e->stride, LABEL, out);
  gw_corpus_close(corpus);
  return status;
}

/* ---- a text ---- */

static GwStatus read_ids(void *context, uint64_t first, int64_t count, int32_t *tokens,
                         int32_t *positions) {
  const GwTokenIds *ids = context;
  memcpy(tokens, ids->ids + first, ((size_t)count + 1) * sizeof *tokens);
  gw_positions(tokens, count, ids->ids[0], positions);
  return GW_OK;
}

static GwStatus encode_file(const Evaluation *e, const char *path, GwTokenIds *ids) {
  char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_fs_read_all(gw_fs_disk(), path, TEXT_BYTES_MAX, &text, &size));
  GwStatus status = gw_text_check(path, text, size);
  if (status == GW_OK && size == 0)
    status = gw_fail(GW_INVALID, "%s: is empty; give a file with text", path);
  if (status == GW_OK) status = gw_tokenizer_encode(e->model.tokenizer, text, size, ids);
  free(text);
  return status;
}

static GwStatus evaluate_text(Evaluation *e, GwEvaluation *out) {
  GwTokenIds ids = {.ids = malloc(sizeof *ids.ids), .count = 1, .capacity = 1};
  if (!ids.ids) return gw_fail(GW_MEMORY, "no memory for the text's tokens");
  ids.ids[0] = gw_tokenizer_end_of_text(e->model.tokenizer);
  GwStatus status = encode_file(e, e->options->text_file, &ids);
  if (status == GW_OK)
    status = gw_evaluator_run(e->evaluator, read_ids, &ids, ids.count, e->stride,
                              e->model.tokenizer, LABEL, out);
  gw_token_ids_deinit(&ids);
  return status;
}

_Static_assert(sizeof(((GwEvalReport *)0)->path) == GW_PATH_MAX, "a path must fit");

GwStatus gw_eval(const char *path, const GwEvalOptions *options, GwEvalReport *out) {
  Evaluation e = {.options = options};
  GwEvalReport report = {0};
  GwStatus status = open_evaluation(path, &e);
  if (status == GW_OK)
    status = options->data_dir ? evaluate_corpus(&e, &report.evaluation)
                               : evaluate_text(&e, &report.evaluation);
  if (status == GW_OK) {
    memcpy(report.path, e.model.path, sizeof report.path);
    report.step = e.model.info.step;
    report.stride = e.stride;
    *out = report;
  }
  close_evaluation(&e);
  return status;
}
