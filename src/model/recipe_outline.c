/* A small reader over libyaml's event stream: a mapping's keys are looked up in the schema as they
 * come, so hostile input ends at its first surprise. */
#include "model/recipe_outline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { PATH_BYTES = 128, SHOWN_BYTES = 64, PLACE_BYTES = 640 };

typedef struct {
  GwRecipeOutline *outline;
  const char *text;
  yaml_parser_t parser;
  yaml_event_t event; /* the current one */
  uint32_t sections;  /* bit i: section i has been read */
} Reader;

void gw__recipe_outline_init(GwRecipeOutline *outline, const char *name) {
  *outline = (GwRecipeOutline){.name = name};
  gw_arena_init(&outline->arena);
}

void gw__recipe_outline_deinit(GwRecipeOutline *outline) { gw_arena_deinit(&outline->arena); }

/* `text` as it can stand in a one-line message: cut, and without control characters. */
static const char *shown(const char *text, char out[SHOWN_BYTES]) {
  size_t length = strlen(text), kept = length < SHOWN_BYTES ? length : SHOWN_BYTES - 4;
  for (size_t i = 0; i < kept; i++) {
    unsigned char byte = (unsigned char)text[i];
    out[i] = byte < 0x20 || byte == 0x7f ? '?' : text[i];
  }
  memcpy(out + kept, kept < length ? "..." : "", kept < length ? 4 : 1);
  return out;
}

/* "file:line", "override 'key=value'", or the file alone for a value that was not given. */
static void describe_place(const GwRecipeOutline *outline, int key, char out[PLACE_BYTES]) {
  const GwRecipeEntry *entry = key >= 0 ? &outline->entries[key] : NULL;
  char text[SHOWN_BYTES];
  if (entry && entry->override)
    snprintf(out, PLACE_BYTES, "override '%s'", shown(entry->override, text));
  else if (entry && entry->line > 0)
    snprintf(out, PLACE_BYTES, "%s:%d", outline->name, entry->line);
  else
    snprintf(out, PLACE_BYTES, "%s", outline->name);
}

GwStatus gw__recipe_outline_reject(const GwRecipeOutline *outline, const char *path,
                                   const char *format, ...) {
  char place[PLACE_BYTES], message[320];
  int key = gw__recipe_key_find(path);
  describe_place(outline, key, place);
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  bool overridden = key >= 0 && outline->entries[key].override;
  return gw_fail(overridden ? GW_USAGE : GW_INVALID, "%s: %s %s", place, path, message);
}

static int current_line(const Reader *reader) { return (int)reader->event.start_mark.line + 1; }

/* The parser's own complaint. */
static GwStatus fail_yaml(const Reader *reader) {
  const yaml_parser_t *parser = &reader->parser;
  const char *name = reader->outline->name;
  if (parser->error == YAML_MEMORY_ERROR) return gw_fail(GW_MEMORY, "%s: out of memory", name);
  const char *problem = parser->problem ? parser->problem : "unreadable";
  size_t line = parser->problem_mark.line + 1;
  if (parser->error == YAML_READER_ERROR) { /* which counts bytes, not lines */
    line = 1;
    for (size_t i = 0; i < parser->problem_offset; i++) line += reader->text[i] == '\n';
  }
  return gw_fail(GW_INVALID, "%s:%zu: not valid YAML: %s", name, line, problem);
}

static GwStatus fail_structure(const Reader *reader, const char *problem) {
  return gw_fail(GW_INVALID, "%s:%d: %s", reader->outline->name, current_line(reader), problem);
}

/* The next event; a failure also for what a recipe has no use for. */
static GwStatus next_event(Reader *reader) {
  yaml_event_delete(&reader->event);
  if (!yaml_parser_parse(&reader->parser, &reader->event)) return fail_yaml(reader);
  const yaml_event_t *event = &reader->event;
  const void *anchor = NULL, *tag = NULL;
  switch (event->type) {
  case YAML_ALIAS_EVENT:
    return fail_structure(reader, "a recipe takes no YAML aliases; write the value out");
  case YAML_SCALAR_EVENT:
    anchor = event->data.scalar.anchor;
    tag = event->data.scalar.tag;
    if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
      return fail_structure(reader, "a NUL character in the text");
    break;
  case YAML_SEQUENCE_START_EVENT:
    anchor = event->data.sequence_start.anchor;
    tag = event->data.sequence_start.tag;
    break;
  case YAML_MAPPING_START_EVENT:
    anchor = event->data.mapping_start.anchor;
    tag = event->data.mapping_start.tag;
    break;
  default: break;
  }
  if (anchor) return fail_structure(reader, "a recipe takes no YAML anchors; remove the &name");
  if (tag) return fail_structure(reader, "a recipe takes no YAML tags; remove the !name");
  return GW_OK;
}

static GwStatus fail_unknown(const Reader *reader, const char *path, int line) {
  char text[SHOWN_BYTES];
  return gw_fail(GW_INVALID, "%s:%d: unknown key '%s'; the nearest valid key is '%s'",
                 reader->outline->name, line, shown(path, text), gw__recipe_key_nearest(path));
}

static GwStatus fail_twice(const Reader *reader, const char *path, int line) {
  return gw_fail(GW_INVALID, "%s:%d: '%s' is given twice; keep one", reader->outline->name, line,
                 path);
}

/* The current event is the value of a key of the schema. */
static GwStatus read_value(Reader *reader, int key, int line) {
  GwRecipeOutline *outline = reader->outline;
  GwRecipeEntry *entry = &outline->entries[key];
  const char *path = gw__recipe_keys[key].path;
  if (entry->text) return fail_twice(reader, path, line);
  entry->line = line;
  if (reader->event.type != YAML_SCALAR_EVENT) {
    char wanted[160];
    gw__recipe_value_describe(&gw__recipe_keys[key], wanted, sizeof wanted);
    bool list = reader->event.type == YAML_SEQUENCE_START_EVENT;
    return gw__recipe_outline_reject(outline, path, "is a %s, but must be %s",
                                     list ? "list" : "group of keys", wanted);
  }
  entry->text = gw_arena_string(&outline->arena, (const char *)reader->event.data.scalar.value);
  entry->plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  return entry->text ? GW_OK : gw_fail(GW_MEMORY, "%s: out of memory", outline->name);
}

static GwStatus read_mapping(Reader *reader, const char *path);

/* The current event is the value of a section. */
static GwStatus read_section(Reader *reader, const char *path, int section, int line) {
  uint32_t bit = UINT32_C(1) << section;
  if (reader->sections & bit) return fail_twice(reader, path, line);
  reader->sections |= bit;
  if (reader->event.type == YAML_MAPPING_START_EVENT) return read_mapping(reader, path);
  return gw_fail(GW_INVALID, "%s:%d: '%s' must be a group of keys, indented below it",
                 reader->outline->name, line, path);
}

/* Reads up to the end of the mapping that has just begun; as deep as the schema, no deeper. */
static GwStatus read_mapping(Reader *reader, const char *section) {
  for (;;) {
    GW_TRY(next_event(reader));
    if (reader->event.type == YAML_MAPPING_END_EVENT) return GW_OK;
    if (reader->event.type != YAML_SCALAR_EVENT)
      return fail_structure(reader, "a key must be a word");
    int line = current_line(reader);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", section, *section ? "." : "",
             (const char *)reader->event.data.scalar.value);
    int key = gw__recipe_key_find(path), child = gw__recipe_section_find(path);
    if (key < 0 && child < 0) return fail_unknown(reader, path, line);
    GW_TRY(next_event(reader));
    if (key >= 0)
      GW_TRY(read_value(reader, key, line));
    else
      GW_TRY(read_section(reader, path, child, line));
  }
}

/* STREAM-START DOCUMENT-START MAPPING-START ... DOCUMENT-END STREAM-END */
static GwStatus read_document(Reader *reader) {
  const char *name = reader->outline->name;
  GW_TRY(next_event(reader));
  GW_TRY(next_event(reader));
  if (reader->event.type == YAML_STREAM_END_EVENT)
    return gw_fail(GW_INVALID, "%s: the recipe is empty", name);
  GW_TRY(next_event(reader));
  if (reader->event.type != YAML_MAPPING_START_EVENT)
    return fail_structure(reader, "a recipe is a list of `key: value` lines");
  GW_TRY(read_mapping(reader, ""));
  GW_TRY(next_event(reader));
  GW_TRY(next_event(reader));
  if (reader->event.type != YAML_STREAM_END_EVENT)
    return fail_structure(reader, "a recipe is one YAML document, and here begins another");
  return GW_OK;
}

GwStatus gw__recipe_outline_read(GwRecipeOutline *outline, const char *text, size_t size) {
  if (size > GW_RECIPE_BYTES_MAX)
    return gw_fail(GW_INVALID, "%s: %zu bytes are too many for a recipe (at most %d)",
                   outline->name, size, GW_RECIPE_BYTES_MAX);
  if (size > 0 && memchr(text, 0, size))
    return gw_fail(GW_INVALID, "%s: not a text file: it holds a NUL byte", outline->name);
  Reader reader = {.outline = outline, .text = text};
  if (!yaml_parser_initialize(&reader.parser))
    return gw_fail(GW_MEMORY, "%s: out of memory", outline->name);
  yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
  GwStatus status = read_document(&reader);
  yaml_event_delete(&reader.event);
  yaml_parser_delete(&reader.parser);
  return status;
}

static const char *first_key_of(const char *section) {
  size_t length = strlen(section);
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const char *path = gw__recipe_keys[i].path;
    if (strncmp(path, section, length) == 0 && path[length] == '.') return path;
  }
  GW_ASSERT(false); /* a section without keys */
  return "";
}

GwStatus gw__recipe_outline_override(GwRecipeOutline *outline, const char *argument) {
  char text[SHOWN_BYTES], path[PATH_BYTES];
  const char *equals = strchr(argument, '=');
  if (!equals)
    return gw_fail(GW_USAGE, "override '%s' is not key=value, for example train.steps=100",
                   shown(argument, text));
  snprintf(path, sizeof path, "%.*s", (int)gw_min_i64(equals - argument, PATH_BYTES), argument);
  int key = gw__recipe_key_find(path);
  if (key < 0 && gw__recipe_section_find(path) >= 0)
    return gw_fail(GW_USAGE, "override '%s': '%s' is a group of keys; name one, for example %s",
                   shown(argument, text), path, first_key_of(path));
  if (key < 0)
    return gw_fail(GW_USAGE, "override '%s': unknown key; the nearest valid key is '%s'",
                   shown(argument, text), gw__recipe_key_nearest(path));
  outline->entries[key] = (GwRecipeEntry){.text = equals + 1, .plain = true, .override = argument};
  return GW_OK;
}

GwStatus gw__recipe_outline_check(const GwRecipeOutline *outline) {
  for (int i = 0; i < GW_RECIPE_KEYS; i++) {
    const GwRecipeKey *key = &gw__recipe_keys[i];
    const GwRecipeEntry *entry = &outline->entries[i];
    if (!entry->text) continue;
    bool form = entry->plain || key->type == GW_KEY_TEXT;
    if (form && gw__recipe_value_valid(key, entry->text)) continue;
    char text[SHOWN_BYTES], wanted[160];
    gw__recipe_value_describe(key, wanted, sizeof wanted);
    return gw__recipe_outline_reject(outline, key->path, "(%s) is %s'%s', but must be %s",
                                     key->meaning, form ? "" : "the quoted text ",
                                     shown(entry->text, text), wanted);
  }
  return GW_OK;
}
