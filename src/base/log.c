/* Logs and progress on stderr. One mutex keeps lines whole when threads write at once. */
#include "godwit/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };
static const uint64_t redraw_ns = 100000000, plain_ns = 10000000000;

static struct {
  GwLogLevel level;
  bool color;
  bool line_open; /* a progress line stands on the terminal without its newline */
  pthread_mutex_t mutex;
} state = {GW_LOG_INFO, false, false, PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void gw_log_configure(GwLogLevel level, bool color) {
  state.level = level;
  state.color = color;
}

void gw_log(GwLogLevel level, const char *format, ...) {
  static const char *const names[] = {"error", "warning", NULL, "debug"};
  static const char *const colors[] = {"\033[31m", "\033[33m", "", "\033[2m"};
  if (level > state.level) return;
  char text[1024];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  pthread_mutex_lock(&state.mutex);
  if (state.line_open) fputs("\r\033[K", stderr);
  state.line_open = false;
  if (names[level] && state.color)
    fprintf(stderr, "%s%s:\033[0m %s\n", colors[level], names[level], text);
  else if (names[level])
    fprintf(stderr, "%s: %s\n", names[level], text);
  else
    fprintf(stderr, "%s\n", text);
  pthread_mutex_unlock(&state.mutex);
}

void gw_progress_begin(GwProgress *progress, const char *label) {
  *progress = (GwProgress){.started_ns = now_ns(), .terminal = isatty(STDERR_FILENO)};
  snprintf(progress->label, sizeof progress->label, "%s", label);
  progress->shown_ns = progress->started_ns;
}

static void draw(const GwProgress *progress, double fraction, const char *text) {
  char bar[BAR_WIDTH + 1] = "";
  if (fraction >= 0) {
    int full = (int)(fraction * BAR_WIDTH + 0.5);
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = 0;
  }
  pthread_mutex_lock(&state.mutex);
  if (progress->terminal) {
    if (fraction >= 0)
      fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %s", progress->label, bar, fraction * 100, text);
    else
      fprintf(stderr, "\r\033[K%s %s", progress->label, text);
    state.line_open = true;
  } else {
    if (fraction >= 0)
      fprintf(stderr, "%s: %3.0f%% %s\n", progress->label, fraction * 100, text);
    else
      fprintf(stderr, "%s: %s\n", progress->label, text);
  }
  pthread_mutex_unlock(&state.mutex);
}

void gw_progress_update(GwProgress *progress, double fraction, const char *format, ...) {
  uint64_t now = now_ns();
  if (now - progress->shown_ns < (progress->terminal ? redraw_ns : plain_ns)) return;
  progress->shown_ns = now;
  char text[256];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (fraction > 1) fraction = 1;
  draw(progress, fraction, text);
}

void gw_progress_end(GwProgress *progress, const char *format, ...) {
  char text[256];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  double seconds = (double)(now_ns() - progress->started_ns) * 1e-9;
  pthread_mutex_lock(&state.mutex);
  if (progress->terminal) fputs("\r\033[K", stderr);
  state.line_open = false;
  fprintf(stderr, "%s: %s (%.1f s)\n", progress->label, text, seconds);
  pthread_mutex_unlock(&state.mutex);
}
