"""Trainings of encoders by the error at the output, which reaches each layer without passing a substrate.

A linear softmax classifier on the last layer's features is trained together with the encoders. The error of a batch is
known once it has passed all layers, while later batches are already in the pipeline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.bottleneck.gradient_descent import Adam, cross_entropy
from inmateria.reservoir.layers.layer_twin import LayerTwin, RandomFeatureTwin
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_local import GradientTraining

FloatArray = npt.NDArray[np.float64]


class _Head:
    """A softmax classifier on features that are standardised by a running mean and standard deviation."""

    def __init__(self, features: int, targets: int, learning_rate: float) -> None:
        self._reader = PortEncoder(features, targets, 0.0, np.random.default_rng(0))
        self._adam = Adam([self._reader.weight, self._reader.bias], learning_rate)

    def follow(self, features: FloatArray) -> None:
        """Update mean and standard deviation of the features with a batch."""
        self._reader.follow(features)

    def loss(self, features: FloatArray, targets: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the loss, its gradient by the logits (rows, classes), and the standardised features."""
        z = self._reader.standardised(features)
        loss, error = cross_entropy(z @ self._reader.weight.T + self._reader.bias, targets)
        return loss, error, z

    def back(self, error: FloatArray) -> FloatArray:
        """Propagate a gradient with respect to the logits back to the features."""
        by_features: FloatArray = error @ self._reader.weight / self._reader.scale
        return by_features

    def step(self, error: FloatArray, z: FloatArray) -> None:
        """Update the classifier."""
        self._adam.step([error.T @ z, error.sum(axis=0)])


class _FeedbackTraining(GradientTraining):
    """Base class of trainings by the error of a classifier at the output."""

    head_rate: float

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._head = _Head(features, targets, self.head_rate)

    def _error(self, batch: Batch) -> FloatArray:
        """Update the classifier from a batch that has passed all layers, and return the gradient by its logits."""
        self._head.follow(batch.features)
        _, error, z = self._head.loss(batch.features, batch.targets)
        self._head.step(error, z)
        return error


@dataclass(kw_only=True)
class AugmentedDFA(_FeedbackTraining):
    r"""Augmented direct feedback alignment (M. Nakajima et al., Nat. Commun. 13, 7847 (2022)).

    The error :math:`e` of the output reaches the ports :math:`p_l` of each layer through a fixed random matrix
    :math:`B_l`, times the derivative of the encoder's tanh; the substrate's response is not part of it:

    .. math:: \delta_l = (B_l e) \odot (1 - p_l^2)

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.003
    head_rate: float = 0.01

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, and draw the feedback matrices."""
        super().begin(encoders, targets, features, seed)
        generator = np.random.default_rng(seed)
        self._feedback = [generator.standard_normal((targets, each.shape[0])) for each in self.encoders]

    def update_after_batch(self, batch: Batch) -> None:
        """Update all encoders."""
        error = self._error(batch)
        for layer, encoder in enumerate(self.encoders):
            z = encoder.standardised(batch.inputs[layer])
            self._move(layer, z, encoder.ports_of(z), error @ self._feedback[layer])


@dataclass(kw_only=True)
class PhysicsAware(_FeedbackTraining):
    """Physics-aware training (L. G. Wright et al., Nature 601, 549 (2022)): device forward, digital twins backward.

    In the first passes only the twins are fitted, to ports with added noise; later they are fitted after every pass.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier.
    twin_passes : int
        Number of first passes that only fit the twins.
    explore : float
        Standard deviation of the noise on the ports, in units of the gain; without it, twins are undetermined in
        directions in which the ports do not vary.
    make_twin : callable, optional
        ``(layer, ports, features) -> LayerTwin``; a `RandomFeatureTwin` by default.
    """

    passes: int = 32
    batch_size: int = 64
    learning_rate: float = 0.01
    head_rate: float = 0.003
    twin_passes: int = 2
    explore: float = 0.3
    make_twin: Callable[[int, int, int], LayerTwin] | None = None

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, and create the twins."""
        super().begin(encoders, targets, features, seed)
        answered = [*(each.shape[1] for each in self.encoders[1:]), features]
        self.twins: list[LayerTwin] = [
            RandomFeatureTwin(encoder.shape[0], count, gain=encoder.gain, seed=seed + layer)
            if self.make_twin is None
            else self.make_twin(layer, encoder.shape[0], count)
            for layer, (encoder, count) in enumerate(zip(self.encoders, answered, strict=True))
        ]
        self._generators = [np.random.default_rng([seed, layer]) for layer in range(len(self.encoders))]
        self._pass = 0

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports, with noise in the first passes."""
        ports = super().encode(layer, batch)
        if self._pass < self.twin_passes:
            ports = ports + self.explore * self.encoders[layer].gain * self._generators[layer].standard_normal(
                ports.shape
            )
            ports = np.clip(ports, -1.0, 1.0)
        return ports

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Add a batch to the twin of a layer."""
        self.twins[layer].add(batch.ports[layer], batch.features)

    def update_after_batch(self, batch: Batch) -> None:
        """Update all encoders, with gradients from the last to the first."""
        error = self._error(batch)
        if self._pass < self.twin_passes:
            return
        by_features = self._head.back(error)
        steps = []
        for layer in range(len(self.encoders) - 1, -1, -1):
            encoder, ports = self.encoders[layer], batch.ports[layer]
            by_ports = self.twins[layer].back(ports, by_features)
            steps.append((layer, encoder.standardised(batch.inputs[layer]), ports, by_ports))
            by_features = (by_ports * (1.0 - ports**2)) @ encoder.weight / encoder.scale
        for step in steps:
            self._move(*step)

    def end_pass(self, number: int) -> None:
        """Fit the twins, and lower the learning rate."""
        super().end_pass(number)
        self._pass = number + 1
        for twin in self.twins:
            twin.fit()


@dataclass(kw_only=True)
class SPSA(_FeedbackTraining):
    r"""Simultaneous perturbation stochastic approximation (J. C. Spall, IEEE Trans. Autom. Control 37, 332 (1992)).

    All weights are perturbed at once by random signs :math:`\Delta` times :math:`c`. Every batch is presented twice,
    and the difference of the two losses estimates the gradient

    .. math:: \hat g = \frac{L(w + c \Delta) - L(w - c \Delta)}{2 c} \Delta.

    No model of the layers is needed, at the cost of many stimuli.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier.
    nudge : float
        :math:`c`, in units of the encoders' gain.
    """

    passes: int = 60
    batch_size: int = 128
    learning_rate: float = 0.003
    head_rate: float = 0.01
    nudge: float = 0.02

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._generator = np.random.default_rng(seed)
        self._nudges: dict[int, list[tuple[FloatArray, FloatArray]]] = {}
        self._first: dict[int, tuple[float, FloatArray, FloatArray]] = {}

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Return two presentations, for weights perturbed to one side and to the other."""
        self._nudges[batch.number] = [
            (
                self.nudge * each.gain * _signs(self._generator, each.weight.shape),
                self.nudge * each.gain * _signs(self._generator, each.bias.shape),
            )
            for each in self.encoders
        ]
        return [batch.presentation(0), batch.presentation(1)]

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports of the perturbed encoder."""
        encoder = self.encoders[layer]
        if layer and batch.variant == 0:
            encoder.follow(batch.rows)
        weight, bias = self._nudges[batch.number][layer]
        side = 1.0 - 2.0 * batch.variant
        z = encoder.standardised(batch.rows)
        ports: FloatArray = np.tanh(z @ (encoder.weight + side * weight).T + encoder.bias + side * bias)
        return ports

    def update_after_batch(self, batch: Batch) -> None:
        """Keep the first loss until the second is known; then update all encoders."""
        if batch.variant == 0:
            self._head.follow(batch.features)
            self._first[batch.number] = self._head.loss(batch.features, batch.targets)
            return
        first, error, z = self._first.pop(batch.number)
        second, other_error, other_z = self._head.loss(batch.features, batch.targets)
        slope = first - second
        for layer, nudges in enumerate(self._nudges.pop(batch.number)):
            # With a perturbation of +-c, the derivative by each weight is slope / (2 c) times the sign.
            size = self.nudge * self.encoders[layer].gain
            self._adams[layer].step([0.5 * slope * nudge / size**2 for nudge in nudges])
        self._head.step(0.5 * np.vstack([error, other_error]), np.vstack([z, other_z]))


def _signs(generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    signs: FloatArray = generator.choice(np.array([-1.0, 1.0]), size=shape)
    return signs
