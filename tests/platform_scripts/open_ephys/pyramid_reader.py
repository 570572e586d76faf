"""Pyramid's reader for trials: polls data and heartbeats apart, and keeps signals, lines and waveforms by time.

Source: https://github.com/benjamin-heasly/pyramid/blob/d5057b2ba1c69778c423ed20c6176f5d6bd95b19/src/pyramid/neutral_zone/readers/open_ephys_zmq.py
Left: its buffers of trials, and its own stand-in for the plugin. It reads the word of all lines with the highest byte
first, and the plugin writes the lowest first.
"""

# %% two sockets, a poller for each
import json
import time
import uuid

import numpy as np
import zmq

context = zmq.Context()
data_socket = context.socket(zmq.SUB)
data_socket.setsockopt(zmq.SUBSCRIBE, b"")
data_socket.setsockopt(zmq.LINGER, 10)
data_socket.connect("tcp://127.0.0.1:5556")
data_poller = zmq.Poller()
data_poller.register(data_socket, zmq.POLLIN)
heartbeat_socket = context.socket(zmq.REQ)
heartbeat_socket.setsockopt(zmq.LINGER, 10)
heartbeat_socket.connect("tcp://127.0.0.1:5557")
heartbeat_poller = zmq.Poller()
heartbeat_poller.register(heartbeat_socket, zmq.POLLIN)

# %% a heartbeat
heartbeat = {"application": "Pyramid", "uuid": str(uuid.uuid4()), "type": "heartbeat"}
heartbeat_socket.send(json.dumps(heartbeat).encode("utf-8"))
reply = None
while reply is None:
    if heartbeat_socket in dict(heartbeat_poller.poll(10)):
        reply = heartbeat_socket.recv(zmq.NOBLOCK).decode("utf-8")

# %% read for a second
signals, lines, waveforms, envelopes = {}, [], [], set()
until = time.time() + 1
while time.time() < until:
    if data_socket not in dict(data_poller.poll(10)):
        continue
    parts = data_socket.recv_multipart(zmq.NOBLOCK)
    header = json.loads(parts[1].decode("utf-8"))
    envelopes.add(parts[0].decode("utf-8"))
    if header["type"] == "data":
        about = header["content"]
        signals.setdefault(about["channel_num"], []).append(np.frombuffer(parts[2], dtype=np.float32))
    elif header["type"] == "event":
        raw = parts[2]
        at = header["content"]["sample_num"] / 30_000
        lines.append((at, int(raw[0]), int(raw[1]), int.from_bytes(raw[2:10])))
    elif header["type"] == "spike":
        spike = header["spike"]
        shape = [spike["num_channels"], spike["num_samples"]]
        waveforms.append((spike["sample_num"] / 30_000, np.frombuffer(parts[2], dtype=np.float32).reshape(shape)))

# %% check: every channel, lines that alternate, waveforms
assert reply == "heartbeat received"
assert {name.rstrip("\0") for name in envelopes} == {"DATA", "EVENT"}
assert sorted(signals) == list(range(8))
assert all(np.ptp(np.concatenate(blocks)) > 190 for blocks in signals.values())
assert (np.abs(np.diff([state for _, _, state, _ in lines])) == 1).all()
assert len(waveforms) > 3
context.destroy(0)
