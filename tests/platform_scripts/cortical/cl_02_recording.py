"""CL-02, Recording: stopped by hand, after seconds, after frames; the file's samples, spikes and stims.

Source: https://github.com/Cortical-Labs/cl-api-doc/blob/a6726472cb3375ebcd836ec2dd239ebff7a1624a/CL-02.%20Recording.ipynb
Left: the plots.
"""

# %% stopped by hand
import cl

with cl.open() as neurons:
    recording = neurons.record()
    for tick in neurons.loop(ticks_per_second=100, stop_after_seconds=0.5):
        if tick.iteration == 10:
            neurons.stim(29, 1.5)
    recording.stop()
attrs = recording.attributes
print(attrs["duration_frames"], attrs["duration_seconds"], recording.file["path"])

# %% after some time
with cl.open() as neurons:
    timed = neurons.record(stop_after_seconds=0.4)
    timed.wait_until_stopped()

# %% after some frames
with cl.open() as neurons:
    counted = neurons.record(stop_after_frames=neurons.get_frames_per_second() // 2)
    counted.wait_until_stopped()

# %% the file
view = recording.open()
frame = view.samples[100:101]
spikes = [(row["timestamp"], row["channel"]) for row in view.spikes]
stims = [(row["timestamp"], row["channel"]) for row in view.stims]
view.close()

# %% check: as long as asked; our reader has the same samples, spikes and stims
import numpy as np
from inmateria.adapters.cortical.files import read_recording

assert timed.attributes["duration_frames"] == 10_000
assert counted.attributes["duration_frames"] == 12_500
segment = read_recording(recording.file["path"]).segments[0]
assert np.allclose(segment.analogsignals[0].magnitude[100], 0.195 * frame[0], rtol=1e-6)
assert np.abs(frame).max() > 0
assert sum(map(len, segment.spiketrains)) == len(spikes)
assert [channel for _, channel in stims] == [29] and segment.events[0].labels.tolist() == ["e29"]
assert np.allclose(segment.events[0].magnitude, [at / 25_000 for at, _ in stims])
