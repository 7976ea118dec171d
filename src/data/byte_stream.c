/* One input buffer, and behind it nothing, zlib's inflate or zstd's streaming decoder. */
#include "data/byte_stream.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_BYTES = 1 << 17, GZIP_WINDOW = 15 + 16 /* zlib's way to say: gzip header, 32 KiB */ };

struct GwByteStream {
  GwFs *fs;
  GwFile *file;
  const char *name;
  GwPacking packing;
  uint64_t offset;   /* bytes read from the file */
  size_t begin, end; /* of what is not yet unpacked in `input` */
  bool inside;       /* a gzip member or zstd frame has begun (or must) and not ended */
  z_stream gzip;
  ZSTD_DStream *zstd;
  uint8_t input[INPUT_BYTES];
};

GwStatus gw_byte_stream_open(GwFs *fs, const char *path, const char *name, GwPacking packing,
                             GwByteStream **out) {
  GwByteStream *stream = calloc(1, sizeof *stream);
  if (!stream) return gw_fail(GW_MEMORY, "no memory to read %s", name);
  stream->fs = fs;
  stream->name = name;
  stream->inside = true;
  bool ready = true;
  if (packing == GW_PACKING_GZIP) ready = inflateInit2(&stream->gzip, GZIP_WINDOW) == Z_OK;
  if (packing == GW_PACKING_ZSTD) ready = (stream->zstd = ZSTD_createDStream()) != NULL;
  if (!ready) {
    free(stream);
    return gw_fail(GW_MEMORY, "no memory to unpack %s", name);
  }
  stream->packing = packing;
  GwStatus status = fs->open(fs, path, GW_FILE_READ, &stream->file);
  if (status != GW_OK) {
    gw_byte_stream_close(stream);
    return status;
  }
  *out = stream;
  return GW_OK;
}

void gw_byte_stream_close(GwByteStream *stream) {
  if (!stream) return;
  if (stream->file) stream->fs->close(stream->fs, stream->file);
  if (stream->packing == GW_PACKING_GZIP) inflateEnd(&stream->gzip);
  ZSTD_freeDStream(stream->zstd);
  free(stream);
}

uint64_t gw_byte_stream_position(const GwByteStream *stream) {
  return stream->offset - (stream->end - stream->begin);
}

static GwStatus refill(GwByteStream *stream) {
  size_t got = 0;
  GW_TRY(stream->fs->read_at(stream->fs, stream->file, stream->offset, stream->input, INPUT_BYTES,
                             &got));
  stream->offset += got;
  stream->begin = 0;
  stream->end = got;
  return GW_OK;
}

static GwStatus corrupt(const GwByteStream *stream, const char *why) {
  return gw_fail(GW_CORRUPT, "%s: the compressed data is damaged (%s); get the file again",
                 stream->name, why);
}

/* Unpacks from the input buffer into data; *got may be 0 when more input is needed. */
static GwStatus step_gzip(GwByteStream *stream, void *data, size_t size, size_t *got) {
  z_stream *gzip = &stream->gzip;
  uInt room = size > INT32_MAX ? INT32_MAX : (uInt)size;
  gzip->next_in = stream->input + stream->begin;
  gzip->avail_in = (uInt)(stream->end - stream->begin);
  gzip->next_out = data;
  gzip->avail_out = room;
  int code = inflate(gzip, Z_NO_FLUSH);
  stream->begin = stream->end - gzip->avail_in;
  *got = room - gzip->avail_out;
  stream->inside = code != Z_STREAM_END;
  if (code == Z_STREAM_END) return inflateReset(gzip) == Z_OK ? GW_OK : corrupt(stream, "reset");
  if (code == Z_MEM_ERROR) return gw_fail(GW_MEMORY, "no memory to unpack %s", stream->name);
  if (code != Z_OK && code != Z_BUF_ERROR)
    return corrupt(stream, gzip->msg ? gzip->msg : "not gzip data");
  return GW_OK;
}

static GwStatus step_zstd(GwByteStream *stream, void *data, size_t size, size_t *got) {
  ZSTD_inBuffer in = {stream->input, stream->end, stream->begin};
  ZSTD_outBuffer out = {data, size, 0};
  size_t code = ZSTD_decompressStream(stream->zstd, &out, &in);
  if (ZSTD_isError(code)) return corrupt(stream, ZSTD_getErrorName(code));
  stream->begin = in.pos;
  stream->inside = code != 0;
  *got = out.pos;
  return GW_OK;
}

static size_t take_plain(GwByteStream *stream, void *data, size_t size) {
  size_t count = stream->end - stream->begin;
  if (count > size) count = size;
  memcpy(data, stream->input + stream->begin, count);
  stream->begin += count;
  return count;
}

GwStatus gw_byte_stream_read(GwByteStream *stream, void *data, size_t size, size_t *got) {
  GW_ASSERT(size > 0);
  size_t count = 0;
  for (;;) {
    if (stream->begin == stream->end) GW_TRY(refill(stream));
    bool at_end = stream->end == 0;
    if (stream->packing == GW_PACKING_NONE || (at_end && !stream->inside)) {
      *got = at_end ? 0 : take_plain(stream, data, size);
      return GW_OK;
    }
    /* Also at the file's end: a decoder may still hold output back. */
    if (stream->packing == GW_PACKING_GZIP)
      GW_TRY(step_gzip(stream, data, size, &count));
    else
      GW_TRY(step_zstd(stream, data, size, &count));
    if (count > 0) {
      *got = count;
      return GW_OK;
    }
    if (at_end && stream->inside)
      return gw_fail(GW_CORRUPT, "%s: the compressed data ends early; get the file again",
                     stream->name);
  }
}
