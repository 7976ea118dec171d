/* The recipe's schema: one table row per key, and all that follows from a row: checking a value's
 * text, writing a value, naming the nearest key, and the schema that libcyaml loads through. */
#ifndef GW_RECIPE_SCHEMA_H
#define GW_RECIPE_SCHEMA_H

#include <cyaml/cyaml.h>

#include "base/base.h"
#include "godwit/recipe.h"

typedef enum {
  GW_KEY_TEXT,
  GW_KEY_CHOICE,
  GW_KEY_BOOL,
  GW_KEY_I32,
  GW_KEY_I64,
  GW_KEY_U64,
  GW_KEY_BYTES, /* int64_t; "1500MB", "2GiB", "0" */
  GW_KEY_F64
} GwKeyType;

/* Whether a key is part of gw_recipe_identity. A younger key is so only when it differs from its
 * default: recipes from before it keep their identity. */
typedef enum { GW_IDENTITY_NO, GW_IDENTITY_YES, GW_IDENTITY_IF_SET } GwKeyIdentity;

typedef struct {
  const char *path; /* "train.optimizer.lr" */
  GwKeyType type;
  GwKeyIdentity identity;
  size_t offset, size; /* of its member in GwRecipe; text includes its final 0 */
  double min, max;     /* I32, I64, BYTES, F64 */
  const char *bounds;  /* "[]": both ends allowed; "(" and ")" exclude one */
  const cyaml_strval_t *choices;
  uint32_t choice_count;
  const char *meaning;
} GwRecipeKey;

enum {
  GW_RECIPE_KEYS = 45,        /* rows of gw__recipe_keys */
  GW_RECIPE_VALUE_BYTES = 640 /* enough for any value's text, 0 included */
};

/* In the order of the written form: the keys of a section stand together. */
extern const GwRecipeKey gw__recipe_keys[GW_RECIPE_KEYS];

/* The row of `path`, or -1. */
int gw__recipe_key_find(const char *path);
/* The number of the group of keys called `path`, such as "train.schedule", or -1. */
int gw__recipe_section_find(const char *path);
/* The valid key that is most likely meant by the unknown `path`; never NULL. */
const char *gw__recipe_key_nearest(const char *path);

/* Whether `text` is a value of this key: its form, its range, its choices. */
bool gw__recipe_value_valid(const GwRecipeKey *key, const char *text);
/* What such a value must be, in words. */
void gw__recipe_value_describe(const GwRecipeKey *key, char *out, size_t size);
/* The number that a valid text of a BYTES key stands for. */
int64_t gw__recipe_value_bytes(const char *text);
/* The text of the key's value in `recipe`; reads back to the same bits. */
void gw__recipe_value_format(const GwRecipeKey *key, const GwRecipe *recipe,
                             char out[GW_RECIPE_VALUE_BYTES]);

/* The whole recipe as YAML, malloc'd: values[i] is the text of key i, of a BYTES key for reading
 * through libcyaml a plain number. */
GwStatus gw__recipe_text(const char *const values[GW_RECIPE_KEYS], char **out);
/* Loads such a text through libcyaml; `name` stands for its origin in messages. */
GwStatus gw__recipe_text_load(const char *name, const char *text, GwRecipe *out);

#endif
