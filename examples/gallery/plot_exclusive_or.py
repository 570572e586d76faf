"""
A network that learns exclusive or
==================================

Sixteen nodes and 32 transistors, two of it side by side. Each transistor compares its own voltages in a free and a
clamped state and adjusts itself; no gradient is computed anywhere.
"""

import matplotlib.pyplot as plt
import numpy as np

from inmateria.simulators import ContrastiveNetwork, CoupledLearning

X = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]])  # V
Y = np.array([0, -0.087, -0.087, 0])  # V
network = ContrastiveNetwork(seed=1, rule=CoupledLearning(eta=0.1, alpha=2.0))
training = network.fit(X, Y, epochs=5_000)

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.loglog(np.arange(1, len(training.error) + 1), 1e3 * training.error)
ax.axhline(1e3 * np.std(Y), color="0.5", ls=":", label="naming the mean")
ax.set(xlabel="epoch", ylabel="error (mV)", title="Exclusive or, learned in the matter")
ax.legend()
