/* Bytes in, whole UTF-8 characters out: tokens may end inside a character, and a reader of a stream
 * should never see half of one. */
#ifndef GW_TEXT_STREAM_H
#define GW_TEXT_STREAM_H

#include "data/text.h"
#include "godwit/generate.h"

typedef struct {
  GwTextSink *sink;
  void *context;
  GwText held; /* zero-initialised by the caller's {.sink, .context} */
} GwTextStream;

/* Passes on all bytes so far but an unfinished character at the end, which is held back until it is
 * whole or can no longer become so. Bytes are never changed or lost. */
GwStatus gw_text_stream_push(GwTextStream *stream, const void *bytes, size_t size);
/* Passes on what is held back. */
GwStatus gw_text_stream_flush(GwTextStream *stream);
void gw_text_stream_deinit(GwTextStream *stream);

/* The length, 0..3, of the unfinished character that the text ends in: a proper beginning of a
 * valid UTF-8 sequence (RFC 3629). */
size_t gw_text_unfinished(const void *text, size_t size);

#endif
