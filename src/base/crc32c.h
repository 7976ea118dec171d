/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): the checksum of TensorBoard's event files. Where
 * the format is ours, hash64.h is used instead. */
#ifndef GW_CRC32C_H
#define GW_CRC32C_H

#include "base/base.h"

uint32_t gw_crc32c(const void *data, size_t size);

#endif
