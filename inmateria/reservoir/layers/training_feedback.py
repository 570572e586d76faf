"""Trainings of encoders by direct feedback: the output's error reaches each layer through a fixed random matrix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.layers.layer_twin import LayerTwin
from inmateria.reservoir.layers.output_error import OutputErrorTraining, features_by_layer
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_twins import TwinTraining

FloatArray = npt.NDArray[np.float64]


@dataclass(kw_only=True)
class AugmentedDFA(OutputErrorTraining):
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
class DFA(TwinTraining):
    r"""Direct feedback alignment (A. Nokland, NeurIPS 2016).

    A unit's nonlinearity is that of the matter: from the encoder's sum :math:`a_l` through the tanh and the layer's
    response to the standardised features. The error :math:`e` of the output reaches the features of each layer through
    a fixed random matrix :math:`B_l`, and from there the encoder through the derivative of the nonlinearity, that is,
    through the Jacobian :math:`J_l` of a digital twin at the ports :math:`p_l`:

    .. math:: \delta_l = J_l(p_l)^\top B_l e \odot (1 - p_l^2)

    No layer needs the twin of another. `AugmentedDFA` is the same without :math:`J_l`, and needs no twin.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier.
    twin_passes : int
        Number of first passes that only fit the twins; later they are fitted after every pass.
    explore : float
        Standard deviation of the noise on the ports in the first passes, in units of the gain.
    make_twin : callable, optional
        ``(layer, ports, features) -> LayerTwin``; a `RandomFeatureTwin` by default.
    """

    passes: int = 40
    batch_size: int = 64
    learning_rate: float = 0.003
    head_rate: float = 0.01
    twin_passes: int = 2
    explore: float = 0.3
    make_twin: Callable[[int, int, int], LayerTwin] | None = None

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, create the twins, and draw the feedback matrices."""
        super().begin(encoders, targets, features, seed)
        generator = np.random.default_rng([seed, len(self.encoders)])
        self._feedback = [
            generator.standard_normal((targets, count)) for count in features_by_layer(self.encoders, features)
        ]

    def update_after_batch(self, batch: Batch) -> None:
        """Update all encoders."""
        error = self._error(batch)
        if self._exploring:
            return
        scales = [*(each.scale for each in self.encoders[1:]), self.classifier.scale]
        for layer, encoder in enumerate(self.encoders):
            ports = batch.ports[layer]
            by_ports = self.twins[layer].back(ports, error @ self._feedback[layer] / scales[layer])
            self._move(layer, encoder.standardised(batch.inputs[layer]), ports, by_ports)

    def end_pass(self, number: int) -> None:
        """Fit the twins, and lower the learning rate."""
        super().end_pass(number)
        for twin in self.twins:
            twin.fit()
