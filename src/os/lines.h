/* Lines of text between two processes, over a descriptor: read without waiting, written whole. */
#ifndef GW_LINES_H
#define GW_LINES_H

#include "base/base.h"

/* Begins as {.descriptor = ...}. */
typedef struct {
  int descriptor;
  char *data;
  size_t used, taken, capacity; /* taken: of the used bytes, those of lines already given out */
  bool ended;                   /* nothing more comes */
} GwLines;

/* Longer ones end the stream: whoever writes them does not speak our language. */
enum { GW_LINE_MAX = 1 << 16 };

/* Takes up what has arrived by now. GW_MEMORY, or GW_CORRUPT for a line that is too long. */
GwStatus gw_lines_read(GwLines *lines);
/* The next whole line without its end; NULL: none so far. Valid until the next call of either. */
char *gw_lines_next(GwLines *lines);
void gw_lines_deinit(GwLines *lines); /* the descriptor stays; a zeroed one is fine */

/* A formatted line, to its last byte. GW_IO when nobody reads any more; no signal is raised. */
GwStatus gw_line_write(int descriptor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
