/* The journal's lines: who, where, what it said. One sentence that a person can act on. */
#include <stdarg.h>
#include <stdio.h>

#include "cluster/driver_parts.h"
#include "program/op.h"

typedef struct {
  char *text;
  int length;
} Line;

static void add(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(Line *line, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int n =
      vsnprintf(line->text + line->length, (size_t)(GW_DRIVER_TEXT - line->length), format, list);
  va_end(list);
  line->length += n;
  if (line->length >= GW_DRIVER_TEXT) line->length = GW_DRIVER_TEXT - 1;
}

static void add_said(Line *line, const GwEpoch *epoch, int32_t rank) {
  char text[GW_BOARD_TEXT];
  gw_board_hear(&epoch->board->row[rank], text);
  if (text[0]) add(line, "; it said: %s", text);
}

/* "host one", or with one machine "host 0" */
static void add_host(Line *line, const GwEpoch *epoch, int32_t host) {
  if (epoch->hosts)
    add(line, "host %s", gw_hosts_name(epoch->hosts, host));
  else
    add(line, "host %d", host);
}

/* "rank 2 on host one" */
static void add_rank(Line *line, const GwEpoch *epoch, const GwAction *action) {
  add(line, "rank %d on ", action->rank);
  add_host(line, epoch, action->host);
}

/* "step 12, op 3 (attention)", where a rank is. */
static void add_place(Line *line, const GwEpoch *epoch, int32_t rank) {
  const GwBoardRow *row = &epoch->board->row[rank];
  int32_t op = row->op, kind = row->kind;
  if (row->pid == 0) {
    add(line, "before its start was over");
    return;
  }
  add(line, "in step %lld", (long long)row->step);
  if (op >= 0 && kind >= 0 && kind < GW_OP_COUNT)
    add(line, ", op %d (%s)", op, gw_op_def((GwOpcode)kind)->name);
}

static void death(Line *line, const GwAction *action, const GwEpoch *epoch) {
  char how[GW_PROCESS_TEXT];
  gw_process_text(&epoch->processes[action->rank], how);
  add_rank(line, epoch, action);
  add(line, " %s ", how);
  add_place(line, epoch, action->rank);
  add_said(line, epoch, action->rank);
}

static void hang(Line *line, const GwAction *action, const GwEpoch *epoch, uint64_t now) {
  const GwSeen *seen = &epoch->seen[action->rank];
  char state = 0;
  uint64_t born;
  add_rank(line, epoch, action);
  add(line, " hangs ");
  add_place(line, epoch, action->rank);
  add(line, ": no progress for %.1f s", (double)(now - seen->progress_at) * 1e-9);
  if (epoch->hosts) return; /* its number means nothing here */
  if (gw_process_look(epoch->board->row[action->rank].pid, &state, &born) == GW_OK && state == 'T')
    add(line, ", it was stopped by a signal");
}

static void lie(Line *line, const GwAction *action, const GwEpoch *epoch) {
  add_rank(line, epoch, action);
  add(line, " computes wrongly, after step %lld", (long long)action->step);
  for (int32_t r = 0; r < epoch->ranks; r++) {
    if (epoch->board->row[r].accused != action->rank) continue;
    add(line, ", as rank %d found", r);
    add_said(line, epoch, r);
    return;
  }
}

static void slow_start(Line *line, const GwEpoch *epoch, uint64_t now) {
  int32_t ready = 0, missing = -1;
  for (int32_t r = epoch->ranks - 1; r >= 0; r--) {
    ready += epoch->seen[r].ready;
    if (!epoch->seen[r].ready) missing = r;
  }
  add(line, "%d of %d ranks were ready after %.1f s; rank %d was not", ready, epoch->ranks,
      (double)(now - epoch->started_at) * 1e-9, missing);
}

static void bad_copy(Line *line, const GwAction *action, const GwEpoch *epoch) {
  add(line, "the snapshot of step %lld cannot be restored", (long long)action->step);
  if (epoch->ranks == 0) add(line, ": nothing of it is in memory");
  for (int32_t r = 0; r < epoch->ranks; r++) {
    if (epoch->board->row[r].bad_copy < 0) continue;
    add(line, ", as rank %d found", r);
    add_said(line, epoch, r);
    return;
  }
}

static void fault(Line *line, const GwAction *action, const GwEpoch *epoch, uint64_t now,
                  const char *cause) {
  long long step = action->step;
  switch (action->fault) {
  case GW_FAULT_DEATH: death(line, action, epoch); break;
  case GW_FAULT_HANG: hang(line, action, epoch, now); break;
  case GW_FAULT_STUCK: add(line, "all ranks wait for each other after step %lld", step); break;
  case GW_FAULT_LIE: lie(line, action, epoch); break;
  case GW_FAULT_HOST:
    add_host(line, epoch, action->host);
    add(line, " was lost after step %lld", step);
    break;
  case GW_FAULT_LAUNCH: add(line, "the ranks could not be started: %s", cause); break;
  case GW_FAULT_SLOW_START: slow_start(line, epoch, now); break;
  case GW_FAULT_COPY: bad_copy(line, action, epoch); break;
  case GW_FAULT_GROW: add(line, "more hosts are there: the run goes on with more ranks"); break;
  case GW_FAULT_TAKEN_OVER:
    add(line, "a new supervisor takes over after epoch %llu", (unsigned long long)action->epoch);
    break;
  case GW_FAULT_NONE:
  case GW_FAULT_COUNT: break;
  }
}

void gw__driver_text(const GwAction *action, const GwEpoch *epoch, int32_t ranks, uint64_t now,
                     const char *cause, char out[GW_DRIVER_TEXT]) {
  static const char *const from[] = {"the start", "the checkpoint", "the snapshot"};
  static const char *const outcomes[] = {"nothing", "the last step is done", "ended, as was asked",
                                         "given up"};
  Line line = {out, 0};
  out[0] = 0;
  if (action->kind == GW_ACTION_REPORT)
    fault(&line, action, epoch, now, cause);
  else if (action->kind == GW_ACTION_LAUNCH)
    add(&line, "epoch %llu goes on from %s after step %lld, with %d ranks",
        (unsigned long long)action->epoch, from[action->from], (long long)action->step, ranks);
  else if (action->kind == GW_ACTION_WAIT)
    add(&line, "too few hosts: the run waits after step %lld", (long long)action->step);
  else if (action->kind == GW_ACTION_FINISH)
    add(&line, "%s after step %lld", outcomes[action->outcome], (long long)action->step);
}
