/* Snapshots: the writer killed at any moment, every byte of a header damaged, areas cut short and
 * areas of others; and the plain behaviour. All in areas of runs that only this process has. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash64.h"
#include "godwit/log.h"
#include "state/snapshot.h"

enum {
  SPANS = 4,
  WORDS = 30000, /* of a share, in 4 blocks */
  HEADER_BYTES = 88,
  HEADER_BYTES_SEALED = 80,
  PAYLOAD_AT = 4096,
  KILLS = 400
};

static uint64_t seed, run; /* tests may also have areas of run + 1 */

/* ---- a share ---- */

typedef struct {
  uint64_t words[WORDS];
  GwSpan spans[SPANS];
  GwSnapshotInfo info;
} Share;

/* Spans of odd sizes, one of them empty, which the blocks do not respect. */
static void share_init(Share *share, int32_t number, int32_t of) {
  memset(share, 0, sizeof *share);
  char *data = (char *)share->words;
  share->spans[0] = (GwSpan){data, 70001};
  share->spans[1] = (GwSpan){NULL, 0};
  share->spans[2] = (GwSpan){data + 70001, 100};
  share->spans[3] = (GwSpan){data + 70101, sizeof share->words - 70101};
  share->info = (GwSnapshotInfo){.run = run, .epoch = 1, .share = number, .shares = of};
  share->info.layout = gw_snapshot_layout(share->spans, SPANS);
}

/* The content is a function of the step and the share. */
static uint64_t word_of(const Share *share, int i) {
  return gw_mix64((uint64_t)share->info.step * 1000 + (uint64_t)share->info.share) + (uint64_t)i;
}

static void share_set(Share *share, int64_t step) {
  share->info.step = step;
  share->info.state_hash = gw_mix64((uint64_t)step);
  for (int i = 0; i < WORDS; i++) share->words[i] = word_of(share, i);
}

static bool share_is_right(const Share *share) {
  for (int i = 0; i < WORDS; i++)
    if (share->words[i] != word_of(share, i)) return false;
  return true;
}

static void put(GwSnapshotWriter *writer, Share *share, int64_t step) {
  share_set(share, step);
  gw_snapshot_put(writer, &share->info, share->spans, SPANS);
}

/* Gets what `share` names into memory that held something else. */
static GwStatus get(Share *share) {
  memset(share->words, 0xa5, sizeof share->words);
  return gw_snapshot_get(&share->info, share->spans, SPANS);
}

static GwStatus get_step(Share *share, int64_t step) {
  share_set(share, step);
  return get(share);
}

static void assert_got(Share *share, int64_t step) {
  assert_ok(get_step(share, step));
  assert_true(share_is_right(share));
}

/* ---- what is there ---- */

typedef struct {
  GwSnapshotInfo infos[8];
  int count;
} Found;

static GwStatus note(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  Found *found = context;
  assert_true(found->count < 8);
  assert_int_equal(bytes, sizeof((Share *)0)->words);
  found->infos[found->count++] = *info;
  return GW_OK;
}

static Found find_of(uint64_t of_run) {
  Found found = {0};
  assert_ok(gw_snapshot_find(of_run, note, &found));
  return found;
}

static Found find(void) { return find_of(run); }

/* The steps found, in order, as a number: 3 and 12 make 312. */
static int64_t steps_found(void) {
  Found found = find();
  int64_t all = 0;
  for (int64_t step = 0; step < 100; step++) {
    bool held = false;
    for (int i = 0; i < found.count; i++) {
      if (found.infos[i].step != step) continue;
      all = all * (step < 10 ? 10 : 100) + step;
      held = true;
    }
    assert_int_equal(gw_snapshot_held(run, step), held);
  }
  return all;
}

static void name_of(char out[GW_SHARED_NAME_MAX], uint64_t of_run, const char *rest) {
  snprintf(out, GW_SHARED_NAME_MAX, "godwit-%016llx-snap-%s", (unsigned long long)of_run, rest);
}

static GwShared open_area(const char *rest) {
  char name[GW_SHARED_NAME_MAX];
  GwShared area;
  name_of(name, run, rest);
  assert_ok(gw_shared_open(name, &area));
  return area;
}

static GwStatus count_area(void *context, const char *name) {
  (void)name;
  ++*(int *)context;
  return GW_OK;
}

static int areas_of(uint64_t of_run) {
  char prefix[GW_SHARED_NAME_MAX];
  int count = 0;
  name_of(prefix, of_run, "");
  assert_ok(gw_shared_list(prefix, count_area, &count));
  return count;
}

static int begin(void **state) {
  static Share share;
  share_init(&share, 3, 8);
  *state = &share;
  return gw_snapshot_remove_all(run) != GW_OK;
}

static int end(void **state) {
  (void)state;
  gw_log_configure(GW_LOG_ERROR, false);
  GwStatus status = gw_snapshot_remove_all(run);
  if (status == GW_OK) status = gw_snapshot_remove_all(run + 1);
  return status != GW_OK || areas_of(run) != 0 || areas_of(run + 1) != 0;
}

static GwSnapshotWriter writer_of(const Share *share, int32_t copy) {
  GwSnapshotWriter writer;
  assert_ok(gw_snapshot_writer_create(run, share->info.share, share->info.shares, copy,
                                      sizeof share->words, &writer));
  return writer;
}

/* ---- plain behaviour ---- */

static void what_was_put_is_got(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  assert_int_equal(find().count, 0);
  assert_fails(GW_NOT_FOUND, "no snapshot of step 5, share 3 of 8", get_step(share, 5));
  put(&writer, share, 5);
  GwSnapshotInfo info = share->info;
  gw_snapshot_writer_destroy(&writer);
  gw_snapshot_writer_destroy(&writer);
  Found found = find();
  assert_int_equal(found.count, 1);
  assert_memory_equal(&found.infos[0], &info, sizeof info);
  assert_got(share, 5);
  assert_fails(GW_NOT_FOUND, "step 6", get_step(share, 6));
  share_set(share, 5);
  share->info.state_hash++;
  assert_fails(GW_NOT_FOUND, "step 5", get(share));
}

static void spans_may_be_joined(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 1);
  GwSpan whole = {share->words, sizeof share->words};
  share_set(share, 5);
  gw_snapshot_put(&writer, &share->info, &whole, 1);
  assert_got(share, 5);
  gw_snapshot_writer_destroy(&writer);
}

static void a_share_may_be_empty(void **state) {
  (void)state;
  GwSnapshotWriter writer;
  GwSnapshotInfo info = {.run = run, .share = 1, .shares = 2, .step = 7};
  assert_ok(gw_snapshot_writer_create(run, 1, 2, 0, 0, &writer));
  assert_fails(GW_NOT_FOUND, "step 7", gw_snapshot_get(&info, NULL, 0));
  gw_snapshot_put(&writer, &info, NULL, 0);
  assert_ok(gw_snapshot_get(&info, NULL, 0));
  gw_snapshot_writer_destroy(&writer);
}

/* The last two are there at every moment, also over the lives of writers. */
static void the_newest_is_never_overwritten(void **state) {
  Share *share = *state;
  for (int64_t step = 1; step <= 9; step++) {
    GwSnapshotWriter writer = writer_of(share, 0);
    put(&writer, share, step);
    assert_int_equal(steps_found(), step == 1 ? 1 : (step - 1) * 10 + step);
    gw_snapshot_writer_destroy(&writer);
  }
  assert_int_equal(areas_of(run), 2);
  GwSnapshotWriter writer = writer_of(share, 0);
  share->info.epoch = 2;
  put(&writer, share, 9); /* the same step once more: the older one goes all the same */
  assert_int_equal(steps_found(), 99);
  assert_got(share, 9);
  share->info.epoch = 1;
  assert_got(share, 9);
  share->info.epoch = 3;
  put(&writer, share, 9); /* of one step the older epoch goes */
  assert_got(share, 9);
  share->info.epoch = 2;
  assert_got(share, 9);
  gw_snapshot_writer_destroy(&writer);
}

static void steps_that_the_run_went_back_over_go_first(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 4);
  put(&writer, share, 6);
  gw_snapshot_cut(&writer, 6);
  assert_int_equal(steps_found(), 46);
  gw_snapshot_cut(&writer, 4);
  assert_int_equal(steps_found(), 4);
  put(&writer, share, 8); /* not in place of step 4 */
  assert_int_equal(steps_found(), 48);
  put(&writer, share, 5); /* cuts, too */
  assert_int_equal(steps_found(), 45);
  gw_snapshot_cut(&writer, 3);
  assert_int_equal(find().count, 0);
  gw_snapshot_writer_destroy(&writer);
}

static void either_copy_is_enough(void **state) {
  Share *share = *state;
  GwSnapshotWriter own = writer_of(share, 0), partner = writer_of(share, 1);
  put(&own, share, 5);
  put(&partner, share, 5);
  assert_int_equal(find().count, 2);
  ((char *)own.slot[0].data)[PAYLOAD_AT + 100] ^= 1;
  assert_got(share, 5);
  ((char *)partner.slot[0].data)[20] ^= 1;
  assert_fails(GW_CORRUPT, "damaged", get_step(share, 5));
  ((char *)own.slot[0].data)[PAYLOAD_AT + 100] ^= 1;
  assert_got(share, 5);
  gw_snapshot_writer_destroy(&own);
  gw_snapshot_writer_destroy(&partner);
}

/* A share goes to another node: what arrives as it was sent is as good, all else is nothing. */
static void copies_are_received(void **state) {
  Share *share = *state;
  share_init(share, 2, 3);
  GwSnapshotWriter own = writer_of(share, 0), partner = writer_of(share, 1);
  GwSnapshotCard card;
  void *payload;
  for (int64_t step = 5; step <= 6; step++) {
    put(&own, share, step);
    gw_snapshot_card(&own, &card, &payload);
    assert_true(card.info.step == step && card.bytes == sizeof share->words);
    memcpy(gw_snapshot_receive(&partner), payload, card.bytes);
    assert_ok(gw_snapshot_accept(&partner, &card));
  }
  gw_snapshot_cut(&own, 0); /* from here on only the copy counts */
  assert_got(share, 5);
  assert_got(share, 6);
  char *there = gw_snapshot_receive(&partner); /* in place of 5 */
  memcpy(there, payload, card.bytes);
  there[sizeof share->words - 1] ^= 1;
  assert_int_equal(gw_snapshot_accept(&partner, &card), GW_CORRUPT);
  assert_int_equal(get_step(share, 5), GW_NOT_FOUND);
  assert_got(share, 6);
  gw_snapshot_writer_destroy(&own);
  gw_snapshot_writer_destroy(&partner);
}

static void partners_are_elsewhere(void **state) {
  (void)state;
  for (int32_t slots = 1; slots <= 4; slots++)
    for (int32_t ranks = 1; ranks <= 17; ranks++) {
      int32_t host_of[17];
      for (int32_t r = 0; r < ranks; r++) host_of[r] = r / slots;
      for (int32_t r = 0; r < ranks; r++) {
        int32_t partner = gw_snapshot_partner(host_of, ranks, slots, r);
        assert_true(partner >= 0 && partner < ranks);
        if (ranks > slots) assert_int_not_equal(host_of[partner], host_of[r]);
      }
    }
}

static void another_layout_is_refused(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  gw_snapshot_writer_destroy(&writer);
  share->spans[2].bytes--;
  assert_fails(GW_MISMATCH, "other tensors or other shares", get_step(share, 5));
  share->spans[3].bytes++;
  assert_true(share->info.layout != gw_snapshot_layout(share->spans, SPANS));
  share->info.layout = gw_snapshot_layout(share->spans, SPANS);
  assert_fails(GW_MISMATCH, "other tensors or other shares", get_step(share, 5));
  assert_true(gw_snapshot_layout(share->spans, 3) != gw_snapshot_layout(share->spans, 2));
  assert_true(gw_snapshot_layout(share->spans, 1) != gw_snapshot_layout(share->spans, 2));
}

static void slots_of_another_size_are_made_anew(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0), larger;
  put(&writer, share, 5);
  gw_snapshot_writer_destroy(&writer);
  assert_ok(gw_snapshot_writer_create(run, 3, 8, 0, sizeof share->words + 1, &larger));
  assert_int_equal(find().count, 0);
  put(&larger, share, 6); /* it need not be filled */
  assert_got(share, 6);
  gw_snapshot_writer_destroy(&larger);
}

static void a_small_memory_is_an_error(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer;
  assert_fails(GW_MEMORY, "MiB of shared memory",
               gw_snapshot_writer_create(run, 3, 8, 0, (size_t)1 << 42, &writer));
  assert_int_equal(areas_of(run), 0);
  writer = writer_of(share, 0);
  gw_snapshot_writer_destroy(&writer);
}

/* As ranks leave them that end before their first snapshot, in their first, and after it. */
static void what_is_empty_can_be_removed(void **state) {
  Share *share = *state;
  GwShared bare;
  char name[GW_SHARED_NAME_MAX];
  GwSnapshotWriter writer = writer_of(share, 0);
  name_of(name, run, "0of8-0-0");
  assert_ok(gw_shared_create(name, 100, &bare));
  gw_shared_close(&bare);
  assert_int_equal(areas_of(run), 3);
  assert_ok(gw_snapshot_remove_empty(run));
  assert_int_equal(areas_of(run), 0);
  gw_snapshot_writer_destroy(&writer);
  writer = writer_of(share, 0);
  put(&writer, share, 7);
  assert_ok(gw_snapshot_remove_empty(run));
  assert_int_equal(areas_of(run), 1);
  assert_int_equal(steps_found(), 7);
  gw_snapshot_writer_destroy(&writer);
  writer = writer_of(share, 0); /* goes on with what it finds */
  put(&writer, share, 8);
  assert_int_equal(steps_found(), 78);
  gw_snapshot_writer_destroy(&writer);
}

static void removing_leaves_nothing(void **state) {
  Share *share = *state;
  GwShared other;
  char name[GW_SHARED_NAME_MAX];
  for (int32_t shares = 4; shares <= 6; shares++)
    for (int32_t copy = 0; copy < 2; copy++) {
      share_init(share, 3, shares);
      GwSnapshotWriter writer = writer_of(share, copy);
      put(&writer, share, shares);
      gw_snapshot_writer_destroy(&writer);
    }
  name_of(name, run, "0of0-0-0"); /* nobody's */
  assert_ok(gw_shared_create(name, 100, &other));
  gw_shared_close(&other);
  name_of(name, run + 1, "3of5-0-0");
  assert_ok(gw_shared_create(name, 100, &other));
  gw_shared_close(&other);
  assert_int_equal(areas_of(run), 13);
  assert_ok(gw_snapshot_remove_others(run, 5));
  assert_int_equal(areas_of(run), 4);
  assert_int_equal(steps_found(), 55);
  assert_ok(gw_snapshot_remove_all(run));
  assert_int_equal(areas_of(run), 0);
  assert_int_equal(areas_of(run + 1), 1);
  assert_ok(gw_snapshot_remove_all(run + 1));
  assert_int_equal(areas_of(run + 1), 0);
}

/* ---- damage ---- */

static void damaged_headers_are_refused(void **state) {
  Share *share = *state;
  GwRng rng = gw_rng(seed, 1);
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  unsigned char *header = writer.slot[0].data;
  for (int i = 0; i < HEADER_BYTES; i++) {
    unsigned char change = (unsigned char)(1 + gw_rng_below(&rng, 255));
    header[i] ^= change;
    assert_int_equal(find().count, 0);
    assert_fails(GW_CORRUPT, "damaged", get_step(share, 5));
    header[i] ^= change;
  }
  assert_int_equal(find().count, 1);
  assert_got(share, 5);
  gw_snapshot_writer_destroy(&writer);
}

static void damaged_content_is_refused(void **state) {
  Share *share = *state;
  GwRng rng = gw_rng(seed, 2);
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  unsigned char *payload = (unsigned char *)writer.slot[0].data + PAYLOAD_AT;
  for (size_t at = 0; at < sizeof share->words; at += 1 + gw_rng_below(&rng, 1000)) {
    unsigned char change = (unsigned char)(1 + gw_rng_below(&rng, 255));
    payload[at] ^= change;
    assert_fails(GW_CORRUPT, "damaged content", get_step(share, 5));
    payload[at] ^= change;
  }
  assert_got(share, 5);
  /* blocks that changed places */
  memcpy(share->words, payload, GW_HASH_BLOCK);
  memmove(payload, payload + GW_HASH_BLOCK, GW_HASH_BLOCK);
  memcpy(payload + GW_HASH_BLOCK, share->words, GW_HASH_BLOCK);
  assert_fails(GW_CORRUPT, "damaged content", get_step(share, 5));
  gw_snapshot_writer_destroy(&writer);
}

static void areas_cut_short_are_refused(void **state) {
  Share *share = *state;
  GwRng rng = gw_rng(seed, 3);
  char path[GW_SHARED_NAME_MAX + 16] = "/dev/shm/";
  name_of(path + strlen(path), run, "3of8-0-0");
  for (int i = 0; i < 200; i++) {
    const size_t full = PAYLOAD_AT + sizeof share->words;
    GwSnapshotWriter writer = writer_of(share, 0); /* a slot of another size is made anew */
    assert_int_equal(writer.slot[0].bytes, full);
    put(&writer, share, 5);
    gw_snapshot_writer_destroy(&writer);
    size_t bytes = i < 150 ? gw_rng_below(&rng, full) : (size_t)i - 150 + full - 50;
    if (i < 50) bytes = gw_rng_below(&rng, PAYLOAD_AT + 10);
    if (i < 2) bytes = i ? PAYLOAD_AT : 0;
    assert_int_equal(truncate(path, (off_t)bytes), 0);
    assert_int_equal(find().count, 0);
    assert_fails(GW_CORRUPT, i ? "cut short" : "empty", get_step(share, 5));
  }
}

static void what_is_not_sealed_is_not_there(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  memset((char *)writer.slot[0].data + HEADER_BYTES_SEALED, 0, sizeof(uint64_t));
  assert_int_equal(find().count, 0);
  assert_fails(GW_NOT_FOUND, "step 5", get_step(share, 5));
  gw_snapshot_writer_destroy(&writer);
}

static void copy_area(uint64_t to_run, const char *rest, const GwShared *from) {
  char name[GW_SHARED_NAME_MAX];
  GwShared to;
  name_of(name, to_run, rest);
  assert_ok(gw_shared_create(name, from->bytes, &to));
  memcpy(to.data, from->data, from->bytes);
  gw_shared_close(&to);
}

/* Whole snapshots under names that are not theirs. */
static void areas_of_others_are_refused(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  gw_snapshot_writer_destroy(&writer);
  GwShared area = open_area("3of8-0-0");
  assert_ok(gw_snapshot_remove_all(run));
  copy_area(run, "2of8-0-0", &area);
  copy_area(run, "3of7-0-0", &area);
  copy_area(run + 1, "3of8-0-0", &area);
  copy_area(run, "03of8-0-0", &area);
  copy_area(run, "3of8-0-0-", &area);
  copy_area(run, "3of8-2-0", &area);
  gw_shared_close(&area);
  assert_int_equal(find_of(run + 1).count, 0);
  share->info.run = run + 1;
  assert_fails(GW_CORRUPT, "another's name", get_step(share, 5));
  assert_int_equal(find().count, 0);
  share->info.run = run;
  assert_fails(GW_NOT_FOUND, "step 5", get_step(share, 5));
  share->info.shares = 7;
  assert_fails(GW_CORRUPT, "another's name", get_step(share, 5));
  share->info = (GwSnapshotInfo){.run = run, .share = 2, .shares = 8, .epoch = 1};
  assert_fails(GW_CORRUPT, "another's name", get_step(share, 5));
}

/* A header of another version, sealed as this one seals. */
static void other_versions_are_refused(void **state) {
  Share *share = *state;
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  unsigned char *header = writer.slot[0].data;
  header[8]++;
  uint64_t seal = gw_hash_bytes(header, HEADER_BYTES_SEALED, 0);
  memcpy(header + HEADER_BYTES_SEALED, &seal, sizeof seal);
  assert_fails(GW_CORRUPT, "another version", get_step(share, 5));
  header[8]--;
  seal = gw_hash_bytes(header, HEADER_BYTES_SEALED, 0);
  memcpy(header + HEADER_BYTES_SEALED, &seal, sizeof seal);
  assert_got(share, 5);
  gw_snapshot_writer_destroy(&writer);
}

static void the_log_says_why(void **state) {
  Share *share = *state;
  char path[600], text[2000];
  GwSnapshotWriter writer = writer_of(share, 0);
  put(&writer, share, 5);
  ((char *)writer.slot[0].data)[20] ^= 1;
  gw_snapshot_writer_destroy(&writer);
  snprintf(path, sizeof path, "%s/log", gw_test_folder("snapshot"));
  int file = open(path, O_RDWR | O_CREAT, 0600), stderr_was = dup(STDERR_FILENO);
  assert_true(file >= 0 && stderr_was >= 0);
  gw_log_configure(GW_LOG_INFO, false);
  dup2(file, STDERR_FILENO);
  int count = find().count;
  dup2(stderr_was, STDERR_FILENO);
  gw_log_configure(GW_LOG_ERROR, false);
  assert_int_equal(count, 0);
  ssize_t length = pread(file, text, sizeof text - 1, 0);
  assert_true(length > 0);
  text[length] = 0;
  assert_non_null(strstr(text, "-snap-3of8-0-0 has a damaged header; not used\n"));
  assert_non_null(strstr(text, "-snap-3of8-0-1 is not whole: its writer has not finished it"));
  close(file);
  close(stderr_was);
}

/* ---- death ---- */

/* What the writer has done, in memory that it shares with the test. */
typedef struct {
  _Atomic int64_t done; /* step of the last snapshot that is whole */
} Progress;

static _Noreturn void write_until_killed(Share *share, Progress *progress, int64_t step) {
  GwSnapshotWriter writer;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test ends before */
  if (gw_snapshot_writer_create(run, 3, 8, 0, sizeof share->words, &writer) != GW_OK) _exit(1);
  for (;; step++) {
    put(&writer, share, step);
    atomic_store(&progress->done, step);
  }
}

/* Kills a writer within `most_us` after its first snapshot. */
static void kill_one(Share *share, Progress *progress, int64_t done, GwRng *rng, int most_us) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) write_until_killed(share, progress, done + 1);
  while (atomic_load(&progress->done) == done) {
    int status;
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
  }
  struct timespec pause = {0, 1000 * (long)gw_rng_below(rng, (uint64_t)most_us)};
  nanosleep(&pause, NULL);
  kill(child, SIGKILL);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* All that is found is got and right; the newest is the last that the writer finished, or the one
 * after. One of the two slots may be torn. Returns how many are found. */
static int check_found(Share *share, int64_t done) {
  Found found = find();
  int64_t newest = 0;
  for (int i = 0; i < found.count; i++) {
    int64_t step = found.infos[i].step;
    assert_got(share, step);
    if (step > newest) newest = step;
  }
  assert_true(newest == done || newest == done + 1);
  return found.count;
}

static void a_killed_writer_leaves_a_whole_one(void **state) {
  Share *share = *state;
  GwRng rng = gw_rng(seed, 4);
  Progress *progress =
      mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(progress != MAP_FAILED);
  int torn = 0;
  for (int i = 0; i < KILLS; i++) {
    int64_t done = atomic_load(&progress->done);
    kill_one(share, progress, done, &rng, 1000);
    torn += check_found(share, atomic_load(&progress->done)) < 2;
  }
  print_message("%d of %d writers died in a snapshot, after %lld of them\n", torn, KILLS,
                (long long)atomic_load(&progress->done));
  assert_true(torn > KILLS / 20);
  munmap(progress, sizeof *progress);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 22);
  run = gw_mix64(seed + ((uint64_t)getpid() << 32)) & ~UINT64_C(1);
  gw_log_configure(GW_LOG_ERROR, false);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
  const struct CMUnitTest tests[] = {
      TEST(what_was_put_is_got),
      TEST(spans_may_be_joined),
      TEST(a_share_may_be_empty),
      TEST(the_newest_is_never_overwritten),
      TEST(steps_that_the_run_went_back_over_go_first),
      TEST(either_copy_is_enough),
      TEST(copies_are_received),
      TEST(partners_are_elsewhere),
      TEST(another_layout_is_refused),
      TEST(slots_of_another_size_are_made_anew),
      TEST(a_small_memory_is_an_error),
      TEST(removing_leaves_nothing),
      TEST(what_is_empty_can_be_removed),
      TEST(damaged_headers_are_refused),
      TEST(damaged_content_is_refused),
      TEST(areas_cut_short_are_refused),
      TEST(what_is_not_sealed_is_not_there),
      TEST(areas_of_others_are_refused),
      TEST(other_versions_are_refused),
      TEST(the_log_says_why),
      TEST(a_killed_writer_leaves_a_whole_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
