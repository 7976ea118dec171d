/* The board is made whole before any rank starts; from then on all is done with single atomic words
 * in their strongest order, which at these rates costs nothing. */
#include "comm/board.h"

#include <string.h>
#include <unistd.h>

#include "os/process.h"

static const uint64_t magic = 0x3164726f62746477; /* "wdtbord1" */

static size_t board_bytes(int32_t ranks) {
  return sizeof(GwBoard) + (size_t)ranks * sizeof(GwBoardRow);
}

/* Fills in an area of zeros. */
static void begin(const GwShared *area, uint64_t epoch, int32_t ranks) {
  GwBoard *board = area->data;
  board->epoch = epoch;
  board->ranks = board->end = ranks;
  board->known = INT64_MAX;
  board->restored = board->committed = board->checkpoint = -1;
  for (int32_t r = 0; r < ranks; r++) {
    board->row[r].op = board->row[r].accused = -1;
    board->row[r].bad_copy = -1;
    board->row[r].snapshot = -1;
  }
  __atomic_store_n(&board->magic, magic, __ATOMIC_SEQ_CST);
}

GwStatus gw_board_create(const char *name, uint64_t epoch, int32_t ranks, GwShared *shared,
                         GwBoard **out) {
  GwShared area;
  GW_ASSERT(ranks >= 1);
  GW_TRY(gw_shared_create(name, board_bytes(ranks), &area));
  GwStatus status = gw_shared_reserve(&area, name, 0, area.bytes);
  if (status != GW_OK) {
    gw_shared_close(&area);
    gw_shared_remove(name);
    return status;
  }
  begin(&area, epoch, ranks);
  *shared = area;
  *out = area.data;
  return GW_OK;
}

GwStatus gw_board_create_private(uint64_t epoch, int32_t ranks, GwShared *shared, GwBoard **out) {
  GW_TRY(gw_shared_private(board_bytes(ranks), shared));
  begin(shared, epoch, ranks);
  *out = shared->data;
  return GW_OK;
}

GwStatus gw_board_look(const char *name, GwShared *shared, GwBoard **out) {
  GwShared area;
  GW_TRY(gw_shared_open(name, &area));
  GwBoard *board = area.data;
  if (area.bytes < sizeof *board || __atomic_load_n(&board->magic, __ATOMIC_SEQ_CST) != magic ||
      board->ranks < 1 || area.bytes != board_bytes(board->ranks)) {
    gw_shared_close(&area);
    return gw_fail(GW_CORRUPT, "%s: not the board of a supervisor", name);
  }
  *shared = area;
  *out = board;
  return GW_OK;
}

static GwStatus check(const GwBoard *board, const char *name, uint64_t epoch, int32_t ranks) {
  if (board->epoch != epoch)
    return gw_fail(GW_MISMATCH, "%s: the supervisor is in epoch %llu, and this rank of epoch %llu",
                   name, (unsigned long long)board->epoch, (unsigned long long)epoch);
  if (board->ranks != ranks)
    return gw_fail(GW_MISMATCH, "%s: the supervisor has %d ranks, and this is one of %d", name,
                   board->ranks, ranks);
  return GW_OK;
}

GwStatus gw_board_open(const char *name, uint64_t epoch, int32_t rank, int32_t ranks,
                       GwShared *shared, GwBoard **out) {
  GwShared area;
  GwBoard *board;
  char state;
  uint64_t born;
  GW_ASSERT(rank >= 0 && rank < ranks);
  GW_TRY(gw_process_look(getpid(), &state, &born));
  GW_TRY(gw_board_look(name, &area, &board));
  GwStatus status = check(board, name, epoch, ranks);
  if (status == GW_OK) {
    board->row[rank].born = born;
    board->row[rank].pid = getpid();
    /* Either this rank sees the fence, or whoever fenced sees its pid. */
    if (board->fenced) status = gw_fail(GW_MISMATCH, "%s: this rank's epoch is over", name);
  }
  if (status == GW_OK) {
    *shared = area;
    *out = board;
  } else {
    gw_shared_close(&area);
  }
  return status;
}

void gw_board_fence(GwBoard *board) { board->fenced = 1; }

void gw_board_tell(GwBoard *board, _Atomic int64_t *counter, int64_t step) {
  *counter = step;
  board->bell++;
  gw_shared_wake(&board->bell);
}

enum { NOTHING, SAID, BEING_SAID };

void gw_board_say(GwBoardRow *row, const char *text) {
  uint32_t nothing = NOTHING;
  if (!atomic_compare_exchange_strong(&row->said, &nothing, BEING_SAID)) return;
  size_t length = strnlen(text, GW_BOARD_TEXT - 1);
  while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) length--; /* whole letters */
  for (size_t i = 0; i < length; i++) row->text[i] = text[i] == '\n' ? ' ' : text[i];
  row->text[length] = 0;
  row->said = SAID;
}

void gw_board_hear(const GwBoardRow *row, char out[GW_BOARD_TEXT]) {
  size_t length = row->said == SAID ? strnlen(row->text, GW_BOARD_TEXT - 1) : 0;
  memcpy(out, row->text, length);
  out[length] = 0;
}
