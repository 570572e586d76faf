"""Trainable encoder in front of a physical layer: a linear map to its ports, bounded by a tanh."""

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Channel

FloatArray = npt.NDArray[np.float64]

_SLOWEST = 0.02
"""Least weight of a batch in the running mean and variance of the inputs."""


class PortEncoder:
    r"""Map from inputs to ports, :math:`\tanh(W z + b)` of the standardised inputs :math:`z`, between -1 and 1.

    Weights are random at first, so that a layer whose encoder is not trained has a random mask.

    Parameters
    ----------
    inputs, ports : int
    gain : float
        Standard deviation of a port before the tanh, with random weights.
    generator : numpy.random.Generator
        Generator of the random weights.

    Attributes
    ----------
    weight : ndarray of float, shape (ports, inputs)
        For standardised inputs.
    bias : ndarray of float, shape (ports,)
    mean, scale : ndarray of float, shape (inputs,)
        Mean and standard deviation of the inputs; infinite for inputs that do not vary.
    """

    def __init__(self, inputs: int, ports: int, gain: float, generator: np.random.Generator) -> None:
        self.weight: FloatArray = gain * generator.standard_normal((ports, inputs)) / np.sqrt(inputs)
        self.bias: FloatArray = np.zeros(ports)
        self.gain = gain
        self.mean: FloatArray = np.zeros(inputs)
        self.scale: FloatArray = np.ones(inputs)
        self._square: FloatArray = np.zeros(inputs)
        self._batches = 0
        self.settled = False
        """Whether mean and standard deviation of the inputs are known."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of ports and number of inputs."""
        ports, inputs = self.weight.shape
        return ports, inputs

    def standardised(self, rows: FloatArray) -> FloatArray:
        """Return inputs (rows, inputs) minus their mean, divided by their standard deviation."""
        z: FloatArray = (rows - self.mean) / self.scale
        return z

    def ports(self, rows: FloatArray) -> FloatArray:
        """Map inputs (rows, inputs) to ports (rows, ports) between -1 and 1."""
        return self.ports_of(self.standardised(rows))

    def ports_of(self, z: FloatArray) -> FloatArray:
        """Map standardised inputs to ports."""
        given: FloatArray = np.tanh(z @ self.weight.T + self.bias)
        return given

    def follow(self, rows: FloatArray) -> None:
        """Update the running mean and standard deviation of the inputs with a batch."""
        self._batches += 1
        share = max(1.0 / self._batches, _SLOWEST)
        self.mean = (1.0 - share) * self.mean + share * rows.mean(axis=0)
        self._square = (1.0 - share) * self._square + share * (rows**2).mean(axis=0)
        self._rescale(self._square - self.mean**2, self._square)

    def standardise_by(self, mean: FloatArray, variance: FloatArray) -> None:
        """Set mean and variance of the inputs."""
        self.mean = mean.copy()
        self._square = variance + mean**2
        self._rescale(variance, self._square)

    def _rescale(self, variance: FloatArray, square: FloatArray) -> None:
        self.settled = True
        # Smaller variances are rounding errors.
        self.scale = np.sqrt(np.where(variance > 1e-12 * square, variance, np.inf))


def drive_of(ports: FloatArray, inputs: tuple[Channel, ...], amplitude: float) -> FloatArray:
    """Scale ports from -1 to 1 to a drive in the inputs' units.

    Parameters
    ----------
    ports : ndarray of float, shape (rows, inputs)
    inputs : tuple of Channel
    amplitude : float
        Fraction of the range around its middle; 1 drives each input to its limits.
    """
    low = np.array([channel.low for channel in inputs])
    high = np.array([channel.high for channel in inputs])
    drive: FloatArray = np.clip(0.5 * (low + high) + 0.5 * amplitude * (high - low) * ports, low, high)
    return drive
