/* A readout on the board: the readings of a sample's steps are its features, and the class is found here. */
#include "readout.h"

#include <string.h>

#if HAS_READOUT

static int16_t features[READOUT_FEATURES];
static uint16_t gathered;
static volatile struct sample sample;

void readout_forget(void) {
    sample.state = SAMPLE_NONE;
}

/* Levels are little-endian, as these chips are. */
void readout_take(const uint8_t *readings, uint16_t number, bool begins) {
    if (begins) {
        sample.state = SAMPLE_GATHERING;
        sample.number = number;
        gathered = 0;
    }
    if (sample.state != SAMPLE_GATHERING) return;
    memcpy(features + gathered, readings, 2 * BOARD_FEATURES);
    gathered += BOARD_FEATURES;
    if (gathered == READOUT_FEATURES) sample.state = SAMPLE_WHOLE;
}

struct sample readout_sample(void) {
    struct sample now;

    board_lock();
    now = sample;
    board_unlock();
    return now;
}

/* A sample that begins meanwhile overwrites the features: then what was found is of neither, and is dropped. */
void readout_poll(void) {
    struct sample before = readout_sample();
    uint8_t found;

    if (before.state != SAMPLE_WHOLE) return;
    found = (uint8_t)READOUT_CLASS(features);
    board_lock();
    if (sample.state == SAMPLE_WHOLE && sample.number == before.number) {
        sample.class = found;
        sample.state = SAMPLE_KNOWN;
    }
    board_unlock();
}

#endif
