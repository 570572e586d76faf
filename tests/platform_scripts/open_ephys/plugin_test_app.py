"""The plugin's test application: messages counted in a thread, with a heartbeat every two seconds.

Source: https://github.com/open-ephys-plugins/zmq-interface/blob/44b5c91467866c2afda724e413b33b1f153f7c88/Resources/python_client/test_app.py
Left: a new connection after ten seconds without a reply; here it runs for 2.5 s.
"""

# %% sockets and a poller
import json
import time
import uuid
from threading import Thread, current_thread

import numpy as np
import zmq

context, poller = zmq.Context(), zmq.Poller()
data_socket = context.socket(zmq.SUB)
data_socket.connect("tcp://localhost:5556")
data_socket.setsockopt(zmq.SUBSCRIBE, b"")
poller.register(data_socket, zmq.POLLIN)
heartbeat_socket = context.socket(zmq.REQ)
heartbeat_socket.connect("tcp://localhost:5557")
poller.register(heartbeat_socket, zmq.POLLIN)
identity = str(uuid.uuid4())

# %% the thread's work
seen = {"samples": 0, "events": 0, "spikes": 0, "replies": 0, "missed": 0, "last": None}


def callback():
    thread = current_thread()
    last_heartbeat, waits = 0.0, False
    while thread.alive:
        if time.time() - last_heartbeat > 2.0 and not waits:
            words = {"application": "Test App " + identity[:4], "uuid": identity, "type": "heartbeat"}
            heartbeat_socket.send(json.dumps(words).encode("utf-8"))
            last_heartbeat, waits = time.time(), True
        socks = dict(poller.poll(1))
        if data_socket in socks:
            message = data_socket.recv_multipart(zmq.NOBLOCK)
            header = json.loads(message[1].decode("utf-8"))
            if seen["last"] is not None and header["message_num"] != seen["last"] + 1:
                seen["missed"] += 1
            seen["last"] = header["message_num"]
            if header["type"] == "data" and header["content"]["channel_num"] == 1:
                samples = np.frombuffer(message[2], dtype=np.float32)
                seen["samples"] += len(np.reshape(samples, header["content"]["num_samples"]))
            elif header["type"] in ("event", "spike"):
                seen[header["type"] + "s"] += 1
        elif heartbeat_socket in socks and waits:
            heartbeat_socket.recv()
            seen["replies"], waits = seen["replies"] + 1, False


# %% run it, and stop it
thread = Thread(target=callback)
thread.alive = True
thread.start()
thread.join(2.5)
thread.alive = False
thread.join()

# %% check: samples at their rate, and two heartbeats
assert 45_000 < seen["samples"] < 90_000
assert seen["replies"] == 2
assert seen["missed"] == 0
assert min(seen["events"], seen["spikes"]) > 10
assert {beat["uuid"] for beat in platform.heartbeats} == {identity}
context.destroy(0)
