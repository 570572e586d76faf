/* Cortex-M3: channels, the line's buffers, the lock and the alarm; what a chip has of its own is in its folder. */
#include "board.h"

#include "core.h"
#include "cortex_m3.h"

#ifndef ID
#define ID ""
#endif

/* The Due's pins: its converter spans 0 to 3.3 V, its DACs a sixth to five sixths of that. */
#define DAC(pin) {KIND_DAC, UNIT_VOLT, 4096, 0.55f, 2.75f, 0, 0, 4095, pin}
#define PWM(pin) {KIND_PWM, UNIT_VOLT, 256, 0.0f, 3.3f, 0, 0, 255, pin}
#define DIGITAL(pin) {KIND_DIGITAL, UNIT_NONE, 2, 0.0f, 1.0f, 0, 0, 1, pin}
#define AD5220(name) {KIND_POTENTIOMETER, UNIT_OHM, 128, 0.0f, 10000.0f, 0, 0, 127, name}
#define ADC_INPUT(pin) {KIND_ADC, UNIT_VOLT, 4096, 0.0f, 3.2991943359375f, 0, 0, 4095, pin}

const struct channel board_outputs[BOARD_OUTPUTS] = {
    DAC("DAC0"), DAC("DAC1"), PWM("D6"), PWM("D7"), DIGITAL("D3"), DIGITAL("D5"), AD5220("pot0"), AD5220("pot1"),
};
const struct channel board_inputs[BOARD_INPUTS] = {
    ADC_INPUT("A0"), ADC_INPUT("A1"), ADC_INPUT("A2"), ADC_INPUT("A3"),
    ADC_INPUT("A4"), ADC_INPUT("A5"), ADC_INPUT("A6"), ADC_INPUT("A7"),
};

uint8_t board_id(char *to) {
    memcpy(to, ID, sizeof ID - 1);
    return sizeof ID - 1;
}

_Static_assert(sizeof ID <= 17, "ID has at most 16 characters");

/* --- the line --- */

static volatile uint8_t ring[256];
static volatile uint8_t head, tail;
static volatile uint16_t overruns;
static const uint8_t *volatile sending;
static volatile uint8_t left;
static volatile bool woken;       /* an interrupt came since core_poll began */

void line_overrun(void) {
    if (overruns != 0xFFFF) overruns++;
}

bool line_has_room(void) { return (uint8_t)(head + 1) != tail; }

void line_received(uint8_t byte) {
    uint8_t next = head + 1;

    woken = true;
    if (next == tail) {
        line_overrun();
        return;
    }
    ring[head] = byte;
    head = next;
}

void line_ready_to_send(void) {
    woken = true;
    if (left) {
        left--;
        chip_send_byte(*sending++);
    }
    if (!left) chip_send_ready(false);
}

uint8_t board_received(const uint8_t **bytes) {
    uint8_t at = tail;

    *bytes = (const uint8_t *)ring + at;
    return head >= at ? head - at : (uint8_t)(256 - at);
}

void board_took(uint8_t count) {
    tail += count;
    chip_took();
}

bool board_sending(void) { return left != 0; }

void board_send(const uint8_t *bytes, uint8_t count) {
    sending = bytes;
    left = count;
    chip_send_ready(true);
}

uint16_t board_overruns(void) { return overruns; }

/* --- the alarm: an interrupt that those of the line come through, and that the lock holds back --- */

static uint8_t locks;
static uint32_t alarm_at;
static bool alarm_set;

void board_lock(void) {
    NVIC_DISABLE(ALARM_IRQ);
    __asm__ volatile("dsb \n isb" ::: "memory");
    locks++;
}

void board_unlock(void) {
    __asm__ volatile("" ::: "memory");
    if (!--locks) NVIC_ENABLE(ALARM_IRQ);
}

void board_alarm(uint32_t when) {
    alarm_at = when;
    alarm_set = true;
    chip_alarm(when);
}

/* Every 40 ms, whatever became of the alarm. */
void tick_handler(void) { NVIC_RAISE(ALARM_IRQ); }

void alarm_passed(void) {
    bool early = alarm_set && (int32_t)(board_ticks() - alarm_at) < 0;

    chip_alarm_off();
    woken = true;
    if (!early) alarm_set = false;
    core_time();
    if (early && alarm_set) chip_alarm(alarm_at);
}

/* --- the whole --- */

int main(void) {
    head = tail = left = 0;
    locks = 1;
    NVIC_PRIORITY(ALARM_IRQ, 0x80);
    chip_begin();
    core_begin();
    SYSTICK_RELOAD = CHIP_CLOCK / 25;
    SYSTICK_CTRL = 7;             /* on, with its interrupt, at the chip's own clock */
    board_unlock();
    for (;;) {
        woken = false;
        core_poll();
        __asm__ volatile("cpsid i" ::: "memory");
        if (!woken && head == tail) __asm__ volatile("wfi");   /* wakes with interrupts held back, too */
        __asm__ volatile("cpsie i" ::: "memory");
    }
}
