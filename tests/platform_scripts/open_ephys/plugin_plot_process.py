"""The plugin's Python client: blocks of a channel, events and spikes, heartbeats, and an event sent back.

Source: https://github.com/open-ephys-plugins/zmq-interface/blob/4d8c36a0a10a65bececd89dfb8a78e9f22a96dd9/Resources/python_client/plot_process_zmq.py
Left: the plot, and parameters, which the plugin does not send.
"""

# %% connect to data and heartbeats, with a poller
import json
import time
import uuid

import numpy as np
import zmq

context = zmq.Context()
poller = zmq.Poller()
data_socket = context.socket(zmq.SUB)
data_socket.connect("tcp://localhost:5556")
event_socket = context.socket(zmq.REQ)
event_socket.connect("tcp://localhost:5557")
data_socket.setsockopt(zmq.SUBSCRIBE, b"")
poller.register(data_socket, zmq.POLLIN)
poller.register(event_socket, zmq.POLLIN)
me = {"application": "Plot Process", "uuid": str(uuid.uuid4())}
replies = []

# %% send an event to the GUI, and wait for its reply
event = {"type": 3, "sample_num": 0, "event_id": 1 % 2 + 1, "event_channel": 1}
event_socket.send(json.dumps({**me, "type": "event", "event": event}).encode("utf-8"), 0)
replies.append(event_socket.recv())

# %% a heartbeat, and for two seconds every message: signals of channel 1, events, spikes
event_socket.send(json.dumps({**me, "type": "heartbeat"}).encode("utf-8"))
waits, blocks, events, spikes, message_num, missing = True, [], [], [], -1, 0
until = time.time() + 2
while time.time() < until:
    socks = dict(poller.poll(1))
    if not socks:
        continue
    if data_socket in socks:
        message = data_socket.recv_multipart(zmq.NOBLOCK)
        header = json.loads(message[1].decode("utf-8"))
        if message_num not in (-1, header["message_num"] - 1):
            missing += 1
        message_num = header["message_num"]
        if header["type"] == "data":
            content = header["content"]
            if content["channel_num"] == 1:
                array = np.reshape(np.frombuffer(message[2], dtype=np.float32), content["num_samples"])
                blocks.append((content["sample_num"], array))
        elif header["type"] == "event":
            data = message[2] if header["data_size"] > 0 else b""
            line = np.frombuffer(data, dtype=np.uint8)[0]
            state = np.frombuffer(data, dtype=np.uint8, offset=1)[0]
            word = np.frombuffer(data, dtype=np.uint64, offset=2)[0]
            events.append((header["content"]["type"], header["content"]["sample_num"], line, state, word))
        elif header["type"] == "spike":
            spikes.append({**header["spike"], "data": message[2]})
        else:
            raise ValueError("message type unknown")
    elif event_socket in socks and waits:
        replies.append(event_socket.recv())
        waits = False

# %% check: replies, no message missed, and the sine of channel 1
assert replies == [b"message correctly parsed", b"heartbeat received"]
assert missing == 0
first, whole = blocks[0][0], np.concatenate([array for _, array in blocks])
assert len(whole) > 30_000
expected = 100 * np.sin(2 * np.pi * 20 * (first + np.arange(len(whole))) / 30_000)
assert np.allclose(whole, expected, atol=1e-3)
assert {(kind, line) for kind, _, line, _, _ in events} == {(3, 0)}
assert all(word == state for _, _, _, state, word in events)
assert {(spike["electrode"], spike["sorted_id"]) for spike in spikes} == {("Stereotrode 1", 2)}
context.destroy(0)
