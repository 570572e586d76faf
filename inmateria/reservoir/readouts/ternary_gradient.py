r"""Ternary weights trained by gradient descent through the rounding, as if it were not there.

Hidden weights :math:`w` are rounded to :math:`s\,\mathrm{clip}(\mathrm{round}(w / s), -1, 1)`, with the mean size
:math:`s` of an output's weights, before each use, and receive the gradient of the rounded ones (straight-through
estimator: Y. Bengio et al., arXiv:1308.3432; scale by the mean size: S. Ma et al., arXiv:2402.17764). A second plane
rounds what the first one leaves. Classes are learned by cross-entropy, other targets by squared errors.
"""

import numpy as np
import numpy.typing as npt

from inmateria.blas_threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]

_BATCH = 128
_UPDATES = 5000
"""Number of updates, at least; also at least `_EPOCHS` passes over the samples."""
_EPOCHS = 40
_RATE = 3e-3
"""Learning rate of Adam (D. P. Kingma and J. Ba, arXiv:1412.6980), which falls to zero along half a cosine."""
_MOMENTUM, _DECAY = 0.9, 0.999


@one_blas_thread()
def trained_planes(
    X: FloatArray, Y: FloatArray, planes: int, alpha: float, *, is_classifier: bool, centred: bool, seed: int
) -> tuple[npt.NDArray[np.int8], FloatArray, FloatArray]:
    """Return planes (planes, outputs, features), scales (planes, outputs) and intercepts (outputs,).

    Parameters
    ----------
    X : ndarray of float, shape (samples, features)
    Y : ndarray of float, shape (samples, outputs)
        1 for the class of a sample and -1 for the others, or targets.
    planes : {1, 2}
    alpha : float
        Decay of the hidden weights.
    is_classifier : bool
        Minimise the cross-entropy of the outputs.
    centred : bool
        Learn an intercept.
    seed : int
        Of the first weights and the order of the samples.
    """
    generator = np.random.default_rng(seed)
    mean, size = (X.mean(axis=0) if centred else np.zeros(X.shape[1])), float(X.std()) or 1.0
    Z = (X - mean) / size
    level, spread = np.zeros(Y.shape[1]), np.ones(Y.shape[1])
    if not is_classifier:
        level = Y.mean(axis=0) if centred else level
        deviation = (Y - level).std(axis=0) if centred else np.sqrt(np.mean(Y**2, axis=0))
        spread = np.where(deviation > 0, deviation, 1.0)
        Y = (Y - level) / spread
    varies = np.ptp(X, axis=0) > 0 if centred else np.any(X != 0, axis=0)
    values = [generator.normal(0.0, 1.0 / np.sqrt(X.shape[1]), (Y.shape[1], X.shape[1])) * varies, np.zeros(Y.shape[1])]
    first, second = ([np.zeros_like(each) for each in values] for _ in range(2))
    batches = -(-len(Z) // _BATCH)
    passes = max(_EPOCHS, -(-_UPDATES // batches))
    total, update = passes * batches, 0
    for _ in range(passes):
        order = generator.permutation(len(Z))
        for begin in range(0, len(Z), _BATCH):
            now = order[begin : begin + _BATCH]
            update += 1
            rounded = np.einsum("po,pof->of", *reversed(_rounded(values[0], planes)))
            slope = _slope(Z[now] @ rounded.T + values[1], Y[now], is_classifier) / len(now)
            slopes = (slope.T @ Z[now] * varies + alpha * values[0], slope.sum(axis=0) * centred)
            rate = _RATE * 0.5 * (1.0 + np.cos(np.pi * update / total))
            for value, gradient, m, v in zip(values, slopes, first, second, strict=True):
                m += (1.0 - _MOMENTUM) * (gradient - m)
                v += (1.0 - _DECAY) * (gradient**2 - v)
                value -= rate * (m / (1.0 - _MOMENTUM**update)) / (np.sqrt(v / (1.0 - _DECAY**update)) + 1e-8)
    found, scales = _rounded(values[0], planes)
    scales = scales * spread / size
    coef = np.einsum("po,pof->of", scales, found)
    return found, scales, level + spread * values[1] - coef @ mean


def _rounded(weights: FloatArray, planes: int) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return planes and scales of hidden weights (outputs, features)."""
    left, found, scales = weights, [], []
    for _ in range(planes):
        size = np.abs(left).mean(axis=1)
        scale = np.where(size > 0, size, 1.0)
        plane = np.clip(np.round(left / scale[:, np.newaxis]), -1, 1)
        left = left - scale[:, np.newaxis] * plane
        found.append(plane.astype(np.int8))
        scales.append(size)
    return np.stack(found), np.stack(scales)


def _slope(outputs: FloatArray, wanted: FloatArray, is_classifier: bool) -> FloatArray:
    """Return the derivatives of the loss by the outputs, of each sample."""
    if not is_classifier:
        return outputs - wanted
    if wanted.shape[1] == 1:  # two classes: the output is the difference of their logits
        logistic: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(outputs, -500, 500)))
        return logistic - (wanted > 0)
    chances: FloatArray = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return chances - (wanted > 0)
