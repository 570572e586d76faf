"""Methods of linear readouts that write them as C or as an ONNX model."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted, validate_data

from inmateria.notebook_html import bars, notebook_html
from inmateria.one_line import shown_value
from inmateria.reservoir.readouts.c_source import write_float_c, write_integer_c
from inmateria.reservoir.readouts.integer import integer_readout
from inmateria.reservoir.readouts.onnx_model import write_onnx

__all__ = ["ExportedReadout"]


class ExportedReadout:
    """A linear readout, with ``coef_`` and ``intercept_``, that can be written for other machines."""

    def _repr_html_(self) -> str:
        """Return HTML for notebooks, in place of scikit-learn's diagram of a pipeline of one step."""
        fitted: Any = self
        settings = fitted.get_params(deep=False)
        facts: dict[str, Any] = {name: shown_value(value) for name, value in settings.items() if value is not None}
        if not hasattr(fitted, "n_features_in_") or not hasattr(fitted, "coef_"):
            return notebook_html(type(self).__name__, {**facts, "": "not fitted"})
        coef = np.atleast_2d(fitted.coef_)
        outputs = getattr(fitted, "classes_", None)
        facts["features"] = f"{fitted.n_features_in_:,}"
        facts["outputs" if outputs is None else "classes"] = len(coef) if outputs is None else len(outputs)
        if hasattr(fitted, "alpha_"):
            facts["alpha chosen"] = shown_value(fitted.alpha_)
        which = "" if len(coef) == 1 else " (largest over outputs)"
        largest = np.take_along_axis(coef, np.abs(coef).argmax(axis=0)[np.newaxis], axis=0)[0]
        return notebook_html(type(self).__name__, facts, [bars(largest, f"Weight of each feature{which}")])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_c(self, path: str | PathLike[str], X: npt.ArrayLike, *, bits: int = 8, vector: int = 8) -> list[Path]:
        """Write self-contained C99: NAME.h, NAME.c, and NAME_test.c, a program that exits with 0 if all is as here.

        A ternary readout is written in integers, with additions, subtractions and shifts only; any other in single
        precision.

        Parameters
        ----------
        path : path-like
            Of NAME.c; NAME becomes the beginning of the functions' names.
        X : array_like of float, shape (samples, features)
            Features as the readout will receive them. The largest sets the size of a count of a ternary readout (whole
            numbers that fit into `bits` stay as they are); the first are the test vector.
        bits : int
            Bits of a count of the features, sign included, for a ternary readout: 2 to 16.
        vector : int
            Number of samples in the test vector, at most.

        Returns
        -------
        list of Path
            Header, source and test.
        """
        fitted: Any = self
        check_is_fitted(fitted)
        features = validate_data(fitted, X, reset=False, dtype=np.float64)
        if hasattr(fitted, "planes_"):
            integers = integer_readout(fitted, features, bits)
            return write_integer_c(integers, Path(path), integers.counts(features[:vector]))
        classes = getattr(fitted, "classes_", None)
        return write_float_c(fitted.coef_, fitted.intercept_, classes, Path(path), features[:vector])

    def to_onnx(self, path: str | PathLike[str]) -> Path:
        """Write an ONNX model: input ``features``, outputs ``outputs``, and ``label`` of a classifier.

        Parameters
        ----------
        path : path-like
            Of the model.

        Raises
        ------
        ImportError
            If onnx is not installed.
        """
        fitted: Any = self
        check_is_fitted(fitted)
        coef, classes = np.atleast_2d(fitted.coef_), getattr(fitted, "classes_", None)
        return write_onnx(coef, fitted.intercept_, classes, Path(path), flat=self.predicts_one_axis())

    def predicts_one_axis(self) -> bool:
        """Return whether it was fitted to a target of one axis: predictions have the shape (samples,)."""
        fitted: Any = self
        features = np.shape(fitted.coef_)[-1]
        return not hasattr(fitted, "classes_") and np.ndim(fitted.predict(np.zeros((1, features)))) == 1
