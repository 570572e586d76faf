/* Runs classifications on QEMU's mps2-an385 machine and prints, by semihosting, the ticks and the class of each, in
 * hexadecimal; with `-icount shift=10` an instruction takes 1,024 ns, which is 25.6 ticks of the machine's timer. */
#include <stdint.h>
#include <string.h>

#include "counted.h"              /* COUNTED_FEATURES, COUNTED_SAMPLES, `samples`, counted_class */

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define TIMER_CTRL REGISTER(0x40001000ul)
#define TIMER_VALUE REGISTER(0x40001004ul)
#define TIMER_RELOAD REGISTER(0x40001008ul)

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];
void reset_handler(void);

__attribute__((section(".vectors"), used)) void (*const vectors[])(void) = {
    (void (*)(void))stack_top, reset_handler, reset_handler, reset_handler,
};

static void semihost(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(uint32_t value, char after) {
    char text[10];

    for (int k = 7; k >= 0; k--, value >>= 4) text[k] = "0123456789abcdef"[value & 15];
    text[8] = after;
    text[9] = 0;
    semihost(4, text);
}

void reset_handler(void) {
    uint32_t nothing, ticks;

    memcpy(data_start, data_load, (uint32_t)((char *)data_end - (char *)data_start));
    memset(bss_start, 0, (uint32_t)((char *)bss_end - (char *)bss_start));
    TIMER_RELOAD = TIMER_VALUE = 0xFFFFFFFFul;
    TIMER_CTRL = 1;
    nothing = TIMER_VALUE;
    nothing -= TIMER_VALUE;
    for (uint32_t k = 0; k < COUNTED_SAMPLES; k++) {
        int found;

        ticks = TIMER_VALUE;
        found = counted_class(samples + k * COUNTED_FEATURES);
        ticks -= TIMER_VALUE;
        print(ticks - nothing, ' ');
        print((uint32_t)found, '\n');
    }
    semihost(0x18, (const void *)0x20026);
    for (;;) {
    }
}
