/* Weights out and in: every family and format comes back bit for bit, halves and blocks come back
 * as near as they can be, and each kind of bad file is refused by file and field. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/half.h"
#include "base/json.h"
#include "interop/foreign_model.h"
#include "interop/hf_config.h"
#include "state/safetensors.h"
#include "tokenizer/tokenizer_table.h"

static uint64_t seed;
enum { KINDS = 5 };
static const char *const NAMES[KINDS] = {"gpt2", "llama", "untied", "qwen3", "wide"};

static GwTokenizer *make_tokenizer(void) {
  static const char text[] = "the cat sat on the mat and the cat ate the rat, that's that.";
  GwBpeTrainer *trainer = NULL;
  GwTokenizer *tokenizer = NULL;
  assert_ok(gw_bpe_trainer_create(&trainer));
  assert_ok(gw_bpe_trainer_add(trainer, text, sizeof text - 1));
  assert_ok(gw_bpe_trainer_finish(trainer, 262, &tokenizer));
  gw_bpe_trainer_destroy(trainer);
  return tokenizer;
}

/* A model of random weights. */
static GwForeignModel make_model(int kind) {
  GwForeignModel model = {.model = gw_recipe_default().model, .tokenizer = make_tokenizer()};
  GwModelRecipe *m = &model.model;
  GwRng rng = gw_rng(seed, (uint64_t)kind);
  m->family = kind == 0 ? GW_FAMILY_GPT2 : GW_FAMILY_LLAMA;
  m->activation = kind == 0 ? GW_ACTIVATION_GELU : GW_ACTIVATION_SWIGLU;
  m->layers = 2;
  m->width = 32;
  m->heads = 4;
  m->kv_heads = kind == 0 ? 4 : 2;
  m->hidden = kind == 0 ? 128 : 96;
  m->context = 24;
  m->vocab_size = 262;
  m->qk_norm = kind >= 3;
  m->head_width = kind == 4 ? 16 : 0;
  m->tie_embeddings = kind != 2;
  m->norm_epsilon = 1e-5;
  assert_ok(gw_foreign_model_allocate(NAMES[kind], UINT64_MAX, &model));
  for (int i = 0; i < model.list.count; i++) {
    float *values = (float *)(void *)((char *)model.params + model.list.params[i].offset);
    for (int64_t k = 0; k < gw_type_count(&model.list.params[i].type); k++)
      values[k] = (float)(gw_rng_uniform(&rng) - 0.5);
  }
  return model;
}

static const char *fresh_path(const char *name) {
  static char path[700];
  snprintf(path, sizeof path, "%s/%s", gw_test_folder("interop"), name);
  return path;
}

static GwStatus export_hf(const GwForeignModel *model, const char *path, GwGgmlType type) {
  return gw_hf_export(gw_fs_disk(), model, path, type, GW_HF_SHARD_BYTES);
}

static void export_as(const GwForeignModel *model, bool hf, GwGgmlType type, const char *path) {
  assert_ok(hf ? export_hf(model, path, type) : gw_gguf_export(gw_fs_disk(), model, path, type));
}

static GwStatus import_from(bool hf, const char *path, GwForeignModel *out) {
  *out = (GwForeignModel){0};
  return hf ? gw_hf_import(gw_fs_disk(), path, out) : gw_gguf_import(path, out);
}

static void assert_same_model(const GwForeignModel *a, const GwForeignModel *b, double tolerance) {
  const GwModelRecipe *x = &a->model, *y = &b->model;
  assert_int_equal(x->family, y->family);
  assert_int_equal(x->layers, y->layers);
  assert_int_equal(x->width, y->width);
  assert_int_equal(x->heads, y->heads);
  assert_int_equal(x->kv_heads, y->kv_heads);
  assert_int_equal(x->hidden, y->hidden);
  assert_int_equal(x->head_width, y->head_width);
  assert_int_equal(x->context, y->context);
  assert_int_equal(x->qk_norm, y->qk_norm);
  assert_int_equal(x->tie_embeddings, y->tie_embeddings);
  assert_true(x->norm_epsilon == y->norm_epsilon);
  if (x->family == GW_FAMILY_LLAMA) assert_true(x->rope_theta == y->rope_theta);
  assert_int_equal(gw_tokenizer_hash(a->tokenizer), gw_tokenizer_hash(b->tokenizer));
  assert_int_equal(a->list.count, b->list.count);
  for (int i = 0; i < a->list.count; i++) {
    const char *p = (const char *)a->params + a->list.params[i].offset;
    const char *q = (const char *)b->params + b->list.params[i].offset;
    for (int64_t k = 0; k < gw_type_count(&a->list.params[i].type); k++) {
      float u, v;
      memcpy(&u, p + 4 * k, 4);
      memcpy(&v, q + 4 * k, 4);
      double gap = (double)u - (double)v;
      if (gap > tolerance || -gap > tolerance)
        fail_msg("%s[%d]: %g, %g", a->list.params[i].name, (int)k, (double)u, (double)v);
    }
  }
}

static void every_family_comes_back(void **state) {
  (void)state;
  static const struct {
    GwGgmlType type;
    double tolerance; /* of values up to 0.5 */
  } types[] = {{GW_GGML_F32, 0},
               {GW_GGML_F16, 0x1p-12},
               {GW_GGML_BF16, 0x1p-9},
               {GW_GGML_Q8_0, 0.5 / 127 * 0.57}};
  for (int kind = 0; kind < KINDS; kind++) {
    GwForeignModel model = make_model(kind), back;
    for (int format = 0; format < 2; format++)
      for (size_t i = 0; i < GW_COUNT_OF(types); i++) {
        if (format == 1 && types[i].type == GW_GGML_Q8_0) continue;
        const char *path = fresh_path("model");
        export_as(&model, format == 1, types[i].type, path);
        assert_ok(import_from(format == 1, path, &back));
        assert_same_model(&model, &back, types[i].tolerance);
        gw_foreign_model_deinit(&back);
      }
    gw_foreign_model_deinit(&model);
  }
}

static void assert_same_file(const char *a, const char *b) {
  char *data[2];
  size_t size[2];
  assert_ok(gw_fs_read_all(gw_fs_disk(), a, 1 << 26, &data[0], &size[0]));
  assert_ok(gw_fs_read_all(gw_fs_disk(), b, 1 << 26, &data[1], &size[1]));
  assert_int_equal(size[0], size[1]);
  assert_memory_equal(data[0], data[1], size[0]);
  free(data[0]);
  free(data[1]);
}

static void what_came_back_goes_out_the_same(void **state) {
  (void)state;
  static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                      "tokenizer_config.json", "generation_config.json"};
  char first[720], second[720], a[800], b[800];
  for (int kind = 0; kind < KINDS; kind++)
    for (int hf = 0; hf < 2; hf++) {
      GwForeignModel model = make_model(kind), back;
      snprintf(first, sizeof first, "%s", fresh_path("first"));
      snprintf(second, sizeof second, "%.*ssecond", (int)(strlen(first) - 5), first);
      export_as(&model, hf, GW_GGML_F32, first);
      assert_ok(import_from(hf, first, &back));
      export_as(&back, hf, GW_GGML_F32, second);
      if (!hf) assert_same_file(first, second);
      for (size_t i = 0; hf && i < GW_COUNT_OF(files); i++) {
        snprintf(a, sizeof a, "%s/%s", first, files[i]);
        snprintf(b, sizeof b, "%s/%s", second, files[i]);
        assert_same_file(a, b);
      }
      gw_foreign_model_deinit(&model);
      gw_foreign_model_deinit(&back);
    }
}

/* ---- what texts begin and end with ---- */

/* Special tokens as Llama 3 has them, at ids 262 to 266. */
static GwTokenizer *make_llama_tokenizer(void) {
  static const char *const names[] = {"<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>",
                                      "<|eot_id|>", "<|reserved|>"};
  GwTokenizer *plain = make_tokenizer(), *tokenizer = NULL;
  const char *path = fresh_path("tokenizer.json");
  assert_ok(gw_tokenizer_save(gw_fs_disk(), plain, path));
  gw_tokenizer_destroy(plain);
  json_t *root = json_load_file(path, 0, NULL), *added = json_array();
  json_object_del(json_object_get(json_object_get(root, "model"), "vocab"), "<|endoftext|>");
  for (int i = 0; i < 5; i++)
    json_array_append_new(added, json_pack("{s:i, s:s}", "id", 262 + i, "content", names[i]));
  json_object_set_new(root, "added_tokens", added);
  char *text = json_dumps(root, 0);
  assert_ok(gw_tokenizer_parse("llama", text, strlen(text), &tokenizer));
  json_decref(root);
  free(text);
  return tokenizer;
}

static GwForeignModel make_llama(GwTextEnds ends) {
  GwForeignModel model = make_model(1);
  gw_tokenizer_destroy(model.tokenizer);
  gw_param_list_deinit(&model.list);
  gw_buffer_destroy(model.params);
  model.tokenizer = make_llama_tokenizer();
  model.model.vocab_size = 267;
  model.ends = ends;
  assert_ok(gw_foreign_model_allocate("llama", UINT64_MAX, &model));
  memset(model.params, 0, (size_t)model.list.bytes);
  return model;
}

static json_t *load_json(const char *folder, const char *name) {
  char path[800];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  json_t *root = json_load_file(path, 0, NULL);
  assert_non_null(root);
  return root;
}

static void assert_member(const char *folder, const char *name, const char *key,
                          const char *wanted) {
  json_t *root = load_json(folder, name), *value = json_loads(wanted, JSON_DECODE_ANY, NULL);
  if (!json_equal(json_object_get(root, key), value)) fail_msg("%s: %s", name, key);
  json_decref(root);
  json_decref(value);
}

static void assert_ends(const GwForeignModel *model, int32_t head, const GwTextEnds *wanted) {
  GwTextEnds ends = gw_foreign_ends(model);
  assert_int_equal(gw_tokenizer_end_of_text(model->tokenizer), head);
  assert_int_equal(ends.count, wanted->count);
  assert_memory_equal(ends.ids, wanted->ids, sizeof *ends.ids * (size_t)ends.count);
}

static void other_ends_than_the_beginning_come_back(void **state) {
  (void)state;
  const GwTextEnds ends[] = {{{263}, 1}, {{263, 264, 265}, 3}, {{265, 263}, 2}, {{262}, 1}};
  for (size_t i = 0; i < GW_COUNT_OF(ends); i++)
    for (int hf = 0; hf < 2; hf++) {
      GwForeignModel model = make_llama(ends[i]), back;
      char path[720];
      snprintf(path, sizeof path, "%s", fresh_path("borders"));
      assert_ends(&model, 262, &ends[i]);
      export_as(&model, hf, GW_GGML_F32, path);
      assert_ok(import_from(hf, path, &back));
      assert_ends(&back, 262, &ends[i]);
      assert_same_model(&model, &back, 0);
      gw_foreign_model_deinit(&back);
      gw_foreign_model_deinit(&model);
    }
}

static void a_folder_says_what_texts_begin_and_end_with(void **state) {
  (void)state;
  GwForeignModel model = make_llama((GwTextEnds){{263, 265}, 2});
  const char *folder = fresh_path("folder");
  export_as(&model, true, GW_GGML_F32, folder);
  assert_member(folder, "config.json", "bos_token_id", "262");
  assert_member(folder, "config.json", "eos_token_id", "[263, 265]");
  assert_member(folder, "generation_config.json", "bos_token_id", "262");
  assert_member(folder, "generation_config.json", "eos_token_id", "[263, 265]");
  assert_member(folder, "tokenizer_config.json", "bos_token", "\"<|begin_of_text|>\"");
  assert_member(folder, "tokenizer_config.json", "eos_token", "\"<|end_of_text|>\"");
  gw_foreign_model_deinit(&model);
}

/* Writes `key` of a file in an exported folder anew, NULL: without it. */
static void change_member(const char *folder, const char *name, const char *key,
                          const char *value) {
  char path[800];
  json_t *root = load_json(folder, name);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (value)
    json_object_set_new(root, key, json_loads(value, JSON_DECODE_ANY, NULL));
  else
    json_object_del(root, key);
  assert_int_equal(json_dump_file(root, path, 0), 0);
  json_decref(root);
}

static void files_of_a_folder_are_asked_in_order(void **state) {
  (void)state;
  GwForeignModel model = make_llama((GwTextEnds){{263}, 1}), back;
  char folder[720];
  snprintf(folder, sizeof folder, "%s", fresh_path("order"));
  export_as(&model, true, GW_GGML_F32, folder);
  change_member(folder, "tokenizer_config.json", "bos_token", "{\"content\": \"<|reserved|>\"}");
  change_member(folder, "tokenizer_config.json", "eos_token", "\"<|eot_id|>\"");
  change_member(folder, "config.json", "eos_token_id", "[264]");
  change_member(folder, "config.json", "bos_token_id", "265");
  assert_ok(import_from(true, folder, &back));
  assert_ends(&back, 262, &(GwTextEnds){{263}, 1});
  gw_foreign_model_deinit(&back);
  change_member(folder, "generation_config.json", "eos_token_id", "null");
  assert_ok(import_from(true, folder, &back));
  assert_ends(&back, 262, &(GwTextEnds){{264}, 1});
  gw_foreign_model_deinit(&back);
  for (int i = 0; i < 2; i++) {
    const char *name = i ? "config.json" : "generation_config.json";
    change_member(folder, name, "bos_token_id", NULL);
    change_member(folder, name, "eos_token_id", NULL);
  }
  assert_ok(import_from(true, folder, &back));
  assert_ends(&back, 266, &(GwTextEnds){{265}, 1});
  gw_foreign_model_deinit(&back);
  change_member(folder, "config.json", "bos_token_id", "5"); /* no special token */
  assert_ok(import_from(true, folder, &back));
  assert_ends(&back, 262, &(GwTextEnds){{265}, 1});
  gw_foreign_model_deinit(&back);
  change_member(folder, "config.json", "bos_token_id", "\"x\"");
  assert_fails(GW_CORRUPT, "config.json: 'bos_token_id'", import_from(true, folder, &back));
  change_member(folder, "config.json", "bos_token_id", NULL);
  static const char *const bad[] = {"267", "-1", "1.5", "[263, null]", "{}", "true"};
  for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
    change_member(folder, "config.json", "eos_token_id", bad[i]);
    assert_fails(GW_CORRUPT, "config.json: 'eos_token_id'", import_from(true, folder, &back));
  }
  gw_foreign_model_deinit(&model);
}

/* A beginning that names alone would not find is kept in tokenizer.json. */
static void a_tokenizer_keeps_its_beginning(void **state) {
  (void)state;
  GwTokenizer *tokenizer = make_llama_tokenizer(), *opened = NULL;
  assert_int_equal(gw_tokenizer_end_of_text(tokenizer), 262);
  uint64_t hash = gw_tokenizer_hash(tokenizer);
  assert_false(gw_tokenizer_set_end_of_text(tokenizer, 7));
  assert_true(gw_tokenizer_set_end_of_text(tokenizer, 266));
  assert_true(gw_tokenizer_hash(tokenizer) != hash);
  const char *path = fresh_path("kept.json");
  assert_ok(gw_tokenizer_save(gw_fs_disk(), tokenizer, path));
  assert_ok(gw_tokenizer_open(gw_fs_disk(), path, &opened));
  assert_int_equal(gw_tokenizer_end_of_text(opened), 266);
  assert_true(gw_tokenizer_hash(opened) == gw_tokenizer_hash(tokenizer));
  gw_tokenizer_destroy(tokenizer);
  gw_tokenizer_destroy(opened);
}

static void what_gguf_has_no_place_for_is_refused(void **state) {
  (void)state;
  GwForeignModel model = make_llama((GwTextEnds){{262, 263, 264, 265}, 4});
  const char *path = fresh_path("four.gguf");
  assert_fails(GW_UNSUPPORTED, "4 tokens end a text",
               gw_gguf_export(gw_fs_disk(), &model, path, GW_GGML_F32));
  model.ends.count = 1;
  model.tokenizer->nfc = true;
  assert_fails(GW_UNSUPPORTED, "normalizer NFC",
               gw_gguf_export(gw_fs_disk(), &model, path, GW_GGML_F32));
  gw_foreign_model_deinit(&model);
}

/* ---- folders of several files ---- */

static void export_in_shards(const GwForeignModel *model, uint64_t shard_bytes, char *folder) {
  snprintf(folder, 720, "%s", fresh_path("shards"));
  assert_ok(gw_hf_export(gw_fs_disk(), model, folder, GW_GGML_F32, shard_bytes));
}

static bool has_file(const char *folder, const char *name) {
  char path[800];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return gw_fs_disk()->exists(gw_fs_disk(), path);
}

/* The file has no more than fits, and each of its tensors is in the map under its name. */
static int assert_shard(const char *folder, const char *name, const json_t *map, uint64_t most) {
  char path[800];
  GwSafetensors *file = NULL;
  uint64_t bytes = 0, offset;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_ok(gw_safetensors_open(gw_fs_disk(), path, &file));
  int count = gw_safetensors_count(file);
  for (int i = 0; i < count; i++) {
    GwTensor tensor = gw_safetensors_entry(file, i, &offset);
    bytes += gw_type_size(&tensor.type);
    assert_string_equal(json_string_value(json_object_get(map, tensor.name)), name);
  }
  assert_true(count == 1 || bytes <= most);
  gw_safetensors_close(file);
  return count;
}

static void large_folders_are_sharded(void **state) {
  (void)state;
  enum { MOST = 20000 }; /* bytes: less than the embedding has */
  char folder[720], name[64];
  GwForeignModel model = make_model(2), back;
  export_in_shards(&model, MOST, folder);
  assert_false(has_file(folder, "model.safetensors"));
  json_t *index = load_json(folder, "model.safetensors.index.json");
  const json_t *map = json_object_get(index, "weight_map");
  const json_t *total = json_object_get(json_object_get(index, "metadata"), "total_size");
  int64_t elements = 0;
  for (int i = 0; i < model.list.count; i++) elements += gw_type_count(&model.list.params[i].type);
  assert_int_equal(json_integer_value(total), 4 * elements);
  assert_int_equal(json_object_size(map), model.list.count);
  const char *first = json_string_value(json_object_get(map, "model.embed_tokens.weight"));
  int shards = 0, tensors = 0, number = 0;
  assert_int_equal(sscanf(first, "model-%d-of-%d.safetensors", &number, &shards), 2);
  assert_true(shards >= 3);
  for (number = 1; number <= shards; number++) {
    snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", number, shards);
    tensors += assert_shard(folder, name, map, MOST);
  }
  assert_int_equal(tensors, model.list.count);
  json_decref(index);
  assert_ok(import_from(true, folder, &back));
  assert_same_model(&model, &back, 0);
  gw_foreign_model_deinit(&back);
  gw_foreign_model_deinit(&model);
}

static void a_folder_is_sharded_above_the_limit_only(void **state) {
  (void)state;
  char folder[720];
  GwForeignModel model = make_model(0);
  uint64_t whole = 0;
  for (int i = 0; i < model.list.count; i++) whole += gw_type_size(&model.list.params[i].type);
  export_in_shards(&model, whole, folder);
  assert_true(has_file(folder, "model.safetensors"));
  assert_false(has_file(folder, "model.safetensors.index.json"));
  export_in_shards(&model, whole - 1, folder);
  assert_false(has_file(folder, "model.safetensors"));
  assert_true(has_file(folder, "model-00002-of-00002.safetensors"));
  gw_foreign_model_deinit(&model);
}

static void damaged_shards_are_named(void **state) {
  (void)state;
  char folder[720], path[800];
  GwForeignModel model = make_model(2), back;
  export_in_shards(&model, 100000, folder);
  assert_ok(import_from(true, folder, &back));
  gw_foreign_model_deinit(&back);
  change_member(folder, "model.safetensors.index.json", "weight_map",
                "{\"lm_head.weight\": \"model-00001-of-00002.safetensors\"}");
  assert_fails(GW_CORRUPT, "more than the weights", import_from(true, folder, &back));
  change_member(folder, "model.safetensors.index.json", "weight_map",
                "{\"lm_head.weight\": \"../x.safetensors\"}");
  assert_fails(GW_CORRUPT, "weight_map['lm_head.weight']", import_from(true, folder, &back));
  change_member(folder, "model.safetensors.index.json", "weight_map", NULL);
  assert_fails(GW_CORRUPT, "'weight_map'", import_from(true, folder, &back));
  export_in_shards(&model, 100000, folder);
  snprintf(path, sizeof path, "%s/model-00002-of-00002.safetensors", folder);
  assert_ok(gw_fs_disk()->remove(gw_fs_disk(), path));
  assert_fails(GW_NOT_FOUND, "model-00002-of-00002.safetensors", import_from(true, folder, &back));
  gw_foreign_model_deinit(&model);
}

/* ---- folders that are not what they should be ---- */

typedef struct {
  GwTensor tensors[64];
  int count;
  void *data[64];
} Tensors;

/* The tensors of a folder's file, to be changed and written again. */
static void load_tensors(const char *path, Tensors *out) {
  GwSafetensors *file = NULL;
  uint64_t offset;
  assert_ok(gw_safetensors_open(gw_fs_disk(), path, &file));
  out->count = gw_safetensors_count(file);
  assert_true(out->count < 63);
  for (int i = 0; i < out->count; i++) {
    out->tensors[i] = gw_safetensors_entry(file, i, &offset);
    out->tensors[i].name = strdup(out->tensors[i].name);
    out->tensors[i].data = out->data[i] = malloc(gw_type_size(&out->tensors[i].type));
    assert_ok(gw_safetensors_read(file, i, out->data[i]));
  }
  gw_safetensors_close(file);
}

static void free_tensors(Tensors *t) {
  for (int i = 0; i < t->count; i++) {
    free((void *)(uintptr_t)t->tensors[i].name);
    free(t->data[i]);
  }
}

static int find(const Tensors *t, const char *name) {
  int i = 0;
  while (i < t->count && strcmp(t->tensors[i].name, name) != 0) i++;
  assert_true(i < t->count);
  return i;
}

typedef void Change(Tensors *t);
static void rename_to(GwTensor *tensor, const char *name) {
  free((void *)(uintptr_t)tensor->name);
  tensor->name = strdup(name);
}
static void lose_one(Tensors *t) { rename_to(&t->tensors[find(t, "model.norm.weight")], "other"); }
static void swap_sizes(Tensors *t) {
  GwType *type = &t->tensors[find(t, "model.layers.1.mlp.up_proj.weight")].type;
  int64_t rows = type->dim[0];
  type->dim[0] = type->dim[1];
  type->dim[1] = rows;
}
static void put_nan(Tensors *t) {
  uint32_t nan = 0x7fc00000;
  memcpy((char *)t->data[find(t, "model.layers.0.self_attn.q_proj.weight")] + 20, &nan, 4);
}
static void be_integers(Tensors *t) {
  t->tensors[find(t, "model.norm.weight")].type.dtype = GW_I32;
}
static void add_one(Tensors *t) {
  t->data[t->count] = calloc(32, 4);
  t->tensors[t->count] = (GwTensor){strdup("model.layers.0.self_attn.q_proj.bias"),
                                    gw_type_1d(GW_F32, 32), t->data[t->count]};
  t->count++;
}
static void add_other_head(Tensors *t) {
  t->data[t->count] = calloc(262 * 32, 4);
  t->tensors[t->count] =
      (GwTensor){strdup("lm_head.weight"), gw_type_2d(GW_F32, 262, 32), t->data[t->count]};
  t->count++;
}

static void assert_tensors_refused(Change *change, GwStatus status, const char *message) {
  GwForeignModel model = make_model(1), back;
  const char *folder = fresh_path("spoiled");
  char path[800];
  uint64_t hash, bytes;
  Tensors tensors;
  export_as(&model, true, GW_GGML_F32, folder);
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  load_tensors(path, &tensors);
  change(&tensors);
  assert_ok(
      gw_safetensors_write(gw_fs_disk(), path, tensors.tensors, tensors.count, &hash, &bytes));
  assert_fails(status, message, import_from(true, folder, &back));
  assert_non_null(strstr(gw_error_message(), "spoiled"));
  assert_null(back.params);
  free_tensors(&tensors);
  gw_foreign_model_deinit(&model);
}

static void bad_tensors_are_named(void **state) {
  (void)state;
  assert_tensors_refused(lose_one, GW_MISMATCH, "'model.norm.weight' is missing");
  assert_tensors_refused(swap_sizes, GW_MISMATCH, "up_proj.weight' has 2 dimensions, 32 x 96");
  assert_tensors_refused(put_nan, GW_INVALID, "q_proj.weight': element 5 is no number");
  assert_tensors_refused(be_integers, GW_UNSUPPORTED, "dtype I32");
  assert_tensors_refused(add_one, GW_UNSUPPORTED, "nothing for the tensor 'model.layers.0");
  assert_tensors_refused(add_other_head, GW_MISMATCH, "lm_head.weight differs");
}

/* Sets `key` of a config.json to a JSON value, NULL: removes it. */
static void assert_config_refused(int kind, const char *key, const char *value, GwStatus status,
                                  const char *message) {
  GwForeignModel model = make_model(kind);
  GwTextEnds ends = {{261}, 1};
  GwModelRecipe out;
  char *text = NULL;
  assert_ok(gw_hf_config_write(&model.model, 261, &ends, "float32", &text));
  json_t *config = json_loads(text, 0, NULL);
  if (value)
    json_object_set_new(config, key, json_loads(value, JSON_DECODE_ANY, NULL));
  else
    json_object_del(config, key);
  assert_fails(status, message, gw_hf_config_read("c.json", config, &out));
  assert_non_null(strstr(gw_error_message(), "c.json"));
  json_decref(config);
  free(text);
  gw_foreign_model_deinit(&model);
}

static void configs_of_other_models_are_refused(void **state) {
  (void)state;
  assert_config_refused(1, "model_type", "\"mamba\"", GW_UNSUPPORTED, "model_type");
  assert_config_refused(1, "model_type", NULL, GW_CORRUPT, "model_type");
  assert_config_refused(1, "hidden_size", NULL, GW_CORRUPT, "'hidden_size' is missing");
  assert_config_refused(1, "hidden_size", "-5", GW_CORRUPT, "'hidden_size'");
  assert_config_refused(1, "hidden_size", "1e99", GW_CORRUPT, "'hidden_size'");
  assert_config_refused(1, "head_dim", "0", GW_CORRUPT, "'head_dim'");
  assert_config_refused(1, "hidden_act", "\"gelu\"", GW_UNSUPPORTED, "'hidden_act'");
  assert_config_refused(1, "attention_bias", "true", GW_UNSUPPORTED, "'attention_bias'");
  assert_config_refused(1, "attention_bias", "7", GW_CORRUPT, "'attention_bias'");
  assert_config_refused(1, "rope_scaling", "{\"rope_type\": \"yarn\"}", GW_UNSUPPORTED,
                        "'rope_scaling'");
  assert_config_refused(1, "rope_scaling", "7", GW_UNSUPPORTED, "'rope_scaling'");
  assert_config_refused(1, "rms_norm_eps", "0", GW_CORRUPT, "'rms_norm_eps'");
  assert_config_refused(3, "use_sliding_window", "true", GW_UNSUPPORTED, "'use_sliding_window'");
  assert_config_refused(0, "activation_function", "\"relu\"", GW_UNSUPPORTED, "gelu_new");
  assert_config_refused(0, "tie_word_embeddings", "false", GW_UNSUPPORTED, "'tie_word");
  assert_config_refused(0, "scale_attn_by_inverse_layer_idx", "true", GW_UNSUPPORTED, "inverse");
}

static void what_formats_lack_is_refused(void **state) {
  (void)state;
  GwForeignModel model = make_model(1);
  GwFs *fs = gw_fs_disk();
  const char *path = fresh_path("lacking");
  model.model.window = 8;
  assert_fails(GW_UNSUPPORTED, "model.window", export_hf(&model, path, GW_GGML_F32));
  assert_fails(GW_UNSUPPORTED, "model.window", gw_gguf_export(fs, &model, path, GW_GGML_F32));
  model.model.window = 0;
  model.model.activation = GW_ACTIVATION_RELU2;
  assert_fails(GW_UNSUPPORTED, "relu2", export_hf(&model, path, GW_GGML_F32));
  model.model.activation = GW_ACTIVATION_SWIGLU;
  assert_fails(GW_UNSUPPORTED, "q8_0", export_hf(&model, path, GW_GGML_Q8_0));
  uint32_t infinity = 0x7f800000;
  memcpy((char *)model.params + model.list.params[3].offset, &infinity, 4);
  assert_fails(GW_INVALID, "is infinite", gw_gguf_export(fs, &model, path, GW_GGML_Q8_0));
  assert_fails(GW_INVALID, "is infinite", export_hf(&model, path, GW_GGML_F32));
  assert_false(fs->exists(fs, path));
  gw_foreign_model_deinit(&model);
}

/* Cut short or with a byte changed: refused, or read as a model all the same. */
static void damaged_gguf_does_no_harm(void **state) {
  (void)state;
  GwRng rng = gw_rng(seed, 9);
  GwForeignModel model = make_model(3), back;
  char path[720];
  char *data = NULL;
  size_t size = 0, head = 0;
  snprintf(path, sizeof path, "%s", fresh_path("damaged.gguf"));
  export_as(&model, false, GW_GGML_F32, path);
  assert_ok(gw_fs_read_all(gw_fs_disk(), path, 1 << 26, &data, &size));
  head = size - (size_t)model.list.elements * 4;
  int refused = 0, rounds = 600;
  for (int round = 0; round < rounds; round++) {
    size_t cut = round % 3 == 0 ? gw_rng_below(&rng, size) : size, at = gw_rng_below(&rng, head);
    char kept = data[at];
    data[at] = (char)gw_rng_below(&rng, 256);
    assert_ok(gw_fs_write_atomic(gw_fs_disk(), path, data, cut));
    data[at] = kept;
    if (import_from(false, path, &back) == GW_OK)
      gw_foreign_model_deinit(&back);
    else
      refused++;
  }
  assert_true(refused > rounds / 3);
  free(data);
  gw_foreign_model_deinit(&model);
}

static void assert_llama2c_refused(const int32_t *sizes, size_t bytes, const char *message) {
  GwForeignModel model = {0};
  const char *path = fresh_path("model.bin");
  char data[4096] = {0};
  memcpy(data, sizes, 28);
  assert_ok(gw_fs_write_atomic(gw_fs_disk(), path, data, bytes));
  assert_fails(GW_CORRUPT, message, gw_llama2c_import(path, &model));
}

static void broken_llama2c_files_are_refused(void **state) {
  (void)state;
  assert_llama2c_refused((const int32_t[7]){8, 8, 1, 2, 2, 300, 8}, 20, "too few");
  assert_llama2c_refused((const int32_t[7]){8, 8, 1, 2, 0, 300, 8}, 4096, "size 5 of 7 is 0");
  assert_llama2c_refused((const int32_t[7]){8, 8, 1, 2, 2, INT32_MIN, 8}, 4096, "size 6 of 7");
  assert_llama2c_refused((const int32_t[7]){8, 8, 1, 2, 2, 300, 8}, 4096, "asks for");
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 0x17e0);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_family_comes_back),
      cmocka_unit_test(what_came_back_goes_out_the_same),
      cmocka_unit_test(other_ends_than_the_beginning_come_back),
      cmocka_unit_test(a_folder_says_what_texts_begin_and_end_with),
      cmocka_unit_test(files_of_a_folder_are_asked_in_order),
      cmocka_unit_test(a_tokenizer_keeps_its_beginning),
      cmocka_unit_test(what_gguf_has_no_place_for_is_refused),
      cmocka_unit_test(large_folders_are_sharded),
      cmocka_unit_test(a_folder_is_sharded_above_the_limit_only),
      cmocka_unit_test(damaged_shards_are_named),
      cmocka_unit_test(bad_tensors_are_named),
      cmocka_unit_test(configs_of_other_models_are_refused),
      cmocka_unit_test(what_formats_lack_is_refused),
      cmocka_unit_test(damaged_gguf_does_no_harm),
      cmocka_unit_test(broken_llama2c_files_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
