"""How the layers of a physical stack are trained, behind one interface, each way found by its name.

No way here sends anything back through a substrate. A training sees what went into each layer's encoder, what
the encoder drove, and what the substrate answered; it moves the encoders. `stack` does the exchanging.
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
    "augmented-dfa": ("training_feedback:AugmentedDFA", "the output's error, projected at random to each layer"),
    "bottleneck": ("training_bottleneck:BottleneckTraining", "Gaussian bottleneck in closed form, pass by pass"),
    "bottleneck-in-turn": ("training_bottleneck:BottleneckInTurn", "the same, one layer after another"),
    "bottleneck-online": ("training_bottleneck:OnlineTraining", "bottleneck from the stream, in one pass"),
    "forward-forward": ("training_local:ForwardForward", "tell right labels from wrong ones, layer by layer"),
    "hsic": ("training_local:HSICTraining", "normalised HSIC bottleneck by gradient"),
    "local-ce": ("training_local:LocalCrossEntropy", "a linear classifier on every layer's ports"),
    "none": ("training:NoTraining", "random encoders"),
    "phsic": ("training_local:PHSICTraining", "plausible HSIC bottleneck by gradient, in small batches"),
    "physics-aware": ("training_feedback:PhysicsAware", "device forward, a fitted digital twin backward"),
    "spsa": ("training_feedback:SPSA", "all weights nudged at random, twice a batch"),
}


@dataclass(eq=False)
class Batch:
    """A batch on its way through the layers.

    Parameters
    ----------
    number : int
        Of the batch, within its pass.
    rows : ndarray of float, shape (rows, features)
        What goes into the next layer: all steps of all samples, one after another.
    lengths : ndarray of int, shape (samples,)
        Steps of each sample.
    targets : ndarray of float, shape (rows, targets)
        One-hot for classes.
    variant : int
        Which of several presentations of the batch this is.
    inputs, ports : list of ndarray
        What went into each layer it has passed, and what its encoder made of that.
    features : ndarray of float, shape (rows, features)
        What the last layer it has passed answered.
    """

    number: int
    rows: FloatArray
    lengths: IntArray
    targets: FloatArray
    variant: int = 0
    inputs: list[FloatArray] = field(default_factory=list)
    ports: list[FloatArray] = field(default_factory=list)
    features: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def again(self, variant: int) -> "Batch":
        """Make another presentation of the same batch, at the beginning of its way."""
        return replace(self, variant=variant, inputs=[], ports=[])


class LocalTraining:
    """A way of training encoders, which by itself leaves them at random.

    Attributes
    ----------
    passes : int
        How often all samples are presented while training.
    batch_size : int
        Rows in a batch, about: samples, or steps of series.
    in_turn : bool
        Layers are trained one after another, each from what the trained ones before it answered.
    """

    passes: int = 0
    batch_size: int = 128
    in_turn: ClassVar[bool] = False

    encoders: list[PortEncoder]

    def extra_inputs(self, targets: int) -> int:
        """Count the inputs of the first encoder beyond the features."""
        return 0

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train, before anything was presented.

        Parameters
        ----------
        encoders : sequence of PortEncoder
            One for each layer; that of the first knows mean and spread of its inputs.
        targets, features : int
            Columns of the targets, and of what the last layer answers.
        seed : int
            Of whatever is random.
        """
        self.encoders = list(encoders)

    def training_presentations(self, batch: Batch) -> list[Batch]:
        """Say how a batch is presented while training: once, unless told otherwise."""
        return [batch]

    def prediction_presentation(self, batch: Batch) -> Batch:
        """Say how a batch is presented to read it, its targets unknown."""
        return batch

    def encode(self, layer: int, batch: Batch) -> FloatArray:
        """Make ports (rows, ports) of what goes into a layer, while training."""
        return self.encoders[layer].ports(batch.rows)

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Learn in one layer from a batch that it has just answered.

        Called in a worker thread, for several layers at once: only what belongs to this layer may be touched.
        """

    def update_after_batch(self, batch: Batch) -> None:
        """Learn from a batch that has passed all layers; called in order, with no exchange under way."""

    def end_pass(self, number: int) -> None:
        """Learn from a whole pass."""


class NoTraining(LocalTraining):
    """Random encoders, and no stimulus spent on training them."""


def training_names() -> list[str]:
    """List the names of the ways to train."""
    return sorted(_TRAININGS)


def training_summaries() -> list[tuple[str, str]]:
    """List the ways to train, each with a line on it."""
    return [(name, _TRAININGS[name][1]) for name in training_names()]


def training_named(name: str, **settings: Any) -> LocalTraining:
    """Make a training by its name; settings are those of its class.

    Raises
    ------
    ValueError
        Where there is none of that name, or it does not take such settings.
    """
    if name not in _TRAININGS:
        close = get_close_matches(name, _TRAININGS, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(training_names())}"
        raise ValueError(f"there is no training {name!r}; {meant}")
    module, _, attribute = _TRAININGS[name][0].partition(":")
    make = getattr(import_module(f"inmateria.reservoir.layers.{module}"), attribute)
    try:
        made: LocalTraining = make(**settings)
    except TypeError as error:
        raise ValueError(f"training {name!r} does not take these settings: {error}") from None
    return made
