"""
How far back does matter remember?
==================================

Memory capacity by delay: how much of the input of some steps ago a linear readout finds in the present features. A
digital echo-state network of twenty units stands beside the wires.
"""

import matplotlib.pyplot as plt
import numpy as np

from inmateria import PhysicalReservoir
from inmateria.reservoir import InputMask, memory_capacity

u = np.random.default_rng(0).uniform(-1, 1, 2_000)
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, uri in (("nanowires", "nanowire://?wires=100&seed=1"), ("echo-state network", "echo://?units=20&seed=1")):
    with PhysicalReservoir(uri, InputMask(scale=0.5), step=0.005 if "wire" in uri else None).blocking() as reservoir:
        found = memory_capacity(reservoir.run(u), u, range(1, 21))
    ax.plot(found.delays, found.capacities, ".-", label=f"{name}: {found.total:.1f} in all")
ax.set(xlabel="delay (steps)", ylabel="squared correlation", xticks=range(0, 21, 5), title="Memory by delay")
ax.legend()
