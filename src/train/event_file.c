/* A message is built in a small buffer and written as one record, so that no torn one stays. */
#include "train/event_file.h"

#include <string.h>

#include "base/crc32c.h"
#include "godwit/log.h"
#include "os/clock.h"

enum { MESSAGE_BYTES = 1024 };

typedef struct {
  uint8_t data[MESSAGE_BYTES];
  size_t size;
} Message;

/* ---- protobuf: a field is its number and kind, then the value ---- */

enum { KIND_VARINT = 0, KIND_FIXED64 = 1, KIND_BYTES = 2, KIND_FIXED32 = 5 };

static void put_raw(Message *to, const void *data, size_t size) {
  GW_ASSERT(size <= sizeof to->data - to->size);
  memcpy(to->data + to->size, data, size);
  to->size += size;
}

static void put_varint(Message *to, uint64_t value) {
  do {
    uint8_t byte = (uint8_t)(value & 127) | (value > 127 ? 128 : 0);
    put_raw(to, &byte, 1);
    value >>= 7;
  } while (value);
}

static void put_key(Message *to, uint32_t field, uint32_t kind) {
  put_varint(to, field << 3 | kind);
}

static void put_number(Message *to, uint32_t field, uint64_t value) {
  put_key(to, field, KIND_VARINT);
  put_varint(to, value);
}

static void put_f64(Message *to, uint32_t field, double value) {
  put_key(to, field, KIND_FIXED64);
  put_raw(to, &value, sizeof value);
}

static void put_f32(Message *to, uint32_t field, float value) {
  put_key(to, field, KIND_FIXED32);
  put_raw(to, &value, sizeof value);
}

static void put_bytes(Message *to, uint32_t field, const void *data, size_t size) {
  put_key(to, field, KIND_BYTES);
  put_varint(to, size);
  put_raw(to, data, size);
}

/* ---- events ---- */

enum { EVENT_WALL_TIME = 1, EVENT_STEP, EVENT_FILE_VERSION, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

static Message begin_event(void) {
  Message event = {.size = 0};
  put_f64(&event, EVENT_WALL_TIME, (double)gw_clock_wall_ns() * 1e-9);
  return event;
}

/* A checksum that is stored beside what it covers is masked, lest checksums of checksums agree. */
static uint32_t masked_crc(const void *data, size_t size) {
  uint32_t crc = gw_crc32c(data, size);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static GwStatus write_event(GwEventFile *events, const Message *event) {
  Message record = {.size = 0};
  uint64_t length = event->size;
  uint32_t length_crc = masked_crc(&length, sizeof length);
  uint32_t crc = masked_crc(event->data, event->size);
  put_raw(&record, &length, sizeof length);
  put_raw(&record, &length_crc, sizeof length_crc);
  put_raw(&record, event->data, event->size);
  put_raw(&record, &crc, sizeof crc);
  return events->fs->write(events->fs, events->file, record.data, record.size);
}

static GwStatus write_head(GwEventFile *events, int64_t first_step) {
  static const char version[] = "brain.Event:2";
  Message event = begin_event(), session = {.size = 0};
  put_bytes(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
  GW_TRY(write_event(events, &event));
  event = begin_event();
  put_number(&session, SESSION_STATUS, SESSION_START);
  put_number(&event, EVENT_STEP, (uint64_t)first_step);
  put_bytes(&event, EVENT_SESSION, session.data, session.size);
  return write_event(events, &event);
}

/* Readers take the files of a folder in the order of their names, and only those with this word. */
static GwStatus create(GwEventFile *events, const char *dir) {
  char path[GW_PATH_MAX];
  int64_t now = gw_clock_wall_ns();
  GW_TRY(gw_fs_path(path, "%s/events.out.tfevents.%010lld.%09lld.godwit", dir,
                    (long long)(now / 1000000000), (long long)(now % 1000000000)));
  GW_TRY(gw_fs_make_dirs(events->fs, dir));
  return events->fs->open(events->fs, path, GW_FILE_APPEND, &events->file);
}

void gw_event_file_open(GwFs *fs, const char *dir, int64_t first_step, GwEventFile *out) {
  *out = (GwEventFile){.fs = fs};
  GwStatus status = create(out, dir);
  if (status == GW_OK) status = write_head(out, first_step);
  if (status == GW_OK) return;
  gw_log(GW_LOG_WARNING, "the run goes on without TensorBoard's file: %s", gw_error_message());
  gw_event_file_close(out);
}

void gw_event_file_add(GwEventFile *events, int64_t step, const GwScalar *scalars, int count) {
  if (!events->file) return;
  Message event = begin_event(), summary = {.size = 0};
  for (int i = 0; i < count; i++) {
    Message value = {.size = 0};
    put_bytes(&value, VALUE_TAG, scalars[i].tag, strlen(scalars[i].tag));
    put_f32(&value, VALUE_SIMPLE, (float)scalars[i].value);
    put_bytes(&summary, SUMMARY_VALUE, value.data, value.size);
  }
  put_number(&event, EVENT_STEP, (uint64_t)step);
  put_bytes(&event, EVENT_SUMMARY, summary.data, summary.size);
  if (write_event(events, &event) == GW_OK || events->warned) return;
  events->warned = true;
  gw_log(GW_LOG_WARNING, "events for TensorBoard are lost: %s", gw_error_message());
}

void gw_event_file_close(GwEventFile *events) {
  if (events->file) events->fs->close(events->fs, events->file);
  events->file = NULL;
}
