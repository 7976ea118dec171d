/* The small models whose files are kept byte for byte in test/golden/interop, one per family, and
 * the files: made here for the unit test, which compares them, and for interop_helper, which hands
 * them to transformers and llama.cpp. */
#ifndef GW_INTEROP_GOLDEN_H
#define GW_INTEROP_GOLDEN_H

#include "interop/foreign_model.h"

enum { GW_GOLDEN_EXPORTS = 6 };

typedef struct {
  const char *name; /* below the folder: a folder where `hf`, else a file */
  int family;       /* number of the model */
  bool hf;
  GwGgmlType type;
} GwGoldenExport;

extern const GwGoldenExport gw_golden_exports[GW_GOLDEN_EXPORTS];

/* The model of an export. Every parameter is exact in each of the types. */
GwStatus gw_golden_model(const GwGoldenExport *export, GwForeignModel *out);
/* Writes that export into `folder`. */
GwStatus gw_golden_write(const GwGoldenExport *export, const char *folder);

#endif
