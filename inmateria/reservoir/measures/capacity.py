"""What a reservoir remembers and computes of its input: memory capacity and information processing capacity.

Both ask how well a linear readout of the states follows many targets made of one random input. The states
are factored once; each block of targets then costs one product of matrices. They take states and inputs,
not a model, so that a recording of a device does as well as a simulation.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from inmateria.reservoir.measures.capacity_targets import Factor, polynomials_of, products
from inmateria.reservoir.measures.many_targets import ManyTargetsReadout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_BLOCK_VALUES = 500_000
"""Values of the targets that are made at a time: 4 MB."""


@dataclass(frozen=True, eq=False)
class MemoryCapacity:
    """How well the input of some steps ago is recalled, for each delay.

    Parameters
    ----------
    delays : ndarray of int, shape (delays,)
        In steps.
    capacities : ndarray of float, shape (delays,)
        Squared correlation of readout and delayed input, summed over the inputs where there are several.
    chance : float
        Mean of a squared correlation with something unrelated: rank / steps on the steps learned from.
    threshold : float
        What chance alone exceeds only as often as the significance asked for.
    rank : int
        Of the states: no total can be more.
    steps : int
        Steps that the capacities were measured on.
    """

    delays: IntArray
    capacities: FloatArray
    chance: float
    threshold: float
    rank: int
    steps: int

    @property
    def total(self) -> float:
        """Memory capacity: sum of the capacities above the threshold."""
        return float(self.capacities[self.capacities > self.threshold].sum())

    @property
    def unthresholded(self) -> float:
        """Sum of all capacities, chance included; grows with the number of delays asked for."""
        return float(self.capacities.sum())


@dataclass(frozen=True, eq=False)
class InformationProcessingCapacity:
    """How well products of polynomials of past inputs are reproduced, for each product.

    Parameters
    ----------
    targets : tuple of tuple of Factor
        What each target is the product of.
    capacities : ndarray of float, shape (targets,)
        Squared correlation of readout and target.
    degrees, delays : ndarray of int, shape (targets,)
        Total degree of each target, and the longest delay in it.
    chance, threshold : ndarray of float, shape (targets,)
        Mean capacity of chance alone, and what it exceeds only as often as the significance asked for, for each
        target: more than rank / steps where a target is large when the states are.
    rank, steps
        As of `MemoryCapacity`.
    """

    targets: tuple[tuple[Factor, ...], ...]
    capacities: FloatArray
    degrees: IntArray
    delays: IntArray
    chance: FloatArray
    threshold: FloatArray
    rank: int
    steps: int

    @property
    def significant(self) -> FloatArray:
        """Capacities with those at or below the threshold set to zero, shape (targets,)."""
        kept: FloatArray = np.where(self.capacities > self.threshold, self.capacities, 0.0)
        return kept

    @property
    def total(self) -> float:
        """Sum of the capacities above the threshold; at most about the rank, and that under fading memory."""
        return float(self.significant.sum())

    @property
    def by_degree(self) -> dict[int, float]:
        """Sum of the capacities above the threshold for each total degree; degree 1 is linear memory."""
        kept = self.significant
        return {int(degree): float(kept[self.degrees == degree].sum()) for degree in np.unique(self.degrees)}

    @property
    def by_delay(self) -> dict[int, float]:
        """Sum of the capacities above the threshold for each longest delay."""
        kept = self.significant
        return {int(delay): float(kept[self.delays == delay].sum()) for delay in np.unique(self.delays)}

    @property
    def profile(self) -> FloatArray:
        """Sum of the capacities above the threshold, shape (highest degree, longest delay + 1): row 0 is degree 1."""
        profile = np.zeros((int(self.degrees.max()), int(self.delays.max()) + 1))
        np.add.at(profile, (self.degrees - 1, self.delays), self.significant)
        return profile


def memory_capacity(
    states: npt.ArrayLike,
    inputs: npt.ArrayLike,
    delays: int | Iterable[int] | None = None,
    *,
    washout: int = 0,
    held_out: float | tuple[int, int] = 0.0,
    alpha: float = 0.0,
    significance: float = 1e-4,
    rank_threshold: float = 1e-10,
) -> MemoryCapacity:
    """Measure how far back a linear readout of the states recalls the input.

    Jaeger, Short term memory in echo state networks, GMD report 152 (2002). The inputs must be independent
    from step to step, or what is recalled may be guessed from what came after it.

    Parameters
    ----------
    states : array_like of float, shape (steps, features)
        Row t is what was measured during or after input t.
    inputs : array_like of float, shape (steps,) or (steps, channels)
        Independent random values.
    delays : int or iterable of int, optional
        So many steps back from 1 on, or these delays; by default twice the features, at most a tenth of the steps.
    washout : int
        Steps at the beginning that are left out. At least the longest delay is.
    held_out : float or (int, int)
        Fraction of the steps, at the end, or first row and row after the last, on which the readout is scored,
        having learned from the others. With 0 it is scored on what it learned from, and every capacity has
        rank / steps of chance in it.
    alpha : float
        Ridge regularisation of the readout of standardised states; none by default.
    significance : float
        How often chance alone may exceed the threshold.
    rank_threshold : float
        Directions of the standardised states count whose singular value is more than this part of the largest.

    Returns
    -------
    MemoryCapacity

    Raises
    ------
    ValueError
        Where shapes do not fit, values are not finite, or too few steps remain.
    """
    X, u = _states_and_inputs(states, inputs)
    if delays is None:
        delays = max(1, min(2 * X.shape[1], len(X) // 10))
    chosen = np.arange(1, delays + 1) if isinstance(delays, int) else np.array(list(delays), dtype=np.intp)
    if not chosen.size or chosen.min() < 0:
        raise ValueError(f"delays are {delays}; give a number of at least 1, or delays of 0 or more steps")
    longest = int(chosen.max())
    start = _first_step(washout, longest, len(X))
    readout = ManyTargetsReadout(X[start:], _rows(held_out, start, len(X)), alpha, rank_threshold)
    threshold = readout.threshold(significance)
    windows = sliding_window_view(u[start - longest :], len(X) - start, axis=0)  # (longest + 1, channels, steps)
    capacities = np.zeros(len(chosen))
    blocks = _blocks(len(chosen), len(X) - start)
    room = np.empty((blocks[0].stop, len(X) - start))
    for rows in blocks:
        for channel in range(u.shape[1]):
            targets = room[: rows.stop - rows.start]
            for target, delay in zip(targets, chosen[rows], strict=True):
                target[:] = windows[longest - delay, channel]
            capacities[rows] += readout.squared_correlations(targets)
    return MemoryCapacity(chosen, capacities, readout.chance, threshold, readout.rank, readout.scored)


def information_processing_capacity(
    states: npt.ArrayLike,
    inputs: npt.ArrayLike,
    longest_delays: Mapping[int, int] | Sequence[int] = (50, 20, 10),
    *,
    earliest: int = 0,
    factors: int | None = None,
    polynomials: Literal["legendre", "empirical"] = "legendre",
    interval: tuple[float, float] = (-1.0, 1.0),
    washout: int = 0,
    held_out: float | tuple[int, int] = 0.0,
    alpha: float = 0.0,
    significance: float = 1e-4,
    rank_threshold: float = 1e-10,
    progress: Callable[[int, int], None] | None = None,
) -> InformationProcessingCapacity:
    """Measure which functions of past inputs a linear readout of the states reproduces, and how well.

    The functions are all products of normalised orthogonal polynomials of the input of different delays, up to
    a total degree and a delay; being orthogonal, their capacities add up, and the sum cannot exceed the rank of
    the states. Dambre, Verstraeten, Schrauwen and Massar, Sci. Rep. 2, 514 (2012).

    Parameters
    ----------
    states : array_like of float, shape (steps, features)
        Row t is what was measured during or after input t.
    inputs : array_like of float, shape (steps,) or (steps, channels)
        Independent random values, uniform over `interval` unless the polynomials are empirical.
    longest_delays : mapping of int to int, or sequence of int
        Longest delay for each total degree: ``{1: 50, 2: 20}``, or in order from degree 1 on.
    earliest : int
        Shortest delay; 0 is the present input.
    factors : int, optional
        Most different delays in one product; as many as the degree allows by default.
    polynomials : {"legendre", "empirical"}
        Those for a uniform distribution, or those that are orthogonal for the distribution that the inputs have.
    interval : (float, float)
        Where the inputs are uniform.
    washout, held_out, alpha, significance, rank_threshold
        As of `memory_capacity`.
    progress : callable, optional
        Called with targets done and targets in all.

    Returns
    -------
    InformationProcessingCapacity

    Raises
    ------
    ValueError
        Where shapes do not fit, values are not finite, too few steps remain, or the inputs are not distributed
        as the polynomials need, or not independent of the step before.

    Notes
    -----
    A target that has nothing to do with the states still shares inputs with them, and the larger both are at the
    same time, the more chance correlates them. So the chance of each target is estimated from its own values
    (as White, Econometrica 48, 817 (1980), does for regressions), and the threshold, which is exact where target
    and states are independent and normal, is raised in proportion. Dambre et al. double theirs instead.
    """
    X, u = _states_and_inputs(states, inputs)
    bounds = dict(longest_delays) if isinstance(longest_delays, Mapping) else dict(enumerate(longest_delays, start=1))
    if not bounds or min(bounds) < 1 or min(bounds.values()) < earliest or earliest < 0:
        raise ValueError(
            f"longest delays by degree are {bounds} and the earliest is {earliest}; give degrees of 1 or more, each "
            "with a delay of at least the earliest, which is 0 or more"
        )
    if factors is not None and factors < 1:
        raise ValueError(f"factors is {factors}; give 1 or more, or None")
    targets = tuple(products(bounds, earliest, u.shape[1], factors))
    values = polynomials_of(u, max(bounds), polynomials, interval)
    start = _first_step(washout, max(bounds.values()), len(X))
    readout = ManyTargetsReadout(X[start:], _rows(held_out, start, len(X)), alpha, rank_threshold)
    excess = readout.threshold(significance) / readout.chance
    capacities, chance = np.empty(len(targets)), np.empty(len(targets))
    blocks = _blocks(len(targets), len(X) - start)
    room = np.empty((blocks[0].stop, len(X) - start))
    for rows in blocks:
        block = room[: rows.stop - rows.start]
        for row, target in zip(block, targets[rows], strict=True):
            first, *others = (values[f.degree - 1, f.channel, start - f.delay : len(X) - f.delay] for f in target)
            if others:
                np.multiply(first, others[0], out=row)
                for other in others[1:]:
                    row *= other
            else:
                row[:] = first
        capacities[rows], chance[rows] = readout.with_chance(block)
        if progress is not None:
            progress(rows.stop, len(targets))
    return InformationProcessingCapacity(
        targets,
        capacities,
        np.array([sum(factor.degree for factor in target) for target in targets], dtype=np.intp),
        np.array([max(factor.delay for factor in target) for target in targets], dtype=np.intp),
        chance,
        np.minimum(excess * chance, 1.0),
        readout.rank,
        readout.scored,
    )


def _states_and_inputs(states: npt.ArrayLike, inputs: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    X, u = np.asarray(states, dtype=np.float64), np.asarray(inputs, dtype=np.float64)
    if X.ndim != 2 or u.ndim not in (1, 2) or len(X) != len(u) or 0 in (*X.shape, *u.shape):
        raise ValueError(
            f"states have shape {X.shape} and inputs {u.shape}; they must be (steps, features) and (steps,) or "
            "(steps, channels), of as many steps"
        )
    u = u.reshape(len(u), -1)
    for name, values in (("states", X), ("inputs", u)):
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(f"{name} are {values[row, column]} at step {row}, column {column}; all must be finite")
    flat = np.flatnonzero(u.std(axis=0) <= 1e-13 * np.abs(u).max(axis=0))
    if flat.size:
        raise ValueError(f"input {flat[0]} is constant; there is nothing to remember")
    return X, u


def _first_step(washout: int, longest: int, steps: int) -> int:
    if washout < 0:
        raise ValueError(f"washout is {washout} steps; give 0 or more")
    start = max(washout, longest)
    if start >= steps:
        raise ValueError(f"of {steps} steps, {start} are washed out or needed for the longest delay; none is left")
    return start


def _rows(held_out: float | tuple[int, int], start: int, steps: int) -> float | range:
    """Count rows that are held out from the first step that is used."""
    if not isinstance(held_out, tuple):
        return held_out
    first, end = held_out
    if not start <= first < end <= steps:
        raise ValueError(
            f"held_out is {held_out}; give rows of which the first is at least {start}, where all delays and the "
            f"washout are over, and the end at most {steps}"
        )
    return range(first - start, end - start)


def _blocks(targets: int, steps: int) -> list[slice]:
    at_once = max(1, _BLOCK_VALUES // steps)
    return [slice(begin, min(begin + at_once, targets)) for begin in range(0, targets, at_once)]
