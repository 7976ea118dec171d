/* The link over MPI: point to point and non-blocking. MPI itself is asked to report errors instead
 * of ending the process; what it reports becomes a status that names the call. */
#include "comm/link.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct GwLink {
  int rank, ranks;
  int32_t count;
  MPI_Request *requests; /* [count]; MPI_REQUEST_NULL: free */
};

static GwStatus checked(int code, const char *call) {
  if (code == MPI_SUCCESS) return GW_OK;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(code, text, &length);
  for (char *at = text; *at; at++)
    if (*at == '\n') *at = ' ';
  return gw_fail(GW_IO, "%s failed: %s; see what the MPI launcher says about the ranks", call,
                 text);
}

static GwStatus slots_init(GwLink *link) {
  link->count = 2 * link->ranks + 6;
  link->requests = malloc((size_t)link->count * sizeof *link->requests);
  if (!link->requests) return gw_fail(GW_MEMORY, "no memory for %d messages", link->count);
  for (int32_t i = 0; i < link->count; i++) link->requests[i] = MPI_REQUEST_NULL;
  return GW_OK;
}

GwStatus gw__link_open(GwLink **out) {
  int provided = 0, begun = 0;
  GW_TRY(checked(MPI_Initialized(&begun), "MPI_Initialized"));
  if (begun) return gw_fail(GW_BUSY, "MPI was begun before in this process");
  GwLink *link = calloc(1, sizeof *link);
  if (!link) return gw_fail(GW_MEMORY, "no memory for the link between nodes");
  GwStatus status =
      checked(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (status == GW_OK && provided < MPI_THREAD_FUNNELED)
    status = gw_fail(GW_UNSUPPORTED, "this MPI cannot be used by a program with threads");
  if (status == GW_OK)
    status = checked(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
                     "MPI_Comm_set_errhandler");
  if (status == GW_OK)
    status = checked(MPI_Comm_rank(MPI_COMM_WORLD, &link->rank), "MPI_Comm_rank");
  if (status == GW_OK)
    status = checked(MPI_Comm_size(MPI_COMM_WORLD, &link->ranks), "MPI_Comm_size");
  if (status == GW_OK) status = slots_init(link);
  if (status == GW_OK)
    *out = link;
  else
    free(link);
  return status;
}

GwStatus gw__link_close(GwLink *link, bool clean) {
  if (!link) return GW_OK;
  free(link->requests);
  free(link);
  return clean ? checked(MPI_Finalize(), "MPI_Finalize") : GW_OK;
}

int32_t gw__link_rank(const GwLink *link) { return link->rank; }
int32_t gw__link_ranks(const GwLink *link) { return link->ranks; }

GwStatus gw__link_host(const GwLink *link, char out[GW_LINK_HOST_MAX]) {
  char host[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  (void)link;
  GW_TRY(checked(MPI_Get_processor_name(host, &length), "MPI_Get_processor_name"));
  memset(out, 0, GW_LINK_HOST_MAX);
  memcpy(out, host, strnlen(host, GW_LINK_HOST_MAX - 1));
  return GW_OK;
}

/* "Open MPI v4.1.4, package: ..." or "MPICH Version:\t4.0.2\n...": up to the first number. */
const char *gw__link_library(void) {
  static char name[64];
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "", version[32] = "";
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "MPI";
  const char *number = text + strcspn(text, "0123456789");
  sscanf(number, "%31[0-9a-z.]", version);
  const char *library = strstr(text, "Open MPI") == text ? "Open MPI"
                        : strstr(text, "MPICH") == text  ? "MPICH"
                                                         : "MPI";
  snprintf(name, sizeof name, "%s %s", library, version);
  return name;
}

static MPI_Request *free_slot(GwLink *link, int32_t slot, size_t bytes) {
  GW_ASSERT(slot >= 0 && slot < link->count && bytes <= INT_MAX);
  GW_ASSERT(link->requests[slot] == MPI_REQUEST_NULL);
  return &link->requests[slot];
}

GwStatus gw__link_send(GwLink *link, int32_t slot, int32_t peer, int tag, const void *data,
                       size_t bytes) {
  MPI_Request *request = free_slot(link, slot, bytes);
  return checked(MPI_Isend(data, (int)bytes, MPI_BYTE, peer, tag, MPI_COMM_WORLD, request),
                 "MPI_Isend");
}

GwStatus gw__link_receive(GwLink *link, int32_t slot, int32_t peer, int tag, void *data,
                          size_t bytes) {
  MPI_Request *request = free_slot(link, slot, bytes);
  return checked(MPI_Irecv(data, (int)bytes, MPI_BYTE, peer, tag, MPI_COMM_WORLD, request),
                 "MPI_Irecv");
}

GwStatus gw__link_gather(GwLink *link, int32_t slot, const void *mine, size_t bytes, void *all) {
  MPI_Request *request = free_slot(link, slot, bytes);
  return checked(MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                                MPI_COMM_WORLD, request),
                 "MPI_Iallgather");
}

GwStatus gw__link_test(GwLink *link, int32_t slot, bool *done) {
  int flag = 0;
  GW_TRY(checked(MPI_Test(&link->requests[slot], &flag, MPI_STATUS_IGNORE), "MPI_Test"));
  *done = flag != 0;
  return GW_OK;
}
