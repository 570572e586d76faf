/* A board without hardware, for tests of the core on the machine that builds it. */
#ifndef INMATERIA_BOARD_CONFIG_H
#define INMATERIA_BOARD_CONFIG_H

#include <string.h>

#define BOARD_OUTPUTS 3
#define BOARD_INPUTS 2
#define BOARD_STEP_BYTES 4
#define BOARD_FEATURES 1
#define BOARD_READING_BYTES 3
#define BOARD_SLOTS 4
#define BOARD_SLOT_BYTES 16
#define BOARD_TICKS_PER_SECOND 1000000ul
#define BOARD_SWEEP_TICKS 20
#define BOARD_LEAD_TICKS 0
#define BOARD_SHORTEST_TICKS 100ul
#define BOARD_LATE_TICKS 20ul
#define BOARD_NAME "native"
#define BOARD_FLASH
#define BOARD_NOINIT
#define BOARD_COPY_FLASH(to, from, n) memcpy(to, from, n)
#define BOARD_READ_WORD16(from) (*(from))
#define BOARD_READ_WORD32(from) (*(from))

#endif
