/* The mps2-an385 machine of QEMU: 25 MHz. */
#ifndef INMATERIA_CHIP_H
#define INMATERIA_CHIP_H

#define BOARD_NAME "mps2-an385"
#define CHIP_CLOCK 25000000ul
#define BOARD_TICKS_PER_SECOND 25000000ul
#define BOARD_SWEEP_TICKS 250ul   /* the physics takes no time of the chip: 10 us as a converter would */
#define BOARD_LEAD_TICKS 5000ul  /* QEMU raises the interrupt of a timer up to 0.2 ms late */
#define BOARD_SHORTEST_TICKS 12500ul
#define BOARD_LATE_TICKS 500ul

#define ALARM_IRQ 8
#define INTERRUPTS(HANDLER) HANDLER(0, received_handler) HANDLER(1, sent_handler) HANDLER(ALARM_IRQ, alarm_handler)

void received_handler(void);
void sent_handler(void);
void alarm_handler(void);

#endif
