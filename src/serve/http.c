/* Requests: civetweb reads and writes them, a thread each; this file says who may ask, how much,
 * and what is answered. A thread that waits for the engine computes nothing itself. */
#include <civetweb.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "godwit/log.h"
#include "godwit/runs.h"
#include "os/clock.h"
#include "serve/server.h"

/* CONNECTIONS: threads, so also requests at once. Those that send or take nothing hold one for
 * STUCK_MS, those that are slow to send theirs for BODY_SECONDS and READ_BYTES times STUCK_MS at
 * most, as civetweb reads until all that was asked for is there; those that are slow to read the
 * answer for as long as a request may take. */
enum {
  CONNECTIONS = 128,
  BODY_BYTES = 4 << 20,
  BODY_SECONDS = 20,
  READ_BYTES = 16,
  WRITE_BYTES = 1 << 14,
  ERROR_NS = 1000000000 /* in which an error goes out */
};
#define STUCK_MS "10000"

struct GwHttp {
  struct mg_context *context;
};

typedef struct {
  GwServer *server;
  struct mg_connection *connection;
  const struct mg_request_info *info;
  GwText body;
  uint64_t deadline_ns; /* of the answer */
  bool unread;          /* there is, or may be, a body that was not read to its end */
  int code;             /* of the answer */
} Request;

/* ---- answers ---- */

static const char *reason_of(int code) {
  switch (code) {
  case 200: return "OK";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 408: return "Request Timeout";
  case 411: return "Length Required";
  case 413: return "Payload Too Large";
  case 417: return "Expectation Failed";
  case 503: return "Service Unavailable";
  case 504: return "Gateway Timeout";
  default: return "Internal Server Error";
  }
}

static void count_answer(GwServer *server, int code) {
  __atomic_fetch_add(&server->answers[code / 100 % 6], 1, __ATOMIC_RELAXED);
}

static uint64_t patience(const Request *r) { return (uint64_t)(r->server->options->timeout * 1e9); }

static void close_after(Request *r) { mg_disable_connection_keep_alive(r->connection); }

/* In pieces, with a look at the clock between them; false when nobody takes them any more. */
static bool send_bytes(Request *r, const char *bytes, size_t size) {
  for (size_t sent = 0, some; sent < size; sent += some) {
    some = size - sent < WRITE_BYTES ? size - sent : WRITE_BYTES;
    if (gw_clock_ns() <= r->deadline_ns && mg_write(r->connection, bytes + sent, some) == (int)some)
      continue;
    close_after(r);
    return false;
  }
  return true;
}

/* To HEAD all but the text. What follows a body that was not read is no request. */
static int send_text(Request *r, int code, const char *type, const char *text, size_t size) {
  char head[512];
  int length = snprintf(
      head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n",
      code, reason_of(code), type, size, code == 401 ? "WWW-Authenticate: Bearer\r\n" : "",
      code == 503 ? "Retry-After: 1\r\n" : "", r->unread ? "Connection: close\r\n" : "");
  bool whole = strcmp(r->info->request_method, "HEAD") != 0;
  if (r->unread) close_after(r);
  count_answer(r->server, code);
  r->deadline_ns = gw_clock_ns() + patience(r);
  if (send_bytes(r, head, (size_t)length) && whole) send_bytes(r, text, size);
  return code;
}

/* Takes the answer over; NULL: it could not be built. */
static int send_json(Request *r, int code, json_t *answer) {
  static const char none[] =
      "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}";
  char *line = answer ? gw_json_line(answer) : NULL;
  const char *text = line ? line : none;
  int sent = send_text(r, line ? code : 500, "application/json", text, strlen(text));
  free(line);
  json_decref(answer);
  return sent;
}

static int send_error(Request *r, int code, const char *message) {
  const char *type = code == 401   ? "authentication_error"
                     : code == 503 ? "overloaded_error"
                     : code < 500  ? "invalid_request_error"
                                   : "server_error";
  return send_json(r, code, gw_completion_error(type, message));
}

/* What a failure of ours is to the one who asked. */
static int send_failure(Request *r, GwStatus status) {
  char message[512];
  snprintf(message, sizeof message, "%s", gw_error_message());
  switch (status) {
  case GW_USAGE:
  case GW_INVALID:
  case GW_CORRUPT:
  case GW_UNSUPPORTED: return send_error(r, 400, message);
  case GW_BUSY: return send_error(r, 503, message);
  case GW_INTERRUPTED: return send_error(r, 504, message);
  default: gw_log(GW_LOG_WARNING, "a request failed: %s", message);
  }
  return send_error(r, 500, message);
}

/* ---- requests ---- */

/* In a time that does not tell how much is right. */
static bool same_text(const char *a, const char *b, size_t size) {
  uint8_t differs = 0;
  for (size_t i = 0; i < size; i++) differs |= (uint8_t)(a[i] ^ b[i]);
  return differs == 0;
}

static bool may_ask(const Request *r) {
  static const char bearer[] = "Bearer ";
  const char *header = mg_get_header(r->connection, "Authorization");
  size_t length = strlen(r->server->token);
  if (length == 0) return true;
  if (!header || strncasecmp(header, bearer, sizeof bearer - 1) != 0) return false;
  header += sizeof bearer - 1;
  return strlen(header) == length && same_text(header, r->server->token, length);
}

/* What the head says of the body: its length, once and in digits, or chunks. civetweb would take
 * "5x" for 5, and the first of two. The code of an answer that was sent instead, or 0. */
static int check_head(Request *r) {
  int lengths = 0, chunks = 0;
  bool digits = true;
  for (int i = 0; i < r->info->num_headers; i++) {
    const struct mg_header *header = &r->info->http_headers[i];
    if (strcasecmp(header->name, "Transfer-Encoding") == 0) chunks++;
    if (strcasecmp(header->name, "Content-Length") != 0) continue;
    lengths++;
    digits = digits && header->value[strspn(header->value, "0123456789")] == 0;
  }
  if (lengths + chunks == 1 && digits) return 0;
  r->unread = true;
  if (lengths + chunks == 0) return send_error(r, 411, "Content-Length is missing");
  return send_error(r, 400, "Content-Length must be there once, as a number");
}

/* Who asks whether to send the body waits for a yes. */
static int answer_expectation(Request *r) {
  static const char yes[] = "HTTP/1.1 100 Continue\r\n\r\n";
  const char *expected = mg_get_header(r->connection, "Expect");
  if (!expected) return 0;
  if (strcasecmp(expected, "100-continue") != 0)
    return send_error(r, 417, "the server knows of no expectation but 100-continue");
  send_bytes(r, yes, sizeof yes - 1);
  return 0;
}

/* All of the body into r->body. The code of an answer that was sent instead, or 0. */
static int read_body(Request *r) {
  uint64_t deadline = gw_clock_ns() + BODY_SECONDS * UINT64_C(1000000000);
  int64_t announced = r->info->content_length; /* -1, where it is none: in chunks */
  int code = check_head(r);
  if (code != 0) return code;
  if (announced > BODY_BYTES) return send_error(r, 413, "the request is larger than 4 MiB");
  if ((code = answer_expectation(r)) != 0) return code;
  while (announced < 0 || (int64_t)r->body.size < announced) {
    if (gw_text_reserve(&r->body, READ_BYTES) != GW_OK) return send_failure(r, GW_MEMORY);
    int got = mg_read(r->connection, r->body.data + r->body.size, READ_BYTES);
    if (got <= 0 && announced < 0) break;
    if (got <= 0 || gw_clock_ns() > deadline)
      return send_error(r, 408, "the request did not arrive in time");
    r->body.size += (size_t)got;
    if (r->body.size > BODY_BYTES) return send_error(r, 413, "the request is larger than 4 MiB");
  }
  r->unread = announced < 0; /* the end of chunks may be an error */
  return 0;
}

/* JSON takes up to fifty times its text in memory: one body at a time is parsed. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;

typedef int Answer(Request *r);

typedef struct {
  const char *path, *method;
  Answer *answer;
} Route;

/* ---- completions ---- */

typedef struct {
  Request *request;
  GwCompletion completion;
  int32_t count;
  GwJob **jobs;
  GwChoice *choices;
  uint64_t id;
} Exchange;

static GwStatus begin(Exchange *x) {
  const GwServer *server = x->request->server;
  x->jobs = calloc((size_t)x->count, sizeof(GwJob *));
  x->choices = calloc((size_t)x->count, sizeof *x->choices);
  if (!x->jobs || !x->choices) return gw_fail(GW_MEMORY, "no memory for a request");
  for (int32_t i = 0; i < x->count; i++) {
    GwJobRequest job = gw_completion_job(&x->completion, i);
    GW_TRY(gw_choice_init(&x->choices[i], &x->completion, server->model.tokenizer, i));
    GW_TRY(gw_engine_submit(server->engine, &job, &x->jobs[i]));
  }
  return GW_OK;
}

static void end(Exchange *x) {
  for (int32_t i = 0; x->jobs && i < x->count; i++) gw_job_close(x->jobs[i]);
  for (int32_t i = 0; x->choices && i < x->count; i++) gw_choice_deinit(&x->choices[i]);
  free(x->jobs);
  free(x->choices);
  gw_completion_deinit(&x->completion);
}

/* The next token of choice i; its finish is set when there are no more. */
static GwStatus advance(Exchange *x, int32_t i) {
  GwJobToken token;
  GwJobEnd how;
  GW_TRY(gw_job_next(x->jobs[i], &token, &how));
  if (how == GW_JOB_ABANDONED) return gw_fail(GW_BUSY, "the server is about to end");
  if (how == GW_JOB_RUNS) return gw_choice_add(&x->choices[i], &token);
  gw_choice_end(&x->choices[i], how);
  return GW_OK;
}

static void close_job(Exchange *x, int32_t i) {
  gw_job_close(x->jobs[i]);
  x->jobs[i] = NULL;
}

static int answer_whole(Exchange *x) {
  json_t *choices = json_array();
  GwStatus status = choices ? GW_OK : gw_fail(GW_MEMORY, "no memory for an answer");
  for (int32_t i = 0; i < x->count && status == GW_OK; i++) {
    while (status == GW_OK && !x->choices[i].finish) status = advance(x, i);
    close_job(x, i);
    if (status == GW_OK) json_array_append_new(choices, gw_choice_whole(&x->choices[i]));
  }
  if (status != GW_OK) {
    json_decref(choices);
    return send_failure(x->request, status);
  }
  json_t *usage = gw_completion_usage(x->choices, x->count);
  return send_json(x->request, 200,
                   gw_completion_answer(x->id, x->request->server->name, choices, usage));
}

/* One event; false when nobody listens any more. Takes the JSON over. */
static bool send_event(Exchange *x, json_t *event) {
  Request *r = x->request;
  char *line = event ? gw_json_line(event) : NULL;
  json_decref(event);
  bool sent = line && send_bytes(r, "data: ", 6) && send_bytes(r, line, strlen(line)) &&
              send_bytes(r, "\n\n", 2);
  free(line);
  return sent;
}

static bool send_chunk(Exchange *x, json_t *choice) {
  return send_event(
      x, gw_completion_answer(x->id, x->request->server->name, json_pack("[o]", choice), NULL));
}

/* Choices take turns, a token each, so that all of them grow. */
static GwStatus stream_choices(Exchange *x, bool *gone) {
  for (int32_t left = x->count; left > 0 && !*gone;) {
    for (int32_t i = 0; i < x->count && !*gone; i++) {
      if (!x->jobs[i]) continue;
      GW_TRY(advance(x, i));
      json_t *chunk = gw_choice_chunk(&x->choices[i]);
      if (chunk) *gone = !send_chunk(x, chunk);
      if (!x->choices[i].finish) continue;
      close_job(x, i);
      left--;
    }
  }
  return GW_OK;
}

static int answer_stream(Exchange *x) {
  static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                             "Cache-Control: no-cache\r\nConnection: close\r\n\r\n";
  static const char done[] = "data: [DONE]\n\n";
  Request *r = x->request;
  r->deadline_ns = gw_clock_ns() + patience(r) + ERROR_NS; /* the jobs' ends come before */
  count_answer(r->server, 200);
  close_after(r);
  bool gone = !send_bytes(r, head, sizeof head - 1);
  GwStatus status = stream_choices(x, &gone);
  if (status != GW_OK) send_event(x, gw_completion_error("server_error", gw_error_message()));
  if (status == GW_OK && !gone && x->completion.usage)
    send_event(x, gw_completion_answer(x->id, r->server->name, json_array(),
                                       gw_completion_usage(x->choices, x->count)));
  if (status == GW_OK && !gone) send_bytes(r, done, sizeof done - 1);
  return 200;
}

static int answer_completion(Request *r) {
  GwServer *server = r->server;
  Exchange x = {.request = r, .id = __atomic_add_fetch(&server->requests, 1, __ATOMIC_RELAXED)};
  pthread_mutex_lock(&parsing);
  GwStatus status =
      gw_completion_parse(r->body.data, r->body.size, &server->model, server->name, &x.completion);
  pthread_mutex_unlock(&parsing);
  if (status != GW_OK) return send_failure(r, status);
  x.count = gw_completion_choices(&x.completion);
  status = begin(&x);
  int code = status != GW_OK       ? send_failure(r, status)
             : x.completion.stream ? answer_stream(&x)
                                   : answer_whole(&x);
  end(&x);
  return code;
}

/* ---- the model and its vocabulary ---- */

static int answer_models(Request *r) {
  const GwServer *server = r->server;
  return send_json(r, 200,
                   json_pack("{s:s, s:[{s:s, s:s, s:I, s:s, s:I}]}", "object", "list", "data", "id",
                             server->name, "object", "model", "created",
                             (json_int_t)server->started, "owned_by", "godwit", "max_model_len",
                             (json_int_t)server->model.recipe.model.context));
}

static int without_tokenizer(Request *r) {
  return send_error(r, 400, "this model has no vocabulary for texts; use token ids");
}

static int answer_tokenizer_info(Request *r) {
  const GwTokenizer *tokenizer = r->server->model.tokenizer;
  if (!tokenizer) return without_tokenizer(r);
  int32_t head = gw_tokenizer_end_of_text(tokenizer);
  int32_t end = r->server->model.ends.count > 0 ? r->server->model.ends.ids[0] : head;
  return send_json(r, 200,
                   json_pack("{s:s, s:s?, s:s?, s:i}", "tokenizer_class", "godwit", "bos_token",
                             gw_tokenizer_special_name(tokenizer, head), "eos_token",
                             gw_tokenizer_special_name(tokenizer, end), "vocab_size",
                             gw_tokenizer_vocab_size(tokenizer)));
}

/* Ids of a text; names of special tokens become these, as lm-eval and `godwit eval` expect. */
static GwStatus tokenize(const GwTokenizer *tokenizer, const json_t *root, void *ids) {
  GwTokenIds *out = ids;
  const json_t *prompt = json_object_get(root, "prompt");
  if (!json_is_string(prompt)) return gw_fail(GW_INVALID, "'prompt' must be a text");
  if (json_is_true(json_object_get(root, "add_special_tokens")))
    GW_TRY(gw_token_ids_add(out, gw_tokenizer_end_of_text(tokenizer)));
  return gw_tokenizer_encode_special(tokenizer, json_string_value(prompt),
                                     json_string_length(prompt), out);
}

/* The body as JSON, read by one of the two functions; parsed by one thread at a time. */
typedef GwStatus Reading(const GwTokenizer *tokenizer, const json_t *root, void *out);

static GwStatus read_json(const Request *r, Reading *reading, void *out) {
  json_t *root = NULL;
  pthread_mutex_lock(&parsing);
  GwStatus status = gw_json_parse("request", r->body.data, r->body.size, &root);
  if (status == GW_OK) status = reading(r->server->model.tokenizer, root, out);
  json_decref(root);
  pthread_mutex_unlock(&parsing);
  return status;
}

static int answer_tokenize(Request *r) {
  GwTokenIds ids = {0};
  json_t *list = NULL;
  if (!r->server->model.tokenizer) return without_tokenizer(r);
  GwStatus status = read_json(r, tokenize, &ids);
  if (status == GW_OK) list = json_array();
  for (size_t i = 0; list && i < ids.count; i++)
    json_array_append_new(list, json_integer(ids.ids[i]));
  json_int_t context = r->server->model.recipe.model.context;
  int code = status != GW_OK
                 ? send_failure(r, status)
                 : send_json(r, 200,
                             json_pack("{s:I, s:I, s:o}", "count", (json_int_t)ids.count,
                                       "max_model_len", context, "tokens", list));
  gw_token_ids_deinit(&ids);
  return code;
}

static GwStatus detokenize(const GwTokenizer *tokenizer, const json_t *root, void *text) {
  const json_t *tokens = json_object_get(root, "tokens");
  size_t i, size;
  json_t *item;
  if (!json_is_array(tokens)) return gw_fail(GW_INVALID, "'tokens' must be a list of token ids");
  json_array_foreach(tokens, i, item) {
    json_int_t id = json_integer_value(item);
    if (!json_is_integer(item) || id < 0 || id >= gw_tokenizer_vocab_size(tokenizer))
      return gw_fail(GW_INVALID, "'tokens' has what is no token, at place %zu", i);
    const uint8_t *bytes = gw_tokenizer_bytes(tokenizer, (int32_t)id, &size);
    GW_TRY(gw_text_append(text, bytes, size));
  }
  return GW_OK;
}

static int answer_detokenize(Request *r) {
  GwText text = {0};
  if (!r->server->model.tokenizer) return without_tokenizer(r);
  GwStatus status = read_json(r, detokenize, &text);
  int code =
      status != GW_OK
          ? send_failure(r, status)
          : send_json(r, 200,
                      json_pack("{s:o}", "prompt", gw_json_from_bytes(text.data, text.size)));
  gw_text_deinit(&text);
  return code;
}

/* ---- health ---- */

static int answer_health(Request *r) {
  bool ending = __atomic_load_n(&r->server->ending, __ATOMIC_RELAXED) != 0;
  return ending ? send_error(r, 503, "the server is ending")
                : send_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

static GwStatus print_counts(const GwServer *server, GwEngineCounts counts, GwText *out) {
  static const struct {
    const char *name, *type, *help;
  } rows[] = {{"godwit_serve_open", "gauge", "Requests that are being answered."},
              {"godwit_serve_running", "gauge", "Completions in work."},
              {"godwit_serve_waiting", "gauge", "Completions that wait for a slot."},
              {"godwit_serve_completions_total", "counter", "Completions begun."},
              {"godwit_serve_prompt_tokens_total", "counter", "Tokens of prompts read."},
              {"godwit_serve_generated_tokens_total", "counter", "Tokens generated."},
              {"godwit_serve_passes_total", "counter", "Passes over the weights to generate."}};
  const uint64_t values[] = {(uint64_t)__atomic_load_n(&server->open, __ATOMIC_RELAXED),
                             (uint64_t)counts.running,
                             (uint64_t)counts.waiting,
                             counts.jobs,
                             counts.prompt_tokens,
                             counts.generated_tokens,
                             counts.passes};
  char text[4096];
  size_t size = 0;
  for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
    size += (size_t)snprintf(text + size, sizeof text - size,
                             "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", rows[i].name,
                             rows[i].help, rows[i].name, rows[i].type, rows[i].name, values[i]);
  size += (size_t)snprintf(text + size, sizeof text - size,
                           "# HELP godwit_serve_answers_total Answers by status.\n"
                           "# TYPE godwit_serve_answers_total counter\n");
  for (int i = 2; i < 6; i++)
    size += (size_t)snprintf(text + size, sizeof text - size,
                             "godwit_serve_answers_total{status=\"%dxx\"} %" PRIu64 "\n", i,
                             __atomic_load_n(&server->answers[i], __ATOMIC_RELAXED));
  return gw_text_append(out, text, size);
}

/* What `godwit watch` tells of the run, where it can be read. */
static GwStatus print_run(const GwServer *server, GwText *out) {
  GwRunStatus run;
  char *text = NULL;
  if (gw_run_status(server->run, &run) != GW_OK) return GW_OK;
  GW_TRY(gw_run_prometheus(&run, &text));
  GwStatus status = gw_text_append(out, text, strlen(text));
  free(text);
  return status;
}

static int answer_metrics(Request *r) {
  GwText text = {0};
  GwEngineCounts counts;
  gw_engine_counts(r->server->engine, &counts);
  GwStatus status = print_counts(r->server, counts, &text);
  if (status == GW_OK) status = print_run(r->server, &text);
  int code = status != GW_OK ? send_failure(r, status)
                             : send_text(r, 200, "text/plain; version=0.0.4; charset=utf-8",
                                         text.data, text.size);
  gw_text_deinit(&text);
  return code;
}

/* ---- civetweb ---- */

static const Route routes[] = {{"/v1/completions", "POST", answer_completion},
                               {"/v1/models", "GET", answer_models},
                               {"/tokenize", "POST", answer_tokenize},
                               {"/detokenize", "POST", answer_detokenize},
                               {"/tokenizer_info", "GET", answer_tokenizer_info},
                               {"/health", "GET", answer_health},
                               {"/metrics", "GET", answer_metrics}};

/* Whether one may ask comes first: a stranger learns nothing, not even which paths there are. */
static int answer(Request *r) {
  const Route *route = NULL;
  const char *method = r->info->request_method;
  int code;
  if (!may_ask(r)) return send_error(r, 401, "the token is missing or wrong");
  for (size_t i = 0; i < GW_COUNT_OF(routes); i++)
    if (strcmp(r->info->local_uri, routes[i].path) == 0) route = &routes[i];
  if (!route) return send_error(r, 404, "there is nothing at this path");
  if (strcmp(method, "HEAD") == 0) method = "GET";
  if (strcmp(method, route->method) != 0)
    return send_error(r, 405, route->method[0] == 'P' ? "this path is for POST" : "for GET");
  if (route->method[0] == 'P' && (code = read_body(r)) != 0) return code;
  return route->answer(r);
}

static void *answer_request(void *argument) {
  Request *request = argument;
  request->code = answer(request);
  gw_text_deinit(&request->body);
  return NULL;
}

/* Every request comes here before civetweb would look for a file. Its threads have a stack of
 * 100 KiB, which is not for us to rely on: a request is answered on one of its own. */
static int begin_request(struct mg_connection *connection) {
  const struct mg_request_info *info = mg_get_request_info(connection);
  GwServer *server = info->user_data;
  Request request = {.server = server,
                     .connection = connection,
                     .info = info,
                     .unread = info->content_length > 0 ||
                               mg_get_header(connection, "Transfer-Encoding")};
  pthread_t thread;
  request.deadline_ns = gw_clock_ns() + patience(&request);
  __atomic_fetch_add(&server->open, 1, __ATOMIC_RELAXED);
  if (pthread_create(&thread, NULL, answer_request, &request) == 0)
    pthread_join(thread, NULL);
  else
    request.code = send_error(&request, 503, "no thread for another request");
  __atomic_fetch_sub(&server->open, 1, __ATOMIC_RELEASE);
  return request.code;
}

static int log_message(const struct mg_connection *connection, const char *message) {
  (void)connection;
  gw_log(GW_LOG_DEBUG, "http: %s", message);
  return 1;
}

/* Whether somebody answers there already. Some systems let two servers have one port, which then
 * answer in turns. */
static bool is_taken(const char *listen, const char *colon) {
  char host[GW_SERVER_TEXT];
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
  size_t skip = listen[0] == '[', length = (size_t)(colon - listen) - 2 * skip;
  bool taken = false;
  if (length >= sizeof host || strcmp(colon, ":0") == 0) return false;
  memcpy(host, listen + skip, length);
  host[length] = 0;
  if (getaddrinfo(host, colon + 1, &hints, &list) != 0) return false;
  for (const struct addrinfo *at = list; at && !taken; at = at->ai_next) {
    int link = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
    taken = link >= 0 && connect(link, at->ai_addr, at->ai_addrlen) == 0;
    if (link >= 0) close(link);
  }
  freeaddrinfo(list);
  return taken;
}

GwStatus gw_http_start(GwServer *server, const char *listen, char *address_out, GwHttp **out) {
  char threads[16];
  snprintf(threads, sizeof threads, "%d", CONNECTIONS);
  const char *options[] = {"listening_ports",
                           listen,
                           "num_threads",
                           threads,
                           "request_timeout_ms",
                           STUCK_MS,
                           "keep_alive_timeout_ms",
                           "5000",
                           "enable_keep_alive",
                           "yes",
                           "tcp_nodelay",
                           "1",
                           NULL};
  const struct mg_callbacks callbacks = {.begin_request = begin_request,
                                         .log_message = log_message};
  const char *colon = strrchr(listen, ':');
  struct mg_server_port port;
  if (!colon || strpbrk(listen, ",sr+ "))
    return gw_fail(GW_USAGE, "'%s' must be ADDRESS:PORT", listen);
  if (listen[0] == '[' && !mg_check_feature(MG_FEATURES_IPV6))
    return gw_fail(GW_UNSUPPORTED, "'%s': civetweb, as it is installed here, has no IPv6", listen);
  if (is_taken(listen, colon))
    return gw_fail(GW_BUSY, "%s: another server answers there; give another port", listen);
  GwHttp *http = calloc(1, sizeof *http);
  if (!http) return gw_fail(GW_MEMORY, "no memory to serve");
  mg_init_library(0);
  http->context = mg_start(&callbacks, server, options);
  if (!http->context || mg_get_server_ports(http->context, 1, &port) < 1) {
    gw_http_stop(http);
    return gw_fail(GW_IO,
                   "cannot listen at %s: is the address one of ours, and may we have the port?",
                   listen);
  }
  snprintf(address_out, GW_SERVER_TEXT, "http://%.*s:%d", (int)(colon - listen), listen, port.port);
  *out = http;
  return GW_OK;
}

void gw_http_stop(GwHttp *http) {
  if (!http) return;
  if (http->context) mg_stop(http->context);
  mg_exit_library();
  free(http);
}
