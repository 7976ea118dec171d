/* Processes: started so that they cannot outlive this one, watched without signal handlers (pidfds,
 * Linux 5.3), stopped with all they have started. */
#ifndef GW_PROCESS_H
#define GW_PROCESS_H

#include "base/base.h"

/* A command line. Begins as zeros. */
typedef struct {
  char **items; /* [count], and a NULL behind them */
  size_t count, capacity;
} GwArgv;

GwStatus gw_argv_add(GwArgv *argv, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The words of `line`, split at blanks, a key in each of them replaced by its value. */
typedef struct {
  const char *key, *value;
} GwArgvKey;
GwStatus gw_argv_add_words(GwArgv *argv, const char *line, const GwArgvKey *keys, int count);
void gw_argv_clear(GwArgv *argv); /* a zeroed one is fine */

typedef struct {
  int32_t pid; /* 0: none */
  int descriptor;
  bool child, ended;
  int code;   /* once it has ended: its exit code; -1: not known, it is another's child */
  int signal; /* that killed it; 0: none did */
} GwProcess;

static inline bool gw_process_runs(const GwProcess *process) {
  return process->pid != 0 && !process->ended;
}

/* Starts a program, found as a shell would find it, as the leader of a process group. It gets no
 * descriptors but an empty standard input and our outputs, which are appended to the file `output`
 * if that is not NULL, and it is killed when the thread that calls this ends. */
GwStatus gw_process_start(char *const *argv, const char *output, GwProcess *out);

/* The same for one that we talk to: its standard input and output are one end of a socket, of which
 * *talk is the other; `output` is for its errors. The caller closes it. */
GwStatus gw_process_start_talking(char *const *argv, const char *output, GwProcess *out, int *talk);

/* A process that is not our child. GW_NOT_FOUND when `pid` is gone, or is another that began at
 * another time than `born`. */
GwStatus gw_process_adopt(int32_t pid, uint64_t born, GwProcess *out);

/* /proc/PID/stat: the state ('T': stopped, 'Z': ended and not yet reaped, ...), and when the
 * process began, which tells it from a later one with the same number. */
GwStatus gw_process_look(int32_t pid, char *state, uint64_t *born);

/* SIGKILL: to the whole group of a child, to the process alone of another's. */
void gw_process_kill(const GwProcess *process);

/* Sleeps until one of the processes has ended, `also` (-1: none) can be read, a signal was handled
 * or the time is over. Those that ended are reaped, and what is left of their group is killed. */
GwStatus gw_process_wait(GwProcess *processes, size_t count, int also, uint64_t timeout_ns);

/* The path of the program that runs here. */
GwStatus gw_process_program(char *out, size_t size);

/* How it ended: "killed by SIGKILL", "exited with code 3", "ended". */
enum { GW_PROCESS_TEXT = 48 };
void gw_process_text(const GwProcess *process, char out[GW_PROCESS_TEXT]);

#endif
