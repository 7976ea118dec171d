/* godwit import: a run made of weights from elsewhere. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/interop.h"

int gw_command_import(int argc, char **argv) {
  const char *run = NULL;
  bool json = false;
  const GwOption options[] = {
      {"run", "DIR", "the run to make; must not be there", GW_OPTION_TEXT, &run, 0, 0},
      gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "import",
      .usage = "DIR|FILE --run DIR [--json]",
      .summary =
          "Makes a run, at step 0, of a model from elsewhere: a folder as Hugging Face's\n"
          "transformers saves it (gpt2, llama, qwen3), a GGUF file of these, or a model of\n"
          "llama2.c, which brings no tokenizer. A tensor that is missing, misshaped or not known\n"
          "is an error. `godwit train --init-from` trains on from it.",
      .example = "godwit import gpt2/ --run runs/gpt2\n"
                 "godwit import stories260K.bin --run runs/stories",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!run) return gw_cli_misuse(command.name, "option --run DIR is missing");
  static GwImportReport report;
  GwStatus status = gw_import(arguments.positionals[0], run, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  char hash[24];
  snprintf(hash, sizeof hash, "0x%016" PRIx64, report.state_hash);
  if (json)
    return gw_cli_print_json(json_pack(
        "{s:s, s:s, s:I, s:b, s:s}", "run", run, "checkpoint", report.checkpoint, "parameters",
        (json_int_t)report.parameters, "tokenizer", (int)report.has_tokenizer, "state_hash", hash));
  printf("%s: %" PRId64 " parameters, state %s%s\n", run, report.parameters, hash,
         report.has_tokenizer ? "" : ", no tokenizer");
  return 0;
}
