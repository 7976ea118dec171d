/* A trained model, read from a run or from one of its checkpoints; nothing on disk is changed.
 *
 *   RUN/recipe.yaml, RUN/tokenizer.json, RUN/generation_config.json, RUN/checkpoints/step-.../ */
#ifndef GW_LOADED_MODEL_H
#define GW_LOADED_MODEL_H

#include "infer/text_ends.h"
#include "model/model.h"
#include "state/checkpoint.h"
#include "tokenizer/tokenizer.h"

/* Where a RUN|CHECKPOINT argument points to. */
typedef struct {
  char run[GW_PATH_MAX];        /* the run's folder */
  char checkpoint[GW_PATH_MAX]; /* the checkpoint's; empty: the newest of the run */
} GwModelPlace;

/* `path` is a run (it holds recipe.yaml) or a checkpoint (params.safetensors), whose run is two
 * folders up. GW_NOT_FOUND says what is missing. */
GwStatus gw_model_place(GwFs *fs, const char *path, GwModelPlace *out);

/* Verifies the place's checkpoint (the newest one of a run that verifies) in full and fills the
 * given groups, which may be none; `path_out` (GW_PATH_MAX bytes) gets its path. */
GwStatus gw_model_place_view(GwFs *fs, const GwModelPlace *place, const GwTensorGroup *groups,
                             int count, GwCheckpointInfo *out, char *path_out);

typedef struct {
  GwRecipe recipe;
  GwTokenizer *tokenizer; /* NULL: the run has none, being imported or trained without */
  GwTextEnds ends;        /* of a text; none where neither tokenizer nor file says any */
  GwParamList list;
  void *params; /* the parameter buffer of `list` */
  GwCheckpointInfo info;
  char path[GW_PATH_MAX]; /* of the checkpoint */
} GwLoadedModel;

/* GW_MISMATCH when recipe, tokenizer and checkpoint do not belong together. */
GwStatus gw_loaded_model_open(const char *path, GwLoadedModel *out);
/* GW_NOT_FOUND, saying what helps, when there is no tokenizer. */
GwStatus gw_loaded_model_need_tokenizer(const GwLoadedModel *model);
void gw_loaded_model_close(GwLoadedModel *model);

#endif
