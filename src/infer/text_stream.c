/* The hold-back: only the last three bytes can belong to an unfinished character. */
#include "infer/text_stream.h"

#include <string.h>

/* Bytes of a sequence that begins with `lead`, 1 for a byte that begins none. */
static size_t sequence_length(uint8_t lead) {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Whether `byte` may stand at place `i` >= 1 of a sequence that begins with `lead`. */
static bool may_follow(uint8_t lead, size_t i, uint8_t byte) {
  uint8_t low = 0x80, high = 0xbf;
  if (i == 1 && lead == 0xe0) low = 0xa0;
  if (i == 1 && lead == 0xf0) low = 0x90;
  if (i == 1 && lead == 0xed) high = 0x9f;
  if (i == 1 && lead == 0xf4) high = 0x8f;
  return byte >= low && byte <= high;
}

static bool is_beginning(const uint8_t *bytes, size_t size) {
  if (sequence_length(bytes[0]) <= size) return false;
  for (size_t i = 1; i < size; i++)
    if (!may_follow(bytes[0], i, bytes[i])) return false;
  return true;
}

size_t gw_text_unfinished(const void *text, size_t size) {
  if (size == 0) return 0; /* of no text there is no pointer either */
  const uint8_t *end = (const uint8_t *)text + size;
  for (size_t length = 1; length <= 3 && length <= size; length++)
    if (is_beginning(end - length, length)) return length;
  return 0;
}

/* Passes on all but the last `keep` bytes. */
static GwStatus pass_on(GwTextStream *stream, size_t keep) {
  GwText *held = &stream->held;
  size_t whole = held->size - keep;
  if (whole == 0) return GW_OK;
  GW_TRY(stream->sink(stream->context, held->data, whole));
  memmove(held->data, held->data + whole, keep);
  held->size = keep;
  return GW_OK;
}

GwStatus gw_text_stream_push(GwTextStream *stream, const void *bytes, size_t size) {
  GW_TRY(gw_text_append(&stream->held, bytes, size));
  return pass_on(stream, gw_text_unfinished(stream->held.data, stream->held.size));
}

GwStatus gw_text_stream_flush(GwTextStream *stream) { return pass_on(stream, 0); }

void gw_text_stream_deinit(GwTextStream *stream) { gw_text_deinit(&stream->held); }
