/* From reset to main on a Cortex-M3: vectors, and memory as C expects it. */
#include <stdint.h>
#include <string.h>

#include "chip.h"
#include "cortex_m3.h"

extern uint32_t stack_top[], data_load[], data_start[], data_end[], bss_start[], bss_end[];
int main(void);
void reset_handler(void);
void fault_handler(void);

#define HANDLER(irq, function) [16 + (irq)] = function,

__attribute__((section(".vectors"), used)) void (*const vectors[])(void) = {
    (void (*)(void))stack_top,
    reset_handler,
    fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    0, 0, 0, 0, fault_handler, fault_handler, 0, fault_handler, tick_handler,
    INTERRUPTS(HANDLER)
};

void reset_handler(void) {
    REGISTER(0xE000ED08ul) = (uint32_t)vectors;
    memcpy(data_start, data_load, (uint32_t)((char *)data_end - (char *)data_start));
    memset(bss_start, 0, (uint32_t)((char *)bss_end - (char *)bss_start));
    main();
}

/* A fault begins again: the outputs rest, and the host is told of a reset. */
void fault_handler(void) {
    REGISTER(0xE000ED0Cul) = 0x05FA0004ul;
    for (;;) {
    }
}
