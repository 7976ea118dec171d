/* Files that transformers and llama.cpp have read (`make test-interop` has them do it, and alone
 * writes these): an export of the same model is the same to the byte, and an import has exactly its
 * parameters. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interop_golden.h"

static const char GOLDEN[] = GW_TEST_SOURCE_DIR "/test/golden/interop";

static void assert_same_file(const char *a, const char *b) {
  char *data[2];
  size_t size[2], at = 0;
  assert_ok(gw_fs_read_all(gw_fs_disk(), a, 1 << 20, &data[0], &size[0]));
  assert_ok(gw_fs_read_all(gw_fs_disk(), b, 1 << 20, &data[1], &size[1]));
  while (at < size[0] && at < size[1] && data[0][at] == data[1][at]) at++;
  if (at < size[0] || at < size[1])
    fail_msg("%s: %zu bytes, %zu in %s; they differ from byte %zu on", b, size[1], size[0], a, at);
  free(data[0]);
  free(data[1]);
}

/* Two folders in one walk: every file of one is in the other, and the same. */
typedef struct {
  const char *kept, *made;
  int files;
} Folders;

static GwStatus compare_entry(void *context, const char *name, bool is_dir) {
  Folders *folders = context;
  char kept[1024], made[1024];
  assert_false(is_dir);
  snprintf(kept, sizeof kept, "%s/%s", folders->kept, name);
  snprintf(made, sizeof made, "%s/%s", folders->made, name);
  assert_same_file(kept, made);
  folders->files++;
  return GW_OK;
}

static GwStatus count_entry(void *context, const char *name, bool is_dir) {
  (void)name;
  (void)is_dir;
  ++*(int *)context;
  return GW_OK;
}

static void exports_are_the_same_bytes(void **state) {
  (void)state;
  GwFs *fs = gw_fs_disk();
  for (int i = 0; i < GW_GOLDEN_EXPORTS; i++) {
    const GwGoldenExport *export = &gw_golden_exports[i];
    char kept[800], made[800];
    const char *folder = gw_test_folder("interop_golden");
    snprintf(kept, sizeof kept, "%s/%s", GOLDEN, export->name);
    snprintf(made, sizeof made, "%s/%s", folder, export->name);
    assert_ok(gw_golden_write(export, folder));
    if (!export->hf) {
      assert_same_file(kept, made);
      continue;
    }
    Folders folders = {kept, made, 0};
    int files = 0;
    assert_ok(fs->list(fs, kept, compare_entry, &folders));
    assert_ok(fs->list(fs, made, count_entry, &files));
    assert_int_equal(folders.files, files);
  }
}

static void imports_are_the_same_parameters(void **state) {
  (void)state;
  for (int i = 0; i < GW_GOLDEN_EXPORTS; i++) {
    const GwGoldenExport *export = &gw_golden_exports[i];
    GwForeignModel model = {0}, back = {0};
    char kept[800];
    snprintf(kept, sizeof kept, "%s/%s", GOLDEN, export->name);
    assert_ok(gw_golden_model(export, &model));
    assert_ok(export->hf ? gw_hf_import(gw_fs_disk(), kept, &back) : gw_gguf_import(kept, &back));
    assert_int_equal(model.list.count, back.list.count);
    assert_int_equal(gw_tokenizer_hash(model.tokenizer), gw_tokenizer_hash(back.tokenizer));
    for (int k = 0; k < model.list.count; k++) {
      const GwParam *a = &model.list.params[k], *b = &back.list.params[k];
      assert_string_equal(a->name, b->name);
      assert_true(gw_type_equal(&a->type, &b->type));
      if (memcmp((char *)model.params + a->offset, (char *)back.params + b->offset,
                 gw_type_size(&a->type)) != 0)
        fail_msg("%s: %s came back as another", export->name, a->name);
    }
    gw_foreign_model_deinit(&model);
    gw_foreign_model_deinit(&back);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exports_are_the_same_bytes),
      cmocka_unit_test(imports_are_the_same_parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
