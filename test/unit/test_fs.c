/* os/: the same contract for the real disk and for the disk in memory; what only the real one can
 * do (full devices, maps, locks); and that the disk in memory forgets what was not synced. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash_fs.h"
#include "os/fs.h"

static uint64_t seed;

typedef struct {
  GwFs *fs;
  char root[512];
} Disk;

static const char *at(const Disk *disk, const char *name) {
  static char paths[4][GW_PATH_MAX];
  static int turn;
  char *path = paths[turn++ & 3];
  assert_ok(gw_fs_path(path, "%s/%s", disk->root, name));
  return path;
}

static void write_text(GwFs *fs, const char *path, GwFileMode mode, const char *text) {
  GwFile *file = NULL;
  assert_ok(fs->open(fs, path, mode, &file));
  assert_ok(fs->write(fs, file, text, strlen(text)));
  assert_ok(fs->sync_file(fs, file));
  fs->close(fs, file);
}

static void expect_text(GwFs *fs, const char *path, const char *expected) {
  char *text = NULL;
  size_t size = 0;
  assert_ok(gw_fs_read_all(fs, path, 1 << 20, &text, &size));
  assert_int_equal(size, strlen(expected));
  assert_string_equal(text, expected);
  free(text);
}

/* Names joined by blanks, directories with a slash. */
static GwStatus join_names(void *context, const char *name, bool is_dir) {
  char *joined = context;
  size_t length = strlen(joined);
  snprintf(joined + length, 256 - length, "%s%s%s", length ? " " : "", name, is_dir ? "/" : "");
  return GW_OK;
}

static void expect_names(GwFs *fs, const char *path, const char *expected) {
  char joined[256] = "";
  assert_ok(fs->list(fs, path, join_names, joined));
  assert_string_equal(joined, expected);
}

static GwStatus stop(void *context, const char *name, bool is_dir) {
  (void)is_dir;
  ++*(int *)context;
  return gw_fail(GW_INTERRUPTED, "stopped at %s", name);
}

/* ---- the contract ---- */

static void files_hold_what_is_written(const Disk *disk) {
  GwFs *fs = disk->fs;
  write_text(fs, at(disk, "a"), GW_FILE_CREATE, "first");
  expect_text(fs, at(disk, "a"), "first");
  write_text(fs, at(disk, "a"), GW_FILE_CREATE, "2nd");
  expect_text(fs, at(disk, "a"), "2nd");
  write_text(fs, at(disk, "a"), GW_FILE_APPEND, " and third");
  expect_text(fs, at(disk, "a"), "2nd and third");

  GwFile *file = NULL;
  char text[16] = "";
  uint64_t size = 0;
  size_t got = 0;
  assert_ok(fs->open(fs, at(disk, "a"), GW_FILE_APPEND, &file));
  assert_ok(fs->truncate(fs, file, 3));
  assert_ok(fs->write(fs, file, "!", 1));
  assert_ok(fs->size(fs, file, &size));
  assert_int_equal(size, 4);
  assert_ok(fs->read_at(fs, file, 1, text, sizeof text, &got));
  assert_int_equal(got, 3);
  assert_memory_equal(text, "nd!", 3);
  assert_ok(fs->read_at(fs, file, 100, text, sizeof text, &got));
  assert_int_equal(got, 0);
  fs->close(fs, file);
  assert_ok(fs->remove(fs, at(disk, "a")));
  assert_false(fs->exists(fs, at(disk, "a")));
}

static void small_and_large_writes_keep_their_order(const Disk *disk, GwFileMode mode) {
  enum { SIZE = 5 << 20 };
  GwFs *fs = disk->fs;
  GwRng rng = gw_rng(seed, 7);
  unsigned char *bytes = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++) bytes[i] = (unsigned char)(i * 7 + i / 251);
  GwFile *file = NULL;
  uint64_t written;
  assert_ok(fs->open(fs, at(disk, "big"), mode, &file));
  for (size_t done = 0; done < SIZE;) {
    size_t part = gw_rng_below(&rng, gw_rng_below(&rng, 4) ? 60000 : 2500000);
    if (part > SIZE - done) part = SIZE - done;
    assert_ok(fs->write(fs, file, bytes + done, part));
    done += part;
    if (done - part < SIZE / 2 && done >= SIZE / 2) {
      assert_ok(fs->size(fs, file, &written));
      assert_int_equal(written, done);
    }
  }
  assert_ok(fs->sync_file(fs, file));
  fs->close(fs, file);
  char *back = NULL;
  size_t size = 0;
  assert_ok(gw_fs_read_all(fs, at(disk, "big"), SIZE, &back, &size));
  assert_int_equal(size, SIZE);
  assert_memory_equal(back, bytes, SIZE);
  assert_fails(GW_INVALID, "big", gw_fs_read_all(fs, at(disk, "big"), SIZE - 1, &back, &size));
  free(back);
  free(bytes);
  assert_ok(fs->remove(fs, at(disk, "big")));
}

static void absent_files_are_named(const Disk *disk) {
  GwFs *fs = disk->fs;
  GwFile *file = NULL;
  char *text = NULL;
  size_t size = 0;
  int calls = 0;
  assert_fails(GW_NOT_FOUND, "nothing", fs->open(fs, at(disk, "nothing"), GW_FILE_READ, &file));
  assert_fails(GW_NOT_FOUND, "no/x", fs->open(fs, at(disk, "no/x"), GW_FILE_CREATE, &file));
  assert_fails(GW_NOT_FOUND, "nothing", gw_fs_read_all(fs, at(disk, "nothing"), 9, &text, &size));
  assert_fails(GW_NOT_FOUND, "nothing", fs->remove(fs, at(disk, "nothing")));
  assert_fails(GW_NOT_FOUND, "nothing", fs->rename(fs, at(disk, "nothing"), at(disk, "b")));
  assert_fails(GW_NOT_FOUND, "nothing", fs->list(fs, at(disk, "nothing"), stop, &calls));
  assert_fails(GW_NOT_FOUND, "nothing", fs->sync_dir(fs, at(disk, "nothing")));
}

static void directories_are_made_listed_and_removed(const Disk *disk) {
  GwFs *fs = disk->fs;
  int calls = 0;
  assert_ok(gw_fs_make_dirs(fs, at(disk, "d/e//f/")));
  assert_ok(gw_fs_make_dirs(fs, at(disk, "d/e/f")));
  assert_fails(GW_EXISTS, "d/e", fs->make_dir(fs, at(disk, "d/e")));
  write_text(fs, at(disk, "d/b"), GW_FILE_CREATE, "b");
  write_text(fs, at(disk, "d/Z"), GW_FILE_CREATE, "Z");
  write_text(fs, at(disk, "d/.hidden"), GW_FILE_CREATE, "h");
  write_text(fs, at(disk, "d/e/f/deep"), GW_FILE_CREATE, "d");
  expect_names(fs, at(disk, "d"), ".hidden Z b e/");
  assert_fails(GW_INTERRUPTED, ".hidden", fs->list(fs, at(disk, "d"), stop, &calls));
  assert_int_equal(calls, 1);
  assert_fails(GW_INVALID, "d/b", gw_fs_make_dirs(fs, at(disk, "d/b")));
  assert_fails(GW_IO, "d/e", fs->remove(fs, at(disk, "d/e")));
  assert_fails(GW_IO, "d/e", fs->rename(fs, at(disk, "d/b"), at(disk, "d/e")));
  assert_ok(gw_fs_remove_tree(fs, at(disk, "d")));
  assert_ok(gw_fs_remove_tree(fs, at(disk, "d")));
  assert_false(fs->exists(fs, at(disk, "d")));
}

static void atomic_writes_replace_whole_files(const Disk *disk) {
  GwFs *fs = disk->fs;
  assert_ok(gw_fs_make_dirs(fs, at(disk, "w")));
  assert_ok(gw_fs_write_atomic(fs, at(disk, "w/x"), "one", 3));
  expect_text(fs, at(disk, "w/x"), "one");
  assert_ok(gw_fs_write_atomic(fs, at(disk, "w/x"), "", 0));
  expect_text(fs, at(disk, "w/x"), "");
  expect_names(fs, at(disk, "w"), "x");
  assert_ok(gw_fs_make_dirs(fs, at(disk, "w/dir/full")));
  assert_fails(GW_IO, "rename", gw_fs_write_atomic(fs, at(disk, "w/dir"), "x", 1));
  expect_names(fs, at(disk, "w"), "dir/ x");
  assert_ok(gw_fs_remove_tree(fs, at(disk, "w")));
}

static void check_contract(const Disk *disk) {
  files_hold_what_is_written(disk);
  small_and_large_writes_keep_their_order(disk, GW_FILE_CREATE);
  small_and_large_writes_keep_their_order(disk, GW_FILE_LARGE);
  absent_files_are_named(disk);
  directories_are_made_listed_and_removed(disk);
  atomic_writes_replace_whole_files(disk);
  expect_names(disk->fs, disk->root, "");
}

static void real_disk_keeps_the_contract(void **state) {
  (void)state;
  Disk disk = {.fs = gw_fs_disk()};
  snprintf(disk.root, sizeof disk.root, "%s", gw_test_folder("fs"));
  check_contract(&disk);
  assert_ok(gw_fs_remove_tree(disk.fs, disk.root));
}

static void memory_disk_keeps_the_contract(void **state) {
  (void)state;
  CrashFs *memory = gw_crash_fs_create();
  Disk disk = {.fs = gw_crash_fs(memory), .root = "/"};
  check_contract(&disk);
  gw_crash_fs_destroy(memory);
}

/* ---- the real disk ---- */

static void lost_writes_cannot_pass_a_sync(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  if (!fs->exists(fs, "/dev/full")) {
    print_message("skipped: there is no /dev/full\n");
    skip();
  }
  GwFile *file = NULL;
  char *big = calloc(1, 3 << 20);
  assert_ok(fs->open(fs, "/dev/full", GW_FILE_CREATE, &file));
  assert_ok(fs->write(fs, file, "a", 1)); /* in the buffer */
  assert_fails(GW_NO_SPACE, "/dev/full", fs->sync_file(fs, file));
  assert_fails(GW_NO_SPACE, "/dev/full", fs->sync_file(fs, file));
  assert_fails(GW_NO_SPACE, "/dev/full", fs->write(fs, file, "b", 1));
  fs->close(fs, file);
  assert_ok(fs->open(fs, "/dev/full", GW_FILE_CREATE, &file));
  assert_fails(GW_NO_SPACE, "free", fs->write(fs, file, big, 3 << 20));
  fs->close(fs, file);
  assert_ok(fs->open(fs, "/dev/full", GW_FILE_LARGE, &file)); /* which has no O_DIRECT */
  assert_fails(GW_NO_SPACE, "free", fs->write(fs, file, big, 3 << 20));
  fs->close(fs, file);
  assert_ok(fs->open(fs, "/dev/full", GW_FILE_APPEND, &file));
  assert_fails(GW_NO_SPACE, "/dev/full", fs->write(fs, file, "a", 1));
  fs->close(fs, file);
  free(big);
}

static void removal_does_not_follow_links(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  Disk disk = {.fs = fs};
  snprintf(disk.root, sizeof disk.root, "%s", gw_test_folder("fs-links"));
  assert_ok(gw_fs_make_dirs(fs, at(&disk, "kept")));
  assert_ok(gw_fs_make_dirs(fs, at(&disk, "gone")));
  write_text(fs, at(&disk, "kept/file"), GW_FILE_CREATE, "x");
  assert_int_equal(symlink("../kept", at(&disk, "gone/link")), 0);
  assert_ok(gw_fs_remove_tree(fs, at(&disk, "gone")));
  expect_text(fs, at(&disk, "kept/file"), "x");
  assert_ok(gw_fs_remove_tree(fs, disk.root));
}

static void maps_show_whole_files(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  Disk disk = {.fs = fs};
  snprintf(disk.root, sizeof disk.root, "%s", gw_test_folder("fs-map"));
  GwMap map = {0};
  write_text(fs, at(&disk, "m"), GW_FILE_CREATE, "mapped");
  assert_ok(gw_map_open(at(&disk, "m"), &map));
  assert_int_equal(map.size, 6);
  assert_memory_equal(map.data, "mapped", 6);
  gw_map_release(&map, 2, 3);
  assert_memory_equal(map.data, "mapped", 6);
  gw_map_close(&map);
  write_text(fs, at(&disk, "m"), GW_FILE_CREATE, "");
  assert_ok(gw_map_open(at(&disk, "m"), &map));
  assert_int_equal(map.size, 0);
  gw_map_close(&map);
  assert_fails(GW_NOT_FOUND, "absent", gw_map_open(at(&disk, "absent"), &map));
  assert_fails(GW_INVALID, disk.root, gw_map_open(disk.root, &map));
  assert_ok(gw_fs_remove_tree(fs, disk.root));
}

static void locks_keep_other_processes_out(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  Disk disk = {.fs = fs};
  snprintf(disk.root, sizeof disk.root, "%s", gw_test_folder("fs-lock"));
  const char *path = at(&disk, "lock");
  GwLock lock = {-1}, second = {-1};
  char owner[40];
  snprintf(owner, sizeof owner, "process %d;", (int)getpid());
  assert_ok(gw_lock_open(path, &lock));
  pid_t child = fork();
  if (child == 0) {
    GwStatus status = gw_lock_open(path, &second);
    _exit(status == GW_BUSY && strstr(gw_error_message(), owner) && strstr(gw_error_message(), path)
              ? 0
              : 1);
  }
  int result = -1;
  assert_int_equal(waitpid(child, &result, 0), child);
  assert_int_equal(result, 0);
  gw_lock_close(&lock);
  gw_lock_close(&lock);
  assert_ok(gw_lock_open(path, &second));
  gw_lock_close(&second);
  assert_fails(GW_NOT_FOUND, "no-folder", gw_lock_open(at(&disk, "no-folder/lock"), &lock));
  assert_ok(gw_fs_remove_tree(fs, disk.root));
}

static void long_paths_are_refused(void **state) {
  (void)state;
  char path[GW_PATH_MAX];
  char *name = calloc(1, GW_PATH_MAX);
  memset(name, 'n', GW_PATH_MAX - 3);
  assert_ok(gw_fs_path(path, "%s/a", name));
  assert_fails(GW_INVALID, "longer than", gw_fs_path(path, "%s/ab", name));
  free(name);
}

/* ---- the disk in memory ---- */

static void crash_disk_forgets_what_was_not_synced(void **state) {
  (void)state;
  CrashFs *memory = gw_crash_fs_create();
  GwFs *fs = gw_crash_fs(memory);
  GwRng rng = gw_rng(seed, 1);
  GwFile *file = NULL;
  write_text(fs, "synced-name", GW_FILE_CREATE, "bytes");
  assert_ok(fs->sync_dir(fs, "."));
  write_text(fs, "unsynced-name", GW_FILE_CREATE, "bytes");
  assert_ok(fs->open(fs, "synced-name", GW_FILE_APPEND, &file));
  assert_ok(fs->write(fs, file, " more", 5));
  fs->close(fs, file);
  gw_crash_fs_reboot(memory, GW_CRASH_DROP, &rng);
  expect_names(fs, ".", "synced-name");
  expect_text(fs, "synced-name", "bytes");

  assert_ok(fs->open(fs, "synced-name", GW_FILE_APPEND, &file));
  gw_crash_fs_lose_power_at(memory, 1);
  assert_ok(fs->write(fs, file, " more", 5));
  assert_fails(GW_IO, "power", fs->sync_file(fs, file));
  fs->close(fs, file);
  assert_fails(GW_IO, "power", fs->rename(fs, "synced-name", "b"));
  gw_crash_fs_reboot(memory, GW_CRASH_KEEP, &rng);
  expect_text(fs, "synced-name", "bytes more");
  gw_crash_fs_destroy(memory);
}

static void atomic_write_survives_power_loss_at_every_operation(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 2);
  for (int n = 0; n < 8; n++)
    for (int round = 0; round < 40; round++) {
      CrashFs *memory = gw_crash_fs_create();
      GwFs *fs = gw_crash_fs(memory);
      char *text = NULL;
      size_t size = 0;
      assert_ok(gw_fs_write_atomic(fs, "file", "old text", 8));
      gw_crash_fs_lose_power_at(memory, n);
      GwStatus status = gw_fs_write_atomic(fs, "file", "the new text", 12);
      gw_crash_fs_reboot(memory, (GwCrashMode)(round % GW_CRASH_MODES), &rng);
      assert_ok(gw_fs_read_all(fs, "file", 100, &text, &size));
      if (strcmp(text, "the new text") != 0) {
        assert_string_equal(text, "old text");
        assert_int_not_equal(status, GW_OK);
      }
      free(text);
      gw_crash_fs_destroy(memory);
    }
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(real_disk_keeps_the_contract),
      cmocka_unit_test(memory_disk_keeps_the_contract),
      cmocka_unit_test(lost_writes_cannot_pass_a_sync),
      cmocka_unit_test(removal_does_not_follow_links),
      cmocka_unit_test(maps_show_whole_files),
      cmocka_unit_test(locks_keep_other_processes_out),
      cmocka_unit_test(long_paths_are_refused),
      cmocka_unit_test(crash_disk_forgets_what_was_not_synced),
      cmocka_unit_test(atomic_write_survives_power_loss_at_every_operation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
