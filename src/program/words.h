/* The words of the text form, shared by the printer, the parser, the verifier and the summary. */
#ifndef GW_WORDS_H
#define GW_WORDS_H

#include "program/program.h"

enum { GW_UNITS_MAX = 32 };

const char *gw__class_name(GwClass class);
/* false when no class has that name */
bool gw__class_from_name(const char *name, GwClass *out);

/* Names consist of letters, digits and "_.-/:", so that they end at a space, a comma or a bracket;
 * "-" alone stands for no name. */
bool gw__name_character(char c);
bool gw__name_valid(const char *name);

/* Larger types and buffers are refused, so that no shape rule, cost or plan overflows 64 bits. */
#define GW_PROGRAM_ELEMENTS_MAX (INT64_C(1) << 40) /* of one value */
#define GW_PROGRAM_BYTES_MAX (INT64_C(1) << 60)    /* of one class */

/* Known element type, rank in range, dimensions positive, not too many elements. */
bool gw__type_valid(const GwType *type);

/* Neither infinite nor NaN. */
static inline bool gw__finite(double x) { return x - x == 0; }

/* A quantity for people, three digits and a decimal prefix: "1.23 MFLOP". Returns `out`. */
const char *gw__units(char out[GW_UNITS_MAX], double quantity, const char *unit);

#endif
