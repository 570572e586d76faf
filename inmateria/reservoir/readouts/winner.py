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


def joined_classes(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sorted classes of two readouts.

    Raises
    ------
    ValueError
        If one knows numbers and the other names.
    """
    numeric = [np.issubdtype(classes.dtype, np.number) or classes.dtype == np.bool_ for classes in (first, second)]
    if numeric[0] != numeric[1]:
        raise ValueError(
            f"the classes {first.tolist()} and {second.tolist()} cannot be united; "
            "give both readouts labels of one kind"
        )
    return np.union1d(first, second)


def outputs_of(classes: npt.NDArray[Any], among: npt.NDArray[Any]) -> list[tuple[int, float] | None]:
    """Return the source of each output for the classes `among`, for a readout that was fitted with some of them.

    Each is an output of that readout and its sign, or None for a class it does not know: -1 for all its samples.
    """
    places = {label: place for place, label in enumerate(classes.tolist())}
    sources: list[tuple[int, float] | None] = []
    for label in (among[1:] if len(among) == 2 else among).tolist():
        place = places.get(label)
        if place is None:
            sources.append(None)
        else:
            sources.append((0, 1.0 if place == 1 else -1.0) if len(classes) == 2 else (place, 1.0))
    return sources


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
