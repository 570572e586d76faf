/* Frames, sessions, numbered commands and the watchdog; docs/board_protocol.md describes them. */
#include "core.h"

#include <string.h>

#include "board.h"
#include "crc32.h"
#include "readout.h"
#include "steps.h"

#define HEADER 5                  /* type, session, number */
#define STEPS_HEADER 7            /* base, flags, period */
#define ANSWER_HEADER 5           /* start, flags */
#define STATUS_BYTES 29
#define LARGEST(a, b) ((a) > (b) ? (a) : (b))
#define IN_BYTES (HEADER + LARGEST(STEPS_HEADER + BOARD_SLOT_BYTES, 8) + 4)
#define OUT_BYTES (1 + HEADER + LARGEST(LARGEST(ANSWER_HEADER + BOARD_SLOT_BYTES, 48), STATUS_BYTES) + 4 + 1)

#if IN_BYTES > 253 || OUT_BYTES > 255
#error "frames must fit in one block of COBS"
#endif

/* The frame that comes in. */
static uint8_t in[IN_BYTES];
static uint8_t received;          /* bytes of it */
static uint8_t block;             /* bytes of its COBS block that are still to come */
static bool broken;               /* too long, so that all up to the next zero is skipped */
static bool begun;                /* a first byte came, which is the first block's */
static uint32_t crc;
static uint16_t damaged;          /* frames that were not whole; saturates */

/* The frame that goes out, and what is to be answered next. */
static uint8_t out[OUT_BYTES];
static uint8_t asked_type;        /* 0: nothing */
static uint8_t asked_index;
static uint16_t asked_session, asked_number;

/* The session; 0 is none. */
static uint16_t session;
static uint8_t ended;             /* why the last one did */
static uint16_t ended_number;     /* of the command that was refused */
static uint32_t patience;         /* longest silence of the host, ticks */
static volatile uint32_t heard;   /* when the host was last heard, ticks */
static volatile bool silent;      /* core_time found the host silent for too long */

static uint16_t get16(const uint8_t *from) { return (uint16_t)(from[0] | (uint16_t)from[1] << 8); }

static uint32_t get32(const uint8_t *from) { return get16(from) | (uint32_t)get16(from + 2) << 16; }

static uint8_t *put16(uint8_t *to, uint16_t value) {
    *to++ = (uint8_t)value;
    *to++ = (uint8_t)(value >> 8);
    return to;
}

static uint8_t *put32(uint8_t *to, uint32_t value) { return put16(put16(to, (uint16_t)value), (uint16_t)(value >> 16)); }

static void end_session(uint8_t why) {
    steps_stop();
    session = 0;
    ended = why;
}

static void open_session(uint16_t number, uint16_t milliseconds) {
    end_session(END_NONE);
    board_lock();
    record.session = number;
    record.begun = record.done = 0;
    record.check = (uint16_t)~number;
    counters.late = 0;
    counters.jitter = 0;
    damaged = 0;
    patience = (uint32_t)milliseconds * (BOARD_TICKS_PER_SECOND / 1000);
    silent = false;
    session = number;
    board_unlock();
}

void core_begin(void) {
    /* What a C runtime has cleared is cleared again: a board layer may begin twice. */
    received = block = asked_type = 0;
    broken = begun = silent = false;
    crc = CRC32_BEGIN;
    damaged = ended_number = 0;
    counters.late = counters.jitter = 0;

    bool known = (record.check ^ record.session) == 0xFFFF && record.session;

    if (!known) {
        record.session = 0;
        record.check = 0xFFFF;
        record.begun = record.done = 0;
    }
    end_session(known ? END_RESET : END_NONE);
}

/* Bring the outputs to rest if the host has been silent for too long; core_poll then ends the session. Both core_time and
 * core_poll look, so that neither a lost alarm nor a main loop that is busy leaves the outputs on. */
static void watch(void) {
    if (session && !silent && (int32_t)(board_ticks() - heard - patience) > 0) {
        silent = true;
        steps_stop();
    }
}

void core_time(void) {
    watch();
    if (!silent) steps_time();
}

/* Seal the frame of which `end` is the end, and send it. */
static void send(uint8_t *end) {
    uint32_t sum = CRC32_BEGIN;
    uint8_t last = 0, count;

    for (const uint8_t *at = out + 1; at < end; at++) sum = crc32_update(sum, *at);
    end = put32(end, ~sum);
    count = (uint8_t)(end - out);
    for (uint8_t k = 1; k < count; k++) {
        if (!out[k]) {
            out[last] = (uint8_t)(k - last);
            last = k;
        }
    }
    out[last] = (uint8_t)(count - last);
    *end = 0;
    board_send(out, (uint8_t)(count + 1));
}

static uint8_t *put_header(uint8_t type, uint16_t of_session, uint16_t number) {
    out[1] = type;
    return put16(put16(out + 2, of_session), number);
}

static uint8_t *put_status(uint8_t *to, uint8_t why) {
    uint16_t base = steps_base(), held = 0;

    for (uint8_t k = 0; k < BOARD_SLOTS; k++) {
        if (steps_slot((uint16_t)(base + k))->state != SLOT_FREE) held |= (uint16_t)1 << k;
    }
    *to++ = why;
    to = put16(put16(put16(to, ended_number), base), held);
    board_lock();
    to = put32(put32(put32(to, board_ticks()), record.begun), record.done);
    to = put16(put32(to, counters.late), counters.jitter);
    board_unlock();
    return put16(put16(to, damaged), board_overruns());
}

static uint8_t *put_text(uint8_t *to, const char *text, uint8_t length) {
    *to++ = length;
    memcpy(to, text, length);
    return to + length;
}

static uint8_t *put_board(uint8_t *to) {
    char id[16];

    *to++ = PROTOCOL_VERSION;
    *to++ = FIRMWARE_VERSION;
    *to++ = BOARD_OUTPUTS;
    *to++ = BOARD_INPUTS;
    *to++ = BOARD_SLOTS;
    *to++ = BOARD_SLOT_BYTES;
    to = put32(put32(put32(to, BOARD_TICKS_PER_SECOND), BOARD_SHORTEST_TICKS), BOARD_LATE_TICKS);
    to = put_text(to, BOARD_NAME, sizeof BOARD_NAME - 1);
    to = put_text(to, id, board_id(id));
#if HAS_READOUT
    *to++ = BOARD_FEATURES;
    to = put16(to, READOUT_FEATURES);
#endif
    return to;
}

static uint8_t *put_sample(uint8_t *to) {
    struct sample sample = readout_sample();

    *to++ = sample.state;
    to = put16(to, sample.number);
    *to++ = sample.class;
    return to;
}

static uint8_t *put_channel(uint8_t *to, uint8_t index) {
    struct channel channel;
    uint32_t bits;

    if (index < BOARD_OUTPUTS) {
        BOARD_COPY_FLASH(&channel, &board_outputs[index], sizeof channel);
    } else {
        BOARD_COPY_FLASH(&channel, &board_inputs[index - BOARD_OUTPUTS], sizeof channel);
    }
    *to++ = channel.kind;
    *to++ = channel.unit;
    to = put16(to, channel.levels);
    memcpy(&bits, &channel.low, 4);
    to = put32(to, bits);
    memcpy(&bits, &channel.high, 4);
    to = put32(to, bits);
    to = put16(put16(put16(to, channel.rest), channel.lowest), channel.highest);
    memcpy(to, channel.name, sizeof channel.name);
    return to + sizeof channel.name;
}

/* Answer what was asked last, or the first command whose answer was not sent; one frame at a time. */
static void answer(void) {
    uint8_t *to;

    if (board_sending()) return;
    if (asked_type) {
        uint8_t type = asked_type;

        asked_type = 0;
        if (type == TYPE_NO_SESSION) {
            /* Of the session there is, or of the last one, so that its host reads how far it came. */
            to = put_header(TYPE_NO_SESSION, record.session, asked_number);
            send(put_status(to, session ? END_BUSY : ended));
            return;
        }
        to = put_header(type | TYPE_ANSWER, asked_session, asked_number);
        if (type == TYPE_DESCRIBE) {
            to = asked_index == 0xFF ? put_board(to) : put_channel(to, asked_index);
        } else if (type == TYPE_CLASS) {
            to = put_sample(to);
        } else {
            to = put_status(to, END_NONE);
        }
        send(to);
        return;
    }
    if (!session) return;
    uint16_t base = steps_base();
    for (uint8_t k = 0; k < BOARD_SLOTS; k++) {
        uint16_t number = (uint16_t)(base + k);
        struct slot *slot = steps_slot(number);

        if (slot->state == SLOT_QUEUED || slot->state == SLOT_FREE) return;
        if (slot->state == SLOT_SENT) continue;
        to = put32(put_header(TYPE_STEPS | TYPE_ANSWER, session, number), slot->start);
        *to++ = slot->flags & SLOT_LATE ? ANSWER_LATE : 0;
        memcpy(to, slot->data, (uint16_t)slot->steps * BOARD_READING_BYTES);
        slot->state = SLOT_SENT;
        send(to + (uint16_t)slot->steps * BOARD_READING_BYTES);
        return;
    }
}

static void ask(uint8_t type, uint8_t index) {
    asked_type = type;
    asked_index = index;
    asked_session = get16(in + 1);
    asked_number = get16(in + 3);
}

static void refuse(uint16_t number) {
    end_session(END_REFUSED);
    ended_number = number;
    ask(TYPE_NO_SESSION, 0);
}

/* A command: kept if it is new, answered again if it was answered, otherwise left to its turn. */
static void take_steps(uint16_t number, const uint8_t *payload, uint8_t length) {
    struct slot *slot;

    if (length < STEPS_HEADER) {
        refuse(number);
        return;
    }
    steps_acknowledge(get16(payload));
    slot = steps_slot(number);
    if (!slot) return;            /* acknowledged before, or beyond the window */
    if (slot->state == SLOT_SENT) slot->state = SLOT_DONE;
    if (slot->state == SLOT_QUEUED) ask(TYPE_STATUS, 0);
    if (slot->state != SLOT_FREE) return;

    const uint8_t *drive = payload + STEPS_HEADER;
    uint8_t bytes = length - STEPS_HEADER, steps = bytes / BOARD_STEP_BYTES;
    uint32_t period = get32(payload + 3);
    uint8_t known = STEPS_FIRST | (HAS_READOUT ? STEPS_SAMPLE : 0);
    bool right = !(payload[2] & STEPS_SAMPLE & ~known) && steps && steps * BOARD_STEP_BYTES == bytes && bytes <= BOARD_SLOT_BYTES &&
                 (uint16_t)steps * BOARD_READING_BYTES <= BOARD_SLOT_BYTES && period >= BOARD_SHORTEST_TICKS &&
                 period < 0x7FFFFFFFul - BOARD_SHORTEST_TICKS;
    for (uint8_t k = 0; right && k < steps; k++) right = steps_within_limits(drive + (uint16_t)k * BOARD_STEP_BYTES);
    if (!right) {
        refuse(number);
        return;
    }
    slot->steps = steps;
    slot->flags = payload[2] & known;
    slot->period = period;
    memcpy(slot->data + BOARD_SLOT_BYTES - bytes, drive, bytes);
    slot->state = SLOT_QUEUED;
    /* The line keeps the order, so a gap before this number is a frame that was lost: say so at once. */
    for (uint16_t each = steps_base(); each != number; each++) {
        if (steps_slot(each)->state == SLOT_FREE) {
            ask(TYPE_STATUS, 0);
            break;
        }
    }
}

static void take_frame(uint8_t length) {
    uint16_t of_session = get16(in + 1), number = get16(in + 3);
    const uint8_t *payload = in + HEADER;

    length -= HEADER;
    if (in[0] == TYPE_DESCRIBE) {
        if (length == 1 && (payload[0] == 0xFF || payload[0] < BOARD_OUTPUTS + BOARD_INPUTS)) ask(in[0], payload[0]);
        return;
    }
    if (in[0] == TYPE_OPEN) {
        if (length != 3 || payload[0] != PROTOCOL_VERSION || !of_session) return;
        if (session && session != of_session) {
            ask(TYPE_NO_SESSION, 0);
            return;
        }
        board_lock();
        heard = board_ticks();
        board_unlock();
        if (!session) open_session(of_session, get16(payload + 1));
        ask(in[0], 0);
        return;
    }
    if (in[0] == TYPE_CLOSE && !session && of_session == record.session && ended == END_CLOSED) {
        ask(in[0], 0);            /* its answer was lost */
        return;
    }
    if (!session || of_session != session) {
        ask(TYPE_NO_SESSION, 0);
        return;
    }
    board_lock();
    heard = board_ticks();
    board_unlock();
    if (in[0] == TYPE_STEPS) {
        take_steps(number, payload, length);
    } else if (in[0] == TYPE_STATUS && length == 2) {
        steps_acknowledge(get16(payload));
        ask(in[0], 0);
    } else if (HAS_READOUT && in[0] == TYPE_CLASS && !length) {
        ask(in[0], 0);
    } else if (in[0] == TYPE_CLOSE) {
        end_session(END_CLOSED);
        ask(in[0], 0);
    }
}

/* The end of a frame: take it if it is whole, and begin the next. */
static void end_frame(void) {
    bool whole = begun && !broken && !block && received >= HEADER + 4 && crc == CRC32_RESIDUE;

    if (whole) {
        take_frame((uint8_t)(received - 4));
    } else if (begun && damaged != 0xFFFF) {
        damaged++;
    }
    received = block = 0;
    broken = begun = false;
    crc = CRC32_BEGIN;
}

/* Undo COBS as bytes come. What changes with every byte is kept in registers. */
static void take_bytes(const uint8_t *bytes, uint8_t count) {
    uint32_t sum = crc;
    uint8_t at = received, left = block;

    while (count--) {
        uint8_t byte = *bytes++;

        if (!byte) {
            crc = sum;
            received = at;
            block = left;
            end_frame();
            sum = crc;
            at = left = 0;
            continue;
        }
        if (left) {
            left--;
        } else {
            left = byte - 1;
            if (!begun) {
                begun = true;
                continue;
            }
            byte = 0;
        }
        if (at == sizeof in) {
            broken = true;
            continue;
        }
        in[at++] = byte;
        sum = crc32_update(sum, byte);
    }
    crc = sum;
    received = at;
    block = left;
}

void core_poll(void) {
    const uint8_t *bytes;
    uint8_t count;

    board_lock();
    watch();
    board_unlock();
    if (silent) {
        end_session(END_WATCHDOG);
        silent = false;
    }
    count = board_received(&bytes);
    if (count > 32) count = 32;   /* so that answers go out while bytes come in */
    if (count) {
        take_bytes(bytes, count);
        board_took(count);
    }
    if (session) steps_kick();
    readout_poll();
    answer();
}
