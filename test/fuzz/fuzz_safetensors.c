/* Fuzz target: any bytes as a safetensors file, once as long as they are and once as the beginning
 * of a file that is larger than any memory. */
#include "state/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint64_t file_sizes[] = {size, UINT64_C(1) << 60};
  for (size_t i = 0; i < GW_COUNT_OF(file_sizes); i++) {
    GwSafetensors *file = NULL;
    if (gw_safetensors_parse("input", data, size, file_sizes[i], &file) == GW_OK)
      gw_safetensors_close(file);
  }
  return 0;
}
