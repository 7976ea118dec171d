/* Runs a fuzz target without a fuzzer, so that the tests exercise every parser with any compiler:
 * each seed file as it is, then mutations of the seeds until the time is up. The sequence of inputs
 * follows from --seed alone; when the target dies, the input is left in <program>.crash.
 *
 *   fuzz_NAME [--seconds N] [--seed N] FOLDER */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { INPUT_BYTES_MAX = 1 << 16 };

typedef struct {
  uint8_t *data; /* exactly `size` bytes, so that a sanitizer sees an overread */
  size_t size;
} Input;

static Input current;
static char crash_path[4096];

static void keep_current(void) {
  FILE *file = fopen(crash_path, "wb");
  if (!file) return;
  fwrite(current.data, 1, current.size, file);
  fclose(file);
  fprintf(stderr, "the input that did it: %s (%zu bytes)\n", crash_path, current.size);
}

static void on_signal(int number) {
  keep_current();
  signal(number, SIG_DFL);
  raise(number);
}

static void *must(void *pointer) {
  if (!pointer) {
    perror("replay");
    exit(1);
  }
  return pointer;
}

static void run(const uint8_t *bytes, size_t size) {
  current.data = must(malloc(size ? size : 1));
  current.size = size;
  memcpy(current.data, bytes, size);
  LLVMFuzzerTestOneInput(current.data, size);
  free(current.data);
}

static Input read_seed(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  struct stat info;
  FILE *file = must(fopen(path, "rb"));
  if (fstat(fileno(file), &info) != 0 || info.st_size > INPUT_BYTES_MAX) {
    fprintf(stderr, "%s: a seed has at most %d bytes\n", path, INPUT_BYTES_MAX);
    exit(1);
  }
  size_t size = (size_t)info.st_size;
  Input seed = {must(malloc(size + 1)), size};
  if (fread(seed.data, 1, size, file) != size) must(NULL);
  fclose(file);
  return seed;
}

static int is_seed(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* The files of `folder` in the order of their names. */
static Input *read_seeds(const char *folder, size_t *count) {
  struct dirent **entries;
  int found = scandir(folder, &entries, is_seed, alphasort);
  if (found <= 0) {
    fprintf(stderr, "%s: no seed files\n", folder);
    exit(1);
  }
  Input *seeds = must(calloc((size_t)found, sizeof *seeds));
  for (int i = 0; i < found; i++) {
    seeds[i] = read_seed(folder, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  *count = (size_t)found;
  return seeds;
}

/* Uniform in [0, limit); 0 for an empty range. */
static size_t pick(GwRng *rng, size_t limit) {
  return limit ? (size_t)gw_rng_below(rng, (uint64_t)limit) : 0;
}

/* Writes `size` bytes of one of the numbers that parsers get wrong. */
static void put_number(GwRng *rng, uint8_t *at, size_t size) {
  static const uint64_t numbers[] = {0,      1,         0x7f,       0x80,      0xff,      0x7fff,
                                     0xffff, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
  uint64_t number = numbers[pick(rng, GW_COUNT_OF(numbers))];
  memcpy(at, &number, size);
}

/* Makes room for `length` bytes at `at`, copied from `from`, which may be the buffer itself. */
static size_t insert(uint8_t *buffer, size_t size, size_t at, const uint8_t *from, size_t length) {
  static uint8_t copy[INPUT_BYTES_MAX];
  if (size + length > INPUT_BYTES_MAX) return size;
  memcpy(copy, from, length);
  memmove(buffer + at + length, buffer + at, size - at);
  memcpy(buffer + at, copy, length);
  return size + length;
}

/* One change of buffer[0..size); returns the new size. */
static size_t mutate(GwRng *rng, uint8_t *buffer, size_t size, const Input *other) {
  size_t at = pick(rng, size + 1);
  size_t rest = size - at;
  size_t width = (size_t)1 << pick(rng, 4);
  uint8_t byte = (uint8_t)pick(rng, 256);
  switch (pick(rng, 7)) {
  case 0: /* flip a bit */
    if (rest) buffer[at] ^= (uint8_t)(1u << (byte & 7));
    return size;
  case 1: /* replace a byte */
    if (rest) buffer[at] = byte;
    return size;
  case 2: /* a number from the edge */
    if (rest >= width) put_number(rng, buffer + at, width);
    return size;
  case 3: { /* drop a span */
    size_t length = pick(rng, (rest < 64 ? rest : 64) + 1);
    memmove(buffer + at, buffer + at + length, rest - length);
    return size - length;
  }
  case 4: return insert(buffer, size, at, &byte, 1);
  case 5: /* repeat a span of its own */
    return insert(buffer, size, at, buffer + at, pick(rng, rest + 1));
  default: { /* a span of another seed */
    size_t from = pick(rng, other->size + 1);
    return insert(buffer, size, at, other->data + from, pick(rng, other->size - from + 1));
  }
  }
}

/* Mutated seeds until `seconds` have passed; returns how many ran. */
static uint64_t run_mutations(GwRng *rng, const Input *seeds, size_t count, double seconds) {
  static uint8_t buffer[INPUT_BYTES_MAX];
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (uint64_t runs = 0;; runs++) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    double passed =
        (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) * 1e-9;
    if (passed >= seconds) return runs;
    const Input *seed = &seeds[pick(rng, count)];
    size_t size = seed->size;
    memcpy(buffer, seed->data, size);
    for (size_t changes = 1 + pick(rng, 6); changes > 0; changes--)
      size = mutate(rng, buffer, size, &seeds[pick(rng, count)]);
    if (pick(rng, 8) == 0) size = pick(rng, size + 1); /* a file that ends early */
    run(buffer, size);
  }
}

int main(int argc, char **argv) {
  double seconds = 2;
  uint64_t seed = 1;
  const char *folder = NULL;
  for (int i = 1; i < argc; i++) {
    bool has_value = i + 1 < argc;
    if (strcmp(argv[i], "--seconds") == 0 && has_value)
      seconds = atof(argv[++i]);
    else if (strcmp(argv[i], "--seed") == 0 && has_value)
      seed = strtoull(argv[++i], NULL, 0);
    else
      folder = argv[i];
  }
  if (!folder) {
    fprintf(stderr, "usage: %s [--seconds N] [--seed N] FOLDER\n", argv[0]);
    return 2;
  }
  snprintf(crash_path, sizeof crash_path, "%s.crash", argv[0]);
  signal(SIGABRT, on_signal);
  signal(SIGSEGV, on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_current);

  size_t count;
  Input *seeds = read_seeds(folder, &count);
  run((const uint8_t *)"", 0);
  for (size_t i = 0; i < count; i++) run(seeds[i].data, seeds[i].size);
  GwRng rng = gw_rng(seed, 1);
  uint64_t runs = run_mutations(&rng, seeds, count, seconds);
  printf("seed %llu: %zu seed files, %llu mutations\n", (unsigned long long)seed, count,
         (unsigned long long)runs);
  for (size_t i = 0; i < count; i++) free(seeds[i].data);
  free(seeds);
  return 0;
}
