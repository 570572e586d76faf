"""A laboratory's example of the closed loop: spikes from the filtered stream, a stimulus for one channel's.

Source: https://github.com/search?type=code&q=%22sequence_send+close_loop%22+7205+7210+language%3APython
Left: running without end, here for 400 frames; the index in which it was read names no repository.
"""

# %% sockets for the filtered stream and for commands
import array
import struct
from collections import namedtuple

import zmq

SpikeEvent = namedtuple("SpikeEvent", "frame channel amplitude")
receive_channel = 3
ctx = zmq.Context()
subscriber = ctx.socket(zmq.SUB)
subscriber.setsockopt(zmq.RCVHWM, 0)
subscriber.setsockopt(zmq.RCVBUF, 10 * 20000 * 1030)
subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
subscriber.setsockopt(zmq.RCVTIMEO, 100)
subscriber.connect("tcp://localhost:7205")
api_socket = ctx.socket(zmq.REQ)
api_socket.setsockopt(zmq.RCVTIMEO, -1)
api_socket.connect("tcp://localhost:7210")

# %% skip what may be a part of a frame
more = True
while more:
    try:
        subscriber.recv()
    except zmq.ZMQError:
        continue
    more = subscriber.getsockopt(zmq.RCVMORE)

# %% frames and their spikes
frames, events = [], []
while len(frames) < 400:
    frame_data = events_data = None
    try:
        frame_number = struct.unpack("Q", subscriber.recv())[0]
        if subscriber.getsockopt(zmq.RCVMORE):
            frame_data = subscriber.recv()
        if subscriber.getsockopt(zmq.RCVMORE):
            events_data = subscriber.recv()
    except zmq.ZMQError:
        continue
    frames.append((frame_number, array.array("f", frame_data)))
    if events_data is not None:
        size = struct.calcsize("8xLif")
        starts = range(0, len(events_data), size)
        events += [SpikeEvent(*struct.unpack("8xLif", events_data[k : k + size])) for k in starts]
found = [event for event in events if event.channel == receive_channel]

# %% refused: only streams
api_socket.send_string("sequence_send close_loop")
reply = api_socket.recv_string()
if reply != "OK":
    api_socket.send_string("get_errors")
    raise RuntimeError(api_socket.recv_string())

# %% check: 1,027 values a frame, one frame after the other, spikes where they were sent
numbers = [number for number, _ in frames]
assert numbers == list(range(numbers[0], numbers[0] + 400))
assert all(list(values[:3]) == [(number + k) % 1000 for k in range(3)] for number, values in frames)
assert {len(values) for _, values in frames} == {1027}
assert all((event.frame % 50, event.frame // 50 % 10, event.amplitude) == (0, event.channel, -25.5) for event in events)
assert len(events) >= 6
ctx.destroy(0)
