"""CL-05, Reading Raw Data: frames of now, of the past and of the future.

Source: https://github.com/Cortical-Labs/cl-api-doc/blob/a6726472cb3375ebcd836ec2dd239ebff7a1624a/CL-05.%20Reading%20Raw%20Data.ipynb
Left: the plots.
"""

# %% time goes on
import cl
import time

with cl.open() as neurons:
    first_timestamp = neurons.timestamp()
    for tick in neurons.loop(ticks_per_second=100, stop_after_seconds=0.5):
        pass
    second_timestamp = neurons.timestamp()

# %% one frame
with cl.open() as neurons:
    frame = neurons.read(1, neurons.timestamp())

# %% many frames
with cl.open() as neurons:
    frames = neurons.read(5000, neurons.timestamp())

# %% of the past
with cl.open() as neurons:
    neurons.read(5000, neurons.timestamp())
    past = neurons.read(2500, neurons.timestamp() - 2500)

# %% of the future
with cl.open() as neurons:
    future = neurons.read(1, neurons.timestamp() + 2500)

# %% check: frames are the culture's voltage: noise of 5 uV, and more where neurons fire
assert second_timestamp - first_timestamp >= 12_500
assert (frame.shape, frames.shape, past.shape, future.shape) == ((1, 64), (5000, 64), (2500, 64), (1, 64))
noise = 0.195 * frames.std(axis=0)
assert noise.min() > 4 and sorted(noise)[32] < 6
