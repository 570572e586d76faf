"""Goal-directed experiments on neurons: a game in the loop, a fixed decoding, and arms that differ in their feedback.

Nothing on the computer is trained: what is sent is a fixed code of the game's state, and what the neurons do is the
difference between the activity of two fixed groups of outputs. If anything improves, the tissue has changed. The same
game is played in several arms, with the feedback that is studied and with controls that have as many pulses. Their
order is drawn anew for each cycle, and each begins after a pause.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from inmateria.protocols.outcome import Curves, ExchangeStatistics, Score
from inmateria.protocols.pulses import steps_within
from inmateria.reservoir import OneToOne, PhysicalReservoir
from inmateria.reservoir.pulse_encoding import pulse_amplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray

__all__ = ["Game", "LoopSettings", "arms_in_cycles", "learning_curves", "scores_of_arms"]

Indices = npt.NDArray[np.intp]


class LoopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every task that plays a game with neurons in the loop.

    Parameters
    ----------
    tick : float
        Seconds of a tick of the game, one exchange each; one step of the substrate if that is longer.
    strength : float
        Amplitude of every pulse, as a fraction of the way from rest to the inputs' upper limit.
    memory : float
        Ticks after which a count has faded to 1/e in what is decoded.
    calibration : float
        Seconds without pulses at the beginning, by which the two decoded groups are made equally strong.
    frequency : float
        Pulses a second and electrode of the feedback, if it is regular.
    cycles : int
        Times that every arm is played.
    pause : float
        Seconds without pulses before each arm.
    seed : int
        Of everything random.
    """

    tick: Annotated[float, Meta(gt=0.0)] = 0.1
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    memory: Annotated[float, Meta(gt=0.0)] = 1.0
    calibration: Annotated[float, Meta(gt=0.0)] = 20.0
    frequency: Annotated[float, Meta(gt=0.0)] = 25.0
    cycles: Annotated[int, Meta(ge=1)] = 4
    pause: Annotated[float, Meta(ge=0.0)] = 30.0
    seed: Annotated[int, Meta(ge=0)] = 0


class Game:
    """Exchanges with a reservoir that is entered: ticks that are decoded, trains of pulses, and pauses.

    Parameters
    ----------
    reservoir : PhysicalReservoir
        Its encoding and features are set here.
    settings : LoopSettings
    groups : pair of ndarray of int
        Numbers of the outputs whose activity is decoded, those for the positive direction first.

    Attributes
    ----------
    pulses : int
        Pulses that were given.
    """

    def __init__(self, reservoir: PhysicalReservoir, settings: LoopSettings, groups: tuple[Indices, Indices]) -> None:
        info = reservoir.info
        reservoir.encoding, reservoir.features = OneToOne(), spike_counts(info)
        rest = np.array(info.rest)
        pairs = zip(info.inputs, info.rest, strict=True)
        self._beyond = np.array([pulse_amplitude(channel, settings.strength, at) for channel, at in pairs]) - rest
        self._reservoir, self._groups = reservoir, groups
        self._steps = steps_within(reservoir, settings.tick)
        self._keep = float(np.exp(-1.0 / settings.memory))
        self._counts = np.zeros(2)
        self._usual = np.ones(2)
        self._begun = time.perf_counter()
        self._trips: list[float] = []
        self._sent = 0
        self.pulses = 0
        reservoir.check(self._drive(np.ones((1, len(rest)), dtype=bool), self._steps))

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self._beyond)

    @property
    def steps(self) -> int:
        """Number of substrate steps that were sent."""
        return self._sent

    async def calibrate(self, seconds: float) -> None:
        """Measure the spontaneous activity of the two groups, by which their activity is divided from then on."""
        ticks = max(1, round(seconds / (self._steps * self._reservoir.duration_of_step)))
        counted = [await self._exchange(np.zeros((1, self.inputs), dtype=bool), self._steps) for _ in range(ticks)]
        mean = np.mean(counted, axis=0)
        self._usual = np.array([max(mean[group].sum(), 1.0 / ticks) for group in self._groups])

    async def tick(self, stimulated: Sequence[int] | Indices = ()) -> float:
        """Give a pulse on some inputs at the beginning of a tick; return the decoded direction, from -1 to 1.

        It is the difference of the activity of the two groups, each in units of its spontaneous activity, over their
        sum, and 0 if neither fires.
        """
        volley = np.zeros((1, self.inputs), dtype=bool)
        volley[0, np.asarray(stimulated, dtype=np.intp)] = True
        seen = await self._exchange(volley, self._steps)
        self._counts = self._keep * self._counts + [seen[group].sum() for group in self._groups]
        positive, negative = self._counts / self._usual
        return float((positive - negative) / (positive + negative)) if positive + negative > 0 else 0.0

    async def train(self, volleys: npt.NDArray[np.bool_]) -> None:
        """Give a train of pulses, shape (steps, inputs), outside of the game; what it evokes is not decoded."""
        most = self._reservoir.info.limits.steps
        for begin in range(0, len(volleys), most):
            part = volleys[begin : begin + most]
            await self._exchange(part, len(part))
        self.forget()

    def check(self, volleys: npt.NDArray[np.bool_]) -> None:
        """Check a train of pulses, shape (steps, inputs), against the limits, without sending it."""
        most = self._reservoir.info.limits.steps
        for begin in range(0, len(volleys), most):
            part = volleys[begin : begin + most]
            self._reservoir.check(self._drive(part, len(part)))

    async def pause(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        steps = round(seconds / self._reservoir.duration_of_step)
        if steps:
            await self.train(np.zeros((steps, self.inputs), dtype=bool))

    def forget(self) -> None:
        """Forget the activity before, as a new round of the game begins."""
        self._counts = np.zeros(2)

    def steps_between(self, frequency: float) -> int:
        """Return the number of steps from one pulse to the next at a frequency, at least one."""
        return max(1, round(1.0 / (frequency * self._reservoir.duration_of_step)))

    def exchanges(self) -> ExchangeStatistics:
        """Return number and duration of the exchanges."""
        return ExchangeStatistics.measured(
            count=len(self._trips),
            steps=self._sent,
            seconds=time.perf_counter() - self._begun,
            round_trips=np.array(self._trips),
        )

    async def _exchange(self, volleys: npt.NDArray[np.bool_], steps: int) -> FloatArray:
        """Send pulses (volleys, inputs) in the first of some steps; return the spikes of each output."""
        begun = time.perf_counter()
        counts = await self._reservoir.run(self._drive(volleys, steps))
        self._trips.append(time.perf_counter() - begun)
        self._sent += steps
        self.pulses += int(volleys.sum())
        total: FloatArray = counts.sum(axis=0)
        return total

    def _drive(self, volleys: npt.NDArray[np.bool_], steps: int) -> FloatArray:
        drive = np.zeros((steps, self.inputs))
        drive[: len(volleys)] = volleys * self._beyond
        return drive


async def arms_in_cycles(
    game: Game, settings: LoopSettings, arms: Mapping[str, Callable[[], Awaitable[list[float]]]]
) -> tuple[dict[str, list[list[float]]], dict[str, int]]:
    """Play every arm once in each cycle, in an order drawn for each, after a pause.

    Returns
    -------
    rounds : dict of str to list of list of float
        Result of every round of the game, for each cycle of each arm.
    pulses : dict of str to int
        Pulses given in each arm, those of the game included.
    """
    generator = np.random.default_rng([settings.seed, 5])
    rounds: dict[str, list[list[float]]] = {name: [] for name in arms}
    pulses = dict.fromkeys(arms, 0)
    for _ in range(settings.cycles):
        for which in generator.permutation(len(arms)):
            name = list(arms)[which]
            await game.pause(settings.pause)
            before = game.pulses
            rounds[name].append(await arms[name]())
            pulses[name] += game.pulses - before
    return rounds, pulses


def scores_of_arms(
    readout: str, rounds: Mapping[str, Sequence[Sequence[float]]], studied: str, features: int
) -> tuple[Score, ...]:
    """Score the later half of the rounds of each arm, and how much better it is than the earlier one, cycle by cycle.

    Parameters
    ----------
    readout : str
        Name of the result of a round.
    rounds : mapping of str to sequence of sequence of float
        As `arms_in_cycles` returns them.
    studied : str
        The arm that is no control.
    features : int
        Number of outputs that are decoded.
    """
    scores = []
    order = [studied, *(name for name in rounds if name != studied)]
    halves = {
        name: np.array([[np.mean(part) for part in np.array_split(each, 2)] for each in rounds[name]]) for name in order
    }
    by_name: dict[str, Callable[[FloatArray], FloatArray]] = {
        f"{readout}, later half": lambda both: both[:, 1],
        "later less earlier half": lambda both: both[:, 1] - both[:, 0],
    }
    for title, measure in by_name.items():
        for name in order:
            splits = tuple(float(value) for value in measure(halves[name]))
            on = "substrate" if name == studied else name
            scores.append(Score(readout=title, on=on, features=features, score=splits[0], splits=splits))
    return tuple(scores)


def learning_curves(rounds: Mapping[str, Sequence[Sequence[float]]], **labels: Any) -> Curves:
    """Draw the mean over cycles of the rounds of each arm, in ten parts of each cycle.

    Parameters
    ----------
    rounds : mapping of str to sequence of sequence of float
    **labels
        `heading`, `text` and `y_label` of the figure.
    """
    parts = min(10, min(len(each) for cycles in rounds.values() for each in cycles))
    lines = {
        name: tuple(
            np.mean([[np.mean(part) for part in np.array_split(each, parts)] for each in cycles], axis=0).tolist()
        )
        for name, cycles in rounds.items()
    }
    at = tuple(((np.arange(parts) + 0.5) / parts).tolist())
    return Curves(x_label="part of the cycle", x=at, lines=lines, **labels)
