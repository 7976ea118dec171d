/* What a run looks like from outside, piece by piece: files of JSON lines, read from their end and
 * in parts; locks that are only looked at; Prometheus's text. test/e2e/runs.sh has whole runs. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/runs.h"
#include "train/jsonl.h"

enum { LINES = 30000 }; /* more than the tail and the parts that are read at once */

static char path[GW_PATH_MAX];

static void write_lines(int count, const char *rest) {
  assert_ok(gw_fs_path(path, "%s/lines.jsonl", gw_test_folder("run_status")));
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  for (int i = 1; i <= count; i++)
    fprintf(file, "{\"step\":%d,\"loss\":2.5,\"filler\":\"%*s\"}\n", i, i % 50, "");
  fputs(rest, file);
  fclose(file);
}

typedef struct {
  int64_t next, stop_at;
} Count;

static GwStatus count_line(void *context, const json_t *object) {
  Count *count = context;
  assert_int_equal(json_integer_value(json_object_get(object, "step")), count->next++);
  return count->next == count->stop_at ? gw_fail(GW_INTERRUPTED, "enough") : GW_OK;
}

static void every_line_is_visited(void **unused) {
  (void)unused;
  Count count = {.next = 1};
  write_lines(LINES, "{\"step\":0");
  assert_ok(gw_jsonl_each(gw_fs_disk(), path, count_line, &count));
  assert_int_equal(count.next, LINES + 1);
  count = (Count){.next = 1, .stop_at = 10};
  assert_fails(GW_INTERRUPTED, "enough", gw_jsonl_each(gw_fs_disk(), path, count_line, &count));

  write_lines(20, "what\n");
  count = (Count){.next = 1};
  assert_fails(GW_CORRUPT,
               "lines.jsonl:21:", gw_jsonl_each(gw_fs_disk(), path, count_line, &count));
  char *line = malloc((1 << 20) + 2);
  memset(line, ' ', 1 << 20);
  strcpy(line + (1 << 20), "\n");
  write_lines(0, line);
  free(line);
  assert_fails(GW_CORRUPT, "longer", gw_jsonl_each(gw_fs_disk(), path, count_line, &count));
}

static void the_tail_is_read_from_the_end(void **unused) {
  (void)unused;
  json_t *lines = NULL;
  write_lines(LINES, "{\"step\":0");
  assert_ok(gw_jsonl_tail(gw_fs_disk(), path, 3, &lines));
  assert_int_equal(json_array_size(lines), 3);
  for (int i = 0; i < 3; i++) {
    const json_t *step = json_object_get(json_array_get(lines, (size_t)i), "step");
    assert_int_equal(json_integer_value(step), LINES - 2 + i);
  }
  json_decref(lines);
  assert_ok(gw_jsonl_tail(gw_fs_disk(), path, LINES, &lines)); /* what the tail has room for */
  assert_in_range(json_array_size(lines), 500, 2000);
  json_decref(lines);
  write_lines(2, "");
  assert_ok(gw_jsonl_tail(gw_fs_disk(), path, 3, &lines));
  assert_int_equal(json_array_size(lines), 2);
  json_decref(lines);
  write_lines(2, "what\n");
  assert_fails(GW_CORRUPT, "lines.jsonl", gw_jsonl_tail(gw_fs_disk(), path, 3, &lines));
  assert_null(gw_jsonl_last(gw_fs_disk(), path));
}

static void a_look_leaves_a_lock_as_it_is(void **unused) {
  (void)unused;
  char lock_path[GW_PATH_MAX];
  GwLock lock;
  assert_ok(gw_fs_path(lock_path, "%s/lock", gw_test_folder("run_status")));
  assert_false(gw_lock_is_held(lock_path));
  assert_false(gw_fs_disk()->exists(gw_fs_disk(), lock_path));
  assert_ok(gw_lock_open(lock_path, &lock));
  assert_true(gw_lock_is_held(lock_path));
  assert_true(gw_lock_is_held(lock_path));
  gw_lock_close(&lock);
  assert_false(gw_lock_is_held(lock_path));
}

static void prometheus_text(void **unused) {
  (void)unused;
  GwRunStatus status = {.name = "a\"b\\c\nd", .state = GW_RUN_CRASHED, .until = 7, .faults = 2};
  char *text = NULL;
  assert_ok(gw_run_prometheus(&status, &text));
  assert_non_null(strstr(text, "\n# TYPE godwit_faults_total counter\n"
                               "godwit_faults_total{run=\"a\\\"b\\\\c\\nd\"} 2\n"));
  assert_non_null(strstr(text, "godwit_steps{run=\"a\\\"b\\\\c\\nd\"} 7\n"));
  assert_non_null(strstr(text, ",state=\"crashed\"} 1\n"));
  assert_non_null(strstr(text, ",state=\"running\"} 0\n"));
  assert_null(strstr(text, "godwit_loss")); /* no step was made */
  assert_null(strstr(text, "validation"));
  assert_int_equal(text[strlen(text) - 1], '\n');
  free(text);
  status.has_step = status.has_validation = true;
  status.loss = 0.1;
  status.validation_loss = 0.2; /* of ids, for which nobody has the texts */
  assert_ok(gw_run_prometheus(&status, &text));
  assert_non_null(strstr(text, "godwit_validation_loss{"));
  assert_null(strstr(text, "bits_per_byte"));
  free(text);
  status.bits_per_byte = 1.5;
  assert_ok(gw_run_prometheus(&status, &text));
  assert_non_null(strstr(text, "} 0.10000000000000001\n"));
  assert_non_null(strstr(text, "godwit_validation_bits_per_byte{"));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_line_is_visited),
      cmocka_unit_test(the_tail_is_read_from_the_end),
      cmocka_unit_test(a_look_leaves_a_lock_as_it_is),
      cmocka_unit_test(prometheus_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
