/* The mps2-an385 machine of qemu-system-arm: its UART 0 is the line, its timers are the clock and the alarm.
 *
 * Registers as in ARM's Cortex-M System Design Kit (DDI 0479): APB UART and APB timer. The machine has no analog side: what
 * a step applies and reads goes to the host by semihosting, during which the chip's time stands still.
 */
#include "board.h"
#include "cortex_m3.h"

#define UART_DATA REGISTER(0x40004000ul)
#define UART_STATE REGISTER(0x40004004ul)
#define UART_CTRL REGISTER(0x40004008ul)
#define UART_INT REGISTER(0x4000400Cul)
#define UART_BAUDDIV REGISTER(0x40004010ul)
#define TX_FULL 1u
#define RX_FULL 2u
#define RX_OVERRUN 8u
#define TX_ENABLE 1u
#define RX_ENABLE 2u
#define TX_INTERRUPT 4u
#define RX_INTERRUPT 8u

/* Timer 0 counts down to the alarm, timer 1 all the time. */
#define ALARM_CTRL REGISTER(0x40000000ul)
#define ALARM_VALUE REGISTER(0x40000004ul)
#define ALARM_RELOAD REGISTER(0x40000008ul)
#define ALARM_INT REGISTER(0x4000000Cul)
#define CLOCK_CTRL REGISTER(0x40001000ul)
#define CLOCK_VALUE REGISTER(0x40001004ul)
#define CLOCK_RELOAD REGISTER(0x40001008ul)
#define TIMER_ENABLE 1u
#define TIMER_INTERRUPT 8u

/* --- the bus to the host's physics: files that the host has opened under these names --- */

#define SYS_OPEN 1
#define SYS_WRITE 5
#define SYS_READ 6
#define OPEN_READ 1
#define OPEN_WRITE 5
#define BUS_APPLY 0
#define BUS_SAMPLE 1

static int to_physics = -1, from_physics = -1;
static uint8_t readings[BOARD_READING_BYTES];

static int semihost(int operation, const void *arguments) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int open_file(const char *name, uint32_t mode) {
    uint32_t arguments[3] = {(uint32_t)name, mode, strlen(name)};

    return semihost(SYS_OPEN, arguments);
}

/* Send what happened, when, and the levels of a step: 5 bytes and those. */
static void tell_physics(uint8_t what, const uint8_t *levels) {
    static uint8_t message[5 + BOARD_STEP_BYTES];
    uint32_t now = board_ticks();
    uint32_t arguments[3] = {(uint32_t)to_physics, (uint32_t)message, sizeof message};

    message[0] = what;
    memcpy(message + 1, &now, 4);
    if (levels) memcpy(message + 5, levels, BOARD_STEP_BYTES);
    semihost(SYS_WRITE, arguments);
}

void board_apply(const uint8_t *levels) { tell_physics(BUS_APPLY, levels); }

void board_sample(void) {
    uint32_t arguments[3] = {(uint32_t)from_physics, (uint32_t)readings, sizeof readings};

    tell_physics(BUS_SAMPLE, 0);
    if (semihost(SYS_READ, arguments)) {
        for (;;) {                /* what was not read must not be told */
        }
    }
}

bool board_sampled(void) { return true; }

void board_readings(uint8_t *levels) { memcpy(levels, readings, sizeof readings); }

/* --- the clock --- */

uint32_t board_ticks(void) { return ~CLOCK_VALUE; }

void chip_alarm(uint32_t when) {
    int32_t ahead = (int32_t)(when - board_ticks());

    ALARM_CTRL = 0;
    ALARM_INT = 1;
    ALARM_RELOAD = ALARM_VALUE = ahead > 0 ? (uint32_t)ahead : 1;
    ALARM_CTRL = TIMER_ENABLE | TIMER_INTERRUPT;
}

void chip_alarm_off(void) {
    ALARM_CTRL = 0;
    ALARM_INT = 1;
}

void alarm_handler(void) { alarm_passed(); }

/* --- the line --- */

void received_handler(void) {
    UART_INT = 2;
    if (UART_STATE & RX_OVERRUN) {
        UART_STATE = RX_OVERRUN;
        line_overrun();
    }
    if (!line_has_room()) {
        NVIC_DISABLE(0);
    } else if (UART_STATE & RX_FULL) {
        line_received((uint8_t)UART_DATA);
    }
}

/* QEMU gives the next byte as soon as one is taken, whatever the speed of the line: it is left there while there is no room. */
void chip_took(void) {
    NVIC_RAISE(0);
    NVIC_ENABLE(0);
}

void sent_handler(void) {
    UART_INT = 1;
    if (!(UART_STATE & TX_FULL)) line_ready_to_send();
}

void chip_send_byte(uint8_t byte) { UART_DATA = byte; }

/* The interrupt comes when a byte has gone, so that the first is sent at once. */
void chip_send_ready(bool wanted) {
    if (wanted) NVIC_RAISE(1);
}

void chip_begin(void) {
    CLOCK_RELOAD = CLOCK_VALUE = 0xFFFFFFFFul;
    CLOCK_CTRL = TIMER_ENABLE;
    UART_BAUDDIV = BOARD_TICKS_PER_SECOND / 1000000ul;
    UART_CTRL = TX_ENABLE | RX_ENABLE | TX_INTERRUPT | RX_INTERRUPT;
    to_physics = open_file("to_physics", OPEN_WRITE);
    from_physics = open_file("from_physics", OPEN_READ);
    NVIC_ENABLE(0);
    NVIC_ENABLE(1);
}
