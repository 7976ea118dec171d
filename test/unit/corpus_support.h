/* Helpers of the data tests: input files of every kind, random text, a look at prepared folders. */
#ifndef GW_CORPUS_SUPPORT_H
#define GW_CORPUS_SUPPORT_H

#include "data/text.h"
#include "godwit/prepare.h"
#include "support.h"

/* "FOLDER/NAME"; lives until the process ends. */
const char *gw_test_path(const char *folder, const char *name);

void gw_test_write(const char *path, const void *data, size_t size);
void gw_test_write_gzip(const char *path, const void *data, size_t size);
void gw_test_write_zstd(const char *path, const void *data, size_t size);
/* The whole file, malloc'd, with a 0 behind it. */
char *gw_test_read(const char *path, size_t *size);

/* `size` bytes: words, numbers, punctuation, white space of all kinds, letters beyond ASCII; with
 * `dirty` also bytes that are not UTF-8. */
void gw_test_text(GwRng *rng, size_t size, bool dirty, GwText *out);

/* Writes `count` JSON lines of random text, every seventh a copy of an earlier one. */
void gw_test_write_jsonl(const char *path, GwRng *rng, int count, size_t bytes_max);

/* Fails unless both folders hold the same files with the same bytes (prepare.lock left out). */
void gw_test_same_folder(const char *a, const char *b);

#endif
