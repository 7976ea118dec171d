/* Fuzz target: any bytes as a JSON lines file. Every line gives text that is valid UTF-8, nothing,
 * or an error; then the bytes themselves as text: checks and cuts stay inside. */
#include <stdint.h>
#include <string.h>

#include "data/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const char *text, size_t size) {
  GwText out = {0};
  uint64_t number = 1;
  for (size_t begin = 0, length; begin < size; begin += length + 1, number++) {
    const char *newline = memchr(text + begin, '\n', size - begin);
    length = newline ? (size_t)(newline - text) - begin : size - begin;
    size_t before = out.size;
    GwStatus status = gw_document_line("fuzz", number, text + begin, length, &out);
    GW_ASSERT(status == GW_OK || out.size == before);
    if (out.size > before)
      GW_ASSERT(gw_text_invalid_bytes(out.data + before, out.size - before) == 0);
  }
  gw_text_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  check_lines(text, size);
  GW_ASSERT(gw_text_invalid_bytes(text, size) <= size);
  GW_ASSERT(gw_text_tail(text, size, 0.3) <= size);
  for (size_t begin = 0, end; begin < size; begin = end) {
    end = gw_text_segment_end(text, size, begin, 5);
    GW_ASSERT(end > begin && end <= size);
  }
  return 0;
}
