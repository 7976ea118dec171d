/* Checks that recipe, data and model belong together, and writes the checkpoint. */
#include "train/run_init.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "infer/loaded_model.h"
#include "train/trainer.h"

typedef struct {
  const char *source;
  const GwRecipe *recipe;
  GwStatus status;
} Check;

/* Keys of the model that change neither its parameters nor what it computes with them. */
static bool may_differ(const GwRecipe *recipe, const char *key) {
  static const char *const free_keys[] = {"model.dropout", "model.z_loss", "model.init_std"};
  if (strncmp(key, "model.", 6) != 0) return true;
  for (size_t i = 0; i < GW_COUNT_OF(free_keys); i++)
    if (strcmp(key, free_keys[i]) == 0) return true;
  return strcmp(key, "model.context") == 0 && recipe->model.family == GW_FAMILY_LLAMA;
}

static void check_key(void *context, const char *key, const char *own, const char *theirs) {
  Check *check = context;
  if (check->status != GW_OK || may_differ(check->recipe, key)) return;
  check->status = gw_fail(GW_MISMATCH, "%s is %s, and the model of %s has %s; give %s=%s", key, own,
                          check->source, theirs, key, theirs);
}

static GwStatus check_tokenizer(const char *source, const GwLoadedModel *model,
                                const GwCorpus *corpus) {
  const GwTokenizer *data = gw_corpus_tokenizer(corpus);
  if (!data || !model->tokenizer || gw_tokenizer_hash(data) == gw_tokenizer_hash(model->tokenizer))
    return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "%s was made with another tokenizer than the model of %s; prepare the data with "
                 "--tokenizer and the tokenizer.json of that run",
                 gw_corpus_dir(corpus), source);
}

/* The moments of all parameters are one piece of zeros. */
static GwStatus save(GwFs *fs, const GwLoadedModel *model, const GwRecipe *recipe,
                     const char *checkpoints) {
  const GwParamList *list = &model->list;
  size_t count = (size_t)list->count, largest = 0;
  for (size_t i = 0; i < count; i++) {
    size_t size = gw_type_size(&list->params[i].type);
    if (size > largest) largest = size;
  }
  GwTensor *tensors = calloc(GW_STATE_GROUPS * count + 1, sizeof *tensors);
  void *zeros = calloc(1, largest + 1);
  GwStatus status =
      tensors && zeros ? GW_OK : gw_fail(GW_MEMORY, "no memory to begin with %s", model->path);
  GwTensorGroup groups[GW_STATE_GROUPS];
  for (size_t g = 0; status == GW_OK && g < GW_STATE_GROUPS; g++) {
    groups[g] = (GwTensorGroup){gw_state_names[g], tensors + g * count, list->count};
    for (size_t i = 0; i < count; i++) {
      const GwParam *param = &list->params[i];
      void *data = g == 0 ? (char *)model->params + param->offset : zeros;
      tensors[g * count + i] = (GwTensor){param->name, param->type, data};
    }
  }
  if (status == GW_OK) {
    GwCheckpointInfo info = {.recipe_identity = gw_recipe_identity(recipe),
                             .state_hash = gw_state_hash(groups, GW_STATE_GROUPS, 0)};
    status = gw_checkpoint_save(fs, checkpoints, &info, groups, GW_STATE_GROUPS, 1);
  }
  free(tensors);
  free(zeros);
  return status;
}

static GwStatus save_ends(GwFs *fs, const GwLoadedModel *model, const char *run) {
  int32_t head = model->tokenizer ? gw_tokenizer_end_of_text(model->tokenizer) : -1;
  return gw_text_ends_keep(fs, run, head, &model->ends);
}

GwStatus gw_run_init_save(GwFs *fs, const char *source, const GwRecipe *recipe,
                          const GwCorpus *corpus, const char *run, const char *checkpoints,
                          uint64_t *hash) {
  GwLoadedModel model;
  Check check = {.source = source, .recipe = recipe};
  GW_TRY(gw_loaded_model_open(source, &model));
  gw_recipe_compare(recipe, &model.recipe, check_key, &check);
  GwStatus status = check.status;
  if (status == GW_OK) status = check_tokenizer(source, &model, corpus);
  if (status == GW_OK) status = save(fs, &model, recipe, checkpoints);
  if (status == GW_OK) status = save_ends(fs, &model, run);
  *hash = model.info.state_hash;
  gw_loaded_model_close(&model);
  return status;
}
