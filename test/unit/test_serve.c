/* The server without sockets: jobs of the engine beside each other and alone, requests and what is
 * wrong with them, texts and where they end. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/decoder.h"
#include "infer_support.h"
#include "serve/completion.h"

static uint64_t seed = 1;

/* A model with the byte tokenizer, without the disk. */
typedef struct {
  GwTestModel model;
  GwLoadedModel loaded;
} Served;

static void served_init(Served *s, int which) {
  gw_test_model_init(&s->model, which, seed);
  s->loaded = (GwLoadedModel){.recipe = s->model.recipe, .params = s->model.params};
  assert_ok(gw_tokenizer_byte(&s->loaded.tokenizer));
  gw_text_ends_add(&s->loaded.ends, 256);
}

static void served_deinit(Served *s) {
  gw_tokenizer_destroy(s->loaded.tokenizer);
  gw_test_model_deinit(&s->model);
}

static GwEngine *engine_of(const Served *s, int64_t slots, int64_t queue, uint64_t patience) {
  GwEngineOptions options = {.slots = slots, .queue = queue, .chunk = 7, .patience = patience};
  GwEngine *engine = NULL;
  assert_ok(gw_engine_create(&s->loaded, gw_test_backend(1), NULL, &options, &engine));
  return engine;
}

/* ---- jobs ---- */

enum { JOBS = 24, TOKENS_MAX = 90 };

typedef struct {
  GwJobRequest request;
  int32_t prompt[49];
  GwJobToken expected[49 + TOKENS_MAX];
  int64_t count;
  GwJobEnd end;
} Plan;

static GwJobToken scored(const float *logits, int32_t vocab, int32_t token, int32_t top) {
  GwJobToken out = {.token = token};
  GwTokenScore score;
  if (top < 0) return out;
  assert_ok(gw_token_scores(NULL, logits, 1, vocab, &token, &score, top, out.top));
  out.scored = true;
  out.logprob = score.log_probability;
  out.top_count = top;
  return out;
}

/* What the job should get, from a decoder of its own that reads token by token. */
static void expect(const Served *s, Plan *plan) {
  const GwJobRequest *request = &plan->request;
  const GwModelRecipe *recipe = &s->model.recipe.model;
  int32_t vocab = recipe->vocab_size, top = request->top;
  GwTokenCandidate *candidates = calloc(2 * (size_t)vocab, sizeof *candidates);
  GwRng rng = gw_rng(request->seed, 0);
  GwDecoder *decoder = NULL;
  const float *logits = NULL;
  assert_ok(gw_decoder_create(recipe, gw_test_backend(1), NULL, s->model.params, 1, 1, &decoder));
  for (int64_t i = 0; i < request->prompt_count; i++) {
    if (request->prompt_scores)
      plan->expected[plan->count++] = i == 0 ? (GwJobToken){.token = plan->prompt[0]}
                                             : scored(logits, vocab, plan->prompt[i], top);
    assert_ok(gw_decoder_push(decoder, 0, &plan->prompt[i], 1, &logits));
  }
  plan->end = GW_JOB_LENGTH;
  for (int64_t i = 0; i < request->tokens; i++) {
    int32_t token = 0;
    assert_ok(gw_token_choose(&request->choice, logits, 257, &rng, candidates, &token));
    if (token == 256) plan->end = GW_JOB_END_OF_TEXT;
    if (token != 256 || top >= 0) plan->expected[plan->count++] = scored(logits, vocab, token, top);
    if (token == 256) break;
    assert_ok(gw_decoder_push(decoder, 0, &token, 1, &logits));
  }
  gw_decoder_destroy(decoder);
  free(candidates);
}

static void plan_init(const Served *s, Plan *plan, GwRng *rng) {
  memset(plan, 0, sizeof *plan);
  GwJobRequest *request = &plan->request;
  request->prompt_count = 1 + (int64_t)gw_rng_below(rng, 49);
  for (int64_t i = 0; i < request->prompt_count; i++)
    plan->prompt[i] = (int32_t)gw_rng_below(rng, 300);
  request->prompt = plan->prompt;
  request->tokens = (int64_t)gw_rng_below(rng, TOKENS_MAX);
  request->choice = (GwTokenChoice){gw_rng_below(rng, 2) ? 0 : 0.8, 0, 1};
  request->seed = gw_rng_u64(rng);
  request->top = (int32_t)gw_rng_below(rng, 5) - 1;
  request->prompt_scores = request->top >= 0 && gw_rng_below(rng, 2);
  expect(s, plan);
}

typedef struct {
  GwEngine *engine;
  const Plan *plan;
  bool equal;
} Client;

static bool same_token(const GwJobToken *a, const GwJobToken *b) {
  if (a->token != b->token || a->scored != b->scored || a->logprob != b->logprob) return false;
  if (a->top_count != b->top_count) return false;
  for (int32_t i = 0; i < a->top_count; i++)
    if (a->top[i].token != b->top[i].token ||
        a->top[i].log_probability != b->top[i].log_probability)
      return false;
  return true;
}

static void *ask(void *argument) {
  Client *client = argument;
  const Plan *plan = client->plan;
  GwJob *job = NULL;
  GwJobToken token;
  GwJobEnd end = GW_JOB_RUNS;
  int64_t count = 0;
  client->equal = gw_engine_submit(client->engine, &plan->request, &job) == GW_OK;
  while (client->equal && gw_job_next(job, &token, &end) == GW_OK && end == GW_JOB_RUNS) {
    client->equal = count < plan->count && same_token(&token, &plan->expected[count]);
    count++;
  }
  client->equal = client->equal && count == plan->count && end == plan->end;
  gw_job_close(job);
  return NULL;
}

static void jobs_get_what_they_get_alone(void **state) {
  (void)state;
  static const int models[] = {0, 1, 5};
  static Plan plans[JOBS];
  for (size_t m = 0; m < GW_COUNT_OF(models); m++) {
    Served s;
    served_init(&s, models[m]);
    GwRng rng = gw_rng(seed, 70 + m);
    GwEngine *engine = engine_of(&s, 5, JOBS, 0);
    Client clients[JOBS];
    pthread_t threads[JOBS];
    for (int i = 0; i < JOBS; i++) plan_init(&s, &plans[i], &rng);
    for (int i = 0; i < JOBS; i++) {
      clients[i] = (Client){engine, &plans[i], false};
      assert_int_equal(pthread_create(&threads[i], NULL, ask, &clients[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < JOBS; i++) assert_true(clients[i].equal);
    GwEngineCounts counts;
    gw_engine_counts(engine, &counts);
    assert_int_equal(counts.jobs, JOBS);
    gw_engine_stop(engine, 0);
    gw_engine_destroy(engine);
    served_deinit(&s);
  }
}

static void jobs_can_be_left_refused_and_too_slow(void **state) {
  (void)state;
  Served s;
  served_init(&s, 0);
  int32_t prompt[] = {1, 2, 3};
  GwJobRequest endless = {
      .prompt = prompt, .prompt_count = 3, .tokens = 1 << 20, .choice = {0, 0, 1}, .top = -1};
  GwEngine *engine = engine_of(&s, 1, 2, 0);
  GwJob *jobs[4] = {NULL};
  GwJobToken token;
  GwJobEnd end;
  assert_ok(gw_engine_submit(engine, &endless, &jobs[0]));
  assert_ok(gw_job_next(jobs[0], &token, &end)); /* it has the slot now */
  assert_ok(gw_engine_submit(engine, &endless, &jobs[1]));
  assert_ok(gw_engine_submit(engine, &endless, &jobs[2]));
  assert_fails(GW_BUSY, "2 requests wait already", gw_engine_submit(engine, &endless, &jobs[3]));
  gw_job_close(jobs[1]); /* one that waits, then the one that runs: the last has its turn */
  gw_job_close(jobs[0]);
  assert_ok(gw_job_next(jobs[2], &token, &end));
  assert_int_equal(end, GW_JOB_RUNS);
  gw_engine_stop(engine, 0);
  while (end == GW_JOB_RUNS) assert_ok(gw_job_next(jobs[2], &token, &end));
  assert_int_equal(end, GW_JOB_ABANDONED);
  assert_fails(GW_BUSY, "about to end", gw_engine_submit(engine, &endless, &jobs[3]));
  gw_job_close(jobs[2]);
  gw_engine_destroy(engine);

  engine = engine_of(&s, 1, 2, 1);
  endless.tokens = INT64_C(1) << 40;
  assert_ok(gw_engine_submit(engine, &endless, &jobs[0]));
  GwStatus status = GW_OK;
  while (status == GW_OK) status = gw_job_next(jobs[0], &token, &end);
  assert_int_equal(status, GW_INTERRUPTED);
  gw_job_close(jobs[0]);
  gw_engine_stop(engine, 0);
  gw_engine_destroy(engine);
  served_deinit(&s);
}

/* ---- requests ---- */

static GwStatus parse(const Served *s, const char *text, GwCompletion *out) {
  return gw_completion_parse(text, strlen(text), &s->loaded, "m", out);
}

static void requests_are_read(void **state) {
  (void)state;
  Served s;
  served_init(&s, 0);
  GwCompletion c;
  assert_ok(parse(&s, "{\"model\":\"m\",\"prompt\":\"ab\"}", &c));
  assert_int_equal(c.prompts[0].count, 3);
  assert_int_equal(c.prompts[0].ids[0], 256);
  assert_int_equal(c.max_tokens, 16);
  assert_int_equal(c.logprobs, -1);
  assert_true(c.headed && c.choice.temperature == 1 && c.n == 1 && c.seed == 1 && !c.echo);
  gw_completion_deinit(&c);
  assert_ok(parse(&s,
                  "{\"model\":\"m\",\"prompt\":[[5,6],[7]],\"n\":3,\"max_tokens\":0,\"seed\":9,"
                  "\"stop\":[\"x\",\"yz\"],\"logprobs\":2,\"echo\":true,\"top_p\":0.5,\"top_k\":4,"
                  "\"user\":\"u\",\"suffix\":null,\"logit_bias\":{},\"presence_penalty\":0,"
                  "\"best_of\":1,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                  &c));
  assert_int_equal(gw_completion_choices(&c), 6);
  GwJobRequest job = gw_completion_job(&c, 4); /* the second of the second prompt */
  assert_int_equal(job.prompt_count, 1);
  assert_int_equal(job.prompt[0], 7);
  assert_int_equal(job.seed, 10);
  assert_true(job.prompt_scores && job.top == 2 && job.choice.top_k == 4);
  assert_true(c.stop_count == 2 && c.stream && c.usage && !c.headed);
  gw_completion_deinit(&c);
  served_deinit(&s);
}

static void what_is_wrong_with_a_request_is_said(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"", "request"},
      {"[]", "must be a JSON object"},
      {"{\"model\":\"m\",\"model\":\"m\"}", "request"},
      {"{\"prompt\":\"a\"}", "'model' is missing"},
      {"{\"model\":\"n\",\"prompt\":\"a\"}", "'model' must be 'm'"},
      {"{\"model\":\"m\"}", "'prompt' must be a text"},
      {"{\"model\":\"m\",\"prompt\":[]}", "'prompt' must be a text"},
      {"{\"model\":\"m\",\"prompt\":[[]]}", "at least one token"},
      {"{\"model\":\"m\",\"prompt\":[[1],\"a\"]}", "all texts or all token ids"},
      {"{\"model\":\"m\",\"prompt\":[[1],2]}", "'prompt' must be a text"},
      {"{\"model\":\"m\",\"prompt\":[1,300]}", "from 0 to 299"},
      {"{\"model\":\"m\",\"prompt\":[1,-1]}", "from 0 to 299"},
      {"{\"model\":\"m\",\"prompt\":[1,2.5]}", "from 0 to 299"},
      {"{\"model\":\"m\",\"prompt\":\"0123456789012345678901234567890123456789012345678\"}",
       "'prompt' has 50 tokens, but the model's context is 48"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"max_tokens\":-1}", "'max_tokens' must be a whole"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"max_tokens\":1e99}", "'max_tokens' must be a whole"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"temperature\":\"x\"}",
       "'temperature' must be a number"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"top_p\":0}", "'top_p' must be a number"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"logprobs\":21}", "from 0 to 20"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"logprobs\":0,\"max_tokens\":4097}", "up to 4096"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"echo\":1}", "'echo' must be true or false"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"stop\":[\"\"]}", "'stop' must be"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
       "up to 4 of them"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"n\":129}", "'n' must be"},
      {"{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":65}", "130 choices; at most 128"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"b\"}", "'suffix' is not supported"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"logit_bias\":{\"5\":1}}", "'logit_bias' is not"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"best_of\":2}", "'best_of' is not supported"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"temprature\":1}", "did you mean 'temperature'?"},
      {"{\"model\":\"m\",\"prompt\":\"a\",\"stream_options\":{\"x\":true}}", "include_usage"},
  };
  Served s;
  served_init(&s, 0);
  for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
    GwCompletion c;
    assert_true(parse(&s, cases[i][0], &c) != GW_OK);
    if (!strstr(gw_error_message(), cases[i][1]))
      fail_msg("%s: '%s' lacks '%s'", cases[i][0], gw_error_message(), cases[i][1]);
  }
  served_deinit(&s);
}

/* ---- texts ---- */

static void add_bytes(GwChoice *choice, const char *bytes) {
  for (; *bytes && !choice->finish; bytes++) {
    GwJobToken token = {.token = (uint8_t)*bytes};
    assert_ok(gw_choice_add(choice, &token));
  }
}

static void assert_shown(GwChoice *choice, const char *expected) {
  json_t *chunk = gw_choice_chunk(choice);
  const char *text = chunk ? json_string_value(json_object_get(chunk, "text")) : "";
  assert_string_equal(text, expected);
  json_decref(chunk);
}

static void texts_end_before_a_stop_text_and_at_whole_characters(void **state) {
  (void)state;
  Served s;
  served_init(&s, 0);
  GwCompletion c;
  GwChoice choice;
  assert_ok(parse(
      &s, "{\"model\":\"m\",\"prompt\":\"stop \",\"echo\":true,\"stop\":[\"stop\",\"pst\"]}", &c));
  assert_ok(gw_choice_init(&choice, &c, s.loaded.tokenizer, 0));
  assert_shown(&choice, "stop "); /* the prompt's own does not count */
  add_bytes(&choice, "a st");
  assert_shown(&choice, "a "); /* may become one */
  add_bytes(&choice, "a");
  assert_shown(&choice, "sta");
  add_bytes(&choice, "\xe2\x82"); /* half of the euro sign */
  assert_shown(&choice, "");
  add_bytes(&choice, "\xac\xff");
  assert_shown(&choice, "\xe2\x82\xac\xef\xbf\xbd"); /* no text: U+FFFD */
  add_bytes(&choice, "sto");
  assert_shown(&choice, "");
  add_bytes(&choice, "pstop"); /* both end here: the one that begins first */
  assert_string_equal(choice.finish, "stop");
  json_t *whole = gw_choice_whole(&choice);
  assert_string_equal(json_string_value(json_object_get(whole, "text")),
                      "stop a sta\xe2\x82\xac\xef\xbf\xbd");
  json_decref(whole);
  gw_choice_deinit(&choice);

  assert_ok(gw_choice_init(&choice, &c, s.loaded.tokenizer, 0));
  add_bytes(&choice, "st"); /* held back, but then it is the end */
  gw_choice_end(&choice, GW_JOB_LENGTH);
  assert_shown(&choice, "stop st");
  assert_string_equal(choice.finish, "length");
  gw_choice_deinit(&choice);
  gw_completion_deinit(&c);
  served_deinit(&s);
}

/* A prompt of ids may end in half a character: what is shown must not run ahead of the rest. */
static void a_prompt_may_end_within_a_character(void **state) {
  (void)state;
  Served s;
  served_init(&s, 0);
  for (int scores = 0; scores < 2; scores++) {
    char request[128];
    snprintf(request, sizeof request, "{\"model\":\"m\",\"prompt\":[120,226],\"echo\":true%s}",
             scores ? ",\"logprobs\":1" : "");
    GwCompletion c;
    GwChoice choice;
    assert_ok(parse(&s, request, &c));
    assert_ok(gw_choice_init(&choice, &c, s.loaded.tokenizer, 0));
    if (scores) {
      GwJobToken head = {.token = 256};
      assert_ok(gw_choice_add(&choice, &head));
      add_bytes(&choice, "x\xe2");
    }
    assert_shown(&choice, "x");
    add_bytes(&choice, "\x82");
    assert_shown(&choice, "");
    add_bytes(&choice, "\xac");
    assert_shown(&choice, "\xe2\x82\xac");
    gw_choice_deinit(&choice);
    gw_completion_deinit(&c);
  }
  served_deinit(&s);
}

static void scores_have_a_place_for_every_token(void **state) {
  (void)state;
  Served s;
  served_init(&s, 0);
  GwCompletion c;
  GwChoice choice;
  assert_ok(
      parse(&s, "{\"model\":\"m\",\"prompt\":\"\xc3\xa4z\",\"echo\":true,\"logprobs\":1}", &c));
  assert_ok(gw_choice_init(&choice, &c, s.loaded.tokenizer, 0));
  static const int32_t ids[] = {256, 0xc3, 0xa4, 'z', 'q', 256};
  for (size_t i = 0; i < GW_COUNT_OF(ids); i++) {
    GwJobToken token = {.token = ids[i], .scored = i > 0, .logprob = -(double)i, .top_count = 1};
    token.top[0] = (GwTokenRank){'z', -0.5};
    assert_ok(gw_choice_add(&choice, &token));
  }
  gw_choice_end(&choice, GW_JOB_END_OF_TEXT);
  json_t *whole = gw_choice_whole(&choice);
  char *line = gw_json_line(whole);
  assert_string_equal(
      line,
      "{\"index\":0,\"text\":\"\xc3\xa4zq\",\"finish_reason\":\"stop\",\"logprobs\":{\"tokens\":["
      "\"bytes:\\\\xc3\",\"bytes:\\\\xa4\",\"z\",\"q\",\"\"],\"token_logprobs\":[-1.0,-2.0,-3.0,-4."
      "0,"
      "-5.0],\"top_logprobs\":[{\"z\":-0.5,\"bytes:\\\\xc3\":-1.0},{\"z\":-0.5,\"bytes:\\\\xa4\":"
      "-2.0},{\"z\":-0.5},{\"z\":-0.5,\"q\":-4.0},{\"z\":-0.5,\"\":-5.0}],\"text_offset\":[0,1,1,2,"
      "3]}}");
  free(line);
  json_decref(whole);
  gw_choice_deinit(&choice);
  gw_completion_deinit(&c);
  served_deinit(&s);
}

int main(int argc, char **argv) {
  seed = gw_test_seed(argc, argv, 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(jobs_get_what_they_get_alone),
      cmocka_unit_test(jobs_can_be_left_refused_and_too_slow),
      cmocka_unit_test(requests_are_read),
      cmocka_unit_test(what_is_wrong_with_a_request_is_said),
      cmocka_unit_test(texts_end_before_a_stop_text_and_at_whole_characters),
      cmocka_unit_test(a_prompt_may_end_within_a_character),
      cmocka_unit_test(scores_have_a_place_for_every_token),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
