/* A board without hardware, for tests of the core: its line, its clock and its outputs are memory. */
#include "board.h"

#include "core.h"
#include "steps.h"

#define MOST 65536

const struct channel board_outputs[BOARD_OUTPUTS] = {
    {KIND_PWM, UNIT_VOLT, 256, 0.0f, 5.0f, 128, 10, 250, "a"},
    {KIND_DIGITAL, UNIT_NONE, 2, 0.0f, 1.0f, 0, 0, 1, "b"},
    {KIND_DAC, UNIT_VOLT, 4096, -10.0f, 10.0f, 2048, 0, 4095, "c"},
};
const struct channel board_inputs[BOARD_INPUTS] = {
    {KIND_ADC, UNIT_VOLT, 1024, 0.0f, 4.9951171875f, 0, 0, 1023, "in"},
    {KIND_COMPARATOR, UNIT_NONE, 2, 0.0f, 1.0f, 0, 0, 1, "cmp"},
};

static uint8_t to_board[MOST], from_board[MOST], applied[MOST][BOARD_STEP_BYTES];
static uint32_t to_count, to_taken, from_count, applied_count;
static uint32_t now, alarm_at, applied_at[MOST];
static uint8_t held[BOARD_STEP_BYTES], read[BOARD_STEP_BYTES];
static bool sampling, line_busy, alarms_lost;
static uint32_t interrupted;      /* ticks that pass when the main loop asks for bytes next, and then core_time is called */

uint32_t board_ticks(void) { return now; }
void board_alarm(uint32_t when) { alarm_at = when; }
void board_lock(void) {}
void board_unlock(void) {}
uint16_t board_overruns(void) { return 0; }
uint8_t board_id(char *id) {
    memcpy(id, "native-1", 8);
    return 8;
}

void board_apply(const uint8_t *levels) {
    memcpy(held, levels, sizeof held);
    if (applied_count < MOST) {
        applied_at[applied_count] = now;
        memcpy(applied[applied_count++], levels, sizeof held);
    }
}

void board_sample(void) {
    sampling = true;
    memcpy(read, held, sizeof read);
}

bool board_sampled(void) { return sampling; }

/* The readings are made of the outputs, so that a test knows them. */
void board_readings(uint8_t *levels) {
    levels[0] = read[0];
    levels[1] = read[3] & 3;
    levels[2] = read[1];
}

uint8_t board_received(const uint8_t **bytes) {
    uint32_t count = to_count - to_taken;

    if (interrupted) {
        now += interrupted;
        interrupted = 0;
        core_time();
    }
    *bytes = to_board + to_taken;
    return count > 255 ? 255 : (uint8_t)count;
}

void board_took(uint8_t count) {
    to_taken += count;
    if (to_taken == to_count) to_taken = to_count = 0;
}

bool board_sending(void) { return line_busy; }

void board_send(const uint8_t *bytes, uint8_t count) {
    if (from_count + count > MOST) return;
    memcpy(from_board + from_count, bytes, count);
    from_count += count;
}

/* What a test calls. */

void native_power_up(uint32_t ticks, bool keep_memory) {
    if (!keep_memory) memset(&record, 0x5A, sizeof record);
    now = ticks;
    alarm_at = ticks + 1000;
    to_count = to_taken = from_count = applied_count = 0;
    sampling = line_busy = alarms_lost = false;
    interrupted = 0;
    core_begin();
}

void native_feed(const uint8_t *bytes, uint32_t count) {
    if (to_count + count > MOST) return;
    memcpy(to_board + to_count, bytes, count);
    to_count += count;
}

void native_line_busy(bool busy) { line_busy = busy; }

/* The timer comes in the middle of the next core_poll, so many ticks later. */
void native_interrupt(uint32_t ticks) { interrupted = ticks; }

/* A fault: core_time is not called any more. */
void native_lose_alarms(void) { alarms_lost = true; }

/* Let so many ticks pass: whatever is due happens on time, and the main loop runs `polls` times after each. */
void native_run(uint32_t ticks, uint32_t polls) {
    for (uint32_t k = 0; k < polls; k++) core_poll();

    uint32_t end = now + ticks;
    while ((int32_t)(end - alarm_at) >= 0) {
        uint32_t at = alarm_at;

        if ((int32_t)(at - now) > 0) now = at;
        alarm_at = now + 10000;   /* as board.h promises, unless core_time asks for an earlier time */
        if (!alarms_lost) core_time();
        for (uint32_t k = 0; k < polls; k++) core_poll();
    }
    now = end;
}

uint32_t native_take(uint8_t *bytes) {
    uint32_t count = from_count;

    memcpy(bytes, from_board, count);
    from_count = 0;
    return count;
}

uint32_t native_applied(uint8_t *levels, uint32_t *at) {
    uint32_t count = applied_count;

    memcpy(levels, applied, count * BOARD_STEP_BYTES);
    memcpy(at, applied_at, count * sizeof *at);
    applied_count = 0;
    return count;
}
