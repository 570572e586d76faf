"""Memory capacity and information processing capacity of reservoir states.

Both measure how well a linear readout of the states reproduces many functions of past random inputs. The states are
factored once; each block of targets then costs one matrix product. The functions take states and inputs, so they apply
to simulations and to recordings of a device alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from inmateria.one_line import one_line
from inmateria.recording.order_of_reading import reading_order, warn_of_reading_order
from inmateria.reservoir.measures.capacity_targets import Factor, polynomials_of, products
from inmateria.reservoir.measures.many_targets import ManyTargetsReadout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_BLOCK_VALUES = 500_000
"""Number of target values computed at a time: 4 MB."""


@dataclass(frozen=True, eq=False)
class MemoryCapacity:
    """Memory capacity of reservoir states, for each delay.

    Parameters
    ----------
    delays : ndarray of int, shape (delays,)
        In steps.
    capacities : ndarray of float, shape (delays,)
        Squared correlation of readout and delayed input, summed over the input channels.
    chance : float
        Expected squared correlation with an unrelated target: rank / steps if scored on the training steps.
    threshold : float
        Capacity that an unrelated target exceeds with a probability of `significance`.
    rank : int
        Rank of the states, an upper bound of the total.
    steps : int
        Number of steps on which the capacities were measured.
    """

    delays: IntArray
    capacities: FloatArray
    chance: float
    threshold: float
    rank: int
    steps: int

    __repr__ = one_line

    @property
    def total(self) -> float:
        """Memory capacity: sum of the capacities above the threshold."""
        return float(self.capacities[self.capacities > self.threshold].sum())

    @property
    def unthresholded(self) -> float:
        """Sum of all capacities, chance included; it grows with the number of delays."""
        return float(self.capacities.sum())


@dataclass(frozen=True, eq=False)
class InformationProcessingCapacity:
    """Information processing capacity of reservoir states, for each product of polynomials of past inputs.

    Parameters
    ----------
    targets : tuple of tuple of Factor
        The factors of each target.
    capacities : ndarray of float, shape (targets,)
        Squared correlation of readout and target.
    degrees, delays : ndarray of int, shape (targets,)
        Total degree of each target, and the longest delay in it.
    chance, threshold : ndarray of float, shape (targets,)
        Expected capacity of an unrelated target with the same values, and the capacity that it exceeds with a
        probability of `significance`; more than rank / steps for targets that are large when the states are.
    rank, steps
        See `MemoryCapacity`.
    """

    targets: tuple[tuple[Factor, ...], ...]
    capacities: FloatArray
    degrees: IntArray
    delays: IntArray
    chance: FloatArray
    threshold: FloatArray
    rank: int
    steps: int

    __repr__ = one_line

    @property
    def significant(self) -> FloatArray:
        """Capacities, zero at or below the threshold, shape (targets,)."""
        kept: FloatArray = np.where(self.capacities > self.threshold, self.capacities, 0.0)
        return kept

    @property
    def total(self) -> float:
        """Sum of the capacities above the threshold; at most about the rank, which it reaches with fading memory."""
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
    check_reading_order: bool = True,
) -> MemoryCapacity:
    r"""Measure how well a linear readout of the states reproduces past inputs.

    The inputs must be independent from step to step: otherwise a past input can be predicted from later ones without
    being remembered.

    Parameters
    ----------
    states : array_like of float, shape (steps, features)
        Row t was measured during or after input t.
    inputs : array_like of float, shape (steps,) or (steps, channels)
        Independent random values.
    delays : int or iterable of int, optional
        Longest delay, for all delays from 1 on, or a list of delays, in steps; by default up to twice the number of
        features, at most a tenth of the steps.
    washout : int
        Number of steps to leave out at the beginning; at least the longest delay is left out.
    held_out : float or (int, int)
        Steps on which the readout is scored after training on the others: a fraction at the end, or the first row and
        the row after the last. With 0 it is scored on the training steps, and every capacity contains rank / steps
        of chance.
    alpha : float
        Ridge regularisation of the readout of standardised states; none by default.
    significance : float
        Probability with which an unrelated target may exceed the threshold.
    rank_threshold : float
        Smallest singular value of the standardised states that counts, as a fraction of the largest.
    check_reading_order : bool
        Whether to look for features that follow the previous input better than the present one, as those that were
        read too early do (`inmateria.recording.reading_order`). Leave it out for a simulation, whose order is known.

    Returns
    -------
    MemoryCapacity

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, or too few steps remain.

    Warns
    -----
    ReadingOrderWarning
        If there are such features: `inmateria.recording.realigned` gives the states without that step.

    Notes
    -----
    .. math:: MC = \sum_k MC_k, \qquad MC_k = \max_w \mathrm{corr}^2(u_{t-k}, w^\top x_t)

    H. Jaeger, Short term memory in echo state networks, GMD report 152 (2002).
    """
    X, u = _states_and_inputs(states, inputs)
    if check_reading_order:
        warn_of_reading_order(reading_order(X, u))
    if delays is None:
        delays = max(1, min(2 * X.shape[1], len(X) // 10))
    chosen = np.arange(1, delays + 1) if isinstance(delays, int) else np.array(list(delays), dtype=np.intp)
    if not chosen.size or chosen.min() < 0:
        raise ValueError(
            f"delays is {delays}; it must be an integer of at least 1, or a list of delays of at least 0 steps"
        )
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
    check_reading_order: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> InformationProcessingCapacity:
    r"""Measure which functions of past inputs a linear readout of the states reproduces, and how well.

    The functions are all products of normalised orthogonal polynomials of inputs of different delays, up to a total
    degree and a longest delay.

    Parameters
    ----------
    states : array_like of float, shape (steps, features)
        Row t was measured during or after input t.
    inputs : array_like of float, shape (steps,) or (steps, channels)
        Independent random values, uniform over `interval` for Legendre polynomials.
    longest_delays : mapping of int to int, or sequence of int
        Longest delay for each total degree: ``{1: 50, 2: 20}``, or in order from degree 1 on.
    earliest : int
        Shortest delay; 0 is the present input.
    factors : int, optional
        Largest number of factors in a product; by default as many as the degree allows.
    polynomials : {"legendre", "empirical"}
        Orthogonal for a uniform distribution, or for the empirical distribution of the inputs.
    interval : (float, float)
        Interval over which the inputs are uniform.
    washout, held_out, alpha, significance, rank_threshold, check_reading_order
        See `memory_capacity`.
    progress : callable, optional
        Called with the number of targets done and the number of all targets.

    Returns
    -------
    InformationProcessingCapacity

    Raises
    ------
    ValueError
        If shapes do not match, values are not finite, too few steps remain, or the inputs are correlated in time or
        not distributed as the polynomials require.

    Warns
    -----
    ReadingOrderWarning
        See `memory_capacity`.

    Notes
    -----
    For a target :math:`z` that is a product of normalised polynomials :math:`P_d` of inputs,

    .. math:: z_t = \prod_i P_{d_i}(u_{t - k_i}), \qquad C[z] = \max_w \mathrm{corr}^2(z_t, w^\top x_t).

    The targets are orthogonal, so their capacities add up, and the sum is at most the rank of the states (J. Dambre,
    D. Verstraeten, B. Schrauwen and S. Massar, Sci. Rep. 2, 514 (2012)).

    A target that the states do not represent is still made of the same inputs: the more its magnitude coincides with
    that of the states, the larger its capacity by chance. It is therefore estimated from the values of each target (as
    H. White, Econometrica 48, 817 (1980), does for regressions), and the threshold, which is exact for independent
    normal targets and states, is raised in proportion. Dambre et al. double theirs instead.
    """
    X, u = _states_and_inputs(states, inputs)
    bounds = dict(longest_delays) if isinstance(longest_delays, Mapping) else dict(enumerate(longest_delays, start=1))
    if not bounds or min(bounds) < 1 or min(bounds.values()) < earliest or earliest < 0:
        raise ValueError(
            f"longest delays by degree are {bounds} and the earliest is {earliest}; give degrees of 1 or more, each "
            "with a delay of at least the earliest, which is 0 or more"
        )
    if factors is not None and factors < 1:
        raise ValueError(f"factors is {factors}; it must be at least 1, or None")
    if check_reading_order:
        warn_of_reading_order(reading_order(X, u))
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
        raise ValueError(f"input {flat[0]} is constant; inputs must vary; drive the reservoir with a random series")
    return X, u


def _first_step(washout: int, longest: int, steps: int) -> int:
    if washout < 0:
        raise ValueError(f"washout is {washout} steps; it must be at least 0")
    start = max(washout, longest)
    if start >= steps:
        raise ValueError(f"of {steps} steps, {start} are washed out or needed for the longest delay; none is left")
    return start


def _rows(held_out: float | tuple[int, int], start: int, steps: int) -> float | range:
    """Return the held-out rows relative to the first step that is used."""
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
