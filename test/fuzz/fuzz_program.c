/* Fuzz target of the program text: whatever is accepted must print to a text that reads back to the
 * same program. Build with -fsanitize=fuzzer; the good programs of test/unit are good seeds. */
#include <stdlib.h>

#include "program/program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GwProgram program, again;
  if (gw_program_parse("fuzz", (const char *)data, size, &program) != GW_OK) return 0;
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  GW_ASSERT(out);
  gw_program_print(&program, out);
  GW_ASSERT(fclose(out) == 0);
  GW_ASSERT(gw_program_parse("again", text, length, &again) == GW_OK);
  GW_ASSERT(gw_program_equal(&program, &again));
  free(text);
  gw_program_deinit(&again);
  gw_program_deinit(&program);
  return 0;
}
