/* The queue of steps: commands in slots, applied one step after another in time, their answers kept until acknowledged. */
#ifndef INMATERIA_STEPS_H
#define INMATERIA_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"

#define SLOT_LATE 0x80            /* flag: a step of it began late */

enum slot_state { SLOT_FREE, SLOT_QUEUED, SLOT_DONE, SLOT_SENT };

/* A command that is under way. Its drive stands at the end of data and its readings are written from the beginning, so
 * that each reading overwrites only drive that has been applied. */
struct slot {
    volatile uint8_t state;
    uint8_t steps, flags;
    uint32_t period;              /* duration of a step, ticks */
    uint32_t start;               /* when its first step began, ticks */
    uint8_t data[BOARD_SLOT_BYTES];
};

/* How far a session came; a reset leaves it alone. `begun` is counted before a step is applied and `done` after. */
struct record {
    uint16_t session, check;      /* check = ~session where the record is valid */
    uint32_t begun, done;
};

struct counters {
    uint32_t late;                /* steps that began late */
    uint16_t jitter;              /* largest lateness of a step that was not late, ticks; saturates */
};

extern struct record record;
extern struct counters counters;

/* Forget everything and bring the outputs to rest; then the next command is number 0. */
void steps_stop(void);

/* Free the slots of numbers below `base`, whose answers have arrived. */
void steps_acknowledge(uint16_t base);

/* The lowest number that is not acknowledged. */
uint16_t steps_base(void);

/* The slot of a number, or 0 if it is not one of the window. */
struct slot *steps_slot(uint16_t number);

/* Begin to apply steps if any are queued and none is under way. */
void steps_kick(void);

/* Whether a step's drive is within the board's limits. */
bool steps_within_limits(const uint8_t *levels);

/* The part of core_time that concerns steps. */
void steps_time(void);

#endif
