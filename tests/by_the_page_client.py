"""A controller written from docs/wire.md alone, with an MQTT library, msgpack and a CRC; nothing of inmateria."""

import json
import queue
import secrets
import struct
import time
import zlib

import msgpack
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion


def frame(body=b"", **header):
    """Write a frame whose checksum covers everything."""
    head = msgpack.packb(header)
    prefix = struct.pack("<2sBBI", b"IM", 1, 1, len(head))
    return prefix + struct.pack("<I", zlib.crc32(prefix + head + body)) + head + body


def unframe(data):
    """Read a frame: header and body."""
    magic, major, covers, length, check = struct.unpack_from("<2sBBII", data)
    assert (magic, major) == (b"IM", 1), "not a frame of version 1"
    end = 12 + length
    assert check == zlib.crc32(data[:8] + data[12 : None if covers else end]), "a damaged frame"
    return msgpack.unpackb(data[12:end]), data[end:]


def signal_of(header, body):
    """Give the numbers of a response's array, row after row, and its spikes."""
    count = 1
    for each in header.get("shape", [0]):
        count *= each
    letter, size = {"<f8": ("d", 8), "<f4": ("f", 4), "<i2": ("h", 2)}[header.get("dtype", "<f8")]
    numbers = struct.unpack_from(f"<{count}{letter}", body)
    if letter == "h":
        scale, offset, columns = header["scale"], header.get("offset", [0.0]), header["shape"][-1]
        numbers = [
            float("nan") if n == -32768 else scale[k % columns % len(scale)] * n + offset[k % columns % len(offset)]
            for k, n in enumerate(numbers)
        ]
    spikes = [struct.unpack_from("<dI", body, count * size + 12 * k) for k in range(max(0, header.get("spikes", -1)))]
    return list(numbers), spikes


class Controller:
    """Holds the lease of one device and sends it commands, one or several at a time."""

    def __init__(self, host, port, group, device, version):
        self.base, self.session = f"inmateria/1/{group}/{device}/", secrets.token_hex(6)
        self.said, self.inbox, self.next = {}, queue.Queue(), 0
        self.mqtt = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self.mqtt.on_message = lambda client, data, message: self.inbox.put((message.topic, bytes(message.payload)))
        self.mqtt.on_connect = lambda client, *rest: client.subscribe(
            [(self.base + each, 0) for each in ("info", "status", f"response/anyone/{self.session}")]
        )
        self.mqtt.connect(host, port, 3)
        self.mqtt.loop_start()
        while {"info", "status"} - set(self.said) or self.said["status"]["state"] != "online":
            self._hear(5)
        opened = self._open()
        self.grant, self.lease, self.window, self.renewed = opened["grant"], opened["lease"], opened["window"], 0.0
        assert opened.get("sequence", 0) == 0

    def close(self):
        """Give the lease back."""
        self._say(frame(kind="close", session=self.session, grant=self.grant))
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def command(self, *commands):
        """Send commands, each a header and a body, and give their answers in order: headers and bodies."""
        sent, answers = {}, {}
        for header, body in commands:
            sent[self.next] = frame(body, session=self.session, grant=self.grant, sequence=self.next, **header)
            self._say(sent[self.next])
            self.next += 1
        while len(answers) < len(sent):
            answer = self._hear(0.25)
            if answer is None:  # late: whatever is unanswered goes again
                again = [number for number in sent if number not in answers]
            else:
                number = answer[0].get("sequence", 0)
                assert number >= 0, answer[0]["error"]
                if answer[0]["kind"] == "missing":
                    again = [number]
                else:
                    answers.setdefault(number, answer) if number in sent else None
                    again = []
            for number in again:
                if number in sent:
                    self._say(sent[number])
            if time.monotonic() - self.renewed > self.lease / 3:
                self.renewed = time.monotonic()
                self._say(frame(kind="renew", session=self.session, grant=self.grant))
        return [answers[number] for number in sorted(answers)]

    def stimulus(self, rows, step):
        """Make the header and body of a stimulus."""
        body = b"".join(struct.pack(f"<{len(row)}d", *row) for row in rows)
        return {"kind": "stimulus", "step": step, "dtype": "<f8", "shape": [len(rows), len(rows[0])]}, body

    def _say(self, data):
        self.mqtt.publish(f"{self.base}stimulus/anyone/{self.session}", data)

    def _hear(self, seconds):
        """Give header and body of the next answer to us; None where it was something else, or nothing came."""
        try:
            topic, payload = self.inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        word = topic.removeprefix(self.base)
        if word in ("info", "status"):
            self.said[word] = json.loads(payload)
        elif word == f"response/anyone/{self.session}":
            return unframe(payload)
        return None

    def _open(self):
        for _ in range(20):
            self._say(frame(kind="open", session=self.session))
            answer = self._hear(0.5)
            if answer is not None:
                assert answer[0]["kind"] == "opened", answer[0].get("error")
                return answer[0]
        raise TimeoutError("no opened came within twenty questions")
