"""Draw the picture of measures.md and print its table: python docs/measures_pictures.py (a minute or two)."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from rich.progress import track

from inmateria.reservoir import (
    InformationProcessingCapacity,
    InputMask,
    MemoryCapacity,
    PhysicalReservoir,
    VirtualNodes,
    information_processing_capacity,
    memory_capacity,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

STEPS = 20_000
LONGEST = {1: 80, 2: 40, 3: 20, 4: 8, 5: 5, 6: 3}
NANOWIRE = {"uri": "nanowire://?seed={seed}", "step": 0.05, "samples": 4}
DEVICES = {
    "echo-state network, 50 units": {"uri": "echo://?units=50&seed={seed}", "scale": 0.5},
    "nanowire network, ±1.5 V": NANOWIRE | {"scale": 1.5},
    "nanowire network, 0 to 2 V": NANOWIRE | {"scale": 1.0, "offset": 1.0},
}
SEEDS = (42, 43, 44)


def measured(seed: int, uri: str, scale: float, offset: float = 0.0, step: float | None = None,
             samples: int | None = None) -> tuple[InformationProcessingCapacity, MemoryCapacity]:  # fmt: skip
    """Drive a device with a random series, a mask over its inputs, and measure both capacities."""
    u = np.random.default_rng(seed).uniform(-1, 1, STEPS)
    mask = InputMask(scale=scale, offset=offset, kind="uniform", seed=seed)
    with PhysicalReservoir(uri.format(seed=seed), mask, VirtualNodes(samples), step=step).blocking() as reservoir:
        states = reservoir.run(u)
    return (
        information_processing_capacity(states, u, LONGEST, washout=200, check_reading_order=False),
        memory_capacity(states, u, range(81), washout=200, check_reading_order=False),
    )


def draw_profile(axes: Axes, found: InformationProcessingCapacity, title: str) -> None:
    """Capacity by longest delay, each bar cut into degrees."""
    profile = found.profile[:, :31]
    below = np.zeros(profile.shape[1])
    for degree, row in enumerate(profile, start=1):
        axes.bar(np.arange(len(row)), row, bottom=below, width=0.9, label=f"degree {degree}", color=f"C{degree - 1}")
        below += row
    axes.set(
        xlabel="longest delay (steps)",
        ylabel="capacity",
        title=f"{title}\n{found.total:.1f} in all, rank {found.rank}",
    )
    axes.legend(fontsize=7)


def main() -> None:
    """Measure every device with every seed; draw the first seed's."""
    runs = [(name, seed) for name in DEVICES for seed in SEEDS]
    found = {(name, seed): measured(seed, **DEVICES[name]) for name, seed in track(runs, "measuring")}
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    print("| | rank | linear | even | odd, 3 and 5 | in all |\n| --- | --- | --- | --- | --- | --- |")
    for name, where in zip(DEVICES, axes.flat[:3], strict=True):
        draw_profile(where, found[name, SEEDS[0]][0], name)
        profiles = [found[name, seed][0] for seed in SEEDS]
        by_degree = np.array([[each.by_degree[degree] for degree in range(1, 7)] for each in profiles])
        columns = (by_degree[:, 0], by_degree[:, 1::2].sum(axis=1), by_degree[:, 2::2].sum(axis=1))
        cells = [f"{column.mean():.1f} ± {column.std():.1f}" for column in (*columns, by_degree.sum(axis=1))]
        print(f"| {name} | {profiles[0].rank} | {' | '.join(cells)} |")
        memory = found[name, SEEDS[0]][1]
        axes.flat[3].plot(memory.delays, memory.capacities, ".-", label=f"{name}: {memory.total:.1f}")
    axes.flat[3].axhline(memory.threshold, color="0.5", linestyle=":", label="threshold against chance")
    axes.flat[3].set(
        xlabel="delay (steps)", ylabel="squared correlation", xlim=(0, 60), title="Memory of the input, and its sum"
    )
    axes.flat[3].legend(fontsize=7)
    figure.savefig(Path(__file__).parent / "images" / "measures.png", dpi=80)


if __name__ == "__main__":
    main()
