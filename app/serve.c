/* godwit serve: a trained model over HTTP, until a signal says that it is enough. */
#include "godwit/serve.h"

#include <signal.h>
#include <stdio.h>

#include "cli.h"
#include "godwit/log.h"

static volatile sig_atomic_t stop;

/* The first signal asks for a clean end, a second one ends the process at once. */
static void on_signal(int number) {
  stop = 1;
  signal(number, SIG_DFL);
}

/* On standard output, for programs that started the server with port 0. */
static void print_address(void *context, const char *address) {
  (void)context;
  printf("%s\n", address);
  (void)fflush(stdout);
}

int gw_command_serve(int argc, char **argv) {
  GwServeOptions serve = gw_serve_default();
  const GwOption options[] = {
      {"listen", "ADDRESS:PORT", "where to answer; port 0: any that is free", GW_OPTION_TEXT,
       &serve.listen, 0, 0},
      {"name", "NAME", "what clients call the model (default: the run folder's name)",
       GW_OPTION_TEXT, &serve.name, 0, 0},
      {"token-file", "FILE", "a secret that requests must bear; needed beyond loopback",
       GW_OPTION_TEXT, &serve.token_file, 0, 0},
      {"slots", "N", "requests in work at once", GW_OPTION_I32, &serve.slots, 1, 1024},
      {"queue", "N", "requests that may wait for their turn", GW_OPTION_I32, &serve.queue, 1, 1e6},
      {"timeout", "SECONDS", "that a request may take", GW_OPTION_F64, &serve.timeout, 0.1, 1e6},
      {"grace", "SECONDS", "that requests may go on once the server ends", GW_OPTION_F64,
       &serve.grace, 0, 1e6},
      gw_cli_option_threads(&serve.execution.threads),
      gw_cli_option_isa(&serve.execution.isa),
      gw_cli_option_backend(&serve.execution.backend)};
  const GwCommand command = {
      .name = "serve",
      .usage = "RUN|CHECKPOINT [options]",
      .summary =
          "Answers completion requests over HTTP as OpenAI's /v1/completions does, with echo,\n"
          "logprobs, token ids and streams, and /v1/models, /tokenize, /detokenize, /health and\n"
          "/metrics. Requests share each pass over the weights; every one gets the text that\n"
          "`godwit generate` would print for it. SIGTERM or SIGINT ends it when all is answered.",
      .example = "godwit serve runs/demo\n"
                 "godwit serve runs/demo --listen 0.0.0.0:8080 --token-file secret.txt",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .positional_min = 1,
      .positional_max = 1,
  };
  GwArguments arguments;
  int code = 0;
  if (!gw_cli_parse(&command, argc, argv, &arguments, &code)) return code;
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  serve.stop = &stop;
  serve.ready = print_address;
  GwStatus status = gw_serve(arguments.positionals[0], &serve);
  return status == GW_OK ? 0 : gw_cli_failed(status);
}
