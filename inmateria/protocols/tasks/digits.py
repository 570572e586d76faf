"""Read handwritten digits: each image streams through a substrate, and two linear readouts learn from it.

The 1,797 images of 8 x 8 pixels that scikit-learn ships (Alpaydin and Kaynak, 1998) are driven into the
substrate through a window that moves over the image, to and fro. A recursive-least-squares readout learns
online, one digit at a time and each digit once; a ridge readout is fitted to the same training digits at
once. Both are scored on digits that neither has seen, beside the same readouts on the raw pixels and on the
masked input.
"""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.runs import ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import (
    InputMask,
    PhysicalReservoir,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    VirtualNodes,
)
from inmateria.substrate import FloatArray, Substrate

Labels = npt.NDArray[np.intp]

_RIDGE, _ONLINE = "ridge, batch", "RLS, online"
_TO_STANDARDISE = 100


class DigitsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of the task; the defaults were chosen on training digits only.

    Parameters
    ----------
    seed : int
        Of the first split and of the input mask.
    splits : int
        Splits to score on; the first is the one that is streamed in order and learned online.
    held_out : float
        Fraction of the digits that is held out.
    window : int
        Pixels on a side of the window.
    amplitude : float
        Drive for a full pixel, as a fraction of the inputs' upper limit; times a standard normal number that the
        input mask has for each pixel of the window.
    positions : int
        Substrate steps, each with its own mask, for one place of the window.
    step : float
        Duration of each of those, s.
    samples : int
        Samples of every step that the readouts see.
    rest : float
        Seconds of zero drive after each digit.
    alpha : float
        Regularisation of the online readout.
    round_trips : int
        Single-step exchanges made before the run to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    splits: Annotated[int, Meta(ge=1)] = 5
    held_out: Annotated[float, Meta(gt=0.0, le=0.9)] = 0.25
    window: Annotated[int, Meta(ge=1, le=8)] = 5
    amplitude: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.04
    positions: Annotated[int, Meta(ge=1)] = 2
    step: Annotated[float, Meta(gt=0.0)] = 0.01
    samples: Annotated[int, Meta(ge=1)] = 1
    rest: Annotated[float, Meta(ge=0.0)] = 0.2
    alpha: Annotated[float, Meta(gt=0.0)] = 1.0
    round_trips: Annotated[int, Meta(ge=1)] = 200


async def read_digits(substrate: Substrate, settings: DigitsSettings, on_progress: ProgressCallback) -> Outcome:
    """Stream every digit through the substrate once, train both readouts, score them and the controls."""
    digits = load_digits()
    images, labels = digits.images / 16.0, digits.target
    seeds = tuple(range(settings.seed, settings.seed + settings.splits))
    splits = [_split(labels, settings.held_out, seed) for seed in seeds]
    first = splits[0]
    streamed = await _stream(substrate, _through_window(images, settings.window), labels, first, settings, on_progress)

    feature_sets = {
        "substrate": streamed.features,
        "masked input": streamed.masked,
        "raw pixels": images.reshape(len(images), -1),
    }
    scores: list[Score] = []
    confusion: dict[str, tuple[tuple[int, ...], ...]] = {}
    coef = np.empty(0)
    for on, X in feature_sets.items():
        for readout, read in ((_ONLINE, _read_online), (_RIDGE, _read_ridge)):
            scored = []
            for split in splits:
                named, coef_ = await asyncio.to_thread(read, X, labels, split, settings)
                if on == "substrate" and split is first:
                    if readout == _ONLINE:  # the one that learned while the digits came
                        named = streamed.reader.name(X[split.test])
                    matrix = confusion_matrix(labels[split.test], named, labels=digits.target_names)
                    confusion[readout] = tuple(tuple(row) for row in matrix.tolist())
                    coef = coef_
                scored.append(float(np.mean(named == labels[split.test])))
                on_progress("scoring", len(scores) * len(splits) + len(scored), 2 * len(feature_sets) * len(splits), 0)
            scores.append(
                Score(
                    readout=readout,
                    on=on,
                    features=X.shape[1],
                    score=scored[0],
                    splits=tuple(scored),
                    control=on != "substrate",
                )
            )
    return Outcome(
        title="Handwritten digits",
        sentence=(
            f"{len(labels):,} handwritten digits of 8 × 8 pixels were streamed through a moving window; two readouts "
            f"learned from {len(first.train):,} of them, one online and one in batch, and were scored on the other "
            f"{len(first.test):,}."
        ),
        metric="accuracy",
        chance_description="always the most frequent digit",
        classes=tuple(str(name) for name in digits.target_names),
        chance=float(np.mean(labels[first.test] == np.bincount(labels[first.train]).argmax())),
        trained=len(first.train),
        held_out=len(first.test),
        splitting=(
            f"Stratified splits, seeds {', '.join(map(str, seeds))}. The first was streamed in that order and learned "
            "online as it came; the others were drawn again from the same features."
        ),
        scores=tuple(scores),
        confusion=confusion,
        learning_curve=tuple(streamed.reader.right),
        weights=weights_by_output(coef, streamed.outputs),
        exchanges=streamed.exchanges,
    )


def _through_window(images: FloatArray, size: int) -> FloatArray:
    """Move a window over each image, to and fro: series (digits, places, pixels of the window)."""
    windows = sliding_window_view(images, (size, size), axis=(1, 2)).copy()
    windows[:, 1::2] = windows[:, 1::2, ::-1]
    return windows.reshape(len(images), -1, size * size)


@dataclass(frozen=True)
class _Split:
    """Indices of the training digits, in the order they are learned in, and of the held-out ones."""

    train: Labels
    test: Labels


def _split(labels: Labels, held_out: float, seed: int) -> _Split:
    train, test = train_test_split(np.arange(len(labels)), test_size=held_out, stratify=labels, random_state=seed)
    return _Split(train, test)


@dataclass(frozen=True, eq=False)
class _Streamed:
    """What came of streaming every digit once.

    Parameters
    ----------
    features, masked : ndarray of float, shape (digits, features)
        What the readouts read of the substrate, and of the drive alone.
    outputs : list of str
        Output channel of each feature.
    reader : _OnlineReader
        The one that learned while the digits came.
    exchanges : ExchangeStatistics
        What it cost.
    """

    features: FloatArray
    masked: FloatArray
    outputs: list[str]
    reader: "_OnlineReader"
    exchanges: ExchangeStatistics


async def _stream(
    substrate: Substrate,
    series: FloatArray,
    labels: Labels,
    split: _Split,
    settings: DigitsSettings,
    on_progress: ProgressCallback,
) -> _Streamed:
    order = np.concatenate([split.train, split.test])
    reader = _OnlineReader(settings.alpha)
    rows: list[FloatArray] = []
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        reservoir.features = VirtualNodes(settings.samples)
        highest = min(channel.high for channel in reservoir.info.inputs)
        reservoir.encoding = InputMask(
            scale=settings.amplitude * highest, kind="normal", positions=settings.positions, seed=settings.seed
        )
        steps = reservoir.steps_of(series[0])
        # Every drive is checked before anything moves: a run must not fail half way for want of looking.
        masked = np.stack([reservoir.check(each).ravel() for each in series])
        if reservoir.info.resettable:
            await reservoir.reset()
        round_trips = await round_trips_of(reservoir, settings.round_trips, on_progress)
        begun = time.perf_counter()
        async with aclosing(reservoir.stream(series[order])) as responses:
            async for features in responses:
                rows.append(features.ravel())
                if len(rows) <= len(split.train):
                    label = int(labels[order[len(rows) - 1]])
                    await asyncio.to_thread(reader.learn, rows[-1], label)  # compiling would hold the event loop
                on_progress("streaming", len(rows), len(order), len(rows) * steps)
        seconds = time.perf_counter() - begun
        outputs = [name.partition("@")[0] for name in reservoir.feature_names] * series.shape[1]
    X = np.empty((len(order), len(rows[0])))
    X[order] = rows
    p50, p99 = np.percentile(round_trips, [50, 99])
    exchanges = ExchangeStatistics(
        count=len(order),
        steps=len(order) * steps,
        seconds=seconds,
        round_trip_p50=float(p50),
        round_trip_p99=float(p99),
        round_trips=len(round_trips),
    )
    return _Streamed(X, masked, outputs, reader, exchanges)


class _OnlineReader:
    """Learns digits one at a time: standardises by the first hundred, then recursive least squares."""

    def __init__(self, alpha: float) -> None:
        self.right: list[int] = []
        self.readout = RecursiveLeastSquaresClassifier(alpha=alpha)
        self._scaler: StandardScaler | None = None
        self._waiting: list[tuple[FloatArray, int]] = []

    def learn(self, x: FloatArray, label: int) -> None:
        """Name a digit, note whether that was right, and learn from it."""
        if self._scaler is None:
            self._waiting.append((x, label))
            if len(self._waiting) == _TO_STANDARDISE:
                self._scaler = StandardScaler().fit([each for each, _ in self._waiting])
                for each, its_label in self._waiting:
                    self._learn(self._scaler, each, its_label)
            return
        self._learn(self._scaler, x, label)

    def _learn(self, scaler: StandardScaler, x: FloatArray, label: int) -> None:
        row = scaler.transform(x[np.newaxis])
        self.right.append(int(bool(self.right) and self.readout.predict(row)[0] == label))
        self.readout.partial_fit(row, [label], classes=np.arange(10))

    def name(self, X: FloatArray) -> Labels:
        """Name the digits whose features are the rows."""
        if self._scaler is None:
            raise ValueError(f"fewer than {_TO_STANDARDISE} digits were seen; give the online readout more to learn")
        named: Labels = self.readout.predict(self._scaler.transform(X))
        return named


def _read_online(X: FloatArray, labels: Labels, split: _Split, settings: DigitsSettings) -> tuple[Labels, FloatArray]:
    """Do what `_OnlineReader` does, without asking for a name before each digit: the same sums, faster."""
    scaler = StandardScaler().fit(X[split.train[:_TO_STANDARDISE]])
    readout = RecursiveLeastSquaresClassifier(alpha=settings.alpha)
    readout.partial_fit(scaler.transform(X[split.train]), labels[split.train], classes=np.arange(10))
    return readout.predict(scaler.transform(X[split.test])), readout.coef_


def _read_ridge(X: FloatArray, labels: Labels, split: _Split, settings: DigitsSettings) -> tuple[Labels, FloatArray]:
    scaler = StandardScaler().fit(X[split.train])
    readout = RidgeClassifierReadout().fit(scaler.transform(X[split.train]), labels[split.train])
    return readout.predict(scaler.transform(X[split.test])), readout.coef_


async def round_trips_of(reservoir: PhysicalReservoir, count: int, on_progress: ProgressCallback) -> FloatArray:
    """Time single-step exchanges made one at a time, with zero drive, which leaves a substrate at rest."""
    quiet = reservoir.info.stimulus(np.zeros((1, len(reservoir.info.inputs))))
    seconds = np.empty(count)
    for index in range(count):
        begun = time.perf_counter()
        await reservoir.substrate.stimulate(quiet)
        seconds[index] = time.perf_counter() - begun
        on_progress("round trips", index + 1, count, index + 1)
    return seconds


TASK = Task("digits", DigitsSettings, read_digits)
