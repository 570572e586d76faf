/* The compiled firmware in an emulated ATmega (libsimavr): its line on a file descriptor, its pins on a callback.
 *
 * Built as a shared library and called from Python (inmateria/adapters/boards/emulator.py). chip_run returns when
 * chip_stop was called from another thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_acomp.h>
#include <simavr/avr_adc.h>
#include <simavr/avr_extint.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_timer.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#define OUTPUTS 6
#define ADCS 6                    /* libsimavr keeps the voltages of eight at most, so the Mega's sixteen cannot be emulated */
#define CHUNK 640                 /* cycles between looks at the line: 40 us */
#define BUFFER 512

/* Called when a step was applied and when the chip begins to read its inputs: time since power came (s) and the levels of
 * its outputs; gives, unless it is null, the voltage of each ADC pin, then of the two pins of the comparator. Returns 1,
 * anything else if there is no answer: then the chip is stopped, since it would read what is not there. A null function
 * is a board whose outputs are wired back to its inputs. */
typedef int (*physics_function)(double seconds, const uint8_t *levels, double *volts);

struct pin { char port; uint8_t bit; };

struct layout {
    const char *mcu;
    uint16_t pwm[2];              /* addresses of compare registers */
    struct pin digital[2], step, pot_clock, pot_up, pot_select[2];
};

static const struct layout layouts[] = {
    {"atmega328p", {0xB4, 0x48}, {{'D', 4}, {'B', 0}}, {'D', 2}, {'B', 5}, {'B', 3}, {{'B', 1}, {'B', 2}}},
};

struct chip {
    avr_t *avr;
    const struct layout *layout;
    physics_function physics;
    int fd;
    double speed;                 /* seconds of the chip a second at most; 0: as fast as it can */
    volatile int stop, reset, failed;
    avr_irq_t *uart_in, *adc, *comparator;
    int may_send;
    uint8_t to_chip[BUFFER], from_chip[BUFFER];
    int to_count, to_taken, from_count;
    uint8_t digital[2], pot_clock, pot_up, pot_select[2], wiper[2];
    uint64_t applied;             /* changes of the step pin */
    uint8_t *log;                 /* levels at each of them, up to log_size */
    double *log_times;
    uint64_t log_size;
    uint64_t lost, resets;
    uint32_t held, held_bits;     /* a fault: these bits of the register at that address stay 0 */
    int fresh;                    /* after a reset */
    int hang;                     /* a fault: the main loop is to hang; then it does, at hung_at */
    avr_flashaddr_t hung_at;
    void (*reset_core)(struct avr_t *avr);
    uint8_t unhung[2];
};

static const uint8_t full[OUTPUTS] = {255, 255, 1, 1, 127, 127};

static void levels_of(struct chip *chip, uint8_t *levels) {
    levels[0] = chip->avr->data[chip->layout->pwm[0]];
    levels[1] = chip->avr->data[chip->layout->pwm[1]];
    memcpy(levels + 2, chip->digital, 2);
    memcpy(levels + 4, chip->wiper, 2);
}

static void on_step(struct avr_irq_t *irq, uint32_t value, void *param) {
    struct chip *chip = param;
    uint8_t levels[OUTPUTS];

    (void)irq, (void)value;
    levels_of(chip, levels);
    if (chip->physics && chip->physics((double)chip->avr->cycle / chip->avr->frequency, levels, 0) != 1) chip->failed = 1;
    if (chip->applied < chip->log_size) {
        memcpy(chip->log + OUTPUTS * chip->applied, levels, OUTPUTS);
        chip->log_times[chip->applied] = (double)chip->avr->cycle / chip->avr->frequency;
    }
    chip->applied++;
}

static void on_digital_0(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    ((struct chip *)param)->digital[0] = value & 1;
}

static void on_digital_1(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    ((struct chip *)param)->digital[1] = value & 1;
}

static void on_select_0(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    ((struct chip *)param)->pot_select[0] = value & 1;
}

static void on_select_1(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    ((struct chip *)param)->pot_select[1] = value & 1;
}

static void on_up(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq;
    ((struct chip *)param)->pot_up = value & 1;
}

/* The two AD5220: each counts at a falling edge of the clock while it is selected, and stays at its ends. */
static void on_clock(struct avr_irq_t *irq, uint32_t value, void *param) {
    struct chip *chip = param;

    (void)irq;
    value &= 1;
    if (chip->pot_clock && !value) {
        for (int k = 0; k < 2; k++) {
            if (chip->pot_select[k]) continue;
            if (chip->pot_up && chip->wiper[k] < 127) chip->wiper[k]++;
            if (!chip->pot_up && chip->wiper[k] > 0) chip->wiper[k]--;
        }
    }
    chip->pot_clock = (uint8_t)value;
}

/* A pin's diodes hold it between the supplies; libsimavr would take 70 V as 4.5 V. */
static uint32_t millivolts(double volts) {
    return (uint32_t)(1000 * (volts < 0 ? 0 : volts > 5 ? 5 : volts) + 0.5);
}

static void on_convert(struct avr_irq_t *irq, uint32_t value, void *param) {
    struct chip *chip = param;
    union { uint32_t value; avr_adc_mux_t mux; } what = {.value = value};
    uint8_t levels[OUTPUTS];
    double volts[ADCS + 2];

    (void)irq;
    if (what.mux.src != 0 || chip->failed) return;   /* a sweep begins with A0 */
    levels_of(chip, levels);
    for (int k = 0; k < ADCS + 2; k++) volts[k] = NAN;
    if (!chip->physics) {
        for (int k = 0; k < ADCS; k++) volts[k] = 5.0 * levels[k] / full[k];
        volts[ADCS] = volts[0];
        volts[ADCS + 1] = 2.5;
    } else if (chip->physics((double)chip->avr->cycle / chip->avr->frequency, levels, volts) != 1) chip->failed = 1;
    for (int k = 0; k < ADCS + 2; k++) {
        if (!isfinite(volts[k])) chip->failed = 1;
    }
    if (chip->failed) return;
    for (int k = 0; k < ADCS; k++) {
        avr_raise_irq(chip->adc + ADC_IRQ_ADC0 + k, millivolts(volts[k]));
    }
    for (int k = 0; k < 2 && chip->comparator; k++) {
        avr_raise_irq(chip->comparator + ACOMP_IRQ_AIN0 + k, millivolts(volts[ADCS + k]));
    }
}

static void on_byte(struct avr_irq_t *irq, uint32_t value, void *param) {
    struct chip *chip = param;

    (void)irq;
    if (chip->from_count == BUFFER) {
        chip->lost++;
        return;
    }
    chip->from_chip[chip->from_count++] = (uint8_t)value;
}

static void give_bytes(struct chip *chip) {
    while (chip->may_send && chip->to_taken < chip->to_count) {
        avr_raise_irq(chip->uart_in, chip->to_chip[chip->to_taken++]);
    }
}

static void on_xon(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)value;
    ((struct chip *)param)->may_send = 1;
    give_bytes(param);
}

static void on_xoff(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)value;
    ((struct chip *)param)->may_send = 0;
}

/* Called by libsimavr with every reset, the watchdog's too. */
static void on_reset(struct avr_t *avr) {
    struct chip *chip = avr->custom.data;

    avr->run_cycle_limit = CHUNK;   /* run on to the next event of a timer at once, in place of one instruction */
    chip->fresh = 1;
    chip->may_send = 0;
    chip->to_count = chip->to_taken = chip->from_count = 0;
    chip->resets++;
    chip->held = 0;
    if (chip->hung_at) memcpy(avr->flash + chip->hung_at, chip->unhung, 2);
    chip->hung_at = 0;
    if (chip->reset_core) chip->reset_core(avr);
}

/* The chip sleeps: its time goes on to the next event, and nothing is waited for here. */
static void on_sleep(struct avr_t *avr, avr_cycle_count_t cycles) { (void)avr, (void)cycles; }

static avr_cycle_count_t on_look(struct avr_t *avr, avr_cycle_count_t when, void *param) {
    (void)avr, (void)when, (void)param;
    return 0;
}

/* A timer without interrupts only makes a PWM, whose level is read from its compare register: to emulate each of its
 * edges takes more time than the program does. */
static void stop_silent_timers(struct avr_t *avr) {
    for (avr_io_t *io = avr->io_port; io; io = io->next) {
        avr_timer_t *timer = (avr_timer_t *)io;
        bool silent = true;

        if (strcmp(io->kind, "timer") || !timer->cs_div_value) continue;
        if (timer->overflow.vector && avr_regbit_get(avr, timer->overflow.enable)) silent = false;
        for (int k = 0; k < AVR_TIMER_COMP_COUNT; k++) {
            if (timer->comp[k].interrupt.vector && avr_regbit_get(avr, timer->comp[k].interrupt.enable)) silent = false;
        }
        if (!silent || timer->wgm_op_mode_kind == avr_timer_wgm_normal) continue;
        timer->cs_div_value = 0;
        timer->tov_cycles = 0;
        for (int k = 0; k < AVR_TIMER_COMP_COUNT; k++) timer->comp[k].comp_cycles = 0;
    }
}

/* libsimavr looks each cycle at the pins of INT0 and INT1 while they are low, which are outputs here, and takes one more
 * of its 64 timers for that with each change. */
static void ignore_levels(struct chip *chip) {
    chip->fresh = 0;
    for (uint8_t k = 0; k < 2; k++) avr_extint_set_strict_lvl_trig(chip->avr, k, 0);
}

static avr_irq_t *port_irq(struct chip *chip, struct pin pin) {
    return avr_io_getirq(chip->avr, AVR_IOCTL_IOPORT_GETIRQ(pin.port), pin.bit);
}

void chip_free(struct chip *chip) {
    if (!chip) return;
    if (chip->avr) avr_terminate(chip->avr);
    free(chip->log);
    free(chip->log_times);
    free(chip);
}

static void say_nothing(avr_t *avr, const int level, const char *format, va_list arguments) {
    (void)avr, (void)level, (void)format, (void)arguments;
}

struct chip *chip_new(const char *elf, const char *mcu, double speed, uint64_t log_size, physics_function physics) {
    struct chip *chip = calloc(1, sizeof *chip);
    elf_firmware_t firmware = {0};
    uint32_t flags = 0;

    avr_global_logger_set(say_nothing);   /* standard output is the program's that loads this */
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
        if (!strcmp(layouts[k].mcu, mcu)) chip->layout = &layouts[k];
    }
    if (!chip->layout || elf_read_firmware(elf, &firmware)) goto failed;
    chip->avr = avr_make_mcu_by_name(mcu);
    if (!chip->avr) goto failed;
    avr_init(chip->avr);
    chip->avr->log = LOG_NONE;
    chip->avr->custom.data = chip;
    chip->reset_core = chip->avr->reset;
    chip->avr->reset = on_reset;
    chip->avr->sleep = on_sleep;
    chip->avr->run_cycle_limit = CHUNK;
    chip->fresh = 1;
    firmware.frequency = 16000000;
    firmware.vcc = firmware.avcc = firmware.aref = 5000;
    avr_load_firmware(chip->avr, &firmware);
    chip->avr->frequency = 16000000;
    chip->avr->vcc = chip->avr->avcc = chip->avr->aref = 5000;
    chip->physics = physics;
    chip->fd = -1;
    chip->speed = speed;
    chip->log = malloc(OUTPUTS * log_size + 1);
    chip->log_times = malloc(sizeof(double) * (log_size + 1));
    chip->log_size = log_size;
    chip->wiper[0] = chip->wiper[1] = 64;   /* as an AD5220 does when power comes */
    chip->pot_select[0] = chip->pot_select[1] = 1;

    avr_ioctl(chip->avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(chip->avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_t *uart = avr_io_getirq(chip->avr, AVR_IOCTL_UART_GETIRQ('0'), 0);
    chip->uart_in = uart + UART_IRQ_INPUT;
    avr_irq_register_notify(uart + UART_IRQ_OUTPUT, on_byte, chip);
    avr_irq_register_notify(uart + UART_IRQ_OUT_XON, on_xon, chip);
    avr_irq_register_notify(uart + UART_IRQ_OUT_XOFF, on_xoff, chip);
    chip->adc = avr_io_getirq(chip->avr, AVR_IOCTL_ADC_GETIRQ, 0);
    avr_irq_register_notify(chip->adc + ADC_IRQ_OUT_TRIGGER, on_convert, chip);
    chip->comparator = avr_io_getirq(chip->avr, AVR_IOCTL_ACOMP_GETIRQ, 0);
    avr_irq_register_notify(port_irq(chip, chip->layout->step), on_step, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->digital[0]), on_digital_0, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->digital[1]), on_digital_1, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->pot_select[0]), on_select_0, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->pot_select[1]), on_select_1, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->pot_up), on_up, chip);
    avr_irq_register_notify(port_irq(chip, chip->layout->pot_clock), on_clock, chip);
    return chip;
failed:
    chip_free(chip);
    return 0;
}

/* The line: a descriptor that does not block; -1 is a line that is not plugged in. */
void chip_plug(struct chip *chip, int fd) { __atomic_store_n(&chip->fd, fd, __ATOMIC_SEQ_CST); }

void chip_stop(struct chip *chip) { chip->stop = 1; }
void chip_reset(struct chip *chip) { chip->reset = 1; }
int chip_reset_pending(const struct chip *chip) { return chip->reset; }
double chip_seconds(const struct chip *chip) { return (double)chip->avr->cycle / chip->avr->frequency; }
uint64_t chip_applied(const struct chip *chip) { return chip->applied; }
uint64_t chip_lost(const struct chip *chip) { return chip->lost; }
uint64_t chip_resets(const struct chip *chip) { return chip->resets; }

/* Faults, for tests of what must hold without what they take away; a reset mends them. */
void chip_hold_low(struct chip *chip, uint32_t address, uint32_t bits) {
    chip->held_bits = bits;
    __atomic_store_n(&chip->held, address, __ATOMIC_SEQ_CST);
}
void chip_hang(struct chip *chip) { chip->hang = 1; }
void chip_levels(struct chip *chip, uint8_t *levels) { levels_of(chip, levels); }

uint64_t chip_log(const struct chip *chip, uint64_t first, uint64_t count, uint8_t *levels, double *times) {
    uint64_t known = chip->applied < chip->log_size ? chip->applied : chip->log_size;

    if (first >= known) return 0;
    if (count > known - first) count = known - first;
    memcpy(levels, chip->log + OUTPUTS * first, OUTPUTS * count);
    memcpy(times, chip->log_times + first, sizeof(double) * count);
    return count;
}

/* Move bytes between the line and the chip; what the line does not take is tried again. */
static void serve_line(struct chip *chip) {
    int fd = __atomic_load_n(&chip->fd, __ATOMIC_SEQ_CST);

    if (fd < 0) {
        chip->from_count = 0;
        return;
    }
    if (chip->to_taken == chip->to_count) {
        ssize_t count = read(fd, chip->to_chip, BUFFER);

        chip->to_taken = 0;
        chip->to_count = count > 0 ? (int)count : 0;
    }
    give_bytes(chip);
    if (chip->from_count) {
        ssize_t count = write(fd, chip->from_chip, (size_t)chip->from_count);

        if (count > 0) {
            memmove(chip->from_chip, chip->from_chip + count, (size_t)(chip->from_count - count));
            chip->from_count -= (int)count;
        } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
            chip->from_count = 0;
        }
    }
}

/* Let the main loop hang where it is, once no interrupt is served; interrupts go on. */
static void hang_main_loop(struct chip *chip) {
    avr_t *avr = chip->avr;

    if (!avr->sreg[S_I] || avr->interrupts.running_ptr) return;
    chip->hung_at = avr->pc;
    memcpy(chip->unhung, avr->flash + avr->pc, 2);
    avr->flash[avr->pc] = 0xFF;   /* rjmp to itself */
    avr->flash[avr->pc + 1] = 0xCF;
    chip->hang = 0;
}

static double seconds_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* Wait for so many seconds, or until bytes come: they would otherwise lie until the chip goes on. */
static void wait_for_line(struct chip *chip, double seconds) {
    struct pollfd line = {__atomic_load_n(&chip->fd, __ATOMIC_SEQ_CST), POLLIN, 0};
    struct timespec pause = {0, (long)(1e9 * (seconds < 0.01 ? seconds : 0.01))};

    /* Not if they may be waiting for the chip's time: it would never wait. */
    if (line.fd >= 0 && seconds < 1e-3 && chip->to_taken == chip->to_count) {
        if (ppoll(&line, 1, &pause, 0) == 0 || line.revents == POLLIN) return;
    }
    nanosleep(&pause, 0);
}

/* Run until chip_stop; returns 0, 1 if the program crashed, or 2 if the physics failed: nothing is said after that. */
int chip_run(struct chip *chip) {
    double real = seconds_now(), own = chip_seconds(chip);

    for (int turn = 0; !chip->stop; turn++) {
        avr_cycle_count_t end = chip->avr->cycle + CHUNK;

        if (chip->reset) {
            avr_reset(chip->avr);
            chip->reset = 0;
        }
        if (chip->hang) hang_main_loop(chip);
        if (chip->held) chip->avr->data[chip->held] &= (uint8_t)~chip->held_bits;
        stop_silent_timers(chip->avr);
        avr_cycle_timer_register(chip->avr, CHUNK, on_look, chip);   /* no sleep lasts longer */
        while (chip->avr->cycle < end) {
            if (chip->fresh) ignore_levels(chip);
            int state = avr_run(chip->avr);

            if (state == cpu_Done || state == cpu_Crashed) return 1;
            if (chip->failed) return 2;
        }
        serve_line(chip);
        if (chip->speed > 0 && turn % 4 == 0) {
            double ahead = (chip_seconds(chip) - own) / chip->speed - (seconds_now() - real);

            if (ahead > 2e-4) {
                wait_for_line(chip, ahead);
            } else if (ahead < -0.01) {   /* too slow a machine: the chip's clock is slow, it does not catch up */
                real = seconds_now();
                own = chip_seconds(chip);
            }
        }
    }
    return 0;
}
