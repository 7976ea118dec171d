/* The outline of a recipe: for each key, the text of its value and where it stands. It is read with
 * libyaml's events, so that every error can name its line, and strictly: the recipe is a mapping of
 * mappings of plain values; sequences, anchors, aliases, tags and a second document are refused. */
#ifndef GW_RECIPE_OUTLINE_H
#define GW_RECIPE_OUTLINE_H

#include "base/arena.h"
#include "model/recipe_schema.h"

enum { GW_RECIPE_BYTES_MAX = 65536 };

typedef struct {
  const char *text;     /* NULL: not given */
  bool plain;           /* written without quotes */
  int line;             /* of the key in the file, from 1 */
  const char *override; /* the argument that gave it, or NULL */
} GwRecipeEntry;

typedef struct {
  const char *name; /* the file, for messages */
  GwArena arena;    /* holds the texts */
  GwRecipeEntry entries[GW_RECIPE_KEYS];
} GwRecipeOutline;

void gw__recipe_outline_init(GwRecipeOutline *outline, const char *name);
void gw__recipe_outline_deinit(GwRecipeOutline *outline);

/* Reads a YAML text. */
GwStatus gw__recipe_outline_read(GwRecipeOutline *outline, const char *text, size_t size);
/* Puts the value of "key=value" in place of what is there; GW_USAGE when it is no such thing.
 * `argument` must outlive the outline. */
GwStatus gw__recipe_outline_override(GwRecipeOutline *outline, const char *argument);
/* Every value that was given has the form and lies in the range that the schema wants. */
GwStatus gw__recipe_outline_check(const GwRecipeOutline *outline);

/* The error "PLACE: KEY <message>", where the place is the key's line or override; GW_USAGE for an
 * override, else GW_INVALID. */
GwStatus gw__recipe_outline_reject(const GwRecipeOutline *outline, const char *path,
                                   const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
