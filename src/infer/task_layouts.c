/* One function per layout: from a line's object to context and choices. The prompts are those of
 * the LM evaluation harness (lm-eval 0.4, lm_eval/tasks): a space stands between a context and what
 * follows it, also where the context is empty. */
#include <string.h>

#include "base/json.h"
#include "infer/task_items.h"
#include "infer/task_text.h"

static GwStatus no_memory(const GwTaskLine *line) {
  return gw_fail(GW_MEMORY, "%s: no memory for its item", line->place);
}

static GwStatus string_of(const GwTaskLine *line, const char *key, const char **out) {
  return gw_json_string(line->object, line->place, key, out);
}

static GwStatus begin_item(const GwTaskLine *line, size_t choices, GwTaskItem *out) {
  if (choices == 0 || choices > INT32_MAX)
    return gw_fail(GW_CORRUPT, "%s: has no choices", line->place);
  out->choices = GW_ARENA_ARRAY(line->arena, GwTaskChoice, choices);
  out->choice_count = (int32_t)choices;
  return out->choices ? GW_OK : no_memory(line);
}

/* `context` must be in the arena (NULL: there was no memory for it); `text` is copied. */
static GwStatus set_choice(const GwTaskLine *line, GwTaskItem *item, size_t number,
                           const char *context, const char *text) {
  if (!context || !text) return no_memory(line);
  if (!*text) return gw_fail(GW_CORRUPT, "%s: choice %zu is empty", line->place, number);
  char *continuation = gw_arena_format(line->arena, " %s", text);
  item->choices[number] = (GwTaskChoice){context, continuation, gw_task_characters(text)};
  return continuation ? GW_OK : no_memory(line);
}

/* All choices of an array of strings, behind one context. */
static GwStatus set_choices(const GwTaskLine *line, const char *key, const json_t *texts,
                            const char *context, GwTaskItem *out) {
  size_t count = json_array_size(texts);
  GW_TRY(begin_item(line, count, out));
  for (size_t i = 0; i < count; i++) {
    const char *text = json_string_value(json_array_get(texts, i));
    if (!text) return gw_fail(GW_CORRUPT, "%s: '%s' must hold strings", line->place, key);
    GW_TRY(set_choice(line, out, i, context, text));
  }
  return GW_OK;
}

/* A whole number, or one in a string, of which `first` means the first choice. */
static GwStatus set_answer(const GwTaskLine *line, const char *key, int32_t first,
                           GwTaskItem *item) {
  const json_t *value = json_object_get(line->object, key);
  const char *text = json_string_value(value);
  int64_t number = -1;
  if (!value) return gw_fail(GW_CORRUPT, "%s: key '%s' is missing", line->place, key);
  if (json_is_integer(value)) number = json_integer_value(value);
  if (text && *text && strlen(text) < 9 && strspn(text, "0123456789") == strlen(text))
    for (number = 0; *text; text++) number = number * 10 + (*text - '0');
  if (number < first || number - first >= item->choice_count)
    return gw_fail(GW_CORRUPT, "%s: key '%s' must be a whole number from %d to %d", line->place,
                   key, (int)first, (int)(first + item->choice_count - 1));
  item->answer = (int32_t)(number - first);
  return GW_OK;
}

/* ---- HellaSwag ---- */

/* WikiHow's headings and marks are removed. */
static GwStatus clean(const GwTaskLine *line, const char *text, char **out) {
  char *cleaned = gw_task_strip(line->arena, text);
  if (!cleaned) return no_memory(line);
  gw_task_replace(cleaned, " [title]", ". ");
  gw_task_remove_brackets(cleaned);
  gw_task_replace(cleaned, "  ", " ");
  *out = cleaned;
  return GW_OK;
}

static GwStatus hellaswag(const GwTaskLine *line, GwTaskItem *out) {
  const char *label = NULL, *begin = NULL, *end = "";
  char *capitalized = NULL, *context = NULL;
  json_t *endings = NULL;
  GW_TRY(string_of(line, "activity_label", &label));
  GW_TRY(string_of(line, "ctx_a", &begin));
  if (json_object_get(line->object, "ctx_b")) GW_TRY(string_of(line, "ctx_b", &end));
  GW_TRY(gw_json_array(line->object, line->place, "endings", &endings));
  GW_TRY(gw_task_capitalize(line->arena, end, &capitalized));
  const char *whole = gw_arena_format(line->arena, "%s: %s %s", label, begin, capitalized);
  if (!whole) return no_memory(line);
  GW_TRY(clean(line, whole, &context));
  GW_TRY(begin_item(line, json_array_size(endings), out));
  for (int32_t i = 0; i < out->choice_count; i++) {
    const char *text = json_string_value(json_array_get(endings, (size_t)i));
    char *cleaned = NULL;
    if (!text) return gw_fail(GW_CORRUPT, "%s: 'endings' must hold strings", line->place);
    GW_TRY(clean(line, text, &cleaned));
    GW_TRY(set_choice(line, out, (size_t)i, context, cleaned));
  }
  return set_answer(line, "label", 0, out);
}

/* ---- LAMBADA: the last word ---- */

static GwStatus lambada(const GwTaskLine *line, GwTaskItem *out) {
  const char *text = NULL;
  GW_TRY(string_of(line, "text", &text));
  const char *space = strrchr(text, ' ');
  const char *word = space ? space + 1 : text;
  char *context = gw_arena_string(line->arena, text);
  if (!context) return no_memory(line);
  context[space ? space - text : 0] = 0;
  if (!*word) return gw_fail(GW_CORRUPT, "%s: key 'text' does not end in a word", line->place);
  GW_TRY(begin_item(line, 1, out));
  out->answer = 0;
  return set_choice(line, out, 0, context, word);
}

/* ---- two sentences, two solutions ---- */

static GwStatus blimp(const GwTaskLine *line, GwTaskItem *out) {
  const char *good = NULL, *bad = NULL;
  GW_TRY(string_of(line, "sentence_good", &good));
  GW_TRY(string_of(line, "sentence_bad", &bad));
  GW_TRY(begin_item(line, 2, out));
  GW_TRY(set_choice(line, out, 0, "", good));
  out->answer = 0;
  return set_choice(line, out, 1, "", bad);
}

static const char *question(const GwTaskLine *line, const char *text) {
  return gw_arena_format(line->arena, "Question: %s\nAnswer:", text);
}

static GwStatus piqa(const GwTaskLine *line, GwTaskItem *out) {
  const char *goal = NULL, *first = NULL, *second = NULL;
  GW_TRY(string_of(line, "goal", &goal));
  GW_TRY(string_of(line, "sol1", &first));
  GW_TRY(string_of(line, "sol2", &second));
  GW_TRY(begin_item(line, 2, out));
  const char *context = question(line, goal);
  GW_TRY(set_choice(line, out, 0, context, first));
  GW_TRY(set_choice(line, out, 1, context, second));
  out->answer = -1; /* stands in the file of labels */
  return json_object_get(line->object, "label") ? set_answer(line, "label", 0, out) : GW_OK;
}

/* ---- ARC ---- */

static GwStatus find_label(const GwTaskLine *line, const char *key, int32_t number,
                           const char *label, GwTaskItem *out) {
  if (out->answer < 0 && label && strcmp(label, key) == 0) out->answer = number;
  return label ? GW_OK : gw_fail(GW_CORRUPT, "%s: a choice has no 'label'", line->place);
}

/* As published: question.stem, question.choices[{text, label}]. */
static GwStatus arc_published(const GwTaskLine *line, const json_t *asked, const char *key,
                              GwTaskItem *out) {
  const char *stem = NULL, *text = NULL;
  json_t *choices = NULL;
  GW_TRY(gw_json_string(asked, line->place, "stem", &stem));
  GW_TRY(gw_json_array(asked, line->place, "choices", &choices));
  GW_TRY(begin_item(line, json_array_size(choices), out));
  const char *context = question(line, stem);
  for (int32_t i = 0; i < out->choice_count; i++) {
    const json_t *choice = json_array_get(choices, (size_t)i);
    GW_TRY(gw_json_string(choice, line->place, "text", &text));
    GW_TRY(set_choice(line, out, (size_t)i, context, text));
    GW_TRY(find_label(line, key, i, json_string_value(json_object_get(choice, "label")), out));
  }
  return GW_OK;
}

/* As data sets of Hugging Face: question, choices.text[], choices.label[]. */
static GwStatus arc_columns(const GwTaskLine *line, const char *asked, const char *key,
                            GwTaskItem *out) {
  json_t *choices = NULL, *texts = NULL, *labels = NULL;
  GW_TRY(gw_json_object(line->object, line->place, "choices", &choices));
  GW_TRY(gw_json_array(choices, line->place, "text", &texts));
  GW_TRY(gw_json_array(choices, line->place, "label", &labels));
  const char *context = question(line, asked);
  GW_TRY(set_choices(line, "text", texts, context, out));
  for (int32_t i = 0; i < out->choice_count; i++)
    GW_TRY(find_label(line, key, i, json_string_value(json_array_get(labels, (size_t)i)), out));
  return GW_OK;
}

static GwStatus arc(const GwTaskLine *line, GwTaskItem *out) {
  const json_t *asked = json_object_get(line->object, "question");
  const char *key = NULL;
  GW_TRY(string_of(line, "answerKey", &key));
  out->answer = -1;
  if (json_is_object(asked)) {
    GW_TRY(arc_published(line, asked, key, out));
  } else {
    const char *text = NULL;
    GW_TRY(string_of(line, "question", &text));
    GW_TRY(arc_columns(line, text, key, out));
  }
  if (out->answer >= 0) return GW_OK;
  return gw_fail(GW_CORRUPT, "%s: key 'answerKey' is none of the choices' labels", line->place);
}

/* ---- Winogrande: one continuation, two contexts ---- */

static GwStatus winogrande(const GwTaskLine *line, GwTaskItem *out) {
  static const char *const keys[] = {"option1", "option2"};
  const char *sentence = NULL;
  GW_TRY(string_of(line, "sentence", &sentence));
  const char *blank = strchr(sentence, '_');
  if (!blank) return gw_fail(GW_CORRUPT, "%s: key 'sentence' has no blank, _", line->place);
  const char *rest = gw_task_strip(line->arena, blank + 1);
  if (rest && !*rest)
    return gw_fail(GW_CORRUPT, "%s: nothing follows the blank, _, of key 'sentence'", line->place);
  GW_TRY(begin_item(line, GW_COUNT_OF(keys), out));
  for (size_t i = 0; i < GW_COUNT_OF(keys); i++) {
    const char *option = NULL;
    GW_TRY(string_of(line, keys[i], &option));
    if (!*option) return gw_fail(GW_CORRUPT, "%s: key '%s' is empty", line->place, keys[i]);
    const char *context =
        gw_arena_format(line->arena, "%.*s%s", (int)(blank - sentence), sentence, option);
    GW_TRY(set_choice(line, out, i, context, rest));
  }
  return set_answer(line, "answer", 1, out);
}

/* ---- one's own ---- */

static GwStatus own(const GwTaskLine *line, GwTaskItem *out) {
  const char *context = NULL;
  json_t *choices = NULL;
  GW_TRY(string_of(line, "context", &context));
  GW_TRY(gw_json_array(line->object, line->place, "choices", &choices));
  context = gw_arena_string(line->arena, context);
  GW_TRY(set_choices(line, "choices", choices, context, out));
  return set_answer(line, "answer", 0, out);
}

/* ---- the table ---- */

static const GwTask TASKS[] = {
    {.name = "hellaswag", .files = "_val.jsonl", .normalised = true, .layout = hellaswag},
    {.name = "lambada", .files = "test.jsonl", .greedy = true, .layout = lambada},
    {.name = "blimp", .files = ".jsonl", .layout = blimp},
    {.name = "arc", .files = "-Test.jsonl", .normalised = true, .layout = arc},
    {.name = "piqa",
     .files = "valid.jsonl",
     .labels = "-labels.lst",
     .normalised = true,
     .layout = piqa},
    {.name = "winogrande", .files = "dev.jsonl", .layout = winogrande},
};
static const GwTask OWN = {.name = "own", .files = ".jsonl", .normalised = true, .layout = own};

const GwTask *gw_task_at(size_t number) {
  return number < GW_COUNT_OF(TASKS) ? &TASKS[number] : NULL;
}

const GwTask *gw_task_find(const char *name) {
  size_t i = 0;
  while (i < GW_COUNT_OF(TASKS) && strcmp(TASKS[i].name, name) != 0) i++;
  return gw_task_at(i);
}

const GwTask *gw_task_own(void) { return &OWN; }
