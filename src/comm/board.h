/* The board: what ranks and their supervisor tell each other, in the shared memory of a node.
 * Counters and words only: a rank writes its own row, the supervisor reads all, nobody waits. */
#ifndef GW_BOARD_H
#define GW_BOARD_H

#include <stdatomic.h>

#include "os/shared.h"

typedef enum { GW_RANK_STARTING, GW_RANK_READY, GW_RANK_ENDED } GwRankState;

enum { GW_BOARD_TEXT = 240 };

/* A rank's row, a page of its own. */
typedef struct {
  _Alignas(4096) _Atomic int32_t pid; /* 0: not there yet */
  _Atomic int32_t state;              /* GwRankState */
  _Atomic int32_t waiting;            /* 1: for other ranks */
  _Atomic int32_t op;       /* number in its program of the op under way; -1: between them */
  _Atomic int32_t kind;     /* of that op: a GwOpcode */
  _Atomic int64_t step;     /* under way */
  _Atomic int64_t progress; /* grows with everything that is done */
  _Atomic int64_t snapshot; /* the newest step of which it keeps its share; -1: none */
  _Atomic int64_t bad_copy; /* the snapshot of this step was to be restored, and cannot; -1: none */
  _Atomic uint64_t born;    /* gw_process_look: is `pid` still this rank? */
  _Atomic int32_t accused;  /* a rank that computed wrongly, found by this one; -1: none */
  _Atomic uint32_t said;    /* 1: text holds why this rank ends */
  char text[GW_BOARD_TEXT];
} GwBoardRow;

typedef struct {
  _Alignas(4096) uint64_t magic;
  uint64_t epoch;
  int32_t ranks;
  int32_t first, end;        /* ranks [first, end) belong on this machine; gw_board_create: all */
  _Atomic int32_t end_asked; /* by the supervisor: checkpoint and exit */
  _Atomic int32_t fenced;    /* likewise: this epoch is over, nothing of it counts any more */
  /* By the supervisor: the newest snapshot that it has heard of. Ranks take no further one before
   * that, as it would replace the one that a restart would use. INT64_MAX: it looks here itself. */
  _Atomic int64_t known;
  _Atomic int64_t restored;   /* the step whose state the ranks go on from; -1: not known yet */
  _Atomic int64_t committed;  /* steps; -1 before any. Rank 0 writes these three */
  _Atomic int64_t checkpoint; /* the newest on disk; -1: none */
  _Atomic uint32_t bell;      /* changes with every change of the three, and is woken */
  GwBoardRow row[];           /* [ranks] */
} GwBoard;

/* By the supervisor, before the ranks start. */
GwStatus gw_board_create(const char *name, uint64_t epoch, int32_t ranks, GwShared *shared,
                         GwBoard **out);
/* One that only this process has, to copy what the boards of several nodes say. */
GwStatus gw_board_create_private(uint64_t epoch, int32_t ranks, GwShared *shared, GwBoard **out);
/* By a rank: GW_NOT_FOUND without a supervisor; GW_MISMATCH when it is of another epoch or number
 * of ranks, or its epoch is over. Fills in the rank's pid. */
GwStatus gw_board_open(const char *name, uint64_t epoch, int32_t rank, int32_t ranks,
                       GwShared *shared, GwBoard **out);
/* By anybody, of whatever epoch: GW_CORRUPT when it is no board, or was not made to its end. */
GwStatus gw_board_look(const char *name, GwShared *shared, GwBoard **out);
/* By the supervisor. From now on gw_board_open fails: every rank that counts has its pid here. */
void gw_board_fence(GwBoard *board);
/* Rank 0: one of the three counters is now `step`; rings the bell. */
void gw_board_tell(GwBoard *board, _Atomic int64_t *counter, int64_t step);
/* Why this rank ends, for the journal: cut to fit, on one line. What was said first stays. */
void gw_board_say(GwBoardRow *row, const char *text);
/* What it said; "" when it said nothing. */
void gw_board_hear(const GwBoardRow *row, char out[GW_BOARD_TEXT]);

#endif
