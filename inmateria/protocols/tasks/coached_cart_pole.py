"""Balance a pole by a fixed decoding of neurons that are coached: trains of pulses after episodes that fell early.

After A. Robbins et al., Goal-directed learning in cortical organoids, Cell Reports (2026). The side to which the pole
falls is stimulated, more often the farther it leans, and two groups of outputs push against each other; nothing on the
computer reads out more than their difference. After an episode that stood for less time than those before it, a pair of
other inputs is stimulated at high frequency. In one arm the pair is chosen by its value, which later episodes raise or
lower; in a second one at random, as many trains; in a third one there is a pause in place of each train. A gain over
both is learning of the tissue, guided by its success. What `cart-pole` trains is a readout: another experiment.
"""

from collections.abc import AsyncGenerator, Mapping
from itertools import combinations
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from inmateria.protocols.goal_directed import Game, Indices, LoopSettings, outcome_of_arms, play_arms
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.pole import FALLEN, has_fallen, pushed
from inmateria.protocols.pulses import unused_by_levels
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_LEAST = 0.5
"""Volleys a tick, one at most, while the pole stands upright."""
_AT_RANDOM = 500
"""Episodes of random pushes that tell chance."""

Choice = Literal["by value", "at random", "none"]
_ARMS: Mapping[str, Choice] = {
    "coached by value": "by value",
    "coached at random": "at random",
    "not coached": "none",
}


class CoachedCartPoleSettings(LoopSettings, frozen=True, kw_only=True):
    """Settings of `coached-cart-pole`, beside those of every game.

    Parameters
    ----------
    episodes : int
        In each arm of each cycle.
    longest : int
        Ticks after which an episode ends with the pole standing.
    ahead : float
        Seconds of the pole's own time by which its angle is extrapolated before the side is chosen: by the angle alone
        (0) no push stands for long.
    electrodes : int
        Stimulated together for each side.
    candidates : int
        Inputs among which the pairs to be trained are; they carry nothing else.
    train : float
        Seconds of a train of pulses.
    block : int
        Episodes in which a given number of trains is spent.
    trains : int
        That number, in every arm: after the first episodes that fell early, and what is left of it after the last.
    window : int
        Episodes before it with whose mean an episode is compared.
    exploration : float
        Fraction of the trains on a pair drawn at random, where the value chooses.
    rate : float
        By which a value moves toward the gain that followed its train.
    trace : float
        Part of a train's eligibility that is left after each further episode.
    """

    episodes: Annotated[int, Meta(ge=4)] = 60
    longest: Annotated[int, Meta(ge=20)] = 200
    ahead: Annotated[float, Meta(ge=0.0)] = 0.3
    electrodes: Annotated[int, Meta(ge=1)] = 3
    candidates: Annotated[int, Meta(ge=2)] = 6
    train: Annotated[float, Meta(gt=0.0)] = 0.5
    block: Annotated[int, Meta(ge=2)] = 10
    trains: Annotated[int, Meta(ge=1)] = 5
    window: Annotated[int, Meta(ge=1)] = 20
    exploration: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.2
    rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    trace: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.5


class _Coach:
    """Chooses the pair that is trained, and learns its value from the episodes that follow."""

    def __init__(self, choice: Choice, pairs: int, settings: CoachedCartPoleSettings) -> None:
        self._choice, self._settings = choice, settings
        self.values: FloatArray = np.zeros(pairs)
        self._eligible: FloatArray = np.zeros(pairs)

    def pair(self, generator: np.random.Generator) -> int:
        """Choose a pair to be trained, which makes it eligible."""
        best = np.flatnonzero(self.values == self.values.max())
        if self._choice != "by value" or generator.random() < self._settings.exploration:
            best = np.arange(len(self.values))
        chosen = int(generator.choice(best))
        self._eligible[chosen] = 1.0
        return chosen

    def learn(self, gain: float) -> None:
        """Move the values of what was trained lately toward the gain of an episode."""
        self.values += self._settings.rate * self._eligible * (gain - self.values)
        self._eligible *= self._settings.trace


async def coach(substrate: Substrate, settings: CoachedCartPoleSettings, on_progress: ProgressCallback) -> Outcome:
    """Play all arms on one substrate, and score how long the pole stood in each."""
    reservoir = PhysicalReservoir(substrate)
    async with reservoir:
        generator = np.random.default_rng([settings.seed, 4])
        sides, candidates, groups = _drawn(reservoir.info, settings, generator)
        pairs = list(combinations(candidates.tolist(), 2))
        game = Game(reservoir, settings, groups)
        every = game.steps_between(settings.frequency)
        steps = max(every, round(settings.train / reservoir.duration_of_step))
        trains = np.zeros((len(pairs), steps, game.inputs), dtype=bool)
        for train, pair in zip(trains, pairs, strict=True):
            train[np.ix_(np.arange(0, steps, every), np.array(pair))] = True
            game.check(train)

        async def arm(choice: Choice) -> AsyncGenerator[float]:
            coach, stood, spent = _Coach(choice, len(pairs), settings), list[float](), 0
            for number in range(settings.episodes):
                stood.append(await _episode(game, sides, settings, generator) / settings.longest)
                before = stood[-1 - settings.window : -1]
                gain = stood[-1] - (float(np.mean(before)) if before else stood[-1])
                coach.learn(gain)
                within = number % settings.block + 1
                last = within == settings.block
                due = settings.trains - spent if last else int(gain < 0 and spent < settings.trains)
                for _ in range(due):
                    await game.train(trains[coach.pair(generator)] & (choice != "none"))
                spent = 0 if last else spent + due
                yield stood[-1]

        played = await play_arms(
            game, settings, arm, _ARMS, rounds=settings.episodes, items="episodes", result="time it stood",
            on_progress=on_progress,
        )  # fmt: skip
    at_random, leaning = (_without_matter(settings, how) for how in ("at random", "leaning"))
    return outcome_of_arms(
        played,
        title="A pole on a cart, coached",
        sentence=f"Neurons pushed a cart by the difference of two groups of outputs; of {settings.block} episodes, "
        f"{settings.trains} were followed by a train of pulses on a pair of other inputs.",
        metric="fraction of the time it stood",
        readout="time it stood",
        chance=at_random,
        chance_description="pushes at random",
        perfect=("pushes toward the side it leans to", leaning),
        text="How long the pole stood in each tenth of a cycle, mean over cycles.",
        y_label="fraction of the time",
    )


async def _episode(
    game: Game, sides: FloatArray | Indices, settings: CoachedCartPoleSettings, generator: np.random.Generator
) -> int:
    """Balance until the pole falls; return the ticks it stood."""
    state, phase = generator.uniform(-0.05, 0.05, 4), generator.random()
    game.forget()
    for tick in range(settings.longest):
        leaning = _leaning(state, settings)
        phase += _LEAST + (1.0 - _LEAST) * min(abs(leaning) / FALLEN, 1.0)
        volley = sides[int(leaning > 0)] if phase >= 1.0 else ()
        phase %= 1.0
        direction = await game.tick(volley)
        state = pushed(state, direction if direction else float(generator.choice([-1.0, 1.0])))
        if has_fallen(state):
            return tick + 1
    return settings.longest


def _leaning(state: FloatArray, settings: CoachedCartPoleSettings) -> float:
    """Return the angle that is encoded, rad: the present one and what its velocity adds soon."""
    return float(state[2] + settings.ahead * state[3])


def _drawn(
    info: SubstrateInfo, settings: CoachedCartPoleSettings, generator: np.random.Generator
) -> tuple[Indices, Indices, tuple[Indices, Indices]]:
    """Draw the inputs of each side, the candidates, and the two groups of outputs, which hear no input of a side."""
    needed = 2 * settings.electrodes + settings.candidates
    if len(info.inputs) < needed:
        raise ValueError(
            f"two sides of {settings.electrodes} electrodes and {settings.candidates} candidates are {needed} inputs; "
            f"{info.id} has {len(info.inputs)}; give fewer electrodes or candidates"
        )
    drawn = generator.permutation(len(info.inputs))[:needed]
    sides, candidates = drawn[: 2 * settings.electrodes].reshape(2, -1), drawn[2 * settings.electrodes :]
    names = {info.inputs[each].name for each in sides.ravel()}
    free = generator.permutation([k for k, channel in enumerate(info.outputs) if channel.name not in names])
    if len(free) < 2:
        raise ValueError(
            f"{info.id} has {len(free)} outputs that are not stimulated for a side; two or more are needed: give fewer "
            "electrodes"
        )
    return sides, candidates, (free[0::2], free[1::2])


def _without_matter(settings: CoachedCartPoleSettings, how: Literal["at random", "leaning"]) -> float:
    """Return the mean fraction of the time that the pole stands with pushes that are computed."""
    generator = np.random.default_rng([settings.seed, 6])
    stood = []
    for _ in range(_AT_RANDOM):
        state, ticks = generator.uniform(-0.05, 0.05, 4), 0
        while ticks < settings.longest and not has_fallen(state):
            state = pushed(
                state, _leaning(state, settings) if how == "leaning" else float(generator.choice([-1.0, 1.0]))
            )
            ticks += 1
        stood.append(ticks / settings.longest)
    return float(np.mean(stood))


TASK = Task(
    "coached-cart-pole",
    CoachedCartPoleSettings,
    coach,
    needs="spikes",
    unused=unused_by_levels,
    validation="data",
    own_controls="nothing is read out: the same game without coaching, and with as many trains chosen at random",
)
