/* ATmega328P and ATmega2560 without an Arduino library: UART, timers, converter, comparator, digital potentiometers.
 *
 *             Uno, Nano    Mega
 * line        D0, D1       D0, D1     UART 0, through USB
 * step        D2           D2         changes with every step that is applied: for an oscilloscope
 * PWM         D3, D5       D3, D5     31 kHz, 8 bits: put a low-pass filter behind it
 * digital     D4, D8       D4, D7
 * AD5220      CS D9, D10   CS D9, D8  their clock and up/down are the clock and output of SPI,
 *             D13, D11     D52, D51
 * comparator  D6 over D7   none
 * ADC         A0 to A5     A0 to A15  against the supply, 13 us a conversion
 */
#include "board.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>
#include <string.h>

#include "core.h"

#ifndef BAUD
#define BAUD 1000000ul
#endif
#ifndef ID
#define ID ""
#endif

#define PWM(pin) {KIND_PWM, UNIT_VOLT, 256, 0.0f, 5.0f, 0, 0, 255, pin}
#define DIGITAL(pin) {KIND_DIGITAL, UNIT_NONE, 2, 0.0f, 1.0f, 0, 0, 1, pin}
#define AD5220(name) {KIND_POTENTIOMETER, UNIT_OHM, 128, 0.0f, 10000.0f, 0, 0, 127, name}
#define ADC_INPUT(pin) {KIND_ADC, UNIT_VOLT, 1024, 0.0f, 4.9951171875f, 0, 0, 1023, pin}

#if defined(__AVR_ATmega328P__)
#define RX_VECTOR USART_RX_vect
#define UDRE_VECTOR USART_UDRE_vect
#define STEP_PORT PORTD
#define STEP_BIT 2
#define DIGITAL_A_PORT PORTD
#define DIGITAL_A_BIT 4
#define DIGITAL_B_PORT PORTB
#define DIGITAL_B_BIT 0
#define DIGITAL_B_NAME "D8"
#define PWM_A OCR2B
#define PWM_B OCR0B
#define POT_PORT PORTB
#define POT_CLOCK 5
#define POT_UP 3
#define SELECT_PORT PORTB
#define SELECT_0 1
#define SELECT_1 2
#else
#define RX_VECTOR USART0_RX_vect
#define UDRE_VECTOR USART0_UDRE_vect
#define STEP_PORT PORTE
#define STEP_BIT 4
#define DIGITAL_A_PORT PORTG
#define DIGITAL_A_BIT 5
#define DIGITAL_B_PORT PORTH
#define DIGITAL_B_BIT 4
#define DIGITAL_B_NAME "D7"
#define PWM_A OCR3C
#define PWM_B OCR3A
#define POT_PORT PORTB
#define POT_CLOCK 1
#define POT_UP 2
#define SELECT_PORT PORTH
#define SELECT_0 6
#define SELECT_1 5
#endif

const struct channel board_outputs[BOARD_OUTPUTS] PROGMEM = {
    PWM("D3"), PWM("D5"), DIGITAL("D4"), DIGITAL(DIGITAL_B_NAME), AD5220("pot0"), AD5220("pot1"),
};
const struct channel board_inputs[BOARD_INPUTS] PROGMEM = {
    ADC_INPUT("A0"), ADC_INPUT("A1"), ADC_INPUT("A2"), ADC_INPUT("A3"), ADC_INPUT("A4"), ADC_INPUT("A5"),
#if BOARD_ADCS > 6
    ADC_INPUT("A6"), ADC_INPUT("A7"), ADC_INPUT("A8"), ADC_INPUT("A9"), ADC_INPUT("A10"), ADC_INPUT("A11"),
    ADC_INPUT("A12"), ADC_INPUT("A13"), ADC_INPUT("A14"), ADC_INPUT("A15"),
#endif
#if BOARD_COMPARATORS
    {KIND_COMPARATOR, UNIT_NONE, 2, 0.0f, 1.0f, 0, 0, 1, "cmp"},
#endif
};

static const char id[17] PROGMEM = ID;

/* --- the line --- */

/* The two interrupts of the line come with every byte, both ways at once: they are written out, with their counts in
 * registers that one instruction reads, since what the compiler makes takes half as long again. */
#define RING_HEAD GPIOR0
#define LEFT GPIOR1               /* bytes that are still to be sent */
static volatile uint8_t ring[128];
static volatile uint8_t ring_tail;
static volatile uint16_t overruns;
static const uint8_t *volatile sending;
static bool sent;                 /* a frame, and the main loop has not looked since for another */

ISR(RX_VECTOR, ISR_NAKED) {
    __asm__ volatile(
        "push r24 \n in r24, __SREG__ \n push r24 \n push r30 \n push r31 \n"
        "in r30, %[head] \n ldi r31, 0 \n subi r30, lo8(-(%[ring])) \n sbci r31, hi8(-(%[ring])) \n"
        "lds r24, %[data] \n st Z, r24 \n"          /* one place is always free for it */
        "in r24, %[head] \n inc r24 \n andi r24, %[mask] \n"
        "lds r30, %[tail] \n cp r24, r30 \n breq 1f \n"
        "out %[head], r24 \n"
        "2: pop r31 \n pop r30 \n pop r24 \n out __SREG__, r24 \n pop r24 \n reti \n"
        "1: lds r30, %[over] \n lds r31, %[over]+1 \n adiw r30, 1 \n breq 2b \n"
        "sts %[over]+1, r31 \n sts %[over], r30 \n rjmp 2b \n" ::[head] "I"(_SFR_IO_ADDR(RING_HEAD)),
        [ring] "i"(ring), [data] "i"(_SFR_MEM_ADDR(UDR0)), [mask] "M"(sizeof ring - 1), [tail] "i"(&ring_tail),
        [over] "i"(&overruns));
}

ISR(UDRE_VECTOR, ISR_NAKED) {
    __asm__ volatile(
        "push r24 \n in r24, __SREG__ \n push r24 \n push r30 \n push r31 \n"
        "lds r30, %[from] \n lds r31, %[from]+1 \n ld r24, Z+ \n sts %[data], r24 \n"
        "sts %[from]+1, r31 \n sts %[from], r30 \n"
        "in r24, %[left] \n dec r24 \n out %[left], r24 \n brne 1f \n"
        "lds r24, %[control] \n andi r24, %[off] \n sts %[control], r24 \n"
        "1: pop r31 \n pop r30 \n pop r24 \n out __SREG__, r24 \n pop r24 \n reti \n" ::[from] "i"(&sending),
        [data] "i"(_SFR_MEM_ADDR(UDR0)), [left] "I"(_SFR_IO_ADDR(LEFT)), [control] "i"(_SFR_MEM_ADDR(UCSR0B)),
        [off] "n"(0xFF - _BV(UDRIE0)));
}

uint8_t board_received(const uint8_t **bytes) {
    uint8_t head = RING_HEAD, tail = ring_tail;

    *bytes = (const uint8_t *)ring + tail;
    return (uint8_t)(head >= tail ? head : sizeof ring) - tail;
}

void board_took(uint8_t count) { ring_tail = (ring_tail + count) & (sizeof ring - 1); }

bool board_sending(void) { return LEFT != 0; }

void board_send(const uint8_t *bytes, uint8_t count) {
    sent = true;
    sending = bytes;
    LEFT = count;
    UCSR0B |= _BV(UDRIE0);
}

uint16_t board_overruns(void) {
    uint8_t before = SREG;
    uint16_t count;

    cli();
    count = overruns;
    SREG = before;
    return count;
}

uint8_t board_id(char *to) {
    uint8_t length = 0;

    memcpy_P(to, id, 16);
    while (length < 16 && to[length] > ' ' && to[length] < 127) length++;
    return length;
}

/* --- the clock: timer 1, two ticks a microsecond, and how often it has wrapped --- */

static volatile uint16_t wraps;
static volatile uint8_t locks;    /* how often core_time is locked out */
static volatile bool missed;      /* it should have been called meanwhile */
static volatile bool timed;       /* it has been called since the main loop asked last */

uint32_t board_ticks(void) {
    uint8_t before = SREG;
    uint16_t low, high;

    cli();
    /* An emulator raises the flag of a wrap a few cycles after it: 2 us without a reading, every 33 ms. */
    do low = TCNT1; while (low < 4);
    high = wraps;
    if (TIFR1 & _BV(TOV1) && low < 0x8000) high++;
    SREG = before;
    return (uint32_t)high << 16 | low;
}

/* The compare register reaches 32 ms ahead; a time that is farther away is looked at again with the next wrap.
 *
 * The flag of an earlier match stays: at worst core_time is called once too often. libsimavr 1.6 takes a write to TIFR1
 * that clears one flag as one that clears them all; a wrap that was waiting would be lost, and the clock 33 ms slow. */
static void match_at(uint32_t when) {
    uint8_t before = SREG;
    uint32_t now, ahead;
    uint16_t at;

    cli();
    now = board_ticks();
    ahead = when - now;
    if ((int32_t)ahead < 0) ahead = 0;
    if (ahead > 60000) ahead = 60000;
    at = (uint16_t)now + (uint16_t)ahead;
    /* A match is missed if the counter is there already; this write takes up to 8 ticks. */
    if (ahead < 32) {
        uint16_t soonest = TCNT1 + 8;
        if ((int16_t)(at - soonest) < 0) at = soonest;
    }
    OCR1A = at;
    SREG = before;
}

void board_alarm(uint32_t when) { match_at(when); }

void board_lock(void) { locks++; }

void board_unlock(void) {
    if (!--locks && missed) {
        missed = false;
        match_at(board_ticks());
    }
}

/* Other interrupts come through, so that no byte is lost meanwhile. One that comes while core_time is locked out is not
 * held back by its mask, since not every emulator raises it afterwards: it is noted, and comes again. */
static void call_core(void) {
    if (locks) {
        missed = true;
        return;
    }
    board_lock();
    core_time();
    timed = true;
    cli();                        /* until the end: one that is due at once must not come on top of this one */
    board_unlock();
}

ISR(TIMER1_COMPA_vect, ISR_NOBLOCK) { call_core(); }

/* This one comes every 33 ms whatever becomes of a match: core_time is called, and asks again for the time it needs. */
ISR(TIMER1_OVF_vect) {
    wraps++;
    sei();
    call_core();
}

/* --- inputs --- */

static volatile uint8_t readings[2 * BOARD_ADCS];
static volatile uint8_t conversion = BOARD_ADCS;

static void choose_input(uint8_t k) {
    ADMUX = _BV(REFS0) | (k & 7);
#if BOARD_ADCS > 8
    ADCSRB = k & 8 ? _BV(MUX5) : 0;
#endif
}

void board_sample(void) {
    conversion = 0;
    choose_input(0);
    ADCSRA |= _BV(ADSC);
}

ISR(ADC_vect) {
    uint8_t k = conversion;

    readings[2 * k] = ADCL;
    readings[2 * k + 1] = ADCH;
    conversion = ++k;
    if (k == BOARD_ADCS) return;
    choose_input(k);
    ADCSRA |= _BV(ADSC);
}

bool board_sampled(void) { return conversion == BOARD_ADCS; }

void board_readings(uint8_t *levels) {
    for (uint8_t k = 0; k < sizeof readings; k++) *levels++ = readings[k];
#if BOARD_COMPARATORS
    *levels = ACSR & _BV(ACO) ? 1 : 0;
#endif
}

/* --- outputs --- */

static uint8_t wipers[2];

/* An AD5220 has no register: it counts one up or down at each falling edge of its clock, and stays at its ends. */
static void turn(uint8_t select, uint8_t steps, bool up) {
    if (up) {
        POT_PORT |= _BV(POT_UP);
    } else {
        POT_PORT &= (uint8_t)~_BV(POT_UP);
    }
    SELECT_PORT &= (uint8_t)~_BV(select);
    while (steps--) {
        POT_PORT &= (uint8_t)~_BV(POT_CLOCK);
        POT_PORT |= _BV(POT_CLOCK);
    }
    SELECT_PORT |= _BV(select);
}

static void set_wiper(uint8_t k, uint8_t level) {
    uint8_t before = wipers[k];

    if (level == before) return;
    wipers[k] = level;
    turn(k ? SELECT_1 : SELECT_0, level > before ? level - before : before - level, level > before);
}

void board_apply(const uint8_t *levels) {
    PWM_A = levels[0];
    PWM_B = levels[1];
    if (levels[2]) DIGITAL_A_PORT |= _BV(DIGITAL_A_BIT);
    else DIGITAL_A_PORT &= (uint8_t)~_BV(DIGITAL_A_BIT);
    if (levels[3]) DIGITAL_B_PORT |= _BV(DIGITAL_B_BIT);
    else DIGITAL_B_PORT &= (uint8_t)~_BV(DIGITAL_B_BIT);
    set_wiper(0, levels[4]);
    set_wiper(1, levels[5]);
    STEP_PORT ^= _BV(STEP_BIT);
}

static void begin_outputs(void) {
#if defined(__AVR_ATmega328P__)
    DDRD |= _BV(2) | _BV(3) | _BV(4) | _BV(5);
    PORTB |= _BV(SELECT_0) | _BV(SELECT_1) | _BV(POT_CLOCK);
    DDRB |= _BV(0) | _BV(SELECT_0) | _BV(SELECT_1) | _BV(POT_UP) | _BV(POT_CLOCK);
    TIMSK0 = 0;                   /* an Arduino's clock of milliseconds, which the sketch does without */
    TCCR0A = _BV(COM0B1) | _BV(WGM00);
    TCCR0B = _BV(CS00);
    TCCR2A = _BV(COM2B1) | _BV(WGM20);
    TCCR2B = _BV(CS20);
#else
    PORTB |= _BV(POT_CLOCK);
    PORTH |= _BV(SELECT_0) | _BV(SELECT_1);
    DDRB |= _BV(POT_UP) | _BV(POT_CLOCK) | _BV(0);
    DDRH |= _BV(4) | _BV(SELECT_0) | _BV(SELECT_1);
    DDRE |= _BV(3) | _BV(4) | _BV(5);
    DDRG |= _BV(5);
    TIMSK0 = 0;
    TCCR3A = _BV(COM3A1) | _BV(COM3C1) | _BV(WGM30);
    TCCR3B = _BV(CS30);
#endif
    for (uint8_t k = 0; k < 2; k++) turn(k ? SELECT_1 : SELECT_0, 127, false);
}

/* --- the whole --- */

void firmware_begin(void) {
    cli();
    MCUSR = 0;                    /* or a reset by the watchdog keeps it at 15 ms */
    wdt_enable(WDTO_250MS);
    RING_HEAD = ring_tail = LEFT = 0;
    begin_outputs();
    UCSR0A = _BV(U2X0);
    UBRR0 = (uint16_t)((F_CPU + 4 * BAUD) / (8 * BAUD) - 1);
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    ADCSRA = _BV(ADEN) | _BV(ADIE) | _BV(ADPS2);   /* 16 MHz / 16 */
    TCCR1A = 0;
    TCCR1B = _BV(CS11);
    TIMSK1 = _BV(TOIE1) | _BV(OCIE1A);
    SMCR = _BV(SE);               /* idle: everything but the program goes on */
    locks = 1;
    core_begin();
    board_unlock();
    sei();
}

/* The last resort is the chip's own watchdog, with a clock of its own: it resets the chip, so that the outputs rest, if the
 * main loop hangs, or if neither of the timer's interrupts calls core_time any more. */
void firmware_poll(void) {
    if (timed) wdt_reset();
    timed = false;
    if (!LEFT) sent = false;
    core_poll();
    cli();
    /* Sleep until an interrupt gives core_poll something to do, unless one has done so meanwhile. */
    if (RING_HEAD == ring_tail && !timed && (LEFT || !sent)) {
        sei();                    /* the instruction after it comes before any interrupt */
        sleep_cpu();
    }
    sei();
}
