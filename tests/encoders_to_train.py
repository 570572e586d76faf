"""Encoders and a batch for tests of trainings, and a record of the gradients that a training follows."""

from collections.abc import Sequence

import numpy as np

from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_local import GradientTraining
from inmateria.simulators import ScatteringMedium

LIMIT = 0.5 * np.pi


def make_batch(rows: int = 12, inputs: int = 5, classes: int = 3, seed: int = 0) -> Batch:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return Batch(0, generator.standard_normal((rows, inputs)), np.ones(rows, dtype=np.intp), np.eye(classes)[labels])


def encoders(*shapes: tuple[int, int]) -> list[PortEncoder]:
    made = [PortEncoder(inputs, ports, 0.3, np.random.default_rng(inputs + ports)) for inputs, ports in shapes]
    for each in made:
        each.standardise_by(np.full(each.shape[1], 0.1), np.full(each.shape[1], 0.8))
    return made


class ExactTwin:
    """The medium itself as its twin."""

    def __init__(self, medium: ScatteringMedium) -> None:
        self.medium = medium

    def add(self, ports: np.ndarray, features: np.ndarray) -> None: ...

    def fit(self) -> None: ...

    def predict(self, ports: np.ndarray) -> np.ndarray:
        return self.medium.intensity(LIMIT * ports)

    def back(self, ports: np.ndarray, by_features: np.ndarray) -> np.ndarray:
        return LIMIT * self.medium.gradient(LIMIT * ports, by_features)


class Recorded:
    """Keeps the gradients by weight and bias that a training would have followed, the latest of each layer."""

    def __init__(self, training: GradientTraining) -> None:
        self.gradients: dict[int, list[np.ndarray]] = {}
        for layer, adam in enumerate(training._adams):
            adam.step = lambda found, layer=layer: self.gradients.__setitem__(layer, list(found))  # type: ignore[method-assign]

    def flat(self, layer: int) -> np.ndarray:
        """Return the gradients by weight and bias in one array."""
        weight, bias = self.gradients[layer]
        return np.column_stack([weight, bias]).ravel()


def forward(stack: Sequence[PortEncoder], media: Sequence[ScatteringMedium], batch: Batch) -> Batch:
    """Pass a batch through encoders and media without noise."""
    rows, sent = batch.rows, batch.presentation(0)
    for encoder, medium in zip(stack, media, strict=True):
        sent.inputs.append(rows)
        sent.ports.append(encoder.ports(rows))
        rows = medium.intensity(LIMIT * sent.ports[-1])
    sent.features = rows
    return sent
