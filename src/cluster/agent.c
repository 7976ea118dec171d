/* The agent of a host: the supervisor's hands and eyes there. It keeps the board of the epoch for
 * the ranks of this host, tells what changes on it, and kills them. When the supervisor is heard no
 * more nothing of the run stays but its snapshots. */
#include "cluster/agent_lines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/driver_parts.h"
#include "cluster/job.h"
#include "godwit/cluster.h"
#include "os/clock.h"
#include "os/lines.h"
#include "state/snapshot.h"

static const uint64_t silence_ns = UINT64_C(30000000000);

/* What the supervisor knows of a rank of this host. */
typedef struct {
  GwRowLine row;
  bool said, exited;
} Told;

typedef struct {
  const GwAgentOptions *options;
  char boards[GW_SHARED_NAME_MAX];
  GwLines in;
  GwEpoch epoch; /* its ranks are those that may come; most of them on other hosts */
  Told *told;    /* [ranks] */
  GwHeadLine head;
  GwShared report;
  char report_name[GW_SHARED_NAME_MAX];
  bool fenced, reported, forget, quit;
  uint64_t now, heard_at, beat_at;
} Agent;

static void say(Agent *a, GwStatus status) {
  if (status != GW_OK) a->quit = true;
}
#define SAY(agent, ...) say(agent, gw_line_write(STDOUT_FILENO, __VA_ARGS__))

/* ---- orders ---- */

static void drop_epoch(Agent *a) {
  gw__epoch_end(&a->epoch);
  free(a->epoch.processes);
  free(a->epoch.seen);
  free(a->told);
  a->epoch = (GwEpoch){0};
  a->told = NULL;
  gw_shared_close(&a->report);
  if (a->report_name[0]) gw_shared_remove(a->report_name);
}

static GwStatus begin_epoch(Agent *a, uint64_t number, int32_t ranks, int32_t first, int32_t end) {
  GwEpoch *epoch = &a->epoch;
  size_t count = (size_t)ranks;
  gw_job_clear(a->options->job);
  a->told = calloc(count, sizeof *a->told);
  epoch->seen = calloc(count, sizeof *epoch->seen);
  epoch->processes = calloc(count + 1, sizeof *epoch->processes);
  if (!a->told || !epoch->seen || !epoch->processes)
    return gw_fail(GW_MEMORY, "no memory for %d ranks", ranks);
  snprintf(epoch->name, sizeof epoch->name, "%.150s%" PRIu64, a->boards, number);
  GW_TRY(gw_board_create(epoch->name, number, ranks, &epoch->shared, &epoch->board));
  epoch->board->known = -1;
  epoch->board->first = first;
  epoch->board->end = end;
  epoch->epoch = number;
  epoch->ranks = ranks;
  gw_job_report(a->options->job, a->report_name);
  return gw_shared_create(a->report_name, sizeof(GwTrainReport), &a->report);
}

static void on_epoch(Agent *a, uint64_t number, int32_t ranks, int32_t first, int32_t end) {
  gw__epoch_kill(&a->epoch); /* there is none, if the supervisor is sane */
  drop_epoch(a);
  a->fenced = a->reported = false;
  a->head = (GwHeadLine){-1, -1, -1};
  if (begin_epoch(a, number, ranks, first, end) == GW_OK) {
    SAY(a, "board %" PRIu64, number);
  } else {
    SAY(a, "failed %s", gw_error_message());
    drop_epoch(a);
  }
}

static void on_order(Agent *a, const char *line) {
  uint64_t number;
  int64_t step;
  int32_t ranks, first, end;
  a->heard_at = a->now;
  if (sscanf(line, "epoch %" SCNu64 " %" SCNd32 " %" SCNd32 " %" SCNd32, &number, &ranks, &first,
             &end) == 4 &&
      ranks > 0) {
    on_epoch(a, number, ranks, first, end);
  } else if (strcmp(line, "end") == 0) {
    if (a->epoch.ranks > 0) a->epoch.board->end_asked = 1;
  } else if (sscanf(line, "known %" SCNd64, &step) == 1) {
    if (a->epoch.ranks > 0) a->epoch.board->known = step;
  } else if (strcmp(line, "fence") == 0) {
    gw__epoch_kill(&a->epoch);
    a->fenced = true;
  } else if (strcmp(line, "forget") == 0) {
    a->forget = true;
  }
}

static void listen(Agent *a) {
  if (gw_lines_read(&a->in) != GW_OK) a->quit = true;
  for (char *line; (line = gw_lines_next(&a->in));) on_order(a, line);
  if (a->in.ended || a->now > a->heard_at + silence_ns) a->quit = true;
}

/* ---- reports ---- */

static void tell_row(Agent *a, int32_t rank) {
  const GwBoardRow *row = &a->epoch.board->row[rank];
  Told *told = &a->told[rank];
  char text[GW_BOARD_TEXT];
  GwRowLine now;
  memset(&now, 0, sizeof now);
  now.rank = rank;
  now.pid = row->pid;
  now.progress = row->progress;
  now.state = row->state;
  now.waiting = gw__epoch_waits(&a->epoch, rank);
  now.op = row->op;
  now.kind = row->kind;
  now.accused = row->accused;
  now.step = row->step;
  now.snapshot = row->snapshot;
  now.bad_copy = row->bad_copy;
  if (row->said && !told->said) {
    gw_board_hear(row, text);
    told->said = text[0] != 0;
    if (told->said) SAY(a, "said %" PRId32 " %s", rank, text);
  }
  if (memcmp(&now, &told->row, sizeof now) == 0) return;
  told->row = now;
  SAY(a, GW_ROW_FORMAT, now.rank, now.pid, now.state, now.waiting, now.op, now.kind, now.step,
      now.progress, now.snapshot, now.bad_copy, now.accused);
}

static void tell_head(Agent *a) {
  const GwBoard *board = a->epoch.board;
  GwHeadLine now = {board->restored, board->committed, board->checkpoint};
  if (memcmp(&now, &a->head, sizeof now) == 0) return;
  a->head = now;
  SAY(a, GW_HEAD_FORMAT, now.restored, now.committed, now.checkpoint);
}

static void tell_report(Agent *a) {
  const unsigned char *bytes = a->report.data;
  char text[2 * sizeof(GwTrainReport) + 1];
  if (a->reported || a->epoch.board->row[0].state != GW_RANK_ENDED) return;
  for (size_t i = 0; i < sizeof(GwTrainReport); i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  a->reported = true;
  SAY(a, "report %s", text);
}

static void tell_exits(Agent *a) {
  for (int32_t r = 0; r < a->epoch.ranks; r++) {
    const GwProcess *process = &a->epoch.processes[r];
    if (!process->ended || a->told[r].exited) continue;
    a->told[r].exited = true;
    SAY(a, "exit %" PRId32 " %d", r, process->code);
  }
}

/* Ranks of other hosts have no process here, and no row. */
static void tell_epoch(Agent *a) {
  GwEpoch *epoch = &a->epoch;
  if (epoch->ranks > 0) {
    for (int32_t r = 0; r < epoch->ranks; r++)
      if (epoch->board->row[r].pid != 0) tell_row(a, r);
    tell_head(a);
    tell_report(a);
    tell_exits(a);
  }
  if (a->fenced && !gw__epoch_runs(epoch)) {
    SAY(a, "stopped %" PRIu64, epoch->epoch);
    drop_epoch(a);
    a->fenced = false;
  }
}

static void run_round(Agent *a) {
  size_t count = (size_t)a->epoch.ranks;
  if (gw_process_wait(a->epoch.processes, count, a->in.descriptor, GW_AGENT_ROUND_NS) != GW_OK)
    a->quit = true;
  a->now = gw_clock_ns();
  listen(a);
  gw__epoch_adopt(&a->epoch);
  tell_epoch(a);
  if (a->now < a->beat_at) return;
  a->beat_at = a->now + GW_AGENT_BEAT_NS;
  SAY(a, "still here");
}

/* ---- beginning and end ---- */

static GwStatus tell_found(void *context, const GwSnapshotInfo *info, uint64_t bytes) {
  (void)bytes;
  SAY((Agent *)context, "found %" PRId64 " %" PRId32 " %" PRId32, info->step, info->share,
      info->shares);
  return GW_OK;
}

static GwStatus greet(Agent *a) {
  uint64_t build;
  gw_job_boards(a->options->job, a->boards);
  GW_TRY(gw_job_build(&build));
  GW_TRY(gw__epochs_clear(a->boards, gw_supervisor_defaults().stop_ns));
  gw_job_clear(a->options->job);
  if (a->options->fresh) GW_TRY(gw_snapshot_remove_all(a->options->snapshots));
  SAY(a, "godwit-agent %016" PRIx64, build);
  GW_TRY(gw_snapshot_find(a->options->snapshots, tell_found, a));
  SAY(a, "ready");
  return GW_OK;
}

static void leave(Agent *a) {
  uint64_t until = gw_clock_ns() + gw_supervisor_defaults().stop_ns;
  gw__epoch_kill(&a->epoch);
  while (gw__epoch_runs(&a->epoch) && gw_clock_ns() < until)
    if (gw__epoch_wait(&a->epoch, until - gw_clock_ns()) != GW_OK) break;
  drop_epoch(a);
  gw_job_clear(a->options->job);
  (void)(a->forget ? gw_snapshot_remove_all : gw_snapshot_remove_empty)(a->options->snapshots);
  gw_lines_deinit(&a->in);
}

GwStatus gw_cluster_agent(const GwAgentOptions *options) {
  Agent a = {.options = options, .in = {.descriptor = STDIN_FILENO}};
  signal(SIGPIPE, SIG_IGN); /* a supervisor that is gone is seen when we write to it */
  a.now = a.heard_at = gw_clock_ns();
  GwStatus status = greet(&a);
  if (status != GW_OK) SAY(&a, "failed %s", gw_error_message());
  while (status == GW_OK && !a.quit) run_round(&a);
  leave(&a);
  return status;
}
