/* What a board layer provides to the core. Its constants stand in its own board_config.h:
 *
 * BOARD_OUTPUTS, BOARD_INPUTS     channels that a step drives, and that it reads
 * BOARD_STEP_BYTES                bytes of one step's drive: 1 a channel with at most 256 levels, else 2
 * BOARD_READING_BYTES             bytes of one step's readings, likewise
 * BOARD_FEATURES                  inputs, the first ones, that a readout on the board reads: of two bytes each
 * BOARD_SLOTS                     commands that may be under way at once, a power of 2, at most 16
 * BOARD_SLOT_BYTES                most bytes of drive, and of readings, in one command; at most 200
 * BOARD_TICKS_PER_SECOND          of board_ticks
 * BOARD_SWEEP_TICKS               time that one reading of all inputs takes, rounded up
 * BOARD_LEAD_TICKS                how long before a step core_time is called, which then waits for its time
 * BOARD_SHORTEST_TICKS            shortest step
 * BOARD_LATE_TICKS                a step that begins so much after its time counts as late
 * BOARD_NAME                      text of at most 15 characters
 * BOARD_FLASH, BOARD_NOINIT       attributes: constants in flash, variables that a reset leaves alone
 * BOARD_COPY_FLASH(to, from, n), BOARD_READ_WORD16(from), BOARD_READ_WORD32(from)   reads of such constants
 */
#ifndef INMATERIA_BOARD_H
#define INMATERIA_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "board_config.h"

enum unit { UNIT_NONE, UNIT_VOLT, UNIT_OHM, UNIT_AMPERE };
enum kind { KIND_ADC, KIND_COMPARATOR, KIND_PWM, KIND_DAC, KIND_DIGITAL, KIND_POTENTIOMETER };

/* One channel. Level k of it is low + k * (high - low) / (levels - 1), in its unit. */
struct channel {
    uint8_t kind, unit;
    uint16_t levels;
    float low, high;
    uint16_t rest;                /* level at rest; of outputs */
    uint16_t lowest, highest;     /* levels that a step may ask for: the board's own limits */
    char name[8];                 /* filled up with zeros */
};

extern const struct channel board_outputs[BOARD_OUTPUTS] BOARD_FLASH;
extern const struct channel board_inputs[BOARD_INPUTS] BOARD_FLASH;

/* A free-running clock that wraps at 2^32. */
uint32_t board_ticks(void);

/* Call core_time at that time, or at once if it has passed. Besides, core_time is called at least every 50 ms by something
 * that nothing here sets or stops, so that a lost alarm makes a step late and no more. */
void board_alarm(uint32_t when);

/* Between these two core_time is not called. */
void board_lock(void);
void board_unlock(void);

/* Set all outputs to the levels of a step, as they stand in its command; all within the limits. */
void board_apply(const uint8_t *levels);

/* Begin to read all inputs; board_readings copies the levels, once board_sampled says that all have been read. */
void board_sample(void);
bool board_sampled(void);
void board_readings(uint8_t *levels);

/* The serial line. board_received gives the bytes that lie ready in one piece, and their number; board_took frees as many.
 * board_send takes a buffer that stays as it is while board_sending is true. */
uint8_t board_received(const uint8_t **bytes);
void board_took(uint8_t count);
bool board_sending(void);
void board_send(const uint8_t *bytes, uint8_t count);

/* Bytes that were lost because they came faster than they were taken; saturates. */
uint16_t board_overruns(void);

/* Copy the board's unique id (at most 16 characters) and return its length; 0 if it has none. */
uint8_t board_id(char *id);

#endif
