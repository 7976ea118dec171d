/* Logs and progress, both on stderr; results belong on stdout and are the caller's.
 *
 * On a terminal a progress line is redrawn in place (at most 10 times a second); elsewhere a plain
 * line is printed at most every 10 seconds and at the end. */
#ifndef GODWIT_LOG_H
#define GODWIT_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { GW_LOG_ERROR, GW_LOG_WARNING, GW_LOG_INFO, GW_LOG_DEBUG } GwLogLevel;

/* Messages above `level` are dropped; the default is GW_LOG_INFO. `color` as the app decided. */
void gw_log_configure(GwLogLevel level, bool color);
void gw_log(GwLogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct {
  char label[48];
  uint64_t started_ns;
  uint64_t shown_ns;
  bool terminal;
  bool line_open;
} GwProgress;

void gw_progress_begin(GwProgress *progress, const char *label);
/* `fraction` in [0,1], or negative when the end is unknown; `format` says what is worth knowing
 * now. */
void gw_progress_update(GwProgress *progress, double fraction, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Closes the line with a last message and the time taken. */
void gw_progress_end(GwProgress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
