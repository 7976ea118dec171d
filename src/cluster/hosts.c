/* One connection per host. A host is down, has been called, has answered and tells what it holds,
 * or is up. */
#include "cluster/hosts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/grow.h"
#include "cluster/agent_lines.h"
#include "cluster/job.h"
#include "godwit/log.h"
#include "os/clock.h"
#include "os/fs.h"
#include "os/lines.h"
#include "os/os_error.h"

#define SECOND UINT64_C(1000000000)
static const uint64_t answer_ns = 30 * SECOND, silence_ns = 10 * SECOND, retry_ns = 5 * SECOND;

enum { COMPLAINT = 400 };

typedef enum { DOWN, CALLED, ANSWERED, UP } State;

typedef struct {
  State state;
  bool lost; /* it was up once, and that it is not was told */
  GwProcess process;
  GwLines lines;
  uint64_t heard_at, retry_at;
  uint64_t board;      /* the epoch of the board that it has; 0: none */
  bool runs;           /* since a board was asked for, until it says that nothing is left */
  char why[COMPLAINT]; /* it is not up */
} Host;

struct GwHosts {
  GwHostsOptions options;
  Host *host; /* [count] */
  int32_t count;
  int poll;
  uint64_t build, beat_at;
  GwEvent *events;
  size_t event_count, event_taken, event_capacity;
  /* of the epoch */
  uint64_t epoch;
  const GwPlacement *placement;
  GwBoard *board;
  GwProcess *processes;
  char complaint[COMPLAINT];
  bool has_report;
  GwTrainReport report;
};

/* ---- the list ---- */

static bool is_name(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!isalnum((unsigned char)text[i]) && !strchr("._-@", text[i])) return false;
  return length > 0 && text[0] != '-';
}

/* "name" or "name:slots"; slots 0: not said. */
static GwStatus add_host(GwHostList *list, const char *word) {
  size_t length = strcspn(word, ":");
  int32_t slots = 0;
  char rest = 0;
  bool good = is_name(word, length);
  if (word[length]) good = good && sscanf(word + length, ":%9d%c", &slots, &rest) == 1 && slots > 0;
  if (!good) return gw_fail(GW_USAGE, "--hosts: '%s' is not NAME or NAME:RANKS", word);
  if (list->count > 0 && slots != list->slots)
    return gw_fail(GW_USAGE, "--hosts: all hosts must take the same number of ranks");
  for (int32_t i = 0; i < list->count; i++)
    if (strlen(list->names[i]) == length && strncmp(list->names[i], word, length) == 0)
      return gw_fail(GW_USAGE, "--hosts: %s is there twice", list->names[i]);
  list->slots = slots;
  list->names[list->count] = strndup(word, length);
  return list->names[list->count++] ? GW_OK : gw_fail(GW_MEMORY, "no memory for the hosts");
}

GwStatus gw_host_list_parse(const char *text, int32_t ranks, GwHostList *out) {
  char *copy = strdup(text), *rest = NULL;
  size_t most = 1;
  for (const char *c = text; *c; c++) most += *c == ',';
  *out = (GwHostList){.names = calloc(most, sizeof *out->names)};
  GwStatus status = copy && out->names ? GW_OK : gw_fail(GW_MEMORY, "no memory for the hosts");
  for (char *word = copy ? strtok_r(copy, ",", &rest) : NULL; word && status == GW_OK;
       word = strtok_r(NULL, ",", &rest))
    status = add_host(out, word);
  if (status == GW_OK && out->count == 0) status = gw_fail(GW_USAGE, "--hosts: names no host");
  if (status == GW_OK && out->slots == 0) out->slots = (ranks + out->count - 1) / out->count;
  if (status == GW_OK && (int64_t)out->slots * out->count < ranks)
    status = gw_fail(GW_USAGE, "--hosts: %d hosts with %d ranks each do not take %d", out->count,
                     out->slots, ranks);
  free(copy);
  if (status != GW_OK) gw_host_list_deinit(out);
  return status;
}

void gw_host_list_deinit(GwHostList *list) {
  for (int32_t i = 0; i < list->count; i++) free(list->names[i]);
  free(list->names);
  *list = (GwHostList){0};
}

/* ---- events ---- */

static void push(GwHosts *h, GwEvent event) {
  if (h->event_taken == h->event_count) h->event_taken = h->event_count = 0;
  if (GW_GROW(h->events, h->event_capacity, h->event_count + 1))
    h->events[h->event_count++] = event;
}

bool gw_hosts_event(GwHosts *h, GwEvent *out) {
  if (h->event_taken == h->event_count) return false;
  *out = h->events[h->event_taken++];
  return true;
}

const char *gw_hosts_name(const GwHosts *h, int32_t i) { return h->options.list->names[i]; }

/* ---- connections ---- */

/* This very machine needs no shell. */
static bool is_here(const char *name) {
  char mine[256] = "";
  (void)gethostname(mine, sizeof mine - 1);
  return strcmp(name, "localhost") == 0 || strcmp(name, mine) == 0;
}

/* Quoted as for a shell, where it has to be: ssh hands its words to one. */
static GwStatus add_word(GwArgv *out, const char *word) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "_./=:,@%+-";
  if (word[strspn(word, plain)] == 0) return gw_argv_add(out, "%s", word);
  if (strchr(word, '\'')) return gw_fail(GW_USAGE, "a quote in a path: %s", word);
  return gw_argv_add(out, "'%s'", word);
}

static GwStatus add_command(const GwHosts *h, int32_t i, GwArgv *out) {
  const GwHostsOptions *o = &h->options;
  char program[GW_PATH_MAX];
  GW_TRY(gw_process_program(program, sizeof program));
  if (is_here(gw_hosts_name(h, i))) {
    GW_TRY(gw_argv_add(out, "%s", program));
  } else {
    GwArgvKey key = {"{host}", gw_hosts_name(h, i)};
    GW_TRY(gw_argv_add_words(out, o->shell, &key, 1));
    GW_TRY(add_word(out, program));
  }
  GW_TRY(gw_argv_add(out, "agent"));
  GW_TRY(gw_argv_add(out, "--job=%s", o->job));
  GW_TRY(gw_argv_add(out, "--snapshots=%" PRIu64, o->snapshots));
  return o->fresh ? gw_argv_add(out, "--fresh") : GW_OK;
}

static GwStatus call(GwHosts *h, int32_t i) {
  Host *host = &h->host[i];
  GwArgv argv = {0};
  GwProcess process = {0};
  int talk;
  GwStatus status = add_command(h, i, &argv);
  if (status == GW_OK) status = gw_process_start_talking(argv.items, NULL, &process, &talk);
  gw_argv_clear(&argv);
  GW_TRY(status);
  *host = (Host){.state = CALLED, .lost = host->lost, .process = process};
  host->lines = (GwLines){.descriptor = talk};
  host->heard_at = gw_clock_ns();
  struct epoll_event wanted = {.events = EPOLLIN};
  if (epoll_ctl(h->poll, EPOLL_CTL_ADD, talk, &wanted) != 0)
    return gw__os_fail(errno, gw_hosts_name(h, i), "watch the connection");
  return GW_OK;
}

static void hang_up(GwHosts *h, int32_t i) {
  Host *host = &h->host[i];
  if (host->state == DOWN) return;
  close(host->lines.descriptor); /* leaves the epoll set too */
  gw_lines_deinit(&host->lines);
  host->state = DOWN;
  host->runs = false;
  host->board = 0;
  host->retry_at = gw_clock_ns() + retry_ns;
}

static void reap(GwHosts *h, int32_t i, uint64_t timeout_ns) {
  GwProcess *process = &h->host[i].process;
  if (gw_process_runs(process)) (void)gw_process_wait(process, 1, -1, timeout_ns);
  if (!gw_process_runs(process)) return;
  gw_process_kill(process);
  (void)gw_process_wait(process, 1, -1, SECOND);
}

/* It fences itself when the connection ends; its ranks and snapshots are gone for us. */
static void lose(GwHosts *h, int32_t i, const char *why) {
  bool was_up = h->host[i].state == UP;
  snprintf(h->host[i].why, sizeof h->host[i].why, "%s", why);
  why = h->host[i].why; /* it may have stood in a line */
  hang_up(h, i);
  reap(h, i, SECOND / 10);
  if (!was_up) return;
  h->host[i].lost = true;
  gw_log(GW_LOG_WARNING, "host %s is lost: %s", gw_hosts_name(h, i), why);
  push(h, (GwEvent){.kind = GW_EVENT_HOST_LOST, .host = i});
  for (int32_t r = 0; h->placement && r < h->placement->rank_count; r++)
    if (h->placement->host_of[r] == i) h->processes[r].ended = true;
}

static void tell(GwHosts *h, int32_t i, const char *line) {
  if (h->host[i].state != UP) return;
  if (gw_line_write(h->host[i].lines.descriptor, "%s", line) != GW_OK)
    lose(h, i, "the connection broke");
}

static void tell_all(GwHosts *h, const char *line) {
  for (int32_t i = 0; i < h->count; i++) tell(h, i, line);
}

/* ---- what agents say ---- */

static void complain(GwHosts *h, const char *host, const char *text) {
  if (!h->complaint[0]) snprintf(h->complaint, sizeof h->complaint, "host %s: %s", host, text);
}

static void on_hello(GwHosts *h, int32_t i, uint64_t build) {
  Host *host = &h->host[i];
  if (build != h->build) {
    lose(h, i, "it has another build of godwit; install the same on every machine");
    return;
  }
  host->state = ANSWERED;
}

/* What it holds was told: whoever is told that it is there knows that already. */
static void on_ready(GwHosts *h, int32_t i) {
  Host *host = &h->host[i];
  host->state = UP;
  if (host->lost) push(h, (GwEvent){.kind = GW_EVENT_HOST_BACK, .host = i});
  host->lost = false;
}

/* Of a rank that this host may speak for; of any other it is a complaint. */
static bool is_its_rank(GwHosts *h, int32_t i, int32_t rank) {
  if (!h->placement || rank < 0 || rank >= h->placement->rank_count) return false;
  if (h->placement->host_of[rank] == i) return true;
  char text[128];
  snprintf(text, sizeof text, "the launcher has put rank %d there, and not on %s", rank,
           gw_hosts_name(h, h->placement->host_of[rank]));
  complain(h, gw_hosts_name(h, i), text);
  return false;
}

static void on_row(GwHosts *h, int32_t i, const GwRowLine *line) {
  if (!is_its_rank(h, i, line->rank)) return;
  GwBoardRow *row = &h->board->row[line->rank];
  GwProcess *process = &h->processes[line->rank];
  if (process->pid == 0) *process = (GwProcess){.pid = line->pid, .descriptor = -1, .code = -1};
  row->pid = line->pid;
  row->progress = line->progress;
  row->waiting = line->waiting;
  row->op = line->op;
  row->kind = line->kind;
  row->step = line->step;
  row->snapshot = line->snapshot;
  row->bad_copy = line->bad_copy;
  row->accused = line->accused;
  row->state = line->state;
}

static void on_head(GwHosts *h, int32_t i, const GwHeadLine *line) {
  if (!is_its_rank(h, i, 0)) return;
  h->board->restored = line->restored;
  h->board->committed = line->committed;
  h->board->checkpoint = line->checkpoint;
}

static void on_report(GwHosts *h, int32_t i, const char *hex) {
  unsigned char *bytes = (unsigned char *)&h->report;
  if (strlen(hex) != 2 * sizeof h->report || !is_its_rank(h, i, 0)) return;
  for (size_t k = 0; k < sizeof h->report; k++) {
    char digits[3] = {hex[2 * k], hex[2 * k + 1], 0};
    bytes[k] = (unsigned char)strtoul(digits, NULL, 16);
  }
  h->has_report = true;
}

static void on_exit_of(GwHosts *h, int32_t i, int32_t rank, int code) {
  if (!is_its_rank(h, i, rank)) return;
  h->processes[rank].code = code;
  h->processes[rank].ended = true;
}

static void on_failed(GwHosts *h, int32_t i, const char *text) {
  if (h->host[i].state != UP)
    lose(h, i, text);
  else
    complain(h, gw_hosts_name(h, i), text);
}

/* Lines about an epoch. */
static void on_epoch_line(GwHosts *h, int32_t i, const char *line) {
  Host *host = &h->host[i];
  GwRowLine row;
  GwHeadLine head;
  uint64_t epoch;
  int32_t rank, code, at = 0;
  if (sscanf(line, "board %" SCNu64, &epoch) == 1) {
    host->board = epoch;
  } else if (sscanf(line, "stopped %" SCNu64, &epoch) == 1) {
    if (epoch == h->epoch || epoch == 0) host->runs = false;
  } else if (host->board != h->epoch) {
    return; /* of one that is over */
  } else if (sscanf(line, GW_ROW_FORMAT, &row.rank, &row.pid, &row.state, &row.waiting, &row.op,
                    &row.kind, &row.step, &row.progress, &row.snapshot, &row.bad_copy,
                    &row.accused) == GW_ROW_FIELDS) {
    on_row(h, i, &row);
  } else if (sscanf(line, GW_HEAD_FORMAT, &head.restored, &head.committed, &head.checkpoint) == 3) {
    on_head(h, i, &head);
  } else if (sscanf(line, "exit %" SCNd32 " %d", &rank, &code) == 2) {
    on_exit_of(h, i, rank, code);
  } else if (sscanf(line, "said %" SCNd32 " %n", &rank, &at) == 1 && at > 0) {
    if (is_its_rank(h, i, rank)) gw_board_say(&h->board->row[rank], line + at);
  } else if (strncmp(line, "report ", 7) == 0) {
    on_report(h, i, line + 7);
  }
}

/* Lines of a host that comes. */
static void on_greeting(GwHosts *h, int32_t i, const char *line) {
  GwEvent found = {.kind = GW_EVENT_FOUND, .host = i};
  uint64_t build;
  if (h->host[i].state == CALLED) {
    if (sscanf(line, "godwit-agent %" SCNx64, &build) == 1) on_hello(h, i, build);
  } else if (sscanf(line, "found %" SCNd64 " %" SCNd32 " %" SCNd32, &found.step, &found.share,
                    &found.shares) == 3) {
    push(h, found);
  } else if (strcmp(line, "ready") == 0) {
    on_ready(h, i);
  }
}

static void on_line(GwHosts *h, int32_t i, const char *line) {
  h->host[i].heard_at = gw_clock_ns();
  if (strncmp(line, "failed ", 7) == 0)
    on_failed(h, i, line + 7);
  else if (h->host[i].state == UP)
    on_epoch_line(h, i, line);
  else
    on_greeting(h, i, line);
}

/* ---- listening ---- */

static void listen_to(GwHosts *h, int32_t i) {
  Host *host = &h->host[i];
  GwStatus status = gw_lines_read(&host->lines);
  for (char *line; host->state != DOWN && (line = gw_lines_next(&host->lines));)
    on_line(h, i, line);
  if (host->state == DOWN) return;
  if (status != GW_OK)
    lose(h, i, gw_error_message());
  else if (host->lines.ended)
    lose(h, i, "the connection ended");
  else if (gw_clock_ns() > host->heard_at + (host->state == UP ? silence_ns : answer_ns))
    lose(h, i, host->state == UP ? "nothing is heard from it" : "it does not answer");
}

void gw_hosts_listen(GwHosts *h) {
  uint64_t now = gw_clock_ns();
  for (int32_t i = 0; i < h->count; i++) {
    Host *host = &h->host[i];
    if (host->state != DOWN)
      listen_to(h, i);
    else if (now >= host->retry_at && call(h, i) != GW_OK)
      host->retry_at = now + retry_ns;
  }
  if (now < h->beat_at) return;
  h->beat_at = now + GW_AGENT_BEAT_NS;
  tell_all(h, "still here");
}

uint64_t gw_hosts_silence(const GwHosts *h, int32_t i) {
  return gw_clock_ns() - h->host[i].heard_at;
}

int gw_hosts_descriptor(const GwHosts *h) { return h->poll; }

/* Until no host is `waited` for, or the time is over. */
static void listen_until(GwHosts *h, bool (*waited)(const GwHosts *h, int32_t i), uint64_t until) {
  for (bool some = true; some && gw_clock_ns() < until;) {
    gw_hosts_listen(h);
    some = false;
    for (int32_t i = 0; i < h->count; i++) some = some || waited(h, i);
    if (some) (void)gw_process_wait(NULL, 0, h->poll, SECOND / 10);
  }
}

/* ---- opening and closing ---- */

static bool is_coming(const GwHosts *h, int32_t i) {
  return h->host[i].state == CALLED || h->host[i].state == ANSWERED;
}

static GwStatus open_hosts(GwHosts *h) {
  GW_TRY(gw_job_build(&h->build));
  h->poll = epoll_create1(EPOLL_CLOEXEC);
  if (h->poll < 0) return gw__os_fail(errno, "the hosts", "watch them");
  for (int32_t i = 0; i < h->count; i++) GW_TRY(call(h, i));
  listen_until(h, is_coming, gw_clock_ns() + answer_ns);
  for (int32_t i = 0; i < h->count; i++)
    if (h->host[i].state != UP)
      return gw_fail(GW_IO, "host %s: %s (%s)", gw_hosts_name(h, i),
                     h->host[i].why[0] ? h->host[i].why : "it does not answer", h->options.shell);
  return GW_OK;
}

GwStatus gw_hosts_open(const GwHostsOptions *options, GwHosts **out) {
  GwHosts *h = calloc(1, sizeof *h);
  if (!h) return gw_fail(GW_MEMORY, "no memory for the hosts");
  h->options = *options;
  h->count = options->list->count;
  h->poll = -1;
  h->host = calloc((size_t)h->count, sizeof *h->host);
  GwStatus status = h->host ? open_hosts(h) : gw_fail(GW_MEMORY, "no memory for the hosts");
  if (status == GW_OK)
    *out = h;
  else
    gw_hosts_close(h);
  return status;
}

void gw_hosts_close(GwHosts *h) {
  if (!h) return;
  for (int32_t i = 0; h->host && i < h->count; i++) hang_up(h, i);
  for (int32_t i = 0; h->host && i < h->count; i++) reap(h, i, 10 * SECOND);
  if (h->poll >= 0) close(h->poll);
  free(h->events);
  free(h->host);
  free(h);
}

void gw_hosts_forget(GwHosts *h) { tell_all(h, "forget"); }

/* ---- epochs ---- */

/* Its ranks follow each other. */
static void tell_epoch(GwHosts *h, int32_t i) {
  int32_t ranks = h->placement->rank_count, first = 0;
  char line[96];
  while (first < ranks && h->placement->host_of[first] != i) first++;
  int32_t end = first;
  while (end < ranks && h->placement->host_of[end] == i) end++;
  snprintf(line, sizeof line, "epoch %" PRIu64 " %" PRId32 " %" PRId32 " %" PRId32, h->epoch, ranks,
           first, end);
  tell(h, i, line);
}

static bool is_to_answer(const GwHosts *h, int32_t i) {
  return h->host[i].state == UP && h->host[i].board != h->epoch && !h->complaint[0];
}

GwStatus gw_hosts_begin(GwHosts *h, uint64_t epoch, const GwPlacement *placement, GwBoard *board,
                        GwProcess *processes) {
  h->epoch = epoch;
  h->placement = placement;
  h->board = board;
  h->processes = processes;
  h->complaint[0] = 0;
  for (int32_t i = 0; i < h->count; i++) h->host[i].runs = h->host[i].state == UP;
  for (int32_t i = 0; i < h->count; i++) tell_epoch(h, i);
  listen_until(h, is_to_answer, gw_clock_ns() + silence_ns);
  if (h->complaint[0]) return gw_fail(GW_IO, "%s", h->complaint);
  for (int32_t r = 0; r < placement->rank_count; r++)
    if (h->host[placement->host_of[r]].board != epoch)
      return gw_fail(GW_IO, "host %s does not answer", gw_hosts_name(h, placement->host_of[r]));
  return GW_OK;
}

const char *gw_hosts_complaint(const GwHosts *h) { return h->complaint[0] ? h->complaint : NULL; }

void gw_hosts_ask_end(GwHosts *h) { tell_all(h, "end"); }

void gw_hosts_know(GwHosts *h, int64_t step) {
  char line[64];
  snprintf(line, sizeof line, "known %" PRId64, step);
  tell_all(h, line);
}

void gw_hosts_fence(GwHosts *h) { tell_all(h, "fence"); }

bool gw_hosts_run(const GwHosts *h) {
  for (int32_t i = 0; i < h->count; i++)
    if (h->host[i].state == UP && h->host[i].runs) return true;
  return false;
}

bool gw_hosts_report(const GwHosts *h, GwTrainReport *out) {
  if (h->has_report) *out = h->report;
  return h->has_report;
}
