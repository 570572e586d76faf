"""What protocols of many trials share: stimuli given one after another with rest between, and how well they are read.

A trial is a series for a `PhysicalReservoir`. Features of every trial come back in order, with what the
exchanges cost; readouts on them are scored on held-out folds beside controls.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.runs import ExchangeStatistics, Score
from inmateria.protocols.task import ProgressCallback
from inmateria.protocols.tasks.digits import round_trips_of
from inmateria.reservoir import PhysicalReservoir, RidgeClassifierReadout, RidgeReadout, nrmse
from inmateria.substrate import FloatArray

__all__ = ["FOLDS", "Folds", "present_trials", "score_classification", "score_regression"]

Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
"""Indices of the trials learned and held out, fold by fold."""

FOLDS = 5
_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-3, 6))


async def present_trials(
    reservoir: PhysicalReservoir,
    trials: Sequence[FloatArray],
    round_trips: int,
    on_progress: ProgressCallback,
    phase: str = "streaming",
) -> tuple[list[FloatArray], ExchangeStatistics]:
    """Give trials to a reservoir that is entered; return the features of each, and what it cost.

    Every trial is checked against the limits before the first is given.
    """
    for trial in trials:
        reservoir.check(trial)
    # What is compiled or loaded at first is no round trip.
    await reservoir.substrate.stimulate(
        reservoir.info.stimulus(np.zeros(len(reservoir.info.inputs)), reservoir.duration_of_step)
    )
    seconds = await round_trips_of(reservoir, round_trips, on_progress)
    features: list[FloatArray] = []
    steps, begun = 0, time.perf_counter()
    async with aclosing(reservoir.stream(trials)) as responses:
        async for X in responses:
            steps += reservoir.steps_of(trials[len(features)])
            features.append(X)
            on_progress(phase, len(features), len(trials), steps)
    p50, p99 = np.percentile(seconds, [50, 99])
    return features, ExchangeStatistics(
        count=len(trials),
        steps=steps,
        seconds=time.perf_counter() - begun,
        round_trip_p50=float(p50),
        round_trip_p99=float(p99),
        round_trips=round_trips,
    )


def score_classification(
    feature_sets: Mapping[str, FloatArray], labels: npt.NDArray[np.intp], what: str, folds: Folds
) -> tuple[tuple[Score, ...], dict[str, tuple[tuple[int, ...], ...]], FloatArray]:
    """Score a ridge readout of classes on each sort of features, the substrate's first, fold by fold.

    Returns
    -------
    scores : tuple of Score
        Accuracy.
    confusion : dict
        Of the first fold, for each sort: rows are true classes, columns named ones.
    coef : ndarray of float, shape (classes, features)
        Of the substrate's readout in the first fold, over standardised features.
    """
    classes = np.unique(labels)
    scores, confusion, coef = [], {}, np.empty(0)
    for on, X in feature_sets.items():
        splits = []
        for train, test in folds:
            readout = make_pipeline(StandardScaler(), RidgeClassifierReadout(_ALPHAS)).fit(X[train], labels[train])
            said = readout.predict(X[test])
            splits.append(float(np.mean(said == labels[test])))
            if not splits[1:]:
                table = np.zeros((len(classes), len(classes)), dtype=int)
                np.add.at(table, (np.searchsorted(classes, labels[test]), np.searchsorted(classes, said)), 1)
                confusion[f"{what}, {on}"] = tuple(tuple(int(n) for n in row) for row in table)
                coef = coef if coef.size else np.atleast_2d(readout[-1].coef_)
        scores.append(_score(what, on, X, splits))
    return tuple(scores), confusion, coef


def score_regression(
    feature_sets: Mapping[str, FloatArray], target: FloatArray, what: str
) -> tuple[tuple[Score, ...], dict[str, FloatArray], FloatArray]:
    """Score a ridge readout of numbers on each sort of features, in blocks of time, the last one first.

    Returns
    -------
    scores : tuple of Score
        1 - NRMSE.
    predicted : dict of str to ndarray of float
        For each sort, of the last block.
    coef : ndarray of float, shape (1, features)
        Of the substrate's readout that did not see the last block, over standardised features.
    """
    folds = list(reversed(list(KFold(FOLDS).split(target))))
    scores, predicted, coef = [], {}, np.empty(0)
    for on, X in feature_sets.items():
        splits = []
        for train, test in folds:
            readout = make_pipeline(StandardScaler(), RidgeReadout(_ALPHAS)).fit(X[train], target[train])
            said = readout.predict(X[test])
            splits.append(1.0 - float(nrmse(target[test], said)))
            if not splits[1:]:
                predicted[on] = said
                coef = coef if coef.size else np.atleast_2d(readout[-1].coef_)
        scores.append(_score(what, on, X, splits))
    return tuple(scores), predicted, coef


def _score(what: str, on: str, X: FloatArray, splits: Sequence[float]) -> Score:
    return Score(
        readout=what,
        on=on,
        features=X.shape[1],
        score=splits[0],
        splits=tuple(splits),
        control=on != "substrate",
    )
