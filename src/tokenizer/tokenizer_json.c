/* tokenizer.json, as Hugging Face's tokenizers library writes it for byte-level BPE:
 *
 *   normalizer     NFC or none
 *   pre_tokenizer  how text is split: ByteLevel for GPT-2's pattern, else a Split by one of the
 *                  patterns of split.h before it
 *   model.vocab    token → id; a token is spelled in GPT-2's alphabet (byte_alphabet.h)
 *   model.merges   "left right" or ["left", "right"], the lowest rank first
 *   added_tokens   the special tokens, by name
 *   post_processor which of these stands before a text, if a TemplateProcessing says so
 *
 * Reading refuses whatever would make that library encode text otherwise than we do, but for one
 * thing: it finds added tokens in text, and we only where we are asked to. What doesn't matter to
 * encoding (decoder, truncation) is not looked at. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_formats.h"
#include "tokenizer/tokenizer_table.h"

#define SUPPORTED "godwit reads byte-level BPE with the split patterns of GPT-2 and its successors"
enum { SHOWN_MAX = 40, UNUSED_IDS_MAX = 65536 };

/* Reading */

typedef struct {
  const char *name;
  GwByteAlphabet alphabet;
  GwArena arena;
  json_t *vocab; /* with the special tokens */
  GwTokenText *tokens;
  bool *is_special; /* [vocab_size] */
  const char *head; /* what post_processor puts before a text, NULL for nothing */
  GwTokenizer parts;
} Reader;

static GwStatus fail_memory(const char *name) {
  return gw_fail(GW_MEMORY, "%s: no memory for the tokenizer", name);
}

typedef struct {
  char text[SHOWN_MAX + 4];
} Shown;

/* A string of the file as a message may hold it: one line, not long. */
static Shown shown(const char *text) {
  Shown out;
  size_t i = 0;
  for (; text[i] && i < SHOWN_MAX; i++)
    out.text[i] = (uint8_t)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
  while (text[i] && i > 0 && ((uint8_t)text[i] & 0xc0) == 0x80) i--; /* no half character */
  memcpy(out.text + i, text[i] ? "..." : "", text[i] ? 4 : 1);
  return out;
}

static bool is_absent(const json_t *value) { return !value || json_is_null(value); }

static const char *type_of(const json_t *section) {
  const char *type = json_string_value(json_object_get(section, "type"));
  return type ? type : "no type";
}

static GwStatus check_byte_level(const char *name, const json_t *splitter, bool splits) {
  if (strcmp(type_of(splitter), "ByteLevel") != 0)
    return gw_fail(GW_UNSUPPORTED, "%s: pre_tokenizer '%s': " SUPPORTED " (ByteLevel)", name,
                   shown(type_of(splitter)).text);
  if (!json_is_false(json_object_get(splitter, "add_prefix_space")))
    return gw_fail(GW_UNSUPPORTED, "%s: pre_tokenizer.add_prefix_space must be false", name);
  const json_t *use_regex = json_object_get(splitter, "use_regex");
  if (splits ? use_regex && !json_is_true(use_regex) : !json_is_false(use_regex))
    return gw_fail(GW_UNSUPPORTED, "%s: pre_tokenizer.use_regex must be %s", name,
                   splits ? "true" : "false behind a Split");
  return GW_OK;
}

static GwStatus read_split(const char *name, const json_t *split, GwSplitPattern *out) {
  const json_t *regex = json_object_get(json_object_get(split, "pattern"), "Regex");
  const json_t *behavior = json_object_get(split, "behavior");
  if (strcmp(type_of(split), "Split") != 0 || !json_is_string(regex))
    return gw_fail(GW_UNSUPPORTED,
                   "%s: pre_tokenizer.pretokenizers[0] '%s': " SUPPORTED " (a Split by a Regex)",
                   name, shown(type_of(split)).text);
  if (!json_is_string(behavior) || strcmp(json_string_value(behavior), "Isolated") != 0 ||
      json_is_true(json_object_get(split, "invert")))
    return gw_fail(GW_UNSUPPORTED,
                   "%s: pre_tokenizer.pretokenizers[0] must have the behavior Isolated, not "
                   "inverted",
                   name);
  *out = gw_split_find(json_string_value(regex));
  if (*out == GW_PATTERN_COUNT)
    return gw_fail(GW_UNSUPPORTED, "%s: pre_tokenizer: the pattern %s is none that godwit knows",
                   name, shown(json_string_value(regex)).text);
  return GW_OK;
}

static GwStatus read_normalizer(Reader *reader, const json_t *root) {
  const json_t *normalizer = json_object_get(root, "normalizer");
  reader->parts.nfc = strcmp(type_of(normalizer), "NFC") == 0;
  if (reader->parts.nfc || is_absent(normalizer)) return GW_OK;
  return gw_fail(GW_UNSUPPORTED, "%s: normalizer '%s': " SUPPORTED " and no normalizer but NFC",
                 reader->name, shown(type_of(normalizer)).text);
}

static GwStatus read_splitting(Reader *reader, const json_t *root) {
  const char *name = reader->name;
  const json_t *splitter = json_object_get(root, "pre_tokenizer");
  if (strcmp(type_of(splitter), "Sequence") != 0) return check_byte_level(name, splitter, true);
  const json_t *parts = json_object_get(splitter, "pretokenizers");
  if (json_array_size(parts) != 2)
    return gw_fail(GW_UNSUPPORTED,
                   "%s: pre_tokenizer.pretokenizers must be two, a Split and ByteLevel", name);
  GW_TRY(read_split(name, json_array_get(parts, 0), &reader->parts.pattern));
  return check_byte_level(name, json_array_get(parts, 1), false);
}

static GwStatus check_model(Reader *reader, const json_t *model) {
  const char *name = reader->name;
  static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  if (strcmp(type_of(model), "BPE") != 0)
    return gw_fail(GW_UNSUPPORTED, "%s: model.type '%s': " SUPPORTED " (BPE)", name,
                   shown(type_of(model)).text);
  for (size_t i = 0; i < GW_COUNT_OF(affixes); i++) {
    const json_t *affix = json_object_get(model, affixes[i]);
    if (!is_absent(affix) && json_string_length(affix) != 0)
      return gw_fail(GW_UNSUPPORTED, "%s: model.%s must be empty: " SUPPORTED, name, affixes[i]);
  }
  const json_t *dropout = json_object_get(model, "dropout");
  if (!is_absent(dropout) && json_number_value(dropout) != 0.0)
    return gw_fail(GW_UNSUPPORTED, "%s: model.dropout must be null", name);
  reader->parts.whole_pieces = json_is_true(json_object_get(model, "ignore_merges"));
  return GW_OK;
}

static GwStatus read_special(Reader *reader, json_t *entry, GwSpecialToken *out) {
  int64_t id = 0;
  GW_TRY(gw_json_i64(entry, reader->name, "id", &id));
  GW_TRY(gw_json_string(entry, reader->name, "content", &out->name));
  json_t *known = json_object_get(reader->vocab, out->name);
  if (known && (!json_is_integer(known) || json_integer_value(known) != id))
    return gw_fail(GW_CORRUPT, "%s: token '%s' has another id in model.vocab than in added_tokens",
                   reader->name, shown(out->name).text);
  if (!known && json_object_set_new(reader->vocab, out->name, json_integer(id)) != 0)
    return fail_memory(reader->name);
  return GW_OK;
}

/* The names of the special tokens; those that model.vocab lacks are added to it. */
static GwStatus read_specials(Reader *reader, json_t *root) {
  json_t *added = NULL, *entry;
  size_t index, count;
  GW_TRY(gw_json_array(root, reader->name, "added_tokens", &added));
  count = json_array_size(added);
  if (count == 0 || count > INT32_MAX)
    return gw_fail(GW_CORRUPT,
                   "%s: added_tokens must hold a special token such as " GW_END_OF_TEXT_NAME
                   ", to stand at the head of a document",
                   reader->name);
  GwSpecialToken *specials = GW_ARENA_ARRAY(&reader->arena, GwSpecialToken, count);
  if (!specials) return fail_memory(reader->name);
  json_array_foreach(added, index, entry) { GW_TRY(read_special(reader, entry, &specials[index])); }
  reader->parts.specials = specials;
  reader->parts.special_count = (int32_t)count;
  return GW_OK;
}

/* The special token that a TemplateProcessing, alone or in a Sequence, puts before a text; NULL for
 * none. */
static const char *find_template_head(const json_t *processor) {
  const json_t *part, *parts = json_object_get(processor, "processors");
  size_t index;
  if (strcmp(type_of(processor), "TemplateProcessing") == 0) {
    const json_t *first = json_array_get(json_object_get(processor, "single"), 0);
    return json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));
  }
  json_array_foreach(parts, index, part) {
    const char *head =
        strcmp(type_of(part), "TemplateProcessing") == 0 ? find_template_head(part) : NULL;
    if (head) return head;
  }
  return NULL;
}

/* Which token is end-of-text when nothing but names says it. */
static int32_t find_end_of_text(const GwSpecialToken *specials, int32_t count) {
  static const char *const names[] = {GW_END_OF_TEXT_NAME, GW_BEGIN_OF_TEXT_NAME};
  for (size_t k = 0; k < GW_COUNT_OF(names); k++)
    for (int32_t i = 0; i < count; i++)
      if (strcmp(specials[i].name, names[k]) == 0) return specials[i].id;
  return specials[count - 1].id;
}

/* The ids of the special tokens, and which of them is end-of-text. */
static GwStatus mark_specials(Reader *reader) {
  GwTokenizer *parts = &reader->parts;
  for (int32_t i = 0; i < parts->special_count; i++) {
    GwSpecialToken *special = &parts->specials[i];
    special->id = (int32_t)json_integer_value(json_object_get(reader->vocab, special->name));
    if (reader->is_special[special->id])
      return gw_fail(GW_CORRUPT, "%s: added_tokens has the id %d twice", reader->name, special->id);
    reader->is_special[special->id] = true;
  }
  parts->end_of_text = find_end_of_text(parts->specials, parts->special_count);
  for (int32_t i = 0; reader->head && i < parts->special_count; i++)
    if (strcmp(parts->specials[i].name, reader->head) == 0)
      parts->end_of_text = parts->specials[i].id;
  return GW_OK;
}

static GwStatus place_token(Reader *reader, const char *text, const json_t *value) {
  int32_t id = (int32_t)json_integer_value(value);
  GwTokenText *token = &reader->tokens[id];
  if (token->bytes)
    return gw_fail(GW_CORRUPT, "%s: token '%s' has id %d, which another token has too",
                   reader->name, shown(text).text, id);
  uint8_t *bytes = gw_arena_alloc(&reader->arena, strlen(text));
  if (!bytes) return fail_memory(reader->name);
  token->bytes = bytes;
  if (reader->is_special[id]) return GW_OK;
  if (!gw_byte_unspell(&reader->alphabet, text, bytes, &token->size) || token->size == 0)
    return gw_fail(GW_CORRUPT, "%s: token '%s' is not spelled in GPT-2's byte alphabet",
                   reader->name, shown(text).text);
  return GW_OK;
}

/* One more than the highest id. Ids may be left out, but not so many that a small file asks for a
 * large table. */
static GwStatus count_ids(Reader *reader) {
  const char *text;
  json_t *value;
  json_int_t limit = (json_int_t)json_object_size(reader->vocab) + UNUSED_IDS_MAX, highest = -1;
  json_object_foreach(reader->vocab, text, value) {
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= limit || id >= INT32_MAX)
      return gw_fail(
          GW_CORRUPT,
          "%s: the id of token '%s' must be a whole number from 0 to %" JSON_INTEGER_FORMAT
          ": at most %d ids may be left out",
          reader->name, shown(text).text, limit - 1, UNUSED_IDS_MAX);
    if (id > highest) highest = id;
  }
  reader->parts.vocab_size = (int32_t)(highest + 1);
  return GW_OK;
}

/* Each token at its id; two at one id are refused. */
static GwStatus read_vocab(Reader *reader) {
  GW_TRY(count_ids(reader));
  size_t count = (size_t)reader->parts.vocab_size;
  reader->tokens = reader->parts.tokens = GW_ARENA_ARRAY(&reader->arena, GwTokenText, count);
  reader->is_special = GW_ARENA_ARRAY(&reader->arena, bool, count);
  if (!reader->tokens || !reader->is_special) return fail_memory(reader->name);
  GW_TRY(mark_specials(reader));
  const char *text;
  json_t *value;
  json_object_foreach(reader->vocab, text, value) { GW_TRY(place_token(reader, text, value)); }
  return gw__tokenizer_check_bytes(reader->name, &reader->parts);
}

/* The id of an ordinary token, -1 where there is none. */
static int32_t find_token(const Reader *reader, const char *text) {
  const json_t *value = json_object_get(reader->vocab, text);
  if (!value) return -1;
  int32_t id = (int32_t)json_integer_value(value);
  return reader->is_special[id] ? -1 : id;
}

/* The two halves of a merge, and both together, as strings in the arena. */
static GwStatus split_merge(Reader *reader, size_t rank, const json_t *entry, char **left,
                            char **right, char **whole) {
  const char *first = json_string_value(json_array_get(entry, 0));
  const char *second = json_string_value(json_array_get(entry, 1));
  size_t first_size = 0;
  if (json_is_string(entry)) {
    first = json_string_value(entry);
    first_size = strcspn(first, " ");
    second = first[first_size] ? first + first_size + 1 : NULL;
  } else if (first) {
    first_size = strlen(first);
  }
  if (!first || !second || (json_is_array(entry) && json_array_size(entry) != 2))
    return gw_fail(GW_CORRUPT, "%s: model.merges[%zu] must be two tokens with a space between",
                   reader->name, rank);
  *left = gw_arena_format(&reader->arena, "%.*s", (int)first_size, first);
  *right = gw_arena_string(&reader->arena, second);
  *whole = gw_arena_format(&reader->arena, "%.*s%s", (int)first_size, first, second);
  return *left && *right && *whole ? GW_OK : fail_memory(reader->name);
}

static GwStatus read_merge(Reader *reader, size_t rank, const json_t *entry, GwMerge *out) {
  char *names[3] = {NULL};
  int32_t ids[3];
  GW_TRY(split_merge(reader, rank, entry, &names[0], &names[1], &names[2]));
  for (int i = 0; i < 3; i++) {
    ids[i] = find_token(reader, names[i]);
    if (ids[i] < 0)
      return gw_fail(GW_CORRUPT,
                     "%s: model.merges[%zu] needs token '%s', which is not in the "
                     "vocabulary",
                     reader->name, rank, shown(names[i]).text);
  }
  *out = (GwMerge){ids[0], ids[1], ids[2]};
  return GW_OK;
}

static int compare_pairs(const void *a, const void *b) {
  const GwMerge *x = a, *y = b;
  if (x->left != y->left) return x->left < y->left ? -1 : 1;
  return (x->right > y->right) - (x->right < y->right);
}

static GwStatus check_pairs_distinct(Reader *reader) {
  size_t count = (size_t)reader->parts.merge_count;
  GwMerge *sorted = GW_ARENA_ARRAY(&reader->arena, GwMerge, count);
  if (!sorted) return fail_memory(reader->name);
  memcpy(sorted, reader->parts.merges, sizeof(GwMerge) * count);
  qsort(sorted, count, sizeof(GwMerge), compare_pairs);
  for (size_t i = 1; i < count; i++)
    if (compare_pairs(&sorted[i - 1], &sorted[i]) == 0)
      return gw_fail(GW_CORRUPT, "%s: model.merges has the pair of tokens %d and %d twice",
                     reader->name, sorted[i].left, sorted[i].right);
  return GW_OK;
}

static GwStatus read_merges(Reader *reader, const json_t *model) {
  json_t *merges = NULL, *entry;
  size_t rank;
  GW_TRY(gw_json_array(model, reader->name, "merges", &merges));
  size_t count = json_array_size(merges);
  if (count >= GW_NO_RANK) return gw_fail(GW_CORRUPT, "%s: %zu merges", reader->name, count);
  reader->parts.merge_count = (int32_t)count;
  reader->parts.merges = GW_ARENA_ARRAY(&reader->arena, GwMerge, count);
  if (!reader->parts.merges) return fail_memory(reader->name);
  json_array_foreach(merges, rank, entry) {
    GW_TRY(read_merge(reader, rank, entry, &reader->parts.merges[rank]));
  }
  return check_pairs_distinct(reader);
}

static GwStatus read_all(Reader *reader, json_t *root, GwTokenizer **out) {
  json_t *model = NULL;
  GW_TRY(gw_json_object(root, reader->name, "model", &model));
  GW_TRY(check_model(reader, model));
  GW_TRY(read_normalizer(reader, root));
  GW_TRY(read_splitting(reader, root));
  GW_TRY(gw_json_object(model, reader->name, "vocab", &reader->vocab));
  GW_TRY(read_specials(reader, root));
  reader->head = find_template_head(json_object_get(root, "post_processor"));
  GW_TRY(read_vocab(reader));
  GW_TRY(read_merges(reader, model));
  return gw__tokenizer_create(&reader->parts, out);
}

GwStatus gw__tokenizer_from_json(const char *name, json_t *root, GwTokenizer **out) {
  Reader reader = {.name = name};
  gw_byte_alphabet_init(&reader.alphabet);
  gw_arena_init(&reader.arena);
  GwStatus status = read_all(&reader, root, out);
  gw_arena_deinit(&reader.arena);
  return status;
}

/* Writing. json_pack returns NULL when memory is exhausted, and takes over what it is given. */

/* How every token is spelled: its name for a special one, else its bytes in the alphabet, NULL for
 * an unused id. NULL when memory is exhausted. */
static char **spell_tokens(const GwTokenizer *tokenizer, GwArena *arena) {
  GwByteAlphabet alphabet;
  gw_byte_alphabet_init(&alphabet);
  char **names = GW_ARENA_ARRAY(arena, char *, tokenizer->vocab_size);
  if (!names) return NULL;
  for (int32_t id = 0; id < tokenizer->vocab_size; id++) {
    if (tokenizer->tokens[id].size == 0) continue;
    names[id] = gw_arena_alloc(arena, 2 * tokenizer->tokens[id].size + 1);
    if (!names[id]) return NULL;
    gw_byte_spell(&alphabet, tokenizer->tokens[id].bytes, tokenizer->tokens[id].size, names[id]);
  }
  for (int32_t i = 0; i < tokenizer->special_count; i++) {
    names[tokenizer->specials[i].id] = gw_arena_string(arena, tokenizer->specials[i].name);
    if (!names[tokenizer->specials[i].id]) return NULL;
  }
  return names;
}

static json_t *make_vocab(const GwTokenizer *tokenizer, char **names) {
  json_t *vocab = json_object();
  for (int32_t id = 0; vocab && id < tokenizer->vocab_size; id++) {
    if (!names[id] || json_object_set_new(vocab, names[id], json_integer(id)) == 0) continue;
    json_decref(vocab);
    vocab = NULL;
  }
  return vocab;
}

static json_t *make_merges(const GwTokenizer *tokenizer, char **names) {
  json_t *merges = json_array();
  for (int32_t rank = 0; merges && rank < tokenizer->merge_count; rank++) {
    const GwMerge *merge = &tokenizer->merges[rank];
    json_t *text = json_sprintf("%s %s", names[merge->left], names[merge->right]);
    if (json_array_append_new(merges, text) == 0) continue;
    json_decref(merges);
    merges = NULL;
  }
  return merges;
}

static json_t *make_specials(const GwTokenizer *tokenizer) {
  json_t *specials = json_array();
  for (int32_t i = 0; specials && i < tokenizer->special_count; i++) {
    json_t *entry =
        json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", tokenizer->specials[i].id, "content",
                  tokenizer->specials[i].name, "single_word", 0, "lstrip", 0, "rstrip", 0,
                  "normalized", 0, "special", 1);
    if (json_array_append_new(specials, entry) == 0) continue;
    json_decref(specials);
    specials = NULL;
  }
  return specials;
}

static json_t *make_byte_level(bool splits) {
  return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                   "trim_offsets", 1, "use_regex", splits);
}

json_t *gw__tokenizer_splitting_json(GwSplitPattern pattern) {
  if (pattern == GW_PATTERN_GPT2) return make_byte_level(true);
  return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers",
                   "type", "Split", "pattern", "Regex", gw_split_spelling(pattern), "behavior",
                   "Isolated", "invert", 0, make_byte_level(false));
}

/* A TemplateProcessing where names alone would say another token. */
static json_t *make_post_processor(const GwTokenizer *tokenizer) {
  int32_t id = tokenizer->end_of_text;
  const char *name = gw_tokenizer_special_name(tokenizer, id);
  if (find_end_of_text(tokenizer->specials, tokenizer->special_count) == id) return json_null();
  return json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                   " s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                   " s:{s:{s:s, s:[i], s:[s]}}}",
                   "type", "TemplateProcessing", "single", "SpecialToken", "id", name, "type_id", 0,
                   "Sequence", "id", "A", "type_id", 0, "pair", "SpecialToken", "id", name,
                   "type_id", 0, "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id", name,
                   "type_id", 1, "Sequence", "id", "B", "type_id", 1, "special_tokens", name, "id",
                   name, "ids", (int)id, "tokens", name);
}

static json_t *make_file(const GwTokenizer *tokenizer, char **names) {
  json_t *model =
      json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                "byte_fallback", 0, "ignore_merges", (int)tokenizer->whole_pieces, "vocab",
                make_vocab(tokenizer, names), "merges", make_merges(tokenizer, names));
  json_t *normalizer = tokenizer->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
  return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation",
                   "padding", "added_tokens", make_specials(tokenizer), "normalizer", normalizer,
                   "pre_tokenizer", gw__tokenizer_splitting_json(tokenizer->pattern),
                   "post_processor", make_post_processor(tokenizer), "decoder",
                   make_byte_level(true), "model", model);
}

GwStatus gw_tokenizer_save(GwFs *fs, const GwTokenizer *tokenizer, const char *path) {
  GwArena arena;
  gw_arena_init(&arena);
  char **names = spell_tokens(tokenizer, &arena);
  json_t *file = names ? make_file(tokenizer, names) : NULL;
  char *text = file ? gw_json_text(file) : NULL;
  GwStatus status = text ? gw_fs_write_atomic(fs, path, text, strlen(text)) : fail_memory(path);
  free(text);
  json_decref(file);
  gw_arena_deinit(&arena);
  return status;
}
