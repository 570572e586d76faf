"""Read handwritten digits: each image streams through a substrate, and two linear readouts learn from it.

The 1,797 images of 8 x 8 pixels that scikit-learn ships (Alpaydin and Kaynak, 1998) are driven into the
substrate through a window that moves over the image, to and fro. A recursive-least-squares readout learns
online, one digit at a time and each digit once; a ridge readout is fitted to the same training digits at
once. Both are scored on digits that neither has seen, beside the same readouts on the raw pixels and on the
masked input.

Matter that learns by itself, such as ``clln://``, is trained in place of readouts: 64 inputs are the pixels, and of ten
outputs the highest names the digit.
"""

import asyncio
import math
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.preprocessing import StandardScaler

from inmateria.blas_threads import one_blas_thread
from inmateria.protocols.circuits import Circuit, learning_channels
from inmateria.protocols.controls import Control
from inmateria.protocols.data_sets import digits
from inmateria.protocols.learned_matter import (
    Samples,
    error_of,
    exchanges_of,
    facts_of,
    learning_curves,
    logistic,
    nearest_mean,
    network_drawing,
    train,
)
from inmateria.protocols.outcome import Outcome, Score, weights_by_output
from inmateria.protocols.presenting import Presented, present_trials
from inmateria.protocols.run_progress import Targets, note_score
from inmateria.protocols.scoring import Labels, confusion_table, features_of, with_reading_noise
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.reservoir import (
    InputMask,
    PhysicalReservoir,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    SignalOrCounts,
    accuracy,
)
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_RIDGE, _ONLINE = "ridge, batch", "RLS, online"
_TO_STANDARDISE = 100
_WINDOW = 100


class DigitsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `digits`; on digits that no split tests on, none tried is clearly better than the defaults.

    Matter that learns by itself has one split, and of the other settings only the last four, `seed`, `held_out` and
    `round_trips`.

    Parameters
    ----------
    seed : int
        Of the first split and of the input mask.
    splits : int
        Splits to score on; the first is the one that is streamed in order and learned online.
    held_out : float
        Fraction of the digits that is held out; at most the half that may be tested on.
    window : int
        Pixels on a side of the window.
    amplitude : float
        Drive for a full pixel, as a fraction of each input's room around its rest; times a standard normal number
        that the input mask has for each pixel of the window.
    positions : int
        Substrate steps, each with its own mask, for one place of the window.
    step : float
        Duration of each of those, s.
    samples : int
        Samples of every step that the readouts read.
    rest : float
        Seconds at rest after each digit.
    alpha : float
        Regularisation of the online readout.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    epochs : int
        Passes of matter that learns over the training digits.
    first, last : float
        Value of its ``learn``, a factor on the rate of its rule, in the first and in the last epoch; geometric in
        between.
    label : float
        Its label for the right digit, V, and minus that for the nine others; 0 for .01 V with a network without
        amplifiers, of kind contrastive-network, and a whole label with any other.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    splits: Annotated[int, Meta(ge=1)] = 5
    held_out: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.25
    window: Annotated[int, Meta(ge=1, le=8)] = 5
    amplitude: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.04
    positions: Annotated[int, Meta(ge=1)] = 2
    step: Annotated[float, Meta(gt=0.0)] = 0.01
    samples: Annotated[int, Meta(ge=1)] = 1
    rest: Annotated[float, Meta(ge=0.0)] = 0.2
    alpha: Annotated[float, Meta(gt=0.0)] = 1.0
    round_trips: Annotated[int, Meta(ge=1)] = 200
    epochs: Annotated[int, Meta(ge=1)] = 10
    first: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    last: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.05
    label: Annotated[float, Meta(ge=0.0)] = 0.0


async def read_digits(substrate: Substrate, settings: DigitsSettings, on_progress: ProgressCallback) -> Outcome:
    """Train the matter if it learns by itself, else readouts of it."""
    async with substrate:
        if learning_channels(substrate.info) is not None:
            return await learn_digits(substrate, settings, on_progress)
        return await read_reservoir(substrate, settings, on_progress)


async def read_reservoir(substrate: Substrate, settings: DigitsSettings, on_progress: ProgressCallback) -> Outcome:
    """Stream every digit through the substrate once, train both readouts, score them and the controls."""
    items = digits()
    images, labels = items.X.reshape(-1, 8, 8), items.y
    seeds = range(settings.seed, settings.seed + settings.splits)
    held_out = math.ceil(settings.held_out * len(labels))
    splits = [items.split(held_out, seed) for seed in seeds]
    train, test = splits[0]
    order, reader = np.concatenate([train, test]), _OnlineReader(settings.alpha)
    presented = await _stream(substrate, images, labels, order, len(train), reader, settings, on_progress)
    back = np.argsort(order)  # rows in the order of the images again
    pixels, ones = images.reshape(len(images), -1), np.where(labels[:, np.newaxis] == np.arange(10), 1.0, -1.0)
    feature_sets = {name: X[back] for name, X in presented.by_trial(("masked input", "raw pixels")).items()}
    feature_sets["raw pixels"] = Control(lambda: [pixels], "linear")
    scores: list[Score] = []
    confusion: dict[str, tuple[tuple[int, ...], ...]] = {}
    coef = np.empty(0)
    of = 2 * len(feature_sets) * len(splits)
    on_progress("scoring", 0, of, 0)
    for on, given in feature_sets.items():
        read_from = [await asyncio.to_thread(features_of, given, learned, ones) for learned, _ in splits]
        for readout, read in ((_ONLINE, _read_online), (_RIDGE, _read_ridge)):
            scored: list[float] = []
            noisy: list[float] = []
            for number, (X, split) in enumerate(zip(read_from, splits, strict=True)):
                predicted, weights = await asyncio.to_thread(read, X, labels, *split, settings)
                if on == "substrate":
                    blurred = with_reading_noise(X, split[0], settings.seed)
                    named, _ = await asyncio.to_thread(read, blurred, labels, *split, settings)
                    noisy.append(accuracy(labels[split[1]], named))
                if on == "substrate" and number == 0:
                    if readout == _ONLINE:  # the one that learned while the digits came
                        predicted = reader.predict(X[test])
                    confusion[readout] = confusion_table(labels[test], predicted, np.unique(labels))
                    coef = weights
                scored.append(accuracy(labels[split[1]], predicted))
                on_progress("scoring", len(scores) * len(splits) + len(scored), of, 0)
            scores.append(
                Score(
                    readout=readout,
                    on=on,
                    features=read_from[0].shape[1],
                    score=scored[0],
                    splits=tuple(scored),
                    kind=given.kind if isinstance(given, Control) else "",
                    noisy=tuple(noisy),
                )
            )
    return Outcome(
        title="Handwritten digits",
        sentence=(
            f"{len(labels):,} handwritten digits of 8 × 8 pixels were streamed through a moving window; two readouts "
            f"learned from {len(train):,} of them, one online and one in batch, and were scored on the other "
            f"{len(test):,}."
        ),
        metric="accuracy",
        chance=float(np.mean(labels[test] == np.bincount(labels[train]).argmax())),
        chance_description="most frequent training digit",
        classes=items.names,
        trained=len(train),
        held_out=len(test),
        splitting=(
            f"Stratified splits, seeds {', '.join(map(str, seeds))}. The first was streamed in that order and learned "
            "online as it came; the others were drawn again from the same features."
        ),
        scores=tuple(scores),
        confusion=confusion,
        learning_curve=tuple(reader.correct),
        weights=weights_by_output(coef, presented.outputs),
        exchanges=presented.exchanges,
    )


async def _stream(
    substrate: Substrate,
    images: FloatArray,
    labels: Labels,
    order: Labels,
    learned: int,
    reader: "_OnlineReader",
    settings: DigitsSettings,
    on_progress: ProgressCallback,
) -> Presented:
    """Present the digits in order; the reader learns from the first ones as they come."""
    # In units of an input's whole room, so that the mixture of many pixels has space to either side.
    mask = InputMask(
        amplitude=1.0, scale=settings.amplitude, kind="normal", positions=settings.positions, seed=settings.seed
    )
    reservoir = PhysicalReservoir(
        substrate, mask, SignalOrCounts(settings.samples), step=settings.step, rest=settings.rest
    )

    async def learn(number: int, features: FloatArray) -> None:
        if number < learned:  # in a thread, because compiling would hold the event loop
            await asyncio.to_thread(reader.learn, features.ravel(), int(labels[order[number]]))

    series = list(_through_window(images, settings.window)[order])
    return await present_trials(
        reservoir, series, settings.round_trips, on_progress, reset=True, learn=learn,
        targets=Targets.of_classes(labels[order], "digit"),
    )  # fmt: skip


def _through_window(images: FloatArray, size: int) -> FloatArray:
    """Move a window over each image, to and fro: series (digits, places, pixels of the window)."""
    windows = sliding_window_view(images, (size, size), axis=(1, 2)).copy()
    windows[:, 1::2] = windows[:, 1::2, ::-1]
    return windows.reshape(len(images), -1, size * size)


class _OnlineReader:
    """Learns digits one at a time: standardises by the first hundred, then recursive least squares."""

    def __init__(self, alpha: float) -> None:
        self.correct: list[int] = []
        self.readout = RecursiveLeastSquaresClassifier(alpha=alpha)
        self._scaler: StandardScaler | None = None
        self._waiting: list[tuple[FloatArray, int]] = []

    def learn(self, x: FloatArray, label: int) -> None:
        """Predict a digit, note whether that was correct, and learn from it."""
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
        self.correct.append(int(bool(self.correct) and self.readout.predict(row)[0] == label))
        last = self.correct[-_WINDOW:]
        note_score(f"accuracy of the run's online readout, last {_WINDOW}", sum(last) / len(last), len(self.correct))
        self.readout.partial_fit(row, [label], classes=np.arange(10))

    def predict(self, X: FloatArray) -> Labels:
        """Predict the digits whose features are the rows."""
        if self._scaler is None:
            raise ValueError(
                f"the online readout saw fewer than {_TO_STANDARDISE} digits, by which it standardises; "
                "hold out a smaller fraction"
            )
        predicted: Labels = self.readout.predict(self._scaler.transform(X))
        return predicted


@one_blas_thread()
def _read_online(
    X: FloatArray, labels: Labels, train: Labels, test: Labels, settings: DigitsSettings
) -> tuple[Labels, FloatArray]:
    """Learn as `_OnlineReader` does, without a prediction before each digit: the same sums, faster."""
    scaler = StandardScaler().fit(X[train[:_TO_STANDARDISE]])
    readout = RecursiveLeastSquaresClassifier(alpha=settings.alpha)
    readout.partial_fit(scaler.transform(X[train]), labels[train], classes=np.arange(10))
    return readout.predict(scaler.transform(X[test])), readout.coef_


@one_blas_thread()
def _read_ridge(
    X: FloatArray, labels: Labels, train: Labels, test: Labels, settings: DigitsSettings
) -> tuple[Labels, FloatArray]:
    scaler = StandardScaler().fit(X[train])
    readout = RidgeClassifierReadout().fit(scaler.transform(X[train]), labels[train])
    return readout.predict(scaler.transform(X[test])), readout.coef_


async def learn_digits(substrate: Substrate, settings: DigitsSettings, on_progress: ProgressCallback) -> Outcome:
    """Train the matter on digits, and score it beside the untrained network and readouts of the pixels."""
    items = digits()
    y, pixels = items.y, items.X
    learned, tested = items.split(math.ceil(settings.held_out * len(y)), settings.seed)
    info = substrate.info
    channels = learning_channels(info)
    assert channels is not None
    at_rest, highest = (np.array([of[k] for k in channels.inputs]) for of in (info.rest, [c.high for c in info.inputs]))
    X = at_rest + (highest - at_rest) * pixels
    label = settings.label or (0.01 if info.kind == "contrastive-network" else info.inputs[channels.labels[0]].high)
    Y = np.where(y[:, np.newaxis] == np.arange(10), label, max(-label, info.inputs[channels.labels[0]].low))
    start = await train(substrate, Samples(X[learned], Y[learned], X), settings, on_progress)
    of = 5
    on_progress("scoring", 0, of, 0)
    scores: list[Score] = []

    def add(readout: str, on: str, features: int, predicted: Labels) -> None:
        score = accuracy(y[tested], predicted)
        scores.append(Score(readout=readout, on=on, features=features, score=score))
        on_progress("scoring", len(scores), of, 0)

    named = {name: each[tested].argmax(axis=1) for name, each in (("after", start.after), ("before", start.before))}
    add("highest output", "substrate", 10, named["after"])
    add("highest output", "untrained network", 10, named["before"])
    for readout, on, read, features in (
        ("logistic, of all nodes", "untrained network", logistic, start.voltages[0]),
        ("nearest mean", "raw pixels", nearest_mean, pixels),
        ("logistic regression", "raw pixels", logistic, pixels),
    ):
        predicted = await asyncio.to_thread(read, features[learned], y[learned], features[tested])
        add(readout, on, features.shape[1], predicted)
    return Outcome(
        title="Handwritten digits, by matter that learns",
        sentence=(
            f"A network with 64 inputs and 10 outputs was trained on {len(learned):,} handwritten digits of 8 × 8 "
            f"pixels, {settings.epochs} times each, and named the other {len(tested):,} by its highest output."
        ),
        metric="accuracy",
        chance=float(np.mean(y[tested] == np.bincount(y[learned]).argmax())),
        chance_description="most frequent training digit",
        classes=items.names,
        trained=len(learned),
        held_out=len(tested),
        splitting=f"One stratified split, seed {settings.seed}.",
        scores=tuple(scores),
        confusion={"trained network": confusion_table(y[tested], named["after"], np.unique(y))},
        exchanges=exchanges_of([start]),
        facts=facts_of([start]),
        curves=(learning_curves([start], {"naming the mean": error_of(np.tile(Y.mean(axis=0), (len(Y), 1)), Y)}),),
        networks=network_drawing(start, int(tested[0]), "the first digit that was tested"),
    )


def circuit(_: DigitsSettings) -> Circuit:
    """Return a network of resistors: 64 inputs, 10 differential outputs, one rail at 0 V, and no other nodes."""
    return Circuit(
        inputs=64,
        outputs=10,
        uris={
            "clln": "clln://?random=85x3400&edges=resistor&inputs=64&outputs=10&rails=0"
            "&rule=coupled-learning&rule.eta=1&rule.alpha=0.01",
            "layers": "layers://?sizes=64-100-10",
        },
    )


def _unused(_: DigitsSettings, info: SubstrateInfo) -> dict[str, str]:
    if learning_channels(info) is None:
        return dict.fromkeys(("epochs", "first", "last", "label"), f"{info.id} does not learn by itself")
    return dict.fromkeys(
        ("splits", "window", "amplitude", "positions", "step", "samples", "rest", "alpha"),
        f"{info.id} learns by itself, from whole digits",
    )


TASK = Task(
    "digits", DigitsSettings, read_digits, needs="signal", reads=samples_read, circuit=circuit, unused=_unused,
    validation="data",
)  # fmt: skip
