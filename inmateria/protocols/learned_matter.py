"""Training matter that learns by itself, start by start: what it did before, what afterwards, and its controls.

A start is one device, from the weights that it has at the beginning. Nothing but inputs, labels, ``learn`` and the
responses is used, so that a task runs alike on a simulator, a served one, and a machine in a laboratory. Where a
simulator in this process can tell its weights, they are drawn.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.outcome import Curves, ExchangeStatistics, NetworkDrawing, Score
from inmateria.protocols.run_progress import note_learning, recorded_by
from inmateria.protocols.task import ProgressCallback, UnsuitableSubstrate
from inmateria.reservoir import ContrastiveRegressor
from inmateria.reservoir.contrastive.learning_channels import learning_channels
from inmateria.simulators import ContrastiveNetwork
from inmateria.substrate import FloatArray, Simulator, Substrate, SubstrateInfo

__all__ = [
    "LearningSettings",
    "Samples",
    "Start",
    "error_of",
    "exchanges_of",
    "facts_of",
    "graph_of",
    "learning_curves",
    "least_squares",
    "lines_of_edges",
    "logistic",
    "nearest_mean",
    "network_drawing",
    "nrmse_score",
    "places_of_nodes",
    "score_of",
    "train",
    "train_starts",
]

_PROBED_AT_ONCE = 250
"""Samples in one stimulus while nothing is learned."""
_VALUES_AT_ONCE = 200_000
"""Values of one response while it is trained: large ones are answered late, and a training is cancelled between two."""
_DRAWN = 300
"""Epochs of a learning curve that are drawn."""
_MOST_EDGES = 400
"""Edges beyond which a network is not drawn."""


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every task that trains matter.

    Parameters
    ----------
    starts : int
        Starts, each on a simulator of its own, whose seeds follow that of the URI; 1 on anything else, which keeps what
        it has learned.
    epochs : int
        Passes over the training samples; in each, every sample is one update.
    first, last : float
        Value of ``learn``, a factor on the rate of the device's rule, in the first and in the last epoch; geometric in
        between.
    seed : int
        Of the order of the samples, and of splits.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    starts: Annotated[int, Meta(ge=1, le=1000)] = 1
    epochs: Annotated[int, Meta(ge=1)] = 100
    first: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0
    round_trips: Annotated[int, Meta(ge=1)] = 50


class Course(Protocol):
    """Settings that a training reads."""

    @property
    def epochs(self) -> int: ...
    @property
    def first(self) -> float: ...
    @property
    def last(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def round_trips(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one start.

    Parameters
    ----------
    X : ndarray of float, shape (samples, inputs)
        Inputs that are learned, V.
    Y : ndarray of float, shape (samples, outputs), or callable
        Labels, V; or a function that makes them of the outputs for the probes before the training, and of the lowest
        and the highest label that the device takes.
    probes : ndarray of float, shape (probes, inputs)
        Inputs for which the outputs are read before and after the training, V.
    """

    X: FloatArray
    Y: FloatArray | Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    probes: FloatArray


@dataclass(frozen=True, eq=False)
class Start:
    """Result of one start.

    Parameters
    ----------
    labels : ndarray of float, shape (samples, outputs)
        Labels that were learned, V.
    before, after : ndarray of float, shape (probes, outputs)
        Outputs for the probes before and after the training, V.
    voltages : tuple of two ndarray of float, shape (probes, channels)
        Voltages of all nodes, before and after, V.
    curve : ndarray of float, shape (epochs,)
        Error of each epoch, from the free states that the device answered, V.
    weights : tuple of two ndarray of float, shape (edges,), or None
        Setting of each edge before and after, nan if it is cut; None if they cannot be read.
    simulator : Simulator or None
        Simulator in this process.
    updates : int
        Updates of the training.
    time, energy : float
        Duration of the training on the device's clock, s; energy that the sources gave in the free state, J, or nan.
    seconds : float
        Duration of everything for this start, s.
    round_trips : ndarray of float
        Duration of each, s.
    count, steps : int
        All exchanges of this start, and steps in them.
    info : SubstrateInfo
    """

    labels: FloatArray
    before: FloatArray
    after: FloatArray
    voltages: tuple[FloatArray, FloatArray]
    curve: FloatArray
    weights: tuple[FloatArray, FloatArray] | None
    simulator: Simulator | None
    updates: int
    time: float
    energy: float
    seconds: float
    round_trips: FloatArray
    count: int
    steps: int
    info: SubstrateInfo


async def train_starts(
    substrates: Sequence[Substrate],
    samples: Sequence[Samples],
    settings: LearningSettings,
    on_progress: ProgressCallback,
) -> list[Start]:
    """Train each substrate with its samples; several samples of one substrate are starts from its first weights.

    Parameters
    ----------
    substrates : sequence of Substrate
        One for each start, or a single one; entered and left by this function.
    samples : sequence of Samples
        Samples of each start.
    settings : LearningSettings
    on_progress : ProgressCallback
        Called with the progress: round trips, before training, training, after training.
    """
    tell = _Progress(on_progress, len(samples))
    if len(substrates) > 1:
        starts = []
        for number, (substrate, each) in enumerate(zip(substrates, samples, strict=True)):
            async with substrate:
                starts.append(await train(substrate, each, settings, tell.of(number)))
        return starts
    async with substrates[0] as substrate:
        if len(samples) > 1 and not substrate.info.resettable:
            raise UnsuitableSubstrate(
                f"{substrate.info.id} keeps what it has learned, and {len(samples)} trainings are to begin from its "
                "first weights; give splits=1"
            )
        return [await train(substrate, each, settings, tell.of(number)) for number, each in enumerate(samples)]


async def train(substrate: Substrate, samples: Samples, settings: Course, tell: ProgressCallback) -> Start:
    """Train a substrate that is entered, from its first weights if it can return to them."""
    info = substrate.info
    if info.resettable:
        await substrate.reset()
    matter = _Matter(substrate, tell)
    await matter.apply(info.rest_drive(1))  # code may be compiled at the first exchange, which is no round trip
    begun = time.perf_counter()
    round_trips = np.empty(settings.round_trips)
    for k in range(settings.round_trips):
        once = time.perf_counter()
        await matter.apply(info.rest_drive(1))
        round_trips[k] = time.perf_counter() - once
        tell("round trips", k + 1, settings.round_trips, matter.steps)
    simulator = simulator_behind(substrate)
    first = _weights(simulator)
    before = await matter.read(samples.probes, "before training")
    if callable(samples.Y):
        labels = samples.Y(matter.outputs(before), *matter.channels.label_limits())
    else:
        labels = samples.Y
    trained = ContrastiveRegressor(
        substrate,
        epochs=settings.epochs,
        rate=(settings.first, settings.last),
        input_range="volts",
        label_range="volts",
        random_state=settings.seed,
        batch=max(1, _VALUES_AT_ONCE // len(info.outputs)),
        warm_start=True,  # from the weights whose answers were read before
    )
    sent = matter.steps

    def told(phase: str, done: int, of: int, steps: int) -> None:
        tell(phase, done, of, sent + steps)

    tell("training", 0, 1, sent)
    recording, number = recorded_by(substrate)
    note_learning([info.inputs[k].name for k in matter.channels.labels], recording=recording, first=number)
    await trained.fit_async(samples.X, labels[:, 0] if labels.shape[1] == 1 else labels, told)
    matter.steps += trained.stimuli_ + 1  # at rest, at the end
    matter.count += trained.exchanges_
    after = await matter.read(samples.probes, "after training")
    last = _weights(simulator)
    return Start(
        labels=labels,
        before=matter.outputs(before),
        after=matter.outputs(after),
        voltages=(matter.voltages(before), matter.voltages(after)),
        curve=trained.learning_curve_,
        weights=None if first is None or last is None else (first, last),
        simulator=simulator,
        updates=trained.updates_,
        time=trained.time_,
        energy=trained.energy_,
        seconds=time.perf_counter() - begun,
        round_trips=round_trips,
        count=matter.count,
        steps=matter.steps,
        info=info,
    )


class _Progress:
    """Progress of several starts as if they were one training."""

    def __init__(self, on_progress: ProgressCallback, starts: int) -> None:
        self._on_progress, self._starts, self._steps = on_progress, starts, 0

    def of(self, number: int) -> ProgressCallback:
        """Return the callback of one start."""
        before = self._steps

        def tell(phase: str, done: int, of: int, steps: int) -> None:
            self._steps = before + steps
            self._on_progress(phase, number * of + done, self._starts * of, self._steps)

        return tell


class _Matter:
    """A device that learns, as inputs, labels and free states; it counts what is sent."""

    def __init__(self, substrate: Substrate, tell: ProgressCallback) -> None:
        self._substrate, self._tell = substrate, tell
        self.info = info = substrate.info
        self.channels = learning_channels(info)
        self._nodes = [k for k, channel in enumerate(info.outputs) if channel.unit == "V"]
        self.count = self.steps = 0

    async def apply(self, drive: FloatArray) -> FloatArray:
        """Apply steps; return the last sample of each, shape (steps, output channels)."""
        response = await self._substrate.stimulate(self.info.stimulus(drive))
        self.count += 1
        self.steps += len(drive)
        assert response.signal is not None
        return np.asarray(response.signal[:, -1])

    async def read(self, X: FloatArray, phase: str) -> FloatArray:
        """Return the free states of inputs, shape (samples, output channels)."""
        parts = []
        for first in range(0, len(X), _PROBED_AT_ONCE):
            some = X[first : first + _PROBED_AT_ONCE]
            parts.append(await self.apply(self.channels.drive(some)))
            self._tell(phase, first + len(some), len(X), self.steps)
        return np.concatenate(parts)

    def voltages(self, states: FloatArray) -> FloatArray:
        """Return the voltages of all nodes."""
        return states[:, self._nodes]

    def outputs(self, states: FloatArray) -> FloatArray:
        """Return the outputs, shape (samples, outputs), V."""
        return self.channels.outputs(states)


def simulator_behind(substrate: Substrate) -> Simulator | None:
    """Return the simulator in this process that a substrate runs, through what records or checks it; None if none."""
    while (inner := getattr(substrate, "_substrate", None)) is not None:
        substrate = inner
    return getattr(substrate, "_simulator", None)


def _weights(simulator: Simulator | None) -> FloatArray | None:
    if not isinstance(simulator, ContrastiveNetwork):
        return None
    settings = simulator.settings
    settings[simulator.cut_edges] = np.nan
    return settings


def error_of(outputs: FloatArray, Y: FloatArray) -> float:
    """Return the root of the mean squared error, V."""
    return float(np.sqrt(np.mean((outputs - Y) ** 2)))


def nrmse_score(error: float, Y: FloatArray) -> float:
    """Return 1 - error / root of the mean squared deviation of the labels from their mean: 0 for naming the mean."""
    return 1.0 - error / float(np.sqrt(np.mean((Y - Y.mean(axis=0)) ** 2)))


def score_of(readout: str, on: str, features: int, outputs: Sequence[FloatArray], Y: FloatArray) -> Score:
    """Score the outputs of every start, with errors in mV."""
    errors = [error_of(each, Y) for each in outputs]
    scores = tuple(nrmse_score(error, Y) for error in errors)
    return Score(
        readout=readout, on=on, features=features, score=scores[0], splits=scores,
        errors=tuple(1e3 * error for error in errors),
    )  # fmt: skip


def least_squares(A: FloatArray, Y: FloatArray, B: FloatArray) -> FloatArray:
    """Fit a linear readout with an intercept to features A and labels Y, and apply it to features B."""
    mean, spread = A.mean(axis=0), A.std(axis=0)
    varies = spread > 1e-9  # V: a node that does not move tells nothing
    left, right = ((M - mean)[:, varies] / spread[varies] for M in (A, B))
    solved, *_ = np.linalg.lstsq(left, Y - Y.mean(axis=0), rcond=1e-9)
    return np.asarray(right @ solved + Y.mean(axis=0))


def nearest_mean(A: FloatArray, labels: npt.NDArray[np.intp], B: FloatArray) -> npt.NDArray[np.intp]:
    """Name for each row of B the class 0, 1, ... whose mean row of A is nearest."""
    means = np.array([A[labels == kind].mean(axis=0) for kind in range(labels.max() + 1)])
    return np.asarray(((B[:, np.newaxis] - means) ** 2).sum(axis=2).argmin(axis=1))


def logistic(A: FloatArray, labels: npt.NDArray[np.intp], B: FloatArray) -> npt.NDArray[np.intp]:
    """Fit a logistic regression of standardised features A, and name the classes of features B."""
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    return np.asarray(reader.fit(A, labels).predict(B))


def exchanges_of(starts: Sequence[Start]) -> ExchangeStatistics:
    """Return the statistics of all exchanges."""
    return ExchangeStatistics.measured(
        count=sum(each.count for each in starts),
        steps=sum(each.steps for each in starts),
        seconds=sum(each.seconds for each in starts),
        round_trips=np.concatenate([each.round_trips for each in starts]),
    )


def facts_of(starts: Sequence[Start]) -> tuple[tuple[str, str], ...]:
    """Describe what the training of a start took."""
    first = starts[0]
    facts = [("updates a start", f"{first.updates:,}"), ("training, on the device's clock", f"{first.time:.3g} s")]
    energies = [each.energy for each in starts]
    if np.isfinite(energies).all():
        facts.append(("energy of a training", f"{np.mean(energies):.3g} J"))
    return tuple(facts)


def learning_curves(starts: Sequence[Start], levels: dict[str, float], repeated: str = "starts") -> Curves:
    """Draw the error over the epochs, of each start or of the best, the median and the worst; with levels, V."""
    curves = 1e3 * np.array([each.curve for each in starts])
    epochs = curves.shape[1]
    drawn = np.unique(np.linspace(0, epochs - 1, min(epochs, _DRAWN)).astype(int))
    if len(curves) == 1:
        lines = {"the network": curves[0, drawn]}
    elif len(curves) <= 3:
        lines = {f"{repeated[:-1]} {k}": curve[drawn] for k, curve in enumerate(curves, start=1)}
    else:
        order = np.argsort(curves[:, -1])
        lines = {
            f"{name} of {len(curves)} {repeated}": curves[order[k], drawn]
            for name, k in (("best", 0), ("median", len(curves) // 2), ("worst", -1))
        }
    lines |= {name: np.full(len(drawn), 1e3 * level) for name, level in levels.items()}
    return Curves(
        heading="Learning curve",
        text=(
            "Root of the mean squared error of the outputs in each epoch, from the free states that the device "
            "answered before each update."
        ),
        x_label="epoch",
        y_label="error (mV)",
        x=tuple((drawn + 1.0).tolist()),
        lines={name: tuple(np.maximum(values, 1e-6).tolist()) for name, values in lines.items()},
        logarithmic=True,
    )


def network_drawing(
    start: Start, sample: int, said: str, roles: tuple[str, str] = ("input", "output")
) -> tuple[NetworkDrawing, ...]:
    """Draw the network of a start before and after the training, with voltages for one of the probes.

    Parameters
    ----------
    start : Start
    sample : int
        Number of the probe.
    said : str
        Words for it.
    roles : (str, str)
        Words for an input and an output.

    Returns
    -------
    tuple of NetworkDrawing
        Empty for a device whose graph is not known, or too large to draw.
    """
    made = start.simulator if isinstance(start.simulator, ContrastiveNetwork) else graph_of(start.info)
    if made is None or len(made.edges) > _MOST_EDGES:
        return ()
    places, columns = places_of_nodes(made)
    titles = ("before training", "after training")
    weights: dict[str, tuple[float, ...]] = {}
    label = ("", "")
    if start.weights is not None:
        weights = {title: tuple(each.tolist()) for title, each in zip(titles, start.weights, strict=True)}
        kind = made.info.parameters["edges"]["type"]
        label = {"transistor": ("gate voltage of an edge", "V"), "resistor": ("conductance of an edge", "S")}.get(
            kind, ("factor on the saturation current of an edge", "")
        )
    drawn = (
        "Edges are coloured and thick by their weight."
        if weights
        else "Weights of edges cannot be read through the contract, so that all edges are drawn alike."
    )
    names: dict[str, str] = {}
    rails = start.info.parameters.get("rails", "")
    for k, node in enumerate(made.input_nodes.tolist()):
        names[str(node)] = f"{roles[0]} {k + 1}" if len(made.input_nodes) > 1 else roles[0]
    for word in filter(None, str(rails).split(",")):
        node, _, volts = word.partition(":")
        names[node] = f"{float(volts):g} V"
    single = len(made.output_nodes) == 1
    for k, (plus, minus) in enumerate(made.output_nodes.tolist()):
        name = roles[1] if single else f"{roles[1]} {k + 1}"
        names[str(plus)] = f"{name} +" if minus >= 0 else name
        if minus >= 0:
            names[str(minus)] = f"{name} \N{MINUS SIGN}"
    members = {
        roles[0]: made.input_nodes,
        roles[1]: made.output_nodes[made.output_nodes >= 0],
        "rail": made.rail_nodes,
    }
    return (
        NetworkDrawing(
            heading="The network",
            text=f"Nodes with their voltages in the free state for {said}. {drawn}"
            + (" The grid is periodic: edges that leave it come back on the other side." if columns else ""),
            places=tuple((float(x), float(y)) for x, y in places),
            segments=lines_of_edges(places, made.edges, wraps=bool(columns)),
            voltages={title: tuple(each[sample].tolist()) for title, each in zip(titles, start.voltages, strict=True)},
            weights=weights,
            weight_name=label[0],
            weight_unit=label[1],
            roles={role: tuple(int(node) for node in nodes) for role, nodes in members.items() if len(nodes)},
            names=names,
        ),
    )


def graph_of(info: SubstrateInfo) -> ContrastiveNetwork | None:
    """Return a network of the graph of a device, made from its parameters; None if they do not say it."""
    if info.kind != "contrastive-network":
        return None
    parameters: dict[str, Any] = dict(info.parameters)
    try:
        if "pairs" in parameters:
            return ContrastiveNetwork.from_edges(**parameters)
        return ContrastiveNetwork(**parameters)
    except (TypeError, ValueError):
        return None  # a machine that describes itself in its own way


def places_of_nodes(network: ContrastiveNetwork) -> tuple[FloatArray, int]:
    """Return a place for each node, and the columns of the grid, or 0: other graphs are drawn on a circle."""
    grid = str(network.info.parameters.get("grid", ""))
    nodes = np.arange(network.node_count)
    if grid:
        columns = int(grid.partition("x")[2])
        return np.column_stack((nodes % columns, -(nodes // columns))).astype(float), columns
    angle = np.pi / 2 - 2 * np.pi * nodes / len(nodes)
    return len(nodes) / 6 * np.column_stack((np.cos(angle), np.sin(angle))), 0


def lines_of_edges(
    places: FloatArray, edges: npt.NDArray[np.intp], wraps: bool
) -> tuple[tuple[int, float, float, float, float], ...]:
    """Return straight lines for each edge; one around a periodic boundary is two stubs."""
    segments = []
    for number, (a, b) in enumerate(edges.tolist()):
        begin, end = places[a], places[b]
        way = end - begin
        if wraps and np.abs(way).max() > 1.5:
            out = -0.45 * np.sign(way)
            segments += [(number, *begin, *(begin + out)), (number, *end, *(end - out))]
        else:
            segments.append((number, *begin, *end))
    return tuple((number, *map(float, line)) for number, *line in segments)
