/* Arrays that grow as elements are added, by doubling. */
#ifndef GW_GROW_H
#define GW_GROW_H

#include "base/base.h"

/* GW_GROW(list.items, list.capacity, list.count + 1): makes room for at least that many elements
 * of the malloc'd `array`; `capacity`, a size_t, says for how many there is room and begins
 * as 0 with NULL. false when there is no memory; then nothing has changed. */
#define GW_GROW(array, capacity, count)                                                            \
  gw__grow(&(array), &(capacity), (size_t)(count), sizeof *(array))
bool gw__grow(void *array, size_t *capacity, size_t count, size_t element_size);

#endif
