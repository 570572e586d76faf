"""How long a reservoir remembers what it was before: fading memory, the echo-state property, measured.

Runs that begin in different states and then get the same input come together where memory fades. Jaeger,
The echo state approach, GMD report 148 (2001).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FadingMemory:
    """How runs of different histories came together under one input.

    Parameters
    ----------
    distances : ndarray of float, shape (steps,)
        Root mean square distance of the runs from their mean, relative to the first step's.
    fraction : float
        Of the first distance: where the past counts as forgotten.
    time : int or None
        Steps after the first until the distance stays below that fraction; None where it never does.
    rate : float
        Slope of the logarithm of the distance per step, before it reaches `floor`: the largest conditional
        Lyapunov exponent. Negative where memory fades.
    floor : float
        Distance that remains: its median over the last tenth. Of a device, its noise; more than the fraction
        where the past is not forgotten, or not seen to be.
    """

    distances: FloatArray
    fraction: float
    time: int | None
    rate: float
    floor: float

    @property
    def fades(self) -> bool:
        """Whether the past was forgotten within the record."""
        return self.time is not None


def fading_memory(states: npt.ArrayLike, fraction: float = 0.01) -> FadingMemory:
    """Measure how soon runs that begin in different states and get the same input become alike.

    Parameters
    ----------
    states : array_like of float, shape (runs, steps, features)
        Two runs or more under the same input, of different histories. Features in one unit.
    fraction : float
        Of the first distance; what is less counts as forgotten.

    Returns
    -------
    FadingMemory

    Raises
    ------
    ValueError
        Where the runs are alike from the beginning, so that there is nothing to forget.
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
        raise ValueError(f"fraction is {fraction}; give more than 0 and less than 1")
    # Centred on the first run, so that equal runs have a distance of exactly zero.
    apart = X - X[0]
    absolute = np.sqrt(((apart - apart.mean(axis=0)) ** 2).mean(axis=(0, 2)))
    if absolute[0] == 0:
        raise ValueError("all runs begin in the same state; give them different histories first")
    distances = absolute / absolute[0]
    above = np.flatnonzero(distances >= fraction)
    time = int(above[-1]) + 1 if above[-1] + 1 < len(distances) else None
    floor = float(np.median(distances[-max(1, len(distances) // 10) :]))
    return FadingMemory(distances, fraction, time, _slope(distances, floor), floor)


def _slope(distances: FloatArray, floor: float) -> float:
    """Fit a line through the logarithm up to where the distance comes near its floor."""
    near = np.flatnonzero(distances <= max(3 * floor, 1e-14))
    stop = int(near[0]) if near.size and near[0] >= 2 else len(distances)
    before = distances[:stop]
    shown = np.flatnonzero(before > 0)
    return float(np.polyfit(shown, np.log(before[shown]), 1)[0]) if len(shown) > 1 else -np.inf
