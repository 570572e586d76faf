"""Adam: gradient descent with a step of its own for every weight (Kingma and Ba, ICLR 2015)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_MOMENTUM, _MEMORY, _TINY = 0.9, 0.999, 1e-8


class Adam:
    """Moves some arrays in place against their gradients.

    Parameters
    ----------
    arrays : sequence of ndarray of float
        What is trained.
    learning_rate : float
        Step of a weight whose gradient keeps its sign.
    """

    def __init__(self, arrays: Sequence[FloatArray], learning_rate: float) -> None:
        self._arrays = list(arrays)
        self._first = [np.zeros_like(each) for each in self._arrays]
        self._second = [np.zeros_like(each) for each in self._arrays]
        self.learning_rate = learning_rate
        self._steps = 0

    def step(self, gradients: Sequence[FloatArray]) -> None:
        """Take one step, given the gradient by each array."""
        self._steps += 1
        rate = self.learning_rate * np.sqrt(1.0 - _MEMORY**self._steps) / (1.0 - _MOMENTUM**self._steps)
        for array, first, second, gradient in zip(self._arrays, self._first, self._second, gradients, strict=True):
            first += (1.0 - _MOMENTUM) * (gradient - first)
            second += (1.0 - _MEMORY) * (gradient**2 - second)
            array -= rate * first / (np.sqrt(second) + _TINY)


def cross_entropy(logits: FloatArray, targets: FloatArray) -> tuple[float, FloatArray]:
    """Give the mean cross-entropy (nats) of softmax outputs, and its gradient by the logits.

    Parameters
    ----------
    logits, targets : ndarray of float, shape (samples, classes)
        Targets sum to one in each row.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponential = np.exp(shifted)
    total = exponential.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - (targets * shifted).sum(axis=1)))
    gradient: FloatArray = (exponential / total - targets) / len(logits)
    return loss, gradient
