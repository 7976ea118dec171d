/* Preparation on a disk of choice: gw_prepare with the file layer passed in, so that tests can stop
 * it at any write. (Reading shards back goes through maps, which need the real disk.) */
#ifndef GW_PREPARATION_H
#define GW_PREPARATION_H

#include "godwit/prepare.h"
#include "os/fs.h"

GwStatus gw_prepare_on(GwFs *fs, const GwPrepareOptions *options, GwPrepareReport *out);

#endif
