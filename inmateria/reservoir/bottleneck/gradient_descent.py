"""Gradient descent with Adam, and the cross-entropy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_MOMENTUM, _MEMORY, _TINY = 0.9, 0.999, 1e-8


class Adam:
    r"""Adam (D. P. Kingma and J. Ba, ICLR 2015): gradient descent with an adaptive step for every weight.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + 10^{-8}}

    Parameters
    ----------
    arrays : sequence of ndarray of float
        Weights, updated in place.
    learning_rate : float
        :math:`\eta`, the step of a weight whose gradient is constant.
    """

    def __init__(self, arrays: Sequence[FloatArray], learning_rate: float) -> None:
        self._arrays = list(arrays)
        self._first = [np.zeros_like(each) for each in self._arrays]
        self._second = [np.zeros_like(each) for each in self._arrays]
        self.learning_rate = learning_rate
        self._steps = 0

    def step(self, gradients: Sequence[FloatArray]) -> None:
        """Update the arrays, given the gradient with respect to each."""
        self._steps += 1
        rate = self.learning_rate * np.sqrt(1.0 - _MEMORY**self._steps) / (1.0 - _MOMENTUM**self._steps)
        for array, first, second, gradient in zip(self._arrays, self._first, self._second, gradients, strict=True):
            first += (1.0 - _MOMENTUM) * (gradient - first)
            second += (1.0 - _MEMORY) * (gradient**2 - second)
            array -= rate * first / (np.sqrt(second) + _TINY)


def cross_entropy(logits: FloatArray, targets: FloatArray) -> tuple[float, FloatArray]:
    r"""Return the mean cross-entropy (nats) of softmax outputs, and its gradient with respect to the logits.

    .. math:: L = -\frac{1}{n} \sum_i \sum_c t_{ic} \log \mathrm{softmax}(z_i)_c

    Parameters
    ----------
    logits, targets : ndarray of float, shape (samples, classes)
        Each row of `targets` sums to one.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponential = np.exp(shifted)
    total = exponential.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - (targets * shifted).sum(axis=1)))
    gradient: FloatArray = (exponential / total - targets) / len(logits)
    return loss, gradient
