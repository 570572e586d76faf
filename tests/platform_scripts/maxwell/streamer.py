"""A laboratory's streamer: filtered frames, their bytes and their spikes, one call a frame.

Source: https://github.com/search?type=code&q=%22class+Streamer%22+MaxwellGI+%22maxwell+streamer+ready%22
Left: the controller of the chip, which the vendor's library drives; the index in which it was read names no repository.
"""

# %% connect, and align to frames
import struct
import time
from collections import namedtuple

import numpy as np
import zmq

SpikeEvent = namedtuple("SpikeEvent", "frame channel amplitude")
SIZE = struct.calcsize("8xLif")
context = zmq.Context()
subscriber = context.socket(zmq.SUB)
subscriber.setsockopt(zmq.RCVHWM, 0)
subscriber.setsockopt(zmq.RCVBUF, 10 * 20000 * 1030)
subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
subscriber.setsockopt(zmq.RCVTIMEO, 100)
subscriber.connect("tcp://localhost:7205")
begun, more = time.time(), True
while more:
    try:
        subscriber.recv()
    except zmq.ZMQError:
        if time.time() - begun >= 3:
            raise TimeoutError("the server is not on") from None
        continue
    more = subscriber.getsockopt(zmq.RCVMORE)


# %% one frame with its spikes
def get_data():
    frame_data = events_raw = None
    frame_number = struct.unpack("Q", subscriber.recv())[0]
    if subscriber.getsockopt(zmq.RCVMORE):
        frame_data = subscriber.recv()
    if subscriber.getsockopt(zmq.RCVMORE):
        events_raw = subscriber.recv()
    starts = range(0, len(events_raw or b""), SIZE)
    events = [SpikeEvent(*struct.unpack("8xLif", events_raw[k : k + SIZE])) for k in starts]
    return frame_number, frame_data, events


# %% three hundred of them
data = [get_data() for _ in range(300)]

# %% check: no frame is missing, and the bytes are its values
numbers = np.array([number for number, _, _ in data])
assert (np.diff(numbers) == 1).all()
values = np.frombuffer(b"".join(frame for _, frame, _ in data), dtype=np.float32).reshape(300, -1)
assert np.array_equal(values, (numbers[:, np.newaxis] + np.arange(1027)) % 1000)
assert sum(len(events) for _, _, events in data) >= 4
context.destroy(0)
