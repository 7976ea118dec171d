/* Weights to and from other programs: Hugging Face's transformers, llama.cpp, llama2.c. */
#ifndef GODWIT_INTEROP_H
#define GODWIT_INTEROP_H

#include <stdbool.h>
#include <stdint.h>

#include "godwit/status.h"

typedef struct {
  const char *format; /* "hf": a folder; "gguf": a file */
  const char *dtype;  /* how matrices are stored: f32, f16, bf16, and with gguf q8_0 */
  const char *path;   /* what to write; a folder must not be there or be empty */
} GwExportOptions;

GwExportOptions gw_export_default(void);

typedef struct {
  int64_t parameters;
  /* What was written is read again, and both models are given the same text: the largest
   * difference of a logit, and the largest logit by magnitude. */
  double largest_gap, largest_logit;
} GwExportReport;

/* `model` is a run or a checkpoint. What the format cannot say is GW_UNSUPPORTED, by its name; then
 * nothing is written. The same model and options give the same bytes. */
GwStatus gw_export(const char *model, const GwExportOptions *options, GwExportReport *out);

typedef struct {
  int64_t parameters;
  bool has_tokenizer;
  uint64_t state_hash;
  char checkpoint[4096];
} GwImportReport;

/* Makes the run `run`, at step 0, of what `path` is: a folder as transformers saves it (gpt2,
 * llama, qwen3), a GGUF file of these architectures, or a model of llama2.c, which brings no
 * tokenizer; nor need a folder have one. GW_EXISTS when there is a run. */
GwStatus gw_import(const char *path, const char *run, GwImportReport *out);

#endif
