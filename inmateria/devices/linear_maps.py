"""A trained linear readout as its weights alone: what can be compared, moved to another device and kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout, RidgeReadout
from inmateria.substrate import FloatArray

__all__ = ["LinearMap", "linear_map"]


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Outputs of a linear readout as a function of the features: ``X @ coef.T + intercept``.

    Parameters
    ----------
    coef : ndarray of float, shape (outputs, features)
    intercept : ndarray of float, shape (outputs,)
    classes : tuple, or None
        Of a classifier, whose outputs are 1 for the class and -1 for the others; two classes have one output.
    flat : bool
        Whether targets and predictions have one axis, shape (steps,).
    """

    coef: FloatArray
    intercept: FloatArray
    classes: tuple[Any, ...] | None = None
    flat: bool = False

    def __call__(self, X: FloatArray) -> FloatArray:
        """Read features (steps, features) out, shape (steps, outputs)."""
        outputs: FloatArray = X @ self.coef.T + self.intercept
        return outputs

    def targets(self, y: npt.ArrayLike) -> FloatArray:
        """Turn targets, or the names of classes, into outputs (steps, outputs)."""
        if self.classes is None:
            wanted = np.asarray(y, dtype=np.float64)
            wanted = wanted[:, np.newaxis] if wanted.ndim == 1 else wanted
        else:
            named = np.asarray(y)
            strange = set(named.tolist()) - set(self.classes)
            if strange:
                raise ValueError(f"the labels name {sorted(strange)}; the readout knows {list(self.classes)}")
            every = self.classes[1:] if len(self.classes) == 2 else self.classes
            wanted = np.where(named[:, np.newaxis] == np.array(every), 1.0, -1.0)
        if wanted.ndim != 2 or wanted.shape[1] != len(self.coef):
            raise ValueError(f"the targets have shape {wanted.shape}; the readout has {len(self.coef)} outputs")
        return wanted

    def estimator(self) -> RidgeReadout | RidgeClassifierReadout:
        """Make a readout of these weights, which predicts and has not seen any data."""
        if self.classes is not None:
            return RidgeClassifierReadout.of_weights(self.coef, self.intercept, self.classes)
        return RidgeReadout.of_weights(self.coef[0] if self.flat else self.coef, self.intercept)


def linear_map(estimator: Any) -> LinearMap:
    """Take the weights out of a fitted linear estimator, or out of a pipeline of one behind a `StandardScaler`.

    Raises
    ------
    TypeError
        Where it is not linear in the features that it is given.
    """
    scaled = hasattr(estimator, "steps") and len(estimator.steps) == 2 and hasattr(estimator.steps[0][1], "scale_")
    scaler, last = (step for _, step in estimator.steps) if scaled else (None, estimator)
    if not hasattr(last, "coef_"):
        raise TypeError(
            f"{type(estimator).__name__} has no weights to be moved or kept; give a fitted linear readout with coef_, "
            "or a pipeline of a StandardScaler and one"
        )
    coef = np.array(last.coef_, dtype=np.float64)
    classes = tuple(last.classes_.tolist()) if hasattr(last, "classes_") else None
    flat = coef.ndim == 1 and classes is None
    coef = np.atleast_2d(coef)
    intercept = np.broadcast_to(np.asarray(last.intercept_, dtype=np.float64), len(coef)).copy()
    if scaler is not None:
        if scaler.scale_ is not None:
            coef = coef / scaler.scale_
        if scaler.mean_ is not None and scaler.with_mean:
            intercept = intercept - coef @ scaler.mean_
    return LinearMap(coef, intercept, classes, flat)
