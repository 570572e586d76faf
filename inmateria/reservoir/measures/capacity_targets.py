"""Targets of the information processing capacity: products of orthogonal polynomials of past inputs.

J. Dambre, D. Verstraeten, B. Schrauwen and S. Massar, Sci. Rep. 2, 514 (2012).
"""

from collections.abc import Iterable, Mapping
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Factor(NamedTuple):
    """One factor of a target: a polynomial of given degree of one input channel, `delay` steps ago."""

    delay: int
    degree: int
    channel: int = 0


def products(
    bounds: Mapping[int, int], earliest: int, channels: int, factors: int | None
) -> Iterable[tuple[Factor, ...]]:
    """Yield every product whose total degree is in `bounds`, with delays up to the bound of that degree."""
    for degree in sorted(bounds):
        variables = [(delay, channel) for delay in range(earliest, bounds[degree] + 1) for channel in range(channels)]
        for count in range(1, min(degree, factors or degree) + 1):
            splits = list(_sums(degree, count))
            for chosen in combinations(variables, count):
                for parts in splits:
                    yield tuple(Factor(delay, part, ch) for (delay, ch), part in zip(chosen, parts, strict=True))


def _sums(whole: int, parts: int) -> Iterable[tuple[int, ...]]:
    """Yield the ordered ways to write an integer as a sum of a given number of positive integers."""
    for cuts in combinations(range(1, whole), parts - 1):
        edges = (0, *cuts, whole)
        yield tuple(high - low for low, high in pairwise(edges))


def polynomials_of(u: FloatArray, degree: int, kind: str, interval: tuple[float, float]) -> FloatArray:
    r"""Return normalised polynomials of each input, shape (degree, channels, steps), from degree 1 on.

    Legendre polynomials: :math:`(n+1) P_{n+1}(x) = (2n+1) x P_n(x) - n P_{n-1}(x)`, times :math:`\sqrt{2n+1}`.
    """
    steps, channels = u.shape
    # For independent values, estimates of mean, variance and correlation are within six standard errors.
    strict = 6.0 / np.sqrt(steps)
    for channel in range(channels):
        now, before = u[1:, channel] - u[:, channel].mean(), u[:-1, channel] - u[:, channel].mean()
        correlation = float(now @ before / np.sqrt((now @ now) * (before @ before)))
        if abs(correlation) > strict:
            raise ValueError(
                f"input {channel} has a correlation of {correlation:.3f} with itself one step before; capacities "
                "add up only for independent inputs: drive the reservoir with a random series"
            )
    if kind == "empirical":
        return np.stack([_empirical(u[:, channel], degree) for channel in range(channels)], axis=1)
    if kind != "legendre":
        raise ValueError(f"polynomials is {kind!r}; allowed are 'legendre' and 'empirical'")
    low, high = interval
    if not low < high:
        raise ValueError(f"interval is {interval}; give (low, high)")
    x = np.ascontiguousarray((2 * u - (low + high)).T / (high - low))
    if np.abs(x).max() > 1 + 1e-9:
        raise ValueError(f"inputs reach from {u.min():g} to {u.max():g}, outside {interval}; give their interval")
    off = np.abs(x.mean(axis=1)) * np.sqrt(3) > strict
    off |= np.abs(3 * x.var(axis=1) - 1) > strict * np.sqrt(0.8)
    if off.any():
        raise ValueError(
            f"input {int(np.flatnonzero(off)[0])} is not uniform over {interval}; give the interval it is uniform "
            "over, or polynomials='empirical'"
        )
    values = np.empty((degree + 1, channels, steps))
    values[0], values[1] = 1.0, x
    for n in range(1, degree):
        values[n + 1] = ((2 * n + 1) * x * values[n] - n * values[n - 1]) / (n + 1)
    normalised: FloatArray = values[1:] * np.sqrt(2 * np.arange(1, degree + 1) + 1)[:, np.newaxis, np.newaxis]
    return normalised


def _empirical(u: FloatArray, degree: int) -> FloatArray:
    """Return polynomials that are orthonormal over the values of an input, shape (degree, steps)."""
    low, high = u.min(), u.max()
    vandermonde = np.polynomial.legendre.legvander((2 * u - low - high) / (high - low), degree)
    orthogonal, triangle = np.linalg.qr(vandermonde)
    independent = np.abs(np.diag(triangle)) > 1e-9 * np.sqrt(len(u))
    if not independent.all():
        raise ValueError(
            f"the inputs take {len(np.unique(u))} different values; polynomials of degree {degree} need at least "
            f"{degree + 1}: ask for a lower degree"
        )
    signed: FloatArray = (orthogonal * np.sign(np.diag(triangle)) * np.sqrt(len(u))).T[1:]
    return signed
