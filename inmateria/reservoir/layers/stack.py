"""A stack of physical layers, each with an encoder that is trained without gradients through the substrates.

Batches pass through the layers as through a pipeline: while one layer's substrate responds to batch t, the next one's
responds to batch t - 1. With remote substrates the exchanges overlap in time, in training and in prediction.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from copy import deepcopy
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets

from inmateria.adapters import connect
from inmateria.blas_threads import one_blas_thread
from inmateria.reservoir.layers.batches import PassInformation, parts_of, samples_of
from inmateria.reservoir.layers.layer import PhysicalLayer
from inmateria.reservoir.layers.pipeline import (
    LayerExchange,
    LayerPipeline,
    Progress,
    ProgressCallback,
    RehearsedPipeline,
)
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import IntArray, LocalTraining, training_named
from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout
from inmateria.substrate import FloatArray, Substrate

__all__ = ["LayerExchange", "PassInformation", "PhysicalLayer", "PhysicalStack", "ProgressCallback"]

_TRACED = 100_000
_REHEARSED_BATCHES = 2


class PhysicalStack:
    """A stack of physical layers and a readout; an async context manager with the methods of a classifier.

    A sample is a vector of features, or a series (steps, features) for substrates with memory.

    Parameters
    ----------
    layers : sequence of PhysicalLayer, Substrate or str
        In order; a substrate or a URI is taken as a layer with default settings.
    readout : scikit-learn classifier, optional
        Cloned and used after a `StandardScaler`; a `RidgeClassifierReadout` by default.
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
    training_ : LocalTraining
        The training, after it trained the encoders.
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

    encoders: list[PortEncoder]
    training_: LocalTraining
    classes_: npt.NDArray[Any]
    readout_: Any
    features_: list[FloatArray]
    information_: list[PassInformation]
    stimuli_training_: int
    stimuli_reading_: int
    steps_: int
    learning_seconds_: float

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

        Before anything is sent, samples and classes are checked, and the fit is rehearsed: training and readout are run
        on the first batches with random numbers in place of features, so that a setting that one of them refuses
        costs no stimulus. If the fit fails or is cancelled, the stack is as it was before.

        Parameters
        ----------
        X : array_like of float, shape (samples, features), or sequence of arrays (steps, features)
        y : array_like, shape (samples,)
            Classes.
        on_progress : callable, optional
            Called after each batch.

        Raises
        ------
        ValueError
            If samples or classes cannot be learned; targets must be classes, not real numbers.
        """
        rows, lengths = samples_of(X)
        labels = _checked_labels(y, len(lengths))
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"all samples are of class {classes[0]!r}; at least two classes are needed")
        if not is_classifier(self.readout):
            raise ValueError(
                f"the readout is {self.readout!r}; a stack learns classes; give a classifier of scikit-learn, or a "
                "readout of inmateria that is one"
            )
        targets = np.repeat(np.eye(len(classes))[codes], lengths, axis=0)
        await self._rehearse(rows, lengths, targets, labels)
        self.trace.clear()
        pipeline = self._pipeline(LayerPipeline, rows, targets.shape[1], self.trace)
        with one_blas_thread(float(pipeline.training.batch_size) ** 3):
            found = await pipeline.train(rows, lengths, targets, self._order(), Progress(on_progress))
        features = [self._pooled(each, lengths) for each in found]
        readout = make_pipeline(StandardScaler(), clone(self.readout))
        await asyncio.to_thread(readout.fit, self._chosen(features), labels)
        # In one step, so that no prediction meets the encoders of one fit and the readout of another.
        vars(self).update(
            encoders=list(pipeline.encoders),
            training_=pipeline.training,
            classes_=classes,
            readout_=readout,
            features_=features,
            information_=pipeline.information,
            stimuli_training_=pipeline.presented_to_train,
            stimuli_reading_=pipeline.presented - pipeline.presented_to_train,
            steps_=pipeline.steps,
            learning_seconds_=pipeline.learning_seconds,
        )
        return self

    async def features(self, X: Any, on_progress: ProgressCallback | None = None) -> list[FloatArray]:
        """Return the features (samples, features) of each layer."""
        self._check_is_fitted()
        rows, lengths = samples_of(X)
        known = self.encoders[0].shape[1] - self.training_.extra_inputs(len(self.classes_))
        if rows.shape[1] != known:
            raise ValueError(f"samples have {rows.shape[1]} features; this stack was fitted with {known}")
        pipeline = LayerPipeline(self.layers, self.substrates, self.encoders, self.training_, self.trace)
        try:
            found = await pipeline.features(rows, lengths, len(self.classes_), Progress(on_progress))
        finally:
            self.stimuli_reading_ += pipeline.presented
            self.steps_ += pipeline.steps
        return [self._pooled(each, lengths) for each in found]

    async def transform(self, X: Any, on_progress: ProgressCallback | None = None) -> FloatArray:
        """Return the features (samples, features) that the readout uses."""
        return self._chosen(await self.features(X, on_progress))

    async def predict(self, X: Any, on_progress: ProgressCallback | None = None) -> npt.NDArray[Any]:
        """Predict the class of each sample."""
        self._check_is_fitted()
        readout = self.readout_  # of the same fit as the encoders, also if another fit ends meanwhile
        named: npt.NDArray[Any] = readout.predict(await self.transform(X, on_progress))
        return named

    async def score(self, X: Any, y: npt.ArrayLike, on_progress: ProgressCallback | None = None) -> float:
        """Return the fraction of correctly predicted samples; classes are checked before anything is sent."""
        self._check_is_fitted()
        labels = _checked_labels(y, len(samples_of(X)[1]))
        return float(np.mean(await self.predict(X, on_progress) == labels))

    def _check_is_fitted(self) -> None:
        if not hasattr(self, "readout_"):
            raise NotFittedError("this stack is not fitted; call fit first")

    def _order(self) -> np.random.Generator:
        """Return the generator of the order of the samples."""
        return np.random.default_rng([self.seed, 1])

    def _pipeline(
        self, kind: type[LayerPipeline], rows: FloatArray, classes: int, trace: deque[LayerExchange]
    ) -> LayerPipeline:
        """Return a pipeline with new random encoders and a training that is about to begin."""
        widths, training = self.widths(), deepcopy(self.training)
        extra = training.extra_inputs(classes)
        generator = np.random.default_rng([self.seed, 0])
        encoders = [
            PortEncoder(inputs, len(substrate.info.inputs), layer.gain, generator)
            for inputs, layer, substrate in zip(
                [rows.shape[1] + extra, *widths[:-1]], self.layers, self.substrates, strict=True
            )
        ]
        nothing, ones = np.zeros(extra), np.ones(extra)
        encoders[0].standardise_by(
            np.concatenate([rows.mean(axis=0), nothing]), np.concatenate([rows.var(axis=0), ones])
        )
        training.begin(encoders, classes, widths[-1], self.seed)
        if training.passes < 0 or training.batch_size < 1:
            raise ValueError(
                f"passes is {training.passes} and batch_size {training.batch_size}; passes must be at least 0, "
                "batch_size at least 1"
            )
        return kind(self.layers, self.substrates, encoders, training, trace)

    async def _rehearse(self, rows: FloatArray, lengths: IntArray, targets: FloatArray, labels: Any) -> None:
        """Run training and readout with random numbers in place of features; nothing is sent."""
        pipeline = self._pipeline(RehearsedPipeline, rows, targets.shape[1], deque())
        ends = np.cumsum(lengths)
        samples = int(np.searchsorted(ends, _REHEARSED_BATCHES * pipeline.training.batch_size)) + 1
        most = slice(0, int(ends[min(samples, len(ends)) - 1]))
        passes = pipeline.training.rehearsed_passes
        await pipeline.train(rows[most], lengths[:samples], targets[most], self._order(), Progress(None), passes)
        if self.read == "last":
            width = pipeline.layers[-1].width(pipeline.substrates[-1].info)
        else:
            width = sum(self.widths())
        generator = np.random.default_rng(0)
        features = generator.standard_normal((len(labels), width * self.segments))
        # Features that tell the classes, so that a readout converges as on real ones.
        _, codes = np.unique(labels, return_inverse=True)
        features += 3.0 * generator.standard_normal((targets.shape[1], features.shape[1]))[codes]
        readout = make_pipeline(StandardScaler(), clone(self.readout))
        await asyncio.to_thread(readout.fit, features, labels)

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


def _checked_labels(y: npt.ArrayLike, samples: int) -> npt.NDArray[Any]:
    """Return the classes of samples, or refuse them."""
    labels = np.asarray(y)
    if labels.shape != (samples,):
        raise ValueError(
            f"there are {samples} samples and labels of shape {labels.shape}; give one label for each sample"
        )
    try:
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ValueError("some are NaN or infinite")
        check_classification_targets(labels)
    except ValueError as error:
        raise ValueError(
            f"the targets are no classes ({error}); a stack learns classes; cut real numbers into some with "
            "np.digitize, or train a regressor such as RidgeReadout on the features of a PhysicalReservoir"
        ) from None
    return labels
