/* Status codes and the one place where an error message is made.
 *
 * A function that can fail returns a GwStatus. Where the cause is known, gw_fail() stores one line
 * of text (per thread) that names the thing and what the user can do; everyone above passes the
 * status on with GW_TRY. Statuses are for the world (input, disk, memory); assertions are for our
 * own bugs. */
#ifndef GODWIT_STATUS_H
#define GODWIT_STATUS_H

#define GW_STATUS_LIST(X)                                                                          \
  X(OK, "ok")                                                                                      \
  X(USAGE, "misuse")                                                                               \
  X(INVALID, "invalid input")                                                                      \
  X(NOT_FOUND, "not found")                                                                        \
  X(EXISTS, "already exists")                                                                      \
  X(BUSY, "in use")                                                                                \
  X(IO, "input/output error")                                                                      \
  X(NO_SPACE, "no space left")                                                                     \
  X(CORRUPT, "corrupt data")                                                                       \
  X(MISMATCH, "mismatch")                                                                          \
  X(MEMORY, "out of memory")                                                                       \
  X(NUMERIC, "numeric fault")                                                                      \
  X(INTERRUPTED, "interrupted")                                                                    \
  X(UNSUPPORTED, "unsupported")

typedef enum {
#define X(name, text) GW_##name,
  GW_STATUS_LIST(X)
#undef X
      GW_STATUS_COUNT
} GwStatus;

/* The status in words, e.g. "corrupt data". */
const char *gw_status_text(GwStatus status);

/* The exit code a program should end with: 0 done, 1 failed, 2 misuse. */
int gw_status_exit_code(GwStatus status);

/* Stores the message of this thread's latest failure and returns `status`. */
GwStatus gw_fail(GwStatus status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message of this thread's latest failure; never NULL. Valid until the next gw_fail. */
const char *gw_error_message(void);

/* Returns early with the status of `expression` unless it is GW_OK. */
#define GW_TRY(expression)                                                                         \
  do {                                                                                             \
    GwStatus gw_try_status_ = (expression);                                                        \
    if (gw_try_status_ != GW_OK) return gw_try_status_;                                            \
  } while (0)

/* Like GW_TRY, for functions that clean up behind a label: sets `status` and jumps. */
#define GW_TRY_GOTO(status, expression, label)                                                     \
  do {                                                                                             \
    (status) = (expression);                                                                       \
    if ((status) != GW_OK) goto label;                                                             \
  } while (0)

#endif
