"""The result of a task: scores beside their controls, what the exchanges cost, and curves worth showing.

Only a title, the scores and the exchanges are required of an `Outcome`; a report leaves out what is not given.
"""

from typing import Self

import msgspec
import numpy as np

from inmateria.one_line import one_line
from inmateria.substrate import FloatArray

__all__ = [
    "Curves",
    "ExchangeStatistics",
    "NetworkDrawing",
    "Outcome",
    "Score",
    "Surface",
    "shown_error",
    "weights_by_output",
]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Score of one readout on one set of features.

    Parameters
    ----------
    readout : str
        Name of the readout; of its target if a task has several.
    on : str
        Source of the features: ``"substrate"``, or the name of a control.
    features : int
        Number of features.
    score : float
        Score in the outcome's metric, on the held-out part of the first split.
    splits : tuple of float
        The score of every split, the first included; only `score` by default.
    control : bool, optional
        Whether this is a control without the physics; by default, whether `on` is not ``"substrate"``.
    errors : tuple of float
        Error of every split in the unit of the outcome's `error_name`; none by default.
    kind : {"", "linear", "memoryless", "memory", "digital"}
        Memory and nonlinearity of a control; see `inmateria.protocols.controls.ControlKind`.
    noisy : tuple of float
        Score of every split if reading adds noise of 1 % of each feature's standard deviation; none by default.
    metric : str
        Name of the score if it is another than the outcome's `metric`; empty by default.
    """

    readout: str
    on: str
    features: int
    score: float
    splits: tuple[float, ...] = ()
    control: bool | None = None
    errors: tuple[float, ...] = ()
    kind: str = ""
    noisy: tuple[float, ...] = ()
    metric: str = ""

    __repr__ = one_line

    def __post_init__(self) -> None:
        # Frozen for its users; defaults that depend on other fields are filled in once, here.
        if not self.splits:
            msgspec.structs.force_setattr(self, "splits", (self.score,))
        if self.control is None:
            msgspec.structs.force_setattr(self, "control", self.on != "substrate")


class ExchangeStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Number and duration of the exchanges of a task.

    Parameters
    ----------
    count, steps : int
        Number of exchanges while streaming, and of substrate steps in them.
    seconds : float
        Duration of the streaming, s.
    round_trip_p50, round_trip_p99 : float
        Median and 99th percentile of the duration of exchanges of a single step, made one at a time, s.
    round_trips : int
        Number of these exchanges.
    """

    count: int
    steps: int
    seconds: float
    round_trip_p50: float
    round_trip_p99: float
    round_trips: int

    __repr__ = one_line

    @classmethod
    def measured(cls, count: int, steps: int, seconds: float, round_trips: FloatArray) -> Self:
        """Make the statistics from counts and from the duration of each round trip (round_trips,), s."""
        p50, p99 = np.percentile(round_trips, [50, 99])
        return cls(
            count=count,
            steps=steps,
            seconds=seconds,
            round_trip_p50=float(p50),
            round_trip_p99=float(p99),
            round_trips=len(round_trips),
        )

    @property
    def per_second(self) -> float:
        """Exchanges per second while streaming."""
        return self.count / self.seconds


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one figure of a report.

    Parameters
    ----------
    heading : str
        Title of the figure.
    text : str
        Description of the figure in one sentence.
    x_label, y_label : str
        Labels of the axes, with units.
    x : tuple of float
        Shared by all lines.
    lines : dict of str to tuple of float
        Label to values, one for each x.
    points : dict of str to tuple of (float, float)
        Label to single points, (x, y).
    logarithmic : bool
        Whether the y axis is logarithmic.
    dashed : tuple of str
        Labels of lines that are dashed, in the colours of the others in the same order.
    """

    heading: str
    text: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    lines: dict[str, tuple[float, ...]]
    points: dict[str, tuple[tuple[float, float], ...]] = {}
    logarithmic: bool = False
    dashed: tuple[str, ...] = ()

    __repr__ = one_line


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """A function of two variables, drawn as maps side by side.

    Parameters
    ----------
    heading, text : str
        Title and description of the figure.
    x_label, y_label, value_label : str
        Labels of the axes and of the colours, with units.
    x, y : tuple of float
        Where the function is known.
    maps : dict of str to tuple of tuple of float
        Title of each map to its values, one row for each y.
    points : tuple of (float, float, float)
        Points (x, y, value) to be marked.
    """

    heading: str
    text: str
    x_label: str
    y_label: str
    value_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    maps: dict[str, tuple[tuple[float, ...], ...]]
    points: tuple[tuple[float, float, float], ...] = ()

    __repr__ = one_line


class NetworkDrawing(msgspec.Struct, frozen=True, kw_only=True):
    """A network of nodes and edges, drawn side by side in several states.

    Parameters
    ----------
    heading, text : str
        Title and description of the figure.
    places : tuple of (float, float)
        Place of each node.
    segments : tuple of (int, float, float, float, float)
        Number of an edge, and a straight line of it: x, y, x, y. An edge around a periodic boundary has two.
    voltages : dict of str to tuple of float
        Title of each state to the voltage of each node, V.
    weights : dict of str to tuple of float
        The same titles to the weight of each edge, nan if the edge is cut; empty if weights cannot be read.
    weight_name, weight_unit : str
        Name and unit of a weight.
    roles : dict of str to tuple of int
        Role, such as ``"input"``, to the nodes that have it.
    names : dict of str to str
        Number of a node to what is written beside it.
    """

    heading: str
    text: str
    places: tuple[tuple[float, float], ...]
    segments: tuple[tuple[int, float, float, float, float], ...]
    voltages: dict[str, tuple[float, ...]]
    weights: dict[str, tuple[float, ...]] = {}
    weight_name: str = ""
    weight_unit: str = ""
    roles: dict[str, tuple[int, ...]] = {}
    names: dict[str, str] = {}

    __repr__ = one_line


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a task.

    Parameters
    ----------
    title : str
        The task in a few words.
    scores : tuple of Score
        At least one; the substrate's first, then the controls.
    exchanges : ExchangeStatistics
        Number and duration of the exchanges.
    sentence : str
        Description of the task in one sentence.
    metric : str
        Name of the score; more is better.
    chance : float
        Baseline score, reached without any input.
    chance_description : str
        Description of the baseline, for instance ``"most frequent class"``; empty if there is no baseline.
    trained, held_out : int
        Numbers of training and held-out items in the first split.
    splitting : str
        Description of the splits, in the order of each score's `splits`.
    classes : tuple of str
        Outputs of the readout: the columns of `weights`, and of `confusion` if it is given.
    weights : tuple of tuple of float
        For each output channel, for each class: root mean square weight of the readout over its standardised
        features.
    confusion : dict of str to tuple
        For each readout: rows are true classes, columns predicted ones, of the held-out part.
    learning_curve : tuple of int
        1 for each training item that the online readout predicted correctly before it learned from it, else 0.
    curves : tuple of Curves
        Further figures.
    surfaces : tuple of Surface
        Functions of two variables.
    networks : tuple of NetworkDrawing
        Networks with their states.
    repeated : str
        Name of what `splits` of the scores are.
    error_name : str
        Name of the scores' `errors`, with the unit.
    facts : tuple of (str, str)
        Further figures of merit: name and value.
    verdict : str
        Whether the matter helped; the runner writes it, from the scores.
    items : str
        Name of what `trained` and `held_out` count.
    """

    title: str
    scores: tuple[Score, ...]
    exchanges: ExchangeStatistics
    sentence: str = ""
    metric: str = "score"
    chance: float = 0.0
    chance_description: str = ""
    trained: int = 0
    held_out: int = 0
    splitting: str = ""
    classes: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    confusion: dict[str, tuple[tuple[int, ...], ...]] = {}
    learning_curve: tuple[int, ...] = ()
    curves: tuple[Curves, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    networks: tuple[NetworkDrawing, ...] = ()
    repeated: str = "splits"
    error_name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    verdict: str = ""
    items: str = "items"

    __repr__ = one_line

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError(f"the outcome {self.title!r} has no scores; give at least one")


def shown_error(score: Score) -> str:
    """Write the error of a score, and its spread if there are several splits."""
    if not score.errors:
        return ""
    mean = float(np.mean(score.errors))
    if mean < 1e-3:
        return "< 0.001"
    return f"{mean:.3g}" + (f" ± {round(float(np.std(score.errors)), 9):.2g}" if len(score.errors) > 1 else "")


def weights_by_output(coef: FloatArray, outputs: list[str]) -> tuple[tuple[float, ...], ...]:
    """Average the weights over the features of each output channel, as root mean square.

    Parameters
    ----------
    coef : ndarray of float, shape (classes, features)
        Features of all outputs follow one another, once or again and again, as `VirtualNodes` and `SpikeCounts`
        give them.
    outputs : list of str
        Output channels that the features were read from.

    Returns
    -------
    tuple of tuple of float
        One row for each output, one column for each class.
    """
    if not outputs or coef.shape[1] % len(outputs):
        raise ValueError(f"{coef.shape[1]} features are not whole rounds of {len(outputs)} outputs; give those read")
    by_output = coef.reshape(len(coef), -1, len(outputs))
    return tuple(tuple(row) for row in np.sqrt(np.mean(by_output**2, axis=1)).T.tolist())
