/* Input files for the data tests. */
#include "corpus_support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/arena.h"

const char *gw_test_path(const char *folder, const char *name) {
  static GwArena arena;
  const char *path = gw_arena_format(&arena, "%s/%s", folder, name);
  assert_non_null(path);
  return path;
}

void gw_test_write(const char *path, const void *data, size_t size) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

void gw_test_write_gzip(const char *path, const void *data, size_t size) {
  gzFile file = gzopen(path, "wb");
  assert_non_null(file);
  if (size) assert_int_equal(gzwrite(file, data, (unsigned)size), size);
  assert_int_equal(gzclose(file), Z_OK);
}

void gw_test_write_zstd(const char *path, const void *data, size_t size) {
  size_t bound = ZSTD_compressBound(size);
  char *packed = malloc(bound);
  assert_non_null(packed);
  size_t length = ZSTD_compress(packed, bound, data, size, 3);
  assert_false(ZSTD_isError(length));
  gw_test_write(path, packed, length);
  free(packed);
}

char *gw_test_read(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) fail_msg("cannot open %s", path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *data = malloc(*size + 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, *size, file), *size);
  data[*size] = 0;
  fclose(file);
  return data;
}

void gw_test_text(GwRng *rng, size_t size, bool dirty, GwText *out) {
  static const char *const parts[] = {"the ",
                                      "The",
                                      " a",
                                      "word",
                                      "it's",
                                      "I'll",
                                      "'",
                                      "'re",
                                      "12 ",
                                      " 345",
                                      "7",
                                      ", ",
                                      ". ",
                                      "!?",
                                      " --",
                                      "\n",
                                      "\n\n",
                                      "  ",
                                      "\t",
                                      " \n ",
                                      "\r\n",
                                      "na\xc3\xafve",
                                      "\xe6\x97\xa5\xe6\x9c\xac",
                                      "\xe3\x80\x82\n",
                                      "\xc2\xa0",
                                      "\xe3\x80\x80",
                                      "\xf0\x9f\x90\xa6",
                                      "\xe2\x80\x89 ",
                                      "\xc2\x85 "};
  static const char *const dirt[] = {"\xff", "\xc3", "\xe6\x97", "\xf0\x9f\x90", "\x80 ", "\xb5\n"};
  size_t before = out->size;
  while (out->size - before < size) {
    bool bad = dirty && gw_rng_below(rng, 20) == 0;
    const char *part = bad ? dirt[gw_rng_below(rng, GW_COUNT_OF(dirt))]
                           : parts[gw_rng_below(rng, GW_COUNT_OF(parts))];
    assert_ok(gw_text_append(out, part, strlen(part)));
  }
}

void gw_test_write_jsonl(const char *path, GwRng *rng, int count, size_t bytes_max) {
  GwText file = {0}, text = {0};
  char **lines = calloc((size_t)count, sizeof *lines);
  assert_non_null(lines);
  for (int i = 0; i < count; i++) {
    text.size = 0;
    gw_test_text(rng, 1 + gw_rng_below(rng, bytes_max), false, &text);
    json_t *object = json_pack("{s:i, s:s%}", "id", i, "text", text.data, text.size);
    lines[i] = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    assert_non_null(lines[i]);
    const char *line = i % 7 == 6 ? lines[7 * gw_rng_below(rng, (uint64_t)i / 7 + 1)] : lines[i];
    assert_ok(gw_text_append(&file, line, strlen(line)));
    assert_ok(gw_text_append(&file, "\n", 1));
  }
  gw_test_write(path, file.data, file.size);
  for (int i = 0; i < count; i++) free(lines[i]);
  free(lines);
  gw_text_deinit(&file);
  gw_text_deinit(&text);
}

void gw_test_same_folder(const char *a, const char *b) {
  char command[2200];
  snprintf(command, sizeof command, "diff -rq -x prepare.lock '%s' '%s'", a, b);
  if (system(command) != 0) fail_msg("%s and %s differ", a, b);
}
