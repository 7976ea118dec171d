/* Seeds and folders for tests. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t gw_test_seed(int argc, char **argv, uint64_t fallback) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : fallback;
  printf("seed %llu\n", (unsigned long long)seed);
  return seed;
}

const char *gw_test_folder(const char *name) {
  static char path[512], command[1100];
  snprintf(path, sizeof path, "test-tmp/%s-%d", name, (int)getpid());
  snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", path, path);
  if (system(command) != 0) return NULL;
  return path;
}

const char *gw_test_shared(const char *name) {
  static char path[4][1024];
  static int turn;
  char *out = path[turn++ & 3];
  snprintf(out, sizeof path[0], "%s/../shared/data/%s", GW_TEST_SOURCE_DIR, name);
  struct stat info;
  return stat(out, &info) == 0 ? out : NULL;
}
