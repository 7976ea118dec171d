/* fork and exec with a pipe that tells why exec failed; pidfds, which stay with their process even
 * when its number is used again. */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/grow.h"
#include "os/os_error.h"

/* ---- command lines ---- */

GwStatus gw_argv_add(GwArgv *argv, const char *format, ...) {
  char *item;
  va_list list;
  if (!GW_GROW(argv->items, argv->capacity, argv->count + 2))
    return gw_fail(GW_MEMORY, "no memory for a command line");
  va_start(list, format);
  int length = vasprintf(&item, format, list);
  va_end(list);
  if (length < 0) return gw_fail(GW_MEMORY, "no memory for a command line");
  argv->items[argv->count++] = item;
  argv->items[argv->count] = NULL;
  return GW_OK;
}

static GwStatus add_word(GwArgv *argv, const char *word, const GwArgvKey *keys, int count) {
  for (int i = 0; i < count; i++) {
    const char *place = strstr(word, keys[i].key);
    if (place)
      return gw_argv_add(argv, "%.*s%s%s", (int)(place - word), word, keys[i].value,
                         place + strlen(keys[i].key));
  }
  return gw_argv_add(argv, "%s", word);
}

GwStatus gw_argv_add_words(GwArgv *argv, const char *line, const GwArgvKey *keys, int count) {
  char *copy = strdup(line), *rest = NULL;
  if (!copy) return gw_fail(GW_MEMORY, "no memory for a command line");
  GwStatus status = GW_OK;
  for (char *word = strtok_r(copy, " ", &rest); word && status == GW_OK;
       word = strtok_r(NULL, " ", &rest))
    status = add_word(argv, word, keys, count);
  free(copy);
  return status;
}

void gw_argv_clear(GwArgv *argv) {
  for (size_t i = 0; i < argv->count; i++) free(argv->items[i]);
  free(argv->items);
  *argv = (GwArgv){0};
}

/* ---- start ---- */

static GwStatus open_pidfd(int32_t pid, int *out) {
  int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
  if (descriptor >= 0) {
    *out = descriptor; /* closed on exec by itself */
    return GW_OK;
  }
  if (errno == ESRCH) return gw_fail(GW_NOT_FOUND, "process %d is gone", pid);
  if (errno == ENOSYS)
    return gw_fail(GW_UNSUPPORTED, "this Linux has no pidfds: ranks need version 5.3 or newer");
  return gw__os_fail(errno, "a process", "watch it");
}

/* Marks all descriptors behind the first three to be closed by exec. */
static void close_on_exec(void) {
  if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  for (long i = 3, most = sysconf(_SC_OPEN_MAX); i < most; i++)
    (void)fcntl((int)i, F_SETFD, FD_CLOEXEC);
}

/* The child, until it is another program: nothing here may take a lock, as other threads that may
 * hold it are gone. */
_Noreturn static void become(char *const *argv, int talk, int output, pid_t parent, int report) {
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL); /* it ended before the line above */
  int input = talk >= 0 ? talk : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input >= 0) dup2(input, STDIN_FILENO);
  if (output >= 0) {
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
  }
  if (talk >= 0) dup2(talk, STDOUT_FILENO);
  close_on_exec();
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvp(argv[0], argv);
  int error = errno;
  (void)!write(report, &error, sizeof error);
  _exit(127); /* tidy: waiver banned-call a child that could not become another program */
}

/* What stopped exec; 0: nothing did. */
static int exec_error(int report) {
  int error = 0;
  ssize_t got;
  do got = read(report, &error, sizeof error);
  while (got < 0 && errno == EINTR);
  return got == sizeof error ? error : 0;
}

static int wait_for(pid_t pid, int *result) {
  int got;
  do got = waitpid(pid, result, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

/* `talk` -1: nobody talks to it. */
static GwStatus start(char *const *argv, int talk, int output, GwProcess *out) {
  int report[2], result;
  GwProcess process = {.child = true};
  if (pipe2(report, O_CLOEXEC) != 0) return gw__os_fail(errno, argv[0], "make a pipe to start it");
  pid_t parent = getpid();
  process.pid = fork();
  if (process.pid == 0) become(argv, talk, output, parent, report[1]);
  int error = process.pid < 0 ? errno : 0;
  close(report[1]);
  if (error == 0) {
    setpgid(process.pid, process.pid); /* whoever comes first */
    error = exec_error(report[0]);
    if (error != 0) wait_for(process.pid, &result);
  }
  close(report[0]);
  if (error != 0) return gw__os_fail(error, argv[0], "start the program");
  GwStatus status = open_pidfd(process.pid, &process.descriptor);
  if (status == GW_OK) {
    *out = process;
  } else {
    kill(-process.pid, SIGKILL);
    wait_for(process.pid, &result);
  }
  return status;
}

static GwStatus start_with(char *const *argv, int talk, const char *output, GwProcess *out) {
  int descriptor = -1;
  if (output) {
    descriptor = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor < 0) return gw__os_fail(errno, output, "open");
  }
  GwStatus status = start(argv, talk, descriptor, out);
  if (descriptor >= 0) close(descriptor);
  return status;
}

GwStatus gw_process_start(char *const *argv, const char *output, GwProcess *out) {
  return start_with(argv, -1, output, out);
}

GwStatus gw_process_start_talking(char *const *argv, const char *output, GwProcess *out,
                                  int *talk) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return gw__os_fail(errno, argv[0], "make a socket to talk to it");
  GwStatus status = start_with(argv, ends[1], output, out);
  close(ends[1]);
  *talk = ends[0];
  if (status != GW_OK) close(ends[0]);
  return status;
}

/* ---- those of others ---- */

GwStatus gw_process_look(int32_t pid, char *state, uint64_t *born) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = descriptor < 0 ? -1 : read(descriptor, text, sizeof text - 1);
  if (descriptor >= 0) close(descriptor);
  if (got <= 0) return gw_fail(GW_NOT_FOUND, "process %d is gone", pid);
  text[got] = 0;
  /* The second field is a name in parentheses, with any characters; the 22nd is the time. */
  const char *at = strrchr(text, ')');
  unsigned long long time;
  char letter;
  if (!at || sscanf(at + 1,
                    " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                    "%llu",
                    &letter, &time) != 2)
    return gw_fail(GW_CORRUPT, "%s is not as Linux writes it", path);
  *state = letter;
  *born = time;
  return GW_OK;
}

GwStatus gw_process_adopt(int32_t pid, uint64_t born, GwProcess *out) {
  GwProcess process = {.pid = pid, .code = -1};
  char state;
  uint64_t began;
  GW_ASSERT(pid > 0);
  GW_TRY(open_pidfd(pid, &process.descriptor));
  /* If it is the right one now, it was when the descriptor was opened. */
  GwStatus status = gw_process_look(pid, &state, &began);
  if (status == GW_OK && began != born)
    status = gw_fail(GW_NOT_FOUND, "process %d is another one by now", pid);
  if (status == GW_OK)
    *out = process;
  else
    close(process.descriptor);
  return status;
}

/* ---- stop and wait ---- */

void gw_process_kill(const GwProcess *process) {
  if (!gw_process_runs(process)) return;
  if (process->child)
    kill(-process->pid, SIGKILL);
  else
    syscall(SYS_pidfd_send_signal, process->descriptor, SIGKILL, NULL, 0);
}

static void reap(GwProcess *process) {
  int result;
  gw_process_kill(process); /* its group; the number is not free before the next line */
  process->code = -1;
  if (process->child && wait_for(process->pid, &result) == process->pid) {
    process->signal = WIFSIGNALED(result) ? WTERMSIG(result) : 0;
    process->code = WIFEXITED(result) ? WEXITSTATUS(result) : 128 + process->signal;
  }
  process->ended = true;
  close(process->descriptor);
}

GwStatus gw_process_wait(GwProcess *processes, size_t count, int also, uint64_t timeout_ns) {
  struct timespec most = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  struct pollfd *set = calloc(count + 1, sizeof *set);
  if (!set) return gw_fail(GW_MEMORY, "no memory to watch %zu processes", count);
  set[count] = (struct pollfd){.fd = also, .events = POLLIN};
  for (size_t i = 0; i < count; i++) {
    bool runs = gw_process_runs(&processes[i]);
    set[i] = (struct pollfd){.fd = runs ? processes[i].descriptor : -1, .events = POLLIN};
  }
  int got = ppoll(set, count + 1, &most, NULL);
  int error = got < 0 ? errno : 0;
  for (size_t i = 0; got > 0 && i < count; i++)
    if (set[i].revents != 0) reap(&processes[i]);
  free(set);
  if (error != 0 && error != EINTR) return gw__os_fail(error, "the ranks", "wait for them");
  return GW_OK;
}

void gw_process_text(const GwProcess *process, char out[GW_PROCESS_TEXT]) {
  const char *name = process->signal > 0 ? sigabbrev_np(process->signal) : NULL;
  if (name)
    snprintf(out, GW_PROCESS_TEXT, "killed by SIG%s", name);
  else if (process->signal > 0)
    snprintf(out, GW_PROCESS_TEXT, "killed by signal %d", process->signal);
  else if (process->code >= 0)
    snprintf(out, GW_PROCESS_TEXT, "exited with code %d", process->code);
  else
    snprintf(out, GW_PROCESS_TEXT, "ended");
}

GwStatus gw_process_program(char *out, size_t size) {
  ssize_t length = readlink("/proc/self/exe", out, size - 1);
  if (length < 0) return gw__os_fail(errno, "/proc/self/exe", "find this program");
  if ((size_t)length == size - 1)
    return gw_fail(GW_INVALID, "the path of this program is too long");
  out[length] = 0;
  return GW_OK;
}
