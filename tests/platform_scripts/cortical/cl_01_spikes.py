"""CL-01, Detecting and Reacting to Spikes: the loop, spikes with their samples, jitter.

Source: https://github.com/Cortical-Labs/cl-api-doc/blob/a6726472cb3375ebcd836ec2dd239ebff7a1624a/CL-01.%20Detecting%20and%20Reacting%20to%20Spikes.ipynb
Left: the measurement of jitter over 30 s, and the error when a loop is late, which the SDK's simulator does not have.
"""

# %% stimulate where a spike is
import cl

answered = []
with cl.open() as neurons:
    for tick in neurons.loop(ticks_per_second=1000, stop_after_seconds=1):
        for spike in tick.analysis.spikes:
            answered.append(spike.channel)
            if spike.channel not in (0, 4, 7, 56, 63):
                neurons.stim(spike.channel, 1)

# %% a closed loop with an end of its own
with cl.open() as neurons:
    seen = 0
    for tick in neurons.loop(ticks_per_second=100):
        seen += len(tick.analysis.spikes)
        if tick.iteration == 120:
            break

# %% the largest of some spikes, and its samples
import numpy as np

with cl.open() as neurons:
    spikes = []
    for tick in neurons.loop(ticks_per_second=200, stop_after_seconds=2):
        spikes.extend(tick.analysis.spikes)
        if len(spikes) > 40:
            break
largest = max(spikes, key=lambda each: np.abs(each.samples).max())
print(largest.channel, largest.timestamp, np.round(largest.samples, 1))

# %% spikes as packets over UDP, jitter ignored
import socket
import struct

receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
with cl.open() as neurons:
    for tick in neurons.loop(ticks_per_second=1000, ignore_jitter=True, stop_after_seconds=1):
        spikes_now = tick.analysis.spikes
        if spikes_now:
            first = spikes_now[0]
            payload = bytearray(struct.pack("<QB", first.timestamp, first.channel))
            payload.extend([each.channel for each in spikes_now[1:]])
            sender.sendto(payload, receiver.getsockname())
            sent += 1
sender.close()
receiver.close()

# %% check: there is activity, and the samples of spikes are spikes: a trough 0.4 ms after, above the noise
assert answered and seen and sent
mean = np.mean([each.samples for each in spikes], axis=0)
assert mean.shape == (75,) and np.isfinite(mean).all()
assert 33 <= np.argmin(mean) <= 37
assert mean.min() < -20 and np.abs(mean[:20]).max() < 10
