/* Runs a program in an emulated AVR chip, and prints the cycles between its writes of 1 and 2 to GPIOR0, and what is in GPIOR1
   and GPIOR2 by then, until it sleeps with interrupts off. */
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <stdio.h>

#define GPIOR0 0x3e
#define GPIOR1 0x4a
#define GPIOR2 0x4b

static avr_cycle_count_t begun;

static void written(struct avr_t *avr, avr_io_addr_t address, uint8_t value, void *unused)
{
    (void)unused;
    avr->data[address] = value;
    if (value == 1)
        begun = avr->cycle;
    if (value == 2)
        printf("%llu %u %u\n", (unsigned long long)(avr->cycle - begun), avr->data[GPIOR1], avr->data[GPIOR2]);
}

int main(int count, char **given)
{
    elf_firmware_t firmware = {{0}};
    avr_t *avr;
    int state = cpu_Running;
    if (count < 3 || elf_read_firmware(given[1], &firmware) || !(avr = avr_make_mcu_by_name(given[2])))
        return 2;
    avr_init(avr);
    firmware.frequency = 16000000;
    avr_load_firmware(avr, &firmware);
    avr_register_io_write(avr, GPIOR0, written, NULL);
    while (state != cpu_Done && state != cpu_Crashed)
        state = avr_run(avr);
    return state == cpu_Crashed;
}
