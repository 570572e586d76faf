"""The error that is left after training, over the imperfections of a network: the map of docs/error_floor.md.

Three tasks: exclusive or and the regression of eight points on the machine of 32 transistors, and target voltages at
two nodes of 16 resistors, a linear network that could reach them exactly. One or two settings are varied at a time. A
cell is written to the table when it is computed, and a run that was stopped goes on; with the table whole, it is only
printed. The whole map takes about a quarter of an hour of one core.

    python benchmarks/error_floor.py [--json] [--quick] [--fresh] [--table docs/images/error_floor.json]
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from learning_network import REGRESSION, XOR
from published_learning import Data, allostery_labels, root_mean_square
from threadpoolctl import threadpool_limits

from inmateria.simulators import (
    ContrastiveNetwork,
    CoupledLearning,
    Imperfections,
    NoOperatingPoint,
    Resistor,
    SignRule,
    Transistor,
)

Floats = npt.NDArray[np.float64]
Task = Literal["xor", "regression", "linear"]
Cell = dict[str, list[float | None]]

TABLE = Path(__file__).parent.parent / "docs" / "images" / "error_floor.json"
TASKS: tuple[Task, ...] = ("linear", "regression", "xor")
STARTS = {"linear": 20, "regression": 20, "xor": 10}
"""Starts of a cell, seeds from 0."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values along the axes of the map."""

    etas: tuple[float, ...]
    biases: tuple[float, ...]
    levels: tuple[int, ...]
    leaks: tuple[float, ...]
    rates: tuple[float, ...]
    noises: tuple[float, ...]
    spreads: tuple[float, ...]


FINE = Grid(
    etas=(0.03, 0.1, 0.3, 1.0, 2.0, 4.0),
    biases=(0.0, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    levels=(8, 16, 32, 64, 128, 256, 512, 1024, 4096),
    leaks=(0.0, 1e-6, 1e-5, 1e-4, 1e-3),
    rates=(0.25, 1.0, 4.0, 16.0),
    noises=(0.0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2),
    spreads=(0.0, 0.02, 0.05, 0.1, 0.2, 0.5),
)
COARSE = Grid(
    etas=(0.1, 0.3, 1.0, 2.0, 4.0),
    biases=(0.0, 1e-6, 1e-5, 1e-4, 1e-3),
    levels=(16, 64, 256, 1024, 4096),
    leaks=(0.0, 1e-7, 1e-6, 1e-5, 1e-4),
    rates=(0.25, 1.0, 4.0),
    noises=(0.0, 1e-4, 1e-3, 1e-2),
    spreads=(0.0, 0.05, 0.2, 0.5),
)
COARSEST = Grid(
    etas=(0.1, 1.0),
    biases=(0.0, 1e-6, 1e-5, 1e-4),
    levels=(64, 256, 1024),
    leaks=(0.0, 1e-7, 1e-6, 1e-5),
    rates=(1.0,),
    noises=(0.0, 1e-4, 1e-3),
    spreads=(0.0, 0.05, 0.2),
)
GRIDS = {"linear": FINE, "regression": COARSE, "xor": COARSEST}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One cell of the map.

    Parameters
    ----------
    task : {"xor", "regression", "linear"}
    eta : float
        Clamping.
    rate : float
        Factor on the usual rate at the end of the training: 2 V/V^2 for transistors, 1e-3 S/V^2 for resistors.
    rule : {"coupled", "sign"}
    step : float, optional
        Step of the sign rule, as a fraction of the range; one level by default, or 1/127.
    bias, noise, spread, levels, remainder
        See `Imperfections`.
    leak : float
        Fraction of a weight that leaks in one update's interval.
    moved : bool
        Whether the weights were learned without spread, and set in a network with it.
    """

    task: Task
    eta: float
    rate: float = 1.0
    rule: Literal["coupled", "sign"] = "coupled"
    step: float | None = None
    bias: float = 0.0
    noise: float = 0.0
    spread: float = 0.0
    levels: int | None = None
    remainder: Literal["kept", "lost"] = "kept"
    leak: float = 0.0
    moved: bool = False

    @property
    def name(self) -> str:
        """Name in the table: what differs from the defaults."""
        differing = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "task" and getattr(self, field.name) != field.default
        }
        return " ".join([self.task, *(f"{key}={value}" for key, value in differing.items())])


USUAL = {
    "xor": Setting(task="xor", eta=0.1),
    "regression": Setting(task="regression", eta=1.0),
    "linear": Setting(task="linear", eta=0.1),
}
"""Clamping of the published trainings; for the linear network that of the machine of 2022."""
EPOCHS = {"xor": 40_000, "regression": 3_000, "linear": 5_000}
FALLING = {"xor": 16.0, "regression": 1.0, "linear": 1.0}
"""Factor on the rate in the first epoch; with a constant rate, half of the starts of exclusive or stay above 5 mV."""


def make(setting: Setting, seed: int) -> tuple[ContrastiveNetwork, Data]:
    """Make the network and the data of a start."""
    linear = setting.task == "linear"
    edges = Resistor() if linear else Transistor()
    usual, width = (1e-3 if linear else 2.0), edges.high - edges.low
    rule: CoupledLearning | SignRule
    if setting.rule == "coupled":
        rule = CoupledLearning(eta=setting.eta, alpha=usual * setting.rate)
    else:
        rule = SignRule(eta=setting.eta, step=None if setting.step is None else setting.step * width)
    interval = 1e-4
    imperfections = Imperfections(
        bias=setting.bias, noise=setting.noise, spread=setting.spread, levels=setting.levels,
        remainder=setting.remainder, leak_time=interval / setting.leak if setting.leak else None,
    )  # fmt: skip
    common: dict[str, Any] = {
        "edges": edges, "seed": seed, "rule": rule, "imperfections": imperfections, "update_interval": interval,
    }  # fmt: skip
    if setting.task == "xor":
        return ContrastiveNetwork(**common), XOR
    if setting.task == "regression":
        return ContrastiveNetwork(inputs="15,", outputs="10,", rails="5:0,7:0.45", **common), REGRESSION
    network = ContrastiveNetwork(
        random="9x16", inputs=1, outputs=2, rails="0", differential=False, low=-5.0, high=5.0, **common
    )
    return network, allostery_labels(seed, 2)


def trained(setting: Setting, seed: int) -> tuple[ContrastiveNetwork, float, float]:
    """Train one start; return the network, its floor and its least error, V.

    The floor is the root mean square over the last tenth of the epochs, the least error that of the best epoch, at
    which a supervisor could have stopped. Both are infinite if an operating point was not found.
    """
    network, (X, Y) = make(replace(setting, spread=0.0) if setting.moved else setting, seed)
    falls = setting.rule == "coupled" or setting.step is not None
    try:
        rate = (FALLING[setting.task] if falls else 1.0, 1.0)
        error = network.fit(X, Y, epochs=EPOCHS[setting.task], rate=rate).error
        if not setting.moved:
            return network, root_mean_square(error[-len(error) // 10 :]), float(error.min())
        other, _ = make(setting, seed)
        other.weights = network.weights
        left = root_mean_square(other.predict(X) - np.reshape(Y, (len(X), -1)))
    except NoOperatingPoint:
        return network, math.inf, math.inf
    return other, left, left


def cells(task: Task) -> Iterator[tuple[str, Setting]]:
    """Return the cells of all maps of a task, with the name of the map; a cell can be part of several."""
    usual, grid = USUAL[task], GRIDS[task]
    for bias in grid.biases:
        for eta in grid.etas:
            yield "bias and clamping", replace(usual, bias=bias, eta=eta)
        yield "bias, sign rule", replace(usual, bias=bias, eta=1.0, rule="sign", step=1 / 4096)
    for levels in grid.levels:
        yield "levels, remainder kept", replace(usual, levels=levels)
        yield "levels, remainder lost", replace(usual, levels=levels, remainder="lost")
        yield "levels, sign rule", replace(usual, levels=levels, remainder="lost", rule="sign")
        yield "levels, sign rule, fine steps kept", replace(usual, levels=levels, rule="sign", step=1 / 4096)
    for rate in grid.rates:
        yield "256 levels, remainder lost, and rate", replace(usual, levels=256, remainder="lost", rate=rate)
        for leak in grid.leaks:
            yield "leak and rate", replace(usual, leak=leak, rate=rate)
    for noise in grid.noises:
        for eta in sorted({0.1, 0.3, 1.0} & set(grid.etas)):
            yield "noise and clamping", replace(usual, noise=noise, eta=eta)
        for rate in grid.rates:
            yield "noise and rate", replace(usual, noise=noise, rate=rate)
    for spread in grid.spreads:
        yield "spread, trained in place", replace(usual, spread=spread)
        yield "spread, moved", replace(usual, spread=spread, moved=True)
    for name, setting in together(task):
        yield f"together, {name}", setting


def together(task: Task) -> Iterator[tuple[str, Setting]]:
    """Return a network with every imperfection, and with the measures against them."""
    real = replace(USUAL[task], eta=0.1, bias=1e-4, noise=1e-3, spread=0.1, levels=256, remainder="lost", leak=1e-6)
    kept = replace(real, remainder="kept")
    yield "eta .1, remainder lost", real
    yield "eta .1, remainder kept", kept
    yield "eta 1, remainder kept", replace(kept, eta=1.0)
    yield "eta 2, remainder kept", replace(kept, eta=2.0)
    yield "eta 1, sign rule", replace(real, eta=1.0, rule="sign")
    yield "eta 1, sign rule, fine steps kept", replace(kept, eta=1.0, rule="sign", step=1 / 4096)


# --- theory ----------------------------------------------------------------------------------------------------------


def steady_error(network: ContrastiveNetwork, data: Data, rule: CoupledLearning) -> float:
    r"""Predict the error at which learning holds a drift of the weights, from the network's derivatives, V.

    To first order in eta, an epoch moves the weights by :math:`M e + S d`, with the errors e of all samples and outputs
    (label minus output), their number of samples S, and the drift d of an update, alpha b / eta by bias and -w T / tau
    by leak. The outputs follow by their derivatives J, and stand still at :math:`e = -(J M)^{-1} J S d`. All three are
    taken by finite differences at the weights given: d is what an update changes more than that of an ideal network.
    Edges at a limit of their range take no part.
    """
    X, Y = data
    labels = np.reshape(Y, (len(X), -1))
    parameters, weights, outputs = network.info.parameters, network.weights, network.predict(X)
    given = parameters["edges"]
    low, high = given["low"], given["high"]
    resistors = given["type"] == "resistor"
    edges = Resistor(low=0.1 * low, high=2 * high) if resistors else Transistor(low=0.0, high=2 * high)

    def ideal(rule: CoupledLearning) -> ContrastiveNetwork:
        twin = ContrastiveNetwork.from_edges(
            network.node_count, network.edges, parameters["inputs"], parameters["outputs"], parameters["rails"],
            edges=edges, rule=rule, low=-0.3, high=5.0,
        )  # fmt: skip
        twin.weights = weights
        return twin

    def update(network: ContrastiveNetwork, sample: int, label: Floats) -> Floats:
        changed = network.copy()
        changed.fit(X[sample : sample + 1], label[np.newaxis], epochs=1)
        return changed.weights - weights

    drift = update(network, 0, labels[0]) - update(ideal(rule), 0, labels[0])
    inner = (weights > low + 2 * np.abs(drift)) & (weights < high - 2 * np.abs(drift)) & (drift != 0)
    probe, step = ideal(rule), 1e-5 * (high - low)
    derivatives, pull = np.empty((outputs.size, len(weights))), np.empty((len(weights), outputs.size))
    for j in range(len(weights)):
        sides = []
        for side in (step, -step):
            probe.weights = weights + side * (np.arange(len(weights)) == j)
            sides.append(probe.predict(X).ravel())
        derivatives[:, j] = (sides[0] - sides[1]) / (2 * step)
    weak = ideal(replace(rule, eta=0.01))
    for k, (sample, output) in enumerate(np.ndindex(*outputs.shape)):
        nudge = 0.01 * (np.arange(outputs.shape[1]) == output)
        up, down = (update(weak, sample, outputs[sample] + side * nudge) for side in (1, -1))
        pull[:, k] = (up - down) / 0.02
    moved = derivatives[:, inner] @ (len(X) * drift[inner])
    return root_mean_square(np.linalg.lstsq(derivatives[:, inner] @ pull[inner], moved, rcond=1e-8)[0])


def slope(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Fit the exponent of a power law."""
    return float(np.polyfit(np.log(np.asarray(x)), np.log(np.asarray(y)), 1)[0])


# --- the table -------------------------------------------------------------------------------------------------------


def computed(setting: Setting, starts: int) -> Cell:
    """Compute a cell: floor and least error of all starts, mV, and the floor predicted, where bias or leak is alone."""
    alone = replace(USUAL["linear"], eta=setting.eta, rate=setting.rate, bias=setting.bias, leak=setting.leak)
    drifting = setting == alone and bool(setting.bias) != bool(setting.leak)
    cell: Cell = {"floor": [], "least": []}
    if drifting:
        cell["predicted"] = []
    for seed in range(starts):
        network, *found = trained(setting, seed)
        if drifting:
            alpha = network.info.parameters["rule"]["alpha"]
            rule = CoupledLearning(eta=setting.eta, alpha=alpha)
            found.append(steady_error(network, make(setting, seed)[1], rule) if math.isfinite(found[0]) else math.inf)
        for values, error in zip(cell.values(), found, strict=True):
            values.append(float(f"{1e3 * error:.4g}") if math.isfinite(error) else None)
    return cell


def read_table(path: Path) -> dict[str, Cell]:
    """Read a table: errors of each start by the name of the cell, mV; none where no operating point was found."""
    if not path.exists():
        return {}
    table: dict[str, Cell] = json.loads(path.read_text())
    return table


def errors(table: dict[str, Cell], setting: Setting, what: str = "floor") -> Floats:
    """Return the errors of a cell, mV; infinite where no operating point was found."""
    return np.array([math.inf if each is None else each for each in table[setting.name][what]])


def median(table: dict[str, Cell], setting: Setting, what: str = "floor") -> float:
    """Return the median of a cell, mV; the start nearest to it, since some may be infinite."""
    return float(np.percentile(errors(table, setting, what), 50, method="nearest"))


def fill(path: Path, starts: dict[Task, int]) -> dict[str, Cell]:
    """Compute the cells that the table lacks, and write each."""
    table, begun = read_table(path), time.process_time()
    for task, count in starts.items():
        for setting in dict.fromkeys(setting for _, setting in cells(task)):
            if setting.name not in table:
                table[setting.name] = computed(setting, count)
                lines = [f"{json.dumps(name)}: {json.dumps(cell)}" for name, cell in table.items()]
                path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
                print(f"{time.process_time() - begun:7.1f} s  {setting.name}", file=sys.stderr, flush=True)
    return table


def exponents(table: dict[str, Cell]) -> dict[str, float]:
    """Fit the exponents of the linear network's median floors where these are small, beside those of theory.

    Left out are floors below 1 uV, which is where trainings of this length end, and above 20 mV, a fifth of where they
    begin: there the outputs are not linear in the weights. A leak has no exponent here, since conductances that all
    shrink by one factor leave every voltage of a linear network as it is.
    """
    usual, grid = USUAL["linear"], FINE

    def fit(settings: list[Setting], axis: list[float]) -> float:
        points = [(x, median(table, setting)) for x, setting in zip(axis, settings, strict=True)]
        kept = [(x, y) for x, y in points if x > 0 and 1e-3 < y < 20]
        return slope(*zip(*kept, strict=True)) if len(kept) > 2 else math.nan

    def along(values: tuple[float, ...], name: str, base: Setting) -> float:
        changes: list[dict[str, Any]] = [{name: value} for value in values]
        return fit([replace(base, **change) for change in changes], list(values))

    steps = [1 / (levels - 1) for levels in grid.levels]
    etas = grid.etas[:4]
    lost, sign = replace(usual, remainder="lost"), replace(usual, remainder="lost", rule="sign")
    return {
        "bias (theory 1)": along(grid.biases, "bias", usual),
        "eta, bias 1e-5 (theory -1)": along(etas, "eta", replace(usual, bias=1e-5)),
        "noise (theory 1)": along(grid.noises, "noise", usual),
        "eta, noise 1e-4 (theory -1)": along((0.1, 0.3, 1.0), "eta", replace(usual, noise=1e-4)),
        "rate, noise 1e-4 (theory 1/2)": along(grid.rates, "rate", replace(usual, noise=1e-4)),
        "level, remainder kept (theory 1)": fit([replace(usual, levels=k) for k in grid.levels], steps),
        "level, remainder lost (theory 1)": fit([replace(lost, levels=k) for k in grid.levels], steps),
        "rate, 256 levels, remainder lost (theory -1)": along(grid.rates, "rate", replace(lost, levels=256)),
        "level, sign rule (theory 1)": fit([replace(sign, levels=k) for k in grid.levels], steps),
    }


def agreement(table: dict[str, Cell]) -> dict[str, float]:
    """Compare predicted with found floors of the linear network with a bias, start by start, from 1 uV to 20 mV."""
    pairs = [
        (predicted, found)
        for name, cell in table.items()
        if "predicted" in cell and "bias=" in name
        for predicted, found in zip(cell["predicted"], cell["floor"], strict=True)
        if predicted is not None and found is not None and 1e-3 < found < 20
    ]
    ratio = np.array([found / predicted for predicted, found in pairs])
    return {
        "starts compared": len(ratio),
        "found within 10 % of predicted": float(np.mean(np.abs(ratio - 1) < 0.1)),
        "found within a factor of 1.5": float(np.mean(np.abs(np.log(ratio)) < math.log(1.5))),
        "median of found / predicted": float(np.median(ratio)),
    }


def summary(table: dict[str, Cell]) -> dict[str, dict[str, list[float]]]:
    """Return quartiles of the floor and the median of the least error of each cell, by map and name, mV."""
    maps: dict[str, dict[str, list[float]]] = {}
    for task in TASKS:
        for name, setting in cells(task):
            if setting.name in table:
                found = errors(table, setting)
                values = [
                    *np.percentile(found, (25, 50, 75), method="nearest").tolist(),
                    median(table, setting, "least"),
                ]
                maps.setdefault(f"{task}: {name}", {})[setting.name] = values
    return maps


def main() -> None:
    """Compute what the table lacks, and print the map."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="three starts of the linear network, into no table")
    parser.add_argument("--fresh", action="store_true", help="compute every cell again")
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quick.json" if arguments.quick else arguments.table
        if arguments.fresh:
            path.unlink(missing_ok=True)
        table = fill(path, {"linear": 3} if arguments.quick else {task: STARTS[task] for task in TASKS})
    figures: dict[str, Mapping[str, Any]] = {
        "exponents": exponents(table),
        "theory": agreement(table),
        **summary(table),
    }
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for name, rows in figures.items():
        print(name)
        for key, value in rows.items():
            print(f"  {key:70} {' '.join(f'{each:.4g}' for each in np.atleast_1d(value))}")


if __name__ == "__main__":
    main()
