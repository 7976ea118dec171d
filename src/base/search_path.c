/* The one place that reads PATH. */
#include "base/search_path.h"

#include <stdlib.h>

const char *gw_search_path(void) {
  const char *path = getenv("PATH");
  return path && *path ? path : "/usr/local/bin:/usr/bin:/bin";
}
