/* The hosts of a run with several machines, through an agent on each (agent_lines.h): what the
 * driver does on its own machine with processes and a board, this does there. An agent is started
 * over a shell such as ssh, and talks through its standard input and output: when the connection
 * ends, each side knows that the other is gone. */
#ifndef GW_HOSTS_H
#define GW_HOSTS_H

#include "cluster/supervisor.h"
#include "comm/board.h"
#include "godwit/train.h"
#include "os/process.h"

typedef struct GwHosts GwHosts;

/* "a:4,b:4": names, and how many ranks each takes, the same everywhere. Without a number: as many
 * as needed for `ranks`. */
typedef struct {
  char **names;
  int32_t count, slots;
} GwHostList;
GwStatus gw_host_list_parse(const char *text, int32_t ranks, GwHostList *out); /* GW_USAGE */
void gw_host_list_deinit(GwHostList *list); /* a zeroed one is fine */

/* All borrowed, until gw_hosts_close. */
typedef struct {
  const GwHostList *list;
  const char *shell; /* how to run a command on {host}: "ssh {host}" */
  const char *job;
  uint64_t snapshots; /* the run that they are of */
  bool fresh;         /* it has no snapshots yet: what hosts hold is thrown away */
} GwHostsOptions;

/* Starts the agents and waits for them. GW_IO names a host that does not answer, GW_MISMATCH one
 * with another build of godwit. */
GwStatus gw_hosts_open(const GwHostsOptions *options, GwHosts **out);
/* Every agent ends, and what runs of an epoch. NULL is fine. */
void gw_hosts_close(GwHosts *hosts);
void gw_hosts_forget(GwHosts *hosts); /* the run is done: its snapshots go */

const char *gw_hosts_name(const GwHosts *hosts, int32_t host);

/* To be waited for: can be read when some agent has said something. */
int gw_hosts_descriptor(const GwHosts *hosts);
/* Takes up what was said, into the board and processes of the epoch; loses hosts that are silent,
 * and tries those again that were lost. */
void gw_hosts_listen(GwHosts *hosts);
/* HOST_LOST, HOST_BACK and FOUND, one by one; false: there is none. */
bool gw_hosts_event(GwHosts *hosts, GwEvent *out);

/* An epoch that is to be launched: boards for it on all hosts that are there. `board` and
 * `processes` [ranks] are kept up to date until the next call; a process has no descriptor, so
 * nothing can be done to it from here. GW_IO when a host that is placed on has no board. */
GwStatus gw_hosts_begin(GwHosts *hosts, uint64_t epoch, const GwPlacement *placement,
                        GwBoard *board, GwProcess *processes);
/* A rank that is not where it was placed, or an agent's complaint; NULL: none so far. */
const char *gw_hosts_complaint(const GwHosts *hosts);
void gw_hosts_ask_end(GwHosts *hosts);
void gw_hosts_know(GwHosts *hosts, int64_t step); /* a snapshot that was heard of */
void gw_hosts_fence(GwHosts *hosts);
/* For how long nothing has been heard from a host: what its ranks did since is not known. */
uint64_t gw_hosts_silence(const GwHosts *hosts, int32_t host);
bool gw_hosts_run(const GwHosts *hosts); /* something of the epoch may still run on a host */
/* What rank 0 has left. false: nothing. */
bool gw_hosts_report(const GwHosts *hosts, GwTrainReport *out);

#endif
