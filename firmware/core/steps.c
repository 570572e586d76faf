/* The queue of steps: commands in slots, applied one step after another in time, their answers kept until acknowledged. */
#include "steps.h"

#include "core.h"
#include "readout.h"

#define SLOT(number) (&slots[(number) & (BOARD_SLOTS - 1)])

BOARD_NOINIT struct record record;
struct counters counters;

static struct slot slots[BOARD_SLOTS];
static uint16_t base;             /* lowest number that is not acknowledged */

/* While a phase other than PHASE_IDLE lasts, these belong to core_time. */
static volatile enum { PHASE_IDLE, PHASE_EDGE, PHASE_SAMPLE } phase;
static uint16_t current;          /* number of the command whose step is held, or that comes next */
static uint8_t step;              /* of that command */
static bool holding;              /* a step is held, and not yet answered */
static uint32_t when;             /* of the next thing to do */
static uint32_t edge;             /* end of the step that is held or was held last */
static bool edge_passed;          /* since then the clock may have wrapped */

static const uint8_t *drive_of(const struct slot *slot, uint8_t k) {
    return slot->data + BOARD_SLOT_BYTES - (uint16_t)(slot->steps - k) * BOARD_STEP_BYTES;
}

void steps_stop(void) {
    uint8_t levels[BOARD_STEP_BYTES], at = 0;

    board_lock();
    phase = PHASE_IDLE;
    holding = false;
    edge_passed = true;
    readout_forget();
    current = base = 0;
    step = 0;
    for (uint8_t k = 0; k < BOARD_SLOTS; k++) slots[k].state = SLOT_FREE;
    for (uint8_t k = 0; k < BOARD_OUTPUTS; k++) {
        uint16_t rest = BOARD_READ_WORD16(&board_outputs[k].rest);

        levels[at++] = (uint8_t)rest;
        if (BOARD_READ_WORD16(&board_outputs[k].levels) > 256) levels[at++] = (uint8_t)(rest >> 8);
    }
    board_apply(levels);
    board_unlock();
}

uint16_t steps_base(void) { return base; }

void steps_acknowledge(uint16_t upto) {
    if ((uint16_t)(upto - base) > BOARD_SLOTS) return;
    while (base != upto && SLOT(base)->state >= SLOT_DONE) {
        SLOT(base)->state = SLOT_FREE;
        base++;
    }
}

struct slot *steps_slot(uint16_t number) {
    return (uint16_t)(number - base) < BOARD_SLOTS ? SLOT(number) : 0;
}

bool steps_within_limits(const uint8_t *levels) {
    for (uint8_t k = 0; k < BOARD_OUTPUTS; k++) {
        uint16_t level = *levels++;

        if (BOARD_READ_WORD16(&board_outputs[k].levels) > 256) level |= (uint16_t)*levels++ << 8;
        if (level < BOARD_READ_WORD16(&board_outputs[k].lowest)) return false;
        if (level > BOARD_READ_WORD16(&board_outputs[k].highest)) return false;
    }
    return true;
}

void steps_kick(void) {
    board_lock();
    if (phase == PHASE_IDLE) {
        uint32_t now = board_ticks();
        struct slot *slot = SLOT(current);

        if ((int32_t)(now - edge) > 0) edge_passed = true;
        if (slot->state == SLOT_QUEUED) { /* no older number is: they have been applied */
            bool first = slot->flags & STEPS_FIRST;

            if (edge_passed && !first) {
                counters.late++;
                slot->flags |= SLOT_LATE;
            }
            /* It is given the time that beginning takes, or it would count as late once more. */
            if (edge_passed || (first && (int32_t)(edge - now) < (int32_t)BOARD_LEAD_TICKS)) {
                edge = now + BOARD_LEAD_TICKS;
            }
            edge_passed = false;
            when = edge;
            phase = PHASE_EDGE;
            board_alarm(when - BOARD_LEAD_TICKS);
        }
    }
    board_unlock();
}

/* The end of the step that is held, if any, and the beginning of the next, if it has come. */
static void pass_edge(void) {
    struct slot *held = SLOT(current), *next = held;
    uint8_t at = step;

    if (holding) {
        while (!board_sampled()) {
            if ((int32_t)(board_ticks() - when) > 0) {   /* it is late anyway: let others run */
                board_alarm(when);
                return;
            }
        }
        if (++at == held->steps) {
            at = 0;
            next = SLOT(current + 1);
        }
    }
    bool begins = next->state == SLOT_QUEUED;
    if (begins) {
        uint32_t now, lateness;

        do now = board_ticks(); while ((int32_t)(now - when) < 0);
        lateness = now - when;
        record.begun++;
        board_apply(drive_of(next, at));
        record.done++;
        if (lateness > BOARD_LATE_TICKS) {
            counters.late++;
            next->flags |= SLOT_LATE;
            when = now;           /* no step is made shorter to catch up */
        } else if (lateness > counters.jitter) {
            counters.jitter = (uint16_t)lateness;
        }
        if (at == 0) next->start = when;
    }
    if (holding) {
        uint8_t *readings = held->data + (uint16_t)step * BOARD_READING_BYTES;

        board_readings(readings);
        readout_take(readings, current, step == 0 && held->flags & STEPS_SAMPLE);
        if (at == 0) {
            current++;
            held->state = SLOT_DONE;
        }
    }
    step = at;
    holding = begins;
    if (!begins) {
        edge = when;
        phase = PHASE_IDLE;
        return;
    }
    edge = when + next->period;
    when = edge - BOARD_LEAD_TICKS - BOARD_SWEEP_TICKS;
    phase = PHASE_SAMPLE;
    board_alarm(when);
}

/* The edge is looked forward to: what takes time is done before it, and the rest is waiting. */
void steps_time(void) {
    uint32_t from = phase == PHASE_EDGE ? when - BOARD_LEAD_TICKS : when;

    if (phase == PHASE_IDLE) return;
    if ((int32_t)(board_ticks() - from) < 0) {
        board_alarm(from);
    } else if (phase == PHASE_SAMPLE) {
        board_sample();
        when = edge;
        phase = PHASE_EDGE;
        board_alarm(when - BOARD_LEAD_TICKS);
    } else {
        pass_edge();
    }
}
