/* The safetensors reader and writer: the exact bytes of a small file, round trips, and a table of
 * hostile headers, each refused by naming the field. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "crash_fs.h"
#include "state/safetensors.h"

static uint64_t seed;

static void put_length(unsigned char *out, uint64_t length) {
  for (int i = 0; i < 8; i++) out[i] = (unsigned char)(length >> (8 * i));
}

static void small_file_has_these_bytes(void **state) {
  (void)state;
  float w[2] = {1.0f, -2.0f};
  int64_t n = 5;
  const GwTensor tensors[] = {{"w", gw_type_2d(GW_F32, 1, 2), w}, {"a\"b", gw_type_0d(GW_I64), &n}};
  const char *text = "{\"__metadata__\":{\"format\":\"pt\"},"
                     "\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                     "\"a\\\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}";
  CrashFs *disk = gw_crash_fs_create();
  uint64_t hash = 0, bytes = 0;
  assert_ok(gw_safetensors_write(gw_crash_fs(disk), "f", tensors, 2, &hash, &bytes));

  unsigned char expected[256];
  size_t length = gw_align_up(strlen(text), 8), size = 0;
  memset(expected, ' ', sizeof expected);
  put_length(expected, length);
  memcpy(expected + 8, text, strlen(text));
  memcpy(expected + 8 + length, w, 8);
  memcpy(expected + 16 + length, &n, 8);
  const unsigned char *got = gw_crash_fs_bytes(disk, "f", &size);
  assert_int_equal(size, 24 + length);
  assert_memory_equal(got, expected, size);
  assert_int_equal(bytes, size);
  assert_true(hash == gw_hash_blocks(got, size, 0, 0));
  gw_crash_fs_destroy(disk);
}

static void tensors_come_back(void **state) {
  (void)state;
  enum { LARGE = 70001, COUNT = 4 };
  GwRng rng = gw_rng(seed, 1);
  float *large = malloc(LARGE * sizeof(float)), *back = malloc(LARGE * sizeof(float));
  for (int i = 0; i < LARGE; i++) large[i] = (float)gw_rng_normal(&rng);
  double d[3] = {1, 2, 3};
  uint64_t u = UINT64_MAX;
  const GwTensor tensors[COUNT] = {{"z.large", gw_type_1d(GW_F32, LARGE), large},
                                   {"empty", gw_type_2d(GW_I32, 0, 7), NULL},
                                   {"\xc3\xa4", gw_type_1d(GW_F64, 3), d},
                                   {"a", gw_type_0d(GW_U64), &u}};
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  GwSafetensors *file = NULL;
  uint64_t hash = 0, bytes = 0, offset = 0;
  size_t size = 0;
  assert_ok(gw_safetensors_write(fs, "f", tensors, COUNT, &hash, &bytes));
  assert_true(hash == gw_hash_blocks(gw_crash_fs_bytes(disk, "f", &size), bytes, 0, 0));
  assert_ok(gw_safetensors_open(fs, "f", &file));
  assert_int_equal(gw_safetensors_count(file), COUNT);
  assert_int_equal(gw_safetensors_find(file, "absent"), -1);
  for (int i = 0; i < COUNT; i++) {
    GwTensor entry = gw_safetensors_entry(file, i, &offset);
    assert_string_equal(entry.name, tensors[i].name);
    assert_true(gw_type_equal(&entry.type, &tensors[i].type));
    assert_int_equal(gw_safetensors_find(file, entry.name), i);
    assert_ok(gw_safetensors_read(file, i, back));
    if (tensors[i].data) assert_memory_equal(back, tensors[i].data, gw_type_size(&entry.type));
  }
  assert_int_equal(offset + 8, bytes);
  gw_safetensors_close(file);
  gw_safetensors_close(NULL);
  free(large);
  free(back);
  gw_crash_fs_destroy(disk);
}

static void no_tensors_is_a_file_too(void **state) {
  (void)state;
  CrashFs *disk = gw_crash_fs_create();
  GwSafetensors *file = NULL;
  uint64_t hash = 0, bytes = 0;
  assert_ok(gw_safetensors_write(gw_crash_fs(disk), "f", NULL, 0, &hash, &bytes));
  assert_ok(gw_safetensors_open(gw_crash_fs(disk), "f", &file));
  assert_int_equal(gw_safetensors_count(file), 0);
  gw_safetensors_close(file);
  gw_crash_fs_destroy(disk);
}

/* ---- hostile input ---- */

#define T(dtype, shape, offsets)                                                                   \
  "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"x\":" T(dtype, shape, offsets) "}"

static const struct {
  const char *header;
  uint64_t data_size;
  const char *names; /* part of the message; NULL: it must parse */
} headers[] = {
    {ONE("F32", "[2]", "[0,8]"), 8, NULL},
    {ONE("F32", "[]", "[0,4]") "   ", 4, NULL},
    {"{}", 0, NULL},
    {"{\"b\":" T("I32", "[1]", "[8,12]") ",\"a\":" T("F64", "[1]", "[0,8]") "}", 12, NULL},
    {"{\"__metadata__\":{\"k\":\"v\"},\"x\":" T("U64", "[0,4]", "[0,0]") "}", 0, NULL},
    {"", 0, "begin with '{'"},
    {" {}", 0, "begin with '{'"},
    {"[]", 0, "begin with '{'"},
    {"{", 0, "not valid JSON"},
    {"{}x", 0, "not valid JSON"},
    {"{\"x\":1}", 0, "'x' must be an object"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ must be an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__.k must be a string"},
    {"{\"x\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "'dtype' is missing"},
    {"{\"x\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "'dtype' must be a string"},
    {"{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'shape' is missing"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "'data_offsets' is missing"},
    {ONE("F33", "[1]", "[0,4]"), 4, "dtype 'F33' is not known"},
    {ONE("F32", "4", "[0,4]"), 4, "'shape' must be an array"},
    {ONE("F32", "[-1]", "[0,4]"), 4, "shape[0] must be a whole number >= 0"},
    {ONE("F32", "[1,1.0]", "[0,4]"), 4, "shape[1] must be a whole number >= 0"},
    {ONE("F32", "[1,1,1,1,1]", "[0,4]"), 4, "5 dimensions"},
    {ONE("F32", "[4611686018427387904]", "[0,4]"), 4, "shape is larger"},
    {ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, "shape is larger"},
    {ONE("F32", "[99999999999999999999]", "[0,4]"), 4, "not valid JSON"},
    {ONE("F32", "[1]", "{}"), 4, "'data_offsets' must be an array"},
    {ONE("F32", "[1]", "[0]"), 4, "data_offsets must be two"},
    {ONE("F32", "[1]", "[0,4,8]"), 4, "data_offsets must be two"},
    {ONE("F32", "[1]", "[0,\"4\"]"), 4, "data_offsets must be two"},
    {ONE("F32", "[1]", "[-4,0]"), 4, "outside"},
    {ONE("F32", "[1]", "[4,0]"), 4, "outside"},
    {ONE("F32", "[2]", "[0,8]"), 4, "outside"},
    {ONE("F32", "[1]", "[0,9223372036854775807]"), 4, "outside"},
    {ONE("F32", "[2]", "[0,4]"), 4, "shape and dtype need 8"},
    {ONE("F32", "[1]", "[4,8]"), 8, "a hole"},
    {ONE("F32", "[1]", "[0,4]"), 5, "goes on to 5"},
    {"{}", 1, "goes on to 1"},
    {"{\"x\":" T("F32", "[2]", "[0,8]") ",\"y\":" T("F32", "[1]", "[4,8]") "}", 8, "an overlap"},
    {"{\"x\":" T("F32", "[1]", "[0,4]") ",\"y\":" T("F32", "[1]", "[0,4]") "}", 4, "an overlap"},
    {"{\"x\":" T("F32", "[1]", "[0,4]") ",\"y\":" T("F32", "[1]", "[8,12]") "}", 12, "'y'"},
    {"{\"x\":" T("F32", "[1]", "[0,4]") ",\"x\":" T("F32", "[1]", "[4,8]") "}", 8, "duplicate"},
};

static GwStatus parse(const char *header, uint64_t length, uint64_t data_size, size_t cut) {
  unsigned char bytes[512];
  size_t size = strlen(header) + 8;
  GW_ASSERT(size <= sizeof bytes);
  put_length(bytes, length);
  memcpy(bytes + 8, header, strlen(header));
  unsigned char *exact = malloc(size - cut + 1); /* so that a sanitizer sees each byte too far */
  memcpy(exact, bytes, size - cut);
  GwSafetensors *file = NULL;
  GwStatus status =
      gw_safetensors_parse("hostile.safetensors", exact, size - cut, size + data_size, &file);
  gw_safetensors_close(file);
  free(exact);
  return status;
}

static void hostile_headers_are_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < GW_COUNT_OF(headers); i++) {
    GwStatus status = parse(headers[i].header, strlen(headers[i].header), headers[i].data_size, 0);
    if (!headers[i].names && status == GW_OK) continue;
    if (!headers[i].names) fail_msg("%s: %s", headers[i].header, gw_error_message());
    if (status != GW_CORRUPT) fail_msg("%s: got '%s'", headers[i].header, gw_status_text(status));
    if (!strstr(gw_error_message(), headers[i].names) ||
        !strstr(gw_error_message(), "hostile.safetensors"))
      fail_msg("%s: message '%s'", headers[i].header, gw_error_message());
  }
}

static void hostile_lengths_are_refused(void **state) {
  (void)state;
  const char *good = ONE("F32", "[2]", "[0,8]");
  uint64_t length = strlen(good);
  assert_ok(parse(good, length, 8, 0));
  for (size_t cut = 1; cut <= length; cut++)
    assert_fails(GW_CORRUPT, "ends early", parse(good, length, 8 + cut, cut));
  for (size_t cut = length + 1; cut <= length + 8; cut++)
    assert_fails(GW_CORRUPT, "too few", parse(good, length, 8, cut));
  assert_fails(GW_CORRUPT, "more than the file", parse(good, length + 9, 8, 0));
  assert_fails(GW_CORRUPT, "over the limit", parse(good, 100000001, 200000000, 0));
  assert_fails(GW_CORRUPT, "over the limit", parse(good, UINT64_MAX, 200000000, 0));
}

static void files_cut_short_are_refused(void **state) {
  (void)state;
  float w[8] = {0};
  const GwTensor tensor = {"w", gw_type_1d(GW_F32, 8), w};
  CrashFs *disk = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(disk);
  uint64_t hash = 0, bytes = 0;
  assert_ok(gw_safetensors_write(fs, "f", &tensor, 1, &hash, &bytes));
  for (uint64_t size = bytes; size-- > 0;) {
    GwFile *file = NULL;
    GwSafetensors *parsed = NULL;
    assert_ok(fs->open(fs, "f", GW_FILE_APPEND, &file));
    assert_ok(fs->truncate(fs, file, size));
    fs->close(fs, file);
    assert_fails(GW_CORRUPT, "f: ", gw_safetensors_open(fs, "f", &parsed));
  }
  GwSafetensors *parsed = NULL;
  assert_fails(GW_NOT_FOUND, "absent", gw_safetensors_open(fs, "absent", &parsed));
  gw_crash_fs_destroy(disk);
}

static void random_damage_never_breaks_the_parser(void **state) {
  (void)state;
  const char *good = headers[3].header;
  GwRng rng = gw_rng(seed, 9);
  char text[256];
  for (int round = 0; round < 20000; round++) {
    size_t length = strlen(good);
    memcpy(text, good, length + 1);
    for (int i = 0; i < 3; i++)
      text[gw_rng_below(&rng, length)] = (char)(1 + gw_rng_below(&rng, 255));
    GwStatus status = parse(text, strlen(text), 12, 0);
    assert_true(status == GW_OK || status == GW_CORRUPT);
  }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_file_has_these_bytes),
      cmocka_unit_test(tensors_come_back),
      cmocka_unit_test(no_tensors_is_a_file_too),
      cmocka_unit_test(hostile_headers_are_refused),
      cmocka_unit_test(hostile_lengths_are_refused),
      cmocka_unit_test(files_cut_short_are_refused),
      cmocka_unit_test(random_damage_never_breaks_the_parser),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
