"""The weights of a trained linear readout, to compare, transfer and store."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout, RidgeReadout
from inmateria.substrate import FloatArray

__all__ = ["LinearMap", "linear_map"]


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Linear readout: outputs are ``X @ coef.T + intercept``.

    Parameters
    ----------
    coef : ndarray of float, shape (outputs, features)
    intercept : ndarray of float, shape (outputs,)
    classes : tuple, or None
        Classes of a classifier, whose outputs are 1 for the class and -1 for others; two classes have one output.
    flat : bool
        Whether targets and predictions have one axis, shape (steps,).
    """

    coef: FloatArray
    intercept: FloatArray
    classes: tuple[Any, ...] | None = None
    flat: bool = False

    __repr__ = one_line

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the outputs (steps, outputs) for features (steps, features)."""
        outputs: FloatArray = X @ self.coef.T + self.intercept
        return outputs

    def targets(self, y: npt.ArrayLike) -> FloatArray:
        """Return targets or classes as outputs (steps, outputs)."""
        if self.classes is None:
            wanted = np.asarray(y, dtype=np.float64)
            wanted = wanted[:, np.newaxis] if wanted.ndim == 1 else wanted
        else:
            named = np.asarray(y)
            strange = set(named.tolist()) - set(self.classes)
            if strange:
                raise ValueError(
                    f"y has unknown classes {sorted(strange)}; this readout was fitted with {list(self.classes)}"
                )
            every = self.classes[1:] if len(self.classes) == 2 else self.classes
            wanted = np.where(named[:, np.newaxis] == np.array(every), 1.0, -1.0)
        if wanted.ndim != 2 or wanted.shape[1] != len(self.coef):
            raise ValueError(f"the targets have shape {wanted.shape}; the readout has {len(self.coef)} outputs")
        return wanted

    def estimator(self) -> RidgeReadout | RidgeClassifierReadout:
        """Return a readout with these weights, ready to predict."""
        if self.classes is not None:
            return RidgeClassifierReadout.of_weights(self.coef, self.intercept, self.classes)
        return RidgeReadout.of_weights(self.coef[0] if self.flat else self.coef, self.intercept)


def linear_map(estimator: Any) -> LinearMap:
    """Return the weights of a fitted linear estimator, or of a pipeline of a `StandardScaler` and one.

    Raises
    ------
    TypeError
        If it is not linear in its features.
    """
    scaled = hasattr(estimator, "steps") and len(estimator.steps) == 2 and hasattr(estimator.steps[0][1], "scale_")
    scaler, last = (step for _, step in estimator.steps) if scaled else (None, estimator)
    if not hasattr(last, "coef_"):
        raise TypeError(
            f"{type(estimator).__name__} has no coef_; give a fitted linear readout, "
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
