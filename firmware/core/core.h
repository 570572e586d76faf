/* The firmware without its hardware: frames, sessions, numbered commands, steps in time, watchdog and limits.
 *
 * docs/board_protocol.md describes what goes over the line. A board layer calls core_begin once, core_poll as often as it
 * can, and core_time from its timer; everything it must provide is in board.h.
 */
#ifndef INMATERIA_CORE_H
#define INMATERIA_CORE_H

#include <stdint.h>

#define PROTOCOL_VERSION 1
#define FIRMWARE_VERSION 2

enum type {
    TYPE_OPEN = 1,
    TYPE_DESCRIBE = 2,
    TYPE_STEPS = 3,
    TYPE_STATUS = 4,
    TYPE_CLOSE = 5,
    TYPE_CLASS = 6,
    TYPE_ANSWER = 0x80,           /* added to the type that is answered */
    TYPE_NO_SESSION = 0xFF
};

enum end {
    END_NONE,                     /* the session goes on, or there was none since power came */
    END_RESET,
    END_WATCHDOG,
    END_CLOSED,
    END_REFUSED,
    END_BUSY                      /* only in an answer: another session holds the board */
};

/* Flags of a command and of its answer. */
#define STEPS_FIRST 1             /* begins a stimulus: need not follow on the step before */
#define STEPS_SAMPLE 2            /* begins a sample for the readout */
#define ANSWER_LATE 1             /* a step of it began late */

void core_begin(void);
void core_poll(void);
void core_time(void);

#endif
