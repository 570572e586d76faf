/* CRC-32 of a frame: the one of zlib, Ethernet and PNG (reflected polynomial EDB88320). */
#ifndef INMATERIA_CRC32_H
#define INMATERIA_CRC32_H

#include <stdint.h>

#define CRC32_BEGIN 0xFFFFFFFFul
/* The register after a frame and its own CRC, least significant byte first, have gone through it. */
#define CRC32_RESIDUE 0xDEBB20E3ul

uint32_t crc32_update(uint32_t crc, uint8_t byte);

#endif
