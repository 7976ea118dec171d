/* Searches in folder lists and reads "key: value" files of the kernel. */
#include "os/probe.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/search_path.h"

static const char program_folders[] = "/usr/local/cuda/bin:/usr/lib64/openmpi/bin";
static const char library_folders[] =
    "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu:/usr/lib64:/usr/lib:/usr/local/lib:"
    "/usr/local/cuda/lib64:/usr/lib64/openmpi/lib";

/* The first folder of the colon-separated list that holds `name` as a file with `access_mode`. */
static bool find_in(const char *folders, const char *name, int access_mode, char *out,
                    size_t size) {
  for (const char *folder = folders; *folder;) {
    size_t length = strcspn(folder, ":");
    char path[4096];
    int written = snprintf(path, sizeof path, "%.*s/%s", (int)length, folder, name);
    bool fits =
        length > 0 && written > 0 && (size_t)written < sizeof path && (size_t)written < size;
    struct stat info;
    if (fits && stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, access_mode) == 0) {
      memcpy(out, path, (size_t)written + 1);
      return true;
    }
    folder += length + (folder[length] == ':');
  }
  return false;
}

bool gw_probe_program(const char *name, char *out, size_t size) {
  return find_in(gw_search_path(), name, X_OK, out, size) ||
         find_in(program_folders, name, X_OK, out, size);
}

bool gw_probe_library(const char *name, char *out, size_t size) {
  return find_in(library_folders, name, R_OK, out, size);
}

/* Cuts blanks and the line's end off the value behind the colon. */
static void copy_value(const char *value, char *out, size_t size) {
  while (isspace((unsigned char)*value)) value++;
  size_t length = strlen(value);
  while (length > 0 && isspace((unsigned char)value[length - 1])) length--;
  snprintf(out, size, "%.*s", (int)length, value);
}

bool gw_probe_field(const char *path, const char *key, char *out, size_t size) {
  FILE *file = fopen(path, "re");
  if (!file) return false;
  char line[1024];
  bool found = false;
  while (!found && fgets(line, sizeof line, file)) {
    size_t length = strlen(key);
    const char *colon = strchr(line, ':');
    found = colon && strncmp(line, key, length) == 0 &&
            line + length + strspn(line + length, " \t") == colon;
    if (found) copy_value(colon + 1, out, size);
  }
  fclose(file);
  return found;
}

uint64_t gw_probe_memory_available_bytes(void) {
  char text[64];
  if (!gw_probe_field("/proc/meminfo", "MemAvailable", text, sizeof text)) return 0;
  return strtoull(text, NULL, 10) * 1024; /* the kernel counts in kB */
}
