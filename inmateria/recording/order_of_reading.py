"""Order of reading: whether some readings of a recording were made before the input of their row was set.

An instrument that scans channels while it sets the next input can write into one row some readings of the present
input and others of the input before. A channel read too early looks as if it remembered one step.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from inmateria.one_line import one_line

__all__ = ["ReadingOrder", "ReadingOrderWarning", "reading_order", "realigned", "warn_of_reading_order"]

FloatArray = npt.NDArray[np.float64]

_DEGREE = 3
_FEWEST_STEPS = 100
_STEPS_A_TERM = 10
_DEPENDENCE = 0.01
_FOLLOWED = 0.01
_NAMED = 8


class ReadingOrderWarning(UserWarning):
    """Some channels follow the input of the step before better than the present one."""


@dataclass(frozen=True, eq=False)
class ReadingOrder:
    """How well each channel follows the present input, and the one before.

    Parameters
    ----------
    present, previous : ndarray of float, shape (channels,)
        Squared multiple correlation of each channel with a cubic polynomial of the present inputs, and of those one
        step before.
    z : ndarray of float, shape (channels,)
        How much smaller the mean squared residual after the previous input is than that after the present one, in
        standard errors; 0 where it is not smaller.
    threshold : float
        Value of `z` above which a channel counts as one that follows the previous input.
    judged : bool
        Whether there is a judgement: not of less than 100 steps, nor of inputs that depend on those before them,
        because a channel with a delay of its own follows the previous of such inputs, too.
    """

    present: FloatArray
    previous: FloatArray
    z: FloatArray
    threshold: float
    judged: bool

    __repr__ = one_line

    @property
    def behind(self) -> tuple[int, ...]:
        """Channels that follow the previous input better than the present one, by number from 0."""
        found = (self.z > self.threshold) & (self.previous > _FOLLOWED)
        return tuple(int(channel) for channel in np.flatnonzero(found))


def reading_order(readings: npt.ArrayLike, inputs: npt.ArrayLike, *, significance: float = 1e-3) -> ReadingOrder:
    r"""Find channels that follow the input of the step before better than the present one.

    Parameters
    ----------
    readings : array_like of float, shape (steps, channels)
        Row t is said to be measured during or after input t. All values are finite.
    inputs : array_like of float, shape (steps,) or (steps, inputs)
        Random values that are independent from step to step; of others there is no judgement.
    significance : float
        Probability of finding any such channel among channels that follow both equally well; it is smaller for
        channels that follow the present input better.

    Returns
    -------
    ReadingOrder

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, or the significance is no probability.

    Notes
    -----
    Let :math:`e_{0,t}` be the residual of a channel after regression on a cubic polynomial of the inputs of step t, and
    :math:`e_{1,t}` that for step t - 1. The mean of :math:`d_t = e_{0,t}^2 - e_{1,t}^2` is compared with its standard
    error, as Q. H. Vuong (Econometrica 57, 307 (1989)) does for models that are not nested; the standard error allows
    for correlation of nearby steps (W. K. Newey and K. D. West, Econometrica 55, 703 (1987)). The threshold is that of
    a normal distribution at the significance divided by the number of channels.

    Data alone cannot tell a channel that was read too early from matter that hands its input on a step later, as a
    delay line or a unit of an echo-state network does. A leaky integrator is no such matter: the present input has the
    largest weight.
    """
    X, u = np.asarray(readings, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    if X.ndim != 2 or u.ndim not in (1, 2) or len(X) != len(u):
        raise ValueError(
            f"readings have shape {X.shape} and inputs {u.shape}; they must be (steps, channels) and (steps,) or "
            "(steps, inputs), of as many steps"
        )
    if not (np.isfinite(X).all() and np.isfinite(u).all()):
        raise ValueError("readings and inputs must be finite; leave out channels and steps that were not measured")
    if not 0 < significance < 1:
        raise ValueError(f"significance is {significance}; it must be a probability between 0 and 1")
    channels = X.shape[1]
    threshold = float(-ndtri(significance / max(1, channels)))
    u = u.reshape(len(u), -1)
    u = u[:, u.std(axis=0) > 1e-13 * np.abs(u).max(axis=0, initial=0.0)] if len(u) else u
    terms = 0
    for degree in range(_DEGREE, 0, -1):
        if _STEPS_A_TERM * degree * u.shape[1] <= len(u):
            terms = degree
            break
    nothing = np.zeros(channels)
    if len(u) < _FEWEST_STEPS or not terms or not u.shape[1] or not channels or not _independent(u):
        return ReadingOrder(nothing, nothing, nothing, threshold, judged=False)
    X = X[1:] - X[1:].mean(axis=0)
    size = np.einsum("ij,ij->j", X, X)
    moving = size > len(X) * (1e-13 * np.abs(np.asarray(readings, dtype=np.float64)[0])) ** 2
    bases = [_orthonormal_powers(rows, terms) for rows in (u[1:], u[:-1])]
    parts = [basis.T @ X for basis in bases]
    present, previous = (np.divide((part**2).sum(axis=0), size, out=np.zeros(channels), where=moving) for part in parts)
    z = np.zeros(channels)
    some = np.flatnonzero((previous > present) & moving)
    if some.size:
        after_present, after_previous = (
            X[:, some] - basis @ part[:, some] for basis, part in zip(bases, parts, strict=True)
        )
        z[some] = _in_standard_errors(after_present**2 - after_previous**2)
    return ReadingOrder(present, previous, z, threshold, judged=True)


def realigned(readings: npt.ArrayLike, inputs: npt.ArrayLike, behind: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Return readings and inputs with some channels moved to the row of the input that they follow.

    Parameters
    ----------
    readings : array_like of float, shape (steps, channels)
    inputs : array_like of float, shape (steps,) or (steps, inputs)
    behind : sequence of int
        Channels that follow the previous input, as in `ReadingOrder.behind`; their value of step t + 1 becomes that of
        step t.

    Returns
    -------
    (ndarray of float, shape (steps - 1, channels), ndarray of float, as inputs without the last step)

    Raises
    ------
    ValueError
        If shapes do not match, or there is no such channel.
    """
    X, u = np.asarray(readings, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    if X.ndim != 2 or u.ndim not in (1, 2) or len(X) != len(u) or len(X) < 2:
        raise ValueError(
            f"readings have shape {X.shape} and inputs {u.shape}; they must be (steps, channels) and (steps,) or "
            "(steps, inputs), of as many steps, 2 or more"
        )
    chosen = list(behind)
    if wrong := [channel for channel in chosen if not 0 <= channel < X.shape[1]]:
        raise ValueError(f"behind names channel {wrong[0]}; there are {X.shape[1]}, by number from 0")
    moved = X[:-1].copy()
    moved[:, chosen] = X[1:, chosen]
    return moved, u[:-1]


def warn_of_reading_order(found: ReadingOrder, names: Sequence[str] | None = None, *, stacklevel: int = 2) -> None:
    """Warn if channels follow the previous input better, naming them.

    Parameters
    ----------
    found : ReadingOrder
    names : sequence of str, optional
        Names of the channels; their numbers by default.
    stacklevel : int
        See `warnings.warn`; 2 is the caller.
    """
    if found.behind:
        warnings.warn(described(found, names), ReadingOrderWarning, stacklevel=stacklevel + 1)


def described(found: ReadingOrder, names: Sequence[str] | None = None) -> str:
    """Return a sentence that names the channels which follow the previous input better."""
    named = [str(channel) if names is None else names[channel] for channel in found.behind]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return (
        f"{len(named)} of {len(found.z)} channels ({', '.join(named[:_NAMED])}{more}) follow the input of the step "
        "before better than that of their own step. If they were read before the input was set, a step of their "
        "memory is the order of reading: compare with `realigned`. A delay line or a digital network does so too"
    )


def _independent(u: FloatArray) -> bool:
    """Return whether inputs hardly depend on those of the step before."""
    centred = u - u.mean(axis=0)
    size = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    together = centred[1:].T @ centred[:-1] / np.outer(size, size)
    return bool((together**2).max() < _DEPENDENCE + _STEPS_A_TERM / len(u))


def _orthonormal_powers(u: FloatArray, degree: int) -> FloatArray:
    """Return an orthonormal basis of the centred powers of the inputs, shape (steps, at most degree * inputs)."""
    z = (u - u.mean(axis=0)) / np.maximum(u.std(axis=0), 1e-300)
    powers = np.hstack([z**power for power in range(1, degree + 1)])
    left, singular, _ = np.linalg.svd(powers - powers.mean(axis=0), full_matrices=False)
    basis: FloatArray = left[:, singular > 1e-8 * singular[0]]
    return basis


def _in_standard_errors(d: FloatArray) -> FloatArray:
    """Return the mean of each column in standard errors that allow for correlation of nearby rows."""
    steps = len(d)
    mean = d.mean(axis=0)
    d = d - mean
    variance = np.einsum("ij,ij->j", d, d)
    reach = int(4 * (steps / 100) ** (2 / 9))
    for lag in range(1, reach + 1):
        variance += 2 * (1 - lag / (reach + 1)) * np.einsum("ij,ij->j", d[lag:], d[:-lag])
    error = np.sqrt(np.maximum(variance, 0.0)) / steps
    z: FloatArray = np.divide(mean, error, out=np.full_like(mean, np.inf), where=error > 0)
    return z
