/* The option parser: values of every type, positionals and overrides in any order, misuse. The
 * parser belongs to the program and not to the library, so its file is compiled in here. */
#include "support.h"

#include <string.h>

#include "../../app/cli.c"

enum { ARGUMENTS_MAX = 16 };

static bool flag;
static const char *text, *choice;
static GwOptionList list;
static int32_t i32;
static int64_t i64;
static uint64_t u64;
static double f64;

static const GwOption options[] = {
    {"flag", NULL, "a flag", GW_OPTION_FLAG, &flag, 0, 0},
    {"text", "WORD", "some text", GW_OPTION_TEXT, &text, 0, 0},
    {"list", "WORD", "some texts", GW_OPTION_LIST, &list, 0, 0},
    {"choice", "cpu|reference", "one of two", GW_OPTION_CHOICE, &choice, 0, 0},
    {"i32", "N", "a small number", GW_OPTION_I32, &i32, -5, 100},
    {"i64", "N", "a large number", GW_OPTION_I64, &i64, 0, 0},
    {"u64", "N", "a seed", GW_OPTION_U64, &u64, 0, 0},
    {"f64", "X", "a fraction", GW_OPTION_F64, &f64, 0, 1},
};

static const GwCommand command = {.name = "test",
                                  .usage = "RECIPE [INPUT] [key=value ...]",
                                  .summary = "Tests.",
                                  .example = "godwit test",
                                  .options = options,
                                  .option_count = GW_COUNT_OF(options),
                                  .positional_min = 1,
                                  .positional_max = 2,
                                  .takes_overrides = true};

/* Parses `words` (ended by NULL) behind the command's name. */
static bool parse(const char *const *words, GwArguments *out, int *code) {
  static char *argv[ARGUMENTS_MAX];
  int argc = 1;
  argv[0] = (char *)"test";
  while (*words) argv[argc++] = (char *)*words++;
  flag = false;
  text = choice = NULL;
  list.count = 0;
  i32 = 0;
  i64 = 0;
  u64 = 0;
  f64 = 0;
  return gw_cli_parse(&command, argc, argv, out, code);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void values_of_every_type(void **unused) {
  (void)unused;
  GwArguments arguments;
  int code = -1;
  assert_true(
      parse(WORDS("--flag", "r", "--text", "--odd", "--choice=reference", "--i32", "-5",
                  "--i64=-9223372036854775808", "--u64", "18446744073709551615", "--f64=2.5e-1"),
            &arguments, &code));
  assert_int_equal(code, 0);
  assert_true(flag);
  assert_string_equal(text, "--odd");
  assert_string_equal(choice, "reference");
  assert_int_equal(i32, -5);
  assert_true(i64 == INT64_MIN);
  assert_true(u64 == UINT64_MAX);
  assert_true(f64 == 0.25);
}

static void lists_keep_every_value(void **unused) {
  (void)unused;
  GwArguments arguments;
  int code = -1;
  assert_true(parse(WORDS("--list=a", "r", "--list", "b=c"), &arguments, &code));
  assert_int_equal(list.count, 2);
  assert_string_equal(list.items[0], "a");
  assert_string_equal(list.items[1], "b=c");
  list.count = GW_OPTION_LIST_MAX;
  assert_false(read_item(&list, "one too many"));
}

static void positionals_and_overrides_in_any_order(void **unused) {
  (void)unused;
  GwArguments arguments;
  int code = -1;
  assert_true(parse(WORDS("a.b=1", "first", "--flag", "c=", "d=x=y", "--text=t", "./e=f"),
                    &arguments, &code));
  assert_int_equal(arguments.positional_count, 2);
  assert_string_equal(arguments.positionals[0], "first");
  assert_string_equal(arguments.positionals[1], "./e=f"); /* no key has a slash */
  assert_int_equal(arguments.override_count, 3);
  assert_string_equal(arguments.overrides[0], "a.b=1");
  assert_string_equal(arguments.overrides[1], "c=");
  assert_string_equal(arguments.overrides[2], "d=x=y");
  assert_true(parse(WORDS("-", "--", "--flag"), &arguments, &code));
  assert_int_equal(arguments.positional_count, 2);
  assert_string_equal(arguments.positionals[1], "--flag");
  assert_false(flag);
  assert_true(parse(WORDS("--", "a=b"), &arguments, &code));
  assert_int_equal(arguments.positional_count, 1);
}

static void misuse_is_refused(void **unused) {
  (void)unused;
  const char *const cases[][3] = {
      {"r", "--i32", NULL},
      {"r", "--i32=101"},
      {"r", "--i32=-6"},
      {"r", "--i32= 1"},
      {"r", "--i32=1x"},
      {"r", "--i32="},
      {"r", "--i32=4294967297"},
      {"r", "--i64=9223372036854775808"},
      {"r", "--u64=-1"},
      {"r", "--u64=18446744073709551616"},
      {"r", "--f64=nan"},
      {"r", "--f64=inf"},
      {"r", "--f64=1.5"},
      {"r", "--choice=cpu|"},
      {"r", "--choice="},
      {"r", "--flag=1"},
      {"r", "--flagg"},
      {"r", "-f"},
      {"--flag"},
      {"r", "s", "t"},
  };
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
    const char *words[4] = {cases[i][0], cases[i][1], cases[i][2], NULL};
    GwArguments arguments;
    int code = -1;
    if (parse(words, &arguments, &code)) fail_msg("%s %s was taken", words[0], words[1]);
    assert_int_equal(code, 2);
  }
}

static void help_ends_well_wherever_it_stands(void **unused) {
  (void)unused;
  GwArguments arguments;
  int code = -1;
  assert_false(parse(WORDS("--help"), &arguments, &code));
  assert_int_equal(code, 0);
  assert_false(parse(WORDS("r", "--flag", "-h", "--wrong"), &arguments, &code));
  assert_int_equal(code, 0);
}

static void failures_give_their_exit_code(void **unused) {
  (void)unused;
  assert_int_equal(gw_cli_failed(gw_fail(GW_USAGE, "misused")), 2);
  assert_int_equal(gw_cli_failed(gw_fail(GW_IO, "failed")), 1);
  assert_int_equal(gw_cli_misuse("test", "wrong %d", 1), 2);
  assert_int_equal(gw_cli_print_json(json_pack("{s:i}", "one", 1)), 0);
  assert_int_equal(gw_cli_print_json(NULL), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_of_every_type),
      cmocka_unit_test(lists_keep_every_value),
      cmocka_unit_test(positionals_and_overrides_in_any_order),
      cmocka_unit_test(misuse_is_refused),
      cmocka_unit_test(help_ends_well_wherever_it_stands),
      cmocka_unit_test(failures_give_their_exit_code),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
