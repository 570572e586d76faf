/* What the board layers of Cortex-M3 chips share, and what each of them provides to it. */
#ifndef INMATERIA_CORTEX_M3_H
#define INMATERIA_CORTEX_M3_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Interrupts of the nested vectored controller. Its four lowest priority bits do not exist on these chips. */
#define NVIC_ENABLE(irq) (REGISTER(0xE000E100ul + 4 * ((irq) / 32)) = 1ul << (irq) % 32)
#define NVIC_DISABLE(irq) (REGISTER(0xE000E180ul + 4 * ((irq) / 32)) = 1ul << (irq) % 32)
#define NVIC_RAISE(irq) (REGISTER(0xE000E200ul + 4 * ((irq) / 32)) = 1ul << (irq) % 32)
#define NVIC_PRIORITY(irq, value) (*(volatile uint8_t *)(0xE000E400ul + (irq)) = (value))

#define SYSTICK_CTRL REGISTER(0xE000E010ul)
#define SYSTICK_RELOAD REGISTER(0xE000E014ul)

/* --- of each chip: chip.h has CHIP_CLOCK (Hz), ALARM_IRQ, INTERRUPTS and their handlers --- */

void chip_begin(void);            /* clocks, pins, line and converters */
void chip_alarm(uint32_t when);   /* raise ALARM_IRQ at that time, or at once if it has passed */
void chip_alarm_off(void);        /* its request is taken */
void chip_send_ready(bool wanted);/* call line_ready_to_send from an interrupt when there is room for a byte */
void chip_send_byte(uint8_t byte);
void chip_took(void);             /* the line's buffer has room again */

/* --- for the chips' interrupts --- */

bool line_has_room(void);
void line_received(uint8_t byte);
void line_overrun(void);
void line_ready_to_send(void);
void alarm_passed(void);
void tick_handler(void);

#endif
