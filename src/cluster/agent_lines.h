/* What a supervisor and its agents, one on every host, tell each other: lines of words.
 *
 * To the agent:
 *   epoch E RANKS FIRST END
 *                    make a board: ranks of this epoch may come; [FIRST, END) belong on this host
 *   end              ask the ranks for the end
 *   known STEP       the snapshot of this step has been heard of
 *   fence            the epoch is over: its ranks are killed
 *   still here       twice a second; an agent that hears nothing for long fences by itself, and
 *                    ends, as it does when the connection ends
 *   forget           the run is done: its snapshots go
 *
 * From the agent:
 *   godwit-agent BUILD         it is there; its program's hash
 *   found STEP SHARE SHARES    a snapshot that the host holds
 *   ready                      that was all: from now on it takes orders
 *   board E                    the board is there
 *   failed TEXT                or not
 *   row R PID STATE WAITING OP KIND STEP PROGRESS SNAPSHOT BAD_COPY ACCUSED     a row has changed
 *   said R TEXT                why rank R ends
 *   head RESTORED COMMITTED CHECKPOINT      rank 0 has told something
 *   report HEX                 what rank 0 has left, before the next line
 *   exit R CODE                the process of rank R has ended; -1: nobody knows how
 *   stopped E                  after a fence: no process is left, and none can come
 *   still here                 twice a second
 *
 * Anything else is ignored: shells greet. */
#ifndef GW_AGENT_LINES_H
#define GW_AGENT_LINES_H

#include <inttypes.h>

#include "comm/board.h"

enum { GW_AGENT_BEAT_NS = 500000000, GW_AGENT_ROUND_NS = 10000000 };

/* What a row says. */
typedef struct {
  int32_t rank, pid, state, waiting, op, kind, accused;
  int64_t step, progress, snapshot, bad_copy;
} GwRowLine;

#define GW_ROW_FORMAT                                                                              \
  "row %" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRId64           \
  " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId32
#define GW_ROW_FIELDS 11

typedef struct {
  int64_t restored, committed, checkpoint;
} GwHeadLine;
#define GW_HEAD_FORMAT "head %" PRId64 " %" PRId64 " %" PRId64

#endif
