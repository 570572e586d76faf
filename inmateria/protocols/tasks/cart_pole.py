"""Balance a pole on a cart with living neurons in the loop, one exchange a tick.

Angle and angular velocity go in as pulses, counts of spikes come out, and a linear readout of them pushes the
cart left or right. The readout learns from a teacher that sees the pole; after every round of learning it drives
the loop itself, and the teacher gives the right push for each state (Ross, Gordon and Bagnell, AISTATS 2011). Beside
it: a readout of random weights, one trained in the same way on the pulses themselves, and pushes at random. A tick is
always 20 ms of the pole's own time, whatever the platform's rate.

Nothing is asked of the tissue here but to answer: what learns is a readout on a computer. The published experiment, in
which the decoding is fixed and the tissue is coached, is the task `coached-cart-pole`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Curves, ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.pole import FALLEN, has_fallen, pushed
from inmateria.protocols.pulses import unused_by_levels
from inmateria.protocols.run_progress import note_no_targets, note_score
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude, PulsePlace, RidgeReadout
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2, 7))
_WIDEST, _FASTEST = FALLEN, 2.0  # encoded by the strongest pulse

Decide = Callable[[FloatArray, FloatArray], float]
"""From features of the substrate and of the pulses to a push: positive to the right."""


class CartPoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `cart-pole`.

    Parameters
    ----------
    rate : float, optional
        Ticks a second, each one exchange; one for each of the substrate's own steps by default: 100 on a CL1, 4 on
        the Neuroplatform.
    rounds : int
        Of learning.
    episodes : int
        In each round, and for each score.
    longest : int
        Ticks after which an episode ends with the pole standing.
    memory : float
        Ticks after which a count has faded to 1/e in the features.
    strength : float
        Amplitude of the strongest pulse, as a fraction of the way from rest to the inputs' upper limit.
    encoding : {"place", "amplitude"}
        Whether angle and velocity choose among half of the inputs each, or either sign of each of them sets the
        amplitude at some electrodes.
    width : int
        Neighbouring electrodes that are stimulated together, if the place encodes the value.
    electrodes : int
        Inputs for each of the four signals, if the amplitude encodes the value.
    seed : int
        Of everything random.
    """

    rate: Annotated[float, Meta(gt=0.0)] | None = None
    rounds: Annotated[int, Meta(ge=1)] = 4
    episodes: Annotated[int, Meta(ge=2)] = 8
    longest: Annotated[int, Meta(ge=20)] = 200
    memory: Annotated[float, Meta(gt=0.0)] = 1.0
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    encoding: Literal["place", "amplitude"] = "place"
    width: Annotated[int, Meta(ge=1)] = 3
    electrodes: Annotated[int, Meta(ge=1)] = 4
    seed: Annotated[int, Meta(ge=0)] = 0


class _Loop:
    """The pole and the substrate, and the features of both that were recorded."""

    def __init__(self, reservoir: PhysicalReservoir, settings: CartPoleSettings, on_progress: ProgressCallback) -> None:
        self.reservoir, self.settings, self._on_progress = reservoir, settings, on_progress
        self._generator = np.random.default_rng(settings.seed)
        self._keep = np.exp(-1.0 / settings.memory)
        self.round_trips: list[float] = []
        self.counts: list[FloatArray] = []
        self.pulses: list[FloatArray] = []
        self.pushes: list[float] = []
        self._of = (2 * settings.rounds + 2 * 4) * settings.episodes
        self._episodes = 0

    async def episode(self, decide: Decide, learn: bool) -> int:
        """Balance until the pole falls; return the ticks it stood. With `learn`, record the teacher's pushes."""
        state = self._generator.uniform(-0.05, 0.05, 4)
        counts: FloatArray = np.zeros(len(self.reservoir.info.outputs))
        pulses: FloatArray = np.zeros(len(self.reservoir.info.inputs))
        rest = np.array(self.reservoir.info.rest)
        room = np.array([channel.high for channel in self.reservoir.info.inputs]) - rest
        stood = self.settings.longest
        for tick in range(self.settings.longest):
            signal = _signal(state, self.settings)
            drive = self.reservoir.encode(signal[np.newaxis])[0]
            begun = time.perf_counter()
            seen = await self.reservoir.step(signal)
            self.round_trips.append(time.perf_counter() - begun)
            counts, pulses = self._keep * counts + seen, self._keep * pulses + (drive - rest) / room
            if learn:
                self.counts.append(counts)
                self.pulses.append(pulses)
                self.pushes.append(1.0 if _teacher(state) > 0 else -1.0)
            state = pushed(state, decide(counts, pulses))
            if has_fallen(state):
                stood = tick + 1
                break
        self._episodes += 1
        note_score("fraction of the time it stood, each episode", stood / self.settings.longest, self._episodes)
        self._on_progress("episodes", min(self._episodes, self._of), self._of, len(self.round_trips))
        return stood

    def random_push(self, counts: FloatArray, pulses: FloatArray) -> float:
        """Push left or right at random."""
        return float(self._generator.choice([-1.0, 1.0]))

    def random_readout(self) -> Decide:
        """Draw a readout of random weights."""
        weights = self._generator.normal(size=len(self.reservoir.info.outputs))
        return lambda counts, pulses: float((counts - counts.mean()) @ weights)

    def trained(self, on_pulses: bool) -> tuple[Decide, RidgeReadout]:
        """Fit a readout to the teacher's pushes."""
        X = np.array(self.pulses if on_pulses else self.counts)
        readout = RidgeReadout(_ALPHAS).fit(X, np.array(self.pushes))
        coef, intercept = readout.coef_, readout.intercept_
        if on_pulses:
            return (lambda counts, pulses: float(pulses @ coef + intercept)), readout
        return (lambda counts, pulses: float(counts @ coef + intercept)), readout


async def balance(substrate: Substrate, settings: CartPoleSettings, on_progress: ProgressCallback) -> Outcome:
    """Learn to balance the pole with the substrate and without it, and score both."""
    reservoir = PhysicalReservoir(substrate, step=None if settings.rate is None else 1.0 / settings.rate)
    begun = time.perf_counter()
    note_no_targets("the right push depends on how the pole moves, and is known only as it is given")
    async with reservoir:
        rate = 1.0 / reservoir.duration_of_step
        reservoir.features = spike_counts(reservoir.info)
        reservoir.encoding = (
            PulsePlace(1, settings.strength, width=settings.width)
            if settings.encoding == "place"
            else PulseAmplitude(1, settings.strength)
        )
        reservoir.check(_signal(np.zeros(4), settings)[np.newaxis])
        loop = _Loop(reservoir, settings, on_progress)
        stood: dict[str, list[int]] = {}
        by_round: dict[str, list[float]] = {}
        coef: FloatArray = np.zeros(0)
        for name, on_pulses in (("substrate", False), ("pulses alone", True)):
            loop.counts, loop.pulses, loop.pushes = [], [], []
            decide: Decide = loop.random_push
            by_round[name] = []
            for _ in range(settings.rounds):
                lasted = [await loop.episode(decide, learn=True) for _ in range(settings.episodes)]
                by_round[name].append(float(np.mean(lasted)) / settings.longest)
                decide, readout = await asyncio.to_thread(loop.trained, on_pulses)
                if not on_pulses:
                    coef = readout.coef_
            stood[name] = [await loop.episode(decide, learn=False) for _ in range(settings.episodes)]
        stood["random readout"] = [
            await loop.episode(loop.random_readout(), learn=False) for _ in range(settings.episodes)
        ]
        stood["pushes at random"] = [
            await loop.episode(loop.random_push, learn=False) for _ in range(settings.episodes)
        ]
        outputs, inputs = [channel.name for channel in reservoir.info.outputs], len(reservoir.info.inputs)
    trips = np.array(loop.round_trips)
    chance = float(np.mean(stood.pop("pushes at random"))) / settings.longest
    return Outcome(
        title="A pole on a cart",
        sentence=f"A pole was to be balanced for {settings.longest} ticks, one exchange a tick; at {rate:g} "
        f"ticks a second {float(np.mean(trips > 1.0 / rate)):.1%} of the exchanges took longer than a tick.",
        metric="fraction of the time it stood",
        chance=chance,
        chance_description="pushes at random",
        items="episodes",
        repeated="episodes",
        trained=settings.rounds * settings.episodes,
        held_out=settings.episodes,
        splitting=f"The mean of {settings.episodes} episodes, then each of them.",
        scores=tuple(
            Score(
                readout="trained" if name != "random readout" else "random weights",
                on="substrate" if name == "random readout" else name,
                features=inputs if name == "pulses alone" else len(outputs),
                score=float(np.mean(ticks)) / settings.longest,
                splits=tuple(each / settings.longest for each in ticks),
                control=name != "substrate",
            )
            for name, ticks in stood.items()
        ),
        exchanges=ExchangeStatistics.measured(
            count=len(trips), steps=len(trips), seconds=time.perf_counter() - begun, round_trips=trips
        ),
        classes=("right",),
        weights=weights_by_output(np.atleast_2d(coef), outputs),
        curves=(
            Curves(
                heading="Learning",
                text="How long the pole stood in each round; in the first one it is pushed at random.",
                x_label="round",
                y_label="fraction of the time",
                x=tuple(float(k + 1) for k in range(settings.rounds)),
                lines={name: tuple(values) for name, values in by_round.items()},
            ),
        ),
    )


def _signal(state: FloatArray, settings: CartPoleSettings) -> FloatArray:
    """Turn angle and angular velocity into values from 0 to 1: themselves, or either sign of each on its electrodes."""
    angle, speed = state[2] / _WIDEST, state[3] / _FASTEST
    if settings.encoding == "place":
        signal: FloatArray = np.clip([0.5 + 0.5 * angle, 0.5 + 0.5 * speed], 0.0, 1.0)
        return signal
    return np.repeat(np.clip([angle, -angle, speed, -speed], 0.0, 1.0), settings.electrodes)


def _teacher(state: FloatArray) -> float:
    """Return the right push (its sign) from angle and angular velocity, which the pulses encode too."""
    return float(state[2] + 0.3 * state[3])


def _unused(settings: CartPoleSettings, info: SubstrateInfo) -> dict[str, str]:
    other, used_by = ("electrodes", "amplitude") if settings.encoding == "place" else ("width", "place")
    return unused_by_levels(settings, info) | {
        other: f"only encoding={used_by} uses it, and the encoding is {settings.encoding}"
    }


TASK = Task(
    "cart-pole",
    CartPoleSettings,
    balance,
    needs="spikes",
    unused=_unused,
    validation="data",
    own_controls="the loop is closed: a readout of the pulses, trained by the same teacher, drives the pole itself",
)
