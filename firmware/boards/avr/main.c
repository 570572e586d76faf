/* The firmware on its own, without an Arduino library. */
void firmware_begin(void);
void firmware_poll(void);

int main(void) {
    firmware_begin();
    for (;;) firmware_poll();
}
