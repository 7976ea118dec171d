/* What the interop tests ask of godwit that no command prints.
 *
 *   interop_helper logits RUN ID,ID...       of what follows these tokens, one per line
 *   interop_helper encode TOKENIZER FILE     the ids of a text, special tokens as plain text; for
 *                                            several texts, separated by a byte 0, a line each
 *   interop_helper shards RUN FOLDER BYTES   an export for transformers in files of at most BYTES
 *   interop_helper golden FOLDER             the files of test/golden/interop, made anew; prints
 *                                            name and element type of each */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "infer/decoder.h"
#include "infer/loaded_model.h"
#include "interop_golden.h"

enum { IDS_MAX = 4096 };

static GwStatus print_logits(const char *run, char *text) {
  GwLoadedModel model;
  const GwBackend *backend = NULL;
  GwPool *pool = NULL;
  GwDecoder *decoder = NULL;
  const float *logits = NULL;
  int32_t ids[IDS_MAX];
  int64_t count = 0;
  for (char *id; (id = strsep(&text, ",")) && count < IDS_MAX;) ids[count++] = atoi(id);
  GW_TRY(gw_backend_choose("cpu", NULL, &backend));
  GW_TRY(gw_pool_create(0, &pool));
  GW_TRY(gw_loaded_model_open(run, &model));
  GW_TRY(gw_decoder_create(&model.recipe.model, backend, pool, model.params, 1, 1, &decoder));
  GW_TRY(gw_decoder_push(decoder, 0, ids, count, &logits));
  for (int32_t i = 0; i < model.recipe.model.vocab_size; i++) printf("%.9g\n", (double)logits[i]);
  gw_decoder_destroy(decoder);
  gw_loaded_model_close(&model);
  gw_pool_destroy(pool);
  return GW_OK;
}

static GwStatus print_line(const GwTokenizer *tokenizer, const char *text, size_t size) {
  GwTokenIds ids = {0};
  GW_TRY(gw_tokenizer_encode(tokenizer, text, size, &ids));
  for (size_t i = 0; i < ids.count; i++) printf("%s%" PRId32, i > 0 ? " " : "", ids.ids[i]);
  printf("\n");
  gw_token_ids_deinit(&ids);
  return GW_OK;
}

static GwStatus print_ids(const char *path, const char *file) {
  GwTokenizer *tokenizer = NULL;
  char *text = NULL;
  size_t size = 0;
  GW_TRY(gw_tokenizer_open(gw_fs_disk(), path, &tokenizer));
  GW_TRY(gw_fs_read_all(gw_fs_disk(), file, 1 << 30, &text, &size));
  for (size_t at = 0; at <= size;) {
    size_t length = strlen(text + at); /* the text ends with a 0 */
    GW_TRY(print_line(tokenizer, text + at, length));
    at += length + 1;
  }
  gw_tokenizer_destroy(tokenizer);
  free(text);
  return GW_OK;
}

static GwStatus export_shards(const char *run, const char *folder, uint64_t bytes) {
  GwLoadedModel model;
  GW_TRY(gw_loaded_model_open(run, &model));
  GwForeignModel foreign = {.model = model.recipe.model,
                            .list = model.list,
                            .params = model.params,
                            .tokenizer = model.tokenizer,
                            .ends = model.ends};
  GW_TRY(gw_hf_export(gw_fs_disk(), &foreign, folder, GW_GGML_F32, bytes));
  gw_loaded_model_close(&model);
  return GW_OK;
}

static GwStatus write_golden(const char *folder) {
  GW_TRY(gw_fs_make_dirs(gw_fs_disk(), folder));
  for (int i = 0; i < GW_GOLDEN_EXPORTS; i++) {
    GW_TRY(gw_golden_write(&gw_golden_exports[i], folder));
    printf("%s %s\n", gw_golden_exports[i].name, gw_ggml_name(gw_golden_exports[i].type));
  }
  return GW_OK;
}

int main(int argc, char **argv) {
  GwStatus status = GW_USAGE;
  if (argc == 4 && strcmp(argv[1], "logits") == 0)
    status = print_logits(argv[2], argv[3]);
  else if (argc == 4 && strcmp(argv[1], "encode") == 0)
    status = print_ids(argv[2], argv[3]);
  else if (argc == 5 && strcmp(argv[1], "shards") == 0)
    status = export_shards(argv[2], argv[3], strtoull(argv[4], NULL, 10));
  else if (argc == 3 && strcmp(argv[1], "golden") == 0)
    status = write_golden(argv[2]);
  if (status == GW_OK) return 0;
  fprintf(stderr, "interop_helper: %s\n", status == GW_USAGE ? "wrong usage" : gw_error_message());
  return 1;
}
