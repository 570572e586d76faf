"""Classes as outputs of -1 and 1, and the winner among outputs: for one sample, or over a whole sequence."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def one_against_rest(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> FloatArray:
    """Give each class an output: 1 where a sample is of it, -1 elsewhere; of two classes only the second has one.

    Raises
    ------
    ValueError
        Where a label is none of the classes.
    """
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise ValueError(f"classes {unknown.tolist()} were not named; this readout knows {classes.tolist()}")
    named = classes[1:] if len(classes) == 2 else classes
    return np.where(labels[:, np.newaxis] == named, 1.0, -1.0)


def winners(decided: FloatArray, classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Name the class of each sample from outputs (samples, classes), or (samples,) for two classes."""
    named = (decided > 0).astype(np.intp) if decided.ndim == 1 else decided.argmax(axis=1)
    chosen: npt.NDArray[Any] = classes[named]
    return chosen


def predict_sequences(
    decide: Callable[[npt.ArrayLike], FloatArray], sequences: Iterable[npt.ArrayLike], classes: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Name the class of each sequence of samples by winner-take-all: the output largest on average wins.

    Parameters
    ----------
    decide : callable
        From samples (steps, features) to outputs (steps, classes), or (steps,) for two classes.
    sequences : iterable of array_like, shape (steps, features) each
        Their lengths may differ.
    """
    means = [decide(sequence).mean(axis=0) for sequence in sequences]
    return winners(np.array(means), classes)
