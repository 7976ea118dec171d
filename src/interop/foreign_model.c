/* What all formats share: a model's buffers, its sizes checked as a recipe's are. */
#include "interop/foreign_model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "godwit/log.h"

void gw_foreign_model_deinit(GwForeignModel *model) {
  gw_buffer_destroy(model->params);
  gw_param_list_deinit(&model->list);
  if (model->tokenizer) gw_tokenizer_destroy(model->tokenizer);
  *model = (GwForeignModel){0};
}

GwTextEnds gw_foreign_ends(const GwForeignModel *model) {
  GwTextEnds ends = model->ends;
  if (ends.count == 0 && model->tokenizer)
    gw_text_ends_add(&ends, gw_tokenizer_end_of_text(model->tokenizer));
  return ends;
}

void gw_foreign_set_head(GwForeignModel *model, const char *file, const char *key, int64_t id) {
  if (!model->tokenizer) return;
  if (id >= 0 && id <= INT32_MAX && gw_tokenizer_set_end_of_text(model->tokenizer, (int32_t)id))
    return;
  gw_log(GW_LOG_WARNING,
         "%s: '%s' is %" PRId64 ", no special token of the tokenizer; texts begin with '%s'", file,
         key, id,
         gw_tokenizer_special_name(model->tokenizer, gw_tokenizer_end_of_text(model->tokenizer)));
}

void gw_foreign_set_name(GwForeignModel *model, const char *text, size_t size) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._-";
  size_t count = 0;
  for (; count < size && count + 1 < sizeof model->name; count++)
    model->name[count] = text[count] && strchr(plain, text[count]) ? text[count] : '-';
  model->name[count] = 0;
}

/* Through the text of a recipe, whose reader knows what goes together. */
static GwStatus check_sizes(const char *file, GwModelRecipe *model) {
  GwRecipe recipe = gw_recipe_default();
  char *text = NULL;
  recipe.model = *model;
  GW_TRY(gw_recipe_write(&recipe, &text));
  GwStatus status = gw_recipe_parse(file, text, strlen(text), NULL, 0, &recipe);
  free(text);
  *model = recipe.model;
  return status;
}

GwStatus gw_foreign_model_allocate(const char *file, uint64_t limit, GwForeignModel *model) {
  GW_TRY(check_sizes(file, &model->model));
  GW_TRY(gw_model_params(&model->model, &model->list));
  if ((uint64_t)model->list.elements > limit)
    return gw_fail(GW_CORRUPT,
                   "%s: asks for %" PRId64 " parameters, more than the weights beside it can be",
                   file, model->list.elements);
  model->params = gw_buffer_create((size_t)model->list.bytes);
  if (model->params) return GW_OK;
  return gw_fail(GW_MEMORY, "%s: no memory for its parameters, %" PRId64 " MiB", file,
                 model->list.bytes >> 20);
}

GwStatus gw_foreign_check_finite(const char *file, const char *tensor, const float *values,
                                 int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (values[i] - values[i] != 0)
      return gw_fail(GW_INVALID, "%s: tensor '%s': element %" PRId64 " is %s", file, tensor, i,
                     values[i] != values[i] ? "no number (NaN)" : "infinite");
  return GW_OK;
}
