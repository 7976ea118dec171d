/* What every test needs: cmocka with its prerequisites, a seed that is printed, a scratch folder.
 */
#ifndef GW_TEST_SUPPORT_H
#define GW_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* after its prerequisites */

#include "base/base.h"
#include "base/rng.h"

/* The test's random numbers: seed from argv[1] when given (to repeat a failure), else `fallback`;
 * printed either way. */
uint64_t gw_test_seed(int argc, char **argv, uint64_t fallback);

/* A fresh empty folder under the build tree, unique to this process; removed by the next call with
 * the same name. The string is static. */
const char *gw_test_folder(const char *name);

/* The path of ../shared/data/NAME, or NULL where it is absent (then the test skips, saying so). */
const char *gw_test_shared(const char *name);

#define assert_ok(expression)                                                                      \
  do {                                                                                             \
    GwStatus status_ = (expression);                                                               \
    if (status_ != GW_OK) fail_msg("%s: %s", gw_status_text(status_), gw_error_message());         \
  } while (0)

/* The call must fail with `expected` and a message that contains `part`. */
#define assert_fails(expected, part, expression)                                                   \
  do {                                                                                             \
    GwStatus status_ = (expression);                                                               \
    if (status_ != (expected))                                                                     \
      fail_msg("got '%s', wanted '%s'", gw_status_text(status_), gw_status_text(expected));        \
    if (!strstr(gw_error_message(), (part)))                                                       \
      fail_msg("message '%s' does not name '%s'", gw_error_message(), (part));                     \
  } while (0)

#endif
