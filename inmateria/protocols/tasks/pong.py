"""Play pong with neurons: a predictable stimulus for a hit, an unpredictable one for a miss.

After B. J. Kagan et al., Neuron 110, 3952 (2022). Where the ball is, relative to the paddle, is the place of pulses on
sensory inputs, and how near it is, their rate; the paddle follows the stronger one of two groups of outputs. A hit is
followed by regular pulses on all sensory inputs at once, a miss by as many at random places and times. In the controls
nothing follows but a pause of the same length, or either stimulus whatever happened, as many pulses. Gains over both
mean that the tissue learned from its feedback. The published stimuli differ in voltage and number too; here they have
the same number of equal pulses, so that only what they say differs.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from inmateria.protocols.goal_directed import Game, Indices, LoopSettings, outcome_of_arms, play_arms
from inmateria.protocols.outcome import Outcome
from inmateria.protocols.pulses import places_of, unused_by_levels
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir
from inmateria.substrate import Substrate, SubstrateInfo

_SPEED, _STEEPEST = 0.1, 0.08
"""Way of the ball in a tick along the field, and most across it; both sides of the field are 1 long."""
_STEP = 0.1
"""Longest way of the paddle in a tick."""
_FAR, _NEAR = 0.3, 1.0
"""Volleys a tick, one at most, with the ball at the far and at the near end."""
_AT_RANDOM = 2000
"""Balls that tell chance."""

Answer = Literal["feedback", "silent", "shuffled"]


class PongSettings(LoopSettings, frozen=True, kw_only=True):
    """Settings of `pong`, beside those of every game.

    Parameters
    ----------
    balls : int
        That reach the paddle's side, in each arm of each cycle.
    paddle : float
        Length of the paddle, as a fraction of the field's width.
    sensory : int
        Inputs that stand for as many places of the ball.
    volleys : int
        Pulses on each sensory input that follow a hit, and as many in all that follow a miss.
    miss : float
        Seconds over which those after a miss are scattered.
    """

    balls: Annotated[int, Meta(ge=4)] = 60
    paddle: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.3
    sensory: Annotated[int, Meta(ge=2)] = 8
    volleys: Annotated[int, Meta(ge=1)] = 10
    miss: Annotated[float, Meta(gt=0.0)] = 4.0


class Field:
    """The ball and the paddle; the ball moves along x to the paddle at 0 and back from the wall at 1."""

    def __init__(self, paddle: float, generator: np.random.Generator) -> None:
        self._half, self._generator = paddle / 2, generator
        self.at = 0.5
        self._serve()

    def _serve(self) -> None:
        self.x, self.y = 1.0, float(self._generator.random())
        self._along, self._across = -_SPEED, float(self._generator.uniform(-_STEEPEST, _STEEPEST))

    @property
    def apart(self) -> float:
        """Place of the ball relative to the paddle, from -1 to 1."""
        return self.y - self.at

    def move(self, direction: float) -> bool | None:
        """Move the paddle, then the ball, by a tick; return whether it was hit or missed, None if it is under way.

        Parameters
        ----------
        direction : float
            Of the paddle, from -1 to 1.
        """
        self.at = float(np.clip(self.at + _STEP * direction, 0.0, 1.0))
        self.x += self._along
        self.y += self._across
        if not 0.0 <= self.y <= 1.0:
            self.y, self._across = (-self.y if self.y < 0 else 2.0 - self.y), -self._across
        if self.x >= 1.0 - 1e-9:
            self._along = -_SPEED
        if self.x > 1e-9:
            return None
        if abs(self.apart) <= self._half:
            self._along = _SPEED
            return True
        self._serve()
        return False


async def play(substrate: Substrate, settings: PongSettings, on_progress: ProgressCallback) -> Outcome:
    """Play all arms on one substrate, and score the balls that were hit in each."""
    reservoir = PhysicalReservoir(substrate)
    async with reservoir:
        generator = np.random.default_rng([settings.seed, 4])
        sensory, groups = _regions(reservoir.info, settings)
        game = Game(reservoir, settings, groups)
        every = game.steps_between(settings.frequency)
        hit = np.zeros((every * settings.volleys, game.inputs), dtype=bool)
        hit[np.ix_(np.arange(0, len(hit), every), sensory)] = True
        scattered = max(every * settings.volleys, round(settings.miss / reservoir.duration_of_step))
        game.check(hit)
        game.check(_unpredictable(scattered, settings.volleys, every, sensory, game.inputs, generator))

        async def arm(answer: Answer) -> AsyncGenerator[float]:
            field, phase = Field(settings.paddle, generator), 0.0
            game.forget()
            for _ in range(settings.balls):
                was_hit = None
                while was_hit is None:
                    phase += _NEAR - (_NEAR - _FAR) * field.x
                    place = int(np.clip((field.apart + 1.0) / 2.0 * len(sensory), 0, len(sensory) - 1))
                    direction = await game.tick(sensory[place : place + 1] if phase >= 1.0 else ())
                    phase %= 1.0
                    was_hit = field.move(direction)
                as_hit = was_hit if answer != "shuffled" else bool(generator.random() < 0.5)
                given = (
                    hit
                    if as_hit
                    else _unpredictable(scattered, settings.volleys, every, sensory, game.inputs, generator)
                )
                await game.train(given & (answer != "silent"))
                yield float(was_hit)

        played = await play_arms(
            game, settings, arm, {answer: answer for answer in get_args(Answer)},
            rounds=settings.balls, items="balls", result="balls hit", on_progress=on_progress,
        )  # fmt: skip
    at_random, following = (_without_matter(settings, how) for how in ("at random", "following"))
    return outcome_of_arms(
        played,
        title="Pong",
        sentence=f"Neurons moved a paddle of {settings.paddle:g} of the field by two groups of outputs; a hit was "
        "followed by a predictable stimulus, a miss by an unpredictable one of as many pulses.",
        metric="balls hit",
        readout="balls hit",
        chance=at_random,
        chance_description="a paddle moved at random",
        perfect=("a paddle that follows the pulses", following),
        text="Balls that were hit in each tenth of a cycle, mean over cycles.",
        y_label="fraction of the balls",
    )


def _unpredictable(
    steps: int, volleys: int, every: int, sensory: Indices, inputs: int, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draw as many pulses as volleys on all sensory inputs have; those on one input are `every` steps apart or more."""
    train = np.zeros((steps, inputs), dtype=bool)
    slots = np.arange(0, steps - every + 1, every)
    for number, at in enumerate(sensory.tolist()):
        shift = number % every  # inputs are not in phase, so that no two pulses come together by design
        train[generator.choice(slots, size=volleys, replace=False) + shift, at] = True
    return train


def _regions(info: SubstrateInfo, settings: PongSettings) -> tuple[Indices, tuple[Indices, Indices]]:
    """Return the sensory inputs, in order of their place, and the outputs that move the paddle up and down.

    Sensory inputs are those with the least x. Outputs elsewhere are cut into stripes that move it up and down in turn,
    as in the publication, so that neither direction is nearer to some place of the ball.
    """
    if len(info.inputs) < settings.sensory:
        raise ValueError(
            f"sensory is {settings.sensory}; {info.id} has {len(info.inputs)} inputs; give at most as many"
        )
    inputs, outputs = places_of(info, info.inputs), places_of(info, info.outputs)
    nearest = np.lexsort((inputs[:, 1], inputs[:, 0]))[: settings.sensory]
    sensory = nearest[np.argsort(inputs[nearest, 1], kind="stable")]
    names = {info.inputs[each].name for each in sensory}
    free = np.array([k for k, channel in enumerate(info.outputs) if channel.name not in names], dtype=np.intp)
    if len(free) < 2:
        raise ValueError(
            f"{info.id} has {len(free)} outputs that are no sensory input; two or more move the paddle: give a smaller "
            "sensory"
        )
    stripes = np.array_split(free[np.lexsort((outputs[free, 0], outputs[free, 1]))], min(4, len(free)))
    return sensory, (np.concatenate(stripes[0::2]), np.concatenate(stripes[1::2]))


def _without_matter(settings: PongSettings, how: Literal["at random", "following"]) -> float:
    """Return the fraction of balls that are hit by a paddle that is moved by a computer."""
    generator = np.random.default_rng([settings.seed, 6])
    field, hits = Field(settings.paddle, generator), list[bool]()
    while len(hits) < _AT_RANDOM:
        was_hit = field.move(float(np.sign(field.apart) if how == "following" else generator.uniform(-1.0, 1.0)))
        if was_hit is not None:
            hits.append(was_hit)
    return float(np.mean(hits))


TASK = Task(
    "pong",
    PongSettings,
    play,
    needs="spikes",
    unused=unused_by_levels,
    validation="data",
    own_controls="nothing is read out: the same game without feedback, and with as many pulses that say nothing",
)
