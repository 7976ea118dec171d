/* Fuzz target: any bytes as the config.json of a Hugging Face folder. A model that is read can be
 * made, and its own config.json, as an export writes it, says the same model. */
#include <stdlib.h>
#include <string.h>

#include "interop/foreign_model.h"
#include "interop/hf_config.h"

enum { ELEMENTS_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_difference(void *context, const char *key, const char *a, const char *b) {
  (void)key;
  (void)a;
  (void)b;
  ++*(int *)context;
}

static void read_back(const GwModelRecipe *model, const GwTextEnds *ends) {
  GwRecipe wrote = gw_recipe_default(), back = wrote;
  json_t *config = NULL;
  char *text = NULL;
  int differences = 0;
  wrote.model = *model;
  GW_ASSERT(gw_hf_config_write(model, 0, ends, "float32", &text) == GW_OK);
  GW_ASSERT(gw_json_parse("written", text, strlen(text), &config) == GW_OK);
  GW_ASSERT(gw_hf_config_read("written", config, &back.model) == GW_OK);
  if (model->family == GW_FAMILY_GPT2) back.model.rope_theta = model->rope_theta; /* unused */
  gw_recipe_compare(&wrote, &back, count_difference, &differences);
  GW_ASSERT(differences == 0);
  json_decref(config);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwForeignModel model = {0};
  json_t *config = NULL;
  if (gw_json_parse("fuzz", (const char *)data, size, &config) != GW_OK) return 0;
  if (gw_hf_config_read("fuzz", config, &model.model) == GW_OK &&
      gw_text_ends_read("fuzz", config, model.model.vocab_size, &model.ends) == GW_OK &&
      gw_foreign_model_allocate("fuzz", ELEMENTS_MAX, &model) == GW_OK)
    read_back(&model.model, &model.ends);
  gw_foreign_model_deinit(&model);
  json_decref(config);
  return 0;
}
