/* Names of classes, what a name may look like, and quantities with decimal prefixes. */
#include "program/words.h"

#include <string.h>

static const char *const class_names[] = {
#define X(id, name, text) name,
    GW_CLASS_LIST(X)
#undef X
};

const char *gw__class_name(GwClass class) {
  GW_ASSERT((unsigned)class < GW_CLASS_COUNT);
  return class_names[class];
}

bool gw__class_from_name(const char *name, GwClass *out) {
  for (int i = 0; i < GW_CLASS_COUNT; i++) {
    if (strcmp(class_names[i], name) != 0) continue;
    *out = (GwClass)i;
    return true;
  }
  return false;
}

bool gw__name_character(char c) {
  bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  bool digit = c >= '0' && c <= '9';
  return letter || digit || (c != 0 && strchr("_.-/:", c));
}

bool gw__name_valid(const char *name) {
  size_t length = strnlen(name, GW_NAME_MAX);
  if (length == 0 || length == GW_NAME_MAX || strcmp(name, "-") == 0) return false;
  for (size_t i = 0; i < length; i++)
    if (!gw__name_character(name[i])) return false;
  return true;
}

bool gw__type_valid(const GwType *type) {
  if ((unsigned)type->dtype >= GW_DTYPE_COUNT || type->rank < 0 || type->rank > GW_RANK_MAX)
    return false;
  int64_t count = 1;
  for (int i = 0; i < type->rank; i++)
    if (type->dim[i] < 1 || !gw_mul_i64(count, type->dim[i], &count) ||
        count > GW_PROGRAM_ELEMENTS_MAX)
      return false;
  return true;
}

const char *gw__units(char out[GW_UNITS_MAX], double quantity, const char *unit) {
  static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t prefix = 0;
  while (quantity >= 999.5 && prefix + 1 < GW_COUNT_OF(prefixes)) {
    quantity /= 1000;
    prefix++;
  }
  int decimals = prefix == 0 || quantity >= 99.95 ? 0 : quantity >= 9.995 ? 1 : 2;
  const char *space = prefix == 0 && !*unit ? "" : " ";
  snprintf(out, GW_UNITS_MAX, "%.*f%s%s%s", decimals, quantity, space, prefixes[prefix], unit);
  return out;
}
