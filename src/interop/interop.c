/* Export and import as a whole: which format, what is checked afterwards, the run that is made. */
#include "godwit/interop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/backend_cpu.h"
#include "infer/decoder.h"
#include "infer/loaded_model.h"
#include "interop/foreign_model.h"

static const char PROBE[] = "In the beginning was the Word, and 42 of them\nfollowed: the end.";

GwExportOptions gw_export_default(void) {
  return (GwExportOptions){.format = "hf", .dtype = "f32"};
}

static GwStatus find_type(const char *name, GwGgmlType *out) {
  static const struct {
    const char *name;
    GwGgmlType type;
  } known[] = {
      {"f32", GW_GGML_F32}, {"f16", GW_GGML_F16}, {"bf16", GW_GGML_BF16}, {"q8_0", GW_GGML_Q8_0}};
  for (size_t i = 0; i < GW_COUNT_OF(known); i++) {
    if (strcmp(name, known[i].name) != 0) continue;
    *out = known[i].type;
    return GW_OK;
  }
  return gw_fail(GW_USAGE, "dtype must be f32, f16, bf16 or q8_0, not '%s'", name);
}

static GwStatus count_entry(void *context, const char *name, bool is_dir) {
  (void)name;
  (void)is_dir;
  ++*(int *)context;
  return GW_OK;
}

/* Nothing that is there is written over. */
static GwStatus check_free(GwFs *fs, const char *path, bool folder) {
  int entries = 0;
  if (!fs->exists(fs, path)) return GW_OK;
  if (folder && fs->list(fs, path, count_entry, &entries) == GW_OK && entries == 0) return GW_OK;
  return gw_fail(GW_EXISTS, "%s: is there already; remove it, or give another name", path);
}

/* Logits of what follows the probe: [vocab_size], malloc'd. */
static GwStatus probe(const GwForeignModel *model, const GwTokenIds *tokens, GwPool *pool,
                      float **out) {
  const GwBackend *backend = NULL;
  GwDecoder *decoder = NULL;
  const float *logits = NULL;
  size_t size = sizeof(float) * (size_t)model->model.vocab_size;
  int64_t count = gw_min_i64((int64_t)tokens->count, model->model.context);
  GW_TRY(gw_backend_choose("cpu", NULL, &backend));
  GW_TRY(gw_decoder_create(&model->model, backend, pool, model->params, 1, count, &decoder));
  GwStatus status = gw_decoder_push(decoder, 0, tokens->ids, count, &logits);
  *out = status == GW_OK ? malloc(size) : NULL;
  if (*out) memcpy(*out, logits, size);
  gw_decoder_destroy(decoder);
  return status == GW_OK && !*out ? gw_fail(GW_MEMORY, "no memory to check the export") : status;
}

static GwStatus compare(const GwForeignModel *a, const GwForeignModel *b, GwPool *pool,
                        GwExportReport *report) {
  GwTokenIds tokens = {0};
  float *x = NULL, *y = NULL;
  GwStatus status = gw_tokenizer_encode(a->tokenizer, PROBE, sizeof PROBE - 1, &tokens);
  if (status == GW_OK) status = probe(a, &tokens, pool, &x);
  if (status == GW_OK) status = probe(b, &tokens, pool, &y);
  for (int32_t i = 0; status == GW_OK && i < a->model.vocab_size; i++) {
    double gap = (double)x[i] - (double)y[i], logit = x[i] < 0 ? -(double)x[i] : (double)x[i];
    if (gap < 0) gap = -gap;
    if (gap > report->largest_gap) report->largest_gap = gap;
    if (logit > report->largest_logit) report->largest_logit = logit;
  }
  gw_token_ids_deinit(&tokens);
  free(x);
  free(y);
  return status;
}

/* Reads what was written as anybody would, and compares. */
static GwStatus check_export(GwFs *fs, const GwForeignModel *model, const char *path, bool hf,
                             bool exact, GwExportReport *report) {
  GwForeignModel back = {0};
  GwPool *pool = NULL;
  GW_TRY(hf ? gw_hf_import(fs, path, &back) : gw_gguf_import(path, &back));
  GwStatus status = GW_OK;
  if (gw_tokenizer_hash(back.tokenizer) != gw_tokenizer_hash(model->tokenizer))
    status = gw_fail(GW_CORRUPT, "%s: the tokenizer came back as another one", path);
  GwTextEnds wanted = gw_foreign_ends(model), ends = gw_foreign_ends(&back);
  bool same = ends.count == wanted.count;
  for (int i = 0; same && i < ends.count; i++) same = ends.ids[i] == wanted.ids[i];
  if (status == GW_OK && !same)
    status = gw_fail(GW_CORRUPT, "%s: the tokens that end a text came back as others", path);
  if (status == GW_OK) status = gw_pool_create(0, &pool);
  if (status == GW_OK) status = compare(model, &back, pool, report);
  if (status == GW_OK && exact && report->largest_gap != 0)
    status = gw_fail(GW_CORRUPT, "%s: read again, it is another model: logits differ by %g", path,
                     report->largest_gap);
  gw_pool_destroy(pool);
  gw_foreign_model_deinit(&back);
  return status;
}

static GwStatus export_model(const GwForeignModel *model, const GwExportOptions *options,
                             GwExportReport *report) {
  GwFs *fs = gw_fs_disk();
  char path[GW_PATH_MAX];
  GwGgmlType type = GW_GGML_F32;
  bool hf = strcmp(options->format, "hf") == 0;
  if (!hf && strcmp(options->format, "gguf") != 0)
    return gw_fail(GW_USAGE, "the format must be hf or gguf, not '%s'", options->format);
  GW_TRY(find_type(options->dtype, &type));
  GW_TRY(gw_fs_path(path, "%s", options->path));
  for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--) path[end - 1] = 0;
  GW_TRY(check_free(fs, path, hf));
  GW_TRY(hf ? gw_hf_export(fs, model, path, type, GW_HF_SHARD_BYTES)
            : gw_gguf_export(fs, model, path, type));
  report->parameters = model->list.elements;
  return check_export(fs, model, path, hf, type == GW_GGML_F32, report);
}

GwStatus gw_export(const char *model, const GwExportOptions *options, GwExportReport *out) {
  GwLoadedModel loaded;
  GwExportReport report = {0};
  GW_TRY(gw_loaded_model_open(model, &loaded));
  GwStatus status = gw_loaded_model_need_tokenizer(&loaded);
  GwForeignModel foreign = {.model = loaded.recipe.model,
                            .list = loaded.list,
                            .params = loaded.params,
                            .tokenizer = loaded.tokenizer,
                            .ends = loaded.ends};
  snprintf(foreign.name, sizeof foreign.name, "%s", loaded.recipe.name);
  if (status == GW_OK) status = export_model(&foreign, options, &report);
  gw_loaded_model_close(&loaded);
  if (status == GW_OK) *out = report;
  return status;
}

/* ---- import ---- */

static bool begins_as_gguf(GwFs *fs, const char *path) {
  GwFile *file = NULL;
  char magic[4] = {0};
  size_t got = 0;
  if (fs->open(fs, path, GW_FILE_READ, &file) != GW_OK) return false;
  GwStatus status = fs->read_at(fs, file, 0, magic, sizeof magic, &got);
  fs->close(fs, file);
  return status == GW_OK && got == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
}

static GwStatus read_model(GwFs *fs, const char *path, GwForeignModel *out) {
  char config[GW_PATH_MAX];
  if (!fs->exists(fs, path))
    return gw_fail(GW_NOT_FOUND, "%s: does not exist; give a folder, a .gguf or a .bin file", path);
  GW_TRY(gw_fs_path(config, "%s/config.json", path));
  if (fs->exists(fs, config)) return gw_hf_import(fs, path, out);
  int entries = 0;
  if (fs->list(fs, path, count_entry, &entries) == GW_OK)
    return gw_fail(GW_NOT_FOUND, "%s: a folder without config.json, so no model of transformers",
                   path);
  if (begins_as_gguf(fs, path)) return gw_gguf_import(path, out);
  return gw_llama2c_import(path, out);
}

/* Names the model by the last part of a path. */
static void name_after(GwForeignModel *model, const char *path) {
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  gw_foreign_set_name(model, path + begin, end - begin);
}

static GwStatus save_params(GwFs *fs, const GwForeignModel *model, const GwRecipe *recipe,
                            const char *folder, GwImportReport *report) {
  GwTensor *tensors = calloc((size_t)model->list.count + 1, sizeof *tensors);
  if (!tensors) return gw_fail(GW_MEMORY, "no memory to save the model");
  for (int i = 0; i < model->list.count; i++)
    tensors[i] = (GwTensor){model->list.params[i].name, model->list.params[i].type,
                            (char *)model->params + model->list.params[i].offset};
  GwTensorGroup group = {"params", tensors, model->list.count};
  GwCheckpointInfo info = {.recipe_identity = gw_recipe_identity(recipe),
                           .state_hash = gw_state_hash(&group, 1, 0)};
  GwStatus status = gw_checkpoint_save(fs, folder, &info, &group, 1, 1);
  free(tensors);
  report->state_hash = info.state_hash;
  return status;
}

static GwStatus save_ends(GwFs *fs, const GwForeignModel *model, const char *run) {
  int32_t head = model->tokenizer ? gw_tokenizer_end_of_text(model->tokenizer) : -1;
  GwTextEnds ends = gw_foreign_ends(model);
  return gw_text_ends_keep(fs, run, head, &ends);
}

/* The recipe comes last: a folder without it is no run. */
static GwStatus write_run(GwFs *fs, const GwForeignModel *model, const char *run,
                          GwImportReport *report) {
  char place[GW_PATH_MAX], *text = NULL;
  GwRecipe recipe = gw_recipe_default();
  recipe.model = model->model;
  snprintf(recipe.name, sizeof recipe.name, "%s", model->name);
  GW_TRY(gw_fs_make_dirs(fs, run));
  GW_TRY(gw_fs_path(place, "%s/checkpoints", run));
  GW_TRY(save_params(fs, model, &recipe, place, report));
  GW_TRY(gw_fs_path(report->checkpoint, "%s/step-00000000", place));
  if (model->tokenizer) {
    GW_TRY(gw_fs_path(place, "%s/tokenizer.json", run));
    GW_TRY(gw_tokenizer_save(fs, model->tokenizer, place));
  }
  GW_TRY(save_ends(fs, model, run));
  GW_TRY(gw_recipe_write(&recipe, &text));
  GwStatus status = gw_fs_path(place, "%s/recipe.yaml", run);
  if (status == GW_OK) status = gw_fs_write_atomic(fs, place, text, strlen(text));
  free(text);
  report->parameters = model->list.elements;
  report->has_tokenizer = model->tokenizer != NULL;
  return status;
}

GwStatus gw_import(const char *path, const char *run, GwImportReport *out) {
  GwFs *fs = gw_fs_disk();
  GwForeignModel model = {0};
  GwImportReport report = {0};
  GW_TRY(check_free(fs, run, true));
  GW_TRY(read_model(fs, path, &model));
  if (!model.name[0]) name_after(&model, path);
  GwStatus status = write_run(fs, &model, run, &report);
  gw_foreign_model_deinit(&model);
  if (status == GW_OK) *out = report;
  return status;
}
