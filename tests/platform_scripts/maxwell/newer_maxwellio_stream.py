"""MaxwellIO, sampling: frames of a server from version 24.1 on, whose spikes have 16 bytes.

Source: https://github.com/search?type=code&q=%22MaxwellIO+sampling%22+SpikeEvent+_NEW_SPIKE_EVENT_STRUCT
Left: asking maxlab for the version of the server, and its simulated spikes; the index in which it was read names no
repository.
"""

# %% the raw stream, aligned by the flag of a message's parts
from struct import Struct

from zmq import Context, SocketOption, SocketType

FRAME_NUMBER, AMPLITUDE, SPIKE = Struct("<Q"), Struct("<f"), Struct("<QfHB1B")
context = Context()
subscriber = context.socket(SocketType.SUB)
subscriber.setsockopt(SocketOption.RCVHWM, 0)
subscriber.setsockopt(SocketOption.RCVBUF, 10 * 20000 * 1027)
subscriber.setsockopt_string(SocketOption.SUBSCRIBE, "")
subscriber.setsockopt(SocketOption.RCVTIMEO, 3000)
subscriber.connect("tcp://localhost:7204")
while subscriber.recv(copy=False).more:
    pass

# %% the number of a frame, its amplitudes, its spikes
frames = []
for _ in range(200):
    part = subscriber.recv(copy=False)
    number = FRAME_NUMBER.unpack(part.bytes)[0]
    amplitudes, spikes = [], []
    if part.more:
        part = subscriber.recv(copy=False)
        amplitudes = [value[0] for value in AMPLITUDE.iter_unpack(part.bytes)]
    if part.more:
        part = subscriber.recv(copy=False)
        spikes = [SPIKE.unpack_from(part.bytes, k) for k in range(0, len(part.bytes), SPIKE.size)]
    frames.append((number, amplitudes, spikes))

# %% check: 1,024 amplifiers and three values of the system, spikes of well 0
numbers = [number for number, _, _ in frames]
assert numbers == list(range(numbers[0], numbers[0] + 200))
assert all(values == [(number + k) % 1000 for k in range(1027)] for number, values, _ in frames)
found = [spike for _, _, spikes in frames for spike in spikes]
assert all((frame // 50 % 10, -25.5, 0) == (channel, size, well) for frame, size, channel, well, _ in found)
assert len(found) >= 3
context.destroy(0)
