/* A readout on the board: the readings of a sample's steps are its features, and the class is found here.
 *
 * `make READOUT=/path/NAME.c` builds one in, as readout.to_c(path, X, bits=...) writes it, of features in 16 bits:
 * converter levels. Without it these functions do nothing.
 */
#ifndef INMATERIA_READOUT_H
#define INMATERIA_READOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"

#ifdef READOUT_HEADER
#include READOUT_HEADER
#define HAS_READOUT 1
#if READOUT_FEATURES % BOARD_FEATURES || READOUT_FEATURES > 65535 || READOUT_OUTPUTS > 256
#error "a readout has the same number of features from each step, and at most 256 classes"
#endif
#else
#define HAS_READOUT 0
#endif

enum sample_state {
    SAMPLE_NONE,                  /* none has begun in this session */
    SAMPLE_GATHERING,             /* its steps are under way */
    SAMPLE_WHOLE,                 /* all its features are there */
    SAMPLE_KNOWN                  /* so is its class */
};

struct sample {
    uint8_t state;
    uint16_t number;              /* of the command that began it */
    uint8_t class;
};

#if HAS_READOUT
/* Forget the sample that is under way or known. */
void readout_forget(void);

/* Take the readings of a step; `number` is that of its command. The first step of a sample forgets the one before. */
void readout_take(const uint8_t *readings, uint16_t number, bool begins);

/* Find the class of a sample that is whole; called from the main loop, while steps go on. */
void readout_poll(void);

/* The last sample. */
struct sample readout_sample(void);
#else
static inline void readout_forget(void) {}
static inline void readout_take(const uint8_t *readings, uint16_t number, bool begins) {
    (void)readings, (void)number, (void)begins;
}
static inline void readout_poll(void) {}
static inline struct sample readout_sample(void) { return (struct sample){SAMPLE_NONE, 0, 0}; }
#endif

#endif
