/* godwit export: a trained model as other programs read it. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/interop.h"

int gw_command_export(int argc, char **argv) {
  GwExportOptions export = gw_export_default();
  bool json = false;
  const GwOption options[] = {
      {"to", "hf|gguf", "a folder for Hugging Face's transformers, or a file for llama.cpp",
       GW_OPTION_CHOICE, &export.format, 0, 0},
      {"dtype", "f32|f16|bf16|q8_0", "how matrices are stored; q8_0 with gguf only",
       GW_OPTION_CHOICE, &export.dtype, 0, 0},
      gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "export",
      .usage = "RUN|CHECKPOINT --to hf|gguf DIR|FILE [options]",
      .summary =
          "Writes the weights and the tokenizer of a trained model for other programs, then reads\n"
          "them again and says by how much the logits of a text differ. What the format cannot\n"
          "express is refused by its name.",
      .example = "godwit export runs/demo --to hf exported\n"
                 "godwit export runs/demo --to gguf --dtype q8_0 demo-q8_0.gguf",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 2,
      .positional_max = 2,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  export.path = arguments.positionals[1];
  GwExportReport report;
  GwStatus status = gw_export(arguments.positionals[0], &export, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  if (json)
    return gw_cli_print_json(json_pack("{s:s, s:I, s:f, s:f}", "path", export.path, "parameters",
                                       (json_int_t)report.parameters, "largest_gap",
                                       report.largest_gap, "largest_logit", report.largest_logit));
  printf("%s: %" PRId64 " parameters; read again, logits differ by %g at most (largest %.4g)\n",
         export.path, report.parameters, report.largest_gap, report.largest_logit);
  return 0;
}
