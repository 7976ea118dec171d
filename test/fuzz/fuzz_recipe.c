/* Recipes from hostile text: refused or read, and what was read survives being written. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "godwit/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwRecipe recipe, again;
  if (gw_recipe_parse("fuzz", (const char *)data, size, NULL, 0, &recipe) != GW_OK) return 0;
  char *text = NULL;
  GW_ASSERT(gw_recipe_write(&recipe, &text) == GW_OK);
  GW_ASSERT(gw_recipe_parse("written", text, strlen(text), NULL, 0, &again) == GW_OK);
  GW_ASSERT(gw_recipe_identity(&recipe) == gw_recipe_identity(&again));
  GW_ASSERT(strcmp(recipe.data.dir, again.data.dir) == 0 && strcmp(recipe.name, again.name) == 0);
  free(text);
  return 0;
}
