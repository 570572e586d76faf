"""Carry a readout from the device it was trained on to another one, or to the same after it drifted.

What the old readout said of a probe series on the old device is known. Regressed onto what the new device
makes of the same series, it needs no label ("teacher"). Labels, where there are some, count beside it. The
weights are pulled toward the old ones (mild mismatch), or toward nothing (large mismatch); or the labels are
used alone (unrelated devices). Which of these is decided by errors measured on the probe and on the labels.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, solve_triangular

from inmateria.devices.bound_readouts import BoundReadout
from inmateria.devices.calibration import calibrate
from inmateria.devices.linear_maps import LinearMap
from inmateria.reservoir.physical import PhysicalReservoir
from inmateria.substrate import FloatArray

__all__ = ["Method", "Transfer", "Transferred", "align_by_cca", "transfer", "transfer_weights"]

Method = Literal["toward-old", "aligned", "retrained"]

_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-8, 7, 0.5))
_BLOCKS = 5


@dataclass(frozen=True, eq=False)
class Transfer:
    """Weights for a new device, and what was measured on the way to them.

    Parameters
    ----------
    weights : LinearMap
        For the new device's features.
    method : {"toward-old", "aligned", "retrained"}
        How they came about.
    mismatch : float or None
        Error that the old weights make of the new device's probe, against what they made of the old one's;
        root mean square, in units of its standard deviation. None where the features are not as many.
    errors : dict
        Expected error of each method that was possible, against the same, on fifths of the probe left
        out; or of the labels for ``"retrained"``, which compares with ``"on labels"``, the best of the others there.
    """

    weights: LinearMap
    method: Method
    mismatch: float | None
    errors: dict[str, float]


@dataclass(frozen=True, eq=False)
class Transferred:
    """A readout bound to its new device.

    Parameters
    ----------
    readout : BoundReadout
    how : Transfer
    labelled, unlabelled : int
        Steps that were sent to the new device with and without targets.
    """

    readout: BoundReadout
    how: Transfer
    labelled: int
    unlabelled: int


async def transfer(
    readout: BoundReadout,
    to: PhysicalReservoir,
    *,
    budget: int = 100,
    u: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    method: Method | None = None,
) -> Transferred:
    """Carry a readout over to the device behind a reservoir.

    The device is calibrated, driven with the readout's own series, and with as much of `u` as the budget allows.

    Parameters
    ----------
    readout : BoundReadout
    to : PhysicalReservoir
        Entered, with encoding and washout as in training.
    budget : int
        Labelled steps that it may use, beyond the washout; none where there are no labels.
    u, y : array_like, shape (steps, ...)
        A series with its targets (or classes), one for each step.
    method : {"toward-old", "aligned", "retrained"}, optional
        Instead of the one that the measured mismatch asks for.

    Raises
    ------
    ValueError
        Where series and targets do not fit each other, or the method cannot be used.
    """
    if (u is None) != (y is None):
        raise ValueError("give a series u together with its targets y, or neither")
    if budget < 0:
        raise ValueError(f"budget is {budget} labelled steps; give 0 or more")
    fingerprint = await calibrate(to.substrate, readout.probe)
    probed = await to.run(readout.series)
    labelled: tuple[FloatArray, npt.NDArray[Any]] | None = None
    if u is not None and y is not None and budget:
        series, targets = np.asarray(u, dtype=np.float64), np.asarray(y)
        if len(series) != len(targets) or len(series) <= to.washout:
            raise ValueError(
                f"the series has {len(series)} steps and {len(targets)} targets, with a washout of {to.washout}; "
                "give one target for each step, and more steps than that"
            )
        most = to.washout + budget
        labelled = await to.run(series[:most]), targets[to.washout : most]
    how = transfer_weights(readout.weights, readout.features, probed, labelled, method=method)
    return Transferred(
        replace(readout, estimator=how.weights.estimator(), fingerprint=fingerprint, features=probed),
        how,
        labelled=0 if labelled is None else len(labelled[1]),
        unlabelled=len(probed),
    )


def transfer_weights(
    old: LinearMap,
    source: FloatArray,
    target: FloatArray,
    labelled: tuple[FloatArray, npt.NDArray[Any]] | None = None,
    *,
    method: Method | None = None,
) -> Transfer:
    """Find the weights for a new device from what both devices made of one series, and from labels.

    Parameters
    ----------
    old : LinearMap
        Weights for the old device's features.
    source, target : ndarray of float, shapes (steps, features) and (steps, new features)
        Features of the same series on the old and on the new device.
    labelled : tuple of ndarray, optional
        Features on the new device, and their targets or classes.
    method : {"toward-old", "aligned", "retrained"}, optional
        Instead of the one that the measured mismatch asks for.
    """
    if len(source) != len(target):
        raise ValueError(
            f"the series gave {len(source)} steps of features on the old device and {len(target)} on the new one; "
            "it must be the same series with the same washout"
        )
    if len(source) < 2 * _BLOCKS:
        raise ValueError(
            f"the series gave {len(source)} steps of features; give at least {2 * _BLOCKS} beyond the washout, "
            "better some hundred"
        )
    taught = old(source)
    size = float(np.sqrt(taught.var(axis=0).mean()))
    size = size if size > 0 else 1.0
    spread = target.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    # Features of one kind are best left as they are, for the larger ones have less noise; those of several units not.
    scales = (spread, np.full_like(spread, np.sqrt(np.mean(spread**2))))
    X, Y = (np.empty((0, target.shape[1])), np.empty((0, len(old.coef)))) if labelled is None else (
        np.asarray(labelled[0], dtype=np.float64), old.targets(labelled[1]))  # fmt: skip
    if len(X) != len(Y):
        raise ValueError(f"there are {len(X)} labelled steps and {len(Y)} labels; give one label for each")
    nothing = replace(old, coef=np.zeros((len(old.coef), target.shape[1])), intercept=np.zeros(len(old.coef)))
    errors: dict[str, float] = {}
    mismatch = None
    priors: dict[Method, LinearMap] = {"aligned": nothing}
    if source.shape[1] == target.shape[1]:
        mismatch = _rms(old(target) - taught) / size
        priors["toward-old"] = old
    unlabelled: dict[Method, LinearMap] = {}
    for name, prior in priors.items():
        unlabelled[name], error = _toward(prior, target, taught, scales)
        errors[name] = error / size
    chosen = min(priors, key=lambda name: errors[name])
    if len(X) >= 2:
        alone, error = _toward(nothing, X, Y, scales)
        errors["retrained"] = error / size
        _, error = _toward(priors[chosen], X, Y, scales, (target, taught))
        errors["on labels"] = error / size
        if errors["retrained"] < errors["on labels"]:
            chosen = "retrained"
    if method is not None:
        if method not in ("toward-old", "aligned", "retrained"):
            raise ValueError(f"method is {method!r}; allowed are 'toward-old', 'aligned' and 'retrained'")
        if method != "retrained" and method not in priors:
            raise ValueError(
                f"the old device gave {source.shape[1]} features and the new one {target.shape[1]}; "
                "old weights need as many: use 'aligned' or 'retrained'"
            )
        if method == "retrained" and len(X) < 2:
            raise ValueError(f"there are {len(X)} labels; to retrain, give at least 2")
        chosen = method
    if chosen == "retrained":
        return Transfer(alone, chosen, mismatch, errors)
    weights = unlabelled[chosen]
    if len(X) >= 2:
        weights, _ = _toward(priors[chosen], X, Y, scales, (target, taught))
    return Transfer(weights, chosen, mismatch, errors)


def align_by_cca(
    old: LinearMap, source: FloatArray, target: FloatArray, components: int = 15, shrinkage: float = 1e-3
) -> LinearMap:
    """Predict the old device's features from the new one's through canonical variates, and read those out.

    Canonical correlation analysis (Hotelling, Biometrika 28, 321 (1936)), with `shrinkage` times the mean variance
    added to every variance; the prediction is the reduced-rank regression through the strongest `components`
    (Izenman, J. Multivar. Anal. 5, 248 (1975)). `transfer_weights` does better, because it aligns only what the
    readout uses; this is here to compare with, and for readouts that are not known yet.
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    La, Lb = (_factor(part, shrinkage) for part in (a, b))
    between = solve_triangular(La, a.T @ b / len(a), lower=True)
    between = solve_triangular(Lb, between.T, lower=True).T
    left, correlation, right = np.linalg.svd(between, full_matrices=False)
    kept = slice(0, components)
    read = (old.coef @ La) @ left[:, kept] * correlation[kept]
    coef = solve_triangular(Lb.T, (read @ right[kept]).T, lower=False).T
    return replace(
        old, coef=coef, intercept=old.intercept + old.coef @ source.mean(axis=0) - coef @ target.mean(axis=0)
    )


def _factor(centred: FloatArray, shrinkage: float) -> FloatArray:
    covariance = centred.T @ centred / len(centred)
    shrunk = covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    lower: FloatArray = np.tril(cho_factor(shrunk, lower=True)[0])
    return lower


def _toward(
    prior: LinearMap,
    X: FloatArray,
    Y: FloatArray,
    scales: tuple[FloatArray, ...],
    beside: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[LinearMap, float]:
    """Fit ridge weights pulled toward a prior, and give their error (root mean square) on steps left out.

    Ridge regression of what the prior leaves over, with features in the units of one of the scales. Scale and
    regularisation are those of the least error. One fifth of the time is left out at once: neighbours in time are so
    alike that leaving out single steps would prefer weights that fit the noise. What is `beside` is always learned
    from and never scored.
    """
    return min((_toward_in(prior, X, Y, scale, beside) for scale in scales), key=lambda found: found[1])


def _toward_in(
    prior: LinearMap,
    X: FloatArray,
    Y: FloatArray,
    scale: FloatArray,
    beside: tuple[FloatArray, FloatArray] | None,
) -> tuple[LinearMap, float]:
    centre = X.mean(axis=0)
    own, rest = (X - centre) / scale, Y - prior(X)
    more, more_rest = (own[:0], rest[:0]) if beside is None else (
        (beside[0] - centre) / scale, beside[1] - prior(beside[0]))  # fmt: skip
    errors = np.zeros(len(_ALPHAS))
    for block in np.array_split(np.arange(len(own)), min(_BLOCKS, len(own))):
        kept = np.ones(len(own), dtype=np.bool_)
        kept[block] = False
        path = _ridge_path(np.concatenate([more, own[kept]]), np.concatenate([more_rest, rest[kept]]))
        for index, (coef, intercept) in enumerate(path):
            errors[index] += np.sum((rest[block] - own[block] @ coef.T - intercept) ** 2)
    best = int(np.argmin(errors))
    coef, intercept = _ridge_path(np.concatenate([more, own]), np.concatenate([more_rest, rest]), best)[0]
    coef = coef / scale
    weights = replace(prior, coef=prior.coef + coef, intercept=prior.intercept + intercept - coef @ centre)
    return weights, float(np.sqrt(errors[best] / rest.size))


def _ridge_path(X: FloatArray, Y: FloatArray, only: int | None = None) -> list[tuple[FloatArray, FloatArray]]:
    """Ridge weights and intercepts for every regularisation, or for one; the intercept is not regularised."""
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    left, values, right = np.linalg.svd(X - x_mean, full_matrices=False)
    loads = left.T @ (Y - y_mean)
    path = []
    for alpha in _ALPHAS if only is None else (_ALPHAS[only],):
        coef = (right.T @ ((values / (values**2 + alpha))[:, np.newaxis] * loads)).T
        path.append((coef, y_mean - coef @ x_mean))
    return path


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
