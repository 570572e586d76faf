"""CL-00, Hello, Neurons: one channel, several, a burst of three phases.

Source: https://github.com/Cortical-Labs/cl-api-doc/blob/a6726472cb3375ebcd836ec2dd239ebff7a1624a/CL-00.%20Hello,%20Neurons.ipynb
"""

# %% one channel
import cl

with cl.open() as neurons:
    neurons.stim(cl.ChannelSet(19), cl.StimDesign(200, -1.2, 200, 1.2))

# %% several channels
with cl.open() as neurons:
    neurons.stim(cl.ChannelSet(18, 19, 26, 27), cl.StimDesign(200, -1.2, 200, 1.2))

# %% a burst of stims of three phases, which leave a charge behind
with cl.open() as neurons:
    neurons.stim(cl.ChannelSet(18, 19, 26, 27), cl.StimDesign(140, -2, 280, 1, 140, -2), cl.BurstDesign(9, 50))

# %% check: such stims are given, at their times
with cl.open() as neurons:
    begun = neurons.timestamp()
    neurons.stim(cl.ChannelSet(18, 19), cl.StimDesign(140, -2, 280, 1, 140, -2), cl.BurstDesign(3, 50))
    given = []
    for tick in neurons.loop(ticks_per_second=100, stop_after_seconds=0.2):
        given += [(stim.timestamp - begun, stim.channel) for stim in tick.analysis.stims]
assert given == [(at, channel) for at in (2, 502, 1002) for channel in (18, 19)]
