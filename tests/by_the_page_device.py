"""A device written from docs/wire.md alone: it doubles what it is given. Nothing of inmateria is used."""

import json
import secrets
import struct
import time
import zlib

import msgpack
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

INFO = {
    "id": "doubler", "kind": "doubler", "step": 0.01, "sampling_rate": 100.0, "resettable": True,
    "inputs": [{"name": "a", "unit": "V", "low": -1, "high": 1}, {"name": "b", "unit": "V", "low": -1, "high": 1}],
    "outputs": [{"name": "a", "unit": "V", "low": -2, "high": 2}, {"name": "b", "unit": "V", "low": -2, "high": 2}],
}  # fmt: skip
SENT_AGAIN = 64


class Doubler:
    """Serves one controller at a time; `applied` is its log."""

    def __init__(self, host, port, version, lease=15.0, units=None, scale=1.0):
        self.units, self.scale = units, scale  # of responses; None: those of info, and so no word of them
        self.base, self.epoch, self.lease = "inmateria/1/bench/doubler/", secrets.token_hex(8), lease
        self.applied, self.state, self.exchange, self.clock = [], "online", 0, 0.0
        self.forget()
        self.mqtt = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self.mqtt.on_connect, self.mqtt.on_message = self.born, self.hear
        self.mqtt.will_set(self.base + "status", json.dumps({"state": "offline", "epoch": self.epoch}), 1, True)
        self.mqtt.connect(host, port, 3)
        self.mqtt.loop_start()

    def close(self):
        """Say goodbye."""
        self.tell("offline")
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def forget(self):
        """Be free for the next controller."""
        self.holder, self.grant, self.next, self.refused = "", "", 0, None
        self.until, self.early, self.answers = 0.0, {}, {}

    def born(self, client, *rest):
        """Announce ourselves, at each connection."""
        client.subscribe([(self.base + each, 0) for each in ("stop", "release", "stimulus/+/+")])
        client.publish(self.base + "info", json.dumps(INFO), 1, True)
        self.tell(self.state)

    def tell(self, state):
        """Say how we are and who holds us."""
        status = {"state": state, "epoch": self.epoch, "holder": self.holder, "lease": self.lease}
        self.mqtt.publish(self.base + "status", json.dumps(status), 1, True)

    def hear(self, client, data, message):
        """Take a message."""
        word, *rest = message.topic.removeprefix(self.base).split("/")
        if word == "stimulus":
            self.obey("/".join(rest), rest[-1], bytes(message.payload))
        elif word in ("stop", "release"):
            self.forget()
            self.state = "stopped" if word == "stop" else "online"
            self.tell(self.state)

    def obey(self, holder, session, data):
        """Take a command of a controller."""
        try:
            magic, major, covers, length, check = struct.unpack_from("<2sBBII", data)
            body = data[12 + length :]
            assert (magic, major, covers) == (b"IM", 1, 1)
            assert check == zlib.crc32(data[:8] + data[12:])
            head = msgpack.unpackb(data[12 : 12 + length])
            assert head["session"] == session
        except (AssertionError, struct.error, ValueError, KeyError, TypeError, msgpack.exceptions.UnpackException):
            return
        now, kind = time.monotonic(), head["kind"]
        if self.holder and now > self.until:
            self.forget()
        if kind == "probe":
            return
        if kind == "open":
            if self.holder not in ("", holder):
                self.refuse(holder, -1, "SubstrateBusy", f"held by {self.holder}", f"for {self.until - now:.0f} s")
                return
            if self.state != "online":
                self.refuse(holder, -1, "SubstrateDisconnected", "it was stopped")
                return
            self.holder, self.grant, self.until = holder, self.grant or secrets.token_hex(8), now + self.lease
            window = [SENT_AGAIN, 100_000, 1_000_000]
            self.say(holder, kind="opened", sequence=self.next, grant=self.grant, lease=self.lease, window=window)
            self.tell("online")
        elif holder != self.holder:
            self.refuse(holder, -1, "SubstrateDisconnected", "it does not hold the lease", "", "connect again")
        elif head.get("grant") == self.grant:
            self.until = now + self.lease
            if kind == "close":
                self.forget()
                self.tell("online")
            elif kind in ("stimulus", "reset", "resume"):
                self.in_turn(head, body)

    def in_turn(self, head, body):
        """Deal with a numbered command once, and with those that waited for it."""
        number = head.get("sequence", 0)
        if number < self.next:
            if number in self.answers:
                self.say(self.holder, self.answers[number][1], **self.answers[number][0])
            return
        if len(self.early) < SENT_AGAIN:
            self.early[number] = (head, body)
        while self.next in self.early:
            number, self.next = self.next, self.next + 1
            self.answers.pop(number - SENT_AGAIN, None)
            self.answers[number] = answer = self.answer(number, *self.early.pop(number))
            self.say(self.holder, answer[1], **answer[0])
        if self.early:
            self.say(self.holder, kind="missing", sequence=self.next)

    def answer(self, number, head, body):
        """Apply a command, and give header and body of the answer."""
        if head["kind"] == "resume":
            self.refused = None
        elif self.refused is not None:
            words = ["StimulusRejected", f"number {number} comes after number {self.refused}", "", ""]
            return {"kind": "refused", "sequence": number, "error": words}, b""
        elif head["kind"] == "reset":
            self.exchange, self.clock = 0, 0.0
        else:
            values = struct.unpack(f"<{len(body) // 8}d", body) if head["dtype"] == "<f8" else ()
            if head["shape"][-1:] != [2] or not values or not all(-1 <= each <= 1 for each in values):
                self.refused = number
                return {
                    "kind": "refused",
                    "sequence": number,
                    "error": ["StimulusRejected", "outside", "-1 to 1 V", ""],
                }, b""
            self.applied.append(values)
            steps, start, exchange = head["shape"][0], self.clock, self.exchange
            self.exchange, self.clock = self.exchange + 1, self.clock + steps * head["step"]
            doubled = struct.pack(f"<{len(values)}d", *(2 * each * self.scale for each in values))
            return {"kind": "response", "sequence": number, "start": start, "exchange": exchange,
                    "dtype": "<f8", "shape": [steps, 1, 2], **({"units": self.units} if self.units else {})}, doubled  # fmt: skip  # noqa: E501
        return {"kind": "done", "sequence": number}, b""

    def refuse(self, holder, number, *words):
        """Say that something was not done, and why."""
        self.say(holder, kind="refused", sequence=number, error=[*words, "", "", ""][:4])

    def say(self, holder, body=b"", **header):
        """Publish a frame to a session."""
        head = msgpack.packb({"session": holder.split("/")[1], "epoch": self.epoch, **header})
        prefix = struct.pack("<2sBBI", b"IM", 1, 1, len(head))
        check = struct.pack("<I", zlib.crc32(prefix + head + body))
        self.mqtt.publish(f"{self.base}response/{holder}", prefix + check + head + body)
