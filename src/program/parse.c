/* The parser of the text form that print.c writes; the grammar stands there.
 *
 * A line is cut at ';', then read from left to right by small take_ functions. Ids must be declared
 * in increasing order without holes, so the program is built with gw_value_add and gw_emit as a
 * model would build it, and what the text says about types and ids is compared with the outcome.
 * Memory grows with the number of lines only; the verifier has the last word. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mathd.h"
#include "program/op.h"
#include "program/words.h"

enum { TEXT_BYTES_MAX = 1 << 28 };

typedef struct {
  const char *file;
  int line;
  const char *at, *end; /* what is left of the line */
  GwProgram program;
} Parser;

/* A value as its line describes it. */
typedef struct {
  int64_t id;
  char name[GW_NAME_MAX];
  GwType type;
  int64_t offset;
} Described;

__attribute__((format(printf, 2, 3))) static GwStatus fail_line(const Parser *parser,
                                                                const char *format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  return gw_fail(GW_INVALID, "%s:%d: %s", parser->file, parser->line, text);
}

/* What stands at the cursor, for messages: at most 20 bytes, unprintable ones as '?'. */
typedef struct {
  char text[24];
} Excerpt;

static Excerpt excerpt(const Parser *parser) {
  Excerpt out = {"the end of the line"};
  if (parser->at == parser->end) return out;
  size_t length = 0;
  out.text[length++] = '\'';
  for (const char *c = parser->at; c < parser->end && *c != ' ' && length < 21; c++)
    out.text[length++] = *c > ' ' && *c <= '~' ? *c : '?';
  out.text[length++] = '\'';
  out.text[length] = 0;
  return out;
}

/* ---- tokens ---- */

static void skip_blanks(Parser *parser) {
  while (parser->at < parser->end &&
         (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\r'))
    parser->at++;
}

static bool next_is(const Parser *parser, char c) {
  return parser->at < parser->end && *parser->at == c;
}

static bool take(Parser *parser, char c) {
  skip_blanks(parser);
  if (!next_is(parser, c)) return false;
  parser->at++;
  return true;
}

static GwStatus expect(Parser *parser, char c) {
  if (take(parser, c)) return GW_OK;
  return fail_line(parser, "expected '%c' instead of %s", c, excerpt(parser).text);
}

static GwStatus take_word(Parser *parser, const char *what, char word[GW_NAME_MAX]) {
  skip_blanks(parser);
  size_t length = 0;
  while (parser->at + length < parser->end && gw__name_character(parser->at[length])) length++;
  if (length == 0)
    return fail_line(parser, "expected %s instead of %s", what, excerpt(parser).text);
  if (length >= GW_NAME_MAX)
    return fail_line(parser, "%s is longer than %d letters", excerpt(parser).text, GW_NAME_MAX - 1);
  memcpy(word, parser->at, length);
  word[length] = 0;
  parser->at += length;
  return GW_OK;
}

static GwStatus take_integer(Parser *parser, const char *what, int64_t *out) {
  int64_t number = 0;
  const char *start = parser->at;
  for (; parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9'; parser->at++)
    if (!gw_mul_i64(number, 10, &number) || !gw_add_i64(number, *parser->at - '0', &number))
      return fail_line(parser, "the %s is too large", what);
  if (parser->at == start)
    return fail_line(parser, "expected the %s instead of %s", what, excerpt(parser).text);
  *out = number;
  return GW_OK;
}

static GwStatus take_real(Parser *parser, const char *what, double *out) {
  char text[GW_NAME_MAX];
  size_t length = 0;
  skip_blanks(parser);
  for (const char *c = parser->at; c < parser->end && *c && strchr("0123456789.+-e", *c); c++) {
    if (length + 1 == sizeof text) break;
    text[length++] = *c;
  }
  text[length] = 0;
  char *end = text;
  double number = strtod(text, &end);
  if (length == 0 || *end || !gw_is_finite(number))
    return fail_line(parser, "expected a number for %s instead of %s", what, excerpt(parser).text);
  parser->at += length;
  *out = number;
  return GW_OK;
}

static GwStatus take_id(Parser *parser, int64_t *out) {
  GW_TRY(expect(parser, '%'));
  return take_integer(parser, "value's number", out);
}

/* "f32[3,4]"; the element type's name has been taken. */
static GwStatus take_type(Parser *parser, const char *dtype, GwType *out) {
  GwType type = {0};
  if (!gw_dtype_from_name(dtype, &type.dtype))
    return fail_line(parser, "unknown element type '%s'", dtype);
  GW_TRY(expect(parser, '['));
  while (!next_is(parser, ']')) {
    if (type.rank > 0) GW_TRY(expect(parser, ','));
    if (type.rank == GW_RANK_MAX)
      return fail_line(parser, "a value has at most %d dimensions", GW_RANK_MAX);
    GW_TRY(take_integer(parser, "dimension", &type.dim[type.rank++]));
  }
  *out = type;
  return expect(parser, ']');
}

static GwStatus take_offset(Parser *parser, int64_t *out) {
  GW_TRY(expect(parser, '@'));
  if (next_is(parser, '-')) {
    parser->at++;
    *out = -1;
    return GW_OK;
  }
  return take_integer(parser, "offset", out);
}

/* ---- values ---- */

/* "%1 name f32[3] @0": a word followed by '[' is the type, so the name may be left out. */
static GwStatus take_value(Parser *parser, Described *out) {
  char word[GW_NAME_MAX];
  *out = (Described){0};
  GW_TRY(take_id(parser, &out->id));
  GW_TRY(take_word(parser, "a name or a type", word));
  if (!next_is(parser, '[')) {
    memcpy(out->name, word, sizeof out->name);
    GW_TRY(take_word(parser, "a type", word));
  }
  GW_TRY(take_type(parser, word, &out->type));
  return take_offset(parser, &out->offset);
}

static GwStatus check_value(const Parser *parser, const Described *value) {
  if (!gw__type_valid(&value->type))
    return fail_line(parser, "%%%lld: dimensions must be positive, at most 2^40 elements in all",
                     (long long)value->id);
  if (value->id != parser->program.value_count)
    return fail_line(parser, "%%%lld is out of order, the next value is %%%d", (long long)value->id,
                     parser->program.value_count);
  return GW_OK;
}

static GwStatus parse_declaration(Parser *parser, GwClass class) {
  GwProgram *program = &parser->program;
  Described value;
  GW_TRY(take_value(parser, &value));
  GW_TRY(check_value(parser, &value));
  GwValueId id = gw_value_add(program, class, value.type, value.name);
  if (id == 0) return program->status;
  if (program->class_bytes[class] > GW_PROGRAM_BYTES_MAX)
    return fail_line(parser, "the values of class %s are too large", gw__class_name(class));
  program->values[id].offset = value.offset;
  return GW_OK;
}

/* ---- ops ---- */

static size_t min3(size_t a, size_t b, size_t c) {
  size_t low = a < b ? a : b;
  return low < c ? low : c;
}

/* Edit distance (Levenshtein 1966) between two words shorter than GW_NAME_MAX. */
static size_t distance(const char *a, const char *b) {
  size_t row[GW_NAME_MAX], length = strlen(b);
  for (size_t k = 0; k <= length; k++) row[k] = k;
  for (size_t i = 0; a[i]; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 1; k <= length; k++) {
      size_t above = row[k];
      row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (a[i] != b[k - 1]));
      diagonal = above;
    }
  }
  return row[length];
}

static const char *nearest_op(const char *word) {
  const char *nearest = gw_op_def((GwOpcode)0)->name;
  for (int i = 1; i < GW_OP_COUNT; i++) {
    const char *name = gw_op_def((GwOpcode)i)->name;
    if (distance(name, word) < distance(nearest, word)) nearest = name;
  }
  return nearest;
}

static GwStatus parse_inputs(Parser *parser, const GwOpDef *def, GwValueId in[GW_IN_MAX]) {
  for (int i = 0; i < gw_op_in_count(def); i++) {
    if (take(parser, '_')) continue;
    if (!next_is(parser, '%'))
      return fail_line(parser, "%s: expected argument '%s' instead of %s", def->name,
                       def->in[i].name, excerpt(parser).text);
    int64_t id = 0;
    GW_TRY(take_id(parser, &id));
    if (id < 1 || id >= parser->program.value_count)
      return fail_line(parser, "%s: argument '%s' is %%%lld, which is not made before", def->name,
                       def->in[i].name, (long long)id);
    in[i] = (GwValueId)id;
  }
  return GW_OK;
}

static GwStatus parse_attributes(Parser *parser, const GwOpDef *def, double attr[GW_ATTR_MAX]) {
  int count = gw_op_attr_count(def);
  if (count == 0) return GW_OK;
  GW_TRY(expect(parser, '{'));
  for (int i = 0; i < count; i++) {
    char word[GW_NAME_MAX];
    if (i > 0) GW_TRY(expect(parser, ','));
    GW_TRY(take_word(parser, "an attribute", word));
    if (strcmp(word, def->attr[i]) != 0)
      return fail_line(parser, "%s: expected attribute '%s' instead of '%s'", def->name,
                       def->attr[i], word);
    GW_TRY(expect(parser, '='));
    GW_TRY(take_real(parser, word, &attr[i]));
  }
  return expect(parser, '}');
}

static GwStatus accept_outputs(Parser *parser, const Described *values, int count) {
  GwProgram *program = &parser->program;
  const GwOp *op = &program->ops[program->op_count - 1];
  for (int i = 0; i < count; i++) {
    GwValue *value = &program->values[op->out[i]];
    if (values[i].id != op->out[i])
      return fail_line(parser, "%%%lld is out of order, the next value is %%%d",
                       (long long)values[i].id, op->out[i]);
    if (!gw_type_equal(&values[i].type, &value->type))
      return fail_line(parser, "%%%d does not have the type that its inputs imply", op->out[i]);
    if (!gw__type_valid(&value->type))
      return fail_line(parser, "%%%d has more than 2^40 elements", op->out[i]);
    memcpy(value->name, values[i].name, sizeof value->name);
    value->offset = values[i].offset;
  }
  return GW_OK;
}

static GwStatus parse_op(Parser *parser, const char *word, const Described *values, int count) {
  GwProgram *program = &parser->program;
  GwOpcode code;
  if (!gw_op_from_name(word, &code))
    return fail_line(parser, "unknown op '%s'; the nearest is '%s'", word, nearest_op(word));
  const GwOpDef *def = gw_op_def(code);
  if (gw_op_out_count(def) != count)
    return fail_line(parser, "%s makes %d values, the line names %d", word, gw_op_out_count(def),
                     count);
  GwValueId in[GW_IN_MAX] = {0};
  double attr[GW_ATTR_MAX] = {0};
  GW_TRY(parse_inputs(parser, def, in));
  GW_TRY(parse_attributes(parser, def, attr));
  gw_emit(program, code, in, attr);
  if (program->status == GW_MEMORY) return GW_MEMORY;
  if (program->status != GW_OK) return fail_line(parser, "%s", gw_error_message());
  return accept_outputs(parser, values, count);
}

/* "%4 f32[3] @0, %5 f32[3] @64 = op …" */
static GwStatus parse_results(Parser *parser) {
  Described values[GW_OUT_MAX];
  int count = 0;
  do {
    if (count == GW_OUT_MAX) return fail_line(parser, "an op makes at most %d values", GW_OUT_MAX);
    GW_TRY(take_value(parser, &values[count++]));
  } while (take(parser, ','));
  GW_TRY(expect(parser, '='));
  char word[GW_NAME_MAX];
  GW_TRY(take_word(parser, "an op", word));
  return parse_op(parser, word, values, count);
}

/* ---- lines ---- */

/* "total param 1024"; the scratch bytes mark a planned program. */
static GwStatus parse_total(Parser *parser) {
  GwProgram *program = &parser->program;
  char word[GW_NAME_MAX];
  int64_t bytes = 0;
  GW_TRY(take_word(parser, "a class or 'scratch'", word));
  skip_blanks(parser);
  GW_TRY(take_integer(parser, "number of bytes", &bytes));
  GwClass class;
  if (strcmp(word, "scratch") == 0) {
    program->planned = true;
    program->scratch_bytes = bytes;
  } else if (gw__class_from_name(word, &class)) {
    program->class_bytes[class] = bytes;
  } else {
    return fail_line(parser, "unknown total '%s'", word);
  }
  return GW_OK;
}

static GwStatus parse_header(Parser *parser) {
  char word[GW_NAME_MAX];
  GW_TRY(take_word(parser, "'program'", word));
  if (strcmp(word, "program") != 0)
    return fail_line(parser, "expected 'program NAME' instead of '%s'", word);
  GW_TRY(take_word(parser, "the program's name", word));
  gw_program_init(&parser->program, strcmp(word, "-") == 0 ? "" : word);
  return GW_OK;
}

static GwStatus parse_statement(Parser *parser) {
  if (parser->program.value_count == 0) return parse_header(parser);
  if (next_is(parser, '%')) return parse_results(parser);
  char word[GW_NAME_MAX];
  GwClass class;
  GW_TRY(take_word(parser, "a class, an op or a value", word));
  if (strcmp(word, "total") == 0) return parse_total(parser);
  if (gw__class_from_name(word, &class)) return parse_declaration(parser, class);
  return parse_op(parser, word, NULL, 0);
}

static GwStatus parse_line(Parser *parser) {
  skip_blanks(parser);
  if (parser->at == parser->end) return GW_OK;
  GW_TRY(parse_statement(parser));
  skip_blanks(parser);
  if (parser->at == parser->end) return GW_OK;
  return fail_line(parser, "unexpected %s", excerpt(parser).text);
}

static GwStatus parse_text(Parser *parser, const char *text, size_t size) {
  const char *end = text + size;
  while (text < end) {
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    const char *line_end = newline ? newline : end;
    const char *comment = memchr(text, ';', (size_t)(line_end - text));
    parser->at = text;
    parser->end = comment ? comment : line_end;
    parser->line++;
    GW_TRY(parse_line(parser));
    text = newline ? newline + 1 : end;
  }
  if (parser->program.value_count == 0)
    return gw_fail(GW_INVALID, "%s: no program in it", parser->file);
  if (gw_program_verify(&parser->program) != GW_OK)
    return gw_fail(GW_INVALID, "%s: %s", parser->file, gw_error_message());
  return GW_OK;
}

GwStatus gw_program_parse(const char *name, const char *text, size_t size, GwProgram *out) {
  if (size > TEXT_BYTES_MAX)
    return gw_fail(GW_INVALID, "%s: larger than %d MiB, not a program", name, TEXT_BYTES_MAX >> 20);
  Parser parser = {.file = name};
  GwStatus status = parse_text(&parser, text, size);
  if (status == GW_OK)
    *out = parser.program;
  else
    gw_program_deinit(&parser.program);
  return status;
}
