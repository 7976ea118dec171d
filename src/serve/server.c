/* Opens what is served, starts engine and HTTP, waits for the end. */
#include "serve/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exec/backend_cpu.h"
#include "godwit/log.h"
#include "os/clock.h"

/* GOODBYE_NS: for answers to those whose requests were ended. */
enum { PROMPT_CHUNK = 256, LOOK_NS = 50000000, GOODBYE_NS = 1000000000, TOKEN_LEAST = 16 };

GwServeOptions gw_serve_default(void) {
  return (GwServeOptions){
      .listen = "127.0.0.1:8080", .slots = 8, .queue = 64, .timeout = 600, .grace = 30};
}

/* The first line of the file. */
static GwStatus read_token(GwServer *server) {
  const char *path = server->options->token_file;
  char *text = NULL;
  size_t size = 0;
  if (!path) return GW_OK;
  GW_TRY(gw_fs_read_all(gw_fs_disk(), path, 1 << 16, &text, &size));
  size_t length = 0;
  while (length < size && text[length] > ' ' && text[length] < 127) length++;
  bool whole = length == size || text[length] == '\n' || text[length] == '\r';
  bool fits = whole && length >= TOKEN_LEAST && length < sizeof server->token;
  if (fits) memcpy(server->token, text, length);
  free(text);
  return fits ? GW_OK
              : gw_fail(GW_INVALID,
                        "%s: the first line must be a secret of %d to %zu ASCII characters, "
                        "without spaces",
                        path, TOKEN_LEAST, sizeof server->token - 1);
}

/* Whoever can reach us from elsewhere must show the token. */
static GwStatus check_listen(const GwServer *server) {
  static const char *const loopback[] = {"127.", "[::1]:", "localhost:"};
  const char *listen = server->options->listen;
  if (server->token[0]) return GW_OK;
  for (size_t i = 0; i < GW_COUNT_OF(loopback); i++)
    if (strncmp(listen, loopback[i], strlen(loopback[i])) == 0) return GW_OK;
  return gw_fail(GW_USAGE, "'%s' can be reached from elsewhere: that needs --token-file FILE",
                 listen);
}

/* The run folder's last name. */
static GwStatus name_model(GwServer *server, const char *path) {
  GwModelPlace place;
  GW_TRY(gw_model_place(gw_fs_disk(), path, &place));
  size_t length = strlen(place.run);
  while (length > 1 && place.run[length - 1] == '/') place.run[--length] = 0;
  strcpy(server->run, place.run);
  const char *slash = strrchr(place.run, '/'), *name = slash ? slash + 1 : place.run;
  if (server->options->name) name = server->options->name;
  if (!name[0] || strlen(name) >= sizeof server->name || gw_text_invalid_bytes(name, strlen(name)))
    return gw_fail(GW_USAGE, "the model's name must be UTF-8 of up to %zu bytes; give --name",
                   sizeof server->name - 1);
  strcpy(server->name, name);
  return GW_OK;
}

static GwStatus open_server(GwServer *server, const char *path) {
  const GwServeOptions *options = server->options;
  const GwBackend *backend = NULL;
  GW_TRY(read_token(server));
  GW_TRY(check_listen(server));
  GW_TRY(gw_backend_choose(options->execution.backend, options->execution.isa, &backend));
  GW_TRY(name_model(server, path));
  GW_TRY(gw_pool_create(options->execution.threads, &server->pool));
  GW_TRY(gw_loaded_model_open(path, &server->model));
  GwEngineOptions engine = {.slots = options->slots,
                            .queue = options->queue,
                            .chunk = PROMPT_CHUNK,
                            .patience = (uint64_t)(options->timeout * 1e9)};
  return gw_engine_create(&server->model, backend, server->pool, &engine, &server->engine);
}

/* What the engine has made may still be on its way. */
static void wait_for_answers(const GwServer *server, uint64_t deadline_ns) {
  while (__atomic_load_n(&server->open, __ATOMIC_ACQUIRE) > 0 && gw_clock_ns() < deadline_ns)
    gw_clock_sleep(LOOK_NS);
}

static GwStatus run_server(GwServer *server) {
  const GwServeOptions *options = server->options;
  char address[GW_SERVER_TEXT];
  GwHttp *http = NULL;
  GW_TRY(gw_http_start(server, options->listen, address, &http));
  gw_log(GW_LOG_INFO, "%s, step %lld, as '%s' at %s", server->model.path,
         (long long)server->model.info.step, server->name, address);
  if (options->ready) options->ready(options->context, address);
  while (!options->stop || !*options->stop) gw_clock_sleep(LOOK_NS);
  gw_log(GW_LOG_INFO, "ending: requests in work have %.0f s", options->grace);
  __atomic_store_n(&server->ending, 1, __ATOMIC_RELAXED);
  uint64_t grace = (uint64_t)(options->grace * 1e9), deadline = gw_clock_ns() + grace + GOODBYE_NS;
  gw_engine_stop(server->engine, grace);
  wait_for_answers(server, deadline);
  gw_http_stop(http);
  return GW_OK;
}

GwStatus gw_serve(const char *path, const GwServeOptions *options) {
  GwServer server = {.options = options, .started = (int64_t)time(NULL)};
  GwStatus status = open_server(&server, path);
  if (status == GW_OK) status = run_server(&server);
  if (server.engine) gw_engine_stop(server.engine, 0);
  gw_engine_destroy(server.engine);
  gw_loaded_model_close(&server.model);
  gw_pool_destroy(server.pool);
  return status;
}
