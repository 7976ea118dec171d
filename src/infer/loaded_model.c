/* Finds the run, reads recipe and tokenizer, and views the parameters of the newest checkpoint. */
#include "infer/loaded_model.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"

static bool holds(GwFs *fs, const char *folder, const char *name) {
  char path[GW_PATH_MAX];
  return gw_fs_path(path, "%s/%s", folder, name) == GW_OK && fs->exists(fs, path);
}

GwStatus gw_model_place(GwFs *fs, const char *path, GwModelPlace *out) {
  GwModelPlace place = {0};
  if (!fs->exists(fs, path))
    return gw_fail(GW_NOT_FOUND, "%s: does not exist; give a run's folder or a checkpoint's", path);
  if (holds(fs, path, "recipe.yaml")) {
    GW_TRY(gw_fs_path(place.run, "%s", path));
  } else if (holds(fs, path, "params.safetensors")) {
    GW_TRY(gw_fs_path(place.run, "%s/../..", path));
    GW_TRY(gw_fs_path(place.checkpoint, "%s", path));
  } else {
    return gw_fail(GW_NOT_FOUND,
                   "%s: neither a run (no recipe.yaml) nor a checkpoint (no params.safetensors)",
                   path);
  }
  *out = place;
  return GW_OK;
}

GwStatus gw_model_place_view(GwFs *fs, const GwModelPlace *place, const GwTensorGroup *groups,
                             int count, GwCheckpointInfo *out, char *path_out) {
  char folder[GW_PATH_MAX];
  if (place->checkpoint[0]) {
    GW_TRY(gw_checkpoint_view(fs, place->checkpoint, groups, count, out));
    return gw_fs_path(path_out, "%s", place->checkpoint);
  }
  GW_TRY(gw_fs_path(folder, "%s/checkpoints", place->run));
  return gw_checkpoint_view_newest(fs, folder, groups, count, out, path_out, GW_PATH_MAX);
}

static GwStatus read_recipe(GwFs *fs, const GwModelPlace *place, GwRecipe *out) {
  char path[GW_PATH_MAX];
  if (place->checkpoint[0] && !holds(fs, place->run, "recipe.yaml"))
    return gw_fail(GW_NOT_FOUND,
                   "%s: the folder two levels up holds no recipe.yaml; a checkpoint can be used "
                   "inside its run only (RUN/checkpoints/step-...)",
                   place->checkpoint);
  GW_TRY(gw_fs_path(path, "%s/recipe.yaml", place->run));
  GW_TRY(gw_recipe_load(path, NULL, 0, out));
  if (out->model.vocab_size == 0)
    return gw_fail(GW_INVALID,
                   "%s: model.vocab_size is 0; this is not the recipe that the run wrote", path);
  return GW_OK;
}

static GwStatus read_tokenizer(GwFs *fs, const GwModelPlace *place, int32_t vocab_size,
                               GwTokenizer **out) {
  char path[GW_PATH_MAX];
  GW_TRY(gw_fs_path(path, "%s/tokenizer.json", place->run));
  if (!fs->exists(fs, path)) return GW_OK;
  GwTokenizer *tokenizer = NULL;
  GW_TRY(gw_tokenizer_open(fs, path, &tokenizer));
  int32_t count = gw_tokenizer_vocab_size(tokenizer);
  if (count <= vocab_size) {
    *out = tokenizer;
    return GW_OK;
  }
  gw_tokenizer_destroy(tokenizer);
  return gw_fail(GW_MISMATCH,
                 "%s: has %" PRId32 " tokens, but the run's model knows %" PRId32
                 "; put the run's own tokenizer back",
                 path, count, vocab_size);
}

static GwStatus read_ends(GwFs *fs, const GwModelPlace *place, GwLoadedModel *model) {
  GW_TRY(gw_text_ends_load(fs, place->run, model->recipe.model.vocab_size, &model->ends));
  if (model->ends.count == 0 && model->tokenizer)
    gw_text_ends_add(&model->ends, gw_tokenizer_end_of_text(model->tokenizer));
  return GW_OK;
}

static GwStatus read_params(GwFs *fs, const GwModelPlace *place, GwLoadedModel *model) {
  const GwParamList *list = &model->list;
  GwTensor *tensors = calloc((size_t)list->count + 1, sizeof *tensors);
  model->params = gw_buffer_create((size_t)list->bytes);
  if (!tensors || !model->params) {
    free(tensors);
    return gw_fail(GW_MEMORY, "%s: no memory for its parameters, %" PRId64 " MiB", place->run,
                   list->bytes >> 20);
  }
  for (int i = 0; i < list->count; i++)
    tensors[i] = (GwTensor){list->params[i].name, list->params[i].type,
                            (char *)model->params + list->params[i].offset};
  GwTensorGroup group = {"params", tensors, list->count};
  GwStatus status = gw_model_place_view(fs, place, &group, 1, &model->info, model->path);
  free(tensors);
  GW_TRY(status);
  if (model->info.recipe_identity == gw_recipe_identity(&model->recipe)) return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "%s: belongs to another recipe than %s/recipe.yaml; put the run's own recipe back",
                 model->path, place->run);
}

GwStatus gw_loaded_model_open(const char *path, GwLoadedModel *out) {
  GwFs *fs = gw_fs_disk();
  GwModelPlace place = {0};
  GwLoadedModel model = {0};
  GW_TRY(gw_model_place(fs, path, &place));
  GW_TRY(read_recipe(fs, &place, &model.recipe));
  GwStatus status = read_tokenizer(fs, &place, model.recipe.model.vocab_size, &model.tokenizer);
  if (status == GW_OK) status = read_ends(fs, &place, &model);
  if (status == GW_OK) status = gw_model_params(&model.recipe.model, &model.list);
  if (status == GW_OK) status = read_params(fs, &place, &model);
  if (status == GW_OK)
    *out = model;
  else
    gw_loaded_model_close(&model);
  return status;
}

GwStatus gw_loaded_model_need_tokenizer(const GwLoadedModel *model) {
  if (model->tokenizer) return GW_OK;
  return gw_fail(
      GW_NOT_FOUND,
      "%s: its run has no tokenizer.json; put one there that has the model's ids, or work "
      "with token ids (generate --ids)",
      model->path);
}

void gw_loaded_model_close(GwLoadedModel *model) {
  gw_buffer_destroy(model->params);
  gw_param_list_deinit(&model->list);
  if (model->tokenizer) gw_tokenizer_destroy(model->tokenizer);
  *model = (GwLoadedModel){0};
}
