/* Fuzz target: any bytes as a GGUF file. What parses can be read to its last element. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "interop/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const GwGguf *file) {
  for (uint64_t i = 0; i < gw_gguf_tensor_count(file); i++) {
    const GwGgufTensor *tensor = gw_gguf_tensor(file, i);
    float *values = malloc(sizeof *values * tensor->count);
    GW_ASSERT(values);
    gw_ggml_decode((GwGgmlType)tensor->type, tensor->data, tensor->count, values);
    free(values);
  }
  GwGgufWalk walk;
  if (gw_gguf_array(file, "tokenizer.ggml.tokens", GW_GGUF_STRING, &walk) == GW_OK) {
    size_t size;
    while (walk.left > 0) {
      const char *text = gw_gguf_next_string(&walk, &size);
      char *copy = malloc(size + 1); /* reads all of it */
      GW_ASSERT(copy);
      memcpy(copy, text, size);
      free(copy);
    }
  }
  if (gw_gguf_array(file, "tokenizer.ggml.token_type", GW_GGUF_I32, &walk) == GW_OK)
    while (walk.left > 0) (void)gw_gguf_next_i32(&walk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwGguf *file = NULL;
  if (gw_gguf_parse("fuzz", data, size, &file) != GW_OK) return 0;
  read_all(file);
  gw_gguf_close(file);
  return 0;
}
