/* The board: who may write on it, and what arrives. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/board.h"
#include "os/clock.h"
#include "os/process.h"

static char name[64];
static GwShared ours, theirs;
static GwBoard *board, *seen;

static int set_up(void **state) {
  (void)state;
  assert_ok(gw_board_create(name, 7, 3, &ours, &board));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  gw_shared_close(&ours);
  gw_shared_close(&theirs);
  gw_shared_remove(name);
  return 0;
}

static void a_rank_is_known_once_it_has_opened(void **state) {
  (void)state;
  char letter;
  uint64_t born;
  assert_int_equal(board->row[1].pid, 0);
  assert_true(board->committed == -1 && board->row[2].bad_copy == -1);
  assert_true(board->row[2].op == -1 && board->row[2].accused == -1);
  assert_true(board->first == 0 && board->end == 3);
  assert_ok(gw_board_open(name, 7, 1, 3, &theirs, &seen));
  assert_int_equal(board->row[1].pid, getpid());
  assert_ok(gw_process_look(getpid(), &letter, &born));
  assert_true(board->row[1].born == born);
  seen->row[1].step = 12;
  assert_true(board->row[1].step == 12);
}

static void strangers_stay_out(void **state) {
  (void)state;
  GwShared other;
  assert_fails(GW_MISMATCH, "epoch 7", gw_board_open(name, 6, 1, 3, &theirs, &seen));
  assert_fails(GW_MISMATCH, "3 ranks", gw_board_open(name, 7, 1, 4, &theirs, &seen));
  assert_int_equal(board->row[1].pid, 0);
  gw_board_fence(board);
  assert_fails(GW_MISMATCH, "over", gw_board_open(name, 7, 1, 3, &theirs, &seen));
  gw_shared_remove(name);
  assert_int_equal(gw_board_open(name, 7, 1, 3, &theirs, &seen), GW_NOT_FOUND);
  assert_ok(gw_shared_create(name, 100, &other));
  assert_fails(GW_CORRUPT, name, gw_board_look(name, &theirs, &seen));
  gw_shared_close(&other);
}

static void what_was_said_first_stays(void **state) {
  (void)state;
  char text[GW_BOARD_TEXT], longest[2 * GW_BOARD_TEXT];
  gw_board_hear(&board->row[0], text);
  assert_string_equal(text, "");
  gw_board_say(&board->row[0], "no space\nleft");
  gw_board_say(&board->row[0], "and then this");
  gw_board_hear(&board->row[0], text);
  assert_string_equal(text, "no space left");
  memset(longest, 'x', sizeof longest);
  memcpy(&longest[GW_BOARD_TEXT - 2], "\xc3\xa4", 2); /* a letter of two bytes at the edge */
  longest[sizeof longest - 1] = 0;
  gw_board_say(&board->row[1], longest);
  gw_board_hear(&board->row[1], text);
  assert_int_equal(strlen(text), GW_BOARD_TEXT - 2);
}

static void the_bell_wakes(void **state) {
  (void)state;
  uint32_t before = board->bell;
  pid_t child = fork();
  if (child == 0) {
    usleep(50000);
    gw_board_tell(board, &board->committed, 41);
    _exit(0);
  }
  uint64_t start = gw_clock_ns();
  while (board->bell == before) gw_shared_wait(&board->bell, before, UINT64_C(20000000000));
  assert_true(gw_clock_ns() - start < UINT64_C(10000000000));
  assert_true(board->committed == 41);
  waitpid(child, NULL, 0);
}

int main(void) {
  snprintf(name, sizeof name, "gwtest-board-%d", (int)getpid());
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_rank_is_known_once_it_has_opened, set_up, tear_down),
      cmocka_unit_test_setup_teardown(strangers_stay_out, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_was_said_first_stays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_bell_wakes, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
