"""Kernel rank, generalisation rank and separation: how reservoir states distinguish input streams.

All three are measured on the final states after many input streams, each of which starts at rest. A good reservoir
separates different streams (high kernel rank) and maps similar streams to similar states (low generalisation rank):
R. Legenstein and W. Maass, Neural Netw. 20, 323 (2007); L. Büsing, B. Schrauwen and R. Legenstein, Neural Comput. 22,
1272 (2010).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from inmateria.one_line import one_line

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StateRank:
    """Rank of a matrix of states.

    Parameters
    ----------
    rank : int
        Number of singular values above the threshold.
    threshold : float
        Relative to the largest singular value; state it with the rank.
    singular_values : ndarray of float
        All singular values in descending order.
    """

    rank: int
    threshold: float
    singular_values: FloatArray

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Separation:
    """Distances of final states compared with distances of the input streams.

    Parameters
    ----------
    input_distances, state_distances : ndarray of float, shape (pairs,)
        Root mean square difference of two streams, over steps and channels, and of their states, over features.
    ratio : float
        Mean distance of states divided by the mean distance of inputs, in units of states per unit of inputs.
    rank_correlation : float
        Spearman's rank correlation of the two distances: 1 if a larger distance of streams always gives a larger
        distance of states.
    """

    input_distances: FloatArray
    state_distances: FloatArray
    ratio: float
    rank_correlation: float

    __repr__ = one_line


def kernel_rank(states: npt.ArrayLike, threshold: float = 1e-3) -> StateRank:
    """Return the rank of the states after different input streams.

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        Final state after each stream, with at least as many different streams (`different_inputs`) as features. All
        features in the same unit: they are neither centred nor scaled.
    threshold : float
        Smallest singular value that counts, as a fraction of the largest. For a device, choose it above the noise, and
        state it with the rank.

    Returns
    -------
    StateRank
    """
    return _state_rank(states, threshold)


def generalisation_rank(states: npt.ArrayLike, threshold: float = 1e-3) -> StateRank:
    """Return the rank of the states after similar input streams; lower is better.

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        Final state after each of many similar streams (`alike_inputs`): with a common end, or noisy copies of one.
    threshold : float
        See `kernel_rank`; use the same for both ranks.

    Returns
    -------
    StateRank
    """
    return _state_rank(states, threshold)


def separation(states: npt.ArrayLike, inputs: npt.ArrayLike) -> Separation:
    """Compare the distances of final states with the distances of their input streams.

    Separation property: W. Maass, T. Natschläger and H. Markram, Neural Comput. 14, 2531 (2002).

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        Final state after each stream.
    inputs : array_like of float, shape (streams, steps) or (streams, steps, channels)

    Returns
    -------
    Separation

    Raises
    ------
    ValueError
        If there are fewer than three streams, or all are equal.
    """
    X, u = _matrix(states, "states"), np.asarray(inputs, dtype=np.float64)
    if u.ndim not in (2, 3) or len(u) != len(X) or 0 in u.shape or len(X) < 3:
        raise ValueError(
            f"states have shape {X.shape} and inputs {u.shape}; they must be (streams, features) and (streams, steps) "
            "or (streams, steps, channels), of three streams or more"
        )
    u = _matrix(u.reshape(len(u), -1), "inputs")
    of_inputs, of_states = pdist(u) / np.sqrt(u.shape[1]), pdist(X) / np.sqrt(X.shape[1])
    if of_inputs.max() == 0:
        raise ValueError("all streams are equal; at least two must differ")
    flat = np.ptp(of_inputs) == 0 or np.ptp(of_states) == 0
    correlation = 0.0 if flat else float(spearmanr(of_inputs, of_states).statistic)
    return Separation(of_inputs, of_states, float(of_states.mean() / of_inputs.mean()), correlation)


def different_inputs(streams: int, steps: int, seed: int, low: float = -1.0, high: float = 1.0) -> FloatArray:
    """Draw independent random streams, for `kernel_rank`.

    Returns
    -------
    ndarray of float, shape (streams, steps)
        Independent, uniform from `low` to `high`.
    """
    return np.random.default_rng(seed).uniform(low, high, (streams, steps))


def alike_inputs(streams: int, steps: int, common: int, seed: int, low: float = -1.0, high: float = 1.0) -> FloatArray:
    """Draw random streams with a common end, for `generalisation_rank`.

    Parameters
    ----------
    common : int
        Number of steps at the end that all streams share.

    Returns
    -------
    ndarray of float, shape (streams, steps)
    """
    if not 0 <= common <= steps:
        raise ValueError(f"common is {common} for streams of {steps} steps; it must be from 0 to {steps}")
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(low, high, (streams, steps))
    inputs[:, steps - common :] = rng.uniform(low, high, common)
    return inputs


def _state_rank(states: npt.ArrayLike, threshold: float) -> StateRank:
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold is {threshold}; it must be a fraction of the largest singular value, between 0 and 1"
        )
    singular = np.asarray(np.linalg.svd(_matrix(states, "states"), compute_uv=False), dtype=np.float64)
    return StateRank(int(np.count_nonzero(singular > threshold * singular[0])), threshold, singular)


def _matrix(given: npt.ArrayLike, name: str) -> FloatArray:
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} have shape {values.shape}; they must be (streams, features)")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{name} are {values[row, column]} in stream {row}, column {column}; all must be finite")
    return values
