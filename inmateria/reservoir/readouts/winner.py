"""Classes encoded as outputs of -1 and 1, and decoded by winner-take-all for single samples or whole sequences."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def one_against_rest(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> FloatArray:
    """Encode labels as one output for each class, 1 for the class and -1 for others; a single one for two classes.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise ValueError(f"y has unknown classes {unknown.tolist()}; this readout was fitted with {classes.tolist()}")
    named = classes[1:] if len(classes) == 2 else classes
    return np.where(labels[:, np.newaxis] == named, 1.0, -1.0)


def winners(decided: FloatArray, classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the class of each sample from outputs (samples, classes), or (samples,) for two classes."""
    named = (decided > 0).astype(np.intp) if decided.ndim == 1 else decided.argmax(axis=1)
    chosen: npt.NDArray[Any] = classes[named]
    return chosen


def predict_sequences(
    decide: Callable[[npt.ArrayLike], FloatArray], sequences: Iterable[npt.ArrayLike], classes: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return the class of each sequence of samples by winner-take-all: the largest output on average wins.

    Parameters
    ----------
    decide : callable
        From samples (steps, features) to outputs (steps, classes), or (steps,) for two classes.
    sequences : iterable of array_like, shape (steps, features) each
        Their lengths may differ.
    """
    means = [decide(sequence).mean(axis=0) for sequence in sequences]
    return winners(np.array(means), classes)
