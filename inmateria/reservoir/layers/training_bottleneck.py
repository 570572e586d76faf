"""Encoders from second moments alone: the Gaussian bottleneck of each layer, in closed form or from the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.bottleneck.covariance import StreamingCovariance
from inmateria.reservoir.bottleneck.gaussian import GaussianBottleneck
from inmateria.reservoir.bottleneck.online import OnlineBottleneck
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch, LocalTraining

FloatArray = npt.NDArray[np.float64]

_BETA = 1e6
"""Every direction counts: how many there can be is set by the ports."""


@dataclass(kw_only=True)
class BottleneckTraining(LocalTraining):
    """All layers at once: covariances are gathered during a pass, and all encoders are solved for at its end.

    After the first pass the first encoder is final, after the second pass the second, and so on: the default is
    one pass for each layer. Ports beyond the directions that know the targets get the principal components of
    what these leave, so that a later layer can still find what this one could not use.

    Parameters
    ----------
    passes : int
        Of all samples; 0 means as many as there are layers.
    batch_size : int
        Rows in a stimulus: samples, or steps of series.
    gain : float, optional
        Standard deviation of each port before the tanh; that of the stack's random encoders by default.
    ridge : float
        Added to the variances, as a fraction of their mean.
    """

    passes: int = 0
    batch_size: int = 128
    gain: float | None = None
    ridge: float = 1e-2

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self.passes = self.passes or len(self.encoders)
        self._targets = targets
        self._forget()

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Gather what went in, with its targets."""
        self._gathered[layer].add(batch.inputs[layer], batch.targets)

    def end_pass(self, number: int) -> None:
        """Solve for every encoder."""
        for encoder, gathered in zip(self.encoders, self._gathered, strict=True):
            solve(encoder, gathered, encoder.gain if self.gain is None else self.gain, self.ridge)
        self._forget()

    def _forget(self) -> None:
        self._gathered = [StreamingCovariance(each.shape[1], self._targets) for each in self.encoders]


class BottleneckInTurn(BottleneckTraining):
    """One layer after another: each is solved for from what the layers before it answer, then asked once.

    Every layer sees every sample once, so this spends the fewest stimuli; but a device waits for the one
    before it to have answered everything.
    """

    in_turn: ClassVar[bool] = True

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self.passes = 0

    def solve(self, layer: int, rows: FloatArray, targets: FloatArray) -> None:
        """Solve for the encoder of a layer from all that goes into it."""
        encoder = self.encoders[layer]
        gathered = StreamingCovariance(encoder.shape[1], self._targets)
        gathered.add(rows, targets)
        solve(encoder, gathered, encoder.gain if self.gain is None else self.gain, self.ridge)


def solve(encoder: PortEncoder, gathered: StreamingCovariance, gain: float, ridge: float) -> None:
    """Set an encoder to the bottleneck of gathered inputs and targets, every port of one spread."""
    ports, inputs = encoder.shape
    Cx, Cxy, Cy = gathered.blocks
    variance = np.diag(Cx).copy()
    encoder.standardise_by(gathered.mean[:inputs], variance)
    by_scale = 1.0 / encoder.scale
    Cz = Cx * by_scale[:, np.newaxis] * by_scale
    bottleneck = GaussianBottleneck(_BETA, ports, "pca", ridge=ridge)
    bottleneck.fit_covariances(Cz, Cxy * by_scale[:, np.newaxis], Cy)
    rows = bottleneck.components_
    deviation = np.sqrt(np.maximum(np.einsum("ij,ij->i", rows @ Cz, rows), 0.0))
    encoder.weight = gain * rows / np.where(deviation > 0, deviation, np.inf)[:, np.newaxis]
    encoder.bias = np.zeros(ports)


@dataclass(kw_only=True)
class OnlineTraining(LocalTraining):
    """All layers from the stream: after every batch each encoder is solved for anew, by ridge to the targets.

    Parameters
    ----------
    passes : int
        Of all samples.
    batch_size : int
        Rows in a stimulus: samples, or steps of series.
    gain : float, optional
        Standard deviation of each port before the tanh; that of the stack's random encoders by default.
    ridge : float
        Added to the variances, as a fraction of their mean.
    forgetting : float
        Weight of a sample relative to one of the next batch: what came before must be forgotten, because the
        encoders before a layer have moved since.
    """

    passes: int = 1
    batch_size: int = 64
    gain: float | None = None
    ridge: float = 0.1
    forgetting: float = 0.9

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Take the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._online = [
            OnlineBottleneck(encoder.shape[0], ridge=self.ridge, forgetting=self.forgetting, seed=seed + layer)
            for layer, encoder in enumerate(self.encoders)
        ]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Solve for the encoder of a layer with one more batch."""
        encoder, online = self.encoders[layer], self._online[layer]
        # Standardised by what is known when training begins, so that old and new batches are in the same units.
        if not hasattr(online, "components_") and layer:
            encoder.follow(batch.inputs[layer])
        z = encoder.standardised(batch.inputs[layer])
        online.partial_fit(z, batch.targets)
        gain = encoder.gain if self.gain is None else self.gain
        encoder.weight = gain * online.components_
        encoder.bias = -encoder.weight @ online.mean_
