r"""Ternary readouts in integers: features as counts, sums of them, and scales that are applied by shifts.

With features :math:`x = q\,\delta` in counts :math:`q` of a step :math:`\delta`, an output is

.. math:: s_1\,\delta \sum_f z_{1f}\,q_f + s_2\,\delta \sum_f z_{2f}\,q_f + b
          \;\approx\; u\,\Bigl(m_1 \sum_f z_{1f}\,q_f + m_2 \sum_f z_{2f}\,q_f + B\Bigr)

with whole numbers :math:`m` and :math:`B` and one unit :math:`u` for all outputs, which is not needed to tell which is
the largest. A product with a fixed whole number is a few shifts and additions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IntegerReadout", "integer_readout", "signed_digits"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MOST_BITS = 12
"""Bits of the largest multiplier, if sums leave room for it in 32 bits."""
_LEAST_BITS = 8
"""Fewer bits of the largest multiplier cost accuracy; sums have 64 bits then."""


@dataclass(frozen=True, eq=False)
class IntegerReadout:
    """A ternary readout in integers; see `integer_readout`.

    Parameters
    ----------
    planes : ndarray of int8, shape (planes, outputs, features)
    multipliers : ndarray of int64, shape (planes, outputs)
    intercepts : ndarray of int64, shape (outputs,)
    step : float
        Size of one count of the features.
    bits : int
        Bits of a count, sign included.
    unit : float
        Size of one count of the outputs.
    wide : bool
        Whether outputs need 64 bits.
    classes : ndarray, shape (classes,), or None
        Classes of a classifier.
    """

    planes: npt.NDArray[np.int8]
    multipliers: IntArray
    intercepts: IntArray
    step: float
    bits: int
    unit: float
    wide: bool
    classes: npt.NDArray[Any] | None

    def counts(self, X: npt.ArrayLike) -> IntArray:
        """Return features (samples, features) in counts: rounded, and limited to what `bits` hold."""
        return _counts(np.asarray(X, dtype=np.float64), self.step, self.bits)

    def outputs(self, counts: npt.ArrayLike) -> IntArray:
        """Return the outputs (samples, outputs) of features in counts, in units of `unit`."""
        given = np.asarray(counts, dtype=np.int64)
        sums = np.einsum("pof,sf->spo", self.planes.astype(np.int64), given)
        found: IntArray = np.einsum("po,spo->so", self.multipliers, sums) + self.intercepts
        return found

    def indices(self, counts: npt.ArrayLike) -> IntArray:
        """Return the number of the class of each sample: of the largest output, the first of equal ones."""
        outputs = self.outputs(counts)
        if outputs.shape[1] == 1:
            return (outputs[:, 0] > 0).astype(np.int64)
        largest: IntArray = np.argmax(outputs, axis=1)
        return largest

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class of each sample, or its outputs in the targets' units, from features as floats."""
        counts = self.counts(X)
        if self.classes is None:
            return self.outputs(counts) * self.unit
        named: npt.NDArray[Any] = self.classes[self.indices(counts)]
        return named


def integer_readout(readout: Any, X: npt.ArrayLike, bits: int = 8) -> IntegerReadout:
    """Put a fitted ternary readout into integers.

    Parameters
    ----------
    readout : TernaryReadout or TernaryClassifierReadout
    X : array_like of float, shape (samples, features)
        Features as the readout will receive them; the largest sets the size of a count. Whole numbers that fit into
        `bits` stay as they are.
    bits : int
        Bits of a count, sign included: 2 to 16.

    Raises
    ------
    ValueError
        If features are not finite, or bits are too few or too many.
    """
    if not 2 <= bits <= 16:
        raise ValueError(f"bits is {bits}; allowed are 2 to 16")
    features = np.asarray(X, dtype=np.float64)
    planes, scales = readout.planes_, readout.scales_
    if features.ndim != 2 or features.shape[1] != planes.shape[2] or not len(features):
        raise ValueError(f"X has shape {features.shape}; it must be (samples, {planes.shape[2]}), one sample at least")
    if not np.isfinite(features).all():
        raise ValueError("X has values that are not finite; give features as the readout will receive them")
    largest, most = float(np.abs(features).max()), 2 ** (bits - 1) - 1
    whole = largest <= most and bool((features == np.round(features)).all())
    step = 1.0 if whole or largest == 0 else largest / most
    room = 30 - (bits - 1) - int(np.ceil(np.log2(planes.shape[2] + 1))) - (len(planes) - 1) - 1
    wide = room < _LEAST_BITS
    places = _MOST_BITS if wide else min(_MOST_BITS, room)
    size = float(np.abs(scales).max()) * step
    unit = size / 2**places if size > 0 else 1.0
    intercepts = np.round(np.atleast_1d(readout.intercept_) / unit)
    if not wide and np.abs(intercepts).max() >= 2**30:
        wide = True  # an intercept that is much larger than what the features add
    if np.abs(intercepts).max() >= 2**62:
        raise ValueError("an intercept is so much larger than all that the features add that no integer holds both")
    return IntegerReadout(
        planes=planes,
        multipliers=np.round(scales * step / unit).astype(np.int64),
        intercepts=intercepts.astype(np.int64),
        step=step,
        bits=bits,
        unit=unit,
        wide=wide,
        classes=getattr(readout, "classes_", None),
    )


def _counts(X: FloatArray, step: float, bits: int) -> IntArray:
    most = 2 ** (bits - 1) - 1
    return np.clip(np.round(X / step), -most, most).astype(np.int64)


def signed_digits(number: int) -> list[tuple[int, int]]:
    """Return the fewest powers of two, as (sign, exponent), whose sum is a number (its non-adjacent form)."""
    digits, exponent = [], 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)
            digits.append((sign, exponent))
            number -= sign
        number >>= 1
        exponent += 1
    return digits
