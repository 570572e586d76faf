"""
Bursts of a culture
===================

Four seconds of a simulated culture of 500 neurons as 32 electrodes hear it: spikes above, their rate below. From the
second second on, electrode 4 is stimulated twice a second.
"""

import matplotlib.pyplot as plt
import numpy as np

from inmateria.simulators import NeuralCulture, Pulses

culture = NeuralCulture(neurons=500, electrodes=32, seed=1, regime="bursting")
times = np.arange(2.0, 4.0, 0.5)
spikes = culture.run(4.0, Pulses(times, electrode=[4] * len(times), amplitude=2e-6)).spikes

figure, (above, below) = plt.subplots(2, 1, figsize=(7, 4), sharex=True, height_ratios=(2, 1), layout="constrained")
above.plot(spikes["time"], spikes["channel"], "|", color="k", ms=4)
above.plot(times, np.full(len(times), -1.5), "v", color="tab:red", clip_on=False, label="pulse")
above.set(ylabel="electrode", title=f"{len(spikes):,} spikes")
above.legend(loc="upper left", fontsize=8)
below.hist(spikes["time"], np.arange(0, 4.01, 0.02), color="tab:blue")
below.set(xlabel="time (s)", ylabel="spikes in 20 ms")
