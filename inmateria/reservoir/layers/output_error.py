"""The error at the output: a linear classifier on features, trained together with the encoders that lead to them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from inmateria.reservoir.bottleneck.gradient_descent import Adam, cross_entropy
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_local import GradientTraining

FloatArray = npt.NDArray[np.float64]


class OutputClassifier:
    """A softmax classifier on features that are standardised by a running mean and standard deviation.

    Parameters
    ----------
    features, targets : int
    learning_rate : float
        Learning rate of Adam.
    """

    def __init__(self, features: int, targets: int, learning_rate: float) -> None:
        self._reader = PortEncoder(features, targets, 0.0, np.random.default_rng(0))
        self._adam = Adam([self._reader.weight, self._reader.bias], learning_rate)

    @property
    def scale(self) -> FloatArray:
        """Standard deviation of each feature; infinite for those that do not vary."""
        return self._reader.scale

    def follow(self, features: FloatArray) -> None:
        """Update mean and standard deviation of the features with a batch."""
        self._reader.follow(features)

    def logits(self, features: FloatArray) -> FloatArray:
        """Return the logits (rows, classes) for features (rows, features)."""
        return self._logits_of(self._reader.standardised(features))

    def loss(self, features: FloatArray, targets: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the loss, its gradient by the logits (rows, classes), and the standardised features."""
        z = self._reader.standardised(features)
        loss, error = cross_entropy(self._logits_of(z), targets)
        return loss, error, z

    def losses(self, features: FloatArray, targets: FloatArray) -> FloatArray:
        """Return the loss of each row."""
        logits = self.logits(features)
        by_row: FloatArray = logsumexp(logits, axis=1) - (targets * logits).sum(axis=1)
        return by_row

    def back(self, error: FloatArray) -> FloatArray:
        """Propagate a gradient with respect to the logits back to the features."""
        by_features: FloatArray = error @ self._reader.weight / self._reader.scale
        return by_features

    def step(self, error: FloatArray, z: FloatArray) -> None:
        """Update the classifier, given the gradient by the logits and the standardised features."""
        self._adam.step([error.T @ z, error.sum(axis=0)])

    def _logits_of(self, z: FloatArray) -> FloatArray:
        logits: FloatArray = z @ self._reader.weight.T + self._reader.bias
        return logits


class OutputErrorTraining(GradientTraining):
    """Base class of trainings by the error of a classifier on the last layer's features.

    The error of a batch is known once it has passed all layers, while later batches are already in the pipeline.

    Attributes
    ----------
    classifier : OutputClassifier
    """

    head_rate: float

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self.classifier = OutputClassifier(features, targets, self.head_rate)

    def _error(self, batch: Batch) -> FloatArray:
        """Update the classifier from a batch that has passed all layers, and return the gradient by its logits."""
        self.classifier.follow(batch.features)
        _, error, z = self.classifier.loss(batch.features, batch.targets)
        self.classifier.step(error, z)
        return error


def features_by_layer(encoders: Sequence[PortEncoder], features: int) -> list[int]:
    """Return the number of features of each layer, given that of the last."""
    return [*(each.shape[1] for each in encoders[1:]), features]
