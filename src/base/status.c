/* Status texts and the per-thread message of the latest failure. */
#include "godwit/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char latest_message[1024];

const char *gw_status_text(GwStatus status) {
  static const char *const texts[] = {
#define X(name, text) text,
      GW_STATUS_LIST(X)
#undef X
  };
  return (unsigned)status < GW_STATUS_COUNT ? texts[status] : "unknown status";
}

int gw_status_exit_code(GwStatus status) {
  if (status == GW_OK) return 0;
  return status == GW_USAGE ? 2 : 1;
}

GwStatus gw_fail(GwStatus status, const char *format, ...) {
  char text[sizeof latest_message]; /* aside, so that a message may quote the one before it */
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  snprintf(latest_message, sizeof latest_message, "%s", text);
  return status;
}

const char *gw_error_message(void) { return latest_message; }
