/* Suggestions, instruction sets, the probes and the doctor's report. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "comm/world.h"
#include "exec/cpu_features.h"
#include "godwit/doctor.h"
#include "godwit/suggest.h"
#include "os/probe.h"

static void distance_counts_edits(void **unused) {
  (void)unused;
  assert_int_equal(gw_edit_distance("", ""), 0);
  assert_int_equal(gw_edit_distance("", "abc"), 3);
  assert_int_equal(gw_edit_distance("steps", "steps"), 0);
  assert_int_equal(gw_edit_distance("stpes", "steps"), 1); /* a swap */
  assert_int_equal(gw_edit_distance("stps", "steps"), 1);
  assert_int_equal(gw_edit_distance("kitten", "sitting"), 3);
  assert_int_equal(gw_edit_distance("ca", "abc"), 3); /* no place is edited twice */
}

static void distance_is_symmetric_and_bounded(void **state) {
  GwRng rng = gw_rng(*(uint64_t *)*state, 2);
  for (int round = 0; round < 500; round++) {
    char a[130], b[130];
    size_t m = gw_rng_below(&rng, sizeof a), n = gw_rng_below(&rng, sizeof b);
    for (size_t i = 0; i < m; i++) a[i] = (char)('a' + gw_rng_below(&rng, 3));
    for (size_t i = 0; i < n; i++) b[i] = (char)('a' + gw_rng_below(&rng, 3));
    a[m] = b[n] = 0;
    int distance = gw_edit_distance(a, b);
    int longer = (int)gw_min_i64(gw_max_i64((int64_t)m, (int64_t)n), 96);
    assert_int_equal(distance, gw_edit_distance(b, a));
    assert_in_range(distance, 0, longer);
  }
}

static void similar_is_near_or_nothing(void **unused) {
  (void)unused;
  const char *const words[] = {"prepare", "train", "generate"};
  assert_string_equal(gw_similar("trian", words, 3), "train");
  assert_null(gw_similar("xylophone", words, 3));
  assert_non_null(gw_nearest("xylophone", words, 3));
  assert_null(gw_nearest("train", words, 0));
}

static void isa_names_round_trip(void **unused) {
  (void)unused;
  GwIsa isa = GW_ISA_ID_COUNT;
  for (int i = 0; i < GW_ISA_ID_COUNT; i++) {
    assert_true(gw_isa_from_name(gw_isa_name((GwIsa)i), &isa));
    assert_int_equal(isa, i);
  }
  assert_false(gw_isa_from_name("avx1024", &isa));
}

static void isa_best_is_the_last_available(void **unused) {
  (void)unused;
  GwIsa best = gw_isa_best();
  for (int i = 0; i < GW_ISA_ID_COUNT; i++)
    assert_int_equal(gw_isa_available((GwIsa)i), i <= (int)best);
}

static void isa_agrees_with_the_kernel(void **unused) {
  (void)unused;
  static char flags[16384]; /* newer processors list more than a thousand characters */
  if (!gw_probe_field("/proc/cpuinfo", "flags", flags, sizeof flags)) skip();
  if (strlen(flags) + 1 == sizeof flags) skip(); /* cut: cannot tell */
  bool avx2 = strstr(flags, " avx2") && strstr(flags, " fma");
  assert_int_equal(gw_isa_available(GW_ISA_ID_AVX2), avx2);
  char features[96];
  gw_cpu_features_text(features, sizeof features);
  assert_int_equal(strstr(features, "avx2") != NULL, strstr(flags, " avx2") != NULL);
}

static void fields_are_read(void **unused) {
  (void)unused;
  const char *folder = gw_test_folder("probe");
  char path[600], value[8];
  snprintf(path, sizeof path, "%s/field-file", folder);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("model: 1\nmodel name\t: a long name\nempty:\n", file);
  fclose(file);
  assert_true(gw_probe_field(path, "model name", value, sizeof value));
  assert_string_equal(value, "a long ");
  assert_true(gw_probe_field(path, "model", value, sizeof value));
  assert_string_equal(value, "1");
  assert_true(gw_probe_field(path, "empty", value, sizeof value));
  assert_string_equal(value, "");
  assert_false(gw_probe_field(path, "name", value, sizeof value));
  assert_false(gw_probe_field("/nowhere", "name", value, sizeof value));
}

static void programs_are_found(void **unused) {
  (void)unused;
  char path[4096], small[4];
  struct stat info;
  assert_true(gw_probe_program("sh", path, sizeof path));
  assert_int_equal(stat(path, &info), 0);
  assert_false(gw_probe_program("no-such-program-anywhere", path, sizeof path));
  assert_false(gw_probe_program("sh", small, sizeof small));
}

static void report_is_whole(void **unused) {
  (void)unused;
  GwDoctorReport report;
  gw_doctor_examine(&report);
  assert_true(report.threads >= 1);
  assert_true(report.memory_available_bytes > 0);
  assert_true(report.memory_available_bytes <= report.memory_total_bytes);
  assert_true(strlen(report.processor) > 0 && strlen(report.compiler) > 0);
  int libraries = 0;
  for (int i = 0; i < report.part_count; i++) {
    const GwPart *part = &report.parts[i];
    assert_true(strlen(part->package) > 0 && strlen(part->purpose) > 0);
    assert_int_equal(part->found, strlen(part->detail) > 0);
    libraries += part->kind == GW_PART_LIBRARY;
  }
  assert_int_equal(libraries, gw_world_mpi_library() ? 8 : 7);
}

int main(int argc, char **argv) {
  uint64_t seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(distance_counts_edits),
      cmocka_unit_test_prestate(distance_is_symmetric_and_bounded, &seed),
      cmocka_unit_test(similar_is_near_or_nothing),
      cmocka_unit_test(isa_names_round_trip),
      cmocka_unit_test(isa_best_is_the_last_available),
      cmocka_unit_test(isa_agrees_with_the_kernel),
      cmocka_unit_test(fields_are_read),
      cmocka_unit_test(programs_are_found),
      cmocka_unit_test(report_is_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
