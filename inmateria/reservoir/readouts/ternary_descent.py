"""Ternary weights by coordinate descent on the squared error: one weight at a time, then two."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]

SHARES = (0.3, 0.7, 1.2)
"""Thresholds for rounding the ridge weights to 0, in units of their mean magnitude; one start of the descent each."""

RATIOS = (1 / 3, 1 / 2, 0.8)
"""Scale of the second plane in units of the first one's, of further starts with two planes: their nine levels."""

_REACHES = (1.0, 0.6, 0.3)
"""Largest of the nine levels, in units of the largest ridge weight."""

_KEPT = 3
"""Number of the best starts from which changes of two weights are tried."""

_GAIN = 1.0 + 1e-9
"""Least relative improvement of a change, so that rounding errors cannot lead to cycles."""


def descended_planes(
    gram: FloatArray, cross: FloatArray, ridge: FloatArray, planes: int, sweeps: int, pairs: bool
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return the best planes (planes, features) that were found for one output, and their scales (planes,).

    Parameters
    ----------
    gram : ndarray of float, shape (features, features)
        Second moments of the features, regularised.
    cross : ndarray of float, shape (features,)
        Moments of the features with the target.
    ridge : ndarray of float, shape (features,)
        Ridge weights, from which the descent begins.
    planes, sweeps, pairs
        See `inmateria.reservoir.readouts.ternary.TernaryReadout`.
    """
    found = []
    for start in _starts(ridge, planes):
        explained, scales = descend(gram, cross, start, planes, sweeps, False)
        found.append((explained, start, scales))
    found.sort(key=lambda each: -each[0])
    if pairs:
        # Several starts often lead to the same weights.
        different = {start.tobytes(): start for _, start, _ in found}
        found = []
        for start in list(different.values())[:_KEPT]:
            explained, scales = descend(gram, cross, start, planes, sweeps, True)
            found.append((explained, start, scales))
    _, best, scales = max(found, key=lambda each: each[0])
    return with_positive_scales(best[:planes], scales[:planes])


def with_positive_scales(planes: npt.NDArray[np.int8], scales: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Return the same weights with positive scales: the sign of a plane is free."""
    signs = np.where(scales < 0, -1, 1).astype(np.int8)
    return planes * signs[:, np.newaxis], scales * signs


def _starts(weights: FloatArray, planes: int) -> Iterator[npt.NDArray[np.int8]]:
    """Yield planes (2, features) from ridge weights, to begin the descent with; the second is zero if there is one."""
    for share in SHARES:
        left, rounded = weights.copy(), np.zeros((2, len(weights)), dtype=np.int8)
        for plane in rounded[:planes]:
            plane[:] = np.sign(left) * (np.abs(left) > share * np.abs(left).mean())
            used = plane != 0
            left = left - plane * (np.abs(left[used]).mean() if used.any() else 0.0)
        yield rounded
    if planes == 2:
        both = np.array([(first, second) for first in (-1, 0, 1) for second in (-1, 0, 1)], dtype=np.int8)
        for ratio in RATIOS:
            for reach in _REACHES:
                levels = both @ np.array([1.0, ratio]) * reach * np.abs(weights).max() / (1.0 + ratio)
                nearest = np.abs(weights[:, np.newaxis] - levels).argmin(axis=1)
                yield np.ascontiguousarray(both[nearest].T)


@njit(cache=True, nogil=True, error_model="numpy")
def explained_by(a, b, c00, c01, c11):  # type: ignore[no-untyped-def]
    """Return how much of the squared target two planes with optimal scales explain, and the scales."""
    det = c00 * c11 - c01 * c01
    if c00 > 0.0 and c11 > 0.0 and det > 1e-12 * c00 * c11:
        s0, s1 = (a * c11 - b * c01) / det, (b * c00 - a * c01) / det
        return s0 * a + s1 * b, s0, s1
    if c00 > 0.0 and (c11 <= 0.0 or a * a * c11 >= b * b * c00):
        return a * a / c00, a / c00, 0.0
    if c11 > 0.0:
        return b * b / c11, 0.0, b / c11
    return 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _moved(load, product, image, square, cross, d, e):  # type: ignore[no-untyped-def]
    """Return loads and products after the weights of one feature changed by d in the first plane, e in the second."""
    first, second = load[0] + d * cross, load[1] + e * cross
    c00 = product[0] + (2.0 * image[0] + d * square) * d
    c01 = product[1] + d * image[1] + e * image[0] + d * e * square
    c11 = product[2] + (2.0 * image[1] + e * square) * e
    return (first, second), (c00, c01, c11)


@njit(cache=True, nogil=True, error_model="numpy")
def _best_change(gram, cross, planes, count, images, loads, products, best, j, in_pairs):  # type: ignore[no-untyped-def]
    """Return the changes at one feature, or at it and a later one, that together explain most, and how much.

    Returns
    -------
    d, e : int
        Changes of the weight of feature `j` in the two planes.
    k, f, g : int
        The later feature, -1 for none, and the changes of its weights.
    best : float
    """
    size, last = planes.shape[1], count - 1
    chosen = (0, 0, -1, 0, 0)
    load, product = (loads[0], loads[1]), (products[0], products[1], products[2])
    image = (images[0, j], images[1, j])
    for first in range(-1, 2):
        d = first - planes[0, j]
        for second in range(-last, last + 1):
            e = second - planes[1, j]
            if d == 0 and e == 0:
                continue
            moved, mixed = _moved(load, product, image, gram[j, j], cross[j], d, e)
            if not in_pairs:
                gained, _s0, _s1 = explained_by(moved[0], moved[1], mixed[0], mixed[1], mixed[2])
                if gained > best * _GAIN + 1e-300:
                    best, chosen = gained, (d, e, -1, 0, 0)
                continue
            for k in range(j + 1, size):
                there = (images[0, k] + d * gram[j, k], images[1, k] + e * gram[j, k])
                for third in range(-1, 2):
                    f = third - planes[0, k]
                    for fourth in range(-last, last + 1):
                        g = fourth - planes[1, k]
                        if f == 0 and g == 0:
                            continue
                        both, all_mixed = _moved(moved, mixed, there, gram[k, k], cross[k], f, g)
                        gained, _s0, _s1 = explained_by(both[0], both[1], all_mixed[0], all_mixed[1], all_mixed[2])
                        if gained > best * _GAIN + 1e-300:
                            best, chosen = gained, (d, e, k, f, g)
    return chosen, best


@njit(cache=True, nogil=True, error_model="numpy")
def _change(gram, cross, planes, images, loads, products, j, d, e):  # type: ignore[no-untyped-def]
    """Change the weights of one feature in both planes, and update all that depends on them."""
    moved, mixed = _moved(
        (loads[0], loads[1]),
        (products[0], products[1], products[2]),
        (images[0, j], images[1, j]),
        gram[j, j],
        cross[j],
        d,
        e,
    )
    loads[0], loads[1] = moved
    products[0], products[1], products[2] = mixed
    for i in range(len(gram)):
        images[0, i] += d * gram[j, i]
        images[1, i] += e * gram[j, i]
    planes[0, j] += d
    planes[1, j] += e


@njit(cache=True, nogil=True, error_model="numpy")
def descend(gram, cross, planes, count, sweeps, pairs):  # type: ignore[no-untyped-def]
    """Change the weights of one feature at a time to those that explain most, in place, until no change helps.

    With `pairs`, changes at two features are then tried. They matter because features of a reservoir are correlated:
    replacing one by another can help, although each of the two changes alone raises the error. Of the planes (2,
    features) the first `count` are changed, both at once: a change of one is often good only with one of the other.
    """
    size = planes.shape[1]
    images = np.zeros((2, size))  # gram times each plane
    loads, products = np.zeros(2), np.zeros(3)
    for j in range(size):
        d, e = planes[0, j], planes[1, j]
        if d != 0 or e != 0:
            planes[0, j] = planes[1, j] = 0
            _change(gram, cross, planes, images, loads, products, j, d, e)
    best, s0, s1 = explained_by(loads[0], loads[1], products[0], products[1], products[2])
    in_pairs = False
    for _ in range(sweeps):
        changed = False
        for j in range(size):
            (d, e, k, f, g), gained = _best_change(
                gram, cross, planes, count, images, loads, products, best, j, in_pairs
            )
            if gained > best:
                best, changed = gained, True
                _change(gram, cross, planes, images, loads, products, j, d, e)
                if k >= 0:
                    _change(gram, cross, planes, images, loads, products, k, f, g)
        if changed:
            in_pairs = False
        elif in_pairs or not pairs:
            break
        else:
            in_pairs = True
    best, s0, s1 = explained_by(loads[0], loads[1], products[0], products[1], products[2])
    return best, np.array([s0, s1])
