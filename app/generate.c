/* godwit generate: text from a trained model, printed as it comes. */
#include "godwit/generate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "godwit/log.h"

enum { PROMPT_BYTES_MAX = 1 << 24 };

static GwStatus print_piece(void *context, const char *text, size_t size) {
  (void)context;
  if (fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0) return GW_OK;
  return gw_fail(GW_IO, "cannot write to standard output: %s", strerror(errno));
}

/* All of standard input in a malloc'd buffer. */
static GwStatus read_stdin(char **data, size_t *size) {
  char *text = malloc(PROMPT_BYTES_MAX + 1);
  if (!text) return gw_fail(GW_MEMORY, "no memory for the prompt");
  size_t got = fread(text, 1, PROMPT_BYTES_MAX + 1, stdin);
  GwStatus status = GW_OK;
  if (ferror(stdin)) status = gw_fail(GW_IO, "cannot read the prompt from standard input");
  if (got > PROMPT_BYTES_MAX)
    status = gw_fail(GW_INVALID, "the prompt is longer than %d MiB", PROMPT_BYTES_MAX >> 20);
  if (status != GW_OK) {
    free(text);
    return status;
  }
  *data = text;
  *size = got;
  return GW_OK;
}

static int generate(const char *path, const char *prompt, GwGenerateOptions *options) {
  GwGenerateReport report = {0};
  char *input = NULL;
  GwStatus status = GW_OK;
  options->prompt = prompt;
  options->prompt_size = prompt ? strlen(prompt) : 0;
  if (prompt && strcmp(prompt, "-") == 0) {
    status = read_stdin(&input, &options->prompt_size);
    options->prompt = input;
  }
  if (status == GW_OK) status = gw_generate(path, options, print_piece, NULL, &report);
  free(input);
  if (status != GW_OK) return gw_cli_failed(status);
  printf("\n");
  (void)fflush(stdout); /* before the log line on stderr */
  gw_log(GW_LOG_INFO, "%" PRId64 " tokens in %.1f s%s", report.tokens, report.seconds,
         report.ended ? ", up to the end of the text" : "");
  return 0;
}

int gw_command_generate(int argc, char **argv) {
  GwGenerateOptions generation = gw_generate_default();
  const char *prompt = NULL;
  const GwOption options[] = {
      {"prompt", "TEXT|-", "the beginning of the text; -: standard input", GW_OPTION_TEXT, &prompt,
       0, 0},
      {"ids", "N,N...", "the prompt as token ids, no end-of-text token before it; prints ids",
       GW_OPTION_TEXT, &generation.ids, 0, 0},
      {"tokens", "N", "at most this many", GW_OPTION_I64, &generation.tokens, 0, 1e12},
      {"temperature", "T", "0: always the likeliest token", GW_OPTION_F64, &generation.temperature,
       0, 1000},
      {"top-k", "K", "choose among the K likeliest tokens; 0: all", GW_OPTION_I32,
       &generation.top_k, 0, 1 << 30},
      {"top-p", "P", "among the fewest that together have probability P", GW_OPTION_F64,
       &generation.top_p, 1e-9, 1},
      {"seed", "S", "the same seed gives the same text", GW_OPTION_U64, &generation.seed, 0, 0},
      gw_cli_option_threads(&generation.execution.threads),
      gw_cli_option_isa(&generation.execution.isa),
      gw_cli_option_backend(&generation.execution.backend)};
  const GwCommand command = {
      .name = "generate",
      .usage = "RUN|CHECKPOINT [options]",
      .summary =
          "Prints the prompt and what a trained model makes of it, as it comes. The text is\n"
          "the beginning of a document; it ends after N tokens or when the model ends it.\n"
          "Characters are printed whole. Of a run, the newest checkpoint is used.",
      .example = "godwit generate runs/demo --prompt \"In the beginning\" --tokens 200\n"
                 "godwit generate runs/demo --temperature 0.8 --top-p 0.95 --seed 7",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (prompt && generation.ids)
    return gw_cli_misuse(command.name, "options --prompt and --ids are two ways to say the same");
  return generate(arguments.positionals[0], prompt, &generation);
}
