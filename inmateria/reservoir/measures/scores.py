"""Scores of predictions: normalised errors and accuracy.

Rows with a target of NaN are left out. A prediction that is not finite raises an error.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def nmse(target: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    r"""Normalised mean squared error: 0 is perfect, 1 is predicting the mean.

    .. math:: \mathrm{NMSE} = \frac{\langle (y - \hat y)^2 \rangle}{\mathrm{var}(y)}

    Parameters
    ----------
    target, predicted : array_like of float, shape (steps,) or (steps, outputs)
        Of several outputs, the mean of each one's error.

    Raises
    ------
    ValueError
        Where shapes differ, a prediction is not finite, or a target is constant.
    """
    return float(_nmse_of_each(target, predicted).mean())


def nrmse(target: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    r"""Normalised root mean squared error: 0 is perfect, 1 is predicting the mean.

    .. math:: \mathrm{NRMSE} = \sqrt{\frac{\langle (y - \hat y)^2 \rangle}{\mathrm{var}(y)}}

    Some libraries divide by the variance or by the range under the same name; their values differ.

    Parameters
    ----------
    target, predicted : array_like of float, shape (steps,) or (steps, outputs)
        Of several outputs, the mean of each one's error.

    Raises
    ------
    ValueError
        Where shapes differ, a prediction is not finite, or a target is constant.
    """
    return float(np.sqrt(_nmse_of_each(target, predicted)).mean())


def accuracy(target: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    """Fraction of correctly predicted labels.

    Parameters
    ----------
    target, predicted : array_like, shape (samples,)
        Labels of any type.
    """
    wanted, named = np.asarray(target), np.asarray(predicted)
    if wanted.shape != named.shape or wanted.ndim != 1 or not wanted.size:
        raise ValueError(f"labels have shapes {wanted.shape} and {named.shape}; both must be (samples,), at least one")
    return float(np.mean(wanted == named))


def _nmse_of_each(target: npt.ArrayLike, predicted: npt.ArrayLike) -> FloatArray:
    Y, P = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if Y.shape != P.shape or Y.ndim not in (1, 2) or not Y.size:
        raise ValueError(
            f"target and prediction have shapes {Y.shape} and {P.shape}; both must be (steps,) or (steps, outputs)"
        )
    if not np.isfinite(P).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(P))} of {P.size} predictions are not finite")
    Y, P = Y.reshape(len(Y), -1), P.reshape(len(P), -1)
    asked = ~np.isnan(Y).any(axis=1)
    if not asked.any():
        raise ValueError("every target is NaN; at least two steps need a target")
    Y, P = Y[asked], P[asked]
    variance: FloatArray = Y.var(axis=0)
    if not (variance > 0).all() or not np.isfinite(variance).all():
        column = int(np.flatnonzero(~((variance > 0) & np.isfinite(variance)))[0])
        raise ValueError(
            f"target {column} has variance {variance[column]:g}; a normalised error needs a finite one above 0"
        )
    errors: FloatArray = ((Y - P) ** 2).mean(axis=0) / variance
    return errors
