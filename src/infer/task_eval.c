/* Tasks scored by log-likelihood, item by item, as lm-eval does it against a server of completions
 * (local-completions): tokens of a pair are found as in its _encode_pair, no token stands before
 * the context, and a sequence that is too long loses its beginning. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/json.h"
#include "base/mathd.h"
#include "data/text.h"
#include "exec/backend_cpu.h"
#include "godwit/log.h"
#include "godwit/suggest.h"
#include "godwit/task.h"
#include "infer/loaded_model.h"
#include "infer/scorer.h"
#include "infer/task_items.h"
#include "infer/task_text.h"

typedef struct {
  const GwTaskOptions *options;
  const GwTask *task;
  const char *data;
  GwTaskItems items;
  GwLoadedModel model;
  GwPool *pool;
  GwScorer *scorer;
  GwTokenIds ids, whole;               /* of a pair, work space */
  GwText text;                         /* likewise */
  GwTokenScore *scores;                /* [T] likewise */
  double *values[GW_TASK_METRICS_MAX]; /* of each item */
  GwText lines;                        /* for options->items */
  size_t done;                         /* items */
} TaskEval;

/* ---- setup ---- */

static GwStatus unknown_task(const char *name) {
  const char *names[16];
  int count = 0;
  for (const GwTask *task = gw_task_at(0); task && count < (int)GW_COUNT_OF(names);
       task = gw_task_at((size_t)count))
    names[count++] = task->name;
  const char *similar = gw_similar(name, names, count);
  if (similar)
    return gw_fail(GW_USAGE, "task '%s' is not known; did you mean '%s'?", name, similar);
  return gw_fail(GW_USAGE,
                 "task '%s' is not known: use hellaswag, lambada, blimp, arc, piqa, winogrande or "
                 "a FILE.jsonl",
                 name);
}

static GwStatus choose_task(TaskEval *e) {
  const char *name = e->options->task;
  e->task = gw_task_find(name);
  e->data = e->options->data;
  if (e->task && e->data) return GW_OK;
  if (e->task)
    return gw_fail(GW_USAGE, "task '%s' needs --task-data PATH: its file, or a folder of them",
                   name);
  if (!gw_task_ends_with(name, ".jsonl")) return unknown_task(name);
  if (e->data)
    return gw_fail(GW_USAGE, "%s is a file: --task-data belongs to a task with a name", name);
  e->task = gw_task_own();
  e->data = name;
  return GW_OK;
}

static GwStatus make_room(TaskEval *e) {
  e->scores = calloc((size_t)e->model.recipe.model.context, sizeof *e->scores);
  bool made = e->scores;
  for (int m = 0; m < GW_TASK_METRICS_MAX; m++) {
    e->values[m] = calloc(e->items.count, sizeof *e->values[m]);
    made = made && e->values[m];
  }
  return made ? GW_OK : gw_fail(GW_MEMORY, "no memory to score %zu items", e->items.count);
}

static GwStatus open_task(const char *path, TaskEval *e) {
  const GwExecutionOptions *execution = &e->options->execution;
  const GwBackend *backend = NULL;
  GW_TRY(choose_task(e));
  GW_TRY(gw_backend_choose(execution->backend, execution->isa, &backend));
  GW_TRY(gw_pool_create(execution->threads, &e->pool));
  GW_TRY(gw_task_items_read(gw_fs_disk(), e->task, e->data, e->options->limit, &e->items));
  GW_TRY(gw_loaded_model_open(path, &e->model));
  GW_TRY(gw_loaded_model_need_tokenizer(&e->model));
  GW_TRY(make_room(e));
  if (e->options->items) /* fails now rather than at the end */
    GW_TRY(gw_fs_write_atomic(gw_fs_disk(), e->options->items, "", 0));
  return gw_scorer_create(&e->model.recipe.model, backend, e->pool, e->model.params, &e->scorer);
}

static void close_task(TaskEval *e) {
  gw_scorer_destroy(e->scorer);
  gw_text_deinit(&e->lines);
  for (int m = 0; m < GW_TASK_METRICS_MAX; m++) free(e->values[m]);
  free(e->scores);
  gw_text_deinit(&e->text);
  gw_token_ids_deinit(&e->whole);
  gw_token_ids_deinit(&e->ids);
  gw_loaded_model_close(&e->model);
  gw_task_items_deinit(&e->items);
  gw_pool_destroy(e->pool);
}

/* ---- a choice ---- */

static GwStatus append_ids(GwTokenIds *ids, const int32_t *more, size_t count) {
  if (!GW_GROW(ids->ids, ids->capacity, ids->count + count))
    return gw_fail(GW_MEMORY, "no memory for %zu tokens", ids->count + count);
  memcpy(ids->ids + ids->count, more, count * sizeof *more);
  ids->count += count;
  return GW_OK;
}

/* White space at the context's end belongs to what follows; that gets the tokens that both together
 * have more than the context alone. Names of special tokens become these, as elsewhere. */
static GwStatus encode_behind(TaskEval *e, const GwTaskChoice *choice, int64_t *context_count) {
  const GwTokenizer *tokenizer = e->model.tokenizer;
  e->text.size = 0;
  e->whole.count = 0;
  GW_TRY(gw_text_append(&e->text, choice->context, strlen(choice->context)));
  GW_TRY(gw_text_append(&e->text, choice->continuation, strlen(choice->continuation)));
  GW_TRY(gw_tokenizer_encode_special(tokenizer, choice->context, gw_task_trimmed(choice->context),
                                     &e->ids));
  GW_TRY(gw_tokenizer_encode_special(tokenizer, e->text.data, e->text.size, &e->whole));
  size_t count = e->ids.count;
  *context_count = (int64_t)count;
  if (e->whole.count <= count) return GW_OK;
  return append_ids(&e->ids, e->whole.ids + count, e->whole.count - count);
}

/* Puts both into e->ids. Where there is no context the end-of-text token is. */
static GwStatus encode_choice(TaskEval *e, const GwTaskChoice *choice, int64_t *context_count) {
  const GwTokenizer *tokenizer = e->model.tokenizer;
  int32_t end_of_text = gw_tokenizer_end_of_text(tokenizer);
  e->ids.count = 0;
  if (*choice->context) return encode_behind(e, choice, context_count);
  *context_count = 1;
  GW_TRY(append_ids(&e->ids, &end_of_text, 1));
  return gw_tokenizer_encode_special(tokenizer, choice->continuation, strlen(choice->continuation),
                                     &e->ids);
}

/* *greedy: whether no other token was likelier anywhere. */
static GwStatus score_choice(TaskEval *e, const GwTaskItem *item, int32_t number, double *out,
                             bool *greedy) {
  int64_t first = 0, context = e->model.recipe.model.context;
  GW_TRY(encode_choice(e, &item->choices[number], &first));
  int64_t count = (int64_t)e->ids.count, scored = count - first;
  if (scored > context)
    return gw_fail(GW_INVALID,
                   "%s:%" PRIu64 ": choice %" PRId32 " has %" PRId64 " tokens; the model's context "
                   "takes %" PRId64,
                   item->file, item->line, number, scored, context);
  *out = 0;
  *greedy = true;
  if (scored == 0) return GW_OK;
  int64_t cut = gw_scorer_cut(count, context);
  GW_TRY(gw_scorer_run(e->scorer, e->ids.ids + cut, count - cut, first - cut, e->scores));
  for (int64_t i = 0; i < scored; i++) {
    *out += e->scores[i].log_probability;
    if (e->scores[i].log_probability != e->scores[i].greedy_log_probability) *greedy = false;
  }
  return GW_OK;
}

/* ---- an item ---- */

/* The first of the largest. */
static int32_t likeliest(const GwTaskItem *item, const double *values, bool normalised) {
  int32_t best = 0;
  double most = 0;
  for (int32_t i = 0; i < item->choice_count; i++) {
    double value = normalised ? values[i] / (double)item->choices[i].characters : values[i];
    if (i > 0 && value <= most) continue;
    best = i;
    most = value;
  }
  return best;
}

static GwStatus append_line(TaskEval *e, json_t *line) {
  char *text = line ? gw_json_line(line) : NULL;
  json_decref(line);
  if (!text) return gw_fail(GW_MEMORY, "no memory for the lines of %s", e->options->items);
  GwStatus status = gw_text_append(&e->lines, text, strlen(text));
  if (status == GW_OK) status = gw_text_append(&e->lines, "\n", 1);
  free(text);
  return status;
}

static GwStatus write_item(TaskEval *e, size_t index, const double *values, int32_t chosen,
                           int32_t chosen_norm) {
  const GwTaskItem *item = &e->items.items[index];
  json_t *line = json_object(), *list = json_array();
  for (int32_t i = 0; i < item->choice_count; i++)
    json_array_append_new(list, json_real(values[i]));
  json_object_set_new(line, "index", json_integer((json_int_t)index));
  json_object_set_new(line, "log_likelihoods", list);
  if (!e->task->greedy) json_object_set_new(line, "chosen", json_integer(chosen));
  json_object_set_new(line, "correct", json_boolean(e->values[0][index] != 0));
  if (e->task->normalised) {
    json_object_set_new(line, "chosen_norm", json_integer(chosen_norm));
    json_object_set_new(line, "correct_norm", json_boolean(e->values[1][index] != 0));
  }
  return append_line(e, line);
}

static GwStatus score_item(TaskEval *e, size_t index, double *values) {
  const GwTaskItem *item = &e->items.items[index];
  bool greedy = false;
  for (int32_t i = 0; i < item->choice_count; i++)
    GW_TRY(score_choice(e, item, i, &values[i], &greedy));
  int32_t chosen = likeliest(item, values, false), chosen_norm = likeliest(item, values, true);
  e->values[0][index] = e->task->greedy ? greedy : chosen == item->answer;
  e->values[1][index] = e->task->greedy ? values[0] : chosen_norm == item->answer;
  return e->options->items ? write_item(e, index, values, chosen, chosen_norm) : GW_OK;
}

static GwStatus score_items(TaskEval *e, GwProgress *progress) {
  while (e->done < e->items.count) {
    double *values = calloc((size_t)e->items.items[e->done].choice_count, sizeof *values);
    if (!values) return gw_fail(GW_MEMORY, "no memory to score an item");
    GwStatus status = score_item(e, e->done, values);
    free(values);
    GW_TRY(status);
    e->done++;
    gw_progress_update(progress, (double)e->done / (double)e->items.count, "%zu items", e->done);
  }
  return GW_OK;
}

/* ---- metrics ---- */

static GwTaskMetric mean_of(const char *name, const double *values, size_t count) {
  double sum = 0, squares = 0, n = (double)count;
  for (size_t i = 0; i < count; i++) sum += values[i];
  GwTaskMetric metric = {.name = name, .value = sum / n};
  for (size_t i = 0; i < count; i++)
    squares += (values[i] - metric.value) * (values[i] - metric.value);
  if (count > 1) metric.standard_error = gw_sqrt_f64(squares / (n - 1)) / gw_sqrt_f64(n);
  return metric;
}

/* The slope of e^-x is -e^-x. */
static GwTaskMetric perplexity_of(const double *values, size_t count) {
  GwTaskMetric metric = mean_of("perplexity", values, count);
  metric.value = gw_exp_f64(metric.value > -700 ? -metric.value : 700);
  metric.standard_error *= metric.value;
  return metric;
}

static void report_of(const TaskEval *e, GwTaskReport *out) {
  memcpy(out->path, e->model.path, sizeof out->path);
  out->step = e->model.info.step;
  out->items = (int64_t)e->items.count;
  out->metrics[0] = mean_of("acc", e->values[0], e->items.count);
  out->metrics[1] = e->task->greedy ? perplexity_of(e->values[1], e->items.count)
                                    : mean_of("acc_norm", e->values[1], e->items.count);
  out->metric_count = e->task->greedy || e->task->normalised ? 2 : 1;
}

_Static_assert(sizeof(((GwTaskReport *)0)->path) == GW_PATH_MAX, "a path must fit");

GwStatus gw_task_eval(const char *path, const GwTaskOptions *options, GwTaskReport *out) {
  TaskEval e = {.options = options};
  GwProgress progress;
  GwStatus status = open_task(path, &e);
  if (status == GW_OK) {
    gw_progress_begin(&progress, "eval");
    status = score_items(&e, &progress);
    gw_progress_end(&progress, "%zu items", e.done);
  }
  if (status == GW_OK && options->items)
    status = gw_fs_write_atomic(gw_fs_disk(), options->items, e.lines.data, e.lines.size);
  if (status == GW_OK) report_of(&e, out);
  close_task(&e);
  return status;
}
