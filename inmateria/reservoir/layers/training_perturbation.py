"""Trainings of encoders without any derivative: weights are perturbed, and losses say which perturbations to follow.

A batch is presented several times, in pairs: perturbations to one side, then the same ones to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from inmateria.reservoir.layers.output_error import OutputClassifier, features_by_layer
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_local import GradientTraining

FloatArray = npt.NDArray[np.float64]


class _VariantLosses:
    """Losses of all variants of a batch by one classifier, which is updated after the last of them."""

    def __init__(self, classifier: OutputClassifier, variants: int) -> None:
        self._classifier, self._variants = classifier, variants
        self._losses: list[FloatArray] = []
        self._steps: list[tuple[FloatArray, FloatArray]] = []

    def add(self, batch: Batch) -> FloatArray | None:
        """Measure one variant; return the losses (variants, rows) of a batch after its last one, else None."""
        if batch.variant == 0:
            self._classifier.follow(batch.features)
        _, error, z = self._classifier.loss(batch.features, batch.targets)
        self._losses.append(self._classifier.losses(batch.features, batch.targets))
        self._steps.append((error, z))
        if len(self._losses) < self._variants:
            return None
        losses = np.array(self._losses)
        errors, inputs = zip(*self._steps, strict=True)
        self._losses, self._steps = [], []
        self._classifier.step(np.vstack(errors) / self._variants, np.vstack(inputs))
        return losses


class PerturbationTraining(GradientTraining):
    """Base class of trainings by losses with perturbed encoders.

    All variants of a batch meet a layer with the same weights, apart from the perturbations, even though other batches
    are learned meanwhile.
    """

    head_rate: float
    nudge: float
    pairs: int

    def __post_init__(self) -> None:
        if self.pairs < 1 or not self.nudge > 0:
            raise ValueError(
                f"pairs is {self.pairs} and nudge {self.nudge}; pairs must be at least 1, nudge more than 0"
            )

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._seed, self._pass = seed, 0
        self._unperturbed: list[FloatArray] = [_stacked(each) for each in self.encoders]

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Return two presentations for each pair."""
        return [batch.presentation(variant) for variant in range(2 * self.pairs)]

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports of the perturbed encoder."""
        encoder = self.encoders[layer]
        if batch.variant == 0:
            if layer:
                encoder.follow(batch.rows)
            self._unperturbed[layer] = _stacked(encoder)
        side = -1.0 if batch.variant % 2 else 1.0
        ports: FloatArray = np.tanh(self._sums(layer, batch, side * self._size(layer)))
        return ports

    def end_pass(self, number: int) -> None:
        """Lower the learning rate."""
        super().end_pass(number)
        self._pass = number + 1

    def _size(self, layer: int) -> float:
        """Return the size of a layer's perturbations."""
        return self.nudge * self.encoders[layer].gain

    def _sums(self, layer: int, batch: Batch, step: float) -> FloatArray:
        """Return the sums (rows, ports) of an encoder with weights perturbed by `step` times their direction."""
        z, shape = self.encoders[layer].standardised(batch.rows), self._unperturbed[layer].shape
        direction = self._direction(layer, batch.number, batch.variant // 2, shape)
        weights: FloatArray = self._unperturbed[layer] + step * direction
        sums: FloatArray = z @ weights[:, :-1].T + weights[:, -1]
        return sums

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Return a random direction of independent entries with mean 0 and variance 1."""
        return 2.0 * generator.integers(0, 2, size=shape).astype(np.float64) - 1.0

    def _direction(self, layer: int, batch: int, pair: int, shape: tuple[int, ...]) -> FloatArray:
        """Return a pair's direction; it is drawn again whenever it is needed, and not kept."""
        return self._draw(np.random.default_rng([self._seed, self._pass, batch, pair, layer]), shape)

    def _follow(self, layer: int, batch: int, values: FloatArray) -> None:
        r"""Update an encoder against the mean of :math:`(v_k^+ - v_k^-) / (2 c)` times the direction, over pairs k."""
        shape = self._unperturbed[layer].shape
        slopes = (values[0::2] - values[1::2]) / (2.0 * self._size(layer) * self.pairs)
        gradient = np.zeros(shape)
        for pair, slope in enumerate(slopes.tolist()):
            gradient += slope * self._direction(layer, batch, pair, shape)
        self._adams[layer].step([gradient[:, :-1], gradient[:, -1]])


@dataclass(kw_only=True)
class SPSA(PerturbationTraining):
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
    pairs : int
        Number of independent estimates that are averaged, two presentations of a batch each.
    """

    passes: int = 60
    batch_size: int = 128
    learning_rate: float = 0.003
    head_rate: float = 0.01
    nudge: float = 0.02
    pairs: int = 1

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._losses = _VariantLosses(OutputClassifier(features, targets, self.head_rate), 2 * self.pairs)

    def update_after_batch(self, batch: Batch) -> None:
        """Update all encoders after the last presentation of a batch."""
        losses = self._losses.add(batch)
        if losses is not None:
            for layer in range(len(self.encoders)):
                self._follow(layer, batch.number, self._shaped(losses.mean(axis=1)))

    def _shaped(self, losses: FloatArray) -> FloatArray:
        """Return what is followed in place of the losses."""
        return losses


@dataclass(kw_only=True)
class EvolutionStrategies(SPSA):
    r"""Evolution strategies (T. Salimans et al., arXiv 1703.03864 (2017)).

    A population of stacks, whose weights differ by Gaussian :math:`\pm \sigma \varepsilon_k` in antithetic pairs, is
    presented with the same batch. The ranks of the losses, centred in :math:`-1/2 \dots 1/2`, take the place of the
    losses, so that no outlier counts for more than its rank:

    .. math:: \hat g = \frac{1}{2 n \sigma} \sum_{k=1}^{n} (u_k^+ - u_k^-)\, \varepsilon_k

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifier, which is updated from the whole population.
    nudge : float
        :math:`\sigma`, in units of the encoders' gain.
    pairs : int
        :math:`n`, half the population.
    ranks : bool
        Whether ranks take the place of losses.
    """

    passes: int = 60
    batch_size: int = 128
    learning_rate: float = 0.01
    head_rate: float = 0.01
    nudge: float = 0.05
    pairs: int = 8
    ranks: bool = True

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        return generator.standard_normal(shape)

    def _shaped(self, losses: FloatArray) -> FloatArray:
        return centred_ranks(losses) if self.ranks else losses


class LocalPerturbationTraining(PerturbationTraining):
    """Base class of trainings in which each layer perturbs its own encoder and follows a loss of its own.

    The loss is that of a softmax classifier on the layer's features. All layers are perturbed at once, and nothing
    passes between them but the features: a layer's inputs vary with the perturbations before it, which are independent
    of its own, so that they add noise to its estimate, and no bias to first order.
    """

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._losses = [
            _VariantLosses(OutputClassifier(count, targets, self.head_rate), 2 * self.pairs)
            for count in features_by_layer(self.encoders, features)
        ]


@dataclass(kw_only=True)
class LocalSPSA(LocalPerturbationTraining):
    r"""Zeroth-order training of each layer by a loss of its own: `SPSA` of its weights, with no signal between layers.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifiers.
    nudge : float
        Size of the perturbation of weights, in units of the encoders' gain.
    pairs : int
        Number of independent estimates that are averaged, two presentations of a batch each.
    """

    passes: int = 60
    batch_size: int = 128
    learning_rate: float = 0.01
    head_rate: float = 0.01
    nudge: float = 0.1
    pairs: int = 1

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Update the encoder of one layer after the last presentation of a batch."""
        losses = self._losses[layer].add(batch)
        if losses is not None:
            self._follow(layer, batch.number, losses.mean(axis=1))


@dataclass(kw_only=True)
class NodePerturbation(LocalPerturbationTraining):
    r"""Zeroth-order training of each layer by a loss of its own, with perturbed ports in place of weights.

    Random signs :math:`\xi` times :math:`c` are added to the sums :math:`a = W z + b` before the tanh, others for each
    row, and the difference of the row's own losses estimates the gradient by its sums:

    .. math:: \hat\delta = \frac{L(a + c\,\xi) - L(a - c\,\xi)}{2 c}\,\xi, \qquad \hat g_W = \hat\delta z^\top

    A direction has as many entries as there are ports, not as there are weights, and every row has one of its own, so
    that estimates are better (J. Werfel, X. Xie and H. S. Seung, Neural Comput. 17, 2699 (2005)). In a substrate with
    memory, the effect on later rows is left out.

    Parameters
    ----------
    passes, batch_size, learning_rate
        Number of passes over the samples, rows in a batch, and learning rate of Adam in units of the encoders' gain.
    head_rate : float
        Learning rate of the classifiers.
    nudge : float
        Size of the perturbation of sums, in units of the encoders' gain.
    pairs : int
        Number of independent estimates that are averaged, two presentations of a batch each.
    """

    passes: int = 60
    batch_size: int = 128
    learning_rate: float = 0.01
    head_rate: float = 0.01
    nudge: float = 0.3
    pairs: int = 1

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._inputs: list[list[FloatArray]] = [[] for _ in self.encoders]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Update the encoder of one layer after the last presentation of a batch."""
        inputs = self._inputs[layer]
        inputs.append(self.encoders[layer].standardised(batch.inputs[layer]))
        losses = self._losses[layer].add(batch)
        if losses is None:
            return
        slopes = (losses[0::2] - losses[1::2]) / (2.0 * self._size(layer) * losses[0].size * self.pairs)
        shape = (len(batch.rows), self.encoders[layer].shape[0])
        by_sums = [
            slope[:, np.newaxis] * self._direction(layer, batch.number, pair, shape)
            for pair, slope in enumerate(slopes)
        ]
        z = [0.5 * (one + other) for one, other in zip(inputs[0::2], inputs[1::2], strict=True)]
        self._inputs[layer] = []
        gradient, bias = np.vstack(by_sums).T @ np.vstack(z), np.vstack(by_sums).sum(axis=0)
        self._adams[layer].step([gradient, bias])

    def _sums(self, layer: int, batch: Batch, step: float) -> FloatArray:
        """Return the sums (rows, ports) of an encoder, perturbed by `step` times their direction."""
        z, weights = self.encoders[layer].standardised(batch.rows), self._unperturbed[layer]
        sums: FloatArray = z @ weights[:, :-1].T + weights[:, -1]
        return sums + step * self._direction(layer, batch.number, batch.variant // 2, sums.shape)


def centred_ranks(values: FloatArray) -> FloatArray:
    """Return the ranks of values, scaled to -1/2 for the least and 1/2 for the greatest; ties share their mean."""
    ranks: FloatArray = (rankdata(values) - 1.0) / (len(values) - 1.0) - 0.5
    return ranks


def _stacked(encoder: PortEncoder) -> FloatArray:
    """Return weights and bias in one array (ports, inputs + 1)."""
    return np.column_stack([encoder.weight, encoder.bias])
