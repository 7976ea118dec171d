/* Faults to be injected: how they are written, what is refused, that each strikes once, and that
 * the document has every class. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "guard/inject.h"
#include "os/fs.h"

static GwInjection parse(const char *text) {
  GwInjection out;
  assert_ok(gw_injection_parse(text, &out));
  return out;
}

static void a_fault_has_what_is_written(void **state) {
  (void)state;
  GwInjection kill = parse("kill:rank=2,step=40,op=7"), flip = parse("flip:step=3,bit=31,rank=0");
  assert_true(kill.class == GW_INJECT_KILL && kill.rank == 2 && kill.step == 40 && kill.op == 7);
  assert_true(flip.class == GW_INJECT_FLIP && flip.rank == 0 && flip.step == 3 && flip.bit == 31);
  assert_true(flip.tensor == 0 && flip.op == -1);
  assert_int_equal(parse("flip:rank=0,step=1,tensor=v").tensor, 2);
  assert_int_equal(parse("gradient:rank=0,step=1").bit, -1);
  assert_int_equal(parse("gradient:rank=0,step=1,bit=63").bit, 63);
  GwInjection slow = parse("slow:rank=1,step=2,factor=2.5,steps=7");
  assert_true(slow.factor == 2.5 && slow.steps == 7);
  assert_int_equal(parse("reduce-all:step=1").rank, -1);
  assert_int_equal(parse("reduce-all:step=1").how, 0);
  assert_int_equal(parse("reduce-all:how=half,step=1").how, 4);
  assert_int_equal(parse("payload:rank=0,step=1,how=twice,bit=9").how, 2);
  assert_int_equal(parse("slow:rank=0,step=1,how=disk").how, 3);
  assert_int_equal(parse("full:step=1,how=readonly").how, 2);
}

static void words_of_a_key_go_round(void **state) {
  (void)state;
  const char *word;
  static const char *const tensors[] = {"weights", "m", "v"};
  for (int n = 0; n < 8; n++) {
    size_t length = gw_inject_word(GW_INJECT_FLIP, "tensor", n, &word);
    assert_int_equal(length, strlen(tensors[n % 3]));
    assert_memory_equal(word, tensors[n % 3], length);
  }
  assert_int_equal(gw_inject_word(GW_INJECT_FLIP, "bit", 0, &word), 0);
  assert_int_equal(gw_inject_word(GW_INJECT_KILL, "tensor", 0, &word), 0);
}

static void every_class_can_be_asked_for(void **state) {
  (void)state;
  for (int i = 0; i < GW_INJECT_CLASSES; i++) {
    char text[64];
    const GwInjectInfo *info = gw_inject_info((GwInjectClass)i);
    bool has_rank = strstr(info->keys, "rank") != NULL;
    snprintf(text, sizeof text, "%s:step=5%s", info->name, has_rank ? ",rank=1" : "");
    GwInjection fault = parse(text);
    assert_true((int)fault.class == i && fault.rank == (has_rank ? 1 : -1));
  }
}

static void refuses(const char *text, const char *part) {
  GwInjection out;
  assert_fails(GW_USAGE, part, gw_injection_parse(text, &out));
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  refuses("", "there are: kill, exit");
  refuses("kil:rank=1,step=1", "did you mean 'kill'?");
  refuses("zzzzzzzzz", "supervisor, node");
  refuses("kill", "needs rank=N");
  refuses("kill:rank=1", "needs step=N");
  refuses("kill:step=1", "needs rank=N");
  refuses("torn:", "needs step=N");
  refuses("kill:rank=1,step=1,bit=3", "no key 'bit'; it has: rank, step, op");
  refuses("full:rank=1,step=1", "no key 'rank'; it has: step");
  refuses("kill:rank=1,stp=1", "no key 'stp'");
  refuses("kill:rank,step=1", "rank is a whole number");
  refuses("kill:rank=,step=1", "not ''");
  refuses("kill:rank=-1,step=1", "not '-1'");
  refuses("kill:rank=1.5,step=1", "not '1.5'");
  refuses("kill:rank=1,step=0", "from 1 to");
  refuses("kill:rank=1,step=9e9", "not '9e9'");
  refuses("kill:rank=1,step=99999999999999999999", "step is");
  refuses("kill:rank=1,step=1,step=2", "step is given twice");
  refuses("flip:rank=1,step=1,tensor=w", "tensor is one of weights|m|v, not 'w'");
  refuses("flip:rank=1,step=1,bit=32", "from 0 to 31");
  refuses("payload:rank=1,step=1,bit=64", "from 0 to 63");
  refuses("slow:rank=1,step=1,factor=0.5", "factor is a number from 1");
  refuses("slow:rank=1,step=1,steps=0", "steps is");
  refuses("slow:rank=1,step=1,how=dis", "how is one of compute|network|input|disk, not 'dis'");
  refuses("flip:rank=1,step=1,how=every32x", "how is one of one|every32");
  refuses("flip:rank=1,step=1,tensor=m|v", "tensor is one of");
  refuses("flip:rank=1,step=1,tensor=", "not ''");
  refuses("flip:rank=1,step=1,how", "how is one of one|every32, not ''");
  refuses("kill:rank=1,step=1,how=hard", "no key 'how'");
  char text[300];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  refuses(text, "too long");
}

static void ranks_that_are_not_there_are_refused(void **state) {
  (void)state;
  const char *const texts[] = {"kill:rank=1,step=1", "stop:rank=2,step=1"};
  GwInjection *faults = NULL;
  assert_fails(GW_USAGE, "ranks are 0 to 1", gw_injections_parse(texts, 2, 2, &faults));
  assert_ok(gw_injections_parse(texts, 2, 3, &faults));
  free(faults);
  const char *const slow[] = {"slow:rank=1,step=1,how=disk"}; /* that writes nothing */
  assert_fails(GW_USAGE, "only rank 0", gw_injections_parse(slow, 1, 2, &faults));
  assert_ok(gw_injections_parse(NULL, 0, 1, &faults));
  assert_null(faults);
}

/* Calls the hook of a new process's injector, as often as a run would come to the step. */
static int strikes(const char *dir, const char *const *texts, int32_t count, int32_t rank,
                   int64_t step) {
  GwPlace place = {.rank = rank, .ranks = 2, .nodes = 1, .node_rank = rank, .node_ranks = 2};
  GwInjectorOptions options = {
      .specs = texts, .count = count, .run_dir = dir, .epoch = 1, .place = &place};
  GwInjector *injector;
  int times = 0;
  assert_ok(gw_injector_create(&options, &injector));
  const GwMomentHook *hook = gw_injector_hook(injector);
  for (int i = 0; i < 3; i++) times += hook->at(hook->self, GW_MOMENT_BEGIN, step, NULL) == GW_IO;
  gw_injector_destroy(injector);
  return times;
}

static void a_fault_strikes_once(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  char record[GW_PATH_MAX];
  const char *dir = gw_test_folder("inject");
  assert_ok(gw_fs_path(record, "%s/injected.jsonl", dir));
  const char *const texts[] = {"exit:rank=1,step=5", "exit:rank=1,step=7", "exit:rank=0,step=7"};
  assert_int_equal(strikes(dir, texts, 3, 1, 4), 0);
  assert_false(fs->exists(fs, record));
  assert_int_equal(strikes(dir, texts, 3, 0, 5), 0); /* another's */
  assert_int_equal(strikes(dir, texts, 3, 1, 5), 1);
  assert_int_equal(strikes(dir, texts, 3, 1, 5), 0); /* a later process */
  GwFile *file;
  assert_ok(fs->open(fs, record, GW_FILE_APPEND, &file));
  assert_ok(fs->write(fs, file, "{\"fault\":1,\"cla", 15)); /* torn: it counts for nothing */
  fs->close(fs, file);
  assert_int_equal(strikes(dir, texts, 3, 1, 5), 0);
  assert_int_equal(strikes(dir, texts, 3, 1, 7), 1);
  assert_int_equal(strikes(dir, texts, 3, 1, 7), 0);
  char *text;
  size_t size;
  assert_ok(gw_fs_read_all(fs, record, 1 << 16, &text, &size));
  assert_non_null(
      strstr(text, "{\"fault\":0,\"class\":\"exit\",\"rank\":1,\"step\":5,\"epoch\":1,\"ns\":"));
  free(text);
}

static void the_document_has_every_class(void **state) {
  (void)state;
  char *text;
  size_t size;
  assert_ok(gw_fs_read_all(gw_fs_disk(), GW_TEST_SOURCE_DIR "/docs/fault-model.md", 1 << 20, &text,
                           &size));
  for (int i = 0; i < GW_INJECT_CLASSES; i++) {
    char row[256];
    const GwInjectInfo *info = gw_inject_info((GwInjectClass)i);
    snprintf(row, sizeof row, "\n| `%s` | %s | `%s` |", info->name, info->does, info->event);
    if (!strstr(text, row)) fail_msg("docs/fault-model.md has no row that begins %s", row + 1);
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_fault_has_what_is_written),
                                     cmocka_unit_test(words_of_a_key_go_round),
                                     cmocka_unit_test(every_class_can_be_asked_for),
                                     cmocka_unit_test(what_makes_no_sense_is_refused),
                                     cmocka_unit_test(ranks_that_are_not_there_are_refused),
                                     cmocka_unit_test(a_fault_strikes_once),
                                     cmocka_unit_test(the_document_has_every_class)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
