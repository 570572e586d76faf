"""Classification by a substrate that learns by itself."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from inmateria.reservoir.contrastive.estimators import ContrastiveEstimator, Range, Read
from inmateria.reservoir.contrastive.learning_channels import LearningChannels
from inmateria.reservoir.contrastive.voltage_scale import label_volts
from inmateria.substrate import FloatArray, Simulator, Substrate

__all__ = ["ContrastiveClassifier"]


class ContrastiveClassifier(ClassifierMixin, ContrastiveEstimator):  # type: ignore[misc]
    """Classification by a substrate that learns by itself: its edges are the weights.

    Each class has an output, whose label is high for its samples and low for others; two classes can share one. After
    the training the outputs of all samples are read once more without learning, and a prediction is the class whose
    mean output is nearest. Outputs beyond the classes have low labels.

    Parameters
    ----------
    substrate, epochs, rate, input_range, shuffle, random_state, batch, warm_start
        As for `ContrastiveRegressor`.
    label_range : (low, high) or None
        Voltages of a low and of a high label; by default the ends of the middle quarter of the range of the label.
    decision : {"means", "labels"}
        Whether a sample is of the class whose mean output in the training is nearest to its outputs, or whose label is.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    class_labels_ : ndarray, shape (classes, outputs)
        Labels of each class, V.
    class_outputs_ : ndarray, shape (classes, outputs)
        Voltages that a prediction compares outputs with: mean outputs or labels, V.
    substrate_, learning_curve_, stimuli_, updates_, exchanges_, time_, energy_, seconds_, input_range_, n_features_in_
        As for `ContrastiveRegressor`; the last reading of the samples counts among the presentations, not in the
        energy.
    label_range_ : ndarray, shape (2, outputs)
        Low and high label, V.

    Examples
    --------
    >>> model = ContrastiveClassifier("clln://?grid=4x4&inputs=4&outputs=3&differential=false", rate=(1.0, 0.1))
    >>> model.fit(X, y).score(X_test, y_test)  # doctest: +SKIP
    """

    classes_: npt.NDArray[Any]
    class_labels_: FloatArray
    class_outputs_: FloatArray

    def __init__(
        self,
        substrate: Substrate | Simulator | str,
        *,
        epochs: int = 100,
        rate: float | Sequence[float] = 1.0,
        input_range: Range = None,
        label_range: tuple[Any, Any] | None = None,
        decision: Literal["means", "labels"] = "means",
        shuffle: bool = True,
        random_state: Any = 0,
        batch: int | None = None,
        warm_start: bool = False,
    ) -> None:
        super().__init__(
            substrate,
            epochs=epochs,
            rate=rate,
            input_range=input_range,
            label_range=label_range,
            shuffle=shuffle,
            random_state=random_state,
            batch=batch,
            warm_start=warm_start,
        )
        self.decision = decision

    def _checked(self, X: Any, y: Any, again: bool) -> tuple[FloatArray, npt.NDArray[Any]]:
        X, y = validate_data(self, X, y, reset=not again, dtype=np.float64)
        check_classification_targets(y)
        if self.decision not in ("means", "labels"):
            raise ValueError(f"decision is {self.decision!r}; give 'means' or 'labels'")
        classes, codes = np.unique(y, return_inverse=True)
        if again and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y has the classes {classes}; the fit that goes on had {self.classes_}")
        self.classes_ = classes
        return X, codes

    def _labels(self, y: npt.NDArray[Any], channels: LearningChannels, again: bool) -> FloatArray:
        limits, classes = channels.label_limits(), len(self.classes_)
        outputs = len(limits[0])
        if not (classes <= outputs or (classes == 2 and outputs == 1)):
            raise ValueError(
                f"y has {classes} classes and {channels.info.id} {outputs} outputs; use a device with "
                f"outputs={classes}, or fewer classes"
            )
        if not again:
            low, high = label_volts(self.label_range, limits)
            chosen = np.eye(classes, outputs, dtype=bool) if outputs > 1 else np.arange(classes)[:, np.newaxis] > 0
            self.class_labels_ = np.where(chosen, high, low)
            self.label_range_ = np.stack((low, high))
        labels: FloatArray = self.class_labels_[y]
        return labels

    async def _conclude(self, y: npt.NDArray[Any], read: Read) -> None:
        if self.decision == "labels":
            self.class_outputs_ = self.class_labels_
        else:
            outputs = await read()
            self.class_outputs_ = np.array([outputs[y == code].mean(axis=0) for code in range(len(self.classes_))])

    def _decoded(self, outputs: FloatArray) -> npt.NDArray[Any]:
        distance = ((outputs[:, np.newaxis] - self.class_outputs_) ** 2).sum(axis=2)
        named: npt.NDArray[Any] = self.classes_[distance.argmin(axis=1)]
        return named
