"""Publishes one small message on a topic as fast as a broker takes it. Run as: flooder.py PORT TOPIC PAYLOAD_IN_HEX

It prints a line for each 5,000 messages that it has sent.
"""

import os
import socket
import struct
import sys

AT_ONCE = 500


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(kind: int, body: bytes) -> bytes:
    length, encoded = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        encoded += bytes([digit | (128 if length else 0)])
        if not length:
            return bytes([kind]) + encoded + body


def main() -> None:
    port, topic, payload = int(sys.argv[1]), sys.argv[2].encode(), bytes.fromhex(sys.argv[3])
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"flooder%d" % os.getpid())))
        assert broker.recv(4) == b"\x20\x02\x00\x00"
        block = AT_ONCE * packet(0x30, text(topic) + payload)
        sent = 0
        while True:
            broker.sendall(block)
            sent += AT_ONCE
            if sent % 5_000 == 0:
                print(sent, flush=True)


main()
