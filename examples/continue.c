/* The library in another program: prints how a trained run goes on with a text.
 *
 *   cc -std=c17 continue.c $(pkg-config --static --cflags --libs godwit) -o continue
 *   ./continue runs/demo "In the beginning" */
#include <godwit/generate.h>
#include <godwit/inspect.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Gets the text piece by piece, as it is made. */
static GwStatus print_piece(void *context, const char *text, size_t size) {
  if (fwrite(text, 1, size, context) == size) return GW_OK;
  return gw_fail(GW_IO, "the text cannot be written");
}

static GwStatus go_on(const char *run, const char *prompt) {
  GwGenerateOptions options = gw_generate_default();
  GwGenerateReport report;
  GwRunHash state;
  options.prompt = prompt;
  options.prompt_size = strlen(prompt);
  options.tokens = 40;
  options.temperature = 0.8;
  GW_TRY(gw_run_hash(run, &state));
  GW_TRY(gw_generate(run, &options, print_piece, stdout, &report));
  printf("\n(%" PRId64 " tokens, by step %" PRId64 ", state 0x%016" PRIx64 ")\n", report.tokens,
         state.step, state.state_hash);
  return GW_OK;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: continue RUN TEXT\n");
    return 2;
  }
  GwStatus status = go_on(argv[1], argv[2]);
  if (status != GW_OK) fprintf(stderr, "error: %s\n", gw_error_message());
  return gw_status_exit_code(status);
}
