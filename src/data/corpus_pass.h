/* Passes over all documents of the inputs. The survey looks at every document once; later passes
 * visit the text that is kept, in segments, on all threads, in constant memory.
 *
 *   reader → batch → (copies dropped, sides chosen) → segments → work, parallel → finish, in order
 *
 * While one batch is worked on, one thread reads the next. Every pass drops the same copies, since
 * it sees the same documents in the same order; if it does not, the inputs were changed meanwhile,
 * which the hash over all documents tells. */
#ifndef GW_CORPUS_PASS_H
#define GW_CORPUS_PASS_H

#include "base/pool.h"
#include "data/corpus.h"
#include "data/document.h"

typedef struct {
  GwFs *fs;
  GwPool *pool;
  const GwDocumentList *list;
  size_t segment_bytes; /* least size of a segment that is not a text's last; default 64 KiB */
} GwPassSource;

enum { GW_SEGMENT_BYTES = 1 << 16 };

typedef struct {
  uint64_t documents, duplicates; /* distinct; dropped as copies */
  uint64_t bytes;                 /* of distinct documents */
  uint64_t lowest, highest;       /* split keys: the low half of the documents' hashes */
  uint64_t cut;                   /* gw_text_tail of the first document */
  uint64_t hash;                  /* of all documents in order */
} GwSurvey;

/* Which text is held out: of a lone document its tail, else the documents whose key is below a
 * threshold. */
typedef struct {
  bool lone;
  uint64_t cut;       /* lone: the tail's first byte */
  uint64_t threshold; /* keys below it are validation */
} GwSplitRule;

/* With at least two documents and a fraction above 0, neither side is empty. */
GwSplitRule gw_split_rule(const GwSurvey *survey, double fraction);

/* A run of text; the segments of a part (a document, or its training or held-out part) follow one
 * another and joined together are the part. */
typedef struct {
  const char *text;
  size_t size;
  uint64_t document; /* its number in the inputs, copies counted */
  size_t part_bytes;
  GwSplit split;
  bool first, last; /* of the part */
  int slot;         /* what work made of it, for finish: where … */
  size_t result_begin, result_count;
} GwSegment;

typedef struct {
  const char *label; /* for the progress line */
  void *context;
  int slots; /* segments are worked on in at most this many places at once; >= 1 */
  /* Whether this part of the split is visited at all. */
  bool (*wants)(void *context, GwSplit split, uint64_t document);
  /* Called on any thread, but for one slot and for one thread never twice at a time. */
  GwStatus (*work)(void *context, GwSegment *segment, int slot, int thread);
  /* Called in order with segments that work has done; may be NULL. Slots are free again then. */
  GwStatus (*finish)(void *context, const GwSegment *segments, size_t count);
} GwPassVisitor;

/* `fraction` is that of gw_split_rule. */
GwStatus gw_pass_survey(const GwPassSource *source, double fraction, GwSurvey *out);
/* GW_MISMATCH when the documents are not those of the survey. */
GwStatus gw_pass_visit(const GwPassSource *source, const GwSurvey *survey, const GwSplitRule *rule,
                       const GwPassVisitor *visitor);

#endif
