"""Trainings of encoders by backpropagation through digital twins of the layers.

In the first passes the twins are fitted, to the ports of random encoders with added noise. After them the features come
from the matter and only the gradients from the twins (`PhysicsAware`), or both come from the twins (`InSilico`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.layers.layer_twin import LayerTwin, RandomFeatureTwin
from inmateria.reservoir.layers.output_error import OutputErrorTraining, features_by_layer
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch

FloatArray = npt.NDArray[np.float64]


class TwinTraining(OutputErrorTraining):
    """Base class of trainings that differentiate digital twins of the layers.

    Attributes
    ----------
    twins : list of LayerTwin
        One for each layer.
    """

    twin_passes: int
    explore: float
    make_twin: Callable[[int, int, int], LayerTwin] | None

    def __post_init__(self) -> None:
        if self.twin_passes < 0 or not self.explore >= 0:
            raise ValueError(f"twin_passes is {self.twin_passes} and explore {self.explore}; both must be at least 0")

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, and create the twins."""
        super().begin(encoders, targets, features, seed)
        self.twins: list[LayerTwin] = [
            RandomFeatureTwin(encoder.shape[0], count, gain=encoder.gain, seed=seed + layer)
            if self.make_twin is None
            else self.make_twin(layer, encoder.shape[0], count)
            for layer, (encoder, count) in enumerate(
                zip(self.encoders, features_by_layer(self.encoders, features), strict=True)
            )
        ]
        self._generators = [np.random.default_rng([seed, layer]) for layer in range(len(self.encoders))]
        self._pass = 0
        self.rehearsed_passes = max(self.rehearsed_passes, self.twin_passes + 1)

    @property
    def _exploring(self) -> bool:
        """Whether this pass only fits the twins."""
        return self._pass < self.twin_passes

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports, with noise in the first passes."""
        ports = super().encode(layer, batch)
        if self._exploring:
            ports = ports + self.explore * self.encoders[layer].gain * self._generators[layer].standard_normal(
                ports.shape
            )
            ports = np.clip(ports, -1.0, 1.0)
        return ports

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Add a batch to the twin of a layer."""
        self.twins[layer].add(batch.ports[layer], batch.features)

    def end_pass(self, number: int) -> None:
        """Lower the learning rate."""
        super().end_pass(number)
        self._pass = number + 1

    def _backpropagate(self, batch: Batch, error: FloatArray) -> None:
        """Update all encoders, given the gradient by the logits, with gradients from the last to the first."""
        by_features = self.classifier.back(error)
        steps = []
        for layer in range(len(self.encoders) - 1, -1, -1):
            encoder, ports = self.encoders[layer], batch.ports[layer]
            by_ports = self.twins[layer].back(ports, by_features)
            steps.append((layer, encoder.standardised(batch.inputs[layer]), ports, by_ports))
            by_features = (by_ports * (1.0 - ports**2)) @ encoder.weight / encoder.scale
        for step in steps:
            self._move(*step)


@dataclass(kw_only=True)
class PhysicsAware(TwinTraining):
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

    def update_after_batch(self, batch: Batch) -> None:
        """Update all encoders."""
        error = self._error(batch)
        if not self._exploring:
            self._backpropagate(batch, error)

    def end_pass(self, number: int) -> None:
        """Fit the twins, and lower the learning rate."""
        super().end_pass(number)
        for twin in self.twins:
            twin.fit()


@dataclass(kw_only=True)
class InSilico(TwinTraining):
    """In-silico training: encoders and classifier are trained in digital twins alone, then used on the matter.

    The first passes present the samples to the matter, with noise on the ports, and the twins are fitted once. All
    later passes are computed in the twins, forward and backward, and cost no stimulus. What the twins do not know of
    the matter, the encoders do not learn: beside `PhysicsAware`, this shows the gap between model and matter (A. Momeni
    et al., Training of physical neural networks, arXiv 2406.03372 (2024)).

    Parameters
    ----------
    passes : int
        Number of passes over the samples, those of the twins' fit among them; must be more than `twin_passes`.
    batch_size, learning_rate
        Rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier.
    twin_passes : int
        Number of first passes, which are presented to the matter and fit the twins; 0 for twins that are given.
    explore : float
        Standard deviation of the noise on the ports in the first passes, in units of the gain.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passes <= self.twin_passes:
            raise ValueError(
                f"passes is {self.passes} and twin_passes {self.twin_passes}; passes must be more than twin_passes, "
                "because encoders are trained in the passes after those"
            )

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, and create the twins."""
        super().begin(encoders, targets, features, seed)
        self._batches: list[Batch] = []

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Return one presentation in the first passes, none later."""
        if self._exploring:
            return [batch]
        self._batches.append(batch)
        return []

    def end_pass(self, number: int) -> None:
        """Fit the twins after the first passes; train the encoders in the twins in the later ones."""
        for batch in self._batches:
            self._train_in_twins(batch)
        self._batches = []
        super().end_pass(number)
        if self._pass == self.twin_passes:
            for twin in self.twins:
                twin.fit()

    def _train_in_twins(self, batch: Batch) -> None:
        """Pass a batch through the twins, and update all encoders."""
        for layer, twin in enumerate(self.twins):
            batch.inputs.append(batch.rows)
            batch.ports.append(self.encode(layer, batch))
            batch.rows = batch.features = twin.predict(batch.ports[-1])
        self._backpropagate(batch, self._error(batch))
