/* Documents from the inputs of `godwit prepare`, one after the other.
 *
 *   NAME.txt     one document (as is every file given by name that has none of these endings)
 *   NAME.jsonl   one document per line: an object whose "text" is a string
 *   each of them packed as .gz (gzip) or .zst (Zstandard), read without unpacking on disk
 *   a folder     its .txt and .jsonl files, packed or not, and those of its folders, by name
 *   -            standard input, one plain text
 *
 * Documents without a byte are passed over. Text that is not text (see gw_text_check) is refused.
 */
#ifndef GW_DOCUMENT_H
#define GW_DOCUMENT_H

#include "base/arena.h"
#include "data/byte_stream.h"
#include "data/text.h"

/* One document must fit in memory, and its tokens in one shard. */
#define GW_DOCUMENT_BYTES_MAX ((size_t)1 << 30)

typedef struct {
  const char *path; /* to open */
  const char *name; /* for messages */
  uint64_t bytes;   /* on disk, packed */
  GwPacking packing;
  bool lines; /* JSON lines */
} GwDocumentFile;

typedef struct {
  GwArena arena;
  GwDocumentFile *files;
  size_t count, capacity;
  uint64_t bytes; /* of all files */
} GwDocumentList;

/* GW_NOT_FOUND when `input` is neither "-" nor there. */
GwStatus gw_document_input_check(GwFs *fs, const char *input);

/* The files behind `inputs`, in order. "-" stands for `stdin_path`, a file that holds what standard
 * input gave. A missing input and a folder without any text file are errors. */
GwStatus gw_document_list_init(GwFs *fs, const char *const *inputs, int input_count,
                               const char *stdin_path, GwDocumentList *out);
void gw_document_list_deinit(GwDocumentList *list);

typedef struct {
  GwFs *fs;
  const GwDocumentList *list;
  size_t bytes_max;     /* of one document */
  size_t file;          /* index of the current or next file */
  GwByteStream *stream; /* NULL between files */
  uint64_t line;        /* number of the latest line */
  uint64_t passed;      /* bytes of the files before the current one */
  GwText buffer;        /* unread part of a JSON lines file */
  size_t begin;         /* of the unread part in it */
} GwDocumentReader;

/* Reads from the beginning of the list, which must outlive the reader. */
void gw_document_reader_init(GwFs *fs, const GwDocumentList *list, size_t bytes_max,
                             GwDocumentReader *out);
void gw_document_reader_deinit(GwDocumentReader *reader);
/* Appends the next document to `out`; *end is set, and nothing appended, behind the last one. */
GwStatus gw_document_reader_next(GwDocumentReader *reader, GwText *out, bool *end);
/* Bytes of the files read so far, as GwDocumentFile counts them. */
uint64_t gw_document_reader_position(const GwDocumentReader *reader);

/* Appends the "text" of one JSON line (blank: nothing). `name` and `number` are for messages. This
 * is what the fuzz target calls. */
GwStatus gw_document_line(const char *name, uint64_t number, const char *line, size_t size,
                          GwText *out);

#endif
