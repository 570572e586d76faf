/* ATmega328P (Arduino Uno, Nano) and ATmega2560 (Arduino Mega), 16 MHz, 5 V: channels and pins. */
#ifndef INMATERIA_BOARD_CONFIG_H
#define INMATERIA_BOARD_CONFIG_H

#include <avr/pgmspace.h>

/* Outputs: 2 PWM, 2 digital, 2 AD5220. Inputs: A0 to A5 and the comparator, on a Mega A0 to A15. */
#define BOARD_OUTPUTS 6
#define BOARD_STEP_BYTES 6
#if defined(__AVR_ATmega328P__)
#define BOARD_NAME "atmega328p"
#define BOARD_ADCS 6
#define BOARD_COMPARATORS 1
#define BOARD_SLOTS 8
#define BOARD_SLOT_BYTES 65
#elif defined(__AVR_ATmega2560__)
#define BOARD_NAME "atmega2560"
#define BOARD_ADCS 16
#define BOARD_COMPARATORS 0       /* its positive pin is not on the headers of a Mega */
#define BOARD_SLOTS 16
#define BOARD_SLOT_BYTES 160
#else
#error "a board_config.h for this chip has to be written"
#endif

#define BOARD_INPUTS (BOARD_ADCS + BOARD_COMPARATORS)
#define BOARD_FEATURES BOARD_ADCS
#define BOARD_READING_BYTES (2 * BOARD_ADCS + BOARD_COMPARATORS)

#define BOARD_TICKS_PER_SECOND 2000000ul
/* A conversion takes 13 clocks of the converter, of 1 us each, and its interrupt up to 5 us. */
#define BOARD_SWEEP_TICKS (BOARD_ADCS * 36ul + 10)
#define BOARD_LEAD_TICKS 90ul
#define BOARD_SHORTEST_TICKS (BOARD_SWEEP_TICKS + BOARD_LEAD_TICKS + 80)
#define BOARD_LATE_TICKS 40ul

#define BOARD_FLASH PROGMEM
#define BOARD_NOINIT __attribute__((section(".noinit")))
#define BOARD_COPY_FLASH(to, from, n) memcpy_P(to, from, n)
#define BOARD_READ_WORD16(from) pgm_read_word(from)
#define BOARD_READ_WORD32(from) pgm_read_dword(from)

#endif
