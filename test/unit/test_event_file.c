/* TensorBoard's event files: checksums, the bytes of the head, and that no error gets out. What the
 * real TensorBoard makes of a file is for test/interop. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "train/event_file.h"

static char found[GW_PATH_MAX];

static GwStatus take_name(void *context, const char *name, bool is_dir) {
  (void)is_dir;
  return gw_fs_path(found, "%s/%s", (const char *)context, name);
}

static void checksum_of_the_standard(void **unused) {
  (void)unused;
  const uint8_t zeros[32] = {0};
  assert_int_equal(gw_crc32c("123456789", 9), 0xe3069283);
  assert_int_equal(gw_crc32c(zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
  assert_int_equal(gw_crc32c("", 0), 0);
}

static void a_file_opens_with_its_version_and_the_first_step(void **unused) {
  (void)unused;
  const char *dir = gw_test_folder("event_file");
  GwFs *fs = gw_fs_disk();
  GwEventFile events;
  gw_event_file_open(fs, dir, 300, &events);
  assert_non_null(events.file);
  gw_event_file_add(&events, 300, &(GwScalar){"train/loss", 0.5}, 1);
  gw_event_file_close(&events);
  assert_ok(fs->list(fs, dir, take_name, (void *)dir));
  assert_non_null(strstr(found, "/events.out.tfevents."));

  char *text;
  size_t size;
  assert_ok(gw_fs_read_all(fs, found, 1 << 20, &text, &size));
  assert_memory_equal(text, "\x18\0\0\0\0\0\0\0", 8); /* 24 bytes, as TensorFlow's own first */
  assert_memory_equal(text + 8, "\xa3\x7f\x4b\x22", 4);
  assert_memory_equal(text + 12 + 9,
                      "\x1a\x0d"
                      "brain.Event:2",
                      15);
  const char *second = text + 40, *third = second + 12 + 16 + 4;
  assert_memory_equal(second + 12 + 9, "\x10\xac\x02\x3a\x02\x08\x01", 7); /* step 300, START */
  assert_memory_equal(third + 12 + 9,
                      "\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\0\0\0\x3f", 24);
  assert_int_equal(size, third + 12 + 9 + 24 + 4 - text);
  free(text);
}

static GwStatus write_fails(GwFs *fs, GwFile *file, const void *data, size_t size) {
  (void)fs, (void)file, (void)data;
  return gw_fail(GW_NO_SPACE, "no room for %zu bytes", size);
}

static void errors_stay_inside(void **unused) {
  (void)unused;
  const char *dir = gw_test_folder("event_file");
  GwScalar scalar = {"train/loss", 1};
  GwEventFile events;
  gw_event_file_open(gw_fs_disk(), "/proc/no/such/place", 1, &events);
  assert_null(events.file);
  gw_event_file_add(&events, 1, &scalar, 1);

  GwFs full = *gw_fs_disk();
  gw_event_file_open(&full, dir, 1, &events);
  full.write = write_fails;
  gw_event_file_add(&events, 1, &scalar, 1);
  assert_true(events.warned);
  full.write = gw_fs_disk()->write;
  gw_event_file_add(&events, 2, &scalar, 1); /* there is room again */
  gw_event_file_close(&events);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checksum_of_the_standard),
      cmocka_unit_test(a_file_opens_with_its_version_and_the_first_step),
      cmocka_unit_test(errors_stay_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
