/* Token shards: what was written reads back, in llm.c's layout; damage is named; nothing that looks
 * whole is left by an aborted writer. */
#include "corpus_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash64.h"
#include "data/shard.h"

static uint64_t seed;
static const char *folder; /* of the latest write_shard */

static const char *write_shard(const char *name, int token_bytes, size_t count, int32_t *tokens,
                               uint64_t *hash) {
  folder = gw_test_folder("shard");
  const char *path = gw_test_path(folder, name);
  GwRng rng = gw_rng(seed, count);
  uint64_t bound = token_bytes == 2 ? 65536 : INT32_MAX, written = 0;
  for (size_t i = 0; i < count; i++) tokens[i] = (int32_t)gw_rng_below(&rng, bound);
  GwShardWriter *writer = NULL;
  assert_ok(gw_shard_writer_open(gw_fs_disk(), path, token_bytes, &writer));
  for (size_t at = 0, some; at < count; at += some) {
    some = 1 + (size_t)gw_rng_below(&rng, count - at);
    assert_ok(gw_shard_writer_add(writer, tokens + at, some));
  }
  assert_int_equal(gw_shard_writer_tokens(writer), count);
  assert_ok(gw_shard_writer_finish(writer, &written, hash));
  assert_int_equal(written, count);
  return path;
}

static void reads_back(int token_bytes, size_t count) {
  int32_t *tokens = malloc((count + 1) * sizeof *tokens),
          *back = malloc((count + 1) * sizeof *back);
  uint64_t hash = 0;
  const char *path = write_shard("a.bin", token_bytes, count, tokens, &hash);
  GwShard shard = {0};
  assert_ok(gw_shard_open(path, &shard));
  assert_int_equal(shard.tokens, count);
  assert_int_equal(shard.token_bytes, token_bytes);
  assert_int_equal(gw_shard_hash(&shard), hash);
  gw_shard_read(&shard, 0, count, back);
  assert_memory_equal(tokens, back, count * sizeof *tokens);
  size_t middle = count / 2;
  gw_shard_read(&shard, middle, count - middle, back);
  assert_memory_equal(tokens + middle, back, (count - middle) * sizeof *tokens);
  gw_shard_close(&shard);
  GwFs *fs = gw_fs_disk();
  assert_ok(fs->remove(fs, path));
  assert_ok(fs->remove(fs, folder)); /* works on an empty folder only */
  free(tokens);
  free(back);
}

static void what_was_written_reads_back(void **state) {
  (void)state;
  const size_t counts[] = {0, 1, 1000, 523776, 524288, 1200001}; /* around the writer's buffer */
  for (size_t i = 0; i < GW_COUNT_OF(counts); i++) {
    reads_back(2, counts[i]);
    reads_back(4, counts[i] / 2);
  }
}

static void header_is_that_of_llm_c(void **state) {
  (void)state;
  int32_t tokens[3], header[3];
  uint64_t hash;
  size_t size;
  char *data = gw_test_read(write_shard("a.bin", 2, 3, tokens, &hash), &size);
  memcpy(header, data, sizeof header);
  assert_int_equal(size, 1024 + 2 * 3);
  assert_int_equal(header[0], 20240520);
  assert_int_equal(header[1], 1);
  assert_int_equal(header[2], 3);
  uint16_t first;
  memcpy(&first, data + 1024, 2);
  assert_int_equal(first, tokens[0]);
  assert_int_equal(hash, gw_hash_blocks(data, size, 0, 0));
  free(data);
  data = gw_test_read(write_shard("a.bin", 4, 3, tokens, &hash), &size);
  memcpy(header, data, sizeof header);
  assert_int_equal(header[0], 20240801);
  assert_int_equal(header[1], 7);
  free(data);
}

static void damage_is_named(void **state) {
  (void)state;
  int32_t tokens[50];
  uint64_t hash;
  size_t size;
  const char *path = write_shard("a.bin", 2, 50, tokens, &hash);
  uint8_t *data = (uint8_t *)gw_test_read(path, &size);
  GwShard shard;
  assert_fails(GW_CORRUPT, "x.bin: its header says 50 tokens",
               gw_shard_parse("x.bin", data, size - 1, &shard));
  assert_fails(GW_CORRUPT, "x.bin: its header says 50 tokens",
               gw_shard_parse("x.bin", data, size + 1, &shard));
  assert_fails(GW_CORRUPT, "too few", gw_shard_parse("x.bin", data, 1023, &shard));
  assert_fails(GW_CORRUPT, "too few", gw_shard_parse("x.bin", data, 0, &shard));
  data[4] = 9;
  assert_fails(GW_CORRUPT, "version 9", gw_shard_parse("x.bin", data, size, &shard));
  data[0] ^= 1;
  assert_fails(GW_CORRUPT, "magic number", gw_shard_parse("x.bin", data, size, &shard));
  gw_test_write(path, data, size);
  assert_fails(GW_CORRUPT, "a.bin", gw_shard_open(path, &shard));
  assert_fails(GW_NOT_FOUND, "none.bin", gw_shard_open(gw_test_path(folder, "none.bin"), &shard));
  free(data);
}

static void every_changed_byte_changes_the_hash(void **state) {
  (void)state;
  int32_t tokens[200];
  uint64_t hash;
  size_t size;
  uint8_t *data = (uint8_t *)gw_test_read(write_shard("a.bin", 2, 200, tokens, &hash), &size);
  for (size_t i = 0; i < size; i++) {
    GwShard shard;
    data[i] ^= 0x10;
    if (gw_shard_parse("x", data, size, &shard) == GW_OK)
      assert_int_not_equal(gw_shard_hash(&shard), hash);
    data[i] ^= 0x10;
  }
  free(data);
}

static void an_aborted_writer_leaves_nothing(void **state) {
  (void)state;
  folder = gw_test_folder("abort");
  GwShardWriter *writer = NULL;
  int32_t tokens[10] = {0};
  assert_ok(gw_shard_writer_open(gw_fs_disk(), gw_test_path(folder, "a.bin"), 2, &writer));
  assert_ok(gw_shard_writer_add(writer, tokens, 10));
  gw_shard_writer_abort(writer);
  GwFs *fs = gw_fs_disk();
  assert_ok(fs->remove(fs, folder)); /* works on an empty folder only */
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_written_reads_back),
      cmocka_unit_test(header_is_that_of_llm_c),
      cmocka_unit_test(damage_is_named),
      cmocka_unit_test(every_changed_byte_changes_the_hash),
      cmocka_unit_test(an_aborted_writer_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
