/* The failed assertion: one line, then the process ends. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

void gw__assert_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "godwit: bug: %s:%d: assertion failed: %s\n", file, line, condition);
  abort();
}
