"""Draw the pictures of nanowire.md: python docs/nanowire_pictures.py."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from inmateria.simulators import Filament, NanowireNetwork

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw_network(axes: Axes) -> None:
    """Wires, junctions and electrodes of the default network under 1 V."""
    network = NanowireNetwork()
    network.simulate(np.full((300, 8), 1.0), record=())
    layout = network.info.layout
    wires = np.array(layout.segments).reshape(-1, 2, 2)
    points = np.array(layout.points)
    axes.add_collection(LineCollection(wires, colors="0.7", linewidths=1))
    dots = axes.scatter(*points.T, c=np.log10(network.conductance), s=8, cmap="viridis", zorder=2)
    plt.colorbar(dots, ax=axes, label="log10 conductance (S)")
    for name, nodes, colour in (
        ("driven", network.input_nodes, "C3"),
        ("ground", network.ground_nodes, "k"),
        ("read", network.output_nodes, "C0"),
    ):
        axes.scatter(*network.positions[nodes].T, marker="s", s=40, color=colour, label=name, zorder=3)
    axes.set(xlabel="x (um)", ylabel="y (um)", aspect="equal", title="100 wires after 0.3 s at 1 V")
    axes.legend(loc="upper left", fontsize=7)


def draw_hysteresis(axes: Axes) -> None:
    """One junction under a triangle wave."""
    for frequency in (0.2, 0.5, 2.0):
        time = np.arange(0, 2 / frequency, 1e-4)
        voltage = 0.1 * 2 / np.pi * np.arcsin(np.sin(2 * np.pi * frequency * time))
        junction = NanowireNetwork.from_junctions(2, [(0, 1)], inputs=[0], grounds=[1])
        current = junction.simulate(voltage, 1e-4, record="currents").currents[:, 0]
        late = time >= 1 / frequency
        axes.plot(voltage[late] * 1e3, current[late] * 1e6, label=f"{frequency} Hz")
    axes.set(xlabel="voltage (mV)", ylabel="current (uA)", title="One junction, triangle wave, second period")
    axes.legend(fontsize=7)


def draw_transition(axes: Axes) -> None:
    """Conductance between far contacts against voltage, in units of set voltage times path length."""
    factors = np.linspace(0.4, 2.0, 25)
    for seed in range(1, 6):
        network = NanowireNetwork(seed=seed, electrodes=2, inputs=1)
        links = coo_array((np.ones(len(network.junctions)), network.junctions.T), shape=(network.wire_count,) * 2)
        path = shortest_path(links, directed=False, unweighted=True, indices=network.input_nodes)[0]
        length = int(path[network.ground_nodes[0]])
        conductance = []
        for factor in factors:
            network.reset()
            voltage = factor * 0.01 * length
            current = network.simulate(np.full(30_000, voltage), record="currents").currents[-1, 0]
            conductance.append(current / voltage)
        axes.semilogy(factors, conductance, ".-", label=f"seed {seed}, path {length}")
    axes.axvline(1, color="0.5", linestyle=":")
    axes.set(
        xlabel="voltage / (set voltage x shortest path)",
        ylabel="conductance (S)",
        title="Conductance after 30 s at constant voltage",
    )
    axes.legend(fontsize=7)


def draw_memory(axes: Axes) -> None:
    """Distance of two histories under one input."""
    for frequency in (0.1, 0.5, 0.85):
        fresh, used = (
            NanowireNetwork(electrodes=2, inputs=1, model=Filament(reset_voltage=0.01, off_conductance=1e-8))
            for _ in range(2)
        )
        used.simulate(np.full(500, 3.0), record=())
        drive = 1.25 * 2 / np.pi * np.arcsin(np.sin(2 * np.pi * frequency * np.arange(0, 40, 1e-3)))
        distance = [np.linalg.norm(fresh.filament - used.filament)]
        for part in np.split(drive, 400):
            fresh.simulate(part, record=())
            used.simulate(part, record=())
            distance.append(np.linalg.norm(fresh.filament - used.filament))
        axes.semilogy(np.arange(401) * 0.1, np.maximum(distance, 1e-18), label=f"{frequency} Hz")
    axes.set(xlabel="time (s)", ylabel="distance of states (V s)", title="Two histories, one triangle wave of 1.25 V")
    axes.legend(fontsize=7)


def main() -> None:
    """Draw all of them into one file."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 9), layout="constrained")
    for draw, where in zip((draw_network, draw_hysteresis, draw_transition, draw_memory), axes.flat, strict=True):
        draw(where)
    figure.savefig(Path(__file__).parent / "images" / "nanowire.png", dpi=90)


if __name__ == "__main__":
    main()
