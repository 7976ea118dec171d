/* Fuzz target: any bytes as a model in llama2.c's layout. What is read has every parameter. */
#include "interop/foreign_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwForeignModel model = {0};
  if (gw_llama2c_parse("fuzz", data, size, &model) != GW_OK) return 0;
  GW_ASSERT(model.params && model.list.elements * 4 < (int64_t)size);
  gw_foreign_model_deinit(&model);
  return 0;
}
