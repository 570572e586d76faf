"""Draw the pictures of nodes.md: python docs/nodes_pictures.py (a quarter of a minute)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from inmateria.figure_style import BLUE, GREEN, GREY, INK, PALE, RED, style_axes
from inmateria.simulators import (
    ContrastiveNetwork,
    CoupledLearning,
    EchoStateNetwork,
    NanowireNetwork,
    NeuralCulture,
    ResistiveLayers,
    ScatteringMedium,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parent / "images"
DRIVEN, MATTER, STATE, READ = range(4)


def four_panels(trained: str) -> tuple[Figure, list[Axes]]:
    """Make the panels of one kind of matter: what is driven, the matter, its state, what is read."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 2.7), width_ratios=(1, 1.25, 1, 1), layout="constrained")
    titles = ("driven", "the matter", "its state", "read")
    for axis, title, colour in zip(axes, titles, (RED, INK, INK, BLUE), strict=True):
        axis.set_title(title, color=colour, fontweight="bold")
        style_axes(axis)
    axes[MATTER].set_axis_off()
    axes[MATTER].set_aspect("equal")
    figure.supxlabel(f"trained: {trained}", fontsize=10, color=GREEN, fontweight="bold")
    return figure, list(axes)


def save(figure: Figure, name: str) -> None:
    """Write a picture."""
    figure.savefig(IMAGES / f"{name}.png", dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)


def arrow(axes: Axes, begin: Sequence[float], end: Sequence[float], colour: str) -> None:
    """Draw an arrow between two points."""
    axes.add_patch(
        FancyArrowPatch(
            tuple(begin), tuple(end), arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.4, zorder=4
        )
    )


def limits(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set the range of a schematic."""
    axes.set_xlim(*x)
    axes.set_ylim(*y)


def draw_nanowires() -> None:
    """Draw wires, junctions and electrodes; two pulses, the filaments that they grow, the voltages that follow."""
    network = NanowireNetwork(wires=40, seed=3, electrodes=6, inputs=2)
    drive = np.zeros((1000, 2))  # V, steps of 1 ms
    drive[100:350], drive[600:700] = 0.5, 1.0
    trace = network.simulate(drive, 1e-3, record=("voltages", "filaments"))
    figure, (driven, matter, state, read) = four_panels("a readout of the voltages (and the encoding before the drive)")
    time = np.arange(1000)
    driven.plot(time, drive[:, 0], color=RED)
    driven.set(xlabel="time (ms)", ylabel="voltage at the inputs (V)")
    wires = np.array(network.info.layout.segments).reshape(-1, 2, 2)
    matter.add_collection(LineCollection(wires, colors=PALE, linewidths=1.4))
    matter.scatter(*np.array(network.info.layout.points).T, s=7, color=INK, zorder=2)
    for nodes, colour, marker in (
        (network.input_nodes, RED, "s"), (network.output_nodes, BLUE, "s"), (network.ground_nodes, INK, "v"),
    ):  # fmt: skip
        matter.scatter(*network.positions[nodes].T, s=70, color=colour, marker=marker, zorder=3, edgecolor="white")
    matter.autoscale_view()
    matter.set_title("node: a wire · dot: a junction", fontsize=10)
    ground = network.positions[network.ground_nodes][0]
    matter.annotate("ground", ground, (7, -3), textcoords="offset points", fontsize=8, color=INK)
    grown = np.abs(trace.filaments)
    chosen = np.argsort(np.ptp(grown[350:600], axis=0) + np.ptp(grown[:350], axis=0))[-60::12]
    state.plot(time, 1e3 * grown[:, chosen], color=INK, linewidth=1.1)
    state.axhline(10, color=GREY, linestyle=":", linewidth=1)
    state.set(xlabel="time (ms)", ylabel="filament (mV s)")
    read.plot(time, trace.voltages[:, network.output_nodes], color=BLUE, linewidth=1.1)
    read.set(xlabel="time (ms)", ylabel="voltage of 3 wires (V)")
    save(figure, "node_nanowire")


def draw_culture() -> None:
    """Draw neurons on an array; pulses at one electrode, a membrane, the spikes that the electrodes detect."""
    culture = NeuralCulture(neurons=500, seed=4, electrodes=16)
    culture.run(3.0)
    places = culture.electrode_positions
    pulsed = 5
    near = np.argsort(np.hypot(*(culture.positions - places[pulsed]).T))
    drive = np.zeros((1, 16))
    membrane, spikes, pulses = [], [], (20, 80)
    for k in range(300):  # steps of 0.5 ms
        drive[0, pulsed] = 3e-6 if k // 2 in pulses and k % 2 == 0 else 0.0
        response = culture.advance(culture.info.stimulus(drive, step=5e-4))
        membrane.append(culture.state.arrays["neurons"][0, near[:3]])
        spikes.append(response.spikes)
    found = np.concatenate(spikes)
    figure, (driven, matter, state, read) = four_panels("a readout of the spikes; synapses, if plasticity is on")
    for pulse in pulses:
        driven.plot([pulse, pulse, pulse], [0, 3, 0], color=RED, linewidth=2)
    driven.axhline(0, color=RED, linewidth=1.2)
    driven.set(xlabel="time (ms)", ylabel="current, one electrode (uA)", xlim=(0, 150), ylim=(-0.2, 3.3))
    matter.scatter(*culture.positions.T, s=5, color=PALE, zorder=1)
    matter.scatter(*culture.positions[near[0]], s=45, color=INK, zorder=3)
    matter.scatter(*places.T, s=45, marker="s", color=BLUE, zorder=2)
    matter.scatter(*places[pulsed], s=60, marker="s", color=RED, zorder=2)
    matter.set_title("node: a neuron · square: an electrode", fontsize=10)
    state.plot(np.arange(300) * 0.5, np.array(membrane)[:, 0], color=INK, linewidth=1)
    state.axhline(15, color=GREY, linestyle=":", linewidth=1)
    state.set(xlabel="time (ms)", ylabel="membrane (mV above rest)", xlim=(0, 150))
    began = response.start - 299 * 5e-4
    read.plot((found["time"] - began) * 1e3, found["channel"], "|", color=BLUE, markersize=7)
    read.set(xlabel="time (ms)", ylabel="electrode with a spike", xlim=(0, 150), ylim=(-1, 16), yticks=range(0, 16, 5))
    for axis in (state, read):
        for pulse in pulses:
            axis.axvline(pulse, color=RED, linewidth=0.7, alpha=0.6)
    save(figure, "node_culture")


def draw_platforms() -> None:
    """Draw one step of each platform for living neurons: when pulses are given and when spikes are counted."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 2.7), width_ratios=(1.1, 1, 1, 1.2), layout="constrained")
    dish, *steps = axes
    dish.set_axis_off()
    dish.set_aspect("equal")
    dish.add_patch(Rectangle((0, 0), 10, 0.7, color=GREY))
    generator = np.random.default_rng(2)
    for x in np.arange(1, 10, 1.6):
        dish.add_patch(Rectangle((x - 0.35, 0.7), 0.7, 0.35, color=RED if x < 2 else BLUE))
    for x, y in zip(np.linspace(0.8, 9.2, 11), generator.uniform(1.8, 2.6, 11), strict=True):
        dish.add_patch(Circle((x, y), 0.38, facecolor=PALE, edgecolor=INK, linewidth=0.8))
    dish.plot([0, 0, 10, 10], [4.2, 0, 0, 4.2], color=INK, linewidth=1.2)
    arrow(dish, (1, -2.2), (1, -0.1), RED)
    arrow(dish, (5.8, -0.1), (5.8, -2.2), BLUE)
    dish.text(1.2, -3.2, "stimulator", color=RED, ha="center", fontsize=9)
    dish.text(6.2, -3.2, "amplifier", color=BLUE, ha="center", fontsize=9)
    dish.set_title("living neurons on electrodes", color=INK, fontweight="bold")
    limits(dish, (-0.5, 10.5), (-3.9, 4.6))
    drawn = (
        ("Intan: a step of 10 ms", 10, 0.0, (0.0, 10.0), "spikes with their times;\nsent in blocks of 4.3 ms"),
        ("CL1: a tick of 10 ms", 10, 0.08, (0.0, 10.0), "spikes of the tick,\ncounted and timed"),
        ("Neuroplatform: a step of 250 ms", 250, 0.0, (10.0, 200.0), "spikes counted from\n10 to 200 ms"),
    )
    for axis, (title, length, pulse, window, words) in zip(steps, drawn, strict=True):
        style_axes(axis)
        axis.spines["left"].set_visible(False)
        axis.set_title(title, color=INK, fontsize=10)
        axis.set(xlim=(-0.04 * length, 1.04 * length), ylim=(0, 3), yticks=[], xlabel="time in the step (ms)")
        axis.plot([pulse, pulse], [1.7, 2.8], color=RED, linewidth=2.5)
        axis.text(pulse + 0.04 * length, 2.45, "pulses", color=RED, fontsize=9)
        axis.axvspan(*window, 0.1, 0.45, color=BLUE, alpha=0.25, linewidth=0)
        axis.text(sum(window) / 2, 0.82, words, color=BLUE, fontsize=9, ha="center", va="center")
        axis.axvline(length, color=GREY, linestyle=":", linewidth=1)
    figure.supxlabel("trained: a readout of the spikes; what the tissue itself learns is its own",
                     fontsize=10, color=GREEN, fontweight="bold")  # fmt: skip
    save(figure, "node_platforms")


def draw_scattering() -> None:
    """Draw a modulator, a medium, a camera; phases, the field at two pixels, intensities."""
    medium = ScatteringMedium(ports=8, observables=24, seed=2)
    phases = np.random.default_rng(1).uniform(-1.5, 1.5, (1, 8))
    figure, (driven, matter, state, read) = four_panels("an encoder into the phases, and a readout of the intensities")
    driven.bar(np.arange(8), phases[0], color=RED, width=0.7)
    driven.axhline(0, color=GREY, linewidth=0.8)
    driven.set(xlabel="pixel of the modulator", ylabel="phase (rad)")
    limits(matter, (0, 12), (-0.5, 9))
    for k, phase in enumerate(phases[0]):
        matter.add_patch(Rectangle((1.2, k), 0.8, 0.8, facecolor=RED, alpha=0.25 + 0.7 * (phase + 1.5) / 3))
        arrow(matter, (0, k + 0.4), (1.1, k + 0.4), RED)
    generator = np.random.default_rng(3)
    matter.add_patch(Rectangle((4.6, 0), 2.4, 8, facecolor=PALE, alpha=0.5))
    matter.scatter(generator.uniform(4.7, 6.9, 70), generator.uniform(0.1, 7.9, 70), s=6, color=INK)
    for _ in range(9):
        path = np.column_stack(
            [
                [2.1, *np.sort(generator.uniform(4.7, 6.9, 3)), 9.6],
                [generator.uniform(0.3, 7.7), *generator.uniform(0.3, 7.7, 4)],
            ]
        )
        matter.plot(*path.T, color=GREY, linewidth=0.6)
    seen = medium.intensity(phases)[0]
    for k in range(12):
        matter.add_patch(
            Rectangle((9.7, k * 8 / 12), 0.8, 8 / 12 - 0.08, facecolor=BLUE, alpha=0.15 + 0.8 * seen[k] / seen.max())
        )
    matter.set_title("node: a pixel of the camera", fontsize=10)
    turning = np.repeat(phases, 200, axis=0)
    turning[:, 0] = np.linspace(-np.pi / 2, np.pi / 2, 200)
    for k, style in ((1, "-"), (4, "--"), (9, ":")):
        state.plot(turning[:, 0], medium.intensity(turning)[:, k], color=INK, linestyle=style, linewidth=1.2)
    state.set(xlabel="phase of pixel 0 (rad)", ylabel="light on 3 camera pixels", title="none: light of the moment")
    state.title.set(color=INK, fontweight="bold")
    signal = medium.advance(medium.info.stimulus(phases)).signal[0, 0]
    read.bar(np.arange(24), signal, color=BLUE, width=0.8)
    read.set(xlabel="pixel of the camera", ylabel="intensity (of the mean)")
    save(figure, "node_scattering")


def draw_echo() -> None:
    """Draw units with connections; an input, the states of four units, which are also what is read."""
    network = EchoStateNetwork(units=40, sr=0.9, lr=0.5, seed=3)
    drive = np.zeros((60, 1))
    drive[5:8], drive[30:40] = 1.0, -0.6
    signal = network.advance(network.info.stimulus(drive)).signal[:, 0]
    figure, (driven, matter, state, read) = four_panels("a readout of the states; the connections stay random")
    driven.step(np.arange(60), drive[:, 0], where="post", color=RED)
    driven.set(xlabel="update", ylabel="input")
    limits(matter, (-1.75, 1.75), (-1.35, 1.35))
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    where = np.column_stack([np.cos(angle), np.sin(angle)])
    generator = np.random.default_rng(5)
    for _ in range(22):
        a, b = generator.choice(12, 2, replace=False)
        matter.add_patch(
            FancyArrowPatch(where[a], where[b], connectionstyle="arc3,rad=0.2", arrowstyle="-|>", mutation_scale=7,
                            color=PALE, shrinkA=7, shrinkB=7)
        )  # fmt: skip
    matter.scatter(*where.T, s=90, color="white", edgecolor=INK, zorder=3)
    for k in (5, 6, 7):
        arrow(matter, where[k] * (1.7, 1), where[k] * (1.12, 1), RED)
    for k in (11, 0, 1):
        arrow(matter, where[k] * (1.12, 1), where[k] * (1.7, 1), BLUE)
    matter.set_title("node: a unit, a number in memory", fontsize=10)
    moved = np.argsort(np.ptp(signal, axis=0))
    state.plot(signal[:, moved[[-1, -4, -9, -16]]], color=INK, linewidth=1.1)
    state.set(xlabel="update", ylabel="state of 4 units")
    read.plot(signal, color=BLUE, linewidth=0.6)
    read.set(xlabel="update", ylabel="the same of all 40 units")
    save(figure, "node_echo")


def draw_contrastive() -> None:
    """Draw a grid of transistors; its drive with learning on and off, the gates, the output beside the label."""
    network = ContrastiveNetwork(seed=1, rule=CoupledLearning(eta=0.5, alpha=20.0))
    updates = 120
    drive = np.tile([0.45, 0.1, 0.06, 0.0], (updates, 1))
    drive[20:100, 3] = 1.0
    gates, output = [], []
    plus, minus = network.output_nodes[0]
    for row in drive:
        gates.append(network.weights.copy())
        signal = network.advance(network.info.stimulus(row[np.newaxis])).signal[0, 0]
        output.append(signal[plus] - signal[minus])
    figure, (driven, matter, state, read) = four_panels("the edges, by themselves, while learn is on")
    time = np.arange(updates) * 0.1
    for column, name, style in ((0, "input u00 (V)", "-"), (2, "label l00 (V)", "--"), (3, "learn", ":")):
        driven.step(time, drive[:, column], where="post", color=RED, linestyle=style, label=name)
    driven.set(xlabel="time (ms)", ylabel="drive", ylim=(-0.05, 1.75))
    driven.legend(fontsize=7, loc="upper right", frameon=False)
    limits(matter, (-1.1, 4.1), (-0.9, 3.6))
    change = np.abs(gates[-1] - gates[0])
    for (a, b), moved in zip(network.edges, change / change.max(), strict=True):
        (row, column), (other_row, other_column) = divmod(a, 4), divmod(b, 4)
        colour, width = (GREEN, 1 + 4 * moved)
        if abs(row - other_row) > 1 or abs(column - other_column) > 1:  # around the torus: two stubs
            step = np.sign([other_column - column, other_row - row]) * 0.45
            matter.plot([column, column - step[0]], [3 - row, 3 - row + step[1]], color=colour, linewidth=width)
            matter.plot(
                [other_column, other_column + step[0]],
                [3 - other_row, 3 - other_row - step[1]],
                color=colour,
                linewidth=width,
            )
        else:
            matter.plot([column, other_column], [3 - row, 3 - other_row], color=colour, linewidth=width)
    for nodes, colour in (
        (range(16), "white"), (network.input_nodes, RED), (network.rail_nodes, GREY),
        (network.output_nodes.ravel(), BLUE),
    ):  # fmt: skip
        for node in nodes:
            row, column = divmod(int(node), 4)
            matter.add_patch(Circle((column, 3 - row), 0.17, facecolor=colour, edgecolor=INK, zorder=3))
    matter.set_title("node: where edges meet", fontsize=10)
    state.plot(time, 1e3 * (np.array(gates) - gates[0])[:, np.argsort(change)[-8:]], color=GREEN, linewidth=1.1)
    state.set(xlabel="time (ms)", ylabel="change of 8 gates (mV)")
    read.plot(time, 1e3 * np.array(output), color=BLUE, label="output")
    read.axhline(60, color=RED, linestyle="--", linewidth=1, label="label")
    read.set(xlabel="time (ms)", ylabel="output (mV)")
    read.legend(fontsize=7, frameon=False)
    save(figure, "node_contrastive")


def draw_resistive_layers() -> None:
    """Draw layers of resistors; inputs and their negatives, nodes with diodes, outputs that go to their labels."""
    network = ResistiveLayers("3-12-2", seed=3, gain=10, nudge=0.2)
    x, updates = (0.9, 0.1, 0.4), 60
    drive = np.tile([*x, 1.0, 0.0, 0.0], (updates, 1))
    drive[10:50, 5] = 1.0
    sweep = np.tile([*x, 0.0, 0.0, 0.0], (101, 1))
    sweep[:, 0] = np.linspace(0, 1, 101)
    hidden = network.advance(network.info.stimulus(sweep)).signal[:, 0, 2:]
    first, second = network.weights
    signal = network.advance(network.info.stimulus(drive)).signal[:, 0]
    figure, (driven, matter, state, read) = four_panels(
        "the resistors, by the voltages across them in two or three states"
    )
    driven.bar(np.arange(6), 10 * np.concatenate([x, [-each for each in x]]), color=RED, width=0.7)
    driven.axhline(0, color=GREY, linewidth=0.8)
    driven.set(xlabel="input: x, then -x", ylabel="voltage, amplified (V)", xticks=range(6))
    limits(matter, (-0.6, 4.9), (-0.8, 5.6))
    columns = [
        [(0.0, y) for y in np.linspace(5, 0, 6)],
        [(2.2, y) for y in np.linspace(4.8, 0.2, 5)],
        [(4.3, y) for y in (3.6, 1.4)],
    ]
    for left, right, conductance in ((columns[0], columns[1], first), (columns[1], columns[2], second)):
        for a, begin in enumerate(left):
            for b, end in enumerate(right):
                width = 0.2 + 2.0 * float(conductance[a, b]) / float(conductance.max())
                matter.plot(*zip(begin, end, strict=True), color=GREEN, linewidth=width, zorder=1)
    for points, colour in zip(columns, (RED, "white", BLUE), strict=True):
        for point in points:
            matter.add_patch(Circle(point, 0.2, facecolor=colour, edgecolor=INK, zorder=3))
    for x_hidden, y in columns[1]:
        matter.plot([x_hidden, x_hidden + 0.35], [y - 0.2, y - 0.45], color=INK, linewidth=1, zorder=2)
        matter.plot(x_hidden + 0.4, y - 0.5, marker=(3, 0, 50), color=INK, markersize=6, zorder=3)
    matter.set_title("node: a joint with an ideal diode", fontsize=10)
    chosen = np.argsort(-np.abs(np.diff(hidden, 2, axis=0)).max(axis=0))[:6]
    state.plot(sweep[:, 0], hidden[:, chosen], color=INK, linewidth=1.1)
    state.set(xlabel="input u00 (V)", ylabel="voltage of 6 hidden nodes (V)")
    time = np.arange(updates) * 0.1
    read.plot(time, signal[:, :2], color=BLUE)
    for label in (0.0, 1.0):
        read.axhline(label, color=RED, linestyle="--", linewidth=1)
    read.set(xlabel="time (ms); learn from 1 to 5", ylabel="outputs, and labels (V)")
    save(figure, "node_resistive")


def draw_board() -> None:
    """Draw a converter, a filter, a converter: the charge of a capacitor is the state, ten bits of it are read."""
    drive = np.array([0, 4, 1, 3, 3, 0, 0], dtype=float)  # V, steps of 10 ms
    fine, step, decay = 100, 10.0, 8.0  # points a step, ms, ms
    level, levels = 0.0, []
    for value in np.repeat(drive, fine):
        level += (value - level) * (1 - np.exp(-step / fine / decay))
        levels.append(level)
    time = np.arange(len(levels)) * step / fine
    figure, (driven, matter, state, read) = four_panels("what your matter allows; a readout in any case")
    driven.step(np.arange(8) * step, [*drive, 0], where="post", color=RED)
    driven.set(xlabel="time (ms)", ylabel="output of the board (V)")
    limits(matter, (0, 10), (0, 8))
    for x, y, width, words, colour in (
        (0.1, 5.4, 3.3, "inmateria", INK), (4.9, 5.4, 5.0, "board", INK),
        (4.9, 3.9, 2.2, "out", RED), (7.7, 3.9, 2.2, "in", BLUE), (4.9, 0.4, 5.0, "your matter", INK),
    ):  # fmt: skip
        matter.add_patch(Rectangle((x, y), width, 1.2, facecolor="white", edgecolor=colour, linewidth=1.4))
        matter.text(x + width / 2, y + 0.55, words, ha="center", va="center", fontsize=9, color=colour)
    arrow(matter, (3.4, 6.2), (4.9, 6.2), INK)
    arrow(matter, (4.9, 5.8), (3.4, 5.8), INK)
    arrow(matter, (6.0, 3.9), (6.0, 1.6), RED)
    arrow(matter, (8.8, 1.6), (8.8, 3.9), BLUE)
    matter.text(4.15, 6.9, "serial line", ha="center", fontsize=8, color=GREY)
    matter.set_title("node: a point that a wire touches", fontsize=10)
    state.plot(time, levels, color=INK)
    state.set(xlabel="time (ms)", ylabel="voltage of a capacitor (V)")
    read.plot(time[::20], np.round(np.array(levels[::20]) / 5 * 1023) * 5 / 1023, ".", color=BLUE)
    read.set(xlabel="time (ms)", ylabel="ten bits of 5 V (V)")
    save(figure, "node_board")


def draw_words() -> None:
    """Draw a stimulus of four steps, its samples, and the features that a readout gets."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.5), width_ratios=(1, 1, 1), layout="constrained")
    drive = np.array([0.3, 0.9, 0.5, 0.1])
    for axis, title, colour in zip(
        axes,
        ("a stimulus: 4 steps", "its response: 5 samples a step", "features: a row a step"),
        (RED, BLUE, GREEN),
        strict=True,
    ):
        axis.set_title(title, color=colour, fontweight="bold")
        style_axes(axis)
    axes[0].step(np.arange(5), [*drive, drive[-1]], where="post", color=RED, linewidth=2)
    axes[0].set(xlabel="step", ylabel="drive of one input", xticks=range(5), ylim=(0, 1.15))
    axes[0].annotate("", (1, 1.02), (2, 1.02), arrowprops={"arrowstyle": "<->", "color": INK})
    axes[0].text(1.5, 1.05, "held for a step", ha="center", fontsize=8)
    level, samples = 0.0, []
    for value in np.repeat(drive, 5):
        level += 0.25 * (value - level)
        samples.append(level)
    axes[1].plot(np.arange(20) / 5, samples, "o-", color=BLUE, markersize=4, linewidth=0.8)
    for k in range(5):
        axes[1].axvline(k, color=PALE, linewidth=0.8)
    axes[1].set(xlabel="step", ylabel="signal of one output", xticks=range(5))
    axes[2].imshow(np.array(samples).reshape(4, 5), cmap="Greens", aspect="auto", vmin=0)
    axes[2].set(xlabel="virtual node (sample of the output)", ylabel="step", xticks=range(5), yticks=range(4))
    save(figure, "node_steps")


def main() -> None:
    """Draw all of them."""
    draw_words()
    draw_nanowires()
    draw_culture()
    draw_platforms()
    draw_scattering()
    draw_echo()
    draw_contrastive()
    draw_resistive_layers()
    draw_board()


if __name__ == "__main__":
    main()
