// The firmware of inmateria as an Arduino sketch, for an Uno, a Nano or a Mega: `make sketch` puts it together.
extern "C" {
void firmware_begin(void);
void firmware_poll(void);
}

void setup() { firmware_begin(); }

void loop() { firmware_poll(); }
