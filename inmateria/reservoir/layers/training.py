"""Methods to train the encoders of a physical stack, behind one interface, found by name.

None propagates anything back through a substrate. A training is given the inputs of each layer's encoder, the ports and
the features of the substrate's response, and updates the encoders. The exchanges are made by `stack`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.layers.port_encoder import PortEncoder

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_TRAININGS = {
    "augmented-dfa": (
        "training_feedback:AugmentedDFA",
        "the output's error, projected to each layer by a random matrix",
    ),
    "bottleneck": (
        "training_bottleneck:BottleneckTraining",
        "Gaussian bottleneck in closed form, all layers in each pass",
    ),
    "bottleneck-in-turn": ("training_bottleneck:BottleneckInTurn", "the same, one layer after another"),
    "bottleneck-online": ("training_bottleneck:OnlineTraining", "bottleneck from the stream, in one pass"),
    "dfa": (
        "training_feedback:DFA",
        "the same to the features, then through a fitted digital twin's derivative",
    ),
    "evolution-strategies": (
        "training_perturbation:EvolutionStrategies",
        "a population of perturbed encoders, ranked by their loss",
    ),
    "forward-forward": ("training_local:ForwardForward", "each layer distinguishes right labels from wrong ones"),
    "hsic": ("training_local:HSICTraining", "normalised HSIC bottleneck by gradient"),
    "in-silico": ("training_twins:InSilico", "backpropagation in digital twins alone, fitted once"),
    "local-ce": ("training_local:LocalCrossEntropy", "a linear classifier on every layer's ports"),
    "local-spsa": ("training_perturbation:LocalSPSA", "each layer perturbs its weights and follows a loss of its own"),
    "node-perturbation": (
        "training_perturbation:NodePerturbation",
        "each layer perturbs its ports and follows a loss of its own",
    ),
    "none": ("training:NoTraining", "random encoders"),
    "phsic": ("training_local:PHSICTraining", "plausible HSIC bottleneck by gradient, in small batches"),
    "physics-aware": ("training_twins:PhysicsAware", "device forward, a fitted digital twin backward"),
    "spsa": ("training_perturbation:SPSA", "simultaneous random perturbation of all weights, twice a batch"),
}


@dataclass(eq=False)
class Batch:
    """A batch of samples that passes through the layers.

    Parameters
    ----------
    number : int
        Index of the batch within its pass.
    rows : ndarray of float, shape (rows, features)
        Input of the next layer: all steps of all samples, one after another.
    lengths : ndarray of int, shape (samples,)
        Number of steps of each sample.
    targets : ndarray of float, shape (rows, targets)
        One-hot for classes.
    variant : int
        Index among several presentations of the same batch.
    inputs, ports : list of ndarray
        Encoder inputs and ports of each layer that it has passed.
    features : ndarray of float, shape (rows, features)
        Features of the last layer that it has passed.
    """

    number: int
    rows: FloatArray
    lengths: IntArray
    targets: FloatArray
    variant: int = 0
    inputs: list[FloatArray] = field(default_factory=list)
    ports: list[FloatArray] = field(default_factory=list)
    features: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def presentation(self, variant: int) -> "Batch":
        """Return another presentation of the same batch, before its first layer."""
        return replace(self, variant=variant, inputs=[], ports=[])


class LocalTraining:
    """Base class of trainings; it leaves the encoders random.

    Attributes
    ----------
    passes : int
        Number of times that all samples are presented for training.
    batch_size : int
        Approximate number of rows in a batch: samples, or steps of series.
    in_turn : bool
        Whether layers are trained one after another, each on the features of the trained layers before it.
    rehearsed_passes : int
        Number of first passes in which all settings are used; a fit is rehearsed with so many.
    """

    passes: int = 0
    batch_size: int = 128
    in_turn: ClassVar[bool] = False
    rehearsed_passes = 3

    encoders: list[PortEncoder]

    def extra_inputs(self, targets: int) -> int:
        """Return the number of inputs of the first encoder beyond the features."""
        return 0

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train, before anything is presented.

        Parameters
        ----------
        encoders : sequence of PortEncoder
            One for each layer; mean and variance of the inputs are set for the first.
        targets, features : int
            Number of columns of the targets, and of features of the last layer.
        seed : int
            Seed of everything random.
        """
        self.encoders = list(encoders)

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Return the presentations of a batch for training: one by default, and none to train without stimuli."""
        return [batch]

    def prediction_presentation(self, batch: Batch) -> Batch:
        """Return the presentation of a batch for prediction, with unknown targets."""
        return batch

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Return the ports (rows, ports) for the input of a layer, during training."""
        return self.encoders[layer].ports(batch.rows)

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Update one layer from a batch that it has just responded to.

        Called in worker threads for several layers at once: only the state of this layer may be changed.
        """

    def update_after_batch(self, batch: Batch) -> None:
        """Update all layers from a batch that has passed them; called in order, while no exchange is running."""

    def end_pass(self, number: int) -> None:
        """Update all layers at the end of a pass."""


class NoTraining(LocalTraining):
    """Random encoders, without any stimulus for training."""


def training_names() -> list[str]:
    """Return the names of all trainings."""
    return sorted(_TRAININGS)


def training_summaries() -> list[tuple[str, str]]:
    """Return the names of all trainings, each with a one-line description."""
    return [(name, _TRAININGS[name][1]) for name in training_names()]


def training_named(name: str, **settings: Any) -> LocalTraining:
    """Return a training by name, with the settings of its class.

    Raises
    ------
    ValueError
        If there is no training of that name, or it does not accept the settings.
    """
    if name not in _TRAININGS:
        close = get_close_matches(name, _TRAININGS, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(training_names())}"
        raise ValueError(f"training is {name!r}; {meant}")
    module, _, attribute = _TRAININGS[name][0].partition(":")
    make = getattr(import_module(f"inmateria.reservoir.layers.{module}"), attribute)
    try:
        made: LocalTraining = make(**settings)
    except TypeError as error:
        raise ValueError(f"training {name!r} does not accept these settings: {error}") from None
    return made
