/* godwit prepare: options in, a prepared corpus out, and one line (or JSON) about it. */
#include "godwit/prepare.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/log.h"

static int print_json(const GwPrepareOptions *options, const GwPrepareReport *report) {
  return gw_cli_print_json(json_pack(
      "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "corpus", options->out_dir, "found",
      report->found, "documents", (json_int_t)report->documents, "duplicates",
      (json_int_t)report->duplicates, "train_bytes", (json_int_t)report->train_bytes, "val_bytes",
      (json_int_t)report->val_bytes, "train_tokens", (json_int_t)report->train_tokens, "val_tokens",
      (json_int_t)report->val_tokens, "vocab_size", (int)report->vocab_size));
}

static int print_text(const GwPrepareOptions *options, const GwPrepareReport *report) {
  printf("%s: %" PRIu64 " documents (%" PRIu64 " copies dropped), vocabulary of %" PRId32 "\n",
         options->out_dir, report->documents, report->duplicates, report->vocab_size);
  printf("  train       %14" PRIu64 " bytes %14" PRIu64 " tokens\n", report->train_bytes,
         report->train_tokens);
  printf("  validation  %14" PRIu64 " bytes %14" PRIu64 " tokens\n", report->val_bytes,
         report->val_tokens);
  return 0;
}

int gw_command_prepare(int argc, char **argv) {
  GwPrepareOptions prepare = gw_prepare_default();
  bool json = false;
  const GwOption options[] = {
      {"out", "DIR", "folder for the corpus; made when absent", GW_OPTION_TEXT, &prepare.out_dir, 0,
       0},
      {"tokenizer", "byte|bpe|bpe-hf|PATH",
       "bytes, train BPE on the training part (-hf: with the merges that Hugging Face's trainer "
       "finds), or a vocabulary: tokenizer.json, vocab.json beside "
       "merges.txt, a folder with these, or tiktoken's ranks",
       GW_OPTION_TEXT, &prepare.tokenizer, 0, 0},
      {"vocab-size", "N", "tokens of a trained BPE, the end-of-text token included", GW_OPTION_I32,
       &prepare.vocab_size, 257, 1 << 24},
      {"val-fraction", "F", "part held out for validation, 0 <= F < 1", GW_OPTION_F64,
       &prepare.val_fraction, 0, 0.999999},
      {"licence", "TEXT", "a note for the manifest", GW_OPTION_TEXT, &prepare.licence, 0, 0},
      {"shard-tokens", "N", "a shard ends with the document that reaches N tokens", GW_OPTION_I64,
       &prepare.shard_tokens, 1, 1e9},
      gw_cli_option_threads(&prepare.threads),
      gw_cli_option_json(&json)};
  const GwCommand command = {
      .name = "prepare",
      .usage = "--out DIR [options] INPUT...",
      .summary =
          "Turns text into token shards with a manifest. INPUT is a .txt file (one document), a\n"
          ".jsonl file (one document per line, its \"text\"), either packed as .gz or .zst, a\n"
          "folder of such files, or - for text on standard input. Exact copies are dropped. The\n"
          "split depends on the documents only; a lone document is cut at its tail. Interrupted,\n"
          "the same command goes on where it was.",
      .example = "bible -f gen1:1-rev22:21 | godwit prepare --out data/bible -\n"
                 "godwit prepare --out data/web --tokenizer bpe --vocab-size 32768 "
                 "--licence \"ODC-BY\" pages/",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = -1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  if (!prepare.out_dir) return gw_cli_misuse(command.name, "option --out DIR is missing");
  prepare.inputs = arguments.positionals;
  prepare.input_count = arguments.positional_count;
  GwPrepareReport report;
  GwStatus status = gw_prepare(&prepare, &report);
  if (status != GW_OK) return gw_cli_failed(status);
  if (report.found)
    gw_log(GW_LOG_INFO, "%s: this corpus is there already, nothing was done", prepare.out_dir);
  return json ? print_json(&prepare, &report) : print_text(&prepare, &report);
}
