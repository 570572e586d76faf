"""Base class of bottlenecks: a scikit-learn transformer that needs targets, one or several for each sample."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

FloatArray = npt.NDArray[np.float64]


class BottleneckTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A linear map of the inputs, ``components_ (x - mean_)``, learned from inputs and targets."""

    components_: FloatArray
    mean_: FloatArray

    def _checked_pairs(self, X: npt.ArrayLike, y: npt.ArrayLike, reset: bool) -> tuple[FloatArray, FloatArray]:
        """Check inputs and targets; return targets as two-dimensional."""
        inputs, targets = validate_data(
            self, X, y, reset=reset, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        return inputs, np.asarray(targets, dtype=np.float64).reshape(len(inputs), -1)

    def _checked_inputs(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        inputs: FloatArray = validate_data(self, X, reset=False, dtype=np.float64)
        return inputs

    def transform(self, X: npt.ArrayLike) -> FloatArray:
        """Map inputs (samples, inputs) to features (samples, n_components)."""
        mapped: FloatArray = (self._checked_inputs(X) - self.mean_) @ self.components_.T
        return mapped

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
