"""The data that tasks do not draw with their seed: data sets and fixed series, each as the present part may see it.

A run for validation gets only items that no reported split tests on: the others are not in what it is given. Of digits
and flowers, every second item of each class, in the order of the data set, is one that may be tested on.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inmateria.protocols.data_parts import present_part
from inmateria.protocols.scoring import Labels
from inmateria.reservoir import henon, mackey_glass
from inmateria.substrate import FloatArray

__all__ = [
    "Items",
    "averaged_parts",
    "digits",
    "henon_map",
    "iris_flowers",
    "japanese_vowels",
    "mackey_glass_series",
    "sine_phase",
]

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, eq=False)
class Items:
    """The items of a data set that a run may see.

    Parameters
    ----------
    X : ndarray of float, shape (items, features)
    y : ndarray of int, shape (items,)
        Class of each.
    names : tuple of str
        Names of the classes.
    numbers : ndarray of int, shape (items,)
        Number of each item in the whole data set.
    testable : ndarray of bool, shape (items,)
        Items that a split may test on.
    """

    X: FloatArray
    y: Labels
    names: tuple[str, ...]
    numbers: Labels
    testable: npt.NDArray[np.bool_]

    def split(self, held_out: int, seed: int) -> tuple[Labels, Labels]:
        """Draw a stratified part of the items to test on, and learn from all others.

        Parameters
        ----------
        held_out : int
            Number of items to test on.
        seed : int

        Returns
        -------
        (rows to learn from, rows to test on)
            In random order.

        Raises
        ------
        ValueError
            If more are to be tested on than may be.
        """
        may = np.flatnonzero(self.testable)
        if held_out > len(may):
            raise ValueError(
                f"{held_out:,} of {len(self.y):,} items were to be held out; {len(may):,} may be tested on, the others "
                "are kept for choosing settings; hold out fewer"
            )
        generator = np.random.default_rng(seed)
        test = _stratified(self.y, may, held_out, generator)
        return generator.permutation(np.setdiff1d(np.arange(len(self.y)), test)), test

    def split_few(self, learned: int, seed: int) -> tuple[Labels, Labels]:
        """Draw some items of each class to learn from, and test on all others that may be tested on.

        Parameters
        ----------
        learned : int
            Items to learn from.
        seed : int

        Returns
        -------
        (rows to learn from, rows to test on)
        """
        pool = np.flatnonzero(~self.testable)
        if not len(pool):  # of a run for validation, none of whose items is one of the reported tests
            pool = np.arange(len(self.y))
        train = _stratified(self.y, pool, learned, np.random.default_rng(seed))
        return train, np.setdiff1d(np.flatnonzero(self.testable), train)


def digits() -> Items:
    """Return scikit-learn's handwritten digits, 8 x 8 pixels from 0 to 1: all 1,797, or the 896 for validation."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return _seen(found.data / 16.0, found.target, tuple(str(name) for name in found.target_names))


def iris_flowers() -> Items:
    """Return Fisher's iris flowers, four lengths in cm: all 150, or the 75 for validation."""
    from sklearn.datasets import load_iris

    found = load_iris()
    return _seen(found.data, found.target, tuple(str(name) for name in found.target_names))


def _stratified(y: Labels, rows: Labels, count: int, generator: np.random.Generator) -> Labels:
    """Draw some of the rows, each class in its share but for one, in random order."""
    place = np.empty(len(rows))
    for each in np.unique(y[rows]):
        of_class = np.flatnonzero(y[rows] == each)
        place[generator.permutation(of_class)] = (np.arange(len(of_class)) + generator.random()) / len(of_class)
    return generator.permutation(rows[np.argsort(place)[:count]])


def _seen(X: FloatArray, y: Labels, names: tuple[str, ...]) -> Items:
    """Return what the present part sees of a data set."""
    place = np.zeros(len(y), dtype=np.intp)
    for each in np.unique(y):
        of_class = y == each
        place[of_class] = np.arange(np.count_nonzero(of_class))
    tested = place % 2 == 0
    numbers = np.arange(len(y))
    if present_part() == "test":
        return Items(X, y, names, numbers, tested)
    left = np.flatnonzero(~tested)
    return Items(X[left], y[left], names, numbers[left], np.ones(len(left), dtype=bool))


def japanese_vowels() -> tuple[list[FloatArray], Labels, int]:
    """Read utterances (frames, 12 coefficients), their speakers, and how many come first to be learned from.

    Kudo, Toyama and Shimbo, Pattern Recognit. Lett. 20, 1103 (1999). They come with the package, under CC BY 4.0
    (doi.org/10.24432/C5NS47). The data's own split: 270 utterances to learn from, 370 to test on. For validation, only
    the former: two of three to learn from.
    """
    utterances, speakers, learned = _all_vowels()
    if present_part() == "test":
        return utterances, speakers, learned
    tested = np.arange(learned) % 3 == 2
    order = np.concatenate([np.flatnonzero(~tested), np.flatnonzero(tested)])
    return [utterances[k] for k in order], speakers[order], int(np.count_nonzero(~tested))


def averaged_parts(X: FloatArray, parts: int) -> FloatArray:
    """Average the frames (frames, features) of each of some equal parts; shape (parts, features)."""
    return np.array([part.mean(axis=0) for part in np.array_split(X, parts)])


def _all_vowels() -> tuple[list[FloatArray], Labels, int]:
    # In the package, so that nothing has to be fetched; data/README.md says whose they are.
    with np.load(Path(__file__).parent / "data" / "japanese_vowels.npz") as data:
        frames, lengths = data["millionths"].T / 1e6, data["lengths"].astype(np.intp)
        speakers = data["speakers"].astype(np.intp)
    return np.split(frames, np.cumsum(lengths)[:-1]), speakers, 270


def mackey_glass_series(steps: int) -> FloatArray:
    """Return the Mackey-Glass series with a delay of 17, shape (steps,); for validation, from another beginning."""
    return mackey_glass(steps, initial=1.2 if present_part() == "test" else 0.7)


def henon_map(steps: int) -> FloatArray:
    """Return the first coordinate of the Henon map, shape (steps,); for validation, from another beginning."""
    series: FloatArray = henon(steps, initial=(0.0, 0.0) if present_part() == "test" else (0.1, 0.1))[:, 0]
    return series


def sine_phase() -> float:
    """Return the place of the first sample of a sine, in samples; for validation, between those of reported runs."""
    return 0.0 if present_part() == "test" else _GOLDEN
