/* The hash of a run's state: what the checkpoint's manifest says, once all of it was verified. */
#include "godwit/inspect.h"
#include "infer/loaded_model.h"

_Static_assert(sizeof(((GwRunHash *)0)->path) == GW_PATH_MAX, "a path must fit");

GwStatus gw_run_hash(const char *path, GwRunHash *out) {
  GwFs *fs = gw_fs_disk();
  GwModelPlace place = {0};
  GwCheckpointInfo info = {0};
  GwRunHash found = {0};
  GW_TRY(gw_model_place(fs, path, &place));
  GW_TRY(gw_model_place_view(fs, &place, NULL, 0, &info, found.path));
  found.step = info.step;
  found.state_hash = info.state_hash;
  *out = found;
  return GW_OK;
}
