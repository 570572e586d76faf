"""Remember digits: name the one that was shown before, from the memory of a substrate.

Handwritten digits come one after another in an order that repeats itself, with some digits replaced at
random (after the second task of Zhu et al., Nat. Commun. 14, 6697 (2023)). From the features of the digit
that is being shown, an online readout names the one before it, and the one before that. Beside it stand the
same with the memory erased by a rest between digits, and the pixels shown: both know how the order repeats,
and nothing else of the past.
"""

import asyncio
import time
from dataclasses import replace
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from sklearn.preprocessing import StandardScaler

from inmateria.blas_threads import one_blas_thread
from inmateria.protocols.controls import Control, controls_by_step
from inmateria.protocols.data_sets import digits
from inmateria.protocols.outcome import Curves, Outcome, Score, weights_by_output
from inmateria.protocols.presenting import Presented, present_trials, stream_trials
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import Labels, features_of, with_reading_noise
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.reservoir import InputMask, PhysicalReservoir, RecursiveLeastSquaresClassifier, SignalOrCounts
from inmateria.substrate import FloatArray, Substrate

_TO_STANDARDISE = 100
_BLOCKS = 5
_WINDOW = 100


class SequenceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `sequence-memory`.

    Parameters
    ----------
    seed : int
        Of the order, the images and the input mask.
    digits : int
        Number that are shown.
    period : int
        Length of the order that repeats itself.
    surprise : float
        Fraction of the digits that are replaced by any digit.
    back : int
        Largest number of digits back that is asked for.
    amplitude : float
        Drive for a full pixel, as a fraction of each input's room around its rest.
    positions : int
        Substrate steps, each with its own mask, for one row of pixels.
    step : float
        Duration of each of those, s.
    erase : float
        Seconds of rest between digits that erase the memory, in the control.
    alpha : float
        Regularisation of the readout.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    digits: Annotated[int, Meta(ge=500)] = 3000
    period: Annotated[int, Meta(ge=1, le=100)] = 8
    surprise: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    back: Annotated[int, Meta(ge=1, le=5)] = 2
    amplitude: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.12
    positions: Annotated[int, Meta(ge=1)] = 2
    step: Annotated[float, Meta(gt=0.0)] = 0.01
    erase: Annotated[float, Meta(gt=0.0)] = 0.3
    alpha: Annotated[float, Meta(gt=0.0)] = 10.0
    round_trips: Annotated[int, Meta(ge=1)] = 100


async def remember_digits(substrate: Substrate, settings: SequenceSettings, on_progress: ProgressCallback) -> Outcome:
    """Show the digits twice, the second time with the memory erased between them, and read the past out."""
    shown, images = semi_repetitive(settings)
    presented, erased = await _show(substrate, list(images), shown, settings, on_progress)
    read, without = (np.array([X.ravel() for X in each]) for each in (presented.responses, erased))
    pixels, drives = images.reshape(len(images), -1), np.array([drive.ravel() for drive in presented.drives])
    feature_sets: dict[str, FloatArray | Control] = {
        "substrate": read,
        "memory erased": Control(lambda: [without], "memoryless"),
        "pixels shown": Control(lambda: [pixels], "linear"),
        **controls_by_step(drives, pixels, read.shape[1], seed=settings.seed),
    }
    scores: list[Score] = []
    curves: dict[str, tuple[float, ...]] = {}
    coef = np.empty(0)
    on_progress("scoring", 0, settings.back * len(feature_sets), 0)
    for back in range(1, settings.back + 1):
        for on, given in feature_sets.items():
            X = given if isinstance(given, np.ndarray) else await asyncio.to_thread(_chosen, given, shown, back)
            noisy: tuple[float, ...] = ()
            if on == "substrate":
                blurred = with_reading_noise(X, np.arange(_TO_STANDARDISE), settings.seed)
                said, _ = await asyncio.to_thread(_learn_to_recall, blurred, shown, back, settings.alpha)
                noisy = _by_block(said)
            right, weights = await asyncio.to_thread(_learn_to_recall, X, shown, back, settings.alpha)
            scores.append(
                Score(
                    readout=f"RLS, {back} back",
                    on=on,
                    features=X.shape[1],
                    score=float(right[len(right) // 2 :].mean()),
                    splits=_by_block(right),
                    kind=given.kind if isinstance(given, Control) else "",
                    noisy=noisy,
                )
            )
            on_progress("scoring", len(scores), settings.back * len(feature_sets), 0)
            if back == 1:
                running = np.convolve(right, np.ones(_WINDOW) / _WINDOW, mode="valid")
                curves[on] = tuple(running.tolist())
                coef = weights if on == "substrate" else coef
    scores.sort(key=lambda score: bool(score.control))
    return Outcome(
        title="Sequence memory",
        sentence=(
            f"{len(shown):,} handwritten digits were shown in an order of {settings.period} that repeats itself, "
            f"{100 * settings.surprise:g} % of them replaced by any digit; an online readout named those shown before."
        ),
        metric="accuracy",
        chance=float(np.bincount(shown).max() / len(shown)),
        chance_description="most frequent digit",
        items="digits",
        trained=len(shown) // 2,
        held_out=len(shown) - len(shown) // 2,
        splitting=f"Every digit is predicted before it is learned; scores are of the second half, in {_BLOCKS} blocks.",
        scores=tuple(scores),
        exchanges=presented.exchanges,
        classes=tuple(str(digit) for digit in range(10)),
        weights=weights_by_output(coef, presented.outputs),
        curves=(
            Curves(
                heading="Learning to remember the digit before",
                text=f"Accuracy of the last {_WINDOW} predictions, each made before learning from the digit.",
                x_label="digits shown",
                y_label="accuracy",
                x=tuple(range(_WINDOW, _WINDOW + len(curves["substrate"]))),
                lines=curves,
            ),
        ),
    )


async def _show(
    substrate: Substrate,
    images: list[FloatArray],
    shown: Labels,
    settings: SequenceSettings,
    on_progress: ProgressCallback,
) -> tuple[Presented, list[FloatArray]]:
    """Show the images twice; give the first presentation, and the features of the one with the memory erased."""
    # In units of an input's whole room, so that the mixture of a row of pixels has space to either side.
    mask = InputMask(amplitude=1.0, scale=settings.amplitude, positions=settings.positions, seed=settings.seed)
    reservoir = PhysicalReservoir(substrate, mask, SignalOrCounts(1), step=settings.step)
    targets = Targets.of_classes(np.concatenate([[-1], shown[:-1]]), "digit, 1 back")
    async with reservoir:
        presented = await present_trials(
            reservoir, images, settings.round_trips, on_progress, phase="substrate", reset=True, targets=targets
        )
        reservoir.rest = settings.erase
        if reservoir.info.resettable:
            await reservoir.reset()
        begun = time.perf_counter()
        erased = await stream_trials(reservoir, images, on_progress, phase="memory erased")
        seconds = time.perf_counter() - begun
        once = presented.exchanges
        both = msgspec.structs.replace(
            once,
            count=2 * once.count,
            steps=once.steps + sum(map(reservoir.steps_of, images)),
            seconds=once.seconds + seconds,
        )
    return replace(presented, exchanges=both), erased


def order_of(settings: SequenceSettings, generator: np.random.Generator | None = None) -> Labels:
    """Draw which digits are shown, shape (digits,): an order that repeats itself, with surprises."""
    generator = generator or np.random.default_rng(settings.seed)
    order = generator.integers(10, size=settings.period)
    shown = np.resize(order, settings.digits)
    surprising = generator.random(settings.digits) < settings.surprise
    shown[surprising] = generator.integers(10, size=int(surprising.sum()))
    return shown


def semi_repetitive(settings: SequenceSettings) -> tuple[Labels, FloatArray]:
    """Draw the digits (digits,) and an image of each (digits, 8, 8) from 0 to 1."""
    generator = np.random.default_rng(settings.seed)
    shown = order_of(settings, generator)
    items = digits()
    kept = ~items.testable if items.testable.any() and not items.testable.all() else items.testable
    by_half = [[np.flatnonzero((items.y == digit) & part) for digit in range(10)] for part in (kept, items.testable)]
    half = len(shown) // 2  # scores are of the second one
    chosen = np.array([generator.choice(by_half[k >= half][digit]) for k, digit in enumerate(shown)])
    return shown, items.X[chosen].reshape(-1, 8, 8)


def _by_block(right: FloatArray) -> tuple[float, ...]:
    """Average which of the predictions of the second half were correct, block by block."""
    return tuple(float(block.mean()) for block in np.array_split(right[len(right) // 2 :], _BLOCKS))


def _chosen(control: Control, shown: Labels, back: int) -> FloatArray:
    """Return the variant of a control that recalls best in the first half, which is not scored."""
    wanted = np.where(np.roll(shown, back)[:, np.newaxis] == np.arange(10), 1.0, -1.0)
    return features_of(control, np.arange(back, len(shown) // 2), wanted)


@one_blas_thread()
def _learn_to_recall(X: FloatArray, shown: Labels, back: int, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Predict the digit so many back, then learn it, one after another; give which were correct, and the weights."""
    standardised = StandardScaler().fit(X[:_TO_STANDARDISE]).transform(X)
    readout = RecursiveLeastSquaresClassifier(alpha=alpha)
    right = np.zeros(len(X) - back)
    for number in range(back, len(X)):
        row, wanted = standardised[number : number + 1], shown[number - back]
        if number > back:
            right[number - back] = float(readout.predict(row)[0] == wanted)
        readout.partial_fit(row, [wanted], classes=np.arange(10))
    return right, readout.coef_


TASK = Task("sequence-memory", SequenceSettings, remember_digits, needs="signal", reads=samples_read, validation="data")
