/* The table of keys and the functions that read it. A new key is a member of GwRecipe and a row
 * here. */
#include "model/recipe_schema.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/suggest.h"

static const cyaml_strval_t profiles[] = {{"f32", GW_PROFILE_F32}, {"bf16", GW_PROFILE_BF16}};
static const cyaml_strval_t families[] = {{"llama", GW_FAMILY_LLAMA}, {"gpt2", GW_FAMILY_GPT2}};
static const cyaml_strval_t activations[] = {
    {"swiglu", GW_ACTIVATION_SWIGLU}, {"gelu", GW_ACTIVATION_GELU}, {"relu2", GW_ACTIVATION_RELU2}};
static const cyaml_strval_t schedules[] = {{"cosine", GW_SCHEDULE_COSINE},
                                           {"linear", GW_SCHEDULE_LINEAR},
                                           {"wsd", GW_SCHEDULE_WSD},
                                           {"constant", GW_SCHEDULE_CONSTANT}};

const char *gw_profile_name(GwProfile profile) { return profiles[profile].str; }

#define PLACE(member) offsetof(GwRecipe, member), sizeof(((GwRecipe *)NULL)->member)
#define TEXT(member, identity, meaning)                                                            \
  { #member, GW_KEY_TEXT, identity, PLACE(member), 0, 0, "", NULL, 0, meaning }
#define CHOICE(member, choices, meaning)                                                           \
  {                                                                                                \
#member, GW_KEY_CHOICE, GW_IDENTITY_YES, PLACE(member), 0, 0, "", choices,                     \
        GW_COUNT_OF(choices), meaning                                                              \
  }
#define BOOL(member, identity, meaning)                                                            \
  { #member, GW_KEY_BOOL, identity, PLACE(member), 0, 0, "", NULL, 0, meaning }
#define U64(member, meaning)                                                                       \
  { #member, GW_KEY_U64, GW_IDENTITY_YES, PLACE(member), 0, 0, "", NULL, 0, meaning }
#define I32(member, min, max, identity, meaning)                                                   \
  { #member, GW_KEY_I32, identity, PLACE(member), min, max, "[]", NULL, 0, meaning }
#define I64(member, min, max, identity, meaning)                                                   \
  { #member, GW_KEY_I64, identity, PLACE(member), min, max, "[]", NULL, 0, meaning }
#define BYTES(member, max, identity, meaning)                                                      \
  { #member, GW_KEY_BYTES, identity, PLACE(member), 0, max, "[]", NULL, 0, meaning }
#define F64(member, bounds, min, max, meaning)                                                     \
  { #member, GW_KEY_F64, GW_IDENTITY_YES, PLACE(member), min, max, bounds, NULL, 0, meaning }
#define IN_IDENTITY GW_IDENTITY_YES
#define NOT_IN_IDENTITY GW_IDENTITY_NO

const GwRecipeKey gw__recipe_keys[GW_RECIPE_KEYS] = {
    TEXT(name, NOT_IN_IDENTITY, "what the run is called"),
    {"dtype", GW_KEY_CHOICE, GW_IDENTITY_IF_SET, PLACE(model.dtype), 0, 0, "", profiles,
     GW_COUNT_OF(profiles), "of the operands of matrix products"},

    CHOICE(model.family, families, "architecture"),
    I32(model.layers, 1, 1024, IN_IDENTITY, "blocks"),
    I32(model.width, 2, 65536, IN_IDENTITY, "size of the residual stream"),
    I32(model.heads, 1, 1024, IN_IDENTITY, "query heads"),
    I32(model.head_width, 0, 256, GW_IDENTITY_IF_SET, "size of a head; 0 is width / heads"),
    I32(model.kv_heads, 0, 1024, IN_IDENTITY, "key and value heads; 0 is as many as heads"),
    I32(model.hidden, 0, 1 << 20, IN_IDENTITY, "inner size of the MLP; 0 is the family's usual"),
    I32(model.context, 1, 1 << 20, IN_IDENTITY, "tokens per sequence"),
    I32(model.vocab_size, 0, 1 << 24, IN_IDENTITY, "tokens in the vocabulary; 0 is the data's"),
    CHOICE(model.activation, activations, "of the MLP"),
    BOOL(model.qk_norm, IN_IDENTITY, "normalise each head's query and key"),
    BOOL(model.tie_embeddings, IN_IDENTITY, "the output head is the token embedding"),
    I32(model.window, 0, 1 << 20, IN_IDENTITY, "tokens that attention looks back; 0 is all"),
    F64(model.rope_theta, "(]", 1, 1e12, "base of the rotary frequencies"),
    F64(model.norm_epsilon, "(]", 0, 1, "added to the variance"),
    F64(model.dropout, "[)", 0, 1, "probability of dropping"),
    F64(model.z_loss, "[]", 0, 1, "coefficient; 0 is off"),
    F64(model.init_std, "[]", 0, 10, "standard deviation of the initial weights"),

    I64(train.steps, 1, 1e12, NOT_IN_IDENTITY, "optimizer steps"),
    U64(train.seed, "initial values and dropout"),
    I32(train.lanes, 1, 65536, IN_IDENTITY, "lanes per step"),
    I32(train.lane_batch, 1, 65536, IN_IDENTITY, "sequences per lane"),
    I64(train.log_every, 0, 1e12, NOT_IN_IDENTITY, "steps; 0 is never"),
    I64(train.validate_every, 0, 1e12, NOT_IN_IDENTITY, "steps; 0 is never"),
    I64(train.checkpoint_every, 0, 1e12, NOT_IN_IDENTITY, "steps; 0 is at the end only"),
    I64(train.snapshot_every, 0, 1e12, NOT_IN_IDENTITY, "steps, with ranks; 0 is never"),
    I64(train.validate_tokens, 0, 1e15, NOT_IN_IDENTITY, "at most, while training; 0 is all"),
    I32(train.keep_checkpoints, 1, 1e6, NOT_IN_IDENTITY, "the newest are kept"),
    BOOL(train.keep_packed, NOT_IN_IDENTITY, "weights stay packed for the lanes of a step"),
    BYTES(train.memory_limit, 1e15, NOT_IN_IDENTITY, "of all that training plans; 0 is none"),
    F64(train.optimizer.lr, "[]", 0, 100, "peak learning rate"),
    F64(train.optimizer.beta1, "[)", 0, 1, "decay of the first moment"),
    F64(train.optimizer.beta2, "[)", 0, 1, "decay of the second moment"),
    F64(train.optimizer.epsilon, "(]", 0, 1, "added to the root of the second moment"),
    F64(train.optimizer.weight_decay, "[]", 0, 100, "decoupled"),
    BOOL(train.optimizer.decay_embeddings, IN_IDENTITY, "whether embeddings are decayed too"),
    F64(train.optimizer.clip_norm, "[]", 0, 1e9, "largest gradient norm; 0 is off"),
    CHOICE(train.schedule.kind, schedules, "how the learning rate falls after the warm-up"),
    I64(train.schedule.warmup_steps, 0, 1e12, IN_IDENTITY, "linear from 0"),
    F64(train.schedule.final_fraction, "[]", 0, 1, "last learning rate / peak"),
    F64(train.schedule.decay_fraction, "(]", 0, 1, "wsd: the part of the run that decays"),

    TEXT(data.dir, NOT_IN_IDENTITY, "the folder that `godwit prepare` wrote, or token files"),
    U64(data.seed, "order of the windows"),
};

/* Parents stand before their sections; `name` is the last component. */
static const struct {
  const char *path, *name;
  int parent, depth;
} sections[] = {{"", "", -1, 0},
                {"model", "model", 0, 1},
                {"train", "train", 0, 1},
                {"train.optimizer", "optimizer", 2, 2},
                {"train.schedule", "schedule", 2, 2},
                {"data", "data", 0, 1}};
enum { SECTIONS = GW_COUNT_OF(sections) };

static const char *last_component(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot ? dot + 1 : path;
}

static int section_of(const char *path) {
  size_t length = (size_t)(last_component(path) - path);
  if (length > 0) length--; /* the dot */
  for (int i = 0; i < SECTIONS; i++)
    if (strlen(sections[i].path) == length && memcmp(sections[i].path, path, length) == 0) return i;
  GW_ASSERT(false); /* a key whose section is not in the list */
  return 0;
}

int gw__recipe_key_find(const char *path) {
  for (int i = 0; i < GW_RECIPE_KEYS; i++)
    if (strcmp(gw__recipe_keys[i].path, path) == 0) return i;
  return -1;
}

int gw__recipe_section_find(const char *path) {
  for (int i = 1; i < SECTIONS; i++)
    if (strcmp(sections[i].path, path) == 0) return i;
  return -1;
}

/* The one key whose last component is that of `path`; NULL when there is none or more than one. */
static const char *only_namesake(const char *path) {
  const char *found = NULL;
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const char *known = gw__recipe_keys[i].path;
    if (strcmp(last_component(known), last_component(path)) != 0) continue;
    if (found) return NULL;
    found = known;
  }
  return found;
}

const char *gw__recipe_key_nearest(const char *path) {
  const char *namesake = only_namesake(path);
  if (namesake) return namesake;
  const char *paths[GW_RECIPE_KEYS + SECTIONS], *names[GW_RECIPE_KEYS];
  int count = 0;
  for (int i = 1; i < SECTIONS; i++) paths[count++] = sections[i].path;
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    paths[count++] = gw__recipe_keys[i].path;
    names[i] = last_component(gw__recipe_keys[i].path);
  }
  const char *similar = gw_similar(path, paths, count);
  if (similar) return similar;
  const char *name = gw_nearest(last_component(path), names, GW_RECIPE_KEYS);
  for (int i = 0; i < GW_RECIPE_KEYS; i++)
    if (names[i] == name) return gw__recipe_keys[i].path;
  return gw__recipe_keys[0].path;
}

/* "0", or digits that do not begin with 0, as YAML 1.1 would read that as octal; may be negative.
 */
static bool is_whole_number(const char *text) {
  if (*text == '-') text++;
  if (*text == '0') return text[1] == 0;
  size_t digits = strspn(text, "0123456789");
  return digits > 0 && text[digits] == 0;
}

/* [sign] digits [. digits] [e [sign] digits] */
static bool is_number(const char *text) {
  static const char digit[] = "0123456789";
  if (*text == '-' || *text == '+') text++;
  size_t whole = strspn(text, digit);
  text += whole;
  if (*text == '.') text += 1 + strspn(text + 1, digit);
  if (whole == 0) return false;
  if (*text == 'e' || *text == 'E') {
    text++;
    if (*text == '-' || *text == '+') text++;
    size_t exponent = strspn(text, digit);
    if (exponent == 0) return false;
    text += exponent;
  }
  return *text == 0;
}

static const struct {
  const char *name;
  int64_t bytes;
} units[] = {{"TiB", INT64_C(1) << 40},
             {"TB", INT64_C(1000000000000)},
             {"GiB", INT64_C(1) << 30},
             {"GB", 1000000000},
             {"MiB", 1 << 20},
             {"MB", 1000000},
             {"KiB", 1 << 10},
             {"kB", 1000},
             {"", 1}};

/* Digits, a point and more digits where a unit follows, and the unit; -1 for anything else. */
static double bytes_of(const char *text) {
  size_t whole = strspn(text, "0123456789"), length = whole;
  if (text[whole] == '.') length += 1 + strspn(text + whole + 1, "0123456789");
  if (whole == 0 || (whole > 1 && *text == '0')) return -1;
  for (size_t i = 0; i < GW_COUNT_OF(units); i++) {
    if (strcmp(text + length, units[i].name) != 0) continue;
    if (units[i].bytes == 1 && length > whole) return -1;
    return strtod(text, NULL) * (double)units[i].bytes; /* strtod stops before the unit */
  }
  return -1;
}

int64_t gw__recipe_value_bytes(const char *text) { return (int64_t)bytes_of(text); }

static void format_bytes(int64_t value, char *out, size_t size) {
  size_t i = 0;
  while (value == 0 ? units[i].bytes != 1 : value % units[i].bytes != 0) i++;
  snprintf(out, size, "%" PRId64 "%s", value / units[i].bytes, units[i].name);
}

static bool is_in_range(const GwRecipeKey *key, const char *text) {
  double value = strtod(text, NULL); /* exact enough: whole ranges end below 2^53 */
  bool above = key->bounds[0] == '(' ? value > key->min : value >= key->min;
  bool below = key->bounds[1] == ')' ? value < key->max : value <= key->max;
  return above && below;
}

static bool is_u64(const char *text) {
  static const char largest[] = "18446744073709551615";
  size_t length = strlen(text);
  if (!is_whole_number(text) || *text == '-' || length > strlen(largest)) return false;
  return length < strlen(largest) || strcmp(text, largest) <= 0;
}

/* No control characters nor Unicode's line ends: what is written on one line stays on it. */
static bool is_plain_text(const GwRecipeKey *key, const char *text) {
  if (strlen(text) >= key->size) return false;
  for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
    bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
    bool separator = p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
    if (*p < 0x20 || *p == 0x7f || c1 || separator) return false;
  }
  return true;
}

static bool is_choice(const GwRecipeKey *key, const char *text) {
  for (uint32_t i = 0; i < key->choice_count; i++)
    if (strcmp(key->choices[i].str, text) == 0) return true;
  return false;
}

bool gw__recipe_value_valid(const GwRecipeKey *key, const char *text) {
  switch (key->type) {
  case GW_KEY_TEXT: return is_plain_text(key, text);
  case GW_KEY_CHOICE: return is_choice(key, text);
  case GW_KEY_BOOL: return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
  case GW_KEY_I32:
  case GW_KEY_I64: return is_whole_number(text) && is_in_range(key, text);
  case GW_KEY_U64: return is_u64(text);
  case GW_KEY_BYTES: return bytes_of(text) >= key->min && bytes_of(text) <= key->max;
  case GW_KEY_F64: return is_number(text) && is_in_range(key, text);
  }
  return false;
}

static void describe_choices(const GwRecipeKey *key, char *out, size_t size) {
  size_t used = (size_t)snprintf(out, size, "one of");
  for (uint32_t i = 0; i < key->choice_count && used < size; i++)
    used += (size_t)snprintf(out + used, size - used, "%s %s", i ? "," : "", key->choices[i].str);
}

void gw__recipe_value_describe(const GwRecipeKey *key, char *out, size_t size) {
  const char *kind = key->type == GW_KEY_F64 ? "a number" : "a whole number";
  switch (key->type) {
  case GW_KEY_TEXT:
    snprintf(out, size, "text of at most %zu bytes without control characters", key->size - 1);
    break;
  case GW_KEY_CHOICE: describe_choices(key, out, size); break;
  case GW_KEY_BOOL: snprintf(out, size, "true or false"); break;
  case GW_KEY_U64: snprintf(out, size, "%s in [0, %" PRIu64 "]", kind, UINT64_MAX); break;
  case GW_KEY_BYTES:
    snprintf(out, size, "bytes, such as 2GiB, 1500MB or 0 for none, at most %.15g", key->max);
    break;
  case GW_KEY_I32:
  case GW_KEY_I64:
  case GW_KEY_F64:
    snprintf(out, size, "%s in %c%.15g, %.15g%c", kind, key->bounds[0], key->min, key->max,
             key->bounds[1]);
    break;
  }
}

/* The shortest of the forms with 15 to 17 digits that reads back to the same bits. */
static void format_f64(double value, char *out, size_t size) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, size, "%.*g", digits, value);
    if (strtod(out, NULL) == value) return;
  }
}

static const char *choice_name(const GwRecipeKey *key, unsigned value) {
  for (uint32_t i = 0; i < key->choice_count; i++)
    if (key->choices[i].val == (int64_t)value) return key->choices[i].str;
  GW_ASSERT(false); /* an enumerator that the schema does not know */
  return "";
}

void gw__recipe_value_format(const GwRecipeKey *key, const GwRecipe *recipe,
                             char out[GW_RECIPE_VALUE_BYTES]) {
  const void *value = (const char *)recipe + key->offset;
  const size_t size = GW_RECIPE_VALUE_BYTES;
  switch (key->type) {
  case GW_KEY_TEXT: snprintf(out, size, "%s", (const char *)value); break;
  case GW_KEY_CHOICE: snprintf(out, size, "%s", choice_name(key, *(const unsigned *)value)); break;
  case GW_KEY_BOOL: snprintf(out, size, "%s", *(const bool *)value ? "true" : "false"); break;
  case GW_KEY_I32: snprintf(out, size, "%" PRId32, *(const int32_t *)value); break;
  case GW_KEY_I64: snprintf(out, size, "%" PRId64, *(const int64_t *)value); break;
  case GW_KEY_U64: snprintf(out, size, "%" PRIu64, *(const uint64_t *)value); break;
  case GW_KEY_BYTES: format_bytes(*(const int64_t *)value, out, size); break;
  case GW_KEY_F64: format_f64(*(const double *)value, out, size); break;
  }
}

static void write_quoted(FILE *file, const char *text) {
  fputc('\'', file);
  for (; *text; text++) {
    if (*text == '\'') fputc('\'', file);
    fputc(*text, file);
  }
  fputc('\'', file);
}

GwStatus gw__recipe_text(const char *const values[GW_RECIPE_KEYS], char **out) {
  char *text = NULL;
  size_t size = 0;
  FILE *file = open_memstream(&text, &size);
  if (!file) return gw_fail(GW_MEMORY, "no memory to write a recipe");
  int open_section = 0;
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    int section = section_of(key->path), depth = sections[section].depth;
    if (section != open_section)
      fprintf(file, "%*s%s:\n", 2 * (depth - 1), "", sections[section].name);
    open_section = section;
    fprintf(file, "%*s%s: ", 2 * depth, "", last_component(key->path));
    if (key->type == GW_KEY_TEXT)
      write_quoted(file, values[i]);
    else
      fputs(values[i], file);
    fputc('\n', file);
  }
  bool whole = !ferror(file);
  if (fclose(file) != 0 || !whole) {
    free(text);
    return gw_fail(GW_MEMORY, "no memory to write a recipe");
  }
  *out = text;
  return GW_OK;
}

/* libcyaml's form of the table. Offsets are from the start of GwRecipe at every depth, so a section
 * stands at offset 0 of its parent. */
typedef struct {
  cyaml_schema_field_t fields[SECTIONS][GW_RECIPE_KEYS];
  int count[SECTIONS];
} CyamlSchema;

static enum cyaml_type cyaml_type_of(GwKeyType type) {
  switch (type) {
  case GW_KEY_TEXT: return CYAML_STRING;
  case GW_KEY_CHOICE: return CYAML_ENUM;
  case GW_KEY_BOOL: return CYAML_BOOL;
  case GW_KEY_I32:
  case GW_KEY_I64:
  case GW_KEY_BYTES: return CYAML_INT;
  case GW_KEY_U64: return CYAML_UINT;
  case GW_KEY_F64: break;
  }
  return CYAML_FLOAT;
}

static void build_cyaml_schema(CyamlSchema *schema) {
  memset(schema, 0, sizeof *schema); /* a field without key ends each list */
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    int section = section_of(key->path);
    cyaml_schema_field_t *field = &schema->fields[section][schema->count[section]++];
    field->key = last_component(key->path);
    field->data_offset = (uint32_t)key->offset;
    field->value.type = cyaml_type_of(key->type);
    field->value.data_size = (uint32_t)key->size;
    if (key->type == GW_KEY_TEXT) field->value.string.max = (uint32_t)key->size - 1;
    if (key->type != GW_KEY_CHOICE) continue;
    field->value.flags = CYAML_FLAG_STRICT;
    field->value.enumeration.strings = key->choices;
    field->value.enumeration.count = key->choice_count;
  }
  for (int i = 1; i < SECTIONS; i++) {
    int parent = sections[i].parent;
    cyaml_schema_field_t *field = &schema->fields[parent][schema->count[parent]++];
    field->key = sections[i].name;
    field->value.type = CYAML_MAPPING;
    field->value.data_size = sizeof(GwRecipe);
    field->value.mapping.fields = schema->fields[i];
  }
}

typedef struct {
  char text[512];
  size_t used;
} Complaint;

static void collect_complaint(cyaml_log_t level, void *context, const char *format, va_list list) {
  Complaint *complaint = context;
  if (level < CYAML_LOG_ERROR || complaint->used >= sizeof complaint->text) return;
  char line[256];
  vsnprintf(line, sizeof line, format, list);
  line[strcspn(line, "\n")] = 0;
  complaint->used += (size_t)snprintf(complaint->text + complaint->used,
                                      sizeof complaint->text - complaint->used, " %s", line);
}

GwStatus gw__recipe_text_load(const char *name, const char *text, GwRecipe *out) {
  CyamlSchema schema;
  build_cyaml_schema(&schema);
  cyaml_schema_value_t top = {.type = CYAML_MAPPING,
                              .flags = CYAML_FLAG_POINTER,
                              .data_size = sizeof(GwRecipe),
                              .mapping = {.fields = schema.fields[0]}};
  Complaint complaint = {.used = 0};
  cyaml_config_t config = {.log_fn = collect_complaint,
                           .log_ctx = &complaint,
                           .mem_fn = cyaml_mem,
                           .log_level = CYAML_LOG_ERROR};
  cyaml_data_t *loaded = NULL;
  cyaml_err_t error =
      cyaml_load_data((const uint8_t *)text, strlen(text), &config, &top, &loaded, NULL);
  if (error != CYAML_OK)
    return gw_fail(error == CYAML_ERR_OOM ? GW_MEMORY : GW_INVALID, "%s: not a recipe: %s:%s", name,
                   cyaml_strerror(error), complaint.text);
  memcpy(out, loaded, sizeof *out);
  cyaml_free(&config, &top, loaded, 0);
  return GW_OK;
}
