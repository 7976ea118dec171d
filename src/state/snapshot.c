/* The areas of snapshots: names, headers, and the one pass that hashes and copies: block by block,
 * each in the cache when it is copied, and past the caches into the area, which is read only after
 * a death. */
#include "state/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash64.h"
#include "base/stream_copy.h"
#include "godwit/log.h"

enum { VERSION = 1, PAYLOAD_AT = 4096, MESSAGE_BYTES = 512 };
#define MAGIC UINT64_C(0x70616e7374776467) /* "gdwtsnap" */

typedef struct {
  uint64_t magic, version;
  GwSnapshotInfo info;
  uint64_t bytes;        /* of the payload */
  uint64_t payload_hash; /* gw_hash_blocks */
  _Atomic uint64_t seal; /* hash of all above; 0: it is being written */
} Header;

/* ---- names ---- */

typedef struct {
  uint64_t run;
  int32_t share, shares, copy, slot;
} Place;

static void prefix_of(uint64_t run, char out[GW_SHARED_NAME_MAX]) {
  snprintf(out, GW_SHARED_NAME_MAX, "godwit-%016" PRIx64 "-snap-", run);
}

static GwStatus each_area(uint64_t run, GwStatus (*visit)(void *context, const char *name),
                          void *context) {
  char prefix[GW_SHARED_NAME_MAX];
  prefix_of(run, prefix);
  return gw_shared_list(prefix, visit, context);
}

static void name_of(const Place *place, char out[GW_SHARED_NAME_MAX]) {
  prefix_of(place->run, out);
  size_t used = strlen(out);
  snprintf(out + used, GW_SHARED_NAME_MAX - used, "%" PRId32 "of%" PRId32 "-%" PRId32 "-%" PRId32,
           place->share, place->shares, place->copy, place->slot);
}

static bool parse_name(const char *name, Place *out) {
  char again[GW_SHARED_NAME_MAX];
  int read =
      sscanf(name, "godwit-%16" SCNx64 "-snap-%9" SCNd32 "of%9" SCNd32 "-%1" SCNd32 "-%1" SCNd32,
             &out->run, &out->share, &out->shares, &out->copy, &out->slot);
  if (read != 5 || out->share >= out->shares || out->copy > 1 || out->slot > 1) return false;
  name_of(out, again);
  return strcmp(name, again) == 0;
}

/* ---- headers ---- */

static uint64_t seal_of(const Header *header) {
  return gw_hash_bytes(header, offsetof(Header, seal), 0);
}

/* GW_NOT_FOUND when it was never sealed, GW_CORRUPT when it is not to be trusted. */
static GwStatus read_header(const Place *place, const GwShared *area, Header *out) {
  char name[GW_SHARED_NAME_MAX];
  name_of(place, name);
  if (area->bytes < PAYLOAD_AT)
    return gw_fail(GW_CORRUPT, "snapshot %s is cut short: %zu bytes", name, area->bytes);
  Header *there = area->data;
  uint64_t seal = atomic_load_explicit(&there->seal, memory_order_acquire);
  memcpy(out, there, offsetof(Header, seal));
  if (seal == 0)
    return gw_fail(GW_NOT_FOUND, "snapshot %s is not whole: its writer has not finished it", name);
  if (out->magic != MAGIC || out->version != VERSION)
    return gw_fail(GW_CORRUPT, "snapshot %s is damaged or of another version of godwit", name);
  if (seal != seal_of(out)) return gw_fail(GW_CORRUPT, "snapshot %s has a damaged header", name);
  if (out->bytes > area->bytes - PAYLOAD_AT)
    return gw_fail(GW_CORRUPT, "snapshot %s is cut short: %zu of %" PRIu64 " bytes", name,
                   area->bytes - PAYLOAD_AT, out->bytes);
  const GwSnapshotInfo *info = &out->info;
  if (info->run != place->run || info->share != place->share || info->shares != place->shares)
    return gw_fail(GW_CORRUPT,
                   "snapshot %s is of run %016" PRIx64 ", share %" PRId32 " of %" PRId32
                   ": it has another's name",
                   name, info->run, info->share, info->shares);
  return GW_OK;
}

/* ---- content ---- */

static size_t bytes_of(const GwSpan *spans, int32_t count) {
  size_t sum = 0;
  for (int32_t i = 0; i < count; i++) sum += spans[i].bytes;
  return sum;
}

uint64_t gw_snapshot_layout(const GwSpan *spans, int32_t count) {
  uint64_t hash = 0;
  for (int32_t i = 0; i < count; i++) {
    uint64_t bytes = spans[i].bytes;
    hash = gw_hash_bytes(&bytes, sizeof bytes, hash);
  }
  return gw_hash_bytes(&count, sizeof count, hash);
}

typedef struct {
  const GwSpan *spans;
  size_t done; /* bytes of the first of them */
} Cursor;

/* The next bytes of the spans that lie in one piece, `bytes` of them at most. */
static GwSpan next_piece(Cursor *at, size_t bytes) {
  for (; at->done == at->spans->bytes; at->done = 0) at->spans++;
  size_t left = at->spans->bytes - at->done, part = bytes < left ? bytes : left;
  GwSpan piece = {(char *)at->spans->data + at->done, part};
  at->done += part;
  return piece;
}

/* The next block of the spans: where it is, or gathered in `buffer`. */
static const char *next_block(Cursor *at, size_t bytes, char *buffer) {
  GwSpan piece = next_piece(at, bytes);
  if (piece.bytes == bytes) return piece.data;
  for (size_t done = 0;; piece = next_piece(at, bytes - done)) {
    memcpy(buffer + done, piece.data, piece.bytes);
    done += piece.bytes;
    if (done == bytes) return buffer;
  }
}

static size_t block_bytes(size_t bytes, size_t at) {
  return bytes - at < GW_HASH_BLOCK ? bytes - at : GW_HASH_BLOCK;
}

/* Copies the spans to the payload; its hash. */
static uint64_t copy_in(char *payload, size_t bytes, const GwSpan *spans) {
  char buffer[GW_HASH_BLOCK];
  Cursor cursor = {spans, 0};
  uint64_t sum = 0;
  for (size_t at = 0, part; at < bytes; at += part) {
    part = block_bytes(bytes, at);
    const char *block = next_block(&cursor, part, buffer);
    sum += gw_hash_blocks(block, part, at / GW_HASH_BLOCK, 0);
    gw_stream_copy(payload + at, block, part);
  }
  gw_stream_copy_end();
  return sum;
}

/* Copies the payload to the spans; its hash. */
static uint64_t copy_out(const char *payload, size_t bytes, const GwSpan *spans) {
  Cursor cursor = {spans, 0};
  uint64_t sum = 0;
  for (size_t at = 0, part; at < bytes; at += part) {
    part = block_bytes(bytes, at);
    sum += gw_hash_blocks(payload + at, part, at / GW_HASH_BLOCK, 0);
    for (size_t done = 0; done < part;) {
      GwSpan piece = next_piece(&cursor, part - done);
      memcpy(piece.data, payload + at + done, piece.bytes);
      done += piece.bytes;
    }
  }
  return sum;
}

/* ---- writing ---- */

static Place place_of(const GwSnapshotWriter *writer, int32_t slot) {
  return (Place){writer->run, writer->share, writer->shares, writer->copy, slot};
}

/* Closes a slot, and takes it away if it holds nothing. */
static void give_up(const Place *place, GwShared *area) {
  char name[GW_SHARED_NAME_MAX];
  Header header;
  name_of(place, name);
  if (read_header(place, area, &header) != GW_OK) gw_shared_remove(name);
  gw_shared_close(area);
}

static GwStatus open_slot(const Place *place, size_t bytes, GwShared *out) {
  char name[GW_SHARED_NAME_MAX];
  GwShared area = {0};
  name_of(place, name);
  if (gw_shared_open(name, &area) == GW_OK && area.bytes != bytes) gw_shared_close(&area);
  if (!area.data) GW_TRY(gw_shared_create(name, bytes, &area));
  *out = area;
  return gw_shared_reserve(&area, name, 0, bytes);
}

GwStatus gw_snapshot_writer_create(uint64_t run, int32_t share, int32_t shares, int32_t copy,
                                   size_t bytes, GwSnapshotWriter *out) {
  GW_ASSERT(share >= 0 && share < shares && (copy == 0 || copy == 1));
  GwSnapshotWriter writer = {.run = run, .share = share, .shares = shares, .copy = copy};
  GwStatus status = GW_OK;
  char message[MESSAGE_BYTES];
  for (int32_t i = 0; i < 2 && status == GW_OK; i++) {
    Place place = place_of(&writer, i);
    status = open_slot(&place, PAYLOAD_AT + bytes, &writer.slot[i]);
  }
  if (status == GW_OK) {
    *out = writer;
    return GW_OK;
  }
  snprintf(message, sizeof message, "%s", gw_error_message());
  for (int32_t i = 0; i < 2; i++) {
    Place place = place_of(&writer, i);
    if (writer.slot[i].data) give_up(&place, &writer.slot[i]);
  }
  return gw_fail(status, "%s", message);
}

void gw_snapshot_writer_destroy(GwSnapshotWriter *writer) {
  for (int i = 0; i < 2; i++) gw_shared_close(&writer->slot[i]);
}

static bool is_whole(const GwSnapshotWriter *writer, int32_t slot, Header *out) {
  Place place = place_of(writer, slot);
  return read_header(&place, &writer->slot[slot], out) == GW_OK;
}

static void break_seal(Header *header) {
  atomic_store_explicit(&header->seal, 0, memory_order_relaxed);
  atomic_thread_fence(memory_order_release); /* before anything else is written */
}

void gw_snapshot_cut(GwSnapshotWriter *writer, int64_t step) {
  Header header;
  for (int32_t i = 0; i < 2; i++)
    if (is_whole(writer, i, &header) && header.info.step > step) break_seal(writer->slot[i].data);
}

/* The slot that is not whole, else the one of the lower step, of the lower epoch. */
static int32_t slot_to_fill(const GwSnapshotWriter *writer) {
  Header header[2];
  for (int32_t i = 0; i < 2; i++)
    if (!is_whole(writer, i, &header[i])) return i;
  const GwSnapshotInfo *a = &header[0].info, *b = &header[1].info;
  if (a->step != b->step) return a->step > b->step;
  return a->epoch > b->epoch;
}

/* What the payload is, when it is there. */
static void seal(Header *there, const Header *header) {
  memcpy(there, header, offsetof(Header, seal));
  atomic_store_explicit(&there->seal, seal_of(header), memory_order_release);
}

void gw_snapshot_put(GwSnapshotWriter *writer, const GwSnapshotInfo *info, const GwSpan *spans,
                     int32_t count) {
  GW_ASSERT(info->run == writer->run && info->step >= 0);
  GW_ASSERT(info->share == writer->share && info->shares == writer->shares);
  gw_snapshot_cut(writer, info->step);
  const GwShared *area = &writer->slot[slot_to_fill(writer)];
  Header header = {MAGIC, VERSION, *info, bytes_of(spans, count), 0, 0}, *there = area->data;
  GW_ASSERT(header.bytes <= area->bytes - PAYLOAD_AT);
  break_seal(there);
  header.payload_hash = copy_in((char *)area->data + PAYLOAD_AT, header.bytes, spans);
  seal(there, &header);
}

/* ---- a copy on another node ---- */

int32_t gw_snapshot_partner(const int32_t *host_of, int32_t ranks, int32_t slots, int32_t rank) {
  int32_t other = (rank + slots) % ranks;
  if (host_of[other] != host_of[rank]) return other;
  other = ranks - 1; /* ranks of the last host are fewer than its slots */
  return host_of[other] != host_of[rank] ? other : 0;
}

void gw_snapshot_card(const GwSnapshotWriter *writer, GwSnapshotCard *card, void **payload) {
  int32_t slot = 1 - slot_to_fill(writer);
  Header header;
  bool whole = is_whole(writer, slot, &header);
  GW_ASSERT(whole);
  *card = (GwSnapshotCard){header.info, header.bytes, header.payload_hash};
  *payload = (char *)writer->slot[slot].data + PAYLOAD_AT;
}

void *gw_snapshot_receive(GwSnapshotWriter *writer) {
  writer->filling = slot_to_fill(writer);
  break_seal(writer->slot[writer->filling].data);
  return (char *)writer->slot[writer->filling].data + PAYLOAD_AT;
}

GwStatus gw_snapshot_accept(GwSnapshotWriter *writer, const GwSnapshotCard *card) {
  const GwShared *area = &writer->slot[writer->filling];
  const GwSnapshotInfo *info = &card->info;
  if (info->run != writer->run || info->share != writer->share || info->shares != writer->shares ||
      card->bytes > area->bytes - PAYLOAD_AT ||
      gw_hash_blocks((char *)area->data + PAYLOAD_AT, card->bytes, 0, 0) != card->payload_hash)
    return gw_fail(GW_CORRUPT,
                   "the copy of share %" PRId32 " of step %" PRId64
                   " has not arrived as it was sent",
                   info->share, info->step);
  gw_snapshot_cut(writer, info->step);
  seal(area->data, &(Header){MAGIC, VERSION, *info, card->bytes, card->payload_hash, 0});
  return GW_OK;
}

/* ---- reading ---- */

/* Opens the area of `place` and reads its header. */
static GwStatus open_whole(const Place *place, GwShared *out, Header *header) {
  char name[GW_SHARED_NAME_MAX];
  GwShared area;
  name_of(place, name);
  GW_TRY(gw_shared_open(name, &area));
  GwStatus status = read_header(place, &area, header);
  if (status != GW_OK) gw_shared_close(&area);
  if (status == GW_OK) *out = area;
  return status;
}

typedef struct {
  GwStatus (*visit)(void *context, const GwSnapshotInfo *info, uint64_t bytes);
  void *context;
} Visitor;

static GwStatus visit_area(void *context, const char *name) {
  const Visitor *visitor = context;
  Place place;
  Header header;
  GwShared area;
  if (!parse_name(name, &place)) return GW_OK;
  GwStatus status = open_whole(&place, &area, &header);
  if (status != GW_OK) {
    gw_log(status == GW_NOT_FOUND ? GW_LOG_INFO : GW_LOG_WARNING, "%s; not used",
           gw_error_message());
    return GW_OK;
  }
  gw_shared_close(&area);
  return visitor->visit(visitor->context, &header.info, header.bytes);
}

GwStatus gw_snapshot_find(uint64_t run,
                          GwStatus (*visit)(void *context, const GwSnapshotInfo *info,
                                            uint64_t bytes),
                          void *context) {
  return each_area(run, visit_area, &(Visitor){visit, context});
}

typedef struct {
  int64_t step;
  bool found;
} Wanted;

static GwStatus look_for_step(void *context, const char *name) {
  Wanted *wanted = context;
  Place place;
  Header header;
  GwShared area;
  if (!parse_name(name, &place) || open_whole(&place, &area, &header) != GW_OK) return GW_OK;
  wanted->found = wanted->found || header.info.step == wanted->step;
  gw_shared_close(&area);
  return GW_OK;
}

bool gw_snapshot_held(uint64_t run, int64_t step) {
  Wanted wanted = {step, false};
  return each_area(run, look_for_step, &wanted) == GW_OK && wanted.found;
}

static GwStatus check_fit(const GwSnapshotInfo *info, const Header *header, size_t bytes) {
  const GwSnapshotInfo *there = &header->info;
  if (there->epoch != info->epoch || there->step != info->step ||
      there->state_hash != info->state_hash)
    return gw_fail(GW_NOT_FOUND, "a snapshot of another state");
  if (there->layout == info->layout && header->bytes == bytes) return GW_OK;
  return gw_fail(GW_MISMATCH,
                 "the snapshot of step %" PRId64 " has %" PRIu64 " bytes in layout %016" PRIx64
                 ", wanted are %zu in %016" PRIx64 ": it is of other tensors or other shares",
                 info->step, header->bytes, there->layout, bytes, info->layout);
}

static GwStatus load(const Place *place, const GwSnapshotInfo *info, const GwSpan *spans,
                     size_t bytes) {
  char name[GW_SHARED_NAME_MAX];
  Header header;
  GwShared area;
  GW_TRY(open_whole(place, &area, &header));
  GwStatus status = check_fit(info, &header, bytes);
  if (status == GW_OK) {
    name_of(place, name);
    uint64_t hash = copy_out((char *)area.data + PAYLOAD_AT, bytes, spans);
    if (hash != header.payload_hash)
      status = gw_fail(GW_CORRUPT, "snapshot %s has damaged content", name);
  }
  gw_shared_close(&area);
  return status;
}

GwStatus gw_snapshot_get(const GwSnapshotInfo *info, const GwSpan *spans, int32_t count) {
  char message[MESSAGE_BYTES];
  size_t bytes = bytes_of(spans, count);
  GwStatus worst = GW_NOT_FOUND;
  for (int32_t i = 0; i < 4; i++) {
    Place place = {info->run, info->share, info->shares, i / 2, i % 2};
    GwStatus status = load(&place, info, spans, bytes);
    if (status == GW_OK || status == GW_MISMATCH) return status;
    if (status == GW_NOT_FOUND) continue;
    gw_log(GW_LOG_WARNING, "%s; not used", gw_error_message());
    snprintf(message, sizeof message, "%s", gw_error_message());
    worst = status;
  }
  if (worst != GW_NOT_FOUND) return gw_fail(worst, "%s", message);
  return gw_fail(GW_NOT_FOUND,
                 "no snapshot of step %" PRId64 ", share %" PRId32 " of %" PRId32 ", on this node",
                 info->step, info->share, info->shares);
}

/* ---- removing ---- */

static GwStatus remove_area(void *context, const char *name) {
  const int32_t *kept = context;
  Place place;
  if (!parse_name(name, &place) || place.shares != *kept) gw_shared_remove(name);
  return GW_OK;
}

GwStatus gw_snapshot_remove_others(uint64_t run, int32_t shares) {
  return each_area(run, remove_area, &shares);
}

GwStatus gw_snapshot_remove_all(uint64_t run) { return gw_snapshot_remove_others(run, 0); }

static GwStatus remove_if_empty(void *context, const char *name) {
  (void)context;
  Place place;
  GwShared area;
  if (!parse_name(name, &place)) return GW_OK;
  GwStatus status = gw_shared_open(name, &area);
  if (status == GW_OK) give_up(&place, &area);
  if (status == GW_CORRUPT) gw_shared_remove(name); /* not even made to its end */
  return GW_OK;
}

GwStatus gw_snapshot_remove_empty(uint64_t run) { return each_area(run, remove_if_empty, NULL); }
