/* One realloc; the pointer is copied bytewise, as its type is not known here. */
#include "base/grow.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

bool gw__grow(void *array, size_t *capacity, size_t count, size_t element_size) {
  if (count <= *capacity) return true;
  size_t wanted = *capacity < FIRST_CAPACITY ? FIRST_CAPACITY : *capacity * 2, bytes;
  if (wanted < count) wanted = count;
  if (!gw_mul_size(wanted, element_size, &bytes)) return false;
  void *old;
  memcpy(&old, array, sizeof old);
  void *grown = realloc(old, bytes);
  if (!grown) return false;
  memcpy(array, &grown, sizeof grown);
  *capacity = wanted;
  return true;
}
