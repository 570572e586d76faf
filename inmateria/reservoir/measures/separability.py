"""How a reservoir tells inputs apart: kernel rank, generalisation rank, and the distances of states.

All three are measured on the states that many input streams, each begun at rest, leave behind. A good
reservoir tells different streams apart (high kernel rank) and does not mind what should not matter (low
generalisation rank). Legenstein and Maass, Neural Netw. 20, 323 (2007); Büsing, Schrauwen and Legenstein,
Neural Comput. 22, 1272 (2010).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StateRank:
    """Rank of a matrix of states.

    Parameters
    ----------
    rank : int
        Singular values above the threshold.
    threshold : float
        Relative to the largest singular value; a rank means nothing without it.
    singular_values : ndarray of float
        All of them, falling: to see what another threshold would give.
    """

    rank: int
    threshold: float
    singular_values: FloatArray


@dataclass(frozen=True, eq=False)
class Separation:
    """How far apart the states are that streams leave behind, for how far apart the streams were.

    Parameters
    ----------
    input_distances, state_distances : ndarray of float, shape (pairs,)
        Root mean square difference of two streams, over steps and channels, and of their states, over features.
    ratio : float
        Mean distance of states divided by that of inputs, in the units of states for one of inputs.
    rank_correlation : float
        Spearman's, between both distances: 1 where streams farther apart always leave states farther apart.
    """

    input_distances: FloatArray
    state_distances: FloatArray
    ratio: float
    rank_correlation: float


def kernel_rank(states: npt.ArrayLike, threshold: float = 1e-3) -> StateRank:
    """Count the directions in which different input streams leave the states.

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        After each of at least as many different streams (`different_inputs`) as there are features. Features
        in one unit: they are neither centred nor scaled here.
    threshold : float
        Singular values count that are more than this part of the largest. Noise of a device lies above what
        rounding would allow: choose it above the noise, and state it with the rank.

    Returns
    -------
    StateRank
    """
    return _state_rank(states, threshold)


def generalisation_rank(states: npt.ArrayLike, threshold: float = 1e-3) -> StateRank:
    """Count the directions in which streams that should count as one leave the states; less is better.

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        After each of many streams that are alike (`alike_inputs`): of the same end, or noisy copies of one.
    threshold : float
        As of `kernel_rank`, and the same for both.

    Returns
    -------
    StateRank
    """
    return _state_rank(states, threshold)


def separation(states: npt.ArrayLike, inputs: npt.ArrayLike) -> Separation:
    """Compare the distances of states with those of the streams that led to them.

    Separation property: Maass, Natschläger and Markram, Neural Comput. 14, 2531 (2002).

    Parameters
    ----------
    states : array_like of float, shape (streams, features)
        After each stream.
    inputs : array_like of float, shape (streams, steps) or (streams, steps, channels)

    Returns
    -------
    Separation

    Raises
    ------
    ValueError
        Where there are less than three streams, or all are the same.
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
        raise ValueError("all streams are the same; there is nothing to separate")
    flat = np.ptp(of_inputs) == 0 or np.ptp(of_states) == 0
    correlation = 0.0 if flat else float(spearmanr(of_inputs, of_states).statistic)
    return Separation(of_inputs, of_states, float(of_states.mean() / of_inputs.mean()), correlation)


def different_inputs(streams: int, steps: int, seed: int, low: float = -1.0, high: float = 1.0) -> FloatArray:
    """Draw streams that have nothing to do with one another, for `kernel_rank`.

    Returns
    -------
    ndarray of float, shape (streams, steps)
        Independent, uniform from `low` to `high`.
    """
    return np.random.default_rng(seed).uniform(low, high, (streams, steps))


def alike_inputs(streams: int, steps: int, common: int, seed: int, low: float = -1.0, high: float = 1.0) -> FloatArray:
    """Draw streams that differ only before their last steps, for `generalisation_rank`.

    Parameters
    ----------
    common : int
        Steps at the end that all streams share: what came before them should no longer matter.

    Returns
    -------
    ndarray of float, shape (streams, steps)
    """
    if not 0 <= common <= steps:
        raise ValueError(f"{common} of {steps} steps in common; give 0 to {steps}")
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(low, high, (streams, steps))
    inputs[:, steps - common :] = rng.uniform(low, high, common)
    return inputs


def _state_rank(states: npt.ArrayLike, threshold: float) -> StateRank:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold}; give a part of the largest singular value, between 0 and 1")
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
