/* godwit eval: how well a trained model predicts a corpus or a text, and how well it does on tasks.
 */
#include "godwit/eval.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/task.h"

static int print_json(const GwEvalReport *report) {
  const GwEvaluation *result = &report->evaluation;
  return gw_cli_print_json(
      json_pack("{s:s, s:I, s:I, s:f, s:o, s:f, s:f, s:I, s:I}", "checkpoint", report->path, "step",
                (json_int_t)report->step, "stride", (json_int_t)report->stride, "nats_per_token",
                result->nats_per_token, "bits_per_byte",
                result->bytes > 0 ? json_real(result->bits_per_byte) : json_null(), "perplexity",
                result->perplexity, "nats", result->nats, "tokens", (json_int_t)result->tokens,
                "bytes", (json_int_t)result->bytes));
}

static int print_text(const GwEvalReport *report) {
  const GwEvaluation *result = &report->evaluation;
  printf("%s, step %" PRId64 "\n", report->path, report->step);
  printf("  nats per token %12.6f\n", result->nats_per_token);
  if (result->bytes > 0) printf("  bits per byte  %12.6f\n", result->bits_per_byte);
  printf("  perplexity     %12.4f\n", result->perplexity);
  printf("  predicted      %12" PRId64 " tokens, %" PRId64 " bytes of text\n", result->tokens,
         result->bytes);
  return 0;
}

static int print_task_json(const GwTaskReport *report, const char *task) {
  json_t *object =
      json_pack("{s:s, s:I, s:s, s:I}", "checkpoint", report->path, "step",
                (json_int_t)report->step, "task", task, "items", (json_int_t)report->items);
  for (int i = 0; i < report->metric_count; i++) {
    const GwTaskMetric *metric = &report->metrics[i];
    char key[64];
    snprintf(key, sizeof key, "%s_stderr", metric->name);
    json_object_set_new(object, metric->name, json_real(metric->value));
    json_object_set_new(object, key,
                        report->items > 1 ? json_real(metric->standard_error) : json_null());
  }
  return gw_cli_print_json(object);
}

static int print_task_text(const GwTaskReport *report, const char *task) {
  printf("%s, step %" PRId64 ": %s, %" PRId64 " items\n", report->path, report->step, task,
         report->items);
  for (int i = 0; i < report->metric_count; i++) {
    const GwTaskMetric *metric = &report->metrics[i];
    printf("  %-10s %12.6f", metric->name, metric->value);
    if (report->items > 1) printf("  +- %.6f", metric->standard_error);
    printf("\n");
  }
  return 0;
}

static int eval_task(const char *path, const GwTaskOptions *options, bool json) {
  static GwTaskReport report;
  GwStatus status = gw_task_eval(path, options, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  return json ? print_task_json(&report, options->task) : print_task_text(&report, options->task);
}

static int eval_text(const char *path, const GwEvalOptions *options, bool json) {
  static GwEvalReport report;
  GwStatus status = gw_eval(path, options, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  return json ? print_json(&report) : print_text(&report);
}

int gw_command_eval(int argc, char **argv) {
  GwEvalOptions eval = gw_eval_default();
  GwTaskOptions task = {0};
  bool json = false;
  const GwOption options[] = {
      {"data", "DIR", "a corpus or token files, with the run's tokens", GW_OPTION_TEXT,
       &eval.data_dir, 0, 0},
      {"split", "val|train", "of the corpus", GW_OPTION_CHOICE, &eval.split, 0, 0},
      {"text", "FILE", "a text, taken as one document", GW_OPTION_TEXT, &eval.text_file, 0, 0},
      {"stride", "N", "tokens that windows advance by; 0: the context", GW_OPTION_I64, &eval.stride,
       0, 1 << 30},
      {"task", "NAME|FILE.jsonl", "hellaswag, lambada, blimp, arc, piqa, winogrande or one's own",
       GW_OPTION_TEXT, &task.task, 0, 0},
      {"task-data", "PATH", "the named task's file, or a folder of them", GW_OPTION_TEXT,
       &task.data, 0, 0},
      {"limit", "N", "only the first items of the task; 0: all", GW_OPTION_I64, &task.limit, 0,
       1e12},
      {"items", "FILE", "gets a line of JSON for each item of the task", GW_OPTION_TEXT,
       &task.items, 0, 0},
      gw_cli_option_threads(&eval.execution.threads),
      gw_cli_option_isa(&eval.execution.isa),
      gw_cli_option_backend(&eval.execution.backend),
      gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "eval",
      .usage = "RUN|CHECKPOINT (--data DIR | --text FILE | --task NAME) [options]",
      .summary = "Says how well a trained model predicts text: nats per token, bits per byte of\n"
                 "text, perplexity. Every token but the first end-of-text is predicted once. The\n"
                 "text is read in windows of the model's context; with a smaller --stride they\n"
                 "overlap, so that every token is predicted from more text, at a higher cost.\n"
                 "With --task: how often the likeliest choice is the right one, as lm-eval has it.",
      .example = "godwit eval runs/demo --data data/bible\n"
                 "godwit eval runs/demo --text chapter.txt --stride 64 --json\n"
                 "godwit eval runs/demo --task hellaswag --task-data hellaswag_val.jsonl",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!!eval.data_dir + !!eval.text_file + !!task.task != 1)
    return gw_cli_misuse(command.name, "give one of --data DIR, --text FILE and --task NAME");
  if (!task.task && (task.data || task.limit || task.items))
    return gw_cli_misuse(command.name, "--task-data, --limit and --items belong to --task");
  task.execution = eval.execution;
  return task.task ? eval_task(arguments.positionals[0], &task, json)
                   : eval_text(arguments.positionals[0], &eval, json);
}
