/* CRC-32 of a frame: the one of zlib, Ethernet and PNG (reflected polynomial EDB88320). */
#ifndef INMATERIA_CRC32_H
#define INMATERIA_CRC32_H

#include <stdint.h>

#include "board.h"

#define CRC32_BEGIN 0xFFFFFFFFul
/* The register after a frame and its own CRC, least significant byte first, have gone through it. */
#define CRC32_RESIDUE 0xDEBB20E3ul

extern const uint32_t crc32_table[256] BOARD_FLASH;

static inline uint32_t crc32_update(uint32_t crc, uint8_t byte) {
    return (crc >> 8) ^ BOARD_READ_WORD32(&crc32_table[(uint8_t)crc ^ byte]);
}

#endif
