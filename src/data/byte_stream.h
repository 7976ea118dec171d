/* The bytes of an input file, unpacked on the way: plain, gzip (zlib) or Zstandard. Files of
 * several gzip members or zstd frames read as one. */
#ifndef GW_BYTE_STREAM_H
#define GW_BYTE_STREAM_H

#include "os/fs.h"

typedef enum { GW_PACKING_NONE, GW_PACKING_GZIP, GW_PACKING_ZSTD } GwPacking;

typedef struct GwByteStream GwByteStream;

/* `name` stands for the file in messages; it is borrowed. */
GwStatus gw_byte_stream_open(GwFs *fs, const char *path, const char *name, GwPacking packing,
                             GwByteStream **out);
/* Up to `size` > 0 bytes; *got is 0 only at the end. Packed data that ends early or is damaged is
 * GW_CORRUPT. */
GwStatus gw_byte_stream_read(GwByteStream *stream, void *data, size_t size, size_t *got);
/* Bytes of the file (packed) taken so far. */
uint64_t gw_byte_stream_position(const GwByteStream *stream);
void gw_byte_stream_close(GwByteStream *stream);

#endif
