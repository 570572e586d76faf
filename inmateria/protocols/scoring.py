"""Scoring the same ridge readout on the substrate's features and on each control, fold by fold.

A task names its feature sets, the substrate's first, and its targets; everything else that a score needs is here, so
that a control added here stands beside every task. scikit-learn takes seconds to load, so that it is loaded by what
scores, after the exchanges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inmateria.blas_threads import one_blas_thread
from inmateria.one_line import one_line
from inmateria.protocols.controls import Control, ControlKind, FeatureSets
from inmateria.protocols.outcome import ExchangeStatistics, Outcome, Score, weights_by_output
from inmateria.substrate import FloatArray

__all__ = [
    "BLOCKS_OF_TIME",
    "FOLDS",
    "READING_NOISE",
    "Comparison",
    "Folds",
    "Labels",
    "blocks_of_time",
    "confusion_table",
    "features_of",
    "score_classification",
    "score_regression",
    "stratified_folds",
    "with_reading_noise",
]

Labels = npt.NDArray[np.intp]
Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
"""Rows to learn from and rows held out, fold by fold."""

FOLDS = 5
BLOCKS_OF_TIME = f"{FOLDS} blocks of time, each held out in turn, the last one first."
SUBSTRATE = "substrate"
READING_NOISE = 0.01
"""Noise of reading with which the substrate is scored once more, in units of each feature's standard deviation."""

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

    __repr__ = one_line

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


@one_blas_thread()
def score_classification(
    feature_sets: FeatureSets,
    labels: Labels,
    folds: Folds | None = None,
    *,
    readout: str = "ridge",
    metric: Literal["accuracy", "bits"] = "accuracy",
    splitting: str = "",
    alphas: Sequence[float] = _ALPHAS,
    seed: int = 0,
    on_progress: Callable[[str, int, int, int], None] | None = None,
) -> Comparison:
    """Score a ridge readout of classes on each feature set.

    Parameters
    ----------
    feature_sets : dict of str to ndarray of float, shape (items, features), or Control
        The substrate's first, then the controls, as `Presented.by_trial` and `Presented.by_step` return them.
    labels : ndarray of int, shape (items,)
        The class of each item.
    folds : sequence of (rows to learn from, rows held out), optional
        Stratified folds drawn with the seed by default.
    readout : str
        Name of the scores.
    metric : {"accuracy", "bits"}
        The fraction of classes that are named rightly, or the information about them in the named ones, of which 0 is
        expected by chance; see `inmateria.reservoir.measures.transmitted_information`.
    splitting : str
        Description of the given folds.
    alphas : sequence of float
        Candidates for the regularisation, chosen by leave-one-out cross-validation.
    seed : int
        Seed of the default folds, and of the noise of reading.
    on_progress : ProgressCallback, optional
        Called after each fit.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from inmateria.reservoir import RidgeClassifierReadout, accuracy
    from inmateria.reservoir.measures import transmitted_information

    count = _Fits(on_progress, len(feature_sets) * (FOLDS if folds is None else len(folds)))
    if folds is None:
        folds, splitting = stratified_folds(labels, seed), f"{FOLDS} stratified folds, drawn with the seed."
    classes = np.unique(labels)
    scores: list[Score] = []
    confusion, first, by_target = {}, {}, {}
    coef: FloatArray = np.empty(0)
    measure = accuracy if metric == "accuracy" else transmitted_information
    ones = np.where(labels[:, np.newaxis] == classes, 1.0, -1.0)

    def named(X: FloatArray, train: Labels, test: Labels) -> tuple[Labels, Any]:
        fitted = make_pipeline(StandardScaler(), RidgeClassifierReadout(alphas)).fit(X[train], labels[train])
        return fitted.predict(X[test]), fitted[-1]

    for on, given in feature_sets.items():
        splits: list[float] = []
        noisy: list[float] = []
        for train, test in folds:
            X = features_of(given, train, ones, alphas)
            predicted, fitted = named(X, train, test)
            splits.append(measure(labels[test], predicted))
            if isinstance(given, np.ndarray) and on == SUBSTRATE:
                noisy.append(measure(labels[test], named(with_reading_noise(X, train, seed), train, test)[0]))
            count.one_more()
            if len(splits) == 1:
                confusion[f"{readout}, {on}"] = confusion_table(labels[test], predicted, classes)
                first[on] = predicted
                coef = coef if coef.size else np.atleast_2d(fitted.coef_)
        by_target[on] = np.array(splits)[:, np.newaxis]
        scores.append(_score(readout, on, X, splits, given, noisy))
    train, test = folds[0]
    names = tuple(str(name) for name in classes)
    return Comparison(
        scores=tuple(scores),
        metric=metric,
        chance=float(np.unique(labels[test], return_counts=True)[1].max() / len(test)) if metric == "accuracy" else 0.0,
        chance_description="most frequent class of the held-out part" if metric == "accuracy" else "unrelated labels",
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


@one_blas_thread()
def score_regression(
    feature_sets: FeatureSets,
    targets: Mapping[str, FloatArray],
    *,
    washout: int = 0,
    metric: Literal["1 - NRMSE", "r²"] = "1 - NRMSE",
    total: str | None = None,
    alphas: Sequence[float] = _ALPHAS,
    seed: int = 0,
    on_progress: Callable[[str, int, int, int], None] | None = None,
) -> Comparison:
    """Score a ridge readout of numbers on each feature set, in blocks of time, the last one first.

    Parameters
    ----------
    feature_sets : dict of str to ndarray of float, shape (steps, features), or Control
        The substrate's first, then the controls, as `Presented.by_step` returns them.
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
    seed : int
        Seed of the noise of reading.
    on_progress : ProgressCallback, optional
        Called after each fit.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from inmateria.reservoir import RidgeReadout

    count = _Fits(on_progress, len(feature_sets) * FOLDS)
    names = list(targets)
    Y = np.column_stack([targets[name] for name in names])
    kept = np.arange(washout, len(Y))
    kept = kept[np.isfinite(Y[kept]).all(axis=1)]
    folds = [(kept[train], kept[test]) for train, test in blocks_of_time(len(kept))]
    scores: list[Score] = []
    by_target, first = {}, {}
    coef: FloatArray = np.empty(0)

    def predicted_of(X: FloatArray, train: Labels, test: Labels) -> tuple[FloatArray, Any]:
        fitted = make_pipeline(StandardScaler(), RidgeReadout(alphas)).fit(X[train], Y[train])
        return fitted.predict(X[test]), fitted[-1]

    for on, given in feature_sets.items():
        by_fold = []
        noisy_by_fold = []
        for train, test in folds:
            X = features_of(given, train, Y, alphas)
            predicted, fitted = predicted_of(X, train, test)
            by_fold.append(_measure(metric, Y[test], predicted))
            if isinstance(given, np.ndarray) and on == SUBSTRATE:
                noisy = predicted_of(with_reading_noise(X, train, seed), train, test)[0]
                noisy_by_fold.append(_measure(metric, Y[test], noisy))
            count.one_more()
            if len(by_fold) == 1:
                first[on] = predicted
                coef = coef if coef.size else fitted.coef_
        values = by_target[on] = np.array(by_fold)
        noisy_values = np.array(noisy_by_fold).reshape(-1, len(names))
        if total is not None:
            scores.append(_score(total, on, X, values.sum(axis=1), given, noisy_values.sum(axis=1)))
        else:
            scores += [
                _score(name, on, X, values[:, column], given, noisy_values[:, column])
                for column, name in enumerate(names)
            ]
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
    from sklearn.model_selection import KFold

    return list(reversed(list(KFold(FOLDS).split(np.arange(steps)))))


def stratified_folds(labels: Labels, seed: int) -> Folds:
    """Draw folds that have each class in its share."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))


@one_blas_thread()
def features_of(
    given: FloatArray | Control, train: npt.NDArray[np.intp], Y: FloatArray, alphas: Sequence[float] = _ALPHAS
) -> FloatArray:
    """Return the features (items, features) of a feature set: of a control, the variant that training items choose.

    Parameters
    ----------
    given : ndarray of float, or Control
    train : ndarray of int
        Items to learn from.
    Y : ndarray of float, shape (items, outputs)
        Targets of a ridge readout.
    alphas : sequence of float
        Candidates for its regularisation.
    """
    return given.chosen(train, Y, alphas) if isinstance(given, Control) else given


def with_reading_noise(X: FloatArray, train: npt.NDArray[np.intp], seed: int) -> FloatArray:
    """Add noise of reading to features (items, features): 1 % of the standard deviation of each on training items."""
    noise = np.random.default_rng([seed, 3]).standard_normal(X.shape)
    noisy: FloatArray = X + READING_NOISE * X[train].std(axis=0) * noise
    return noisy


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


def _score(
    name: str,
    on: str,
    X: FloatArray,
    values: Sequence[float] | FloatArray,
    given: FloatArray | Control,
    noisy: Sequence[float] | FloatArray,
) -> Score:
    splits = tuple(float(value) for value in values)
    kind: ControlKind | Literal[""] = given.kind if isinstance(given, Control) else ""
    return Score(
        readout=name,
        on=on,
        features=X.shape[1],
        score=splits[0],
        splits=splits,
        kind=kind,
        noisy=tuple(float(value) for value in noisy),
    )


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
