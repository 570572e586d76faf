"""BrainDance, MaxwellEnv: raw frames in buffers, spikes of single frames, and a buffer that is emptied.

Source: https://github.com/braingeneers/braindance/blob/2b9383f4c30f0e51f56ee2b4c2011392fe1d888f/braindance/core/maxwell_env.py
Left: the vendor's library maxlab (electrodes, gain, threshold, stimulation, saving), which comes with the chip; the
plot.
"""

# %% subscribe to raw frames
import array
import struct
import time

import zmq

context = zmq.Context()
subscriber = context.socket(zmq.SUB)
subscriber.setsockopt(zmq.RCVHWM, 100)
subscriber.setsockopt(zmq.RCVBUF, 10 * 20000 * 1030)
subscriber.setsockopt_string(zmq.SUBSCRIBE, "")
subscriber.setsockopt(zmq.RCVTIMEO, 2000)  # ms; 100 there, which a busy machine takes to start a thread
subscriber.connect("tcp://localhost:7204")

# %% leave out the first packet, and what waits
begun, more = time.perf_counter(), True
while more:
    try:
        subscriber.recv()
    except zmq.ZMQError:
        if time.perf_counter() - begun >= 3:
            raise TimeoutError("the server is not on") from None
        continue
    more = subscriber.getsockopt(zmq.RCVMORE)
more = True
while more:
    try:
        subscriber.recv(flags=zmq.NOBLOCK)
        more = subscriber.getsockopt(zmq.RCVMORE)
    except zmq.Again:
        break


# %% packets, one or a buffer of them
def receive_packet():
    frame_data = events_data = None
    number = struct.unpack("Q", subscriber.recv())[0]
    if subscriber.getsockopt(zmq.RCVMORE):
        frame_data = subscriber.recv()
    if subscriber.getsockopt(zmq.RCVMORE):
        events_data = subscriber.recv()
    return number, frame_data, events_data


buffer = [receive_packet() for _ in range(100)]
observations = [array.array("f", frame) for _, frame, _ in buffer]

# %% steps that wait until new frames come as slowly as they are made
waits = 0
until = time.perf_counter() + 10
while waits < 10 and time.perf_counter() < until:
    begun = time.perf_counter()
    for _ in range(10):
        receive_packet()
    waits = waits + 1 if (time.perf_counter() - begun) * 2000 / 10 >= 0.5 else 0

# %% spikes of a second, without frames in which more than 15 % of the channels have one
size, spikes = struct.calcsize("8xLif"), []
for _ in range(2000):
    _, _, raw = receive_packet()
    if raw is not None and len(raw) // size < 1024 * 0.15:
        spikes += [struct.unpack("8xLif", raw[k : k + size]) for k in range(0, len(raw), size)]

# %% check: values of the frames by their numbers, and spikes
assert all(list(seen[:2]) == [number % 1000, (number + 1) % 1000] for (number, _, _), seen in zip(buffer, observations))
assert all((frame % 50, channel) == (0, frame // 50 % 10) for frame, channel, _ in spikes)
assert 20 <= len(spikes) <= 60
context.destroy(0)
