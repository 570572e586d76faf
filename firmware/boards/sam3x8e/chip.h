/* The SAM3X8E of an Arduino Due, 84 MHz. */
#ifndef INMATERIA_CHIP_H
#define INMATERIA_CHIP_H

#define BOARD_NAME "sam3x8e"
#define CHIP_CLOCK 84000000ul
#define BOARD_TICKS_PER_SECOND 10500000ul
/* A conversion of eight inputs takes 8 x 20 clocks of the converter, of 48 ns each, and starting up 2 us. */
#define BOARD_SWEEP_TICKS 210ul
#define BOARD_LEAD_TICKS 210ul
/* 254 edges of both potentiometers' clock take up to 60 us. */
#define BOARD_SHORTEST_TICKS (BOARD_SWEEP_TICKS + BOARD_LEAD_TICKS + 840)
#define BOARD_LATE_TICKS 105ul

#define LINE_IRQ 8
#define ALARM_IRQ 27
#define INTERRUPTS(HANDLER) HANDLER(LINE_IRQ, line_handler) HANDLER(ALARM_IRQ, alarm_handler)

void line_handler(void);
void alarm_handler(void);

#endif
