"""A stack of physical layers, each with an encoder that is trained without gradients through the substrates.

Batches pass through the layers as through a pipeline: while one layer's substrate responds to batch t, the next one's
responds to batch t - 1. With remote substrates the exchanges overlap in time, in training and in prediction.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.adapters import connect
from inmateria.reservoir.layers.batches import (
    PassInformation,
    PassRecord,
    batches_of,
    information_of,
    parts_of,
    samples_of,
)
from inmateria.reservoir.layers.layer import PhysicalLayer
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch, IntArray, LocalTraining, training_named
from inmateria.reservoir.layers.training_bottleneck import BottleneckInTurn
from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout
from inmateria.substrate import FloatArray, Substrate

__all__ = ["LayerExchange", "PassInformation", "PhysicalLayer", "PhysicalStack"]

_TRACED = 100_000


class LayerExchange(NamedTuple):
    """Begin and end of a layer's exchange for a batch, in seconds on this machine's clock."""

    layer: int
    batch: int
    begin: float
    end: float


class ProgressCallback(Protocol):
    """Callback for progress."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Report that `done` of `of` batches of a phase are done, after `steps` substrate steps in all."""


class PhysicalStack:
    """A stack of physical layers and a readout; an async context manager with the methods of a classifier.

    A sample is a vector of features, or a series (steps, features) for substrates with memory.

    Parameters
    ----------
    layers : sequence of PhysicalLayer, Substrate or str
        In order; a substrate or a URI is taken as a layer with default settings.
    readout : scikit-learn classifier, optional
        Used after a `StandardScaler`; a `RidgeClassifierReadout` by default.
    train : str or LocalTraining
        Training of the encoders; see `training_names`.
    read : {"all", "last"}
        Whether the readout uses the features of all layers or of the last.
    segments : int
        Number of equal parts of a series over which features are averaged for the readout.
    seed : int
        Seed of the random encoders, the order of the samples, and the training.

    Attributes
    ----------
    encoders : list of PortEncoder
        One for each layer.
    classes_ : ndarray, shape (classes,)
    readout_ : scikit-learn pipeline
    features_ : list of ndarray of float, shape (samples, features)
        Features of each layer for the training samples, after training.
    stimuli_training_, stimuli_reading_ : int
        Number of presentations of a sample to a substrate, summed over layers: to train the encoders, and afterwards.
    steps_ : int
        Total number of substrate steps, with holds and rests.
    information_ : list of PassInformation
        One for each pass; the last is of the features that the readout was trained on.
    trace : deque of LayerExchange
        The latest exchanges, in the order in which they ended.
    learning_seconds_ : float
        Processor time of training the encoders on this machine.

    Examples
    --------
    >>> stack = PhysicalStack(["scattering://?seed=1", "scattering://?seed=2"], train="bottleneck")
    >>> async with stack:  # doctest: +SKIP
    ...     await stack.fit(X, y)
    ...     print(await stack.score(X_test, y_test))
    """

    def __init__(
        self,
        layers: Sequence[PhysicalLayer | Substrate | str],
        readout: Any = None,
        *,
        train: str | LocalTraining = "bottleneck",
        read: Literal["all", "last"] = "all",
        segments: int = 1,
        seed: int = 0,
    ) -> None:
        if not layers:
            raise ValueError("layers is empty; a stack needs at least one layer")
        if read not in ("all", "last") or segments < 1:
            raise ValueError(
                f"read is {read!r} and segments {segments}; read must be 'all' or 'last', segments at least 1"
            )
        self.layers = [each if isinstance(each, PhysicalLayer) else PhysicalLayer(substrate=each) for each in layers]
        self.substrates = [
            connect(each.substrate) if isinstance(each.substrate, str) else each.substrate for each in self.layers
        ]
        self.training = training_named(train) if isinstance(train, str) else train
        self.readout = RidgeClassifierReadout() if readout is None else readout
        self.read = read
        self.segments = segments
        self.seed = seed
        self.trace: deque[LayerExchange] = deque(maxlen=_TRACED)
        self._exits = AsyncExitStack()
        self._presented = self.steps_ = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            for substrate in self.substrates:
                await exits.enter_async_context(substrate)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    def widths(self) -> list[int]:
        """Return the number of features of each layer for one step of a sample."""
        return [layer.width(each.info) for layer, each in zip(self.layers, self.substrates, strict=True)]

    async def fit(self, X: Any, y: npt.ArrayLike, on_progress: ProgressCallback | None = None) -> Self:
        """Train the encoders, then the readout.

        Parameters
        ----------
        X : array_like of float, shape (samples, features), or sequence of arrays (steps, features)
        y : array_like, shape (samples,)
            Classes.
        on_progress : callable, optional
            Called after each batch.
        """
        rows, lengths = samples_of(X)
        labels = np.asarray(y)
        if labels.shape != (len(lengths),):
            raise ValueError(
                f"there are {len(lengths)} samples and labels of shape {labels.shape}; give one label for each sample"
            )
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"all samples are of class {self.classes_[0]!r}; at least two classes are needed")
        targets = np.repeat(np.eye(len(self.classes_))[codes], lengths, axis=0)
        self._begin(rows, targets)
        generator = np.random.default_rng([self.seed, 1])
        training, progress = self.training, _Progress(on_progress)
        for number in range(training.passes):
            order = generator.permutation(len(lengths))
            batches = list(batches_of(rows, lengths, targets, order, training.batch_size))
            sink = PassRecord(len(self.layers), whole=False)
            presented = [each for batch in batches for each in training.training_presentations(batch)]
            progress.begin(f"pass {number + 1}", len(presented))
            await self._sweep(presented, sink, progress, learning=True)
            self.information_.append(await asyncio.to_thread(sink.information))
            await self._learn(training.end_pass, number)
        if isinstance(training, BottleneckInTurn):
            self.features_ = await self._fit_in_turn(training, rows, lengths, targets, progress)
        else:
            self.stimuli_training_ = self._presented
            self.features_ = await self._read(rows, lengths, targets, progress)
        self.stimuli_reading_ = self._presented - self.stimuli_training_
        self.readout_ = make_pipeline(StandardScaler(), clone(self.readout))
        await asyncio.to_thread(self.readout_.fit, self._chosen(self.features_), labels)
        return self

    async def features(self, X: Any, on_progress: ProgressCallback | None = None) -> list[FloatArray]:
        """Return the features (samples, features) of each layer."""
        self._fitted()
        rows, lengths = samples_of(X)
        known = self.encoders[0].shape[1] - self.training.extra_inputs(len(self.classes_))
        if rows.shape[1] != known:
            raise ValueError(f"samples have {rows.shape[1]} features; this stack was fitted with {known}")
        before = self._presented
        found = await self._read(rows, lengths, np.zeros((len(rows), len(self.classes_))), _Progress(on_progress))
        self.stimuli_reading_ += self._presented - before
        return found

    async def transform(self, X: Any, on_progress: ProgressCallback | None = None) -> FloatArray:
        """Return the features (samples, features) that the readout uses."""
        return self._chosen(await self.features(X, on_progress))

    async def predict(self, X: Any, on_progress: ProgressCallback | None = None) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        read = await self.transform(X, on_progress)
        named: npt.NDArray[Any] = self.readout_.predict(read)
        return named

    async def score(self, X: Any, y: npt.ArrayLike, on_progress: ProgressCallback | None = None) -> float:
        """Return the fraction of correctly predicted samples."""
        return float(np.mean(await self.predict(X, on_progress) == np.asarray(y)))

    def _fitted(self) -> None:
        if not hasattr(self, "encoders"):
            raise RuntimeError("this stack is not fitted; call fit first")

    def _begin(self, rows: FloatArray, targets: FloatArray) -> None:
        """Create encoders with random weights, and reset all counts."""
        widths, training = self.widths(), self.training
        extra = training.extra_inputs(targets.shape[1])
        generator = np.random.default_rng([self.seed, 0])
        self.encoders = [
            PortEncoder(inputs, len(substrate.info.inputs), layer.gain, generator)
            for inputs, layer, substrate in zip(
                [rows.shape[1] + extra, *widths[:-1]], self.layers, self.substrates, strict=True
            )
        ]
        nothing, ones = np.zeros(extra), np.ones(extra)
        self.encoders[0].standardise_by(
            np.concatenate([rows.mean(axis=0), nothing]), np.concatenate([rows.var(axis=0), ones])
        )
        self._presented = self.steps_ = 0
        self.stimuli_training_ = self.stimuli_reading_ = 0
        self.learning_seconds_ = 0.0
        self.information_: list[PassInformation] = []
        self.trace.clear()
        training.begin(self.encoders, targets.shape[1], widths[-1], self.seed)

    async def _read(
        self, rows: FloatArray, lengths: IntArray, targets: FloatArray, progress: "_Progress"
    ) -> list[FloatArray]:
        """Return the features of all layers for samples in order."""
        batches = list(batches_of(rows, lengths, targets, np.arange(len(lengths)), self.training.batch_size))
        progress.begin("reading", len(batches))
        sink = PassRecord(len(self.layers), whole=True)
        await self._sweep(
            [self.training.prediction_presentation(batch) for batch in batches], sink, progress, learning=False
        )
        if targets.any():
            self.information_.append(await asyncio.to_thread(sink.information))
        return [self._pooled(each, lengths) for each in sink.features()]

    async def _fit_in_turn(
        self,
        training: BottleneckInTurn,
        rows: FloatArray,
        lengths: IntArray,
        targets: FloatArray,
        progress: "_Progress",
    ) -> list[FloatArray]:
        """Fit one encoder after another, presenting every sample to each layer once."""
        found, given = [], rows
        everything = np.arange(len(lengths))
        for layer in range(len(self.layers)):
            await self._learn(training.solve, layer, given, targets)
            self.stimuli_training_ = self._presented
            batches = list(batches_of(given, lengths, targets, everything, training.batch_size))
            progress.begin(f"layer {layer + 1}", len(batches))
            answered = []
            for batch in batches:
                batch.features = await self._exchange(layer, self.encoders[layer].ports(batch.rows), batch)
                answered.append(batch.features)
                progress.advance(self.steps_)
            given = np.concatenate(answered)
            found.append(given)
        self.information_.append(information_of(rows, targets, found))
        return [self._pooled(each, lengths) for each in found]

    async def _sweep(
        self, batches: Iterable[Batch], sink: PassRecord, progress: "_Progress", *, learning: bool
    ) -> None:
        """Send batches through the layers, all layers at work at once, each on a batch of its own."""
        coming = iter(batches)
        at: list[Batch | None] = [None] * len(self.layers)
        while True:
            at = [next(coming, None), *at[:-1]]
            if not any(at):
                return
            try:
                async with asyncio.TaskGroup() as group:
                    for layer, batch in enumerate(at):
                        if batch is not None:
                            group.create_task(self._through(layer, batch, sink, learning=learning))
            except ExceptionGroup as several:
                if len(several.exceptions) == 1:
                    raise several.exceptions[0] from None
                raise
            if (done := at[-1]) is not None:
                if learning and type(self.training).update_after_batch is not LocalTraining.update_after_batch:
                    await self._learn(self.training.update_after_batch, done)
                progress.advance(self.steps_)

    async def _through(self, layer: int, batch: Batch, sink: PassRecord, *, learning: bool) -> None:
        """Send a batch through one layer, and update that layer."""
        encoder, given = self.encoders[layer], batch.rows
        if learning:
            ports = self.training.encode(layer, batch)
            batch.inputs.append(given)
            batch.ports.append(ports)
        else:
            if not encoder.settled:  # not trained: the first batch sets mean and standard deviation
                encoder.follow(given)
            ports = encoder.ports(given)
        batch.features = await self._exchange(layer, ports, batch)
        sink.add(layer, batch, given)
        if learning:
            await self._learn(self.training.update_layer, layer, batch)
        batch.rows = batch.features

    async def _learn(self, learn: Callable[..., None], *given: Any) -> None:
        """Run an update in a worker thread, so that exchanges of other layers go on meanwhile."""

        def timed() -> float:
            begun = time.thread_time()
            learn(*given)
            return time.thread_time() - begun

        self.learning_seconds_ += await asyncio.to_thread(timed)

    async def _exchange(self, layer: int, ports: FloatArray, batch: Batch) -> FloatArray:
        """Drive a substrate with the ports (rows, ports) of a batch, and return its features (rows, features)."""
        made, substrate = self.layers[layer], self.substrates[layer]
        stimuli, asked = made.stimuli(ports, batch.lengths, substrate.info)
        parts: list[FloatArray] = []
        begun = time.perf_counter()
        async with aclosing(substrate.stream(stimuli)) as responses:
            async for response in responses:
                parts.append(made.features.extract(response, stimuli[len(parts)], substrate.info, made.hold))
        self.trace.append(LayerExchange(layer, batch.number, begun, time.perf_counter()))
        self._presented += len(batch.lengths)
        self.steps_ += sum(len(each.drive) for each in stimuli)
        return np.concatenate(parts)[asked]

    def _chosen(self, by_layer: list[FloatArray]) -> FloatArray:
        return by_layer[-1] if self.read == "last" else np.hstack(by_layer)

    def _pooled(self, features: FloatArray, lengths: IntArray) -> FloatArray:
        """Average the features (rows, features) of each sample over equal parts of its steps."""
        if (lengths == 1).all() and self.segments == 1:
            return features
        ends = np.cumsum(lengths)
        return np.stack(
            [
                np.concatenate([part.mean(axis=0) for part in parts_of(features[end - length : end], self.segments)])
                for end, length in zip(ends, lengths, strict=True)
            ]
        )


class _Progress:
    """Counts batches in the phases of a fit, and calls `on_progress`."""

    def __init__(self, on_progress: ProgressCallback | None) -> None:
        self._watch, self._phase, self._done, self._of = on_progress, "", 0, 1

    def begin(self, phase: str, of: int) -> None:
        """Begin a phase of `of` batches."""
        self._phase, self._done, self._of = phase, 0, of

    def advance(self, steps: int) -> None:
        """Count one more batch, after `steps` substrate steps in all."""
        self._done += 1
        if self._watch is not None:
            self._watch(self._phase, self._done, self._of, steps)
