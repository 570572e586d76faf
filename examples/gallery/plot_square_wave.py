"""
A sine becomes a square wave
============================

Every electrode of a simulated nanowire network gets the same sine in another strength; a linear readout learns the
square wave from what comes out. The same readout on the input alone cannot do it.
"""

import matplotlib.pyplot as plt
import numpy as np

from inmateria import PhysicalReservoir, RidgeReadout
from inmateria.reservoir import VirtualNodes

t = np.arange(0, 20, 0.01)  # s
target = np.sign(np.sin(2 * np.pi * 0.5 * t))
drive = np.outer(np.sin(2 * np.pi * 0.5 * t), np.linspace(0.2, 1.6, 8))  # V

network = PhysicalReservoir("nanowire://?seed=3", features=VirtualNodes(samples=1), step=0.01)
with network.blocking() as reservoir:
    X = reservoir.run(drive)

train, test = slice(200, 1100), slice(1100, 2000)
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, features in (("network", X), ("input alone", drive)):
    readout = RidgeReadout(np.logspace(-14, 2, 17)).fit(features[train], target[train])
    score = readout.score(features[test], target[test])
    ax.plot(t[test], readout.predict(features[test]), label=f"{name}, R² = {score:.2f}")
ax.plot(t[test], target[test], "k:", label="wanted")
ax.set(xlabel="time (s)", xlim=(11, 17), title="Read out of a nanowire network")
ax.legend(loc="upper right", fontsize=8)
