/* SAM3X8E of an Arduino Due: UART, timer, converters, PWM and pins. Compiled, and not yet tried on a board.
 *
 * line        D0, D1            UART, through the programming port
 * step        D2                changes with every step that is applied: for an oscilloscope
 * DAC         DAC0, DAC1        12 bits, .55 to 2.75 V
 * PWM         D6, D7            41 kHz, 8 bits: put a low-pass filter behind it
 * digital     D3, D5
 * AD5220      CS D8, D9; their clock D13, up/down D11
 * ADC         A0 to A7          12 bits, 0 to 3.3 V
 *
 * Addresses and bits are those of the SAM3X/SAM3A data sheet (Atmel 11057), chapter by chapter.
 */
#include "board.h"
#include "cortex_m3.h"

#ifndef BAUD
#define BAUD 250000ul             /* what divides 84 MHz and the 16 MHz of the chip at the USB plug alike */
#endif

/* Embedded flash controllers, clocks, the chip's watchdog */
#define EEFC0_FMR REGISTER(0x400E0A00ul)
#define EEFC1_FMR REGISTER(0x400E0C00ul)
#define PMC_PCER0 REGISTER(0x400E0610ul)
#define PMC_PCER1 REGISTER(0x400E0700ul)
#define CKGR_MOR REGISTER(0x400E0620ul)
#define CKGR_PLLAR REGISTER(0x400E0628ul)
#define PMC_MCKR REGISTER(0x400E0630ul)
#define PMC_SR REGISTER(0x400E0668ul)
#define MOSCXTS (1u << 0)
#define LOCKA (1u << 1)
#define MCKRDY (1u << 3)
#define MOSCSELS (1u << 16)
#define WDT_MR REGISTER(0x400E1A54ul)

/* Parallel ports */
#define PIOA 0x400E0E00ul
#define PIOB 0x400E1000ul
#define PIOC 0x400E1200ul
#define PIOD 0x400E1400ul
#define PIO_PER(port) REGISTER((port) + 0x00)
#define PIO_PDR(port) REGISTER((port) + 0x04)
#define PIO_OER(port) REGISTER((port) + 0x10)
#define PIO_SODR(port) REGISTER((port) + 0x30)
#define PIO_CODR(port) REGISTER((port) + 0x34)
#define PIO_ODSR(port) REGISTER((port) + 0x38)
#define PIO_PUDR(port) REGISTER((port) + 0x60)
#define PIO_ABSR(port) REGISTER((port) + 0x70)

#define STEP_PORT PIOB
#define STEP (1u << 25)
#define D3 (1u << 28)
#define D5 (1u << 25)
#define PWM_PINS (1u << 24 | 1u << 23)
#define SELECT_0 (1u << 22)
#define SELECT_1 (1u << 21)
#define POT_CLOCK_PORT PIOB
#define POT_CLOCK (1u << 27)
#define POT_UP_PORT PIOD
#define POT_UP (1u << 7)
#define LINE_PINS (1u << 8 | 1u << 9)
#define ADC_PINS (1u << 16 | 1u << 24 | 1u << 23 | 1u << 22 | 1u << 6 | 1u << 4 | 1u << 3 | 1u << 2)
#define DAC_PINS (1u << 15 | 1u << 16)

/* Peripherals: their numbers are those of their interrupts and of their clocks */
#define ID_PIOA 11
#define ID_PIOB 12
#define ID_PIOC 13
#define ID_PIOD 14
#define ID_PWM 36
#define ID_ADC 37
#define ID_DACC 38

#define UART_CR REGISTER(0x400E0800ul)
#define UART_MR REGISTER(0x400E0804ul)
#define UART_IER REGISTER(0x400E0808ul)
#define UART_IDR REGISTER(0x400E080Cul)
#define UART_IMR REGISTER(0x400E0810ul)
#define UART_SR REGISTER(0x400E0814ul)
#define UART_RHR REGISTER(0x400E0818ul)
#define UART_THR REGISTER(0x400E081Cul)
#define UART_BRGR REGISTER(0x400E0820ul)
#define RXRDY (1u << 0)
#define TXRDY (1u << 1)
#define OVRE (1u << 5)

/* Timer counter 0, channel 0 */
#define TC_CCR REGISTER(0x40080000ul)
#define TC_CMR REGISTER(0x40080004ul)
#define TC_CV REGISTER(0x40080010ul)
#define TC_RA REGISTER(0x40080014ul)
#define TC_SR REGISTER(0x40080020ul)
#define TC_IER REGISTER(0x40080024ul)
#define TC_IDR REGISTER(0x40080028ul)
#define CPAS (1u << 2)

#define ADC_CR REGISTER(0x400C0000ul)
#define ADC_MR REGISTER(0x400C0004ul)
#define ADC_CHER REGISTER(0x400C0010ul)
#define ADC_ISR REGISTER(0x400C0030ul)
#define ADC_CDR(channel) REGISTER(0x400C0050ul + 4 * (channel))

#define DACC_CR REGISTER(0x400C8000ul)
#define DACC_MR REGISTER(0x400C8004ul)
#define DACC_CHER REGISTER(0x400C8010ul)
#define DACC_CDR REGISTER(0x400C8020ul)
#define DACC_ISR REGISTER(0x400C8030ul)

#define PWM_ENA REGISTER(0x40094004ul)
#define PWM_CMR(channel) REGISTER(0x40094200ul + 32 * (channel))
#define PWM_CDTY(channel) REGISTER(0x40094204ul + 32 * (channel))
#define PWM_CDTYUPD(channel) REGISTER(0x40094208ul + 32 * (channel))
#define PWM_CPRD(channel) REGISTER(0x4009420Cul + 32 * (channel))

/* --- the clock --- */

uint32_t board_ticks(void) { return TC_CV; }

void chip_alarm(uint32_t when) {
    TC_RA = when;
    (void)TC_SR;
    TC_IER = CPAS;
    /* The match is missed if the clock is there already. */
    if ((int32_t)(when - TC_CV) < 4) NVIC_RAISE(ALARM_IRQ);
}

void chip_alarm_off(void) {
    TC_IDR = CPAS;
    (void)TC_SR;
}

void alarm_handler(void) { alarm_passed(); }

/* --- the line --- */

void line_handler(void) {
    uint32_t status = UART_SR;

    if (status & OVRE) {
        UART_CR = 1u << 8;        /* forget the error */
        line_overrun();
    }
    if (status & RXRDY) line_received((uint8_t)UART_RHR);
    if (status & UART_IMR & TXRDY) line_ready_to_send();
}

void chip_send_byte(uint8_t byte) { UART_THR = byte; }

void chip_send_ready(bool wanted) {
    if (wanted) UART_IER = TXRDY;
    else UART_IDR = TXRDY;
}

void chip_took(void) {}

/* --- inputs: A0 to A7 are channels 7 to 0 of the converter --- */

void board_sample(void) {
    for (uint32_t k = 0; k < BOARD_INPUTS; k++) (void)ADC_CDR(k);   /* flags of a sample that was not taken */
    ADC_CR = 2;
}

bool board_sampled(void) { return (ADC_ISR & 0xFF) == 0xFF; }

/* To read a channel is to clear its flag, for the next sample. */
void board_readings(uint8_t *levels) {
    for (uint8_t k = 0; k < BOARD_INPUTS; k++) {
        uint32_t level = ADC_CDR(7u - k);

        *levels++ = (uint8_t)level;
        *levels++ = (uint8_t)(level >> 8);
    }
}

/* --- outputs --- */

static uint8_t wipers[2];

static void set_pin(uint32_t port, uint32_t pin, bool high) {
    if (high) PIO_SODR(port) = pin;
    else PIO_CODR(port) = pin;
}

/* An AD5220 takes 25 ns for either half of a pulse. */
static void wait_50_ns(void) { __asm__ volatile("nop \n nop \n nop \n nop"); }

/* An AD5220 has no register: it counts one up or down at each falling edge of its clock, and stays at its ends. */
static void turn(uint32_t select, uint8_t steps, bool up) {
    set_pin(POT_UP_PORT, POT_UP, up);
    PIO_CODR(PIOC) = select;
    while (steps--) {
        wait_50_ns();
        PIO_CODR(POT_CLOCK_PORT) = POT_CLOCK;
        wait_50_ns();
        PIO_SODR(POT_CLOCK_PORT) = POT_CLOCK;
    }
    wait_50_ns();
    PIO_SODR(PIOC) = select;
}

static void set_wiper(uint8_t k, uint8_t level) {
    uint8_t before = wipers[k];

    if (level == before) return;
    wipers[k] = level;
    turn(k ? SELECT_1 : SELECT_0, level > before ? level - before : before - level, level > before);
}

/* Its queue holds four values, and it takes one a microsecond. */
static void set_dac(uint32_t channel, const uint8_t *level) {
    for (uint32_t turns = 0; !(DACC_ISR & 1) && turns < 1000; turns++) {
    }
    DACC_CDR = channel << 12 | level[0] | (uint32_t)level[1] << 8;
}

void board_apply(const uint8_t *levels) {
    set_dac(0, levels);
    set_dac(1, levels + 2);
    PWM_CDTYUPD(7) = levels[4];
    PWM_CDTYUPD(6) = levels[5];
    set_pin(PIOC, D3, levels[6]);
    set_pin(PIOC, D5, levels[7]);
    set_wiper(0, levels[8]);
    set_wiper(1, levels[9]);
    set_pin(STEP_PORT, STEP, !(PIO_ODSR(STEP_PORT) & STEP));
}

static void set_as_outputs(uint32_t port, uint32_t pins) {
    PIO_PER(port) = pins;
    PIO_OER(port) = pins;
}

static void begin_outputs(void) {
    PIO_SODR(PIOC) = SELECT_0 | SELECT_1;
    PIO_SODR(POT_CLOCK_PORT) = POT_CLOCK;
    PIO_CODR(PIOC) = D3 | D5;
    set_as_outputs(PIOC, SELECT_0 | SELECT_1 | D3 | D5);
    set_as_outputs(PIOB, STEP | POT_CLOCK);
    set_as_outputs(POT_UP_PORT, POT_UP);
    for (uint32_t channel = 6; channel < 8; channel++) {
        PWM_CMR(channel) = 3u;    /* 84 MHz / 8; PWMH is low for the duty cycle, so that PWML, on these pins, is high */
        PWM_CPRD(channel) = 255;
        PWM_CDTY(channel) = 0;
    }
    PWM_ENA = 1u << 6 | 1u << 7;
    PIO_ABSR(PIOC) |= PWM_PINS;
    PIO_PDR(PIOC) = PWM_PINS;
    DACC_CR = 1;
    DACC_MR = 1u << 20 | 1u << 8 | 16u << 24; /* the channel stands beside the value; refreshed, since it holds 20 us */
    DACC_CHER = 3;
    for (uint8_t k = 0; k < 2; k++) turn(k ? SELECT_1 : SELECT_0, 127, false);
}

/* --- the whole --- */

/* 12 MHz x 14 / 2 = 84 MHz, from whatever clock a bootloader left. */
static void begin_clock(void) {
    EEFC0_FMR = EEFC1_FMR = 4u << 8;
    CKGR_MOR = 0x37u << 16 | 8u << 8 | 1u << 3 | 1u;
    while (!(PMC_SR & MOSCXTS)) {
    }
    CKGR_MOR = 1u << 24 | 0x37u << 16 | 8u << 8 | 1u << 3 | 1u;
    while (!(PMC_SR & MOSCSELS)) {
    }
    PMC_MCKR = (PMC_MCKR & ~3u) | 1u;   /* the crystal, while the loop is set */
    while (!(PMC_SR & MCKRDY)) {
    }
    CKGR_PLLAR = 1u << 29 | 13u << 16 | 0x3Fu << 8 | 1u;
    while (!(PMC_SR & LOCKA)) {
    }
    PMC_MCKR = 1u << 4 | 1u;            /* halved first, as the data sheet asks */
    while (!(PMC_SR & MCKRDY)) {
    }
    PMC_MCKR = 1u << 4 | 2u;
    while (!(PMC_SR & MCKRDY)) {
    }
}

void chip_begin(void) {
    WDT_MR = 1u << 15;            /* off: it can be set once, and a host's silence is the core's to see */
    begin_clock();
    PMC_PCER0 = 1u << LINE_IRQ | 1u << ID_PIOA | 1u << ID_PIOB | 1u << ID_PIOC | 1u << ID_PIOD | 1u << ALARM_IRQ;
    PMC_PCER1 = 1u << (ID_PWM - 32) | 1u << (ID_ADC - 32) | 1u << (ID_DACC - 32);
    begin_outputs();
    PIO_PUDR(PIOA) = ADC_PINS;    /* pulled up since the reset */
    PIO_PUDR(PIOB) = DAC_PINS;
    ADC_MR = 1u << 8 | 8u << 16 | 1u << 20;   /* 84 MHz / 4; start-up 512 of its clocks; settling as after reset */
    ADC_CHER = 0xFF;
    TC_CMR = 1u | 1u << 15;       /* 84 MHz / 8; counts up and wraps */
    TC_CCR = 5;
    PIO_ABSR(PIOA) &= ~LINE_PINS;
    PIO_PDR(PIOA) = LINE_PINS;
    UART_CR = 1u << 2 | 1u << 3;
    UART_MR = 4u << 9;
    UART_BRGR = (84000000ul + 8 * BAUD) / (16 * BAUD);
    UART_CR = 1u << 4 | 1u << 6;
    UART_IER = RXRDY;
    NVIC_ENABLE(LINE_IRQ);
}
