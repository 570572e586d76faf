r"""Kalman filter of weights that perform a random walk: its compiled recursion, in double precision and in twice that.

The covariance :math:`P` of the weights is kept in coordinates whose origin is the first learned row :math:`r`: the
intercept is the output there, :math:`\tilde b = b + w^\top r`. It starts out unknown, and is known with the variance of
the noise after that row. A step of the walk, :math:`q I` for :math:`(w, b)`, is then

.. math:: q \begin{pmatrix} I & r \\ r^\top & 1 + \lVert r \rVert^2 \end{pmatrix}.

An update subtracts from :math:`P` what a row told about the weights. If little is left, the difference is lost to
rounding. Before each update the variance of the output that it leaves, and that the walk adds, is compared with what
rounding makes of the variances before it. If that is too little, the recursion goes on in pairs of floating-point
numbers (T. J. Dekker, Numer. Math. 18, 224 (1971)), more than ten times slower, until enough rows in a row do not need
it. If even that is too little, the row is refused.
"""

import numpy as np
from numba import njit

from inmateria.reservoir.readouts.online import LANES

_ROUNDING, _OF_PAIRS = 2.0**-53, 2.0**-104
_TOLERANCE = 1e-9
"""Largest error of the variance of an output by rounding, as a fraction of what an update leaves of it."""

PENDING, BEGUN, PRECISE, CALM = range(4)
"""Entries of the flags: walk to be added, whether the intercept is known, whether pairs are used, rows without need."""

_SPLIT = 134217729.0  # 2^27 + 1


# Sums may be taken in any order, so that the compiler can use vector instructions; nothing else is relaxed.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def filter_rows(  # type: ignore[no-untyped-def]
    read, learned, targets, known, constant, walk, origin, seen, flags, covariance, remainder, weights, predicted
):
    """Predict each row of `read`, then learn the same row of `learned` if its targets are known.

    Parameters
    ----------
    read, learned : (samples, width)
    targets, predicted : (samples, outputs)
    known : (samples,)
    constant : int
        Column of the constant; -1 without an intercept.
    walk : float
    origin, seen : (width,)
        First row; the last update of the covariance, ``seen seen.T``, still to be subtracted.
    flags : (4,)
    covariance, remainder : (width, width)
        Of the covariance, the lower triangle is valid, and blocks of eight by eight on the diagonal; in pairs all of
        both.
    weights : (outputs, width)

    Returns
    -------
    int
        Number of rows done; the next one is refused if it is less than that of all.
    """
    samples, size = read.shape
    outputs = weights.shape[0]
    row, fresh, lower = np.empty(size), np.empty(size), np.empty(size)
    for sample in range(samples):
        for output in range(outputs):
            total = 0.0
            for j in range(size):
                total += weights[output, j] * (read[sample, j] - origin[j])
            predicted[sample, output] = total
        if not known[sample]:
            flags[PENDING] += walk  # the random walk goes on without targets
            continue
        if flags[BEGUN] == 0.0:
            for j in range(size):
                covariance[j, j] += flags[PENDING]
            for j in range(size):
                origin[j] = learned[sample, j] if j < constant else 0.0
            covariance[constant, constant] = 1.0
            for output in range(outputs):
                weights[output, constant] = targets[sample, output]
            flags[BEGUN], flags[PENDING] = 1.0, walk
            continue
        power = 0.0
        for j in range(size):
            row[j] = learned[sample, j] - origin[j]
            power += learned[sample, j] ** 2
        spread = 0.0
        if flags[PRECISE] == 0.0:
            _add_walk(flags[PENDING], constant, origin, covariance)
            flags[PENDING] = 0.0
            _subtract_and_multiply(covariance, seen, row, fresh)
            seen[:] = 0.0
            spread = 0.0
            for j in range(size):
                spread += fresh[j] * row[j]
            if not _exact(_ROUNDING, row, covariance, spread, walk * power):
                flags[PRECISE], flags[CALM] = 1.0, 0.0
                for i in range(size):
                    for j in range(i):
                        covariance[j, i] = covariance[i, j]
                remainder[:] = 0.0
            else:
                spread += 1.0
                root = 1.0 / np.sqrt(spread)
                for j in range(size):
                    seen[j] = root * fresh[j]
        if flags[PRECISE] != 0.0:
            _add_walk_in_pairs(flags[PENDING], constant, origin, covariance, remainder)
            flags[PENDING] = 0.0
            spread = _multiply_in_pairs(covariance, remainder, row, fresh, lower)
            if not _exact(_OF_PAIRS, row, covariance, spread, walk * power):
                return sample
            calm = _exact(10.0 * _ROUNDING, row, covariance, spread, walk * power)
            spread = _subtract_in_pairs(covariance, remainder, row, fresh, lower)
            flags[CALM] = flags[CALM] + 1.0 if calm else 0.0
            if flags[CALM] > size:
                flags[PRECISE] = 0.0
        flags[PENDING] = walk
        for output in range(outputs):
            total = 0.0
            for j in range(size):
                total += weights[output, j] * row[j]
            gain = (targets[sample, output] - total) / spread
            for j in range(size):
                weights[output, j] += gain * fresh[j]
    return samples


@njit(cache=True, nogil=True, error_model="numpy")
def _exact(rounding, row, covariance, variance, walked):  # type: ignore[no-untyped-def]
    """Return whether an update leaves more of the variance of the output than rounding errors."""
    before = 0.0
    for j in range(len(row)):
        before += row[j] * row[j] * covariance[j, j]
    left = max(variance, 0.0) / (1.0 + max(variance, 0.0)) + walked
    return rounding * before <= _TOLERANCE * left


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _add_walk(walked, constant, origin, covariance):  # type: ignore[no-untyped-def]
    if walked == 0.0:
        return
    power = 0.0
    for j in range(len(origin)):
        covariance[j, j] += walked
        power += origin[j] * origin[j]
    if constant < 0:
        return
    covariance[constant, constant] += walked * power
    block = constant - constant % LANES
    for j in range(constant):
        covariance[constant, j] += walked * origin[j]
        if j >= block:
            covariance[j, constant] = covariance[constant, j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _subtract_and_multiply(covariance, seen, x, fresh):  # type: ignore[no-untyped-def]
    """Subtract ``seen seen.T`` from the covariance and multiply it with x, in one pass through memory."""
    size = len(x)
    fresh[:] = 0.0
    of_rows = np.empty(LANES)
    for begin in range(0, size, LANES):
        end = begin + LANES
        # Two rows at a time, so that values of their columns are read and written once for both.
        for i in range(begin, end, 2):
            upper, lower = covariance[i], covariance[i + 1]
            upper_seen, lower_seen, upper_x, lower_x = seen[i], seen[i + 1], x[i], x[i + 1]
            upper_total, lower_total = 0.0, 0.0
            for j in range(end):
                first, second = upper[j] - upper_seen * seen[j], lower[j] - lower_seen * seen[j]
                upper[j], lower[j] = first, second
                upper_total += first * x[j]
                lower_total += second * x[j]
                fresh[j] += first * upper_x + second * lower_x
            of_rows[i - begin], of_rows[i + 1 - begin] = upper_total, lower_total
        # The block on the diagonal is in the sums of rows and of columns: the latter are dropped.
        fresh[begin:end] = of_rows


# Sums and products of pairs, high and low part; no operation may be reordered or fused here.
@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _product(a, b):  # type: ignore[no-untyped-def]
    """Return a product of two numbers, and its rounding error."""
    high = a * b
    c = _SPLIT * a
    a_high = c - (c - a)
    a_low = a - a_high
    d = _SPLIT * b
    b_high = d - (d - b)
    b_low = b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _sum(a, a_low, b, b_low):  # type: ignore[no-untyped-def]
    """Return the sum of two pairs."""
    high = a + b
    back = high - a
    low = ((a - (high - back)) + (b - back)) + (a_low + b_low)
    whole = high + low
    return whole, low - (whole - high)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_walk_in_pairs(walked, constant, origin, covariance, remainder):  # type: ignore[no-untyped-def]
    if walked == 0.0:
        return
    for i in range(len(origin)):
        covariance[i, i], remainder[i, i] = _sum(covariance[i, i], remainder[i, i], walked, 0.0)
    if constant < 0:
        return
    for j in range(constant):
        share, share_low = _product(walked, origin[j])
        square, square_low = _product(share, origin[j])
        square_low += share_low * origin[j]
        c = constant
        covariance[c, c], remainder[c, c] = _sum(covariance[c, c], remainder[c, c], square, square_low)
        covariance[c, j], remainder[c, j] = _sum(covariance[c, j], remainder[c, j], share, share_low)
        covariance[j, c], remainder[j, c] = covariance[c, j], remainder[c, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _multiply_in_pairs(covariance, remainder, x, fresh, lower):  # type: ignore[no-untyped-def]
    """Fill `fresh` and `lower` with the product of the covariance and x; return the variance of the output."""
    fresh[:] = 0.0
    lower[:] = 0.0
    for i in range(len(x)):
        high_row, low_row, factor = covariance[i], remainder[i], x[i]
        for j in range(len(x)):
            high, low = _product(high_row[j], factor)
            low += low_row[j] * factor
            fresh[j], lower[j] = _sum(fresh[j], lower[j], high, low)
    variance = 0.0
    for j in range(len(x)):
        variance += fresh[j] * x[j]
    return variance


@njit(cache=True, nogil=True, error_model="numpy")
def _subtract_in_pairs(covariance, remainder, x, fresh, lower):  # type: ignore[no-untyped-def]
    """Subtract what an update by x tells, ``fresh fresh.T / spread``; return the spread, one more than the variance."""
    size = len(x)
    spread, spread_low = 1.0, 0.0
    for j in range(size):
        high, low = _product(fresh[j], x[j])
        spread, spread_low = _sum(spread, spread_low, high, low + lower[j] * x[j])
    gain, gain_low = np.empty(size), np.empty(size)
    for j in range(size):
        high = fresh[j] / spread
        back, back_low = _product(high, spread)
        left = ((fresh[j] - back) - back_low) + lower[j] - high * spread_low
        low = left / spread
        gain[j] = high + low
        gain_low[j] = low - (gain[j] - high)
    for i in range(size):
        high_row, low_row, first, first_low = covariance[i], remainder[i], fresh[i], lower[i]
        for j in range(size):
            high, low = _product(first, gain[j])
            low += first * gain_low[j] + first_low * gain[j]
            high_row[j], low_row[j] = _sum(high_row[j], low_row[j], -high, -low)
    return spread
