"""Scoring the same ridge readout on the substrate's features and on each control, fold by fold.

A task names its feature sets, the substrate's first, and its targets; everything else that a score needs is here, so
that a control added here stands beside every task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.protocols.outcome import ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.reservoir import RidgeClassifierReadout, RidgeReadout, accuracy
from inmateria.substrate import FloatArray

__all__ = [
    "BLOCKS_OF_TIME",
    "FOLDS",
    "Comparison",
    "Folds",
    "Labels",
    "blocks_of_time",
    "confusion_table",
    "score_classification",
    "score_regression",
    "stratified_folds",
]

Labels = npt.NDArray[np.intp]
Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
"""Rows to learn from and rows held out, fold by fold."""

FOLDS = 5
BLOCKS_OF_TIME = f"{FOLDS} blocks of time, each held out in turn, the last one first."
_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-3, 6))


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Scores of one readout on several feature sets, with further fields of an `Outcome`.

    Parameters
    ----------
    scores : tuple of Score
        One for each feature set; if there are several targets, one for each set and target.
    metric : str
        Name of the score; more is better.
    chance : float
        Baseline score.
    chance_description : str
        Description of the baseline.
    trained, held_out : int
        Numbers of training and held-out rows in the first fold.
    splitting : str
        Description of the folds.
    classes : tuple of str
        Outputs of the readout: classes, or targets.
    coef : ndarray of float, shape (outputs of the readout, features)
        Weights of the substrate's readout in the first fold, over standardised features.
    confusion : dict of str to tuple
        Confusion matrix of the first fold for each feature set: rows are true classes, columns predicted ones.
    held_out_rows : ndarray of int, shape (held_out,)
        Rows of the feature sets that the first fold held out.
    predicted : dict of str to ndarray
        Predictions for those rows from each feature set: (held_out,) labels, or (held_out, targets).
    by_target : dict of str to ndarray of float, shape (folds, targets)
        Score of every target in every fold, for each feature set.
    """

    scores: tuple[Score, ...]
    metric: str
    chance: float
    chance_description: str
    trained: int
    held_out: int
    splitting: str
    classes: tuple[str, ...]
    coef: FloatArray
    held_out_rows: npt.NDArray[np.intp]
    predicted: dict[str, npt.NDArray[Any]]
    by_target: dict[str, FloatArray]
    confusion: dict[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    def outcome(self, title: str, exchanges: ExchangeStatistics, outputs: list[str], **further: Any) -> Outcome:
        """Make the outcome of a task that consists of this comparison.

        Parameters
        ----------
        title : str
            The task in a few words.
        exchanges : ExchangeStatistics
            Number and duration of the exchanges, from `present_trials` or `present_series`.
        outputs : list of str
            Output channels that the substrate's features were read from.
        **further
            Other fields of `Outcome`, such as `sentence` and `curves`; they replace those of the comparison.
        """
        fields: dict[str, Any] = {
            "scores": self.scores,
            "metric": self.metric,
            "chance": self.chance,
            "chance_description": self.chance_description,
            "trained": self.trained,
            "held_out": self.held_out,
            "splitting": self.splitting,
            "classes": self.classes,
            "weights": weights_by_output(self.coef, outputs),
            "confusion": self.confusion,
        }
        return Outcome(title=title, exchanges=exchanges, **{**fields, **further})


def score_classification(
    feature_sets: Mapping[str, FloatArray],
    labels: Labels,
    folds: Folds | None = None,
    *,
    readout: str = "ridge",
    splitting: str = "",
    seed: int = 0,
    on_progress: Callable[[str, int, int, int], None] | None = None,
) -> Comparison:
    """Score a ridge readout of classes on each feature set: accuracy.

    Parameters
    ----------
    feature_sets : dict of str to ndarray of float, shape (items, features)
        The substrate's first, then the controls.
    labels : ndarray of int, shape (items,)
        The class of each item.
    folds : sequence of (rows to learn from, rows held out), optional
        Stratified folds drawn with the seed by default.
    readout : str
        Name of the scores.
    splitting : str
        Description of the given folds.
    seed : int
        Seed of the default folds.
    on_progress : ProgressCallback, optional
        Called after each fit.
    """
    count = _Fits(on_progress, len(feature_sets) * (FOLDS if folds is None else len(folds)))
    if folds is None:
        folds, splitting = stratified_folds(labels, seed), f"{FOLDS} stratified folds, drawn with the seed."
    classes = np.unique(labels)
    scores: list[Score] = []
    confusion, first, by_target = {}, {}, {}
    coef: FloatArray = np.empty(0)
    for on, X in feature_sets.items():
        splits: list[float] = []
        for train, test in folds:
            fitted = make_pipeline(StandardScaler(), RidgeClassifierReadout(_ALPHAS)).fit(X[train], labels[train])
            predicted = fitted.predict(X[test])
            count.one_more()
            splits.append(accuracy(labels[test], predicted))
            if len(splits) == 1:
                confusion[f"{readout}, {on}"] = confusion_table(labels[test], predicted, classes)
                first[on] = predicted
                coef = coef if coef.size else np.atleast_2d(fitted[-1].coef_)
        by_target[on] = np.array(splits)[:, np.newaxis]
        scores.append(Score(readout=readout, on=on, features=X.shape[1], score=splits[0], splits=tuple(splits)))
    train, test = folds[0]
    names = tuple(str(name) for name in classes)
    return Comparison(
        scores=tuple(scores),
        metric="accuracy",
        chance=float(np.unique(labels[test], return_counts=True)[1].max() / len(test)),
        chance_description="most frequent class of the held-out part",
        trained=len(train),
        held_out=len(test),
        splitting=splitting,
        classes=names if len(coef) > 1 else names[1:],
        coef=coef,
        confusion=confusion,
        held_out_rows=test,
        predicted=first,
        by_target=by_target,
    )


def score_regression(
    feature_sets: Mapping[str, FloatArray],
    targets: Mapping[str, FloatArray],
    *,
    washout: int = 0,
    metric: Literal["1 - NRMSE", "r²"] = "1 - NRMSE",
    total: str | None = None,
    alphas: Sequence[float] = _ALPHAS,
    on_progress: Callable[[str, int, int, int], None] | None = None,
) -> Comparison:
    """Score a ridge readout of numbers on each feature set, in blocks of time, the last one first.

    Parameters
    ----------
    feature_sets : dict of str to ndarray of float, shape (steps, features)
        The substrate's first, then the controls.
    targets : dict of str to ndarray of float, shape (steps,)
        Steps at which any target is NaN are left out.
    washout : int
        Steps at the beginning that are left out.
    metric : {"1 - NRMSE", "r²"}
        One minus the normalised root mean squared error (1 is perfect, 0 is predicting the mean), or the squared
        correlation.
    total : str, optional
        Score the sum over all targets under this name, in place of each target.
    alphas : sequence of float
        Candidates for the regularisation, chosen by leave-one-out cross-validation.
    on_progress : ProgressCallback, optional
        Called after each fit.
    """
    count = _Fits(on_progress, len(feature_sets) * FOLDS)
    names = list(targets)
    Y = np.column_stack([targets[name] for name in names])
    kept = np.arange(washout, len(Y))
    kept = kept[np.isfinite(Y[kept]).all(axis=1)]
    folds = [(kept[train], kept[test]) for train, test in blocks_of_time(len(kept))]
    scores: list[Score] = []
    by_target, first = {}, {}
    coef: FloatArray = np.empty(0)
    for on, X in feature_sets.items():
        by_fold = []
        for train, test in folds:
            fitted = make_pipeline(StandardScaler(), RidgeReadout(alphas)).fit(X[train], Y[train])
            predicted = fitted.predict(X[test])
            count.one_more()
            by_fold.append(_measure(metric, Y[test], predicted))
            if len(by_fold) == 1:
                first[on] = predicted
                coef = coef if coef.size else fitted[-1].coef_
        values = by_target[on] = np.array(by_fold)
        if total is not None:
            scores.append(_score(total, on, X, values.sum(axis=1)))
        else:
            scores += [_score(name, on, X, values[:, column]) for column, name in enumerate(names)]
    train, test = folds[0]
    # Uncorrelated series of n samples have an expected r² of 1 / n.
    chance = 0.0 if metric == "1 - NRMSE" else (len(names) if total is not None else 1) / len(test)
    return Comparison(
        scores=tuple(scores),
        metric=metric if total is None else f"sum of {metric}",
        chance=chance,
        chance_description="mean of the target" if metric == "1 - NRMSE" else "targets / held-out steps",
        trained=len(train),
        held_out=len(test),
        splitting=BLOCKS_OF_TIME,
        classes=tuple(names),
        coef=coef,
        held_out_rows=test,
        predicted=first,
        by_target=by_target,
    )


def blocks_of_time(steps: int) -> Folds:
    """Hold out each of some blocks of time in turn, the last one first: learned from the past, scored on the future."""
    return list(reversed(list(KFold(FOLDS).split(np.arange(steps)))))


def stratified_folds(labels: Labels, seed: int) -> Folds:
    """Draw folds that have each class in its share."""
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))


def confusion_table(true: Labels, predicted: Labels, classes: npt.NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """Count the predictions: rows are true classes, columns predicted ones."""
    table = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(table, (np.searchsorted(classes, true), np.searchsorted(classes, predicted)), 1)
    return tuple(tuple(row) for row in table.tolist())


class _Fits:
    """Counts the fits of a comparison, and reports them as the phase ``"scoring"``."""

    def __init__(self, on_progress: Callable[[str, int, int, int], None] | None, of: int) -> None:
        self._on_progress, self._done, self._of = on_progress, -1, of
        self.one_more()

    def one_more(self) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress("scoring", self._done, self._of, 0)


def _score(name: str, on: str, X: FloatArray, values: FloatArray) -> Score:
    return Score(readout=name, on=on, features=X.shape[1], score=float(values[0]), splits=tuple(values.tolist()))


def _measure(metric: str, Y: FloatArray, predicted: FloatArray) -> FloatArray:
    """Score each target (columns)."""
    spread = ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
    if metric == "r²":
        centred = predicted - predicted.mean(axis=0)
        both = spread * (centred**2).sum(axis=0)
        covariance: FloatArray = ((Y - Y.mean(axis=0)) * centred).sum(axis=0)
        squared: FloatArray = np.divide(covariance**2, both, out=np.zeros_like(both), where=both > 0)
        return squared
    errors: FloatArray = np.sqrt(((Y - predicted) ** 2).sum(axis=0) / spread)
    return 1.0 - errors
