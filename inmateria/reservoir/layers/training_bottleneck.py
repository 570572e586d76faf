"""Encoders by the Gaussian bottleneck of each layer, from second moments in closed form or from the stream."""

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
"""So large that every direction has a weight; their number is limited by the ports."""


@dataclass(kw_only=True)
class BottleneckTraining(LocalTraining):
    """Gaussian bottlenecks of all layers at once, solved for at the end of each pass from its covariances.

    After the first pass the first encoder is final, after the second pass the second, and so on: the default is one
    pass for each layer. Ports beyond the informative directions get the principal components of the rest, so that a
    later layer can use what this one cannot.

    Parameters
    ----------
    passes : int
        Number of passes over the samples; 0 for as many as there are layers.
    batch_size : int
        Rows in a stimulus: samples, or steps of series.
    gain : float, optional
        Standard deviation of each port before the tanh; that of the stack's random encoders by default.
    ridge : float
        Regularisation of the covariances, as a fraction of the mean variance.
    """

    passes: int = 0
    batch_size: int = 128
    gain: float | None = None
    ridge: float = 1e-2

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self.passes = self.passes or len(self.encoders)
        self._targets = targets
        self._forget()

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Add inputs and targets of a layer to its covariances."""
        self._gathered[layer].add(batch.inputs[layer], batch.targets)

    def end_pass(self, number: int) -> None:
        """Solve for all encoders."""
        for encoder, gathered in zip(self.encoders, self._gathered, strict=True):
            solve(encoder, gathered, encoder.gain if self.gain is None else self.gain, self.ridge)
        self._forget()

    def _forget(self) -> None:
        self._gathered = [StreamingCovariance(each.shape[1], self._targets) for each in self.encoders]


class BottleneckInTurn(BottleneckTraining):
    """Gaussian bottlenecks of one layer after another, each from the features of the trained layers before it.

    Every sample is presented to every layer once, the least number of stimuli; but each device waits until the one
    before it has responded to all samples.
    """

    in_turn: ClassVar[bool] = True

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self.passes = 0

    def solve(self, layer: int, rows: FloatArray, targets: FloatArray) -> None:
        """Solve for the encoder of a layer from all its inputs (rows, inputs)."""
        encoder = self.encoders[layer]
        gathered = StreamingCovariance(encoder.shape[1], self._targets)
        gathered.add(rows, targets)
        solve(encoder, gathered, encoder.gain if self.gain is None else self.gain, self.ridge)


def solve(encoder: PortEncoder, gathered: StreamingCovariance, gain: float, ridge: float) -> None:
    """Set an encoder to the bottleneck for given covariances, with the same standard deviation for every port."""
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
    """Bottlenecks of all layers from the stream, solved for again after every batch (`OnlineBottleneck`).

    Parameters
    ----------
    passes : int
        Number of passes over the samples.
    batch_size : int
        Rows in a stimulus: samples, or steps of series.
    gain : float, optional
        Standard deviation of each port before the tanh; that of the stack's random encoders by default.
    ridge : float
        Regularisation of the covariances, as a fraction of the mean variance.
    forgetting : float
        Weight of a sample relative to a sample of the next batch; less than 1, because the inputs of a layer change
        while the encoders before it are trained.
    """

    passes: int = 1
    batch_size: int = 64
    gain: float | None = None
    ridge: float = 0.1
    forgetting: float = 0.9

    def begin(self, encoders: Sequence[PortEncoder], targets: int, features: int, seed: int) -> None:
        """Set the encoders to train."""
        super().begin(encoders, targets, features, seed)
        self._online = [
            OnlineBottleneck(encoder.shape[0], ridge=self.ridge, forgetting=self.forgetting, seed=seed + layer)
            for layer, encoder in enumerate(self.encoders)
        ]

    def update_layer(self, layer: int, batch: Batch) -> None:
        """Solve for the encoder of a layer with one more batch."""
        encoder, online = self.encoders[layer], self._online[layer]
        # Mean and scale are set by the first batch, so that all batches are in the same units.
        if not hasattr(online, "components_") and layer:
            encoder.follow(batch.inputs[layer])
        z = encoder.standardised(batch.inputs[layer])
        online.partial_fit(z, batch.targets)
        gain = encoder.gain if self.gain is None else self.gain
        encoder.weight = gain * online.components_
        encoder.bias = -encoder.weight @ online.mean_
