"""Fitted readouts, also behind a scaler, written as C or as an ONNX model."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.reservoir.readouts.c_source import write_float_c
from inmateria.reservoir.readouts.export import ExportedReadout
from inmateria.reservoir.readouts.onnx_model import write_onnx

__all__ = ["export_readout"]


def export_readout(
    readout: Any, path: str | PathLike[str], X: npt.ArrayLike | None = None, *, bits: int = 8, vector: int = 8
) -> list[Path]:
    """Write a fitted readout for other machines; the ending of the path says how.

    Parameters
    ----------
    readout : estimator
        A linear readout of this package, or a pipeline of a `StandardScaler` and one, whose scaler becomes part of the
        weights.
    path : path-like
        NAME.c, beside which NAME.h and NAME_test.c are written, or NAME.onnx.
    X : array_like of float, shape (samples, features), optional
        Features as the readout will receive them; needed for C. See `RidgeReadout.to_c`.
    bits, vector : int
        See `RidgeReadout.to_c`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        If the ending is another one, samples are missing, or a ternary readout stands behind a scaler.
    TypeError
        If it is no linear readout.
    """
    place = Path(path)
    if place.suffix not in (".c", ".onnx"):
        raise ValueError(f"{place.name} ends with {place.suffix!r}; allowed are .c and .onnx")
    if place.suffix == ".c" and X is None:
        raise ValueError("X is None; C comes with a test vector: give features as the readout will receive them")
    if place.suffix == ".onnx":
        X = None
    scaler, last = _parts(readout)
    if scaler is None:
        return [last.to_onnx(place)] if X is None else last.to_c(place, X, bits=bits, vector=vector)
    fitted: Any = last
    if hasattr(fitted, "planes_") and X is not None:
        raise ValueError(
            "a ternary readout behind a scaler needs products for the features; fit it on features in counts instead"
        )
    coef, classes = np.atleast_2d(fitted.coef_), getattr(fitted, "classes_", None)
    scale = np.ones(coef.shape[1]) if scaler.scale_ is None else scaler.scale_
    mean = np.zeros(coef.shape[1]) if scaler.mean_ is None else scaler.mean_
    folded = coef / scale
    intercept = np.atleast_1d(fitted.intercept_) - folded @ mean
    if X is None:
        return [write_onnx(folded, intercept, classes, place, flat=last.predicts_one_axis())]
    return write_float_c(folded, intercept, classes, place, np.asarray(X)[:vector])


def _parts(readout: Any) -> tuple[StandardScaler | None, ExportedReadout]:
    steps = [step for _, step in readout.steps] if isinstance(readout, Pipeline) else [readout]
    *before, last = steps
    if not isinstance(last, ExportedReadout):
        raise TypeError(f"{type(last).__name__} is no linear readout; give one of this package")
    if not before:
        return None, last
    if len(before) > 1 or not isinstance(before[0], StandardScaler):
        names = ", ".join(type(step).__name__ for step in before)
        raise TypeError(f"the pipeline has {names} before its readout; only one StandardScaler may stand there")
    return before[0], last
