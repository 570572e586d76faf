"""Encoders moved by gradient on something that each layer knows by itself: its ports, its inputs, the targets."""

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
    """What the ways by gradient share: an Adam for each encoder, and inputs followed as they move.

    The learning rate falls in a straight line to zero over the passes, so that the encoders come to rest.
    """

    learning_rate: float

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._adams = [Adam([each.weight, each.bias], self.learning_rate * each.gain) for each in self.encoders]

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Make ports, letting mean and spread of a later layer's inputs follow the layers before it."""
        if layer:
            self.encoders[layer].follow(batch.rows)
        return super().encode(layer, batch)

    def end_pass(self, number: int) -> None:
        """Let the learning rate fall."""
        left = 1.0 - (number + 1) / self.passes
        for adam, encoder in zip(self._adams, self.encoders, strict=True):
            adam.learning_rate = self.learning_rate * encoder.gain * left

    def _move(self, layer: int, z: FloatArray, ports: FloatArray, by_ports: FloatArray) -> None:
        """Move an encoder against a gradient by its ports."""
        inner = by_ports * (1.0 - ports**2)
        self._adams[layer].step([inner.T @ z, inner.sum(axis=0)])


@dataclass(kw_only=True)
class HSICTraining(GradientTraining):
    """Every encoder by the normalised HSIC bottleneck: Ma, Lewis and Kleijn, AAAI 2020.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Passes over the samples, rows in a batch, and Adam's step in units of the encoders' gain.
    lambda_y : float
        Weight of the targets.
    sigma, sigma_input : float
        Widths of the kernels of ports over gain, and of standardised inputs, for each column.
    regularisation : float
        See `nhsic_objective`.
    random_features : int, optional
        Replace kernel matrices by so many random features.
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
        """Take the encoders to train."""
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
        """Take a step of one encoder."""
        z = self.encoders[layer].standardised(batch.inputs[layer])
        ports = self.encoders[layer].ports_of(z)
        found = self._objectives[layer](ports, z, batch.targets)
        self.dependence[layer].append((found.on_input, found.on_target))
        self._move(layer, z, ports, found.gradient)


@dataclass(kw_only=True)
class PHSICTraining(HSICTraining):
    """Every encoder by plausible HSIC, in small batches: Pogodin and Latham, NeurIPS 2020.

    Parameters
    ----------
    passes, batch_size, learning_rate, lambda_y, sigma
        As of `HSICTraining`; the width is that of the kernel of normalised ports.
    """

    passes: int = 20
    batch_size: int = 32
    learning_rate: float = 0.005
    lambda_y: float = 2.0
    objective: ClassVar[str] = "phsic"


@dataclass(kw_only=True)
class LocalCrossEntropy(GradientTraining):
    """Every encoder so that a linear classifier on its ports names the class, trained with it.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Passes over the samples, rows in a batch, and Adam's step in units of the encoders' gain.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.01

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._heads = [np.zeros((targets, encoder.shape[0])) for encoder in self.encoders]
        self._biases = [np.zeros(targets) for _ in self.encoders]
        self._of_heads = [
            Adam([head, bias], self.learning_rate) for head, bias in zip(self._heads, self._biases, strict=True)
        ]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Take a step of one encoder and its classifier."""
        encoder, head, bias = self.encoders[layer], self._heads[layer], self._biases[layer]
        z = encoder.standardised(batch.inputs[layer])
        ports = encoder.ports_of(z)
        seen = ports / encoder.gain
        _, error = cross_entropy(seen @ head.T + bias, batch.targets)
        self._move(layer, z, ports, error @ head / encoder.gain)
        self._of_heads[layer].step([error.T @ seen, error.sum(axis=0)])


@dataclass(kw_only=True)
class ForwardForward(GradientTraining):
    """Every encoder so that its ports are more active for inputs with the right label than with a wrong one.

    The label goes in beside the first layer's inputs; every batch is presented twice, with right and with
    wrong labels, and goodness is the mean square of a layer's ports: Hinton, arXiv 2212.13345 (2022), in
    physical layers Momeni et al., Science 382, 1297 (2023). The loss is of the difference of the two
    (Lee and Song, arXiv 2303.08418), so that no threshold has to be set. To be read, a sample comes with no
    label.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Passes over the samples, rows in a batch, and Adam's step in units of the encoders' gain.
    sharpness : float
        Of the loss, for goodness in units of the gain squared.
    label_amplitude : float
        Of the label's entry, beside standardised features.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.01
    sharpness: float = 4.0
    label_amplitude: float = 3.0

    def extra_inputs(self, targets: int) -> int:
        """Count the label's entries."""
        return targets

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._generator = np.random.default_rng(seed)
        self._first: list[dict[int, tuple[FloatArray, FloatArray]]] = [{} for _ in self.encoders]

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Present a batch with the right labels, then with wrong ones."""
        wrong = self._generator.random(batch.targets.shape)
        wrong[batch.targets > 0] = -1.0
        wrong = np.repeat(wrong[np.cumsum(batch.lengths) - 1], batch.lengths, axis=0)
        right = (batch.targets > 0).astype(np.float64)
        labels = (right, (wrong == wrong.max(axis=1, keepdims=True)).astype(np.float64))
        return [self._with_label(batch.again(variant), label) for variant, label in enumerate(labels)]

    def prediction_presentation(self, batch: Batch) -> Batch:
        """Present a batch with no label."""
        targets = batch.targets.shape[1]
        return self._with_label(batch, np.full((len(batch.rows), targets), 1.0 / targets))

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Keep the right presentation until the wrong one has come; then take a step."""
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
