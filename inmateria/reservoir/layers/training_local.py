"""Trainings of encoders by gradients of local objectives: of a layer's ports, its inputs and the targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.bottleneck.gradient_descent import Adam, cross_entropy
from inmateria.reservoir.bottleneck.hsic import objective_named
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch, LocalTraining

FloatArray = npt.NDArray[np.float64]


class GradientTraining(LocalTraining):
    """Base class of trainings by gradients: Adam for each encoder, and a running mean and variance of its inputs.

    The learning rate falls linearly to zero over the passes.
    """

    learning_rate: float

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._adams = [Adam([each.weight, each.bias], self.learning_rate * each.gain) for each in self.encoders]

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports; mean and variance of a later layer's inputs are updated first."""
        if layer:
            self.encoders[layer].follow(batch.rows)
        return super().encode(layer, batch)

    def end_pass(self, number: int) -> None:
        """Lower the learning rate."""
        left = 1.0 - (number + 1) / self.passes
        for adam, encoder in zip(self._adams, self.encoders, strict=True):
            adam.learning_rate = self.learning_rate * encoder.gain * left

    def _move(self, layer: int, z: FloatArray, ports: FloatArray, by_ports: FloatArray) -> None:
        """Update an encoder, given the gradient with respect to its ports."""
        inner = by_ports * (1.0 - ports**2)
        self._adams[layer].step([inner.T @ z, inner.sum(axis=0)])


@dataclass(kw_only=True)
class HSICTraining(GradientTraining):
    """Normalised HSIC bottleneck of each layer (W.-D. K. Ma, J. P. Lewis and W. B. Kleijn, AAAI 2020).

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    lambda_y : float
        Weight of the targets.
    sigma, sigma_input : float
        Widths of the kernels of ports, in units of the gain, and of standardised inputs, per column.
    regularisation : float
        See `nhsic_objective`.
    random_features : int, optional
        Number of random features that replace kernel matrices.
    """

    passes: int = 40
    batch_size: int = 256
    learning_rate: float = 0.01
    lambda_y: float = 50.0
    sigma: float = 1.0
    sigma_input: float = 1.0
    regularisation: float = 1e-2
    random_features: int | None = None
    objective: ClassVar[str] = "nhsic"

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._objectives = [
            objective_named(
                self.objective,
                lambda_y=self.lambda_y,
                sigma=self.sigma,
                sigma_input=self.sigma_input,
                regularisation=self.regularisation,
                random_features=self.random_features,
                seed=seed + layer,
                unit=encoder.gain,
            )
            for layer, encoder in enumerate(self.encoders)
        ]
        self.dependence: list[list[tuple[float, float]]] = [[] for _ in self.encoders]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Update the encoder of one layer."""
        z = self.encoders[layer].standardised(batch.inputs[layer])
        ports = self.encoders[layer].ports_of(z)
        found = self._objectives[layer](ports, z, batch.targets)
        self.dependence[layer].append((found.on_input, found.on_target))
        self._move(layer, z, ports, found.gradient)


@dataclass(kw_only=True)
class PHSICTraining(HSICTraining):
    """Plausible HSIC bottleneck of each layer, for small batches (R. Pogodin and P. E. Latham, NeurIPS 2020).

    Parameters
    ----------
    passes, batch_size, learning_rate, lambda_y, sigma
        See `HSICTraining`; `sigma` is the width of the kernel of normalised ports.
    """

    passes: int = 20
    batch_size: int = 32
    learning_rate: float = 0.005
    lambda_y: float = 2.0
    objective: ClassVar[str] = "phsic"


@dataclass(kw_only=True)
class LocalCrossEntropy(GradientTraining):
    """Local cross-entropy: each encoder is trained together with a linear softmax classifier on its ports.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.01

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._heads = [np.zeros((targets, encoder.shape[0])) for encoder in self.encoders]
        self._biases = [np.zeros(targets) for _ in self.encoders]
        self._of_heads = [
            Adam([head, bias], self.learning_rate) for head, bias in zip(self._heads, self._biases, strict=True)
        ]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Update the encoder of one layer and its classifier."""
        encoder, head, bias = self.encoders[layer], self._heads[layer], self._biases[layer]
        z = encoder.standardised(batch.inputs[layer])
        ports = encoder.ports_of(z)
        seen = ports / encoder.gain
        _, error = cross_entropy(seen @ head.T + bias, batch.targets)
        self._move(layer, z, ports, error @ head / encoder.gain)
        self._of_heads[layer].step([error.T @ seen, error.sum(axis=0)])


@dataclass(kw_only=True)
class ForwardForward(GradientTraining):
    r"""Forward-forward training (G. Hinton, arXiv 2212.13345 (2022)).

    In physical layers: A. Momeni et al., Science 382, 1297 (2023). The label is an additional input of the first layer.
    Every batch is presented with right and with wrong labels, and the goodness :math:`G`, the mean square of a layer's
    ports, is made larger for the right ones by the loss of the difference (H.-C. Lee and J. Song, arXiv 2303.08418),
    which needs no threshold:

    .. math:: L = \log\left(1 + e^{-s\,(G_{right} - G_{wrong})}\right)

    For prediction, samples are presented without a label.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    sharpness : float
        :math:`s`, for goodness in units of the squared gain.
    label_amplitude : float
        Magnitude of the label's entry, compared with standardised features.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.01
    sharpness: float = 4.0
    label_amplitude: float = 3.0

    def extra_inputs(self, targets: int) -> int:
        """Return the number of classes."""
        return targets

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._generator = np.random.default_rng(seed)
        self._first: list[dict[int, tuple[FloatArray, FloatArray]]] = [{} for _ in self.encoders]

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Return two presentations, with the right labels and with wrong ones."""
        wrong = self._generator.random(batch.targets.shape)
        wrong[batch.targets > 0] = -1.0
        wrong = np.repeat(wrong[np.cumsum(batch.lengths) - 1], batch.lengths, axis=0)
        right = (batch.targets > 0).astype(np.float64)
        labels = (right, (wrong == wrong.max(axis=1, keepdims=True)).astype(np.float64))
        return [self._with_label(batch.presentation(variant), label) for variant, label in enumerate(labels)]

    def prediction_presentation(self, batch: Batch) -> Batch:
        """Return the presentation of a batch without labels."""
        targets = batch.targets.shape[1]
        return self._with_label(batch, np.full((len(batch.rows), targets), 1.0 / targets))

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Keep the presentation with right labels until the other is known; then update the encoder of one layer."""
        encoder = self.encoders[layer]
        z = encoder.standardised(batch.inputs[layer])
        if batch.variant == 0:
            self._first[layer][batch.number] = (z, encoder.ports_of(z))
            return
        right, _ = self._first[layer].pop(batch.number)
        both = np.vstack([right, z])
        ports = encoder.ports_of(both)
        unit = encoder.gain**2
        goodness = (ports**2).mean(axis=1) / unit
        margin = goodness[: len(right)] - goodness[len(right) :]
        pull = -self.sharpness / (1.0 + np.exp(np.clip(self.sharpness * margin, -50.0, 50.0))) / len(right)
        by_goodness = np.concatenate([pull, -pull])
        self._move(layer, both, ports, by_goodness[:, np.newaxis] * 2.0 * ports / (ports.shape[1] * unit))

    def _with_label(self, batch: Batch, label: FloatArray) -> Batch:
        return replace(batch, rows=np.hstack([batch.rows, self.label_amplitude * label]))
