/* godwit eval: how well a trained model predicts a corpus or a text. */
#include "godwit/eval.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"

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

int gw_command_eval(int argc, char **argv) {
  GwEvalOptions eval = gw_eval_default();
  bool json = false;
  const GwOption options[] = {
      {"data", "DIR", "a corpus or token files, with the run's tokens", GW_OPTION_TEXT,
       &eval.data_dir, 0, 0},
      {"split", "val|train", "of the corpus", GW_OPTION_CHOICE, &eval.split, 0, 0},
      {"text", "FILE", "a text, taken as one document", GW_OPTION_TEXT, &eval.text_file, 0, 0},
      {"stride", "N", "tokens that windows advance by; 0: the context", GW_OPTION_I64, &eval.stride,
       0, 1 << 30},
      gw_cli_option_threads(&eval.execution.threads),
      gw_cli_option_isa(&eval.execution.isa),
      gw_cli_option_backend(&eval.execution.backend),
      gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "eval",
      .usage = "RUN|CHECKPOINT (--data DIR | --text FILE) [options]",
      .summary = "Says how well a trained model predicts text: nats per token, bits per byte of\n"
                 "text, perplexity. Every token but the first end-of-text is predicted once. The\n"
                 "text is read in windows of the model's context; with a smaller --stride they\n"
                 "overlap, so that every token is predicted from more text, at a higher cost.",
      .example = "godwit eval runs/demo --data data/bible\n"
                 "godwit eval runs/demo --text chapter.txt --stride 64 --json",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!eval.data_dir == !eval.text_file)
    return gw_cli_misuse(command.name, "give either --data DIR or --text FILE");
  static GwEvalReport report;
  GwStatus status = gw_eval(arguments.positionals[0], &eval, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  return json ? print_json(&report) : print_text(&report);
}
