"""Fading memory (echo-state property), measured from runs with the same input and different initial states.

With fading memory the states of such runs converge (H. Jaeger, The echo state approach, GMD report 148 (2001)).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FadingMemory:
    r"""Convergence of runs of different histories under the same input.

    Parameters
    ----------
    distances : ndarray of float, shape (steps,)
        Root mean square distance :math:`d_t` of the runs from their mean, relative to the first step.
    fraction : float
        Relative distance below which the initial states count as forgotten.
    time : int or None
        Number of steps after which the distance stays below `fraction`; None if it never does.
    rate : float
        Slope of :math:`\log d_t` per step before `floor` is reached: an estimate of the largest conditional Lyapunov
        exponent, negative for fading memory.
    floor : float
        Median distance over the last tenth of the steps: the noise of a device, or more than `fraction` if the initial
        states are not forgotten within the record.
    """

    distances: FloatArray
    fraction: float
    time: int | None
    rate: float
    floor: float

    __repr__ = one_line

    @property
    def fades(self) -> bool:
        """Whether the initial states were forgotten within the record."""
        return self.time is not None


def fading_memory(states: npt.ArrayLike, fraction: float = 0.01) -> FadingMemory:
    """Measure how fast runs with the same input and different initial states converge.

    Parameters
    ----------
    states : array_like of float, shape (runs, steps, features)
        At least two runs with the same input and different histories; all features in the same unit.
    fraction : float
        Relative distance below which the initial states count as forgotten.

    Returns
    -------
    FadingMemory

    Raises
    ------
    ValueError
        If the runs begin in the same state.
    """
    X = np.asarray(states, dtype=np.float64)
    if X.ndim != 3 or 0 in X.shape or len(X) < 2 or X.shape[1] < 2:
        raise ValueError(
            f"states have shape {X.shape}; they must be (runs, steps, features), at least two runs of two steps"
        )
    if not np.isfinite(X).all():
        run, step, column = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(f"states are not finite in run {run}, step {step}, column {column}")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be more than 0 and less than 1")
    # Relative to the first run, so that equal runs have a distance of exactly zero.
    apart = X - X[0]
    absolute = np.sqrt(((apart - apart.mean(axis=0)) ** 2).mean(axis=(0, 2)))
    if absolute[0] == 0:
        raise ValueError("all runs begin in the same state; they must differ; drive them with different inputs first")
    distances = absolute / absolute[0]
    above = np.flatnonzero(distances >= fraction)
    time = int(above[-1]) + 1 if above[-1] + 1 < len(distances) else None
    floor = float(np.median(distances[-max(1, len(distances) // 10) :]))
    return FadingMemory(distances, fraction, time, _slope(distances, floor), floor)


def _slope(distances: FloatArray, floor: float) -> float:
    """Fit a line to the logarithm of the distance, up to where it approaches its floor."""
    near = np.flatnonzero(distances <= max(3 * floor, 1e-14))
    stop = int(near[0]) if near.size and near[0] >= 2 else len(distances)
    before = distances[:stop]
    shown = np.flatnonzero(before > 0)
    return float(np.polyfit(shown, np.log(before[shown]), 1)[0]) if len(shown) > 1 else -np.inf
