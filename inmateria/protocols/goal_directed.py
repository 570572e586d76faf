"""Goal-directed experiments on neurons: a game in the loop, a fixed decoding, and arms that differ in their feedback.

Nothing on the computer is trained: what is sent is a fixed code of the game's state, and what the neurons do is the
difference between the activity of two fixed groups of outputs. If anything improves, the tissue has changed. The same
game is played in several arms, with the feedback that is studied and with controls that have as many pulses. Their
order is drawn anew for each cycle, and each begins after a pause.
"""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from inmateria.one_line import one_line
from inmateria.protocols.outcome import Curves, ExchangeStatistics, Outcome, Score
from inmateria.protocols.pulses import steps_within
from inmateria.protocols.run_progress import note_no_targets, note_score
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import OneToOne, PhysicalReservoir
from inmateria.reservoir.pulse_encoding import pulse_amplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray

__all__ = ["Game", "Indices", "LoopSettings", "PlayedArms", "outcome_of_arms", "play_arms"]

Indices = npt.NDArray[np.intp]
_Arm = TypeVar("_Arm")


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
    def decoded(self) -> int:
        """Number of outputs that are decoded."""
        return sum(map(len, self._groups))

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


@dataclass(frozen=True)
class PlayedArms:
    """What came of a game that was played in several arms.

    Parameters
    ----------
    items : str
        What is counted in the rounds, such as ``"episodes"``.
    rounds : dict of str to list of list of float
        Result of every round of the game, for each cycle of each arm; the arm that is studied first, then the controls.
    pulses : dict of str to int
        Pulses given in each arm, those of the game included.
    decoded : int
        Number of outputs that were decoded.
    exchanges : ExchangeStatistics
    """

    items: str
    rounds: dict[str, list[list[float]]]
    pulses: dict[str, int]
    decoded: int
    exchanges: ExchangeStatistics

    __repr__ = one_line


async def play_arms(
    game: Game,
    settings: LoopSettings,
    play: Callable[[_Arm], AsyncGenerator[float]],
    arms: Mapping[str, _Arm],
    *,
    rounds: int,
    items: str,
    result: str,
    on_progress: ProgressCallback,
) -> PlayedArms:
    """Calibrate, then play every arm once in each cycle, in an order drawn for each, after a pause.

    Parameters
    ----------
    game : Game
    settings : LoopSettings
    play : callable
        ``arm -> results``: plays that arm, and yields the result of every round as soon as its feedback was given.
    arms : mapping of str to object
        What `play` is told of each arm, by the name of the arm; the one that is studied first.
    rounds : int
        Of the game, in each arm of each cycle.
    items : str
        Name of the rounds.
    result : str
        Name of the result of a round.
    on_progress : callable
    """
    note_no_targets("nothing is read out: the neurons themselves are to improve")
    await game.calibrate(settings.calibration)
    generator = np.random.default_rng([settings.seed, 5])
    played: dict[str, list[list[float]]] = {name: [] for name in arms}
    pulses = dict.fromkeys(arms, 0)
    done, of = 0, rounds * settings.cycles * len(arms)
    for _ in range(settings.cycles):
        for which in generator.permutation(len(arms)):
            name = list(arms)[which]
            await game.pause(settings.pause)
            before = game.pulses
            played[name].append([])
            async with aclosing(play(arms[name])) as results:
                async for each in results:
                    played[name][-1].append(each)
                    done += 1
                    note_score(f"{result}, {name}", each, done)
                    on_progress(items, done, of, game.steps)
            pulses[name] += game.pulses - before
    return PlayedArms(items, played, pulses, game.decoded, game.exchanges())


def outcome_of_arms(
    played: PlayedArms,
    *,
    title: str,
    sentence: str,
    metric: str,
    readout: str,
    chance: float,
    chance_description: str,
    perfect: tuple[str, float],
    text: str,
    y_label: str,
) -> Outcome:
    """Score the later half of the rounds of each arm, and how much better it is than the earlier one, cycle by cycle.

    Parameters
    ----------
    played : PlayedArms
    title, sentence, metric, chance, chance_description
        Of the outcome.
    readout : str
        Name of the result of a round.
    perfect : pair of str and float
        What plays by what is sent alone, and its result: what the neurons could reach.
    text, y_label : str
        Of the figure of learning.
    """
    each = len(next(iter(played.rounds.values()))[0])
    name, could = perfect
    return Outcome(
        title=title,
        sentence=sentence,
        metric=metric,
        chance=chance,
        chance_description=chance_description,
        items=played.items,
        repeated="cycles",
        held_out=each // 2,
        splitting=f"The mean of the later half of {each} {played.items}, cycle by cycle.",
        scores=_scores(readout, played),
        exchanges=played.exchanges,
        facts=(
            *((f"pulses, {arm}", f"{number:,}") for arm, number in played.pulses.items()),
            (f"{name}, without the matter", f"{could:.3f}"),
        ),
        curves=(_learning(played.rounds, text, y_label),),
    )


def _scores(readout: str, played: PlayedArms) -> tuple[Score, ...]:
    studied = next(iter(played.rounds))
    halves = {
        name: np.array([[np.mean(part) for part in np.array_split(each, 2)] for each in cycles])
        for name, cycles in played.rounds.items()
    }
    by_name: dict[str, Callable[[FloatArray], FloatArray]] = {
        f"{readout}, later half": lambda both: both[:, 1],
        "later less earlier half": lambda both: both[:, 1] - both[:, 0],
    }
    scores = []
    for title, measure in by_name.items():
        for name, both in halves.items():
            splits = tuple(float(value) for value in measure(both))
            on = "substrate" if name == studied else name
            scores.append(Score(readout=title, on=on, features=played.decoded, score=splits[0], splits=splits))
    return tuple(scores)


def _learning(rounds: Mapping[str, Sequence[Sequence[float]]], text: str, y_label: str) -> Curves:
    """Draw the mean over cycles of the rounds of each arm, in ten parts of each cycle."""
    parts = min(10, min(len(each) for cycles in rounds.values() for each in cycles))
    lines = {
        name: tuple(
            np.mean([[np.mean(part) for part in np.array_split(each, parts)] for each in cycles], axis=0).tolist()
        )
        for name, cycles in rounds.items()
    }
    at = tuple(((np.arange(parts) + 0.5) / parts).tolist())
    return Curves(heading="Learning", text=text, x_label="part of the cycle", y_label=y_label, x=at, lines=lines)
