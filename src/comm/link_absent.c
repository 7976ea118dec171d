/* The build without MPI: there is nothing between nodes. */
#include "comm/link.h"

GwStatus gw__link_open(GwLink **out) {
  (void)out;
  return gw_fail(GW_UNSUPPORTED, "this program was built without MPI: install libopenmpi-dev (or "
                                 "libmpich-dev) and build again");
}

const char *gw__link_library(void) { return NULL; }

GwStatus gw__link_close(GwLink *link, bool clean) {
  GW_ASSERT(!link);
  (void)clean;
  return GW_OK;
}

/* The rest takes a link, and nobody has one. */
#define NOT_REACHED gw__assert_failed("there is no link", __FILE__, __LINE__)

int32_t gw__link_rank(GW_UNUSED const GwLink *link) { NOT_REACHED; }
int32_t gw__link_ranks(GW_UNUSED const GwLink *link) { NOT_REACHED; }
GwStatus gw__link_host(GW_UNUSED const GwLink *link, GW_UNUSED char out[GW_LINK_HOST_MAX]) {
  NOT_REACHED;
}
GwStatus gw__link_send(GW_UNUSED GwLink *link, GW_UNUSED int32_t slot, GW_UNUSED int32_t peer,
                       GW_UNUSED int tag, GW_UNUSED const void *data, GW_UNUSED size_t bytes) {
  NOT_REACHED;
}
GwStatus gw__link_receive(GW_UNUSED GwLink *link, GW_UNUSED int32_t slot, GW_UNUSED int32_t peer,
                          GW_UNUSED int tag, GW_UNUSED void *data, GW_UNUSED size_t bytes) {
  NOT_REACHED;
}
GwStatus gw__link_gather(GW_UNUSED GwLink *link, GW_UNUSED int32_t slot, GW_UNUSED const void *mine,
                         GW_UNUSED size_t bytes, GW_UNUSED void *all) {
  NOT_REACHED;
}
GwStatus gw__link_test(GW_UNUSED GwLink *link, GW_UNUSED int32_t slot, GW_UNUSED bool *done) {
  NOT_REACHED;
}
