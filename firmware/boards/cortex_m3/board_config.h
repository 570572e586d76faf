/* Cortex-M3: the Arduino Due's SAM3X8E, and the mps2-an385 machine of QEMU with the same channels. */
#ifndef INMATERIA_BOARD_CONFIG_H
#define INMATERIA_BOARD_CONFIG_H

#include <string.h>

#include "chip.h"

/* Outputs: 2 DAC, 2 PWM, 2 digital, 2 AD5220. Inputs: A0 to A7. */
#define BOARD_OUTPUTS 8
#define BOARD_STEP_BYTES 10
#define BOARD_INPUTS 8
#define BOARD_FEATURES 8
#define BOARD_READING_BYTES 16
#define BOARD_SLOTS 16
#define BOARD_SLOT_BYTES 160

#define BOARD_FLASH
#define BOARD_NOINIT __attribute__((section(".noinit")))
#define BOARD_COPY_FLASH(to, from, n) memcpy(to, from, n)
#define BOARD_READ_WORD16(from) (*(from))
#define BOARD_READ_WORD32(from) (*(from))

#endif
