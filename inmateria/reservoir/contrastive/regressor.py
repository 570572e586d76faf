"""Regression by a substrate that learns by itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import validate_data

from inmateria.reservoir.contrastive.estimators import ContrastiveEstimator
from inmateria.reservoir.contrastive.learning_channels import LearningChannels
from inmateria.reservoir.contrastive.voltage_scale import VoltageScale, label_volts
from inmateria.substrate import FloatArray

__all__ = ["ContrastiveRegressor"]


class ContrastiveRegressor(RegressorMixin, ContrastiveEstimator):  # type: ignore[misc]
    """Regression by a substrate that learns by itself: its edges are the weights.

    Features become voltages of the inputs, targets voltages of the labels, and in each epoch every sample is shown
    once with ``learn``. A prediction is the output in the free state, in the units of the targets. Inputs beyond the
    features are at rest; there must be an output for each target.

    Parameters
    ----------
    substrate : Substrate, simulator or str
        Substrate with the channels of `ContrastiveNetwork`, or its URI, such as ``"clln://?grid=4x4"`` or
        ``"mqtt://host/lab/clln-1"``. A URI is opened and closed by each call, and a simulator that it names is made
        anew by each fit. The ``async`` forms take a substrate that has been entered, the others enter it.
    epochs : int
    rate : float or (float, float)
        Factor on the rate of the device, above 0 and at most 1; or that in the first and in the last epoch, geometric
        in between. To begin with a higher rate, make the device with it.
    input_range : (low, high), "volts" or None
        Voltages of the smallest and largest value of each feature in the training, numbers or one for each feature; by
        default the range of the input without a tenth at each end. Values beyond, in a prediction, go on linearly to
        the limits of the input, and there they are clipped with a `ClippedInputWarning`. With ``"volts"`` X is in V,
        and what the device does not allow is refused.
    label_range : (low, high), "volts" or None
        The same for the smallest and largest target; by default the middle quarter of the range of the label, because
        outputs far from it cannot be reached. With ``"volts"`` y is in V.
    shuffle : bool
        Whether each epoch has another random order of the samples.
    random_state : int, RandomState instance or None
        Generator of the orders.
    batch : int, optional
        Samples in one stimulus; by default as many as the limits of the device allow, and at most those with a million
        values in the response (50,000 samples for 20 channels). Smaller ones show progress and end sooner when
        cancelled, and cost a round trip each.
    warm_start : bool
        Whether to go on with the weights that the substrate has, and with the scaling of an earlier fit. Otherwise a
        fit begins with a reset, to the first weights.

    Attributes
    ----------
    substrate_ : Substrate or str
        Substrate that was trained, or the URI of a device.
    learning_curve_ : ndarray, shape (epochs,)
        Root of the mean squared difference between outputs and labels in each epoch, before each update, V.
    stimuli_, updates_, exchanges_ : int
        Presentations of a sample, updates of the edges, and stimuli that were sent, one at rest at the end included.
    time_ : float
        Time of the substrate for the presentations, s.
    energy_ : float
        Voltage times current of all sources times time, summed over the free states of the training, as the device read
        them, J; NaN if it does not read them. Neither the clamped states nor the supervisor are in it.
    seconds_ : float
        Time on this machine, s.
    input_range_, label_range_ : ndarray, shape (2, features), (2, outputs)
        Voltages of the smallest and largest values of the training, V.
    n_features_in_ : int

    Examples
    --------
    >>> model = ContrastiveRegressor("clln://?seed=1", epochs=500, rate=(1.0, 0.1))
    >>> model.fit(X, y).score(X_test, y_test)  # doctest: +SKIP
    >>> print(model.summary())  # doctest: +SKIP
    """

    label_scale_: VoltageScale
    _one_dimensional: bool

    def _checked(self, X: Any, y: Any, again: bool) -> tuple[FloatArray, npt.NDArray[Any]]:
        X, y = validate_data(self, X, y, reset=not again, dtype=np.float64, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = y[:, np.newaxis] if y.ndim == 1 else y
        if again and (targets.shape[1] != len(self.label_range_.T)):
            raise ValueError(f"y has {targets.shape[1]} targets; the fit that goes on had {len(self.label_range_.T)}")
        self._one_dimensional = y.ndim == 1
        return X, targets.astype(np.float64)

    def _labels(self, y: npt.NDArray[Any], channels: LearningChannels, again: bool) -> FloatArray:
        limits = channels.label_limits()
        if y.shape[1] != len(limits[0]):
            raise ValueError(
                f"y has {y.shape[1]} targets and {channels.info.id} {len(limits[0])} outputs; use a device with "
                f"outputs={y.shape[1]}, or an estimator for each target on a device of its own"
            )
        if not again:
            ends = y.min(axis=0), y.max(axis=0)
            if isinstance(self.label_range, str) and self.label_range == "volts":
                self.label_scale_ = VoltageScale.identity(limits)
            else:
                self.label_scale_ = VoltageScale.over(*ends, label_volts(self.label_range, limits), limits)
            self.label_range_ = self.label_scale_.volts(np.stack(ends))
        self.label_scale_.check_limits("y", y)
        return self.label_scale_.volts(y)

    def _decoded(self, outputs: FloatArray) -> npt.NDArray[Any]:
        targets = self.label_scale_.data(outputs)
        return targets[:, 0] if self._one_dimensional else targets
