"""
Current and voltage of a nanowire network
=========================================

The voltage goes up and down. On the way down the network carries more current at the same voltage: filaments have
grown in its junctions. This memory is what a reservoir of wires computes with.
"""

import matplotlib.pyplot as plt
import numpy as np

from inmateria.simulators import NanowireNetwork

network = NanowireNetwork(seed=3)
triangle = 2.0 * np.concatenate([np.linspace(0, 1, 60), np.linspace(1, 0, 60)])  # V
drive = np.outer(triangle, np.ones(len(network.info.inputs)))
signal = network.advance(network.info.stimulus(drive, step=0.01)).signal
assert signal is not None
current = -signal[:, -1, -1]  # into ground, A

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(triangle[:60], 1e6 * current[:60], label="up")
ax.plot(triangle[60:], 1e6 * current[60:], label="down")
ax.set(xlabel="voltage (V)", ylabel="current (µA)", title="Hysteresis")
ax.legend()
