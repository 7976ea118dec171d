/* The processes of an epoch and its board, from start to end; and those that a supervisor which was
 * killed has left. */
#include <stdio.h>
#include <string.h>

#include "cluster/driver_parts.h"
#include "os/clock.h"

/* ---- start ---- */

static GwStatus name_of(char out[GW_SHARED_NAME_MAX], const char *prefix, uint64_t epoch) {
  int length = snprintf(out, GW_SHARED_NAME_MAX, "%s%llu", prefix, (unsigned long long)epoch);
  if (length >= GW_SHARED_NAME_MAX)
    return gw_fail(GW_INVALID, "the name of the board is too long: %s", prefix);
  return GW_OK;
}

static GwStatus start_one(GwEpoch *epoch, const GwDriverOptions *options,
                          const GwDriverHooks *hooks, const GwLaunch *launch, int32_t rank) {
  GwArgv argv = {0};
  GwProcess *process = rank < 0 ? gw__epoch_launcher(epoch) : &epoch->processes[rank];
  GwStatus status = hooks->command(hooks->self, launch, rank, &argv);
  if (status == GW_OK) status = gw_process_start(argv.items, options->output, process);
  gw_argv_clear(&argv);
  return status;
}

GwStatus gw__epoch_start(GwEpoch *epoch, const GwDriverOptions *options, const GwDriverHooks *hooks,
                         const GwLaunch *launch) {
  GwLaunch full = *launch;
  const GwPlacement *placement = launch->placement;
  int32_t ranks = placement->rank_count;
  GW_ASSERT(epoch->ranks == 0);
  GW_TRY(name_of(epoch->name, options->prefix, launch->epoch));
  GW_TRY(epoch->hosts
             ? gw_board_create_private(launch->epoch, ranks, &epoch->shared, &epoch->board)
             : gw_board_create(epoch->name, launch->epoch, ranks, &epoch->shared, &epoch->board));
  epoch->epoch = launch->epoch;
  epoch->ranks = ranks;
  epoch->all_ready = epoch->restored_told = epoch->recovered_told = false;
  epoch->started_at = gw_clock_ns();
  epoch->launcher_ended_at = 0;
  memset(epoch->processes, 0, ((size_t)ranks + 1) * sizeof *epoch->processes);
  for (int32_t r = 0; r < ranks; r++) epoch->seen[r] = (GwSeen){.progress_at = epoch->started_at};
  full.board = epoch->name;
  if (epoch->hosts)
    GW_TRY(gw_hosts_begin(epoch->hosts, launch->epoch, placement, epoch->board, epoch->processes));
  if (options->kind == GW_LAUNCH_LAUNCHER) return start_one(epoch, options, hooks, &full, -1);
  for (int32_t r = 0; r < ranks; r++) GW_TRY(start_one(epoch, options, hooks, &full, r));
  return GW_OK;
}

void gw__epoch_adopt(GwEpoch *epoch) {
  if (epoch->hosts) return;
  for (int32_t r = 0; r < epoch->ranks; r++) {
    const GwBoardRow *row = &epoch->board->row[r];
    GwProcess *process = &epoch->processes[r];
    int32_t pid = row->pid;
    if (process->pid != 0 || pid <= 0) continue;
    if (gw_process_adopt(pid, row->born, process) != GW_OK) /* it came and went */
      *process = (GwProcess){.pid = pid, .ended = true, .code = -1};
  }
}

void gw__epoch_know(GwEpoch *epoch, int64_t step) {
  if (epoch->hosts) gw_hosts_know(epoch->hosts, step);
}

bool gw__epoch_waits(const GwEpoch *epoch, int32_t rank) {
  const GwBoardRow *row = &epoch->board->row[rank];
  char state;
  uint64_t born;
  if (!row->waiting || epoch->hosts) return row->waiting; /* the agents have looked */
  return !(gw_process_look(row->pid, &state, &born) == GW_OK && state == 'T');
}

uint64_t gw__epoch_silence(const GwEpoch *epoch, int32_t host) {
  return epoch->hosts ? gw_hosts_silence(epoch->hosts, host) : 0;
}

/* ---- stop ---- */

void gw__epoch_kill(GwEpoch *epoch) {
  if (epoch->ranks == 0) return;
  gw_board_fence(epoch->board);
  if (epoch->hosts) gw_hosts_fence(epoch->hosts);
  gw__epoch_adopt(epoch);
  for (int32_t i = 0; i <= epoch->ranks; i++) gw_process_kill(&epoch->processes[i]);
}

bool gw__epoch_is_busy(const GwEpoch *epoch) {
  for (int32_t i = 0; epoch->ranks > 0 && i <= epoch->ranks; i++)
    if (gw_process_runs(&epoch->processes[i])) return true;
  return false;
}

bool gw__epoch_runs(const GwEpoch *epoch) {
  return gw__epoch_is_busy(epoch) ||
         (epoch->ranks > 0 && epoch->hosts && gw_hosts_run(epoch->hosts));
}

void gw__epoch_ask_end(GwEpoch *epoch) {
  if (epoch->ranks == 0) return;
  epoch->board->end_asked = 1;
  if (epoch->hosts) gw_hosts_ask_end(epoch->hosts);
}

GwStatus gw__epoch_wait(GwEpoch *epoch, uint64_t timeout_ns) {
  size_t count = epoch->ranks > 0 ? (size_t)epoch->ranks + 1 : 0;
  int also = epoch->hosts ? gw_hosts_descriptor(epoch->hosts) : -1;
  GW_TRY(gw_process_wait(epoch->processes, count, also, timeout_ns));
  if (epoch->hosts) gw_hosts_listen(epoch->hosts);
  return GW_OK;
}

void gw__epoch_end(GwEpoch *epoch) {
  if (epoch->ranks == 0) return;
  gw_shared_close(&epoch->shared);
  if (!epoch->hosts) gw_shared_remove(epoch->name);
  epoch->board = NULL;
  epoch->ranks = 0;
}

/* ---- what an earlier supervisor has left ---- */

typedef struct {
  const char *prefix;
  uint64_t until;
} Clearing;

static GwStatus stop_process(const GwBoardRow *row, uint64_t until) {
  GwProcess process;
  int32_t pid = row->pid;
  if (pid <= 0 || gw_process_adopt(pid, row->born, &process) != GW_OK) return GW_OK;
  gw_process_kill(&process);
  while (!process.ended) {
    uint64_t now = gw_clock_ns();
    if (now >= until)
      return gw_fail(GW_BUSY, "process %d, a rank of an earlier epoch, does not die; end it", pid);
    GW_TRY(gw_process_wait(&process, 1, -1, until - now));
  }
  return GW_OK;
}

static GwStatus clear_board(void *context, const char *name) {
  const Clearing *clearing = context;
  const char *number = name + strlen(clearing->prefix);
  GwShared shared = {0};
  GwBoard *board;
  GwStatus status = GW_OK;
  if (number[0] == 0 || number[strspn(number, "0123456789")] != 0) return GW_OK; /* not a board */
  if (gw_board_look(name, &shared, &board) == GW_OK) {
    gw_board_fence(board);
    for (int32_t r = 0; r < board->ranks && status == GW_OK; r++)
      status = stop_process(&board->row[r], clearing->until);
  }
  gw_shared_close(&shared);
  if (status == GW_OK) gw_shared_remove(name);
  return status;
}

GwStatus gw__epochs_clear(const char *prefix, uint64_t timeout_ns) {
  Clearing clearing = {prefix, gw_clock_ns() + timeout_ns};
  return gw_shared_list(prefix, clear_board, &clearing);
}
